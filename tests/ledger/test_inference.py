"""Statistics over seeds: exact small cases by hand, the levels that are promised, and each rule of the verdicts."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mixup.errors import UserError
from mixup.ledger import inference as statistics
from mixup.ledger.inference import Verdict, cell_verdict, claim_verdict, row_verdict
from mixup.ledger.paper import read_paper
from mixup.ledger.seeds_needed import power_of, seeds_needed

PAPER = Path(__file__).resolve().parents[2] / "results" / "paper.yaml"


def seeds(*errors: float) -> dict[int, float]:
    return dict(enumerate(errors))


# -- estimates and tests -------------------------------------------------------------------------------------------------


def test_the_interval_by_hand():
    found = statistics.interval([4.0, 5.0, 6.0])  # standard deviation 1, standard error 1 / sqrt(3); t(0.975, 2) = 4.302653
    assert (found.mean, found.n, found.level) == (5.0, 3, 0.95)
    assert found.high - 5.0 == pytest.approx(4.302653 / math.sqrt(3), abs=1e-6)
    assert 5.0 - found.low == pytest.approx(4.302653 / math.sqrt(3), abs=1e-6)
    two = statistics.interval([1.0, 3.0], level=0.9)  # standard error 1; t(0.95, 1) = tan(0.45 pi)
    assert two.high == pytest.approx(2.0 + math.tan(0.45 * math.pi), abs=1e-9)
    assert str(found) == "5.00 [2.52, 7.48]"


def test_no_spread_has_no_interval():
    one, equal = statistics.interval([4.2]), statistics.interval([0.1 + 0.2, 0.3, 0.3])
    assert (one.mean, one.low, one.high, one.n, str(one)) == (4.2, None, None, 1, "4.20")
    assert (equal.low, equal.high) == (None, None)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_an_interval_of_nothing_or_of_no_number_is_refused(values):
    with pytest.raises(ValueError, match="all of them finite"):
        statistics.interval(values)


def test_differences_are_of_common_seeds():
    found = statistics.paired_difference({3: 4.0, 0: 4.5, 1: 5.0, 7: 9.0}, {0: 5.0, 1: 6.0, 3: 6.0, 8: 1.0})
    assert (found.seeds, found.differences) == ((0, 1, 3), (-0.5, -1.0, -2.0))
    assert found.interval == statistics.interval([-0.5, -1.0, -2.0])
    none = statistics.paired_difference({0: 1.0}, {1: 1.0})
    assert (none.seeds, none.differences, none.interval) == ((), (), None)


@pytest.mark.parametrize(
    ("differences", "p", "lower", "n"),
    [
        ([-1.0, -1.0, -0.1], 1 / 8, 3, 3),
        ([-1.0, 0.0, -1.0, -1.0], 1 / 8, 3, 3),  # a zero is dropped
        ([-1.0, -1.0, 1.0], 4 / 8, 2, 3),  # 3 + 1 of 8 outcomes
        ([-1.0] * 4 + [1.0], 6 / 32, 4, 5),
        ([-1.0] * 6, 1 / 64, 6, 6),
        ([1.0, 2.0], 1.0, 0, 2),
        ([0.0, 0.3 - (0.1 + 0.2)], 1.0, 0, 0),  # a difference of rounding is none
        ([], 1.0, 0, 0),
    ],
)
def test_the_sign_test_by_hand(differences, p, lower, n):
    found = statistics.sign_test(differences)
    assert (found.p, found.lower, found.n) == (pytest.approx(p, abs=1e-12), lower, n)
    assert found.p >= 0.5**n - 1e-12


def test_the_tests_of_a_range_by_hand():
    """Two values, mean 2, standard error 1, one degree of freedom: the 90 % interval is 2 ± tan(0.45 pi), 6.314."""
    half = math.tan(0.45 * math.pi)
    found = statistics.range_verdict([1.0, 3.0], (2.0, 2.0), half + 0.001, "a range")
    assert (found.word, found.n, found.reason) == ("reproduced", 2, "90 % interval 2.00 [-4.31, 8.31] inside a range")
    for low, high in ((2.0 - half + 0.001, 20.0), (-20.0, 2.0 + half - 0.001)):
        assert statistics.range_verdict([1.0, 3.0], (low, high), 0.0, "a range").word == "undecided"
    assert (
        "below 29 to 31, where one run is expected" in statistics.range_verdict([1.0, 3.0], (30, 30), 1, "29 to 31").reason
    )
    assert statistics.range_verdict([1.0, 3.0], (-30.0, -30.0), 1.0, "-31 to -29").word == "not reproduced"
    assert "no spread" in statistics.range_verdict([1.0, 1.0, 1.0], (1.0, 1.0), 0.3, "a range").reason


def test_a_number_within_the_scatter_of_one_run_is_not_called_not_reproduced():
    """By hand: mean 10, standard deviation 1, n = 4; t(0.975, 3) = 3.182, so one run lies within 10 ± 3.558."""
    values = [10 + sign * math.sqrt(0.75) for sign in (1, 1, -1, -1)]
    one_run = statistics.prediction(values)
    assert one_run.high - 10 == pytest.approx(3.1824463 * math.sqrt(1.25), abs=1e-6)
    for number, word in ((13.5, "undecided"), (13.6, "not reproduced"), (6.5, "undecided"), (6.4, "not reproduced")):
        assert cell_verdict(values, number).word == word


@pytest.mark.parametrize(("mean", "std"), [(4.2, 0.15), (25.6, 0.3), (44.6, 1.0), (21.3, 4.0)])
@pytest.mark.parametrize("n", [3, 10])
def test_an_exact_repetition_is_hardly_ever_called_not_reproduced(mean, std, n):
    """The paper's number is one run of the same distribution, printed with one decimal."""
    source, repeats = np.random.default_rng(3), 1000
    wrong = sum(
        cell_verdict(list(source.normal(mean, std, n)), round(source.normal(mean, std), 1)).word == "not reproduced"
        for _ in range(repeats)
    )
    assert wrong / repeats < 0.05 + 3 * math.sqrt(0.05 * 0.95 / repeats)


