"""Images that fit in memory: uint8 on the device, cropped, flipped and normalised there, a batch at a time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class ImageFacts:
    """What is true of a data set whatever a run does with it.

    input_shape: (channels, height, width). mean, std: per channel, on the scale 0 to 1.
    white: the pixel value that stands for 1. crop_padding, flip: the augmentation of the paper; 0 and False for none.
    train_count, test_count: examples of the official split, for estimates without the data.
    """

    num_classes: int
    input_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train_count: int
    test_count: int
    crop_padding: int = 0
    flip: bool = False
    white: int = 255


@dataclass(frozen=True)
class Arrays:
    """images: (N, H, W, C) uint8; labels: (N,) int64; of the training and the test set."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]
    provenance: str


@dataclass(frozen=True)
class Split:
    """images: (N, H, W, C) uint8. labels: (N,) int64, as trained on. corrupted: (N,) bool, label replaced by noise."""

    images: Tensor
    labels: Tensor
    corrupted: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, index: np.ndarray) -> Split:
        rows = torch.from_numpy(index)
        return Split(self.images[rows], self.labels[rows], self.corrupted[rows])


@dataclass(frozen=True)
class ImageData:
    """A data set ready to train on. `provenance` says what it is, `fingerprint` is a SHA-256 over all that is used of it."""

    facts: ImageFacts
    train: Split
    validation: Split | None
    test: Split
    provenance: str
    classes: tuple[str, ...]

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            if split is not None:
                digest.update(split.images.contiguous().numpy().data)
                digest.update(split.labels.numpy().data)
        return digest.hexdigest()


class ResidentImages:
    """One split on the device, served by index. Padded once, so that a crop is a gather and not a copy of its own."""

    def __init__(
        self, split: Split, facts: ImageFacts, *, padding: int, device: torch.device, channels_last: bool = True
    ) -> None:
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        # Zero padding of the raw pixels, before normalisation: black, as torchvision's RandomCrop in the authors' code.
        padded = F.pad(split.images, (0, 0, padding, padding, padding, padding))
        self.images = padded.to(device)
        self.labels = split.labels.to(device)
        self.padding = padding
        _, height, width = facts.input_shape
        self.rows = torch.arange(height, device=device)
        self.columns = torch.arange(width, device=device)
        # (x / white - mean) / std as one multiplication and one addition.
        std = torch.tensor(facts.std, device=device)
        self.scale = 1 / (facts.white * std)
        self.shift = -torch.tensor(facts.mean, device=device) / std

    def __len__(self) -> int:
        return len(self.labels)

    def fetch(self, index: Tensor, crop: Tensor | None = None, flip: Tensor | None = None) -> Tensor:
        """Normalised images (B, C, H, W) float32, in channels-last memory unless asked otherwise.

        index: (B,) int64. crop: (B, 2) int64, top and left corner in the padded image; None for the centre.
        flip: (B,) bool; None for no flip.
        """
        if crop is None:
            crop = torch.full((len(index), 2), self.padding, device=index.device)
        columns = self.columns.expand(len(index), -1)
        if flip is not None:
            columns = torch.where(flip[:, None], columns.flip(1), columns)
        rows = (crop[:, :1] + self.rows)[:, :, None]
        columns = (crop[:, 1:] + columns)[:, None, :]
        pixels = self.images[index[:, None, None], rows, columns]
        return (pixels * self.scale).add_(self.shift).permute(0, 3, 1, 2).contiguous(memory_format=self.layout)
