"""The committed evidence in `results/runs`: what finished runs leave, small enough to be kept for good, and its checks.

Each run is `<experiment>/<label>-<hash8>.json`, its record with what was evaluated of it, and a `.csv` beside it, its curve;
for seed 0 of a GAN also an `.npz`, its samples. A digest in the JSON is of all of them. Tables and figures are made from
these files alone, without torch.

Records are kept to the last bit. So are the test and validation errors of the curve, from which the record's statistics are
computed again; its other columns have six significant digits, and measurements too (a surface four).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from mixup.errors import UserError
from mixup.run import records
from mixup.run.config import TrainConfig, from_dict, leaves
from mixup.run.identity import config_hash

DIGITS = 6  # significant ones, of all but the record and the errors that it is checked against

SUFFIXES = (".json", ".csv", ".npz")

Curve = dict[str, list[float | None]]


@dataclass(frozen=True)
class Evidence:
    """One run. record: as the run wrote it. evaluations: by name, what was measured of it. curve: column -> values by epoch,
    or by line for a GAN; a value may be None. file: the JSON. untouched: whether its digest is that of its content."""

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
    def is_gan(self) -> bool:
        return self.config.gan is not None

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
    def nested(self) -> dict[str, Any]:
        """The configuration as nested plain values."""
        return asdict(self.config)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The configuration by dotted key."""
        return dict(leaves(self.config))


# -- reading -------------------------------------------------------------------------------------------------------------


def read_evidence(folder: Path) -> list[Evidence]:
    """All runs below `folder`, `results/runs`, in the order of their names. Raises UserError for a file that is damaged."""
    return [read_run(file) for file in sorted(folder.glob("*/*.json"))]


def read_run(file: Path) -> Evidence:
    beside = [file.with_suffix(suffix) for suffix in SUFFIXES]
    try:
        return parsed(file, {found.suffix: found.read_bytes() for found in beside if found.exists()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file} or the .csv beside it cannot be read ({error!r}): restore both, or collect the run again"
        ) from error


def parsed(file: Path, files: Mapping[str, bytes]) -> Evidence:
    """From the content of its files by suffix. Raises one of Python's own errors where it is not as it should be."""
    record = json.loads(files[".json"])
    header, *rows = csv.reader(io.StringIO(files[".csv"].decode(), newline=""))
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


def faults(found: Evidence, *, allow_dirty: bool = False) -> list[str]:
    """Why a run cannot be believed, one sentence each; none where it can."""
    try:
        told = content_faults(found)
    except (KeyError, TypeError, AttributeError) as error:
        told = [f"it is no record of ours, or one that lacks something ({error!r})"]
    if not found.untouched:
        told.append("its digest is not that of its content: it was edited after it was collected")
    if not told and found.record["environment"]["dirty"] is not False and not allow_dirty:
        told.append(
            "it ran from a tree with uncommitted changes (or outside git), so its commit does not say what ran: commit and "
            "run it again, or add --allow-dirty"
        )
    return told


def content_faults(found: Evidence) -> list[str]:
    """Whether name, hash, configuration, errors and curve agree."""
    record = found.record
    try:
        computed = hashes(found.config)
    except UserError as error:
        return [f"its configuration is none of today's ({error}): run it again"]
    told = [
        f"its configuration has the {name} {value}, not {record[name]}: one of them was changed"
        for name, value in computed.items()
        if record[name] != value
    ]
    if not found.file.stem.endswith(f"-{record['hash']}"):
        told.append(f"its file is not named after its hash {record['hash']}")
    return told + (gan_faults(found) if found.is_gan else curve_faults(found))


def hashes(config: TrainConfig) -> dict[str, str]:
    return {"hash": config_hash(config), "cell": config_hash(replace(config, seed=0))}


def curve_faults(found: Evidence) -> list[str]:
    """Whether the record's errors are those of its own curve: a number changed by hand is not."""
    record, told = found.record, []
    if (done := len(found.curve.get("epoch", []))) != record["epochs"]:
        told.append(f"its curve has {done} epochs, its record {record['epochs']}")
    for split in ("test", "validation"):
        if split == "validation" and record[split] is None:
            continue
        stated = record[split]["top1_error"]
        errors = [value for value in found.curve.get(f"{split}_top1_error", []) if value is not None]
        if not errors or stated != records.headline(errors):
            shown = records.headline(errors) if errors else "nothing"
            told.append(f"its {split} errors {stated} are not those of its curve, {shown}: one of them was changed")
    return told


def gan_faults(found: Evidence) -> list[str]:
    told = []
    last = {f"train_{name}": value for name, value in found.record["train"].items()}
    last |= {f"test_{name}": values["last"] for name, values in found.record["test"].items()}
    for name, value in last.items():
        column = found.curve.get(name) or [None]
        if column[-1] is None or not math.isclose(column[-1], value, rel_tol=10.0 ** (1 - DIGITS)):
            told.append(f"its last {name} {value} is not that of its curve, {column[-1]}: one of them was changed")
    return told
