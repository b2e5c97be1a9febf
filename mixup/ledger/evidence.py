"""The committed evidence in `results/runs`: small files of each finished run, and their checks.

Each run is `<experiment>/<label>-<hash8>.json` (its record and measurements) and a `.csv` beside it (its curve); seed 0 of a
GAN also has an `.npz` (its samples). The JSON holds a digest of all of them. Tables and figures are made from these files
alone, without torch.

Records keep every bit. So do the test and validation errors of the curve, from which the checks compute the record's
statistics again. The other columns and the measurements have six significant digits, a surface four.
"""

import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from mixup.errors import UserError
from mixup.run import records
from mixup.run.config import TrainConfig
from mixup.run.conversions import from_dict, leaves
from mixup.run.identity import config_hash

DIGITS = 6  # significant digits of a curve and of measurements
CARD_RTOL = 1e-3  # of a likelihood, relative: other devices round otherwise
EXACT = ("test_top1_error", "validation_top1_error")  # columns of a curve that keep every bit
SUFFIXES = (".json", ".csv", ".npz")

Curve = dict[str, list[float | None]]


@dataclass(frozen=True)
class Evidence:
    """One run. record: as the run wrote it. evaluations: measurements by name. curve: column -> values by epoch, or by line
    for a GAN; a value may be None. file: the JSON. untouched: whether its digest is that of its content."""

    record: records.Record
    evaluations: dict[str, Any]
    curve: Curve
    file: Path
    untouched: bool = True

    @property
    def name(self) -> str:
        """`<experiment>/<label>-<hash8>`, as in the run's path."""
        return f"{self.file.parent.name}/{self.file.stem}"

    @property
    def seed(self) -> int:
        return self.record["seed"]

    @property
    def samples(self) -> Path:
        """`real` and `fake<iteration>`, each (1000, 2), where there are any."""
        return self.file.with_suffix(".npz")

    @cached_property
    def config(self) -> TrainConfig:
        """The record's, with today's defaults for settings that came later. UserError where it is not one of ours."""
        try:
            return from_dict(self.record["config"])
        except (TypeError, KeyError, ValueError, OmegaConfBaseException) as error:
            raise UserError(str(error).splitlines()[0]) from error

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The configuration by dotted key."""
        return dict(leaves(self.config))


# -- reading -------------------------------------------------------------------------------------------------------------


def read_evidence(folder: Path) -> list[Evidence]:
    """All runs below `folder`, `results/runs`, in the order of their names. Raises UserError for a file that is damaged."""
    return [read_run(file) for file in sorted(folder.glob("*/*.json"))]


def read_run(file: Path) -> Evidence:
    """The evidence of one run, by its record. UserError for files that cannot be read as such."""
    try:
        return parsed(file, files_of(file))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file} or the .csv beside it cannot be read ({error!r}): restore both, or collect the run again"
        ) from error


def files_of(file: Path) -> dict[str, bytes]:
    """Suffix -> content of a run's evidence, as far as it exists. file: the JSON."""
    files = (file.with_suffix(suffix) for suffix in SUFFIXES)
    return {part.suffix: part.read_bytes() for part in files if part.exists()}


def parsed(file: Path, files: Mapping[str, bytes]) -> Evidence:
    """From the content of its files by suffix. Raises one of Python's own errors where it is not as it should be."""
    record = json.loads(files[".json"])
    header, *rows = csv.reader(io.StringIO(files[".csv"].decode(), newline=""))
    header = [re.sub("^clean_", "train_eval_", name) for name in header]  # as earlier versions called it
    values = [[float(cell) if cell else None for cell in row] for row in rows]
    curve = {name: list(column) for name, column in zip(header, zip(*values, strict=True), strict=True)}
    stated, evaluations = record.pop("digest"), record.pop("evaluations")
    return Evidence(record, evaluations, curve, file, stated == digest_of({**record, "evaluations": evaluations}, files))


