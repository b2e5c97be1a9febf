"""How far predicted probabilities can be believed."""

from __future__ import annotations

import torch
from torch import Tensor


def expected_calibration_error(probabilities: Tensor, labels: Tensor, *, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy, in percent, weighted by how many predictions fall into each bin.

    probabilities: (N, C), rows summing to 1; labels: (N,) int64. Bins are ((i - 1) / bins, i / bins] of the confidence,
    the top probability, so that 1.0 belongs to the last one (Guo et al. 2017, equation 3). Raises ValueError for N = 0.
    """
    if len(labels) == 0:
        raise ValueError("the calibration error of no predictions is undefined")
    confidence, predicted = probabilities.double().max(1)
    correct = (predicted == labels).double()
    index = (torch.ceil(confidence * bins).long() - 1).clamp(0, bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, index, correct - confidence)
    return 100 * float(gap.abs().sum()) / len(labels)


def brier_score(probabilities: Tensor, labels: Tensor) -> float:
    """Mean over examples of the squared distance to the one-hot label, summed over classes: 0 to 2 (Brier 1950).

    probabilities: (N, C); labels: (N,) int64. Raises ValueError for N = 0.
    """
    if len(labels) == 0:
        raise ValueError("the Brier score of no predictions is undefined")
    one_hot = torch.nn.functional.one_hot(labels, probabilities.shape[1]).double()
    return float((probabilities.double() - one_hot).square().sum(1).mean())
