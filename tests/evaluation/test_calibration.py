"""Calibration against hand-made cases and independent implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss

from mixup.evaluation.calibration import (
    COLDEST,
    HOTTEST,
    brier_scores,
    expected_calibration_error,
    reliability,
    scaled_probabilities,
    split_halves,
    temperature,
)


def prediction(confidence: float, classes: int = 40) -> torch.Tensor:
    """Class 0 with this confidence, the rest shared evenly."""
    row = torch.full((classes,), (1 - confidence) / (classes - 1), dtype=torch.float64)
    row[0] = confidence
    return row


def mean_brier(probabilities: torch.Tensor, labels: torch.Tensor) -> float:
    return float(brier_scores(probabilities, labels).mean())


def error_of(*cases: tuple[float, bool], bins: int = 15) -> float:
    """The calibration error of predictions with these confidences, right or wrong."""
    probabilities = torch.stack([prediction(confidence) for confidence, _ in cases])
    labels = torch.tensor([0 if right else 1 for _, right in cases])
    return expected_calibration_error(probabilities, labels, bins=bins)


def test_calibrated_predictions_have_no_error():
    cases = [(0.8, i < 8) for i in range(10)] + [(0.3, i < 3) for i in range(10)]
    assert error_of(*cases) == pytest.approx(0, abs=1e-9)


def test_certain_and_always_wrong_is_the_worst_there_is():
    assert error_of((1.0, False), (1.0, False)) == 100


def test_certain_and_always_right_has_no_error():
    assert error_of((1.0, True), (1.0, True)) == 0


def test_certain_and_right_half_of_the_time():
    assert error_of((1.0, True), (1.0, False)) == 50


def test_too_sure_and_too_modest_cancel_within_a_bin_alone():
    assert error_of((0.5, True), (0.5, False)) == pytest.approx(0)
    assert error_of((0.3, True), (0.7, False)) == pytest.approx(70)
    assert error_of((0.3, True), (0.7, False), bins=1) == pytest.approx(0)


def test_bins_are_weighted_by_their_number_of_predictions():
    assert error_of((0.9, False), (0.6, True), (0.6, True), (0.6, True)) == pytest.approx((90 + 3 * 40) / 4)


@pytest.mark.parametrize("edge", range(1, 16))
def test_confidence_on_an_edge_belongs_to_the_bin_below(edge):
    """1.0 to the last one."""
    below, on, above = ((edge - 0.5) / 15, edge / 15, (edge + 0.5) / 15)
    together = 100 * abs((1 - below) + (0 - on)) / 2
    assert error_of((below, True), (on, False)) == pytest.approx(together)
    if edge < 15:
        apart = 100 * ((1 - above) + on) / 2
        assert error_of((above, True), (on, False)) == pytest.approx(apart)


def test_no_predictions_have_no_calibration():
    with pytest.raises(ValueError, match="no predictions"):
        expected_calibration_error(torch.zeros(0, 10), torch.zeros(0, dtype=torch.int64))


def random_predictions(classes: int, n: int = 3_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Of every confidence, and three in four right whatever it is: too modest at some, too sure at others."""
    rng = np.random.default_rng(classes)
    probabilities = torch.from_numpy(rng.normal(size=(n, classes)) * rng.exponential(2, (n, 1))).softmax(1)
    right = torch.from_numpy(rng.random(n) < 0.75)
    other = torch.from_numpy(rng.integers(0, classes, n))
    return probabilities, torch.where(right, probabilities.argmax(1), other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bins", [1, 10, 15, 100])
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_error_is_that_of_a_plain_loop(classes, bins, dtype):
    """Guo et al. 2017, equations 2 and 3, word for word."""
    probabilities, labels = random_predictions(classes)
    rows = [[] for _ in range(bins)]
    for row, label in zip(probabilities.to(dtype).double().tolist(), labels.tolist()):
        confidence = max(row)
        (place,) = (i for i in range(bins) if i / bins < confidence <= (i + 1) / bins)
        rows[place].append((confidence, row.index(confidence) == label))
    expected = 0.0
    for members in filter(None, rows):
        accuracy = sum(right for _, right in members) / len(members)
        mean_confidence = sum(confidence for confidence, _ in members) / len(members)
        expected += len(members) / len(labels) * abs(accuracy - mean_confidence)
    ours = expected_calibration_error(probabilities.to(dtype), labels, bins=bins)
    assert expected > 0.01
    assert ours == pytest.approx(100 * expected, rel=1e-9)


def test_fifteen_bins_unless_told():
    probabilities, labels = random_predictions(10)
    ours = expected_calibration_error(probabilities, labels)
    assert ours == expected_calibration_error(probabilities, labels, bins=15)
    assert ours != pytest.approx(expected_calibration_error(probabilities, labels, bins=14), rel=0.001)


def test_brier_score_of_two_classes_is_twice_scikit_learns():
    """Which counts one class of the two."""
    probabilities, labels = random_predictions(2)
    theirs = brier_score_loss(labels.numpy(), probabilities[:, 1].numpy())
    assert mean_brier(probabilities, labels) == pytest.approx(2 * theirs, rel=1e-12)


def test_brier_score_at_its_limits():
    certain = torch.eye(10)
    labels = torch.arange(10)
    assert mean_brier(certain, labels) == 0
    assert mean_brier(certain, labels.roll(1)) == 2
    assert mean_brier(torch.full((10, 10), 0.1, dtype=torch.float64), labels) == pytest.approx(0.9)


def test_brier_score_of_many_classes_is_that_of_a_plain_loop():
    probabilities, labels = random_predictions(10, n=200)
    expected = np.mean(
        [
            sum((p - (place == label)) ** 2 for place, p in enumerate(row))
            for row, label in zip(probabilities.tolist(), labels.tolist())
        ]
    )
    assert mean_brier(probabilities, labels) == pytest.approx(expected, rel=1e-12)


# -- reliability ---------------------------------------------------------------------------------------------------------


def test_bins_of_a_diagram_counted_by_hand():
    cases = [(0.05, False), (0.3, True), (0.4, False), (0.5, True), (0.95, True), (1.0, False)]
    probabilities = torch.stack([prediction(confidence) for confidence, _ in cases])
    labels = torch.tensor([0 if right else 1 for _, right in cases])
    found = reliability(probabilities, labels, bins=4)
    assert found["count"] == [1, 3, 0, 2], "edges belong to the bin below, but 0.3, 0.4 and 0.5 share the second"
    assert found["confidence"] == pytest.approx((5, 40, np.nan, 97.5), nan_ok=True)
    assert found["accuracy"] == pytest.approx((0, 200 / 3, np.nan, 50), nan_ok=True)


def test_a_single_prediction_at_confidence_1_fills_the_last_bin():
    found = reliability(torch.tensor([[0.0, 1.0]]), torch.tensor([1]), bins=3)
    assert found["count"] == [0, 0, 1]
    assert (found["confidence"][2], found["accuracy"][2]) == (100, 100)
    assert np.isnan(found["confidence"][:2] + found["accuracy"][:2]).all()
    assert expected_calibration_error(torch.tensor([[0.0, 1.0]]), torch.tensor([0]), bins=3) == 100


def test_two_classes_have_no_confidence_below_a_half():
    probabilities, labels = random_predictions(2)
    found = reliability(probabilities, labels, bins=10)
    assert found["count"][:5] == [0] * 5
    assert sum(found["count"]) == len(labels)
    assert min(found["confidence"][5:]) > 50


def test_all_in_one_bin_is_the_overall_gap():
    probabilities = torch.tensor([[0.7, 0.3], [0.34, 0.66], [0.69, 0.31]], dtype=torch.float64)
    found = reliability(probabilities, torch.tensor([0, 0, 0]), bins=5)
    assert found["count"] == [0, 0, 0, 3, 0]
    assert found["accuracy"][3] == pytest.approx(200 / 3)
    assert found["confidence"][3] == pytest.approx(205 / 3)
    assert expected_calibration_error(probabilities, torch.tensor([0, 0, 0]), bins=5) == pytest.approx(5 / 3)


@pytest.mark.parametrize("bins", [1, 7, 15, 200])
@pytest.mark.parametrize("classes", [2, 100])
def test_the_calibration_error_is_the_diagrams(classes, bins):
    probabilities, labels = random_predictions(classes)
    found = reliability(probabilities, labels, bins=bins)
    count = np.array(found["count"])
    gap = np.abs(np.array(found["accuracy"]) - np.array(found["confidence"]))
    error = expected_calibration_error(probabilities, labels, bins=bins)
    assert error == pytest.approx(np.nansum(count * gap) / len(labels), rel=1e-12)
    right = probabilities.argmax(1) == labels
    assert np.nansum(count * np.array(found["accuracy"])) / len(labels) == pytest.approx(100 * float(right.double().mean()))


# -- temperature ---------------------------------------------------------------------------------------------------------


def sampled_logits(classes: int, factor: float, n: int = 4_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits `factor` times those that their labels were drawn from."""
    rng = np.random.default_rng(classes)
    true = torch.from_numpy(rng.normal(0, 2, (n, classes)))
    labels = (torch.from_numpy(rng.gumbel(size=(n, classes))) + true).argmax(1)
    return factor * true, labels


def loss_at(logits: torch.Tensor, labels: torch.Tensor, value: float) -> float:
    return float(torch.nn.functional.cross_entropy(logits.double() / value, labels))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("factor", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("classes", [2, 10])
def test_temperature_is_that_of_a_grid_search(classes, factor, dtype):
    logits, labels = sampled_logits(classes, factor, n=600)
    logits, low, high = logits.to(dtype), COLDEST, HOTTEST
    for _ in range(9):  # each time into the neighbourhood of the best of 41
        grid = np.geomspace(low, high, 41)
        best = int(np.argmin([loss_at(logits, labels, value) for value in grid]))
        low, high = grid[max(best - 2, 0)], grid[min(best + 2, 40)]
    assert temperature(logits, labels) == pytest.approx(grid[best], abs=1e-4 * factor)


@pytest.mark.parametrize("classes", [2, 10])
def test_temperature_finds_the_factor_and_scales_with_the_logits(classes):
    logits, labels = sampled_logits(classes, 1.0, n=20_000)
    found = temperature(logits, labels)
    assert found == pytest.approx(1, abs=0.05)
    assert temperature(3 * logits, labels) == pytest.approx(3 * found, rel=1e-9)
    assert temperature(logits + torch.arange(len(labels))[:, None], labels) == pytest.approx(found, rel=1e-9)


def test_temperature_of_two_examples_in_closed_form():
    """A margin of 1 that is right three times in four is believed at log 3."""
    logits, labels = torch.tensor([[1.0, 0.0]]).repeat(4, 1), torch.tensor([0, 0, 0, 1])
    assert temperature(logits, labels) == pytest.approx(1 / np.log(3), rel=1e-9)


@pytest.mark.parametrize("margin", [1e-3, 1.0, 50.0, 1e5])
def test_temperature_is_bounded_where_no_example_or_every_one_is_misclassified(margin):
    logits = margin * torch.eye(5)
    assert temperature(logits, torch.arange(5)) == COLDEST
    assert temperature(logits, torch.arange(5).roll(1)) == HOTTEST
    assert temperature(logits[:1], torch.tensor([0])) == COLDEST, "also of a single example"


def test_temperature_of_logits_that_say_nothing_is_1():
    assert temperature(torch.full((3, 4), 0.7), torch.tensor([0, 1, 2])) == 1


def test_temperature_of_large_logits_that_are_partly_wrong_is_finite_and_the_best():
    logits, labels = sampled_logits(10, 1.0, n=500)
    logits = 1e4 * logits
    assert temperature(logits, labels) == HOTTEST
    assert np.isfinite(loss_at(logits, labels, HOTTEST))


def test_logits_that_have_no_temperature_are_refused():
    with pytest.raises(ValueError, match="no predictions"):
        temperature(torch.zeros(0, 10), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="not finite"):
        temperature(torch.tensor([[0.0, float("nan")]]), torch.tensor([0]))


# -- cross-fitting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 10, 101])
def test_halves_hold_every_example_once(n):
    first, second = split_halves(n, np.random.default_rng(0))
    assert (len(first), len(second)) == (n // 2, n - n // 2)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(n))


def test_halves_are_random_and_each_example_is_as_often_in_either():
    rng = np.random.default_rng(0)
    counts = np.zeros(20)
    for _ in range(2000):
        counts[split_halves(20, rng)[0].numpy()] += 1
    assert counts / 2000 == pytest.approx(np.full(20, 0.5), abs=0.05)
    with pytest.raises(ValueError, match="two examples"):
        split_halves(1, rng)


def test_each_half_is_scaled_by_the_temperature_of_the_other():
    logits, labels = sampled_logits(5, 3.0, n=301)
    probabilities, (of_first, of_second) = scaled_probabilities(logits, labels, np.random.default_rng(4))
    first, second = split_halves(301, np.random.default_rng(4))
    assert of_first == temperature(logits[first], labels[first])
    assert of_second == temperature(logits[second], labels[second])
    assert of_first != of_second
    torch.testing.assert_close(probabilities[first], (logits[first] / of_second).softmax(1))
    torch.testing.assert_close(probabilities[second], (logits[second] / of_first).softmax(1))


def test_no_label_has_a_say_in_its_own_halfs_scale():
    logits, labels = sampled_logits(5, 3.0, n=300)
    first, second = split_halves(300, np.random.default_rng(4))
    changed = labels.clone()
    changed[first] = (labels[first] + 1) % 5
    before, after = (scaled_probabilities(logits, other, np.random.default_rng(4))[0] for other in (labels, changed))
    assert torch.equal(before[first], after[first])
    assert not torch.allclose(before[second], after[second])


def test_scaling_mends_a_network_that_is_too_sure_and_changes_no_prediction():
    logits, labels = sampled_logits(10, 3.0)
    probabilities, found = scaled_probabilities(logits.float(), labels, np.random.default_rng(0))
    assert found == pytest.approx((3, 3), rel=0.1)
    assert probabilities.dtype == torch.float64
    assert probabilities.sum(1).numpy() == pytest.approx(np.ones(len(labels)))
    assert torch.equal(probabilities.argmax(1), logits.argmax(1))
    raw = expected_calibration_error(logits.softmax(1), labels)
    assert expected_calibration_error(probabilities, labels) < 0.3 * raw
    assert mean_brier(probabilities, labels) < mean_brier(logits.softmax(1), labels)
