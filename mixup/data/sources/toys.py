"""Figure 1(b)'s toy problem: points of two classes on two rings in the plane, one around the other (section 1).

The paper draws it without stating how it was made. Measured from its vector drawing (PAPER.md 1.1): the outer ring is 3.3
times as large, and radii deviate by 16 % on the inner and 8 % on the outer one. Class 1 is inside, 0 outside. The unit is
the outer radius. As many points of each class, and how many, are our choice: the drawing shows 256 of the inner one.
"""

from __future__ import annotations

import numpy as np

from mixup.data.dataset import Dataset, Split, split_of
from mixup.data.datasets import dataset_info

RADIUS = (1.0, 1 / 3.3)  # of class 0, outside, and of class 1, inside
DEVIATION = (0.08, 0.16)  # of a point's radius, over the ring's


def rings(rng: np.random.Generator) -> Dataset:
    """Points (N, 2) float32 and their classes, drawn anew: the same ones from the same generator."""
    info = dataset_info("rings")

    def drawn(count: int) -> Split:
        labels = np.arange(count, dtype=np.int64) % 2
        radius = np.take(RADIUS, labels) * (1 + np.take(DEVIATION, labels) * rng.standard_normal(count))
        angle = 2 * np.pi * rng.random(count)
        points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
        return split_of(points.astype(np.float32), labels)

    train, test = drawn(info.train_count), drawn(info.test_count)
    return Dataset(info, train, None, test, "two rings, drawn as needed", ("outer", "inner"))
