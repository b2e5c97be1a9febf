"""The runs on the page of `results/report.html`: a line each, and as data what unfolds below it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from mixup.ledger.evidence import Evidence
from mixup.run.display import duration

POINTS = 80  # of a small curve
BOX = (120.0, 24.0)  # its size

Differences = Callable[[Evidence], list[tuple[str, str, str]] | None]
"""A run's settings that differ from its recipe at the paper's scale: setting, here, there. None where it has no recipe."""


def section_of(run: Evidence) -> str:
    return run.file.parent.name.removesuffix("-cpu")


def anchor(run: Evidence) -> str:
    """Letters that need no escape in an address."""
    return "run-" + re.sub(r"[^\w.-]", "_", run.name)


def run_html(place: int, run: Evidence) -> str:
    """One line: curve, label, error; the rest is data."""
    return (
        f'<details id="{anchor(run)}" data-run="{place}" data-curve="{curve_words(run)}"><summary>{small_curve(run)}'
        f'<span class="label">{escape(run.record["label"])}</span> <span class="scale">{scale_of(run)}</span> '
        f'<span class="number">{escape(headline_of(run))}</span></summary></details>'
    )


def scale_of(run: Evidence) -> str:
    return str(run.record["config"]["scale"])


def headline_of(run: Evidence) -> str:
    if run.is_gan:
        return f"{run.record['test']['modes']['last']} of {run.record['data']['modes']} modes"
    return f"{run.record['test']['top1_error']['last']:.2f} %"


def curve_values(run: Evidence) -> list[float]:
    column = run.curve.get("test_modes" if run.is_gan else "test_top1_error", [])
    return [value for value in column if value is not None]


def curve_words(run: Evidence) -> str:
    """What the curve shows, with its ends and its best."""
    values = curve_values(run)
    if not values:
        return ""
    if run.is_gan:
        return f"modes covered over the iterations: {values[0]:g} to {values[-1]:g}, at most {max(values):g}"
    ends = f"{values[0]:.2f} % to {values[-1]:.2f} %"
    return f"test error over {len(values)} epochs: {ends}, lowest {min(values):.2f} %"


def small_curve(run: Evidence) -> str:
    """The test error, or the modes covered, from the first line to the last."""
    values = curve_values(run)
    if len(values) < 2:
        return ""
    values = values[:: max(1, -(-len(values) // POINTS))] + values[-1:]
    low, high = min(values), max(values)
    (width, height), span = BOX, (high - low) or 1.0
    points = " ".join(
        f"{width * place / (len(values) - 1):.1f},{1 + (height - 2) * (high - value) / span:.1f}"
        for place, value in enumerate(values)
    )
    looks = 'fill="none" stroke="currentColor" stroke-width="1.5" vector-effect="non-scaling-stroke"'
    size = f'viewBox="0 0 {width:g} {height:g}" preserveAspectRatio="none"'
    return f'<svg class="curve" {size} aria-hidden="true"><polyline points="{points}" {looks}/></svg>'


# -- data ----------------------------------------------------------------------------------------------------------------


def data_of(evidence: Sequence[Evidence], differences: Differences) -> dict[str, Any]:
    """Runs in their order. Environments are the same for many of them and stand once."""
    environments: dict[str, int] = {}
    runs = [run_data(run, differences(run), environments) for run in evidence]
    return {"environments": list(environments), "runs": runs}


def run_data(run: Evidence, differ: list[tuple[str, str, str]] | None, environments: dict[str, int]) -> dict[str, Any]:
    record, environment = run.record, run.record["environment"]
    return {
        "section": section_of(run),
        "file": f"results/runs/{run.name}.json",
        "data": record["data"]["provenance"],
        "scale": scale_of(run),
        "seed": run.seed,
        "command": command_of(run),
        "commit": (environment["commit"] or "none") + ("" if environment["dirty"] is False else " (changed)"),
        "device": record["device"],
        "environment": environments.setdefault(environment_text(environment), len(environments)),
        "numbers": numbers_of(run),
        "differences": differ,
        "measured": sorted(run.evaluations),
        "wandb": (record.get("wandb") or {}).get("url"),
    }


def command_of(run: Evidence) -> str:
    script, *arguments = run.record["environment"]["command"]
    folder = "scripts/" if run.is_gan and "/" not in script else ""  # earlier records have its name alone
    return shlex.join(["python", folder + script, *arguments])


def environment_text(environment: Mapping[str, Any]) -> str:
    packages = [f"{name} {version}" for name, version in environment["packages"].items() if version != "absent"]
    return ", ".join([f"python {environment['python']}", environment["platform"], *packages])


def numbers_of(run: Evidence) -> list[list[str]]:
    """What the record has measured, as `name, value with unit`."""
    record = run.record
    if run.is_gan:
        shown = {"modes covered": headline_of(run), "good samples": f"{record['test']['good_share']['last']:.1f} %"}
    else:
        errors = record["test"]["top1_error"]
        shown = {
            "test error, last epoch": f"{errors['last']:.2f} %",
            "median of the last ten epochs": f"{errors['last10_median']:.2f} %",
            "best epoch, chosen on test data": f"{errors['best']:.2f} %",
        }
        train = record.get("train") or {}
        kinds = {"top1_error": "train error", "real_label_error": "on real labels"}
        kinds |= {"corrupted_label_error": "on corrupted labels"}
        shown |= {words: f"{train[key]:.2f} %" for key, words in kinds.items() if key in train}
    return [[name, text] for name, text in {**shown, "training time": duration(record["train_seconds"])}.items()]


def script_json(value: Any) -> str:
    """JSON that cannot end the script element that it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