def test_overlapping_splits_have_the_wider_interval_of_nadeau_and_bengio():
    values = [1.0, 2.0, 0.0, 3.0, 1.5]
    plain, corrected = statistics.interval(values), statistics.interval(values, overlap=1.0)
    ratio = math.sqrt((1 / 5 + 1) / (1 / 5))
    assert corrected.high - corrected.mean == pytest.approx(ratio * (plain.high - plain.mean))
    erm, mixup = seeds(5.0, 5.2, 5.5), seeds(5.1, 5.0, 5.0)
    found = statistics.paired_difference(mixup, erm, overlap=0.5)
    assert found.interval == statistics.interval(found.differences, overlap=0.5)


def test_the_interval_lies_inside_exactly_where_both_tests_are_significant():
    source = np.random.default_rng(0)
    words = set()
    for _ in range(300):
        values = source.normal(4.2, 0.15, source.integers(2, 8))
        low = 3.9 + source.uniform(-0.5, 0.5)
        found = statistics.range_verdict(list(values), (low + 0.3, low + 0.3), 0.3, "a range")
        tests = [(low, "greater"), (low + 0.6, "less")]
        both = max(stats.ttest_1samp(values, edge, alternative=side).pvalue for edge, side in tests) < 0.05
        assert (found.word == "reproduced") == both
        words.add(found.word)
    assert words == {"reproduced", "not reproduced", "undecided"}


def test_the_margin():
    assert [statistics.margin(value) for value in (0.05, 4.2, 15.0)] == [0.3, 0.3, 0.3]
    assert statistics.margin(44.6) == pytest.approx(0.892)
    assert cell_verdict([3.89, 3.9, 3.91], 4.2).word != "reproduced"  # v1's number is not v2's


