"""Datasets that need no file: scikit-learn's digits, and the two rings of figure 1(b).

The paper draws the rings (section 1) without stating how they were made. Measured from its vector drawing (PAPER.md 1.1):
the outer ring is 3.3 times as large, and radii deviate by 16 % on the inner and 8 % on the outer one. Class 1 is inside, 0
outside. The unit is the outer radius. The number of points, and as many of each class, are our choice: the drawing shows
256 of the inner one.
"""

from dataclasses import replace

import numpy as np

from mixup.data.dataset import Dataset, Split, identities, split_of
from mixup.data.datasets import dataset_info

RADIUS = (1.0, 1 / 3.3)  # of class 0, outside, and of class 1, inside
DEVIATION = (0.08, 0.16)  # of a point's radius, over the ring's


def digits() -> Dataset:
    """scikit-learn's 1,797 digits, (N, 8, 8, 1) uint8, pixels 0 to 16. First half to train, second to test, as in
    scikit-learn's own example: writers follow one another in the file, so the test set's are almost all new ones."""
    from sklearn.datasets import load_digits

    bundle = load_digits()
    images, labels = bundle.images.astype(np.uint8)[..., None], bundle.target.astype(np.int64)
    half = len(labels) // 2
    train, test = split_of(images[:half], labels[:half]), split_of(images[half:], labels[half:])
    return Dataset(dataset_info("digits"), train, None, test, "scikit-learn digits", tuple(map(str, bundle.target_names)))


def rings(rng: np.random.Generator) -> Dataset:
    """Points (N, 2) float32 and their classes, drawn anew: the same ones from the same generator."""
    info = dataset_info("rings")
    train, test = draw_rings(info.train_count, rng), draw_rings(info.test_count, rng)
    return Dataset(info, train, None, test, "two rings, drawn as needed", ("outer", "inner"))


def draw_rings(count: int, rng: np.random.Generator) -> Split:
    """`count` points, of the two classes in turn."""
    labels = np.arange(count, dtype=np.int64) % 2
    radius = np.take(RADIUS, labels) * (1 + np.take(DEVIATION, labels) * rng.standard_normal(count))
    turn = rng.random(count)  # exact on any machine, and another one wherever the normal numbers before it are others
    angle = 2 * np.pi * turn
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    source = identities(f"{RADIUS} {DEVIATION} {value.hex()}".encode() for value in turn.tolist())
    return replace(split_of(points.astype(np.float32), labels), source=source)
