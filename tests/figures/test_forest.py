"""The picture of all claims: what it draws, leaves out and writes."""

import re

import pytest
from small_table import CPU, claim, ledger, runs, table

from mixup.figures.forest import LONGEST, forest_picture, label_of
from mixup.ledger.effects import Effect, effects
from mixup.ledger.inference import Interval
from mixup.ledger.metrics import LAST, Measure
from mixup.ledger.paper import PAPER, read_paper

PAPERS = read_paper(PAPER)


def effect(mean: float, paper: float | None, what: str = "mixup, alpha 1 < ERM", measure: Measure = LAST) -> Effect:
    ours = Interval(mean, mean - 0.5, mean + 0.5, 3, 0.95)
    return Effect("table2_label_noise", what, measure, paper, ours, None)


def drawn(*found: Effect) -> str:
    return forest_picture(found, PAPERS).svg()


def test_it_counts_what_it_draws_and_what_it_leaves_out():
    fitted = [*runs("erm", [50.5, 50.6, 50.7], CPU), *runs("mixup", [45.1, 45.2, 45.27], CPU)]
    unfitted = [*runs("erm", [50.5, 50.6, 50.7], CPU, missed=40.0), *runs("mixup", [45.1, 45.2, 45.27], CPU)]
    paper = table(claim("mixup", "erm"))
    found = [one for evidence in (fitted, unfitted) for one in effects(ledger(evidence, paper))]
    found.append(effect(0.1, 0.1, measure=Measure("between.gradient_norm_at_half", "last")))
    text = forest_picture(found, PAPERS).description
    assert "Of 1 there are 1 clearly as claimed, 0 clearly opposite, 0 cannot tell. 1 are of small runs" in text
    assert "Left out: 1 in other units, 1 of networks that do not fit" in text


@pytest.mark.parametrize(
    ("ours", "paper", "numbers"),
    [
        (-3.0, -4.0, []),
        (-59.0, -4.0, ["-59"]),
        (-3.0, -85.1, ["-85"]),
        (-59.0, -85.1, ["-59", "-85"]),
        (20.0, -85.1, ["+20", "-85"]),
    ],
)
def test_what_lies_out_of_reach_has_its_number(ours, paper, numbers):
    found = re.findall(r">\s*([+-]\d\d)\s*<", drawn(effect(ours, paper)).replace("\u2212", "-"))
    assert set(found) - {"-10", "-15"} == set(numbers), "but for those of the axis"


def test_labels_that_are_too_long_stay_distinct():
    rows = [f"weight decay 0.0001: mixup, AC + RP < mix labels and latent representations, layer {n}" for n in range(1, 6)]
    labels = [label_of(effect(0.0, None, row), PAPERS) for row in rows]
    assert len(set(labels)) == 5
    assert all("…" in label and len(label) <= LONGEST for label in labels)
