"""How many seeds it takes to tell a difference from chance, given the spread that the evidence shows."""

import bisect
import math
import statistics
from dataclasses import dataclass

from scipy import stats

from mixup.errors import UserError
from mixup.ledger.cells import is_erm
from mixup.ledger.comparable import erm_row
from mixup.ledger.entries import Ledger
from mixup.ledger.inference import FEWEST_SEEDS, LEVEL, Paired
from mixup.ledger.names import row_name
from mixup.ledger.paper import printed_difference


@dataclass(frozen=True)
class Plan:
    """A difference to be shown. pairs: the runs so far. difference: the paper's, in percentage points; None without one."""

    what: str
    pairs: Paired
    difference: float | None

    def answer(self, difference: float | None, power: float) -> str:
        """How many pairs show this difference, or else the paper's. UserError where no number does."""
        target, std = difference or self.difference, statistics.stdev(self.pairs.differences)
        seen = f"seen {statistics.fmean(self.pairs.differences):+.2f}, std {std:.2f} over {len(self.pairs.seeds)} pairs"
        if not target:
            return f"{self.what}: {seen}; the paper has no difference: give --difference"
        return f"{self.what}: {seen}; {seeds_needed(std, target, power)} seeds tell {abs(target):.2f}"


def plans(ledger: Ledger) -> list[Plan]:
    """A plan for each claim, and for each cell that is compared with an ERM cell but not with the paper. Two cells with less
    than two seeds in common show no spread, and have no plan. ledger: of one experiment."""
    (paper,), found = ledger.papers.values(), list[Plan]()
    for claim in ledger.claims:
        if claim.group is None:
            better, worse = (row_name(row, paper.rows) for row in claim.rows)
            what = f"{better} against {worse}, {claim.measure.title}"
            found.append(Plan(what, claim.difference, printed_difference(*claim.rows, claim.measure)))
    for entry in ledger.entries:
        group, measure = entry.group, entry.measure
        if group and entry.cell and entry.difference and entry.baseline and measure == group.headline:
            what = f"{group.title}: {group.names[entry.cell.first.name]} against ERM, {measure.title}"
            if is_erm(entry.baseline.settings):
                printed = printed_difference(entry.row, erm_row(entry.row, paper.rows), measure)
                found.append(Plan(what, entry.difference, printed))
    return [plan for plan in found if len(plan.pairs.seeds) > 1]


def power_of(n: int, std: float, difference: float) -> float:
    """The chance that the t interval of n pairs proves a true difference, from the noncentral t distribution."""
    return float(stats.nct.sf(stats.t.ppf((1 + LEVEL) / 2, n - 1), n - 1, abs(difference) / std * math.sqrt(n)))


def seeds_needed(std: float, difference: float, power: float = 0.8) -> int:
    """The fewest pairs of runs, FEWEST_SEEDS or more, that prove a true difference with this chance.

    std: of the paired differences over seeds, in percentage points like `difference`. UserError where no number does."""
    if not (0 <= std < math.inf and abs(difference) > 0 and 0 < power < 1):
        raise UserError(f"std={std}, difference={difference}, power={power}: no number of seeds would do")
    n = FEWEST_SEEDS
    if std == 0:
        return n
    while power_of(n, std, difference) < power:
        n *= 2
    return bisect.bisect_left(range(n), power, lo=FEWEST_SEEDS, key=lambda n: power_of(n, std, difference))
