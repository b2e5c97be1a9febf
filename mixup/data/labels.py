"""Which training examples, and with which labels: subsets, held-out splits, and the corruption of section 3.4."""

import numpy as np

from mixup.errors import UserError


def balanced_subset(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of `size` examples, as many of each class as can be (class counts differ by one at most), in rising order.

    labels: (N,) int. Raises UserError where a class has too few examples.
    """
    classes, counts = np.unique(labels, return_counts=True)
    quota = np.full(len(classes), size // len(classes))
    order = rng.permutation(len(classes))
    # The remainder goes to classes that have one to spare, before those that have not.
    order = order[np.argsort(counts[order] <= quota[order], kind="stable")]
    quota[order[: size % len(classes)]] += 1
    chosen = []
    for label, count in zip(classes, quota):
        members = np.flatnonzero(labels == label)
        if count > len(members):
            raise UserError(
                f"{size} of {len(labels)} examples cannot be class-balanced: class {label} has {len(members)} of the "
                f"{count} it needs; use a smaller data.train_size or data.validation"
            )
        chosen.append(rng.permutation(members)[:count])
    return np.sort(np.concatenate(chosen))


def corrupt(labels: np.ndarray, num_classes: int, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Replaces each label, with probability `share`, by a uniform draw over all classes (section 3.4).

    The rule of pluskid/fitting-random-labels, which the paper adapts: the draw may give the true class back, so of 10
    classes 9/10 of the replaced labels are wrong. Returns the labels and the mask of those replaced, both (N,).
    """
    replaced = rng.random(len(labels)) < share
    return np.where(replaced, rng.integers(0, num_classes, len(labels)), labels), replaced
