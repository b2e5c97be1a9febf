"""The paper's claims as differences, and when they are clear."""

import pytest
from small_table import CPU, claim, ledger, runs, table

from mixup.ledger.effects import Effect, clarity_of, effects, versus
from mixup.ledger.inference import interval
from mixup.ledger.paper import Claim
from mixup.pages import texts


def small(*claims: Claim, **errors: list[float]) -> list[Effect]:
    """Of runs at cpu scale."""
    return effects(ledger([run for method, values in errors.items() for run in runs(method, values, CPU)], table(*claims)))


@pytest.mark.parametrize(
    ("differences", "word"),
    [
        ([-1.0, -1.1, -1.2], "clearly as claimed"),
        ([1.0, 1.1, 1.2], "clearly opposite"),
        ([-1.0, -1.1, 0.2], "cannot tell"),
        ([-1.0, -1.1], "cannot tell"),  # two seeds
        ([-1.0, -1.0, -1.0], "cannot tell"),  # no interval
    ],
)
def test_a_difference_is_clear_by_its_interval(differences, word):
    assert clarity_of(interval(differences)) == word


def test_runs_of_the_papers_recipe_come_first_and_carry_its_difference():
    comparable = [*runs("erm", [5.5, 5.6, 5.7]), *runs("mixup", [4.15, 4.2, 4.27])]
    others = [*runs("erm", [50.5, 50.6, 50.7], CPU), *runs("mixup", [51.0, 51.2, 51.1], CPU)]
    found = effects(ledger([*others, *comparable], table(claim("mixup", "erm"))))
    assert [one.group is None for one in found] == [True, False]
    first, second = found
    assert first.paper == second.paper == pytest.approx(4.2 - 5.6)
    assert first.ours.mean == pytest.approx(-1.393, abs=1e-3)
    assert (first.clarity, second.clarity) == ("clearly as claimed", "clearly opposite")


def test_a_claim_that_erm_is_better_is_turned_round():
    (found,) = small(claim("erm", "mixup"), erm=[5.5, 5.6, 5.7], mixup=[6.0, 6.2, 6.3])
    assert (found.clarity, found.ours.mean) == ("clearly as claimed", pytest.approx(-0.567, abs=1e-3))


def test_what_both_have_in_common_comes_first():
    assert versus("WRN-10-2, mixup, alpha 1", "WRN-10-2, ERM") == "WRN-10-2: mixup, alpha 1 < ERM"
    assert versus("mixup, alpha 1", "ERM") == "mixup, alpha 1 < ERM"


def test_a_claim_between_two_cells_of_which_neither_is_erm_names_both():
    (found,) = small(claim("strong", "mixup"), mixup=[4.1, 4.2, 4.3], strong=[3.8, 3.9, 4.01])
    assert " < " in found.what
    assert found.clarity == "clearly as claimed"


@pytest.mark.parametrize(("missed", "fitted"), [(0.0, True), (1.0, True), (1.5, False), (54.0, False)])
def test_small_runs_count_where_erm_fits_what_it_trains_on(missed, fitted):
    """mixup itself need not."""
    both = [*runs("erm", [5.5, 5.6, 5.7], CPU, missed=missed), *runs("mixup", [4.1, 4.2, 4.27], CPU, missed=30.0)]
    found = ledger(both, table(claim("mixup", "erm")))
    assert [one.fitted for one in effects(found)] == [fitted]
    assert (found.small, found.unfitted) == ((6, 0) if fitted else (0, 6))
    words = texts.outcome(found)
    assert ("its claims, each in one measure, are: 1 clearly as claimed" in words) == fitted
    assert (f"misses {missed:.0f} % of its training examples" in words) == (not fitted)


def test_the_papers_own_recipe_counts_whatever_it_fits():
    both = [*runs("erm", [5.5, 5.6, 5.7], missed=40.0), *runs("mixup", [4.1, 4.2, 4.3], missed=40.0)]
    assert [one.fitted for one in effects(ledger(both, table(claim("mixup", "erm"))))] == [True]
