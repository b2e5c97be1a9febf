"""A data set as the run holds it: splits of inputs and labels, where they came from, and what identifies them."""

from __future__ import annotations

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
    """inputs: images (N, H, W, C) uint8, features (N, ...) float32, or encoded images as `Files`. labels: (N,) int64, as
    trained on. corrupted: (N,) bool, label replaced by noise. identity: (N, 8) uint8, a digest of each example that stands
    for it in the fingerprint where the inputs are computed, or too many to be read; None where they stand for themselves.
    """

    inputs: Tensor | Files
    labels: Tensor
    corrupted: Tensor
    identity: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, index: np.ndarray) -> Split:
        rows = torch.from_numpy(index)
        identity = None if self.identity is None else self.identity[rows]
        return Split(self.inputs[rows], self.labels[rows], self.corrupted[rows], identity)


def split_of(inputs: Tensor | Files | np.ndarray, labels: np.ndarray, identity: np.ndarray | None = None) -> Split:
    """A split with the labels that the data set came with."""
    return Split(
        torch.from_numpy(inputs) if isinstance(inputs, np.ndarray) else inputs,
        torch.from_numpy(labels),
        torch.zeros(len(labels), dtype=torch.bool),
        None if identity is None else torch.from_numpy(identity),
    )


@dataclass(frozen=True)
class Dataset:
    """A data set ready to train on. `provenance` says what it is. absent: files that an official list names and that are
    not there, by split."""

    info: DatasetInfo
    train: Split
    validation: Split | None
    test: Split
    provenance: str
    classes: tuple[str, ...]
    absent: Mapping[str, int] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """A SHA-256 over all that is used of it: labels, and inputs or what stands for them."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            if split is not None:
                content = split.inputs if split.identity is None else split.identity
                assert isinstance(content, Tensor), "files have an identity"
                digest.update(content.contiguous().numpy().data)
                digest.update(split.labels.numpy().data)
        return digest.hexdigest()


def identities(names: list[bytes]) -> np.ndarray:
    """(N, 8) uint8, the first eight bytes of the SHA-256 of each."""
    digests = b"".join(hashlib.sha256(name).digest()[:8] for name in names)
    return np.frombuffer(digests, np.uint8).reshape(-1, 8).copy()
