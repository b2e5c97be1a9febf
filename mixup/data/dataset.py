"""A dataset as the run holds it: splits of inputs and labels, where they came from, what identifies them, and which examples
and labels are trained on: subsets, held-out splits, and the corruption of section 3.4."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixup.data.datasets import DatasetInfo
from mixup.data.sources.storage import Files
from mixup.errors import UserError
from mixup.run.records import same_data


@dataclass(frozen=True)
class Split:
    """Examples with their labels.

    inputs: images (N, H, W, C) uint8, features (N, ...) float32, or encoded images as `Files`.
    labels: (N,) int64, as trained on. corrupted: (N,) bool, label replaced by noise.
    identity: (N, 8) uint8, a digest of each example that goes into the fingerprint in place of inputs that are computed, or
    too many to be read; None if the inputs themselves go into it.
    source: (N, 8) uint8, for inputs in floats that another numpy may round in another way: a digest of each example that
    holds all that it was computed from; None for other inputs.
    """

    inputs: Tensor | Files
    labels: Tensor
    corrupted: Tensor
    identity: Tensor | None = None
    source: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def files(self) -> Files:
        """The inputs of a split that is not in memory."""
        assert isinstance(self.inputs, Files)
        return self.inputs

    def select(self, index: np.ndarray) -> "Split":
        """The examples at these positions, in this order; index: (N,), whole numbers."""
        rows = torch.from_numpy(index)
        identity, source = (None if values is None else values[rows] for values in (self.identity, self.source))
        return Split(self.inputs[rows], self.labels[rows], self.corrupted[rows], identity, source)


def split_of(inputs: Tensor | Files | np.ndarray, labels: np.ndarray) -> Split:
    """A split with the labels that the dataset came with."""
    if isinstance(inputs, np.ndarray):
        inputs = torch.from_numpy(inputs)
    return Split(inputs, torch.from_numpy(labels), torch.zeros(len(labels), dtype=torch.bool))


@dataclass(frozen=True)
class Dataset:
    """A dataset ready to train on.

    provenance: what it is, in words, with everything that is missing from the official one.
    absent: number of files that an official list names and that are missing, by split.
    left_out: number of files that lie among the examples and are none, by ending, such as `.txt`, `hidden`, `folder`.
    remarks: sentences on files that are absent or left out, for the user to read.
    measured: facts of images of the user's, for the record: input_shape; mean and std by channel.
    """

    info: DatasetInfo
    train: Split
    validation: Split | None
    test: Split
    provenance: str
    classes: tuple[str, ...]
    absent: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    measured: Mapping[str, list[Any]] = field(default_factory=dict)

    @property
    def splits(self) -> dict[str, Split]:
        """Those that there are, by name: train, validation, test."""
        return {part: split for part in ("train", "validation", "test") if (split := getattr(self, part)) is not None}

    def with_splits(self, splits: Mapping[str, Any]) -> "Dataset":
        """The dataset with other splits, by name, and everything else unchanged."""
        return replace(self, **splits)

    def fingerprint(self) -> str:
        """A SHA-256 over the labels, and the inputs or their identities, of all splits."""
        return self.digest(
            {part: split.inputs if split.identity is None else split.identity for part, split in self.splits.items()}
        )

    def source_fingerprint(self) -> str | None:
        """The same over the sources, which is equal wherever these are, to the bit; None for data without sources."""
        sources = {part: split.source for part, split in self.splits.items()}
        return None if None in sources.values() else self.digest(sources)

    def fingerprints(self) -> dict[str, str | None]:
        """Both, as records and checkpoints have them."""
        return {"fingerprint": self.fingerprint(), "source_fingerprint": self.source_fingerprint()}

    def digest(self, contents: Mapping[str, Any]) -> str:
        """contents: a tensor (N, ...) for each split."""
        digest = hashlib.sha256()
        for part, content in contents.items():
            assert isinstance(content, Tensor), "files have an identity"
            digest.update(content.contiguous().numpy().data)
            digest.update(self.splits[part].labels.numpy().data)
        return digest.hexdigest()

    def is_that_of(self, recorded: Mapping[str, Any]) -> bool:
        """Whether a record or a checkpoint with this `fingerprint` and, if it has one, `source_fingerprint` is of this data:
        of equal values, or of values that were computed from the same."""
        return same_data(self.fingerprints(), recorded)


def identities(contents: Iterable[bytes]) -> Tensor:
    """(N, 8) uint8, the first eight bytes of the SHA-256 of each."""
    digests = b"".join(hashlib.sha256(content).digest()[:8] for content in contents)
    return torch.frombuffer(bytearray(digests), dtype=torch.uint8).reshape(-1, 8)


def hold_out(data: Dataset, share: float, rng: np.random.Generator) -> Dataset:
    """A share of the training set, class-balanced, as the validation set. UserError if there is one already."""
    if data.validation is not None:
        raise UserError(f"data.validation={share}: {data.provenance} has an official validation set; leave it at 0")
    count, train = round(share * len(data.train)), data.train
    if not 0 < count < len(train):
        raise UserError(f"data.validation={share}: {count} of {len(train):,} examples held out; use another share")
    index = balanced_subset(train.labels.numpy(), count, rng)
    rest = np.setdiff1d(np.arange(len(train)), index)
    return replace(data, train=train.select(rest), validation=train.select(index))


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
