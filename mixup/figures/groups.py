"""Which runs belong together: seeds of one cell, and cells that may stand in one panel, with their names for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixup.ledger.cells import uncropped
from mixup.ledger.evidence import Evidence
from mixup.ledger.names import PAPER, system
from mixup.ledger.names import net as net_name
from mixup.run.config import schema_defaults
from mixup.run.identity import NOT_HASHED

DEFAULTS = dict(schema_defaults())
IMPLIED = ("optim.milestones", "optim.warmup_epochs")  # differ where something with a name of its own does
Settings = Mapping[str, Any]  # a configuration by dotted key


@dataclass(frozen=True)
class Cell:
    """Runs that differ in their seed alone, in its order. family: the method without the numbers of its settings."""

    runs: tuple[Evidence, ...]
    method: str
    family: str

    @property
    def record(self) -> Mapping[str, Any]:
        return self.runs[0].record

    @property
    def settings(self) -> Settings:
        return self.runs[0].settings

    @property
    def alpha(self) -> float:
        return self.record["alpha"]

    def errors(self, statistic: str, split: str = "test") -> np.ndarray:
        """(seeds,) top-1 errors in percent."""
        return np.array([run.record[split]["top1_error"][statistic] for run in self.runs])

    def column(self, name: str) -> np.ndarray:
        """(seeds, epochs) of the curves, as many epochs as all seeds have; not a number where a curve has no value."""
        columns = [run.curve.get(name, []) for run in self.runs]
        length = min(map(len, columns))
        return np.array([[np.nan if value is None else value for value in column[:length]] for column in columns], float)

    def measured(self, name: str) -> list[Mapping[str, Any]]:
        """One evaluation of each run that has it."""
        return [run.evaluations[name] for run in self.runs if name in run.evaluations]


@dataclass(frozen=True)
class Setting:
    """Cells of one data set and net that differ in the method alone. more: what else sets them apart from the experiment's
    other cells, such as the label noise."""

    provenance: str
    net: str
    more: tuple[str, ...]
    cells: tuple[Cell, ...]

    @property
    def title(self) -> str:
        return ", ".join([self.provenance, self.net, *self.more])


@dataclass(frozen=True)
class Sheet:
    """All classifiers of an experiment at one scale."""

    experiment: str
    scale: str
    settings: tuple[Setting, ...]

    @property
    def cells(self) -> list[Cell]:
        return [cell for setting in self.settings for cell in setting.cells]

    def apart(self, setting: Setting) -> list[str]:
        """What tells one of the settings from the others."""
        words = [setting.provenance] if len({one.provenance for one in self.settings}) > 1 else []
        words += [setting.net] if len({one.net for one in self.settings}) > 1 else []
        return [*words, *setting.more]

    def having(self, evaluation: str) -> Sheet:
        """Only the runs of which this was measured."""
        kept = []
        for setting in self.settings:
            runs = [(c, tuple(run for run in c.runs if evaluation in run.evaluations)) for c in setting.cells]
            cells = tuple(Cell(found, cell.method, cell.family) for cell, found in runs if found)
            kept += [Setting(setting.provenance, setting.net, setting.more, cells)] if cells else []
        return Sheet(self.experiment, self.scale, tuple(kept))


def sheets(evidence: Sequence[Evidence]) -> list[Sheet]:
    """Classifiers by experiment and scale, in the order of the names; cells in that of alpha and of what is added to it."""
    found: dict[tuple[str, str], list[Evidence]] = {}
    for run in evidence:
        if not run.is_gan:
            found.setdefault(experiment_of(run), []).append(run)
    return [Sheet(*key, settings_of(runs, by_system=key[0] == "semantics")) for key, runs in sorted(found.items())]


def experiment_of(run: Evidence) -> tuple[str, str]:
    """The experiment, and its scale: the name of a smaller one ends in it."""
    scale = run.record["config"]["scale"]
    return run.record["name"].removesuffix(f"-{scale}"), scale


def settings_of(runs: Sequence[Evidence], *, by_system: bool) -> tuple[Setting, ...]:
    """Runs of one experiment and scale by data set and net, and by whatever else varies there but the method. by_system:
    whether methods go by the names of whose they are."""
    places: dict[tuple[str, str], list[Evidence]] = {}
    for run in runs:
        places.setdefault((run.record["data"]["provenance"], net_name(run.settings)), []).append(run)
    settings = []
    for (provenance, net), there in places.items():
        more: dict[tuple[str, ...], list[Evidence]] = {}
        differ = varying([run.settings for run in there])
        for run in there:
            more.setdefault(circumstances(run.settings, differ), []).append(run)
        for words, same in more.items():
            cells = cells_of(same, dropout="model.dropout" in differ)
            settings.append(Setting(provenance, net, words, tuple(map(named_by_system, cells)) if by_system else cells))
    return tuple(sorted(settings, key=lambda one: (one.provenance, one.net, one.more)))


def cells_of(runs: Sequence[Evidence], *, dropout: bool) -> tuple[Cell, ...]:
    """dropout: whether it is part of the method, and not of the net."""
    groups: dict[tuple[Any, ...], list[Evidence]] = {}
    for run in runs:
        groups.setdefault(settled(run.settings), []).append(run)
    cells = []
    for same in groups.values():
        words = method_words(same[0].settings, dropout=dropout)
        ordered = tuple(sorted(same, key=lambda run: run.record["seed"]))
        family = " + ".join(kind for kind, _ in words)
        cells.append(Cell(ordered, " + ".join(f"{kind} {value}".strip() for kind, value in words), family))
    return tuple(sorted(cells, key=lambda c: (len(c.family.split(" + ")), c.family != "ERM", c.family, c.alpha, c.method)))


def named_by_system(cell: Cell) -> Cell:
    name = system(cell.settings) or cell.method
    return replace(cell, method=name, family="mixup" if name == PAPER else name)


def settled(settings: Settings) -> tuple[Any, ...]:
    """What can change the numbers but seeds: equal for runs of one cell, also where the split of the data is the seed's."""
    return tuple(sorted((key, str(value)) for key, value in telling(settings).items()))


