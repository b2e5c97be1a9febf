"""How much of a mixture of Gaussians a set of samples covers, and how many of the samples belong to it."""

from dataclasses import dataclass

import numpy as np

COVERED = 0.1  # of an equal share of the samples must lie at a mode for it to count


@dataclass(frozen=True)
class Coverage:
    """modes: how many are covered. good_share: samples within the radius of some centre, in percent."""

    modes: int
    good_share: float


def coverage(samples: np.ndarray, centres: np.ndarray, *, radius: float) -> Coverage:
    """Modes that have samples, and samples that have a mode.

    samples: (N, 2); centres: (K, 2). A sample is good where its nearest centre is at most `radius` away: of real points
    98.9 % are at three standard deviations. A mode is covered where its good samples are at least a tenth of N / K: of
    1,000 samples 13 on the ring and 4 on the grid. A mode that a few stray samples hit, or samples on the line between two
    other modes, therefore does not count. Samples that are not finite are not good. Raises ValueError for N = 0.
    """
    if len(samples) == 0:
        raise ValueError("the coverage of no samples is undefined")
    distances = np.linalg.norm(samples[:, None].astype(np.float64) - centres, axis=2)
    nearest = distances.argmin(1)
    good = np.take_along_axis(distances, nearest[:, None], 1)[:, 0] <= radius
    counts = np.bincount(nearest[good], minlength=len(centres))
    return Coverage(int((counts >= COVERED * len(samples) / len(centres)).sum()), 100 * float(good.mean()))
