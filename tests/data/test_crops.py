"""Random resized crops against torchvision's: the same boxes' distribution, and the same pixels for a box."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torchvision import transforms
from torchvision.transforms import functional as reference
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as new

from mixup.data.crops import centre, cut, cut_resident, random_resized_crop, uniforms


def boxes(count: int, height: int, width: int, first_seed: int = 0) -> np.ndarray:
    seeds = np.random.default_rng(first_seed).integers(2**63, size=count)
    return random_resized_crop(seeds, np.full(count, height), np.full(count, width))


def photo(height: int, width: int, seed: int = 0) -> Image.Image:
    """Smooth noise, so that a shift by a pixel shows."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def test_uniforms_are_uniform_independent_and_a_function_of_the_seed():
    drawn = uniforms(np.arange(4000), 8)
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(drawn.T) - np.eye(8)).max() < 0.08
    assert np.array_equal(drawn[7], uniforms(np.array([7]), 8)[0]), "alone as among others"
    assert len(np.unique(drawn)) == drawn.size


def test_uniforms_are_splitmix64():
    """Its published first outputs for the seed 1234567."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert np.array_equal(uniforms(np.array([1234567]), 3)[0], (np.array(expected, np.uint64) >> np.uint64(11)) * 2.0**-53)


@pytest.mark.parametrize("size", [(64, 64), (375, 500), (500, 333)])
def test_boxes_follow_torchvisions_law(size):
    """Two-sample Kolmogorov-Smirnov tests of area, aspect ratio and position; and of a wrong law, which must fail."""
    ours = boxes(3000, *size)
    torch.manual_seed(0)
    image = torch.empty(3, *size)
    theirs = np.array([transforms.RandomResizedCrop.get_params(image, [0.08, 1], [3 / 4, 4 / 3]) for _ in range(3000)])
    wrong = np.array([transforms.RandomResizedCrop.get_params(image, [0.2, 1], [3 / 4, 4 / 3]) for _ in range(3000)])
    for feature in (lambda b: b[:, 2] * b[:, 3], lambda b: b[:, 3] / b[:, 2], lambda b: b[:, 0], lambda b: b[:, 1]):
        assert stats.ks_2samp(feature(ours), feature(theirs)).pvalue > 1e-3
    assert stats.ks_2samp(ours[:, 2] * ours[:, 3], wrong[:, 2] * wrong[:, 3]).pvalue < 1e-6


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (3, 4), (30, 400), (64, 64)])
def test_boxes_lie_inside_the_image(size):
    top, left, height, width = boxes(500, *size).T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (height >= 1).all()
    assert (width >= 1).all()
    assert (top + height <= size[0]).all()
    assert (left + width <= size[1]).all()


def test_where_no_box_fits_it_is_torchvisions_central_one():
    image = torch.empty(3, 20, 1000)
    theirs = {transforms.RandomResizedCrop.get_params(image, [0.9, 1], [3 / 4, 4 / 3]) for _ in range(5)}
    (one,) = theirs
    assert any(tuple(box) == one for box in boxes(200, 20, 1000))


def test_a_box_does_not_depend_on_its_neighbours():
    seeds, heights, widths = np.arange(50), np.arange(50, 100), np.arange(120, 70, -1)
    together = random_resized_crop(seeds, heights, widths)
    alone = [random_resized_crop(*(a[i : i + 1] for a in (seeds, heights, widths)))[0] for i in range(50)]
    assert np.array_equal(together, alone)


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def levels_apart(ours: torch.Tensor, theirs: Image.Image) -> int:
    return int((ours.int() - tensor(theirs).int()).abs().max())


def test_cut_pixels_are_torchvisions_and_within_a_level_of_pils():
    image = photo(150, 200)
    for box in [*boxes(20, 150, 200), np.array([0, 0, 150, 200]), np.array([10, 20, 64, 64])]:
        ours = cut(image, box, (64, 64))
        assert torch.equal(ours, new.resized_crop(tensor(image), *map(int, box), [64, 64]))
        assert levels_apart(ours, reference.resized_crop(image, *map(int, box), [64, 64])) <= 1


@pytest.mark.parametrize("size", [(150, 200), (301, 257), (64, 64), (224, 256), (50, 90)])
def test_the_view_at_test_time_is_torchvisions(size):
    image = photo(*size)
    theirs = v2.Compose([v2.Resize(64), v2.CenterCrop(56)])
    ours = centre(image, 64, (56, 56))
    assert torch.equal(ours, theirs(tensor(image)))
    assert levels_apart(ours, theirs(image)) <= 1


def test_resident_crops_are_the_streamed_ones_up_to_rounding():
    photos = [photo(64, 64, seed) for seed in range(12)]
    images = torch.stack([tensor(image) for image in photos])
    drawn = boxes(60, 64, 64)
    index, flip = torch.arange(60) % 12, torch.arange(60) % 2 == 0
    ours = cut_resident(images.permute(0, 2, 3, 1).contiguous(), index, torch.from_numpy(drawn), flip).permute(0, 3, 1, 2)
    for row in range(60):
        expected = cut(photos[row % 12], drawn[row], (64, 64)).float()
        difference = (ours[row] - (expected.flip(2) if flip[row] else expected)).abs()
        assert difference.max() <= 1.01  # two passes, each rounded
        assert difference.mean() < 0.5


def test_the_whole_image_is_the_image():
    pixels = torch.from_numpy(np.array(photo(64, 64)))[None]
    whole = torch.tensor([[0, 0, 64, 64]])
    assert torch.equal(cut_resident(pixels, torch.tensor([0]), whole, torch.tensor([False])), pixels.float())
    assert torch.equal(cut_resident(pixels, torch.tensor([0]), whole, torch.tensor([True])), pixels.flip(2).float())
