"""The ledger: every number of the paper and of ours as a flat list of entries. Pages and counts are made from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mixup.ledger.cells import Cell, distinct, is_erm
from mixup.ledger.inference import Paired, Verdict, Word
from mixup.ledger.metrics import Measure
from mixup.ledger.paper import Claim, Experiment, Row, Value

JUDGED: tuple[Word, ...] = ("reproduced", "direction holds", "not reproduced", "undecided")
WORDS: tuple[Word, ...] = (*JUDGED, "recipe not stated", "too few seeds", "not run")
MOST_MEASURES = 5  # that a line of a table has room for
FITTED = 1.0  # percent of its training examples that ERM may miss in the end: the paper's networks miss hardly any


@dataclass(frozen=True)
class Group:
    """Cells of one experiment on the same data at one scale, not comparable with the paper's numbers.

    headline: what cells are compared by, if a line of a table has room for all measures. rows: by cell, the row of the paper
    that it resembles, and how it differs from that. columns: what tells cells apart: title -> text by cell. names: a phrase
    by cell. A cell's key in these is the name of its first run."""

    title: str
    experiment: str
    cells: tuple[Cell, ...]
    measures: tuple[Measure, ...]
    headline: Measure
    rows: Mapping[str, tuple[Row, str]]
    columns: Mapping[str, Mapping[str, str]]
    names: Mapping[str, str]

    @property
    def wide(self) -> bool:
        """Whether a table has a line a cell; else it has a line a cell and measure."""
        return len(self.measures) <= MOST_MEASURES

    @property
    def compared(self) -> tuple[Measure, ...]:
        """The measures in which cells are compared with their baseline."""
        return (self.headline,) if self.wide else self.measures

    @property
    def unfitted(self) -> tuple[float, float] | None:
        return unfitted(self.cells)

    def row(self, cell: Cell) -> tuple[Row | None, str]:
        return self.rows.get(cell.first.name, (None, ""))


@dataclass(frozen=True)
class Entry:
    """A number of the paper, of ours, or both. ours: by seed. difference: ours minus the baseline's. group: None for the
    paper's numbers. remark: how the paper's row differs from the cell. claim: what the paper claims of this row and ERM's.
    direction: the cell that the claim says is lower, minus the higher one. planned: the seeds that the grid has of the
    cell; none of a cell that is not in it."""

    experiment: str
    measure: Measure
    row: Row | None
    paper: Value | None
    cell: Cell | None
    ours: Mapping[int, float]
    difference: Paired | None
    verdict: Verdict
    group: Group | None = None
    remark: str = ""
    baseline: Cell | None = None
    claim: Claim | None = None
    direction: Paired | None = None
    planned: frozenset[int] = frozenset()


@dataclass(frozen=True)
class ClaimEntry:
    """A claim that the first of two rows has the lower number. difference: the first row's numbers minus the second's.
    group, cells: of a claim about runs that are not comparable, which has no verdict."""

    experiment: str
    claim: Claim
    measure: Measure
    rows: tuple[Row, Row]
    difference: Paired
    verdict: Verdict | None
    group: Group | None = None
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Ledger:
    """papers: the experiments of the paper by name. entries, claims: of all experiments, in the order of their pages."""

    papers: Mapping[str, Experiment]
    entries: tuple[Entry, ...] = ()
    claims: tuple[ClaimEntry, ...] = ()

    @property
    def experiments(self) -> list[str]:
        return list(dict.fromkeys([*self.papers, *(entry.experiment for entry in self.entries)]))

    def of(self, experiment: str) -> Ledger:
        """One experiment's part."""
        papers = {name: paper for name, paper in self.papers.items() if name == experiment}
        entries = tuple(entry for entry in self.entries if entry.experiment == experiment)
        return Ledger(papers, entries, tuple(claim for claim in self.claims if claim.experiment == experiment))

    @property
    def numbers(self) -> list[Entry]:
        """The entries of the numbers that the paper prints."""
        return [entry for entry in self.entries if entry.group is None]

    @property
    def counts(self) -> Counter[Word]:
        """How many of the paper's numbers have each verdict."""
        return Counter(entry.verdict.word for entry in self.numbers)

    @property
    def judged(self) -> int:
        return sum(self.counts[word] for word in JUDGED)

    @property
    def sources(self) -> Counter[str]:
        """How many of the paper's numbers are seen in a source, digitised from a curve, or from memory."""
        return Counter(source_of(entry) for entry in self.numbers)

    @property
    def groups(self) -> list[Group]:
        return list({id(entry.group): entry.group for entry in self.entries if entry.group}.values())

    @property
    def cells(self) -> list[Cell]:
        return list({entry.cell.first.name: entry.cell for entry in self.entries if entry.cell}.values())

    @property
    def unprinted(self) -> int:
        """Different runs at the paper's scale of figures for which it prints no number."""
        names = [name for name, paper in self.papers.items() if not paper.rows]
        groups = [group for group in self.groups if group.experiment in names]
        return runs_in(group for group in groups if group.cells[0].settings["scale"] == "paper")

    @property
    def small(self) -> int:
        """Different runs that cannot stand beside numbers of the paper and are not `unprinted`, of networks that fit."""
        fitted = [group for group in self.groups if group.experiment in self.papers and group.unfitted is None]
        return runs_in(fitted) - self.unprinted

    @property
    def unfitted(self) -> int:
        """Different runs of networks that have not fitted what they trained on."""
        return runs_in(group for group in self.groups if group.unfitted is not None)

    def with_runs(self) -> Ledger:
        """The ledger without the paper's numbers and claims for which there are no runs."""
        entries = tuple(entry for entry in self.entries if entry.ours or entry.group)
        return replace(self, entries=entries, claims=tuple(claim for claim in self.claims if claim.difference.seeds))


def unfitted(cells: Iterable[Cell]) -> tuple[float, float] | None:
    """The lowest and the highest training error above `FITTED` with which ERM of networks that were made smaller ends, or
    without ERM any method: such runs test the machinery and say nothing of the paper's claims. None where all fit."""
    small = [cell for cell in cells if cell.settings["scale"] != "paper" and cell.settings["model.name"] != "mlp"]
    columns = [cell.column("train_eval_top1_error") for cell in [c for c in small if is_erm(c.settings)] or small]
    errors = [float(np.nanmean(column[:, -1])) for column in columns if column.size]
    above = [error for error in errors if error > FITTED]
    return (min(above), max(above)) if above else None


def runs_in(groups: Iterable[Group]) -> int:
    return distinct(run for group in groups for cell in group.cells for run in cell.runs)


def source_of(entry: Entry) -> str:
    """Where a number of the paper was read."""
    assert entry.row is not None
    assert entry.paper is not None
    if not entry.paper.verified:
        return "from memory"
    if not entry.row.settings_verified:
        return "seen, with settings from memory"
    return "digitised from curves" if entry.paper.tags == ["FIG"] else "seen in a source"
