"""From finished runs to committed evidence (see `mixup/ledger/evidence.py`), with a refusal of what cannot be believed."""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from scipy.special import log_softmax

from mixup.errors import UserError
from mixup.evaluation.measurements import read_measurement
from mixup.ledger.cells import cells_of
from mixup.ledger.evidence import CARD_RTOL, DIGITS, EXACT, Curve, Evidence, digest_of, faults, files_of, parsed, read_run
from mixup.run import records
from mixup.run.config import EVALUATIONS
from mixup.run.files import write_atomic

SURFACE_DIGITS = 4  # significant ones
SAMPLES_SEED = 0  # of a GAN; the figure shows one seed

Word = Literal["collected", "unchanged", "replaced", "measurements added"]


def runs_below(paths: Iterable[Path]) -> list[Path]:
    """The runs that the paths are, or hold. UserError for a path without any."""
    runs: list[Path] = []
    for path in paths:
        patterns = [depth + name for name in ("record.json", "config.yaml") for depth in ("", "*/", "*/*/")]
        folders = {file.parent for pattern in patterns for file in path.glob(pattern)}
        if not folders:
            raise UserError(f"{path}: no run lies there; name a run's directory, or runs/<experiment> for all of its runs")
        runs += sorted(folders)
    return list(dict.fromkeys(runs))


def collect_run(run: Path, out: Path, *, allow_dirty: bool, replace: bool) -> Word:
    """Copies what a finished run leaves as evidence below `out`. UserError for what cannot be believed, in one sentence."""
    files = contents(run)
    record = json.loads(files[".json"])
    target = out / record["name"] / f"{run.resolve().name}.json"
    evidence = parsed(target, files)
    if reasons := faults(evidence, allow_dirty=allow_dirty) or prediction_faults(run, evidence):
        raise UserError(reasons[0])
    word: Word = "collected"
    if target.exists():
        committed = read_run(target)
        word = compared(committed, evidence, files)
        if word == "unchanged":
            return word
        if word == "replaced" and not replace:
            raise UserError(f"{target} holds another run of it ({changed(committed, evidence)}): --replace takes this one")
    others = [read_run(file) for file in sorted(target.parent.glob("*.json")) if file != target]
    cells_of([*others, evidence])
    write_evidence(files, target)
    return word


def prediction_faults(run: Path, evidence: Evidence) -> list[str]:
    """Whether the last test error of a classifier, and its report card's likelihood on clean images, are those of its own
    predictions."""
    if "top1_error" not in evidence.record["test"]:
        return []
    try:
        with open(run / "predictions.npz", "rb") as file, np.load(file) as saved:  # numpy alone leaves a broken one open
            logits, labels = saved["logits"], saved["labels"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        return [f"its predictions.npz cannot be read ({error}): run it again"]
    record = evidence.record  # of unreadable examples, which it does not count, the logits are no numbers
    count, unreadable = record["test"]["count"], record["data"]["unreadable"]["test"]
    wrong = 100 * (int((np.isnan(logits).any(1) | (logits.argmax(1) != labels)).sum()) - unreadable) / count
    if not records.agrees(record, wrong, count=count, device=record["device"]):
        return [f"its last test error {record['test']['top1_error']['last']} is not that of its predictions, {wrong}"]
    card, readable = evidence.evaluations.get("card"), ~np.isnan(logits).any(1)
    if not card or card["test_count"] != readable.sum():
        return []
    return card_against_predictions(card, logits[readable], labels[readable])


def card_against_predictions(card: Mapping[str, Any], logits: np.ndarray, labels: np.ndarray) -> list[str]:
    """Whether the numbers of a report card that need no network but predictions, (N, C) and (N,), are theirs."""
    log_probabilities = log_softmax(logits.astype(np.float64), 1)
    one_hot = np.eye(logits.shape[1])[labels]
    computed = {
        "nll": -(one_hot * log_probabilities).sum(1).mean(),
        "brier": np.square(np.exp(log_probabilities) - one_hot).sum(1).mean(),
    }
    return [
        f"its report card's {name} {card['measures'][name]} is not that of its predictions, {value:.6g}: measure it again"
        for name, value in computed.items()
        if not math.isclose(card["measures"][name], value, rel_tol=CARD_RTOL)
    ]


def compared(before: Evidence, after: Evidence, files: Mapping[str, bytes]) -> Word:
    """What writing `after` over `before` would be. files: those of `after`."""
    committed = files_of(before.file)
    if committed == dict(files):
        return "unchanged"
    same_run = before.record == after.record and committed.get(".csv") == files[".csv"]
    only_added = all(after.evaluations.get(name) == values for name, values in before.evaluations.items())
    return "measurements added" if same_run and only_added and before.untouched else "replaced"


def changed(before: Evidence, after: Evidence) -> str:
    """The first part of two runs' evidence that differs."""
    if not before.untouched:
        return "which was edited after it was collected"
    for key, there in before.record.items():
        here = after.record.get(key)
        if there != here and isinstance(there, dict) and isinstance(here, dict):
            inner = next(name for name in there | here if there.get(name) != here.get(name))
            return f"{key}.{inner}: {there.get(inner)} there, {here.get(inner)} here"
        if there != here:
            return f"{key}: {there} there, {here} here"
    return "its curve differs" if before.curve != after.curve else "its measurements differ"


# -- writing -------------------------------------------------------------------------------------------------------------


def curve_of(lines: Sequence[Mapping[str, Any]]) -> Curve:
    """The columns of a run's `metrics.jsonl`, without the losses of single steps."""
    rows = [line for line in lines if "epoch" in line] or list(lines)
    return {key: [row.get(key) for row in rows] for key in dict.fromkeys(key for row in rows for key in row)}


def evidence_of(run: Path) -> Evidence:
    """What would be collected of a run, without what `collect_run` refuses."""
    return parsed(run.with_name(f"{run.name}.json"), contents(run))


def contents(run: Path) -> dict[str, bytes]:
    """Suffix -> content of the files that a finished run is committed as. UserError for one that is not finished, and for a
    measurement of other weights."""
    record = records.read_record(run)
    if record is None:
        raise UserError("it has not finished; the command that started it resumes it")
    files = {".csv": csv_text(curve_of(records.read_metrics(run))).encode()}
    if record["seed"] == SAMPLES_SEED and (run / "snapshots").is_dir():
        files[".npz"] = packed_samples(run)
    body = {**record, "evaluations": measurements_of(run)}
    return {**files, ".json": (json_text({**body, "digest": digest_of(body, files)}) + "\n").encode()}


def measurements_of(run: Path) -> dict[str, Any]:
    measurements = {}
    for name in EVALUATIONS:
        if (run / f"{name}.json").exists():
            values = read_measurement(run, f"{name}.json")
            if values is None:
                raise UserError(f"its {name}.json is damaged or of other weights: remove it, and measure the run again")
            measurements[name] = rounded(values, SURFACE_DIGITS if name == "surface" else DIGITS)
    return measurements


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
