"""Cells: runs that differ in the seed alone, and the ERM cell that a cell is paired with."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixup.errors import UserError
from mixup.ledger.evidence import Evidence
from mixup.ledger.metrics import Measure
from mixup.run import records
from mixup.run.identity import NOT_HASHED

# Settings that are no difference between two runs: what cannot change the numbers, and which draw it is.
NOT_COUNTED = (*NOT_HASHED, "seed", "data.seed")
SAMPLES = (("attacks", "examples"), ("between", "pairs"), ("card", "examples"), ("card", "pairs"))  # what says of how many
RUNS_OF = {"figure3b_curve": "figure3_cifar10"}  # an experiment of the paper that is made from another one's runs
LONGEST_LABEL = 120  # `run.identity.run_label` cuts longer ones
OWN_DROPOUT = {"speech_lenet": 0.5}  # of nets that always have it, as in configs/model
PLAIN = {
    "mixup.partner": "random",
    "mixup.within_class": False,
    "mixup.targets": "mixed",
    "mixup.layer": None,
    "mixup.ways": 2,
}
CROPPED = ("cifar10", "cifar100", "imagenet", "tiny_imagenet")  # data sets whose images are cropped and flipped by default

Settings = Mapping[str, Any]
"""A configuration by dotted key."""


@dataclass(frozen=True)
class Cell:
    """Runs by rising seed. Where each seed draws its own data (table 4), pairs of runs share that draw, too."""

    runs: tuple[Evidence, ...]

    @property
    def first(self) -> Evidence:
        return self.runs[0]

    @property
    def settings(self) -> Settings:
        return self.first.settings

    @property
    def label(self) -> str:
        """The runs' label without the seed, and without the seed of their data where that follows."""
        seeds = [f"seed={self.first.seed}", *([f"data.seed={self.first.seed}"] if draws_its_data(self.first) else [])]
        return ",".join(part for part in self.first.record["label"].split(",") if part not in seeds)

    @property
    def provenance(self) -> str:
        return self.first.record["data"]["provenance"].removesuffix(", drawn as needed")  # of points: no news to a reader

    @property
    def seconds(self) -> float:
        """The mean of a run's training time."""
        return statistics.fmean(run.record["train_seconds"] for run in self.runs)

    @property
    def devices(self) -> list[str]:
        return sorted({device_of(run) for run in self.runs})

    def values(self, measure: Measure) -> dict[int, float]:
        """By seed, of the runs that were measured."""
        values = {run.seed: measure.read(run) for run in self.runs}
        return {seed: value for seed, value in values.items() if value is not None}

    @property
    def diverged(self) -> int:
        """How many runs have ended with a test loss that is not finite; their errors count all the same."""
        return sum(bool(run.record.get("diverged")) for run in self.runs)

    def column(self, name: str) -> np.ndarray:
        """(seeds, epochs) of the curves, as many epochs as all seeds have; NaN where a curve has no value."""
        columns = [run.curve.get(name, []) for run in self.runs]
        length = min(map(len, columns))
        return np.array([[np.nan if value is None else value for value in column[:length]] for column in columns], float)

    def measured(self, name: str) -> list[Mapping[str, Any]]:
        """The evaluation of this name, of each run that has it."""
        return [run.evaluations[name] for run in self.runs if name in run.evaluations]


def device_of(run: Evidence) -> str:
    """`8 x NVIDIA H100, bfloat16`."""
    count, precision = run.record.get("world_size", 1), run.settings.get("trainer.precision", "float32")
    device = run.record["device"] if count == 1 else f"{count} x {run.record['device']}"
    return device if precision == "float32" else f"{device}, {precision}"


def experiment_of(run: Evidence) -> str:
    """The experiment that a run was made for; the folder of one at cpu scale ends in `-cpu`."""
    return run.file.parent.name.removesuffix("-cpu")


def runs_of(experiment: str, evidence: Iterable[Evidence]) -> list[Evidence]:
    """At every scale."""
    return [run for run in evidence if experiment_of(run) in (experiment, RUNS_OF.get(experiment))]


# -- grouping ------------------------------------------------------------------------------------------------------------


def cells_of(runs: Iterable[Evidence]) -> list[Cell]:
    """In order of first appearance. UserError where runs that should be of one cell are not: see `check_cells`."""
    cells = grouped(runs)
    check_cells(cells)
    return cells


def grouped(runs: Iterable[Evidence]) -> list[Cell]:
    """Runs by experiment, data and settings; by their records' `cell` unless each seed draws its own data."""
    groups: dict[str, list[Evidence]] = {}
    for run in runs:
        key = json.dumps([run.file.parent.name, run.record["data"]["provenance"], counted(run.settings)], sort_keys=True)
        groups.setdefault(key, []).append(run)
    cells: list[Cell] = []
    for group in groups.values():
        by_hash: dict[str, list[Evidence]] = {}
        each_draws = all(draws_its_data(run) for run in group)
        for run in group:
            by_hash.setdefault("" if each_draws else run.record["cell"], []).append(run)
        cells += [Cell(tuple(sorted(part, key=lambda run: run.seed))) for part in by_hash.values()]
    return cells


def counted(settings: Settings) -> dict[str, Any]:
    """The settings that tell cells apart."""
    return {key: value for key, value in settings.items() if key not in NOT_COUNTED}


