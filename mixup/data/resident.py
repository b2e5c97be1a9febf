"""Inputs that fit in memory: stored on the device, augmented and normalised there, one batch at a time."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mixup.data.crops import cut_resident, random_resized_crop
from mixup.data.dataset import Split
from mixup.data.datasets import DatasetInfo


class Normalise:
    """(x / white - mean) / std as one multiplication and one addition; (B, H, W, C) to (B, C, H, W) float32."""

    def __init__(self, info: DatasetInfo, *, device: torch.device, channels_last: bool) -> None:
        _, height, width = info.input_shape
        std = torch.tensor(info.std, device=device)
        # One value for each pixel and channel: an inner loop over three channels takes a CPU twice as long.
        self.scale = (1 / (info.white * std)).repeat(height * width)
        self.shift = (-torch.tensor(info.mean, device=device) / std).repeat(height * width)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, pixels: Tensor) -> Tensor:
        values = pixels.float()
        values.view(len(values), self.scale.numel()).mul_(self.scale).add_(self.shift)
        return self.arrange(values)

    def arrange(self, values: Tensor) -> Tensor:
        """(B, H, W, C), already normalised, to (B, C, H, W)."""
        images = values.permute(0, 3, 1, 2).contiguous(memory_format=self.layout)
        # One channel lies alike in both layouts, and its strides would tell torch that it is the other one.
        return images if self.layout == torch.channels_last else images.view(images.shape)

    def all_at_once(self, images: Tensor) -> Tensor:
        """Images of any height and width, (N, H, W, C) uint8, to float32: the values that a crop of them then has."""
        channels = images.shape[-1]
        normalised = torch.empty(images.shape, device=images.device)
        for part, values in zip(images.split(1000), normalised.split(1000), strict=True):
            values.copy_(part).mul_(self.scale[:channels]).add_(self.shift[:channels])
        return normalised


class ResidentImages:
    """One split of images of one size, fetched by index; a crop is a gather from padded images.

    images: (N, H + 2 * padding, W + 2 * padding, C) on the device, uint8, or float32 if they are normalised once: four times
    the memory, and less work for a GPU. Boxes to enlarge are cut from uint8 alone.
    """

    def __init__(
        self,
        split: Split,
        info: DatasetInfo,
        *,
        padding: int,
        device: torch.device,
        channels_last: bool = True,
        normalise_once: bool = False,
    ) -> None:
        assert isinstance(split.inputs, Tensor)
        # Zero padding of the raw pixels, before normalisation: black, as torchvision's RandomCrop in the authors' code.
        padded = F.pad(split.inputs, (0, 0, padding, padding, padding, padding))
        self.images = padded.to(device)
        self.labels = split.labels.to(device)
        self.unreadable: dict[int, str] = {}
        self.padding = padding
        _, self.height, self.width = info.input_shape
        normalise = Normalise(info, device=device, channels_last=channels_last)
        self.finish = normalise.arrange if normalise_once else normalise
        if normalise_once:
            self.images = normalise.all_at_once(self.images)
        # Every crop of every image, (N, tops, lefts, H, W, C), without a copy: a gather of whole rows, not of pixels.
        self.crops = self.images.unfold(1, self.height, 1).unfold(2, self.width, 1).permute(0, 1, 2, 4, 5, 3)

    def __len__(self) -> int:
        return len(self.labels)

    def fetch(self, index: Tensor, crop: Tensor | None = None, flip: Tensor | None = None) -> Tensor:
        """Augmented, normalised images (B, C, H, W) float32, in channels-last memory by default.

        index: (B,) int64. crop: (B, 2) int64, top and left corner in the padded image, or (B, 4), boxes to enlarge, as
        `boxes` returns them; None for the centre. flip: (B,) bool, mirrored left to right; None for no flip.
        """
        if crop is None:
            crop = torch.full((len(index), 2), self.padding, device=index.device)
        if crop.shape[1] == 4:
            assert flip is not None
            return self.finish(cut_resident(self.images, index, crop, flip))
        pixels = self.crops[index, crop[:, 0], crop[:, 1]]
        return self.finish(pixels if flip is None else torch.where(flip[:, None, None, None], pixels.flip(2), pixels))

    def boxes(self, seeds: Tensor) -> Tensor:
        """The random resized crops of some seeds: top, left, height and width. (N,) int64 -> (N, 4) int64, on the CPU."""
        size = np.full(len(seeds), self.height), np.full(len(seeds), self.width)
        return torch.from_numpy(random_resized_crop(seeds.numpy(), *size))

    def in_order(self, chunks: Sequence[slice]) -> Iterator[tuple[Tensor, Tensor]]:
        for chunk in chunks:
            index = torch.arange(chunk.start, chunk.stop, device=self.labels.device)
            yield index, self.fetch(index)


class ResidentFeatures:
    """One split of features that come normalised, such as spectrograms and tables; they are not augmented."""

    def __init__(self, split: Split, *, device: torch.device) -> None:
        assert isinstance(split.inputs, Tensor)
        self.features = split.inputs.to(device)
        self.labels = split.labels.to(device)
        self.unreadable: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def fetch(self, index: Tensor, crop: Tensor | None = None, flip: Tensor | None = None) -> Tensor:
        """The features of some examples, (B, *input_shape) float32. Features have no crop and no flip: both are ignored."""
        return self.features[index]

    def in_order(self, chunks: Sequence[slice]) -> Iterator[tuple[Tensor, Tensor]]:
        for chunk in chunks:
            yield torch.arange(chunk.start, chunk.stop, device=self.labels.device), self.features[chunk]
