"""How many seeds tell a difference apart from the spread that was seen: per pair of cells that the evidence has."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from mixup.ledger.cells import is_erm
from mixup.ledger.comparable import erm_row
from mixup.ledger.entries import Ledger
from mixup.ledger.inference import Paired, seeds_needed
from mixup.ledger.metrics import Measure
from mixup.ledger.names import row_name
from mixup.ledger.paper import Row


@dataclass(frozen=True)
class Plan:
    """A difference to be shown. std: over seeds, of paired differences. difference: the paper's, or None where it has none;
    both in percentage points. pairs: as many as std is from."""

    what: str
    std: float
    seen: float
    difference: float | None
    pairs: int

    def seeds(self, difference: float | None, power: float) -> int | None:
        """How many pairs show that difference, or this one; None where there is none to show."""
        target = difference or self.difference
        return seeds_needed(self.std, target, power) if target else None


def plans(ledger: Ledger) -> list[Plan]:
    """Of each claim that has two pairs or more, and of each cell that is not comparable beside its ERM cell. ledger: of one
    experiment."""
    (paper,), found = ledger.papers.values(), list[Plan]()
    for claim in ledger.claims:
        if claim.group is None:
            names = [row_name(row, paper.rows) for row in claim.rows]
            what = f"{names[0]} against {names[1]}, {claim.measure.title}"
            found += planned(what, claim.beside, printed_difference(*claim.rows, claim.measure))
    for entry in ledger.entries:
        group, cell = entry.group, entry.cell
        if (
            group
            and cell
            and entry.beside
            and entry.measure == group.headline
            and entry.baseline
            and is_erm(entry.baseline.settings)
        ):
            what = f"{group.title}: {group.names[cell.first.name]} against ERM, {entry.measure.title}"
            printed = printed_difference(entry.row, erm_row(entry.row, paper.rows), entry.measure)
            found += planned(what, entry.beside, printed)
    return found


def printed_difference(a: Row | None, b: Row | None, measure: Measure) -> float | None:
    values = [row.value(measure.metric, measure.statistic) if row else None for row in (a, b)]
    numbers = [value.value for value in values if value and value.value is not None]
    return numbers[0] - numbers[1] if len(numbers) == 2 else None


def planned(what: str, pairs: Paired, difference: float | None) -> list[Plan]:
    """Nothing where one pair or none leaves no spread to plan by."""
    values: Sequence[float] = pairs.differences
    if len(values) < 2:
        return []
    return [Plan(what, statistics.stdev(values), statistics.fmean(values), difference, len(values))]
