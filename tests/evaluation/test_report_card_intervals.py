"""The paired bootstrap: how often it holds the truth, the normal interval it tends to, and what it costs."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from mixup.evaluation.report_card import Difference, paired_bootstrap


def errors(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """0/1 errors of two networks that find the same examples hard: 20 % and 12 %, so -8 percentage points."""
    hardness = rng.random(n)
    return (hardness < 0.2) * 1.0, ((hardness < 0.1) | (rng.random(n) < 0.02 / 0.9)) * 1.0


def losses(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Skewed and correlated: means 1 and 1.2."""
    shared = rng.exponential(size=n)
    return shared, shared + rng.exponential(0.7, n) - 0.5


@pytest.mark.parametrize(("draw", "truth"), [(errors, -0.08), (losses, 0.2)])
def test_a_95_percent_interval_holds_the_truth_about_that_often(draw, truth):
    rng = np.random.default_rng(0)
    found = [paired_bootstrap(*draw(rng, 60), rng, resamples=600) for _ in range(300)]
    held = np.mean([interval.low <= truth <= interval.high for interval in found])
    assert 0.9 <= held <= 0.99
    assert np.mean([interval.mean for interval in found]) == pytest.approx(truth, abs=0.02)


def test_a_lower_level_holds_it_less_often_and_lies_inside():
    a, b = losses(np.random.default_rng(1), 200)
    wide, narrow = (paired_bootstrap(a, b, np.random.default_rng(0), level=level) for level in (0.95, 0.5))
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high
    rng = np.random.default_rng(2)
    found = [paired_bootstrap(*losses(rng, 60), rng, resamples=300, level=0.5) for _ in range(300)]
    assert 0.4 < np.mean([interval.low <= 0.2 <= interval.high for interval in found]) < 0.6


@pytest.mark.parametrize("draw", [errors, losses])
def test_of_many_examples_it_is_the_normal_interval(draw):
    a, b = draw(np.random.default_rng(3), 4000)
    found = paired_bootstrap(a, b, np.random.default_rng(0), resamples=4000)
    half = 1.95996 * (b - a).std(ddof=1) / 4000**0.5
    assert found.mean == pytest.approx((b - a).mean())
    assert found.low == pytest.approx(found.mean - half, abs=0.08 * half)
    assert found.high == pytest.approx(found.mean + half, abs=0.08 * half)


def test_pairing_counts():
    """Two networks that share what is hard differ by little more than their difference; in another order they do not."""
    a, b = errors(np.random.default_rng(4), 1000)
    paired = paired_bootstrap(a, b, np.random.default_rng(0), resamples=2000)
    shuffled = paired_bootstrap(a, np.random.default_rng(5).permutation(b), np.random.default_rng(0), resamples=2000)
    assert shuffled.mean == pytest.approx(paired.mean)
    assert paired.high - paired.low < 0.8 * (shuffled.high - shuffled.low)


def test_exchanged_networks_have_the_mirrored_interval_and_the_generator_decides():
    a, b = losses(np.random.default_rng(6), 100)
    one, other = (paired_bootstrap(*pair, np.random.default_rng(0), resamples=500) for pair in ((a, b), (b, a)))
    assert (other.mean, other.low, other.high) == pytest.approx((-one.mean, -one.high, -one.low))
    assert paired_bootstrap(a, b, np.random.default_rng(0), resamples=500) == one
    assert paired_bootstrap(a, b, np.random.default_rng(1), resamples=500) != one


@pytest.mark.parametrize("n", [1, 2, 50])
@pytest.mark.parametrize("shift", [0, 1, -1])
def test_equal_differences_have_an_interval_of_one_point(n, shift):
    a = np.random.default_rng(7).integers(0, 2, n)
    assert paired_bootstrap(a, a + shift, np.random.default_rng(0), resamples=100) == Difference(shift, shift, shift)


def test_one_example_of_many_that_differs_gives_a_finite_interval():
    a, b = np.zeros(500), np.zeros(500)
    b[3] = 1
    found = paired_bootstrap(a, b, np.random.default_rng(0), resamples=2000)
    assert found.low == 0 < found.mean == 1 / 500 < found.high <= 5 / 500


def test_booleans_are_errors_of_0_and_1():
    a, b = errors(np.random.default_rng(8), 100)
    of_floats, of_bools = (
        paired_bootstrap(*pair, np.random.default_rng(0), resamples=200) for pair in ((a, b), (a > 0, b > 0))
    )
    assert of_bools == of_floats


def test_memory_is_bounded_however_many_resamples():
    """10,000 examples in 2,000 resamples are 160 MB of values and as much of indices, if they are all made at once."""
    a, b = errors(np.random.default_rng(9), 10_000)
    tracemalloc.start()
    paired_bootstrap(a, b, np.random.default_rng(0), resamples=2000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 120e6


@pytest.mark.parametrize(
    ("a", "b", "level", "message"),
    [
        (np.zeros(3), np.zeros(4), 0.95, "the same examples"),
        (np.zeros((3, 2)), np.zeros((3, 2)), 0.95, "one value for each example"),
        (np.zeros(0), np.zeros(0), 0.95, "one value for each example"),
        (np.array([0.0, np.nan]), np.zeros(2), 0.95, "not finite"),
        (np.array([0.0, 1.0]), np.zeros(2), 95, "level=95"),
    ],
)
def test_what_makes_no_sense_is_refused(a, b, level, message):
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(a, b, np.random.default_rng(0), level=level)
