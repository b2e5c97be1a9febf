"""The claims of the paper as differences: what ours are, with intervals, and whether they are clear."""

from dataclasses import dataclass
from typing import Literal

from mixup.ledger.entries import Group, Ledger
from mixup.ledger.inference import FEWEST_SEEDS, Interval
from mixup.ledger.metrics import Measure
from mixup.ledger.names import row_name
from mixup.ledger.paper import printed_difference

Clarity = Literal["clearly as claimed", "clearly opposite", "cannot tell"]
CLARITIES: tuple[Clarity, ...] = ("clearly as claimed", "clearly opposite", "cannot tell")


@dataclass(frozen=True)
class Effect:
    """One claim, "a is better than b", as a - b in the unit of the measure, turned so that below 0 is as claimed.

    what: `a < b`. paper: the difference of the printed numbers; None where there are none.
    ours: over pairs of seeds. group: of runs that are not comparable with the paper's."""

    experiment: str
    what: str
    measure: Measure
    paper: float | None
    ours: Interval
    group: Group | None

    @property
    def clarity(self) -> Clarity:
        return clarity_of(self.ours)

    @property
    def fitted(self) -> bool:
        """Whether it says something of the claim: under the paper's recipe, or of networks that fit what they train on."""
        return self.group is None or self.group.unfitted is None


def clarity_of(ours: Interval) -> Clarity:
    """By the 95 % interval, of three seeds or more, of what is below 0 if it is as claimed."""
    if ours.n >= FEWEST_SEEDS and ours.high is not None and ours.high < 0:
        return "clearly as claimed"
    if ours.n >= FEWEST_SEEDS and ours.low is not None and ours.low > 0:
        return "clearly opposite"
    return "cannot tell"


def effects(ledger: Ledger) -> list[Effect]:
    """What runs say of claims between two rows, in percent or not: first runs of the paper's own recipe and data."""
    found = []
    for claim in ledger.claims:
        if ours := claim.difference.interval:
            rows = ledger.papers[claim.experiment].rows
            names = [claim.group.names[cell.first.name] for cell in claim.cells] if claim.group else []
            what = versus(*(names or [row_name(row, rows) for row in claim.rows]))
            printed = printed_difference(*claim.rows, claim.measure)
            found.append(Effect(claim.experiment, what, claim.measure, printed, ours, claim.group))
    for entry in ledger.entries:
        if entry.claim and entry.direction and entry.direction.interval and entry.group:
            assert entry.row
            assert entry.cell
            assert entry.baseline
            names = [entry.group.names[cell.first.name] for cell in (entry.cell, entry.baseline)]
            what = versus(*(names if entry.row.id == entry.claim.better else reversed(names)))
            paper = ledger.papers[entry.experiment]
            better, worse = (paper.row(id) for id in (entry.claim.better, entry.claim.worse) if id)
            printed = printed_difference(better, worse, entry.claim.measure)
            found.append(Effect(entry.experiment, what, entry.measure, printed, entry.direction.interval, entry.group))
    return sorted(found, key=lambda one: one.group is not None)


def versus(a: str, b: str) -> str:
    """`WRN-10-2: mixup, alpha 1 < ERM`: what both have in common first."""
    parts, others = a.split(", "), b.split(", ")
    common = [part for part in parts if part in others]
    rest = [", ".join(part for part in one if part not in common) for one in (parts, others)]
    return ": ".join([*([", ".join(common)] if common else []), " < ".join(rest)])