def test_no_mean_passes_for_erm_and_for_mixup_where_the_paper_claims_enough():
    """The upper bound that `margin` argues from; what it names as too small a claim is left out."""
    paper = read_paper(PAPER)
    pairs = [
        (experiment.row(claim.better), experiment.row(claim.worse), claim)
        for experiment in paper.values()
        if experiment.name in ("table1_imagenet", "figure3_cifar10", "figure3_cifar100", "table2_label_noise")
        for claim in experiment.claims
        if claim.better and claim.metric == "test.top1_error"
    ]
    pairs = [(a, b, claim) for a, b, claim in pairs if (a.method, b.method) == ("mixup", "erm") and a.variant != "90 epochs"]
    assert len(pairs) == 3 + 3 + 3 + 6
    for a, b, claim in pairs:
        lower, higher = (row.value(claim.metric, claim.statistic).value for row in (a, b))
        assert lower + statistics.margin(lower) < higher - statistics.margin(higher)


# -- verdicts: cells -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "word", "reason"),
    [
        ([], "not run", "no run"),
        ([4.2], "too few seeds", "1 of at least 3"),
        ([4.2, 4.21], "too few seeds", "2 of at least 3"),
        ([4.2, 4.2, 4.2], "undecided", "no spread"),
        ([4.15, 4.2, 4.25], "reproduced", r"inside 4.2 ± 0.30"),
        ([4.1, 4.3, 4.2, 4.05, 4.35], "reproduced", "inside"),
        ([4.9, 5.0, 5.1], "not reproduced", "above"),  # worse
        ([3.3, 3.4, 3.5], "not reproduced", "below"),  # better is another number, too
        ([3.7, 4.2, 4.7], "undecided", "across"),  # the right mean, and too wide a spread
        ([4.48, 4.5, 4.52], "undecided", "across"),
    ],
)
def test_each_rule_of_a_cell(values, word, reason):
    found = cell_verdict(values, 4.2)
    assert (found.word, found.n) == (word, len(values))
    assert reason in found.reason


def test_how_a_verdict_is_printed():
    assert str(cell_verdict([3.7, 4.2, 4.7], 4.2)) == "undecided (n=3)"
    assert str(cell_verdict([4.2], 4.2)) == "too few seeds (n=1)"
    assert str(cell_verdict([], 4.2)) == "not run"
    scatter = "where one run is expected in [4.50, 5.50]"
    assert cell_verdict([4.9, 5.0, 5.1], 4.2).reason == f"90 % interval 5.00 [4.83, 5.17] above 4.2 ± 0.30, {scatter}"


# -- verdicts: claims ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("differences", "word"),
    [
        ([-1.3, -1.4, -1.5], "direction holds"),  # three seeds suffice where their differences agree
        ([1.3, 1.4, 1.5], "not reproduced"),
        ([-1.0, -0.1, 0.2], "undecided"),
        ([-0.1, -3.0, -0.2, -0.1, -0.1], "undecided"),  # five of five, p = 0.031, alone are not enough at 2.5 %
        ([-0.1, -3.0, -0.2, -0.1, -0.1, -0.2], "direction holds"),  # six of six are, p = 0.016; the t interval reaches 0
        ([0.1, 3.0, 0.2, 0.1, 0.1, 0.2], "not reproduced"),
        ([-0.5, -0.5, -0.5], "undecided"),  # no spread: signs alone, of three
        ([-0.5] * 6, "direction holds"),
        ([0.0] * 8, "undecided"),
        ([0.1] * 61 + [-5.0] * 39, "undecided"),  # signs say higher, means say lower
    ],
)
def test_each_rule_of_a_claim(differences, word):
    erm = {seed: 6.0 + seed / 10 for seed in range(len(differences))}
    mixup = {seed: erm[seed] + difference for seed, difference in enumerate(differences)}
    found = claim_verdict(mixup, erm)
    assert (found.word, found.n) == (word, len(differences))


def test_a_claim_is_turned_round_with_its_sides():
    a, b = seeds(4.1, 4.2, 4.4), seeds(5.5, 5.5, 5.6)
    assert claim_verdict(a, b).word == "direction holds"
    assert claim_verdict(b, a).word == "not reproduced"