def draws_its_data(run: Evidence) -> bool:
    """Whether `data.seed` follows the seed, as far as one run can tell."""
    return run.settings.get("data.seed", 0) == run.seed


def check_cells(cells: Sequence[Cell]) -> None:
    """UserError for two recipes under one label, and for a cell with two runs of a seed, with two data sets, or measured on
    different numbers of examples."""
    by_label: dict[tuple[Any, ...], Cell] = {}
    for cell in cells:
        for before, after in zip(cell.runs, cell.runs[1:]):
            if before.seed == after.seed:
                raise UserError(f"{before.name} and {after.name} are two runs of one seed: remove one")
            data = before.record["data"], after.record["data"]
            same = records.same_data(*data) or "fingerprint" not in data[0]
            if not same and before.settings.get("data.seed") == after.settings.get("data.seed"):
                raise UserError(f"{before.name} and {after.name} were trained on different data, both {cell.provenance}")
        check_samples(cell)
        if len(cell.first.record["label"]) < LONGEST_LABEL:
            place = (cell.first.file.parent.name, cell.provenance, cell.settings.get("scale"), cell.label)
            if place in by_label:
                raise UserError(difference(by_label[place].first, cell.first))
            by_label[place] = cell


def check_samples(cell: Cell) -> None:
    """UserError for two runs of a cell that were measured on different numbers of examples or pairs."""
    for name, key in SAMPLES:
        counts = {run.evaluations[name].get(key): run.name for run in cell.runs if name in run.evaluations}
        if len(counts) > 1:
            (a, first), (b, second) = list(counts.items())[:2]
            what = f"{name} of {a} and {b} {key}"
            raise UserError(f"{first} and {second} are of one cell, and their {what}: measure both alike")


def difference(a: Evidence, b: Evidence) -> str:
    """What tells two runs apart that stand for one cell."""
    for key in sorted(a.settings.keys() | b.settings.keys()):
        if key not in NOT_COUNTED and a.settings.get(key) != b.settings.get(key):
            return (
                f"{a.name} and {b.name} stand for one cell and differ in {key}: {a.settings.get(key)} and "
                f"{b.settings.get(key)}. A mean is of one recipe: remove those of the other"
            )
    return f"{a.name} and {b.name} stand for one cell and differ in data.seed: remove one"


# -- methods -------------------------------------------------------------------------------------------------------------


def is_method(key: str) -> bool:
    """Whether a setting is part of the method that is compared, and not of what it is tried on."""
    return key.startswith("mixup.") or key in ("model.dropout", "gan.game")


def has_dropout(settings: Settings) -> bool:
    """Whether the net has more dropout than its own."""
    return (settings.get("model.dropout") or 0.0) not in (0.0, OWN_DROPOUT.get(settings["model.name"]))


def is_erm(settings: Settings) -> bool:
    """Plain empirical risk minimisation: nothing of section 3.8, and no dropout but the net's own."""
    off = ("mixup.alpha", "mixup.label_smoothing", "mixup.noise")
    return not has_dropout(settings) and not any(settings.get(key) for key in off)


def is_mixup(settings: Settings) -> bool:
    """The paper's mixup and nothing besides, whatever its alpha."""
    plain = is_erm({**settings, "mixup.alpha": 0}) and all(settings.get(key) == value for key, value in PLAIN.items())
    return plain and settings["mixup.alpha"] > 0


def baseline_of(cell: Cell, cells: Iterable[Cell]) -> Cell | None:
    """The ERM cell with all other settings of this one; without one, that of plain mixup. None for itself."""

    def rest(other: Cell) -> dict[str, Any]:
        return {key: value for key, value in counted(other.settings).items() if not is_method(key)}

    alike = [other for other in cells if rest(other) == rest(cell)]
    alpha = cell.settings["mixup.alpha"]
    erm = [other for other in alike if is_erm(other.settings)]
    plain = [other for other in alike if is_mixup(other.settings) and other.settings["mixup.alpha"] == alpha]
    baselines = erm or plain
    return next((other for other in baselines if cell not in baselines), None)


def values(cell: Cell | None, measure: Measure) -> dict[int, float]:
    """By seed; none of no cell."""
    return cell.values(measure) if cell else {}


def overlap(*cells: Cell | None) -> float:
    """Test rows / training rows, where each run of these cells has divided the same rows anew (table 4), else 0."""
    runs = [run for cell in cells if cell for run in cell.runs]
    if len(runs) < 2 or not all(draws_its_data(run) and run.settings["model.name"] == "mlp" for run in runs):
        return 0.0
    data = runs[0].record["data"]
    return 0.0 if runs[0].settings["data.name"] == "rings" else data["test_count"] / data["train_count"]


def distinct(runs: Iterable[Evidence]) -> int:
    """How many runs there are; one that stands under two experiments, or at two scales that are the same, counts once."""
    contents = ([run.seed, run.record["test"], {**counted(run.settings), "scale": None}] for run in runs)
    return len({json.dumps(content, sort_keys=True) for content in contents})


def uncropped(all_settings: Iterable[Settings]) -> list[str]:
    """A remark, if none of these runs crops and flips its images although its data set does so by default."""
    plain = all(settings["data.name"] in CROPPED and not settings["data.augment"] for settings in all_settings)
    return ["no crops and flips"] if plain else []
