"""How many seeds tell a difference apart from the spread that was seen: per pair of cells that the evidence has."""

from __future__ import annotations

import statistics as plain_statistics
from collections.abc import Sequence
from dataclasses import dataclass

from mixup.ledger.cells import baseline_of, is_erm
from mixup.ledger.inference import Paired, paired_difference, seeds_needed
from mixup.ledger.paper import Experiment
from mixup.ledger.verdicts import Judged, erm_row
from mixup.pages.kinds import kinds
from mixup.pages.markdown import measure, row_name
from mixup.pages.tables import measures_of


@dataclass(frozen=True)
class Plan:
    """A difference to be told. std: over seeds, of paired differences. difference: the paper's, or None where it has none;
    both in percentage points. pairs: as many as std is from."""

    what: str
    std: float
    seen: float
    difference: float | None
    pairs: int

    def seeds(self, difference: float | None, power: float) -> int | None:
        """How many pairs tell that difference, or this one; None where there is none to tell."""
        wanted = difference or self.difference
        return seeds_needed(self.std, wanted, power) if wanted else None


def plans(judged: Judged) -> list[Plan]:
    """Of each claim that has two pairs or more, and of each other cell beside its ERM cell."""
    paper = judged.paper
    found = []
    for claim, pairs, _ in judged.claims:
        one = (claim.metric or "", claim.statistic or "")
        a, b = (paper.row(id or "") for id in (claim.better, claim.worse))
        numbers = [row.value(*one) for row in (a, b)]
        printed = [value.value for value in numbers if value and value.value is not None]
        what = f"{row_name(a, paper.rows)} against {row_name(b, paper.rows)}, {measure(*one)}"
        found += planned(what, pairs, printed[0] - printed[1] if len(printed) == 2 else None)
    return found + plans_apart(judged, paper)


def plans_apart(judged: Judged, paper: Experiment) -> list[Plan]:
    found = []
    for kind in kinds(judged.apart, measures_of(paper), (paper.metric or "", paper.statistic), paper):
        one = kind.headline
        for cell in kind.cells:
            erm = baseline_of(cell, kind.cells)
            if erm is None or not is_erm(erm.settings):
                continue
            row, _ = kind.rows.get(cell.first.name, (None, ""))
            beside = erm_row(row, paper.rows) if row else None
            values = [side.value(*one) if side else None for side in (row, beside)]
            printed = [value.value for value in values if value and value.value is not None]
            pairs = paired_difference(cell.values(*one), erm.values(*one))
            what = f"{kind.title}: {kind.name(cell)} against ERM, {measure(*one)}"
            found += planned(what, pairs, printed[0] - printed[1] if len(printed) == 2 else None)
    return found


def planned(what: str, pairs: Paired, difference: float | None) -> list[Plan]:
    """Nothing where one pair or none leaves no spread to plan by."""
    values: Sequence[float] = pairs.differences
    if len(values) < 2:
        return []
    return [Plan(what, plain_statistics.stdev(values), plain_statistics.fmean(values), difference, len(values))]
