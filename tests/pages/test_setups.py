"""The page on the set-ups behind table 4: counted from the set-ups, by hand here."""

from pathlib import Path

import matplotlib
import pytest

from mixup.figures.setups import setup_pictures
from mixup.figures.style import STYLE
from mixup.ledger.paper import read_paper
from mixup.ledger.setups import Setup
from mixup.pages.build import render
from mixup.pages.setups import page_values, words

PAPER = read_paper(Path(__file__).resolve().parents[2] / "results" / "paper.yaml")["table4_uci"]
PRINTED = {"abalone": 74.0, "arcene": 57.6, "arrhythmia": 56.6, "htru2": 2.0, "iris_uci": 21.3, "phishing": 16.3}
RAW, SCALED = ("raw", "0.5", "random", "true", ""), ("min-max", "0.1", "file_order", "false", "glorot")


def around(mean: float) -> dict[int, float]:
    return {0: mean - 0.1, 1: mean, 2: mean + 0.1}


def test_a_set_up_in_words():
    assert words(RAW) == "raw numbers, 50 % drawn"
    assert words(SCALED) == "scaled to 0 and 1, 10 % from the top of the file, not shuffled, Glorot's weights"


def test_the_page_counts_what_fits():
    """RAW has all but Arcene's number, SCALED none; mixup is clearly better on Iris alone."""
    setups = []
    for name, number in PRINTED.items():
        setups.append(Setup(name, RAW, 0.0, around(number if name != "arcene" else 20.0), 1.0))
        setups.append(Setup(name, SCALED, 0.0, around(99.0), 0.0))
        better = {seed: error - (5.0 + 0.1 * seed) * (name == "iris_uci") for seed, error in setups[-2].errors.items()}
        setups.append(Setup(name, RAW, 0.2, better, 1.0))
    about = {"runs": 54, "commit": "0123456789", "device": "CPU", "python": "3.11.7"}
    page = render("setups.j2", "markdown", **page_values(about, setups, PAPER))
    assert "Of 2 set-ups so many have its ERM error" in page
    assert "Abalone 1, Arcene 0, Arrhythmia 1, Htru2 1, Iris 1, Phishing 1; none has more than 5 of the 6." in page
    assert "1 of 2 set-ups fit 5 of 6 tables" in page
    assert "mixup, tried in 1 of them, is clearly better than ERM in 1 and clearly worse in 0 of 6 comparisons" in page
    assert "| Arcene     |  57.6 |       2 |   0 |" in page
    assert "20.0: raw numbers, 50 % drawn" in page


@pytest.mark.parametrize("seeds", [1, 3])
def test_pictures_are_drawn_of_whatever_was_collected(seeds):
    """Of a table that the paper has not, of single seeds, which have no interval, and of more alphas than shades."""
    errors = {seed: 20.0 + seed for seed in range(seeds)}
    setups = [Setup(name, RAW, alpha, errors, 1.0) for name in ("wine", "iris_uci") for alpha in (0.0, *range(1, 14))]
    erm, mixed = setup_pictures(setups, PAPER)
    assert erm.says.count("Iris") == 1
    assert "Wine" not in erm.says
    with matplotlib.rc_context(STYLE):
        labels = {axes.get_ylabel() for axes in mixed.draw().axes}
    assert labels == {"Iris\nmixup - ERM, %", ""}
