"""Evidence as cells: runs that differ in the seed alone, what each measured, and the ERM cell that it is paired with."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixup.errors import UserError
from mixup.ledger.evidence import Evidence
from mixup.run import identity as naming

SEEDS = ("seed", "data.seed")
IGNORED = (*naming.NOT_HASHED, *SEEDS)
LONGEST_LABEL = 120  # of `naming.run_label`, which cuts longer ones
EPSILON = 4.0  # of table 3
OWN_DROPOUT = {"speech_lenet": 0.5}  # of nets that always have it, as configs/model has it


@dataclass(frozen=True)
class Cell:
    """runs: by rising seed. Where each seed has drawn its own data (table 4), the pairs of runs share that, too."""

    runs: tuple[Evidence, ...]

    @property
    def first(self) -> Evidence:
        return self.runs[0]

    @property
    def settings(self) -> dict[str, Any]:
        return self.first.settings

    @property
    def provenance(self) -> str:
        return self.first.record["data"]["provenance"]

    @property
    def seconds(self) -> float:
        """The mean of a run's training time."""
        return statistics.fmean(run.record["train_seconds"] for run in self.runs)

    @property
    def devices(self) -> list[str]:
        return sorted({device_of(run) for run in self.runs})

    def values(self, metric: str, statistic: str) -> dict[int, float]:
        """By seed, of the runs that have one."""
        found = {run.seed: value_of(run, metric, statistic) for run in self.runs}
        return {seed: value for seed, value in found.items() if value is not None}


def device_of(run: Evidence) -> str:
    """`8 x NVIDIA H100, bfloat16`."""
    count, precision = run.record.get("world_size", 1), run.settings.get("trainer.precision", "float32")
    device = run.record["device"] if count == 1 else f"{count} x {run.record['device']}"
    return device if precision == "float32" else f"{device}, {precision}"


# -- cells ---------------------------------------------------------------------------------------------------------------


def cells_of(runs: Iterable[Evidence]) -> list[Cell]:
    """In order of first appearance. UserError where runs that should be of one cell are not: see `check_alike`."""
    groups: dict[str, list[Evidence]] = {}
    for run in runs:
        groups.setdefault(key_of(run), []).append(run)
    found: list[Cell] = []
    for group in groups.values():
        if all(draws_its_data(run) for run in group):
            found.append(Cell(tuple(sorted(group, key=lambda run: run.seed))))
        else:
            for seed in sorted({run.settings.get("data.seed", 0) for run in group}):
                alike = [run for run in group if run.settings.get("data.seed", 0) == seed]
                found.append(Cell(tuple(sorted(alike, key=lambda run: run.seed))))
    check_alike(found)
    return found


def key_of(run: Evidence) -> str:
    """Experiment, data and all settings but the seeds."""
    kept = {key: value for key, value in run.settings.items() if key not in IGNORED}
    return json.dumps([run.file.parent.name, run.record["data"]["provenance"], kept], sort_keys=True)


def draws_its_data(run: Evidence) -> bool:
    """Whether `data.seed` follows the seed, as far as one run can tell."""
    return run.settings.get("data.seed", 0) == run.seed


def check_alike(cells: Sequence[Cell]) -> None:
    """UserError for two recipes under one label, and for a cell with two runs of a seed or with two data sets."""
    by_label: dict[tuple[Any, ...], Cell] = {}
    for cell in cells:
        for before, after in zip(cell.runs, cell.runs[1:]):
            if before.seed == after.seed:
                raise UserError(f"{before.name} and {after.name} are two runs of one seed: remove one")
            data = [run.record["data"].get("fingerprint") for run in (before, after)]
            if data[0] != data[1] and before.settings.get("data.seed") == after.settings.get("data.seed"):
                raise UserError(f"{before.name} and {after.name} were trained on different data, both {cell.provenance}")
        if len(cell.first.record["label"]) < LONGEST_LABEL:
            place = (cell.first.file.parent.name, cell.provenance, cell.settings.get("scale"), label_of(cell.first))
            if place in by_label:
                raise UserError(difference(by_label[place].first, cell.first))
            by_label[place] = cell


def label_of(run: Evidence) -> str:
    """The run's label without its seed."""
    seeds = [f"seed={run.seed}", *([f"data.seed={run.seed}"] if draws_its_data(run) else [])]
    return ",".join(part for part in run.record["label"].split(",") if part not in seeds)


