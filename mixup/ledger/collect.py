"""From finished runs to committed evidence (`mixup/evidence.py` says what that is), refusing what cannot be believed."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mixup.errors import UserError
from mixup.evaluation.measurements import read_measurement
from mixup.ledger.cells import cells_of
from mixup.ledger.evidence import DIGITS, SUFFIXES, Curve, Evidence, digest_of, faults, parsed, read_run
from mixup.run import records
from mixup.run.config import EVALUATIONS
from mixup.run.files import write_atomic

EXACT = ("test_top1_error", "validation_top1_error")  # columns of a curve
SURFACE_DIGITS = 4  # significant ones
SAMPLES_SEED = 0  # of a GAN; the figure shows one seed
FLIPS = 5e-4  # share of test examples whose prediction a GPU's rounding may change

Word = Literal["collected", "unchanged", "replaced", "measurements added", "refused"]


@dataclass(frozen=True)
class Outcome:
    """What became of one run. reason: of a refusal, in one sentence."""

    run: Path
    word: Word
    reason: str = ""


def runs_below(paths: Iterable[Path]) -> list[Path]:
    """The runs that the paths are, or hold. UserError for a path without any."""
    found: list[Path] = []
    for path in paths:
        files = [
            file
            for name in ("record.json", "config.yaml")
            for depth in ("", "*/", "*/*/")
            for file in path.glob(depth + name)
        ]
        if not files:
            raise UserError(f"{path}: no run lies there; name a run's directory, or runs/<experiment> for all of its runs")
        found += sorted({file.parent for file in files})
    return list(dict.fromkeys(found))


def collect(runs: Sequence[Path], out: Path, *, allow_dirty: bool, replace: bool) -> list[Outcome]:
    """Writes the evidence of each run below `out`, or says why not; one run's refusal leaves the others alone."""
    outcomes = []
    for run in runs:
        try:
            outcomes.append(Outcome(run, collect_run(run, out, allow_dirty=allow_dirty, replace=replace)))
        except UserError as error:
            outcomes.append(Outcome(run, "refused", str(error)))
    return outcomes


def collect_run(run: Path, out: Path, *, allow_dirty: bool, replace: bool) -> Word:
    files = contents(run)
    record = json.loads(files[".json"])
    target = out / record["name"] / f"{run.resolve().name}.json"
    found = parsed(target, files)
    if told := faults(found, allow_dirty=allow_dirty) or prediction_faults(run, found):
        raise UserError(told[0])
    word: Word = "collected"
    if target.exists():
        word = compared(read_run(target), found, files)
        if word == "unchanged":
            return word
        if word == "replaced" and not replace:
            raise UserError(
                f"{target} holds another run of it ({changed(read_run(target), found)}): --replace takes this one"
            )
    others = [read_run(file) for file in sorted(target.parent.glob("*.json")) if file != target]
    cells_of([*others, found])
    write_evidence(files, target)
    return word


def prediction_faults(run: Path, found: Evidence) -> list[str]:
    """Whether the last test error is that of the run's own predictions, and its metrics are all there."""
    if found.is_gan:
        return []
    try:
        with np.load(run / "predictions.npz") as saved:
            logits, labels = saved["logits"], saved["labels"]
    except (OSError, ValueError, KeyError) as error:
        return [f"its predictions.npz cannot be read ({error}): run it again"]
    readable = ~np.isnan(logits).any(1)
    wrong = int((logits.argmax(1) != labels)[readable].sum())
    stated = found.record["test"]["top1_error"]["last"]
    # The last epoch's evaluation and the final one: bit for bit the same on a CPU, while a GPU may choose other kernels.
    allowed = 0.0 if found.record["device"].startswith("CPU") else FLIPS * readable.sum()
    if abs(stated * readable.sum() / 100 - wrong) > allowed + 1e-6:
        return [f"its last test error {stated} is not that of its predictions, {100 * wrong / readable.sum()}"]
    return []