def digest_of(body: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """Sixteen hexadecimal digits of a SHA-256 over record, measurements and the files beside them."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode())
    for suffix in sorted(set(files) - {".json"}):
        digest.update(hashlib.sha256(files[suffix]).digest())
    return digest.hexdigest()[:16]


# -- checks --------------------------------------------------------------------------------------------------------------


def faults(run: Evidence, *, allow_dirty: bool = False) -> list[str]:
    """Why a run cannot be believed, one sentence each; none where it can."""
    try:
        reasons = content_faults(run)
    except (KeyError, TypeError, AttributeError) as error:
        reasons = [f"it is no record of ours, or one that lacks something ({error!r})"]
    if not run.untouched:
        reasons.append("its digest is not that of its content: it was edited after it was collected")
    starts = run.record.get("segments", [run.record])  # of a run, each with what it ran in; earlier records have one
    environments = [start.get("environment") or {"commit": None, "dirty": None} for start in starts]
    commits = {environment["commit"] for environment in environments}
    if not reasons and len(commits) > 1:
        names = ", ".join(sorted((commit or "unknown")[:7] for commit in commits))
        reasons.append(f"several commits trained it, one after the other ({names}): run it again with one of them")
    if not reasons and any(environment["dirty"] is not False for environment in environments) and not allow_dirty:
        reasons.append(
            "it ran from a tree with uncommitted changes (or outside git), so its commit does not say what ran: commit and "
            "run it again, or add --allow-dirty"
        )
    return reasons


def content_faults(run: Evidence) -> list[str]:
    """Whether name, hash, configuration, errors and curve agree."""
    record = run.record
    try:
        hashes = {"hash": config_hash(run.config), "cell": config_hash(replace(run.config, seed=0))}
    except UserError as error:
        return [f"its configuration is none of today's ({error}): run it again"]
    reasons = [
        f"its configuration has the {name} {value}, not {record[name]}: one of them was changed"
        for name, value in hashes.items()
        if record[name] != value
    ]
    if not run.file.stem.endswith(f"-{record['hash']}"):
        reasons.append(f"its file is not named after its hash {record['hash']}")
    epochs = run.curve.get("epoch")  # no column of a GAN's curve
    if epochs is not None and len(epochs) != record["epochs"]:
        reasons.append(f"its curve has {len(epochs)} epochs, its record {record['epochs']}")
    return reasons + curve_faults(run) + card_against_record(run)


def curve_faults(run: Evidence) -> list[str]:
    """Whether each number of the record that has a `last` is that of the curve. A number changed by hand is not."""
    splits = {"test": run.record["test"], "validation": run.record.get("validation") or {}}
    stated = {
        (split, name): values
        for split, measured in splits.items()
        for name, values in measured.items()
        if isinstance(values, dict) and "last" in values
    }
    reasons = [] if stated else ["its record has no test error"]
    for (split, name), numbers in stated.items():
        column = f"{split}_{name}"
        values = [value for value in run.curve.get(column, []) if value is not None]
        computed = {key: value for key, value in records.headline(values).items() if key in numbers} if values else {}
        tolerance = 0.0 if column in EXACT else 10.0 ** (1 - DIGITS)
        same = numbers.keys() == computed.keys() and all(
            math.isclose(numbers[key], value, rel_tol=tolerance) for key, value in computed.items()
        )
        if not same:
            shown = computed or "nothing"
            reasons.append(f"its {split} {name} {numbers} is not that of its curve, {shown}: one of them was changed")
    return reasons


def card_against_record(run: Evidence) -> list[str]:
    """Whether the report card's error and likelihood are the record's, where both are of the whole test set. The card may
    have been measured on another device."""
    card, test = run.evaluations.get("card"), run.record["test"]
    if not card or card.get("test_count") != test.get("count"):
        return []
    error, nll = (card["measures"][name] for name in ("top1_error", "nll"))
    stated = {"top1_error": (error, test["top1_error"]["last"]), "nll": (nll, test.get("nll", nll))}
    same = {
        "top1_error": records.agrees(run.record, error, count=test["count"], device=""),
        "nll": math.isclose(*stated["nll"], rel_tol=CARD_RTOL),
    }
    return [
        f"its report card's {name} {there} is not the record's, {here}: one of them was changed"
        for name, (there, here) in stated.items()
        if not same[name]
    ]
