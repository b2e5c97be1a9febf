"""Calibration against hand-made cases and independent implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss

from mixup.analysis.calibration import brier_score, expected_calibration_error


def prediction(confidence: float, classes: int = 40) -> torch.Tensor:
    """Class 0 with this confidence, the rest shared evenly."""
    row = torch.full((classes,), (1 - confidence) / (classes - 1), dtype=torch.float64)
    row[0] = confidence
    return row


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
    assert brier_score(probabilities, labels) == pytest.approx(2 * theirs, rel=1e-12)


def test_brier_score_at_its_limits():
    certain = torch.eye(10)
    labels = torch.arange(10)
    assert brier_score(certain, labels) == 0
    assert brier_score(certain, labels.roll(1)) == 2
    assert brier_score(torch.full((10, 10), 0.1, dtype=torch.float64), labels) == pytest.approx(0.9)


def test_brier_score_of_many_classes_is_that_of_a_plain_loop():
    probabilities, labels = random_predictions(10, n=200)
    expected = np.mean(
        [
            sum((p - (place == label)) ** 2 for place, p in enumerate(row))
            for row, label in zip(probabilities.tolist(), labels.tolist())
        ]
    )
    assert brier_score(probabilities, labels) == pytest.approx(expected, rel=1e-12)
