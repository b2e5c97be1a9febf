"""The runs in `results/report.html`: a line each, and as data what unfolds below it."""

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mixup.ledger.cells import experiment_of
from mixup.ledger.evidence import Evidence
from mixup.ledger.metrics import MEASURES, Measure, metric_of
from mixup.ledger.names import method, net
from mixup.pages.texts import commit
from mixup.run.display import duration

POINTS = 18  # of a small curve
BOX = (120.0, 24.0)  # its size
OWN = ("file", "seed", "command", "values", "wandb")  # what the runs of a cell do not share

Differences = Callable[[Evidence], list[tuple[str, str, str]] | None]
"""A run's settings that differ from its recipe at the paper's scale: setting, here, there. None where it has no recipe."""


def anchor(run: Evidence) -> str:
    """Letters that need no escape in an address."""
    return "run-" + re.sub(r"[^\w.-]", "_", run.name)


def numbers(run: Evidence) -> dict[Measure, str]:
    """All that the run was measured by, with units."""
    values = {one: one.read(run) for one in MEASURES}
    return {one: text(one, value) for one, value in values.items() if value is not None}


def text(measure: Measure, value: float) -> str:
    return f"{value:.{measure.decimals}f} {metric_of(measure.metric).unit}".strip()


def summary(run: Evidence) -> dict[str, str]:
    """What a run's line says: its first number, and its curve in words and as the points of an SVG's polyline."""
    measure, headline = next(iter(numbers(run).items()))
    metric = metric_of(measure.metric)
    curve = [value for value in run.curve.get(measure.metric.replace(".", "_"), []) if value is not None]
    words = ""
    if curve:
        best = max(curve) if metric.better == "higher" else min(curve)
        first, last, best_text = (text(measure, value) for value in (curve[0], curve[-1], best))
        steps = f"{len(curve)} {'epochs' if 'epoch' in run.curve else 'points'}"
        words = f"{metric.title} over {steps}: {first} to {last}, best {best_text}"
    named = headline if metric.unit else f"{headline} {metric.title}"
    return {"headline": named, "curve": words, "points": points(curve)}


def points(curve: Sequence[float]) -> str:
    """A small curve from the first value to the last, as the points of an SVG's polyline."""
    if len(curve) < 2:
        return ""
    step = -(-len(curve) // POINTS)
    places = sorted({*range(0, len(curve), step), len(curve) - 1})
    low, high = min(curve), max(curve)
    (width, height), span = BOX, (high - low) or 1.0
    xs = [width * place / (len(curve) - 1) for place in places]
    ys = [1 + (height - 2) * (high - curve[place]) / span for place in places]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys))


# -- data ----------------------------------------------------------------------------------------------------------------


def runs_json(evidence: Sequence[Evidence], differences: Differences) -> str:
    """Runs in their order. What many of them share, as the seeds of a cell do, stands once: `of` says where."""
    environments = list(dict.fromkeys(map(environment_text, evidence)))
    kinds = [differences(run) for run in evidence]
    different = [kind for place, kind in enumerate(kinds) if kind not in kinds[:place]]
    shared, runs = list[dict[str, Any]](), []
    for run, kind in zip(evidence, kinds):
        common = run_data(run, different.index(kind), environments.index(environment_text(run)))
        own = {key: common.pop(key) for key in OWN if key in common}
        if common not in shared:
            shared.append(common)
        runs.append({"of": shared.index(common), **own})
    return script_json({"environments": environments, "differences": different, "shared": shared, "runs": runs})


def run_data(run: Evidence, differ: int, environment: int) -> dict[str, Any]:
    """differ, environment: the places of its differences and environment among all of the page. measures: the titles of its
    values."""
    record, measured = run.record, numbers(run)
    script, *arguments = record["environment"]["command"]
    url = (record.get("wandb") or {}).get("url")
    return {
        "section": experiment_of(run),
        "file": f"results/runs/{run.name}.json",
        "data": record["data"]["provenance"],
        "net": net(run.settings),
        "method": method(run.settings),
        "scale": run.settings["scale"],
        "seed": run.seed,
        "command": shlex.join(["python", script, *arguments]),
        "commit": commit(run, letters=None),
        "device": record["device"],
        "environment": environment,
        "measures": [*(one.title for one in measured), "training time"],
        "values": [*measured.values(), duration(record["train_seconds"])],
        "differences": differ,
        "measured": sorted(run.evaluations),
        **({"wandb": url} if url else {}),
    }


def environment_text(run: Evidence) -> str:
    environment: Mapping[str, Any] = run.record["environment"]
    packages = [f"{name} {version}" for name, version in environment["packages"].items() if version != "absent"]
    return ", ".join([f"python {environment['python']}", environment["platform"], *packages])


def script_json(value: Any) -> str:
    """JSON that cannot end the script element that it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