def difference(a: Evidence, b: Evidence) -> str:
    """What tells two runs apart that stand for one cell."""
    for key in sorted(a.settings.keys() | b.settings.keys()):
        if key not in IGNORED and a.settings.get(key) != b.settings.get(key):
            return (
                f"{a.name} and {b.name} stand for one cell and differ in {key}: {a.settings.get(key)} and "
                f"{b.settings.get(key)}. A mean is of one recipe: remove those of the other"
            )
    return f"{a.name} and {b.name} stand for one cell and differ in data.seed: remove one"


def is_erm(settings: Mapping[str, Any]) -> bool:
    """Plain empirical risk minimisation: nothing of section 3.8, and no dropout but the net's own."""
    off = ("mixup.alpha", "mixup.label_smoothing", "mixup.noise")
    dropout = settings.get("model.dropout") or 0.0
    return dropout in (0.0, OWN_DROPOUT.get(settings["model.name"])) and not any(settings.get(key) for key in off)


def is_mixup(settings: dict[str, Any]) -> bool:
    """The paper's mixup and nothing besides, whatever its alpha."""
    usual = {
        "mixup.partner": "random",
        "mixup.within_class": False,
        "mixup.targets": "mixed",
        "mixup.layer": None,
        "mixup.ways": 2,
    }
    plain = is_erm({**settings, "mixup.alpha": 0}) and all(settings.get(key) == value for key, value in usual.items())
    return plain and settings["mixup.alpha"] > 0


def baseline_of(cell: Cell, cells: Iterable[Cell]) -> Cell | None:
    """The ERM cell that has all else of this one; without one, that of plain mixup. None for itself."""

    def rest(one: Cell) -> dict[str, Any]:
        kept = {key: value for key, value in one.settings.items() if key not in IGNORED and not key.startswith("mixup.")}
        kept.pop("model.dropout", None)
        return kept

    like = [one for one in cells if rest(one) == rest(cell)]
    alpha = cell.settings["mixup.alpha"]
    erm = [one for one in like if is_erm(one.settings)]
    found = erm or [one for one in like if is_mixup(one.settings) and one.settings["mixup.alpha"] == alpha]
    return next((one for one in found if cell not in found), None)


# -- numbers -------------------------------------------------------------------------------------------------------------


def value_of(run: Evidence, metric: str, statistic: str) -> float | None:
    """The run's number by the paper's name of it (`results/paper.yaml`); None where it has not measured it."""
    kind, _, name = metric.partition(".")
    if kind in ("white_box", "black_box"):
        return attacked(run.evaluations.get("attacks"), kind, *name.split("."))
    if kind == "between":
        return between(run.evaluations.get("between"), name)
    if kind == "card":
        return run.evaluations.get("card", {}).get("measures", {}).get(name)
    found = (run.record.get(kind) or {}).get(name)
    if not isinstance(found, dict):
        return found if statistic == "last" else None
    if statistic in found:
        return found[statistic]
    first, _, last = statistic.partition("_")[2].partition("_")
    epochs = zip(run.curve.get("epoch", []), run.curve.get(f"{kind}_{name}", []))
    values = [value for epoch, value in epochs if value is not None and int(first) <= (epoch or 0) <= int(last or first)]
    return statistics.fmean(values) if len(values) == int(last or first) - int(first) + 1 else None


def attacked(attacks: dict[str, Any] | None, box: str, attack: str, error: str) -> float | None:
    """Table 3's: at epsilon 4; of the black box the mean over the ERM nets that examples were made on."""
    found = [
        result[error]
        for result in (attacks or {}).get("results", [])
        if (result["attack"], result["eps"]) == (attack, EPSILON)
        and ((result["source"] == "self") if box == "white_box" else "alpha=0.0" in result["source"].split(","))
    ]
    return statistics.fmean(found) if found else None


def between(values: dict[str, Any] | None, name: str) -> float | None:
    """Figure 2's, such as `miss_at_half`."""
    if values is None:
        return None
    what, _, place = name.partition("_at_")
    return dict(zip(values["lam"], values[what]))[{"0": 0.0, "half": 0.5, "1": 1.0}[place]]
