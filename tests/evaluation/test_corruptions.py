"""Corruptions of real images, grey and colour, large and small: what must hold of any, and what each one does."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import fft, ndimage
from sklearn.datasets import load_digits, load_sample_images
from torch import Tensor

from mixup.evaluation.corruptions import (
    BLUR_SIGMA,
    CONTRAST_LEFT,
    CORRUPTIONS,
    JPEG_QUALITY,
    NOISE_STD,
    SEVERITIES,
    blur,
    contrast,
    jpeg,
    noise,
)

EVERY = pytest.mark.parametrize("name", CORRUPTIONS)


def photographs(size: int, count: int = 16) -> Tensor:
    """Parts of scikit-learn's two photographs, (count, 3, size, size) at a quarter of their resolution."""
    parts = []
    for image in load_sample_images().images:
        small = torch.from_numpy(image[::4, ::4].copy()).permute(2, 0, 1).float()
        corners = zip(range(0, 100 - size, 7), range(0, 150 - size, 9))
        parts += [small[:, top : top + size, left : left + size] for top, left in corners]
    return torch.stack(parts[:: max(1, len(parts) // count)][:count])


IMAGES = {
    "digits": torch.from_numpy(load_digits().images[:40]).float()[:, None] * (255 / 16),
    "colour 8x8": photographs(8),
    "colour 32x32": photographs(32, count=8),
    "colour 32x24": photographs(32, count=8)[..., :24],
}
SETS = pytest.mark.parametrize("pixels", IMAGES.values(), ids=IMAGES)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def distance(pixels: Tensor, other: Tensor) -> Tensor:
    """Root mean square over each image, in grey levels. (B,)."""
    return (pixels - other).square().mean((1, 2, 3)).sqrt()


@EVERY
@SETS
@pytest.mark.parametrize("severity", SEVERITIES)
def test_images_keep_their_form_and_stay_in_range_and_the_original_is_untouched(name, pixels, severity):
    kept = pixels.clone()
    found = CORRUPTIONS[name](pixels, severity, source())
    assert found.shape == pixels.shape
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert found.min() >= 0
    assert found.max() <= 255
    assert torch.equal(pixels, kept)


@EVERY
@SETS
def test_the_distance_from_the_clean_image_grows_with_severity(name, pixels):
    distances = [float(distance(CORRUPTIONS[name](pixels, severity, source()), pixels).mean()) for severity in SEVERITIES]
    assert distances[0] > 1
    for milder, worse in itertools.pairwise(distances):
        assert worse > 1.1 * milder


@EVERY
def test_the_generator_decides_and_nothing_else(name):
    pixels = IMAGES["colour 32x32"]
    torch.manual_seed(1)
    one = CORRUPTIONS[name](pixels, 2, source())
    torch.manual_seed(2)
    assert torch.equal(one, CORRUPTIONS[name](pixels, 2, source()))
    assert torch.equal(one, CORRUPTIONS[name](pixels, 2, source(1))) == (name != "noise")


@EVERY
def test_images_do_not_change_one_another_and_memory_order_does_not_matter(name):
    pixels = IMAGES["colour 32x32"]
    one = CORRUPTIONS[name](pixels, 3, source())
    alone = CORRUPTIONS[name](pixels[:1], 3, source())
    torch.testing.assert_close(one[:1], alone, atol=1e-3, rtol=0)
    turned = CORRUPTIONS[name](pixels.to(memory_format=torch.channels_last), 3, source())
    torch.testing.assert_close(one, turned, atol=1e-3, rtol=0)


@EVERY
@pytest.mark.parametrize("severity", [0, 4, -1])
def test_other_severities_are_refused(name, severity):
    with pytest.raises(ValueError, match=f"severity={severity}: give one of 1, 2, 3"):
        CORRUPTIONS[name](IMAGES["digits"], severity, source())


@EVERY
def test_no_images_stay_none(name):
    assert CORRUPTIONS[name](torch.zeros(0, 3, 8, 8), 1, source()).shape == (0, 3, 8, 8)


# -- what each one does --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_has_its_deviation_in_every_channel_and_no_mean(severity):
    std = NOISE_STD[severity - 1]
    added = noise(torch.full((20, 3, 32, 32), 127.5), severity, source()) - 127.5
    assert added.std((0, 2, 3)).tolist() == pytest.approx([std] * 3, rel=0.03)
    assert float(added.mean()) == pytest.approx(0, abs=4 * std / added.numel() ** 0.5)
    assert np.corrcoef(added.transpose(0, 1).flatten(1).numpy()) == pytest.approx(np.eye(3), abs=0.03)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", ["colour 8x8", "colour 32x32", "digits"])
def test_blur_is_scipys_gaussian_filter(name, severity):
    sigma, pixels = BLUR_SIGMA[severity - 1], IMAGES[name]
    reach = min(math.ceil(3 * sigma), pixels.shape[-1] - 1)
    theirs = ndimage.gaussian_filter(pixels.numpy(), (0, 0, sigma, sigma), mode="mirror", radius=(0, 0, reach, reach))
    np.testing.assert_allclose(blur(pixels, severity, source()).numpy(), theirs, atol=0.01)


@pytest.mark.parametrize("side", [1, 2, 3])
def test_blur_takes_images_smaller_than_its_reach(side):
    assert blur(torch.full((1, 1, side, side), 200.0), 3, source()).flatten().tolist() == pytest.approx([200] * side**2)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_contrast_draws_every_pixel_to_its_images_mean_grey(severity):
    left = CONTRAST_LEFT[severity - 1]
    for pixels in (IMAGES["digits"], IMAGES["colour 8x8"]):
        luma = torch.tensor([1.0] if pixels.shape[1] == 1 else [0.2989, 0.587, 0.114]).view(-1, 1, 1)
        mean = (luma * pixels).sum(1, keepdim=True).mean((2, 3), keepdim=True)
        found = contrast(pixels, severity, source())
        torch.testing.assert_close(found, left * pixels + (1 - left) * mean, atol=0.02, rtol=0)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_jpeg_rounds_frequencies_to_its_qualitys_steps(severity):
    """The first row of the standard's table K.1 for luminance, times 50 / quality as libjpeg has it up to 50: what is left
    of a grey block of 8x8 has whole multiples of these, up to the rounding of pixels."""
    assert all(quality <= 50 for quality in JPEG_QUALITY)
    steps = np.floor(np.array([16, 11, 10, 16, 24, 40, 51, 61]) * 50 / JPEG_QUALITY[severity - 1] + 0.5)
    grey = 64 + photographs(8)[:, :1] / 2  # far from black and white, where values are cut off
    found = jpeg(grey, severity, source())
    coefficients = fft.dctn(found[:, 0].numpy() - 128, axes=(1, 2), norm="ortho")[:, 0] / steps
    off = np.abs(coefficients - coefficients.round()) * steps
    assert off.max() <= 4, "64 pixels off by half a level, and the transform keeps lengths"
    assert off.mean() < 0.5
    assert np.abs(coefficients.round()).max() >= 1
    assert torch.equal(found, found.round())


def test_jpeg_keeps_one_grey_level_and_an_images_own_colour():
    level = torch.tensor([30.0, 120.0, 220.0]).view(3, 1, 1, 1)
    assert float((jpeg(level.expand(3, 1, 8, 8), 1, source()) - level).abs().max()) <= 1
    colours = torch.tensor([[200.0, 40, 40], [40, 200, 40], [40, 40, 200]])[:, :, None, None].expand(3, 3, 16, 16)
    found = jpeg(colours, 1, source())
    assert float((found - colours).abs().mean()) < 10
    assert torch.equal(found.mean((2, 3)).argmax(1), torch.arange(3)), "no channel or image takes another's place"


def test_jpeg_rounds_pixels_and_does_not_cut_them():
    """Pixels that come back from normalised inputs are whole up to a rounding error of either sign."""
    pixels = IMAGES["colour 8x8"].clamp(1, 254)
    exact = jpeg(pixels, 1, source())
    assert torch.equal(jpeg(pixels - 1e-3, 1, source()), exact)
    assert torch.equal(jpeg(pixels + 1e-3, 1, source()), exact)
