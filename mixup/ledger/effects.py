"""The claims of the paper as differences: what ours are, with intervals, and whether they are clear."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mixup.ledger.entries import Group, Ledger
from mixup.ledger.inference import FEWEST_SEEDS, Interval
from mixup.ledger.metrics import Measure
from mixup.ledger.names import row_name

Clarity = Literal["clearly as claimed", "clearly opposite", "cannot tell"]
CLARITIES: tuple[Clarity, ...] = ("clearly as claimed", "clearly opposite", "cannot tell")


@dataclass(frozen=True)
class Effect:
    """One claim, "a is better than b", as a - b in the unit of the measure, turned so that below 0 is as claimed.

    claim: in the paper's words. what: a and b, as `mixup, alpha 8, against ERM`. paper: the paper's own difference; None where
    it prints none. ours: over pairs of seeds. group: of runs that are not comparable with the paper's."""

    experiment: str
    claim: str
    what: str
    measure: Measure
    paper: float | None
    ours: Interval
    group: Group | None

    @property
    def clarity(self) -> Clarity:
        """By the 95 % interval, of three seeds or more."""
        if self.ours.n >= FEWEST_SEEDS and self.ours.high is not None and self.ours.high < 0:
            return "clearly as claimed"
        if self.ours.n >= FEWEST_SEEDS and self.ours.low is not None and self.ours.low > 0:
            return "clearly opposite"
        return "cannot tell"
