"""How far predicted probabilities can be believed, before and after temperature scaling (Guo et al. 2017)."""

import math

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

COLDEST, HOTTEST = 0.05, 20.0  # bounds of the temperature: of separable logits the best one would be 0


def bin_of(confidence: Tensor, bins: int) -> Tensor:
    """The bin of each confidence, counted from 0, as `reliability` has them. (N,) float64 -> (N,) int64."""
    return (torch.ceil(confidence * bins).long() - 1).clamp(0, bins - 1)


def reliability(probabilities: Tensor, labels: Tensor, *, bins: int = 15) -> dict[str, list[float]]:
    """Confidence, the top probability, against accuracy, by bins in rising order of confidence.

    probabilities: (N, C), rows summing to 1; labels: (N,) int64. Bins are ((i - 1) / bins, i / bins] of the confidence, so
    that 1.0 belongs to the last one (Guo et al. 2017, section 2). Returns `count`, predictions in each bin, and `confidence`
    and `accuracy`, their means in percent, NaN for an empty bin. Raises ValueError for N = 0.
    """
    if len(labels) == 0:
        raise ValueError("the calibration of no predictions is undefined")
    confidence, predicted = probabilities.double().max(1)
    index = bin_of(confidence, bins)
    count = torch.bincount(index, minlength=bins)
    means = {
        name: (100 * (confidence.new_zeros(bins).index_add_(0, index, values) / count)).tolist()
        for name, values in (("confidence", confidence), ("accuracy", (predicted == labels).double()))
    }
    return {"count": count.tolist(), **means}


def expected_calibration_error(probabilities: Tensor, labels: Tensor, *, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy, in percent, weighted by how many predictions fall into each bin of
    `reliability`, of which it is the summary (Guo et al. 2017, equation 3)."""
    rows = zip(*reliability(probabilities, labels, bins=bins).values())
    return math.fsum(count * abs(accuracy - confidence) for count, confidence, accuracy in rows if count) / len(labels)


def brier_scores(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Squared distance of each prediction to the one-hot label, summed over classes: 0 to 2 (Brier 1950).

    probabilities: (N, C); labels: (N,) int64. Returns (N,) float64.
    """
    one_hot = torch.nn.functional.one_hot(labels, probabilities.shape[1])
    return (probabilities.double() - one_hot).square().sum(1)


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The T of softmax(logits / T) with the least negative log-likelihood (Guo et al. 2017, section 4.2).

    Above 1 the network was too sure. Never fitted on what it is judged by: see `scaled_probabilities`.
    logits: (N, C); labels: (N,) int64. T is kept to [COLDEST, HOTTEST]: the lower bound where no example is misclassified,
    the upper one where logits are worse than none; 1 where every T is as good. Raises ValueError for N = 0, or for logits
    that are not finite.
    """
    if len(labels) == 0:
        raise ValueError("the temperature of no predictions is undefined")
    if not logits.isfinite().all():
        raise ValueError("logits that are not finite have no temperature: leave out examples that could not be read")
    # Over the true class: exactly 0 there, so that no rounding is left.
    excess = logits.double() - logits.double().gather(1, labels[:, None])

    def slope(inverse: float) -> float:
        """Of the mean loss by 1 / T, in which it is convex: the slope rises, and its root is the only minimum."""
        return float(((inverse * excess).softmax(1) * excess).sum(1).mean())

    if not excess.any():
        return 1.0
    if slope(1 / COLDEST) <= 0:
        return COLDEST
    if slope(1 / HOTTEST) >= 0:
        return HOTTEST
    return 1 / float(optimize.brentq(slope, 1 / HOTTEST, 1 / COLDEST, xtol=1e-12))


def scaled_probabilities(logits: Tensor, labels: Tensor, rng: np.random.Generator) -> tuple[Tensor, tuple[float, float]]:
    """Probabilities after temperature scaling, each half of the examples at the temperature fitted on the other half.

    So no example is judged by a temperature that has seen its label, and none is lost to fitting.
    logits: (N, C); labels: (N,) int64. Returns (N, C) float64, in the order of the logits, and the T fitted on the first and
    on the second of `split_halves`. ValueError as of `temperature`, and for N < 2.
    """
    first, second = split_halves(len(labels), rng)
    of_first, of_second = (temperature(logits[half], labels[half]) for half in (first, second))
    probabilities = torch.empty_like(logits, dtype=torch.float64)
    probabilities[first] = (logits[first].double() / of_second).softmax(1)
    probabilities[second] = (logits[second].double() / of_first).softmax(1)
    return probabilities, (of_first, of_second)


def split_halves(n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Two random halves of n examples, (n // 2,) and the rest, int64 in rising order. Raises ValueError for n < 2."""
    if n < 2:
        raise ValueError(f"n={n}: two halves need two examples")
    order = torch.from_numpy(rng.permutation(n))
    return order[: n // 2].sort().values, order[n // 2 :].sort().values