def telling(settings: Settings) -> dict[str, Any]:
    return {
        key: value
        for key, value in settings.items()
        if key not in (*NOT_HASHED, "evaluate") and key.split(".")[-1] != "seed"
    }


def varying(all_settings: Sequence[Settings]) -> set[str]:
    """The keys in which they differ."""
    first, *others = [telling(settings) for settings in all_settings]
    return {key for key in first if any(other[key] != first[key] for other in others)}


# -- names ---------------------------------------------------------------------------------------------------------------


def circumstances(settings: Settings, differ: set[str]) -> tuple[str, ...]:
    """What a panel's title says besides data set and net."""
    noise = settings["data.label_noise"]
    words = [f"{noise:.0%} of labels replaced".replace("%", " %")] if noise or "data.label_noise" in differ else []
    for key in sorted(differ - {"data.label_noise", "model.dropout", *IMPLIED}):
        if not key.startswith("mixup."):
            name = {"optim.weight_decay": "weight decay", "trainer.epochs": "epochs"}.get(key, key)
            words.append(f"{name} {settings[key]}")
    return tuple(words)


WORDS = {  # of the settings in `mixup` that differ from their default: what it is, and its value
    "lam_per": ("λ per", "{}"),
    "ways": ("mixtures of", "{}"),
    "partner": ("partner", "{}"),
    "within_class": ("same class", ""),
    "fold": ("folded λ", ""),
    "targets": ("inputs only", ""),
    "layer": ("at layer", "{}"),
    "label_smoothing": ("smoothing", "{:g}"),
    "noise": ("noise", "{:g}"),
}


def method_words(settings: Settings, *, dropout: bool) -> list[tuple[str, str]]:
    """ERM or mixup, and what is added to it: `[("mixup", "α=8"), ("dropout", "0.5")]`."""
    words = [("mixup", f"α={settings['mixup.alpha']:g}") if settings["mixup.alpha"] else ("ERM", "")]
    if dropout and settings["model.dropout"]:
        words.append(("dropout", f"{settings['model.dropout']:g}"))
    for key, (what, form) in WORDS.items():
        value = settings[f"mixup.{key}"]
        if value != DEFAULTS[f"mixup.{key}"]:
            words.append((what, form.format(value)))
    return words


def caption(sheet: Sheet) -> str:
    """What every figure says below: data and its provenance, net, scale, how many seeds."""
    first = sheet.settings[0]
    sizes = {cell.record["data"]["train_count"] for cell in sheet.cells}
    examples = f", {min(sizes):,} training examples" if len(sizes) == 1 else ""
    one = len({setting.provenance for setting in sheet.settings}) == 1
    data = (first.provenance + examples) if one else "data as named"
    nets = list(dict.fromkeys(setting.net for setting in sheet.settings))
    plain = uncropped(cell.settings for cell in sheet.cells)
    words = [data[0].upper() + data[1:], *plain, *(nets if len(nets) == 1 else [])]
    return "; ".join([*words, f"{sheet.scale} scale, {seeds(sheet.cells)}"])


def seeds(cells: Sequence[Cell]) -> str:
    """`n=3`, or `n=2 to 3`."""
    counts = [len(cell.runs) for cell in cells]
    return f"n={min(counts)}" + (f" to {max(counts)}" if max(counts) > min(counts) else "")