def test_a_claim_without_enough_common_seeds():
    erm, mixup = seeds(5.5, 5.6, 5.4), seeds(4.1, 4.2, 4.4)
    assert claim_verdict({}, {}).word == "not run"
    assert claim_verdict(mixup, {}).reason == "runs of one side alone have finished"
    assert claim_verdict(seeds(4.1, 4.2), erm) == Verdict("too few seeds", 2, "2 in common of at least 3")
    assert claim_verdict({5: 4.1, 6: 4.2, 7: 4.3}, erm).word == "too few seeds"


def test_the_promised_levels():
    """Without a difference, and at the very edge of the margin, at most 5 % of verdicts say more than they may."""
    source = np.random.default_rng(1)
    repeats, wrong = 600, {"claim": 0, "reproduced": 0, "not reproduced": 0}
    for _ in range(repeats):
        pairs = source.normal(0, 0.2, (2, 6))
        wrong["claim"] += claim_verdict(seeds(*pairs[0]), seeds(*pairs[1])).word == "direction holds"
        word = cell_verdict(list(source.normal(4.5, 0.05, 4)), 4.2).word
        if word in wrong:
            wrong[word] += 1
    three_deviations = 3 * math.sqrt(0.05 * 0.95 / repeats)
    assert all(0 < count / repeats < 0.05 + three_deviations for count in wrong.values()), wrong


# -- verdicts: rows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "claims", "word"),
    [
        ("not run", ["direction holds"], "not run"),
        ("reproduced", [], "reproduced"),
        ("reproduced", ["undecided"], "reproduced"),
        ("reproduced", ["direction holds", "not reproduced"], "not reproduced"),
        ("not reproduced", ["direction holds", "direction holds"], "direction holds"),
        ("undecided", ["direction holds"], "direction holds"),
        ("not reproduced", ["direction holds", "undecided"], "not reproduced"),
        ("not reproduced", [], "not reproduced"),
        ("undecided", ["not run"], "undecided"),
        ("too few seeds", ["too few seeds"], "too few seeds"),
    ],
)
def test_each_rule_of_a_row(cell, claims, word):
    found = row_verdict(Verdict(cell, 5, "of the cell"), [Verdict(claim, 4, "of a claim") for claim in claims])
    assert found.word == word


def test_a_row_that_holds_in_direction_alone_says_so_of_its_number():
    mixup, erm = seeds(3.3, 3.2, 3.4), seeds(4.0, 4.0, 4.1)
    found = row_verdict(cell_verdict(list(mixup.values()), 2.7), [claim_verdict(mixup, erm)])
    assert str(found) == "direction holds (n=3)"
    assert "3 of 3 below 0; the number: 90 % interval 3.30 [3.13, 3.47] above 2.7 ± 0.30, where one run" in found.reason


# -- planning ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("effect", "n"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (2.0, 5)])
def test_seeds_needed_are_those_of_the_textbook(effect, n):
    """Paired t test, two-sided 5 %, power 0.8, as G*Power gives them."""
    assert seeds_needed(std=1.0, difference=effect) == n
    assert seeds_needed(std=0.2, difference=-0.2 * effect) == n


def test_seeds_needed_at_their_limits():
    assert seeds_needed(std=0.0, difference=0.1) == 3
    assert seeds_needed(std=0.001, difference=1.0) == 3
    n = seeds_needed(std=1.0, difference=0.01)
    assert power_of(n, 1.0, 0.01) >= 0.8 > power_of(n - 1, 1.0, 0.01)
    for std, difference, power in ((1.0, 0.0, 0.8), (-1.0, 1.0, 0.8), (math.inf, 1.0, 0.8), (1.0, 1.0, 1.0)):
        with pytest.raises(UserError, match="no number of seeds"):
            seeds_needed(std, difference, power)


def test_power_is_the_share_of_proven_claims():
    source = np.random.default_rng(2)
    proven = sum(statistics.interval(list(source.normal(-0.3, 0.2, 5))).high < 0 for _ in range(1000)) / 1000
    assert proven == pytest.approx(power_of(5, 0.2, 0.3), abs=3 * math.sqrt(0.25 / 1000))
