"""The difference of two networks on the same test examples, with intervals over the choice of examples.

The intervals are for these two networks as they are. They say nothing of other seeds, whose runs the ledger compares in
pairs: two networks of one recipe also differ by such an interval.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

VALUES_AT_ONCE = 2**22  # resampled values in memory, 8 bytes each, and as many indices


@dataclass(frozen=True)
class Difference:
    """Mean of b - a, and the ends of its interval, in the units of the values."""

    mean: float
    low: float
    high: float


def paired_bootstrap(
    a: np.ndarray, b: np.ndarray, rng: np.random.Generator, *, resamples: int = 10_000, level: float = 0.95
) -> Difference:
    """Mean of b - a with its percentile bootstrap interval, examples resampled in pairs (Efron & Tibshirani 1993, ch. 13).

    a, b: (N,), one value for each example, such as 0/1 errors, losses, or Brier scores; the same examples in both.
    Where all differences are equal the interval is that one value. For N below about 30 it is a little too narrow.
    Raises ValueError for other shapes, N = 0, values that are not finite, or a level outside (0, 1).
    """
    a, b = (np.asarray(values, dtype=np.float64) for values in (a, b))
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        raise ValueError(f"shapes {a.shape} and {b.shape}: give one value for each example, of the same examples")
    differences = b - a
    if not np.isfinite(differences).all():
        raise ValueError("values that are not finite: leave out those examples in both")
    if not 0 < level < 1:
        raise ValueError(f"level={level}: give a share between 0 and 1, such as 0.95")
    mean = float(differences.mean())
    if np.ptp(differences) == 0:
        return Difference(mean, mean, mean)
    # The mean's difference is the differences' mean, so one sample is enough. The percentile method rather than BCa, which
    # costs N^2 and is no better at the size of a test set: at N = 100 both cover 93 to 96 % of the time.
    interval = stats.bootstrap(
        (differences,),
        np.mean,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, VALUES_AT_ONCE // len(differences)),
        confidence_level=level,
        method="percentile",
        random_state=rng,  # the name that scipy before 1.15 knows
    ).confidence_interval
    return Difference(mean, float(interval.low), float(interval.high))


def binned_bootstrap(a: np.ndarray, b: np.ndarray, rng: np.random.Generator, *, resamples: int = 2000) -> Difference:
    """`paired_bootstrap` of sums over bins of |mean over examples|, such as calibration errors. a, b: (N, bins).

    Resampling makes every gap wider, in a and b unequally: the interval is moved by what that does to the mean.
    """

    def total(gaps: np.ndarray) -> np.ndarray:
        return np.abs(gaps).sum(-1)

    count, resampled = len(a), []
    for _ in range(resamples):
        times = np.bincount(rng.integers(count, size=count), minlength=count)  # how often each example is drawn
        resampled.append(total(times @ b / count) - total(times @ a / count))
    mean = float(total(b.mean(0)) - total(a.mean(0)))
    low, high = np.quantile(resampled, [0.025, 0.975]) - np.mean(resampled) + mean
    return Difference(mean, float(low), float(high))
