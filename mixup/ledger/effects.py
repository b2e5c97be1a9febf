"""The claims of the paper as differences: what ours are, with intervals, and whether they are clear."""

from dataclasses import dataclass
from typing import Literal

from mixup.ledger.entries import Group, Ledger
from mixup.ledger.inference import FEWEST_SEEDS, Interval
from mixup.ledger.metrics import Measure
from mixup.ledger.names import row_name
from mixup.ledger.paper import Claim, Experiment

Clarity = Literal["clearly as claimed", "clearly opposite", "cannot tell"]
CLARITIES: tuple[Clarity, ...] = ("clearly as claimed", "clearly opposite", "cannot tell")


@dataclass(frozen=True)
class Effect:
    """One claim, "a is better than b", as a - b in the unit of the measure, turned so that below 0 is as claimed.

    what: `a < b`. paper: the difference of the printed numbers; None where there are none.
    ours: over pairs of seeds. group: of runs that are not comparable with the paper's."""

    experiment: str
    claim: str
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
    found: list[Effect] = []
    others: list[Effect] = []
    for claim in ledger.claims:
        paper, ours = ledger.papers[claim.experiment], claim.difference.interval
        if ours is None:
            continue
        if claim.group:
            lower, higher = (claim.group.names[cell.first.name] for cell in claim.cells)
        else:
            lower, higher = (row_name(row, paper.rows) for row in claim.rows)
        effect = Effect(
            claim.experiment,
            claim.claim.text,
            versus(lower, higher),
            claim.measure,
            printed_difference(claim.claim, paper),
            ours,
            claim.group,
        )
        (others if claim.group else found).append(effect)
    for entry in ledger.entries:
        if not (entry.claim and entry.direction and entry.direction.interval and entry.group):
            continue
        assert entry.row is not None
        assert entry.cell is not None
        assert entry.baseline is not None
        cells = [entry.cell, entry.baseline] if entry.row.id == entry.claim.better else [entry.baseline, entry.cell]
        effect = Effect(
            entry.experiment,
            entry.claim.text,
            versus(*(entry.group.names[cell.first.name] for cell in cells)),
            entry.measure,
            printed_difference(entry.claim, ledger.papers[entry.experiment]),
            entry.direction.interval,
            entry.group,
        )
        others.append(effect)
    return found + others


def versus(a: str, b: str) -> str:
    """`WRN-10-2: mixup, alpha 1 < ERM`: what both have in common first."""
    parts, others = a.split(", "), b.split(", ")
    common = [part for part in parts if part in others]
    rest = [", ".join(part for part in one if part not in common) for one in (parts, others)]
    return ": ".join([*([", ".join(common)] if common else []), " < ".join(rest)])


def printed_difference(claim: Claim, paper: Experiment) -> float | None:
    """The better row's printed number minus the worse one's; None where one is a range."""
    if claim.better is None or claim.worse is None:
        return None
    values = [paper.row(id).value(claim.measure.metric, claim.measure.statistic) for id in (claim.better, claim.worse)]
    better, worse = (value.value if value else None for value in values)
    return None if better is None or worse is None else better - worse
