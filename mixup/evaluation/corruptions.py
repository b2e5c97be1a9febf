"""Corrupted images, to see how far a network's accuracy and confidence carry beyond its data. Not in the paper.

Four of the kinds of Hendrycks & Dietterich (2019), at three severities of our own: their code is for images of 224 and 32
pixels, and its results are not to be compared with these. Everything is in pixels, float (B, C, H, W) from 0 to 255, grey or
RGB, and stays in that range; only JPEG rounds to whole grey levels. `CORRUPTIONS` are functions of (pixels, severity, rng)
by name. Those without chance leave the generator as it was. Severities are equal for all image sizes: a blur of two pixels
is worse for small images than for large ones, so compare networks on one data set alone.
"""

import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from mixup.evaluation.finished_run import WHITE

SEVERITIES = (1, 2, 3)  # and by severity:
NOISE_STD = (8.0, 16.0, 32.0)  # grey levels, of 255
BLUR_SIGMA = (0.5, 1.0, 2.0)  # pixels
CONTRAST_LEFT = (0.6, 0.4, 0.2)  # share of a pixel's distance from the image's mean grey
JPEG_QUALITY = (50, 25, 10)  # libjpeg's scale, 100 is the best
BLUR_REACH = 3  # deviations after which the Gaussian is cut off


def noise(pixels: Tensor, severity: int, rng: torch.Generator) -> Tensor:
    """Independent Gaussian noise on every pixel and channel, drawn on the device of `rng`: a CPU's is the same anywhere."""
    normal = torch.randn(pixels.shape, generator=rng, device=rng.device).to(pixels.device)
    return (pixels + strength(NOISE_STD, severity) * normal).clamp(0, WHITE)


def blur(pixels: Tensor, severity: int, rng: torch.Generator) -> Tensor:
    """A Gaussian blur, mirrored at the edges."""
    sigma = strength(BLUR_SIGMA, severity)
    reach = min(math.ceil(BLUR_REACH * sigma), min(pixels.shape[-2:]) - 1)  # a mirror shows no more than the image
    return transforms.gaussian_blur(pixels, [2 * reach + 1] * 2, [sigma] * 2).clamp(0, WHITE)


def contrast(pixels: Tensor, severity: int, rng: torch.Generator) -> Tensor:
    """Every pixel drawn towards the mean grey of its own image."""
    # torchvision takes white to be 1 where pixels are float, and cuts off what is above.
    return (WHITE * transforms.adjust_contrast(pixels / WHITE, strength(CONTRAST_LEFT, severity))).clamp(0, WHITE)


def jpeg(pixels: Tensor, severity: int, rng: torch.Generator) -> Tensor:
    """Each image rounded, compressed and read again, on the CPU, with colours at half the resolution as JPEG has them."""
    quality = int(strength(JPEG_QUALITY, severity))
    levels = pixels.round().to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
    changed = np.empty_like(levels)
    for image, target in zip(levels, changed):
        file = io.BytesIO()  # by Pillow: torchvision's own JPEG is deprecated as of 0.29
        Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(file, "jpeg", quality=quality)
        target[:] = np.asarray(Image.open(file)).reshape(image.shape)
    return torch.from_numpy(changed).permute(0, 3, 1, 2).to(pixels).contiguous()


def strength(by_severity: tuple[float, ...], severity: int) -> float:
    """Of a corruption at a severity from 1 to 5. ValueError for another one."""
    if severity not in SEVERITIES:
        raise ValueError(f"severity={severity}: give one of {', '.join(map(str, SEVERITIES))}")
    return by_severity[severity - 1]


CORRUPTIONS = {corruption.__name__: corruption for corruption in (noise, blur, contrast, jpeg)}
