"""Which set-up is behind table 4? Thousands of small runs as one file, and what they say (`experiment=table4_setup`).

Each run has a line in `results/table4_setup.csv`: what it varies, and how many of the tested rows it named wrongly. The JSON
beside it says what all of them share: commit, versions, device, and each table's provenance.

A set-up *fits* a printed error that may be of one run of it: the number lies within the 95 % prediction interval of one run,
over the seeds, widened by half of its last printed digit.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixup.errors import UserError
from mixup.ledger.inference import Paired, interval, paired_difference, prediction
from mixup.ledger.metrics import LAST
from mixup.ledger.paper import Experiment
from mixup.run import records
from mixup.run.conversions import from_dict, leaves
from mixup.run.files import write_atomic
from mixup.run.identity import config_hash

NAME = "table4_setup"
VARIED = {  # column -> the setting
    "data": "data.name",
    "scaling": "data.scaling",
    "train_share": "data.train_share",
    "split": "data.split",
    "shuffle": "trainer.shuffle",
    "init": "model.init",
    "alpha": "mixup.alpha",
}
COLUMNS = (*VARIED, "seed", "wrong", "tested")
SCALINGS = {"standardised": "standardised", "min-max": "scaled to 0 and 1", "raw": "raw numbers"}
ROUNDING = 0.05  # percentage points: half of the last printed digit

Choice = tuple[str, ...]
"""A set-up: the texts of scaling, train_share, split, shuffle, init."""


@dataclass(frozen=True)
class Setup:
    """One set-up on one table at one alpha. errors: test error in percent by seed. overlap: as in `inference.interval`."""

    data: str
    choice: Choice
    alpha: float
    errors: Mapping[int, float]
    overlap: float

    @property
    def scaling(self) -> str:
        return self.choice[0]

    @property
    def train_share(self) -> float:
        return float(self.choice[1])

    @property
    def mean(self) -> float:
        return interval(list(self.errors.values())).mean

    def fits(self, number: float) -> bool:
        """Whether one run of this set-up may well have this error, in percent."""
        one_run = prediction(list(self.errors.values()))
        low, high = (one_run.mean if end is None else end for end in (one_run.low, one_run.high))
        return low - ROUNDING <= number <= high + ROUNDING


def printed(paper: Experiment, method: str) -> dict[str, tuple[str, float]]:
    """data.name -> the table's name and the error that the paper prints, in percent."""
    rows = [row for row in paper.rows if row.method == method]
    values = [(row, row.value(LAST.metric, LAST.statistic)) for row in rows]
    return {row.settings["data.name"]: (row.data, value.value) for row, value in values if value and value.value is not None}


def against_erm(setups: Iterable[Setup]) -> list[tuple[Setup, Paired]]:
    """Each set-up with mixup, and the difference of its errors to ERM's of the same seed."""
    setups = list(setups)
    erm = {(one.data, one.choice): one for one in setups if one.alpha == 0}
    pairs = [(one, erm.get((one.data, one.choice))) for one in setups if one.alpha > 0]
    return [(one, paired_difference(one.errors, base.errors, overlap=one.overlap)) for one, base in pairs if base]


# -- files ---------------------------------------------------------------------------------------------------------------


def collect_setups(runs: Sequence[Path], results: Path, *, replace: bool = False) -> int:
    """Writes the CSV and the JSON of all these runs, and returns their number. UserError where a run has not finished, ran
    from changed code, is not what its hash says, or differs from the others in what they should share; and where the file
    is of more runs, unless `replace` says so."""
    before = 0 if replace else read_setups(results)[0].get("runs", 0)
    if len(runs) < before:
        raise UserError(f"{NAME}.csv is of {before:,} runs and these are {len(runs):,}: name all, or --replace takes these")
    lines: list[list[str]] = []
    shared: dict[str, Any] = {}
    for run in runs:
        record = records.read_record(run)
        if record is None:
            raise UserError(f"{run}: it has not finished; the command that started it resumes it")
        config, environment = from_dict(record["config"]), record["environment"]
        if config.name != NAME or config_hash(config) != record["hash"]:
            raise UserError(f"{run} is no run of experiment={NAME}, or its configuration was changed: run it again")
        if environment["dirty"] is not False:
            raise UserError(f"{run}: it ran from a tree with uncommitted changes: commit and run it again")
        versions = {name: environment[name] for name in ("python", "torch", "numpy") if name in environment}
        found = {"commit": environment["commit"], **versions, "device": record["device"]}
        shared = shared or {**found, "data": {}}
        if different := [name for name, value in found.items() if shared[name] != value]:
            raise UserError(f"{run} differs from the other runs in {different[0]}: run all of them with one")
        settings, test = dict(leaves(config)), record["test"]
        shared["data"][config.data.name] = record["data"]["provenance"]
        wrong = round(test["top1_error"]["last"] * test["count"] / 100)
        counts = [str(number) for number in (config.seed, wrong, test["count"])]
        lines.append([text_of(settings[key]) for key in VARIED.values()] + counts)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *sorted(lines, key=order)])
    content = text.getvalue().encode()
    about = {**shared, "runs": len(lines), "sha256": hashlib.sha256(content).hexdigest()}
    write_atomic(results / f"{NAME}.csv", content)
    write_atomic(results / f"{NAME}.json", (json.dumps(about, indent=1) + "\n").encode())
    return len(lines)


def text_of(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value).lower()


def order(line: Sequence[str]) -> tuple[Any, ...]:
    return (*line[:6], float(line[6]), int(line[7]))


def read_setups(results: Path) -> tuple[dict[str, Any], list[Setup]]:
    """What all runs share, and the set-ups; nothing of both where there are none. UserError where the CSV was changed."""
    file = results / f"{NAME}.csv"
    if not file.exists():
        return {}, []
    content, about = file.read_bytes(), json.loads(file.with_suffix(".json").read_text())
    if hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise UserError(f"{file} was changed after it was collected: restore it from git")
    errors: dict[tuple[str, Choice, float], dict[int, float]] = {}
    for line in csv.DictReader(io.StringIO(content.decode(), newline="")):
        choice = tuple(line[name] for name in list(VARIED)[1:-1])
        by_seed = errors.setdefault((line["data"], choice, float(line["alpha"])), {})
        by_seed[int(line["seed"])] = 100 * int(line["wrong"]) / int(line["tested"])
    return about, [Setup(*key, by_seed, overlap_of(key[1])) for key, by_seed in errors.items()]


def overlap_of(choice: Choice) -> float:
    """Test rows / training rows where each seed draws its own split."""
    share = float(choice[1])
    return (1 - share) / share if choice[2] == "random" else 0.0
