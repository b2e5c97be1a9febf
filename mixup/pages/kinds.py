"""Cells that cannot stand beside the paper's numbers, by kind: of the same data and the same scale."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from mixup.ledger.alike import corresponding
from mixup.ledger.cells import IGNORED, Cell
from mixup.ledger.nets import net_name
from mixup.ledger.paper import Experiment, Row
from mixup.ledger.verdicts import is_papers_data
from mixup.pages.markdown import MISSING, measure, row_name, shown, telling
from mixup.run.config import schema_defaults

COLUMNS = {
    "data.name": "data",
    "model.name": "net",
    "trainer.epochs": "epochs",
    "data.label_noise": "labels replaced",
    "optim.weight_decay": "weight decay",
    "mixup.alpha": "alpha",
    "model.dropout": "dropout",
    "mixup.partner": "partner",
    "mixup.within_class": "same class",
    "mixup.targets": "targets",
    "mixup.layer": "mixed at",
    "mixup.ways": "examples mixed",
    "mixup.label_smoothing": "smoothing",
    "mixup.noise": "noise on inputs",
    "mixup.lam_per": "lambda per",
    "mixup.fold": "folded",
}
CROPPED = ("cifar10", "cifar100", "imagenet", "tiny_imagenet")  # whose images are, unless asked otherwise
MOST_MEASURES = 5  # that a line has room for

USUAL = {"model.dropout": 0.0, **{key: value for key, value in schema_defaults() if key.startswith("mixup.")}}

Measure = tuple[str, str]  # metric and statistic


@dataclass(frozen=True)
class Kind:
    """Cells of the same data and scale. paper: None where it has nothing of the sort. headline: the measure that differences
    are of, where a line has several. called: a name of its own for each cell."""

    title: str
    cells: tuple[Cell, ...]
    measures: tuple[Measure, ...]
    headline: Measure
    paper: Experiment | None
    called: Callable[[Cell], str] | None

    @property
    def wide(self) -> bool:
        """A line a cell; else a line a cell and measure."""
        return len(self.measures) <= MOST_MEASURES

    @property
    def paired_measures(self) -> tuple[Measure, ...]:
        return (self.headline,) if self.wide else self.measures

    @cached_property
    def keys(self) -> list[str]:
        return telling_keys(self.cells)

    @cached_property
    def rows(self) -> dict[str, tuple[Row, str]]:
        return corresponding({cell.first.name: cell.settings for cell in self.cells}, self.paper.rows if self.paper else ())

    @property
    def caption(self) -> str:
        """What all of its cells have in common."""
        counts = [
            {f"{cell.first.record['data'].get(f'{part}_count', 0):,} {name} examples" for cell in self.cells}
            for part, name in (("train", "training"), ("test", "test"))
        ]
        nets = {net_name(cell.settings) for cell in self.cells}
        epochs = {f"{cell.settings['trainer.epochs']} epochs" for cell in self.cells}
        common = ", ".join(one.pop() for one in (nets, *counts, epochs) if len(one) == 1) + self.asides
        several = f" Difference and p are of: {measure(*self.headline)}." if self.wide and len(self.measures) > 1 else ""
        return f"{common[:1].upper()}{common[1:]}.{several}"

    @property
    def asides(self) -> str:
        """What one would not expect of the training, and no column says."""
        near = {cell.settings["mixup.neighbours"] for cell in self.cells if cell.settings["mixup.partner"] == "nearest"}
        words = uncropped(cell.settings for cell in self.cells)
        words += [f"a near partner is one of the {count} nearest" for count in sorted(near)]
        return "".join(f"; {one}" for one in words)

    @cached_property
    def named_by_rows(self) -> bool:
        """Whether cells go by the names of the paper's rows: each has one of its own, whose name says the method."""
        rows = self.paper.rows if self.paper else ()
        found = [self.rows[cell.first.name] for cell in self.cells if cell.first.name in self.rows]
        each = len({row.id for row, remark in found if not remark}) == len(self.cells)
        return bool(rows) and each and "method" not in telling(rows)

    @property
    def columns(self) -> dict[str, Callable[[Cell], str]]:
        """What a cell is called, by title."""
        if self.named_by_rows:
            return {"row": self.name}
        own = {"system": self.called} if self.called else {}
        return {**own, **{title(key): partial(setting, key) for key in self.keys}}

    def name(self, cell: Cell) -> str:
        """A cell in one phrase: its row in the paper, or what of its settings is not the usual."""
        if self.named_by_rows and self.paper:
            return row_name(self.rows[cell.first.name][0], self.paper.rows)
        told = [key for key in self.keys if cell.settings[key] != USUAL.get(key, MISSING)]
        return ", ".join(f"{title(key)} {setting(key, cell)}" for key in told)


