"""Random resized crops (scale and aspect-ratio distortion, section 3.1): their boxes, and how they are cut.

The distribution is torchvision's RandomResizedCrop at its defaults. A box is a pure function of a seed and the image's size,
whichever process cuts it, and whenever.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from PIL import Image

SCALE = (0.08, 1.0)  # of the image's area
RATIO = (3 / 4, 4 / 3)  # width over height, log-uniform
TRIES = 10


def random_resized_crop(seeds: np.ndarray, heights: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """A box inside each image: top, left, height and width, (N, 4) int64. seeds: (N,) int64; heights, widths: (N,) pixels.

    The first of ten random boxes that fits, or the largest central box of an allowed ratio if none fits.
    """
    area, ratio, top, left = uniforms(seeds, 4 * TRIES).reshape(-1, 4, TRIES).transpose(1, 0, 2)
    areas = (heights * widths)[:, None] * (SCALE[0] + (SCALE[1] - SCALE[0]) * area)
    ratios = np.exp(math.log(RATIO[0]) + (math.log(RATIO[1]) - math.log(RATIO[0])) * ratio)
    tall, wide = np.rint(np.sqrt(areas / ratios)), np.rint(np.sqrt(areas * ratios))
    fits = (tall > 0) & (tall <= heights[:, None]) & (wide > 0) & (wide <= widths[:, None])
    first = (np.arange(len(seeds)), fits.argmax(1))
    height, width = tall[first].astype(np.int64), wide[first].astype(np.int64)
    tops = (top[first] * (heights - height + 1)).astype(np.int64)
    lefts = (left[first] * (widths - width + 1)).astype(np.int64)
    box = np.stack([tops, lefts, height, width], axis=1)
    height = np.minimum(heights, np.rint(widths / RATIO[0])).astype(np.int64)
    width = np.minimum(widths, np.rint(heights * RATIO[1])).astype(np.int64)
    central_box = np.stack([(heights - height) // 2, (widths - width) // 2, height, width], axis=1)
    return np.where(fits.any(1)[:, None], box, central_box)


def uniforms(seeds: np.ndarray, count: int) -> np.ndarray:
    """(N, count) float64 in [0, 1): SplitMix64 of each seed (Steele et al. 2014), for all seeds at once.

    numpy's own generators cannot be seeded by the thousand; SplitMix64 has no state but the seed.
    """
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = seeds.astype(np.uint64)[:, None] + steps
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


def cut(image: Image.Image, box: np.ndarray, size: tuple[int, int]) -> Tensor:
    """The box of a colour image, resized to (height, width): bilinear, antialiased, as torchvision does. (3, H, W) uint8."""
    top, left, height, width = map(int, box)
    if (left, top, width, height) != (0, 0, *image.size):
        image = image.crop((left, top, left + width, top + height))
    return resized(image, size)


def centre(image: Image.Image, resize: int, size: tuple[int, int]) -> Tensor:
    """The view at test time: the shorter side resized to `resize`, then the centre of (height, width). (3, H, W) uint8."""
    short = min(image.size)
    view = resized(image, (image.height * resize // short, image.width * resize // short))
    top, left = (round((length - crop) / 2) for length, crop in zip(view.shape[1:], size))
    return view[:, top : top + size[0], left : left + size[1]]


def resized(image: Image.Image, size: tuple[int, int]) -> Tensor:
    """(3, H, W) uint8. In integer arithmetic, three times as fast as PIL and within one level of it."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    if pixels.shape[1:] == size:
        return pixels
    return F.interpolate(pixels[None], size, mode="bilinear", antialias=True)[0]


def cut_resident(images: Tensor, index: Tensor, boxes: Tensor, flip: Tensor) -> Tensor:
    """`cut` for images of the output's size that are on the device: they are enlarged only, so nothing is antialiased.

    images: (N, H, W, C) uint8; index, flip: (B,); boxes: (B, 4). Returns (B, H, W, C) float32, 0 to 255, unrounded.
    """
    _, height, width, _ = images.shape
    columns = torch.arange(width, device=images.device).expand(len(index), -1)
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    above, below, down = taps(torch.arange(height, device=images.device), boxes[:, 0], boxes[:, 2], height)
    before, after, right = taps(columns, boxes[:, 1], boxes[:, 3], width)

    def row(at: Tensor) -> Tensor:
        """Image rows (B, H), interpolated between columns."""
        left_pixels, right_pixels = (
            images[index[:, None, None], at[:, :, None], column[:, None]].float() for column in (before, after)
        )
        return torch.lerp(left_pixels, right_pixels, right[:, None, :, None])

    return torch.lerp(row(above), row(below), down[:, :, None, None])


def taps(at: Tensor, first: Tensor, length: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The two pixels around the centre of each output pixel, and the weight of the second. (B, size) each."""
    centre = ((at + 0.5) * length[:, None] / size - 0.5).clamp(min=0)
    near = centre.floor().long()
    weight = centre - near
    far = torch.minimum(near + 1, length[:, None] - 1)
    return first[:, None] + near, first[:, None] + far, weight
