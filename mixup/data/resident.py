"""Inputs that fit in memory: on the device, augmented and normalised there, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mixup.data.crops import cut_resident, random_resized_crop
from mixup.data.dataset import Split
from mixup.data.datasets import DatasetInfo


@dataclass(frozen=True)
class Arrays:
    """images: (N, H, W, C) uint8; labels: (N,) int64; of the training and the test set."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]
    provenance: str


class Views(Protocol):
    """What data needs of an epoch's plan (`plan.EpochPlan`): which example at each position, and how it is augmented."""

    @property
    def order(self) -> Tensor: ...
    @property
    def partner(self) -> Tensor: ...
    @property
    def crop(self) -> Tensor: ...
    @property
    def flip(self) -> Tensor: ...
    @property
    def crop_seed(self) -> Tensor | None: ...


class Visit(Protocol):
    """What one training step can see of the data, by position in the epoch."""

    def at(self, positions: slice | Tensor) -> Tensor:
        """The augmented, normalised inputs at some positions, (B, *input_shape) float32."""


class Examples(Protocol):
    """One split, ready to be trained on or evaluated: resident on the device, or streamed from files.

    labels: (N,) int64 on the device. unreadable: example -> why, for files that `data.on_error=skip` left out.
    """

    labels: Tensor
    unreadable: dict[int, str]

    def __len__(self) -> int: ...

    def visits(self, plan: Views, steps: Sequence[slice]) -> Iterator[tuple[Visit, slice | Tensor]]:
        """For each step's positions, what it sees and those of the positions that can be trained on."""

    def in_order(self, chunks: Sequence[slice]) -> Iterator[tuple[Tensor, Tensor]]:
        """For each chunk of examples, the index of those that can be read and their inputs, without augmentation."""


class Normalise:
    """(x / white - mean) / std as one multiplication and one addition; (B, H, W, C) to (B, C, H, W) float32."""

    def __init__(self, info: DatasetInfo, *, device: torch.device, channels_last: bool) -> None:
        _, height, width = info.input_shape
        std = torch.tensor(info.std, device=device)
        # One value a pixel and channel: to run along three channels takes a CPU twice as long.
        self.scale = (1 / (info.white * std)).repeat(height * width)
        self.shift = (-torch.tensor(info.mean, device=device) / std).repeat(height * width)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, pixels: Tensor) -> Tensor:
        values = pixels.float()
        values.view(len(values), self.scale.numel()).mul_(self.scale).add_(self.shift)
        return values.permute(0, 3, 1, 2).contiguous(memory_format=self.layout)


class ResidentImages:
    """One split of images of one size, served by index. Padded once, so that a crop is a gather and no copy of its own."""

    def __init__(
        self, split: Split, info: DatasetInfo, *, padding: int, device: torch.device, channels_last: bool = True
    ) -> None:
        assert isinstance(split.inputs, Tensor)
        # Zero padding of the raw pixels, before normalisation: black, as torchvision's RandomCrop in the authors' code.
        padded = F.pad(split.inputs, (0, 0, padding, padding, padding, padding))
        self.images = padded.to(device)
        self.labels = split.labels.to(device)
        self.unreadable: dict[int, str] = {}
        self.padding = padding
        _, self.height, self.width = info.input_shape
        self.rows = torch.arange(self.height, device=device)
        self.columns = torch.arange(self.width, device=device)
        self.normalise = Normalise(info, device=device, channels_last=channels_last)

    def __len__(self) -> int:
        return len(self.labels)

    def fetch(
        self, index: Tensor, crop: Tensor | None = None, flip: Tensor | None = None, box: Tensor | None = None
    ) -> Tensor:
        """Normalised images (B, C, H, W) float32, in channels-last memory unless asked otherwise.

        index: (B,) int64. crop: (B, 2) int64, top and left corner in the padded image; None for the centre.
        flip: (B,) bool; None for no flip. box: (B, 4) int64, a part to be enlarged to the whole, instead of a crop.
        """
        if box is not None:
            assert flip is not None
            return self.normalise(cut_resident(self.images, index, box, flip))
        if crop is None:
            crop = torch.full((len(index), 2), self.padding, device=index.device)
        columns = self.columns.expand(len(index), -1)
        if flip is not None:
            columns = torch.where(flip[:, None], columns.flip(1), columns)
        rows = (crop[:, :1] + self.rows)[:, :, None]
        columns = (crop[:, 1:] + columns)[:, None, :]
        return self.normalise(self.images[index[:, None, None], rows, columns])

    def visits(self, plan: Views, steps: Sequence[slice]) -> Iterator[tuple[ResidentVisit, slice]]:
        boxes = None
        if plan.crop_seed is not None:
            size = np.full(len(plan.crop_seed), self.height), np.full(len(plan.crop_seed), self.width)
            boxes = torch.from_numpy(random_resized_crop(plan.crop_seed.cpu().numpy(), *size)).to(self.labels.device)
        visit = ResidentVisit(self, plan, boxes)
        for positions in steps:
            yield visit, positions

    def in_order(self, chunks: Sequence[slice]) -> Iterator[tuple[Tensor, Tensor]]:
        for chunk in chunks:
            index = torch.arange(chunk.start, chunk.stop, device=self.labels.device)
            yield index, self.fetch(index)


@dataclass(frozen=True)
class ResidentVisit:
    """Every step can see all of the data: a partner is fetched by index, so it may be another rank's."""

    images: ResidentImages
    plan: Views
    boxes: Tensor | None

    def at(self, positions: slice | Tensor) -> Tensor:
        plan = self.plan
        box = None if self.boxes is None else self.boxes[positions]
        return self.images.fetch(plan.order[positions], plan.crop[positions], plan.flip[positions], box)


class ResidentFeatures:
    """One split of features that come normalised, such as spectrograms and tables: nothing is done to them but mixing."""

    def __init__(self, split: Split, *, device: torch.device) -> None:
        assert isinstance(split.inputs, Tensor)
        self.features = split.inputs.to(device)
        self.labels = split.labels.to(device)
        self.unreadable: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def visits(self, plan: Views, steps: Sequence[slice]) -> Iterator[tuple[FeatureVisit, slice]]:
        visit = FeatureVisit(self.features, plan.order)
        for positions in steps:
            yield visit, positions

    def in_order(self, chunks: Sequence[slice]) -> Iterator[tuple[Tensor, Tensor]]:
        for chunk in chunks:
            yield torch.arange(chunk.start, chunk.stop, device=self.labels.device), self.features[chunk]


@dataclass(frozen=True)
class FeatureVisit:
    features: Tensor
    order: Tensor

    def at(self, positions: slice | Tensor) -> Tensor:
        return self.features[self.order[positions]]