def compared(before: Evidence, after: Evidence, files: Mapping[str, bytes]) -> Word:
    """What writing `after` would be."""
    beside = [before.file.with_suffix(suffix) for suffix in SUFFIXES]
    there = {file.suffix: file.read_bytes() for file in beside if file.exists()}
    if there == dict(files):
        return "unchanged"
    same_run = before.record == after.record and there.get(".csv") == files[".csv"]
    kept = all(after.evaluations.get(name) == values for name, values in before.evaluations.items())
    return "measurements added" if same_run and kept and before.untouched else "replaced"


def changed(before: Evidence, after: Evidence) -> str:
    """The first part of two runs' evidence that differs."""
    if not before.untouched:
        return "which was edited after it was collected"
    for key in (key for key in before.record if before.record[key] != after.record.get(key)):
        one, other = before.record[key], after.record.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            inner = next(name for name in one | other if one.get(name) != other.get(name))
            return f"{key}.{inner}: {one.get(inner)} there, {other.get(inner)} here"
        return f"{key}: {one} there, {other} here"
    return "its curve differs" if before.curve != after.curve else "its measurements differ"


# -- writing -------------------------------------------------------------------------------------------------------------


def curve_of(lines: Sequence[Mapping[str, Any]]) -> Curve:
    """The columns of a run's `metrics.jsonl`, without the losses of single steps."""
    whole = [line for line in lines if "epoch" in line] or list(lines)
    return {key: [line.get(key) for line in whole] for key in dict.fromkeys(key for line in whole for key in line)}


def contents(run: Path) -> dict[str, bytes]:
    """Suffix -> content of the files that a finished run is committed as. UserError for one that is not finished, and for a
    measurement of other weights."""
    record = records.read_record(run)
    if record is None:
        raise UserError("it has not finished; the command that started it resumes it")
    files = {".csv": csv_text(curve_of(records.read_metrics(run))).encode()}
    if record["config"].get("gan") and record["seed"] == SAMPLES_SEED:
        files[".npz"] = packed_samples(run)
    body = {**record, "evaluations": measured(run)}
    digest = digest_of(body, files)
    return {**files, ".json": (json_text({**body, "digest": digest}) + "\n").encode()}


def measured(run: Path) -> dict[str, Any]:
    found = {}
    for name in EVALUATIONS:
        if (run / f"{name}.json").exists():
            values = read_measurement(run, f"{name}.json")
            if values is None:
                raise UserError(f"its {name}.json is damaged or of other weights: remove it, and measure the run again")
            found[name] = rounded(values, SURFACE_DIGITS if name == "surface" else DIGITS)
    return found


def write_evidence(files: Mapping[str, bytes], target: Path) -> None:
    """Beside each other, the JSON last. target: `<folder>/<experiment>/<label>-<hash8>.json`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for suffix in sorted(files, key=lambda suffix: suffix == ".json"):
        write_atomic(target.with_suffix(suffix), files[suffix])


def csv_text(curve: Curve) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(curve)
    columns = [[number_text(value, exact=name in EXACT) for value in values] for name, values in curve.items()]
    writer.writerows(zip(*columns))
    return text.getvalue()


def number_text(value: float | None, *, exact: bool) -> str:
    if value is None:
        return ""
    return repr(value) if exact or isinstance(value, int) else f"{value:.{DIGITS}g}"


def json_text(value: Any) -> str:
    """Indented, but for lists of plain values, which stand on one line."""
    text = json.dumps(value, indent=1, allow_nan=False)
    return re.sub(r"\[\n\s+([^\[\]{}]*?)\n\s*\]", lambda found: "[" + re.sub(r"\n\s+", " ", found[1]) + "]", text)


def rounded(value: Any, digits: int) -> Any:
    if isinstance(value, dict):
        return {key: rounded(inner, digits) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner, digits) for inner in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) and math.isfinite(value) else value


def packed_samples(run: Path) -> bytes:
    """The snapshots of a GAN as one compressed file, to a thousandth: a tenth of a mode's standard deviation."""
    arrays: dict[str, np.ndarray] = {}
    for file in sorted((run / "snapshots").glob("*.npz"), key=lambda file: int(file.stem)):
        with np.load(file) as points:
            arrays["real"] = np.round(points["real"], 3).astype(np.float32)
            arrays[f"fake{file.stem}"] = np.round(points["fake"], 3).astype(np.float32)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()
