"""A dataset as the run holds it: splits of inputs and labels, where they came from, and what identifies them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mixup.data.datasets import DatasetInfo
from mixup.data.sources.encoded import Files


@dataclass(frozen=True)
class Split:
    """Examples with their labels.

    inputs: images (N, H, W, C) uint8, features (N, ...) float32, or encoded images as `Files`.
    labels: (N,) int64, as trained on. corrupted: (N,) bool, label replaced by noise.
    identity: (N, 8) uint8, a digest of each example that goes into the fingerprint in place of inputs that are computed, or
    too many to be read; None if the inputs themselves go into it.
    """

    inputs: Tensor | Files
    labels: Tensor
    corrupted: Tensor
    identity: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def files(self) -> Files:
        """The inputs of a split that is not in memory."""
        assert isinstance(self.inputs, Files)
        return self.inputs

    def select(self, index: np.ndarray) -> "Split":
        rows = torch.from_numpy(index)
        identity = None if self.identity is None else self.identity[rows]
        return Split(self.inputs[rows], self.labels[rows], self.corrupted[rows], identity)


def split_of(inputs: Tensor | Files | np.ndarray, labels: np.ndarray, identity: Tensor | None = None) -> Split:
    """A split with the labels that the dataset came with."""
    if isinstance(inputs, np.ndarray):
        inputs = torch.from_numpy(inputs)
    return Split(inputs, torch.from_numpy(labels), torch.zeros(len(labels), dtype=torch.bool), identity)


@dataclass(frozen=True)
class Dataset:
    """A dataset ready to train on.

    provenance: what it is, in words, with everything that is missing from the official one.
    absent: number of files that an official list names and that are missing, by split.
    """

    info: DatasetInfo
    train: Split
    validation: Split | None
    test: Split
    provenance: str
    classes: tuple[str, ...]
    absent: Mapping[str, int] = field(default_factory=dict)

    @property
    def splits(self) -> dict[str, Split]:
        """Those that there are, by name: train, validation, test."""
        return {part: split for part in ("train", "validation", "test") if (split := getattr(self, part)) is not None}

    def fingerprint(self) -> str:
        """A SHA-256 over the labels, and the inputs or their identities, of all splits."""
        digest = hashlib.sha256()
        for split in self.splits.values():
            content = split.inputs if split.identity is None else split.identity
            assert isinstance(content, Tensor), "files have an identity"
            digest.update(content.contiguous().numpy().data)
            digest.update(split.labels.numpy().data)
        return digest.hexdigest()


def identities(contents: list[bytes]) -> Tensor:
    """(N, 8) uint8, the first eight bytes of the SHA-256 of each."""
    digests = b"".join(hashlib.sha256(content).digest()[:8] for content in contents)
    return torch.frombuffer(bytearray(digests), dtype=torch.uint8).reshape(-1, 8)