def kinds(
    cells: Iterable[Cell],
    measures: Sequence[Measure],
    headline: Measure,
    paper: Experiment | None = None,
    called: Callable[[Cell], str] | None = None,
) -> list[Kind]:
    """By data and scale, in the order of their titles."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(kind_of(cell, paper), []).append(cell)
    found = []
    for name, group in sorted(groups.items()):
        keys = telling_keys(group)
        group.sort(key=lambda cell: [order(cell.settings[key]) for key in keys])
        measured = tuple(one for one in measures if any(cell.values(*one) for cell in group))
        paired_one = headline if headline in measured else (*measured, headline)[0]
        kind = Kind(name, tuple(group), measured, paired_one, paper, called)
        if kind.named_by_rows and paper:
            places = [row.id for row in paper.rows]
            group.sort(key=lambda cell: places.index(kind.rows[cell.first.name][0].id))
            kind = replace(kind, cells=tuple(group))
        found.append(kind)
    return found


def kind_of(cell: Cell, paper: Experiment | None) -> str:
    """The title that cells of one kind share."""
    data, scale = cell.first.record["data"], cell.settings["scale"]
    lacks = any((data.get("absent") or {}).values()) or any((data.get("unreadable") or {}).values())
    own = scale == "paper" and paper is not None and any(is_papers_data(row.data, data) for row in paper.rows)
    marks = {"files missing": lacks, f"{scale} scale": scale != "paper", "another recipe": own}
    return ", ".join([cell.provenance, *(mark for mark, there in marks.items() if there)])


def uncropped(all_settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """A remark, where none of these images is cropped and flipped that usually would be."""
    plain = all(settings["data.name"] in CROPPED and not settings["data.augment"] for settings in all_settings)
    return ["no crops and flips"] if plain else []


# -- what tells cells apart ----------------------------------------------------------------------------------------------


def setting(key: str, cell: Cell) -> str:
    return net_name(cell.settings) if key == "model.name" else shown(key, cell.settings[key])


def title(key: str) -> str:
    return COLUMNS.get(key, key.rpartition(".")[2].replace("_", " "))


def telling_keys(cells: Sequence[Cell]) -> list[str]:
    """The method's settings that vary, and as many others as it takes to tell every cell apart."""
    keys = [key for key in [*COLUMNS, *sorted(cells[0].settings)] if key in cells[0].settings and key not in IGNORED]
    found: list[str] = []
    for key in dict.fromkeys(keys):
        seen = {tuple(str(cell.settings[one]) for one in found) for cell in cells}
        more = {tuple(str(cell.settings[one]) for one in [*found, key]) for cell in cells}
        varies = len({str(cell.settings[key]) for cell in cells}) > 1
        if len(more) > len(seen) or (key in COLUMNS and varies):
            found.append(key)
    return found


def order(value: Any) -> tuple[bool, float, str]:
    """Sorts numbers as numbers, None first."""
    number = isinstance(value, int | float)
    return value is not None, float(value) if number else 0.0, "" if number else str(value)
