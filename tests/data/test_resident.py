"""Images resident on the device: the augmentation against torchvision's, and what identifies a data set."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from mixup.data import DATASETS, Dataset, DatasetInfo, ResidentImages, Split, open_dataset
from mixup.plan import generator

CIFAR, DIGITS = DATASETS["cifar10"], DATASETS["digits"]
CPU = torch.device("cpu")
TENSORS = ("inputs", "labels", "corrupted")


def split_of(count: int, info: DatasetInfo, seed: int = 0) -> Split:
    source = torch.Generator().manual_seed(seed)
    channels, height, width = info.input_shape
    images = torch.randint(0, info.white + 1, (count, height, width, channels), dtype=torch.uint8, generator=source)
    labels = torch.randint(0, info.num_classes, (count,), generator=source)
    return Split(images, labels, torch.zeros(count, dtype=torch.bool))


def normalised(image: torch.Tensor, info: DatasetInfo) -> torch.Tensor:
    """torchvision's ToTensor and Normalize. image: (C, H, W) uint8."""
    return reference.normalize(image.float() / info.white, list(info.mean), list(info.std))


@pytest.mark.parametrize(
    "info", [CIFAR, DIGITS, replace(CIFAR, input_shape=(3, 6, 9))], ids=["colour", "grey", "not square"]
)
def test_every_crop_and_flip_is_torchvisions(info):
    """Pad, crop, flip, normalise: as the authors' transforms do, one image at a time."""
    padding = 4
    height, width = info.input_shape[1:]
    draws = [(top, left, flip) for top in range(9) for left in range(9) for flip in (False, True)]
    split = split_of(50, info)
    index = torch.randint(0, 50, (len(draws),), generator=torch.Generator().manual_seed(1))
    crop = torch.tensor([draw[:2] for draw in draws])
    flips = torch.tensor([draw[2] for draw in draws])
    ours = ResidentImages(split, info, padding=padding, device=CPU).fetch(index, crop, flips)
    theirs = []
    for example, (top, left, flip) in zip(index, draws):
        image = reference.pad(split.inputs[example].permute(2, 0, 1), [padding])
        image = reference.crop(image, top, left, height, width)
        theirs.append(normalised(reference.horizontal_flip(image) if flip else image, info))
    torch.testing.assert_close(ours, torch.stack(theirs), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("info", [CIFAR, DIGITS], ids=["colour", "grey"])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("padding", [0, 4])
def test_torch_tells_the_layout_that_was_asked_for(info, layout, padding):
    """One channel lies alike in both; a convolution goes by the strides."""
    data = ResidentImages(split_of(5, info), info, padding=padding, device=CPU, channels_last=layout == torch.channels_last)
    images = data.fetch(torch.arange(5))
    out = torch.nn.functional.conv2d(images, torch.ones(2, images.shape[1], 3, 3))
    assert out.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("padding", [0, 4])
@pytest.mark.parametrize("info", [CIFAR, DIGITS], ids=["colour", "grey"])
def test_without_crop_and_flip_the_whole_image_is_fetched(info, padding):
    split = split_of(7, info)
    index = torch.tensor([6, 0, 0, 3])
    ours = ResidentImages(split, info, padding=padding, device=CPU).fetch(index)
    theirs = torch.stack([normalised(split.inputs[example].permute(2, 0, 1), info) for example in index])
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_border_is_black_before_normalisation():
    info = CIFAR
    split = split_of(1, info)
    white = replace(split, inputs=torch.full_like(split.inputs, 255))
    corner = ResidentImages(white, info, padding=4, device=CPU).fetch(torch.tensor([0]), torch.tensor([[0, 8]]))[0]
    mean, std = torch.tensor(info.mean)[:, None, None], torch.tensor(info.std)[:, None, None]
    outside = torch.zeros(32, 32, dtype=torch.bool)
    outside[:4, :] = True
    outside[:, -4:] = True
    expected = (torch.where(outside, 0.0, 1.0) - mean) / std
    torch.testing.assert_close(corner, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("info", [CIFAR, DIGITS], ids=["colour", "grey"])
def test_batch_is_float32_in_channels_last_memory(info):
    batch = ResidentImages(split_of(5, info), info, padding=0, device=CPU).fetch(torch.arange(5))
    assert batch.shape == (5, *info.input_shape)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert batch.permute(0, 2, 3, 1).is_contiguous()


def test_fetching_leaves_the_stored_images_alone():
    split = split_of(5, CIFAR)
    resident = ResidentImages(split, CIFAR, padding=4, device=CPU)
    index, crop, flip = torch.arange(5), torch.full((5, 2), 8), torch.ones(5, dtype=torch.bool)
    first = resident.fetch(index, crop, flip).clone()
    resident.fetch(index).zero_()
    assert torch.equal(resident.fetch(index, crop, flip), first)
    assert torch.equal(crop, torch.full((5, 2), 8))


def test_labels_are_those_trained_on():
    split = split_of(5, CIFAR)
    resident = ResidentImages(split, CIFAR, padding=4, device=CPU)
    assert len(resident) == 5
    assert torch.equal(resident.labels, split.labels)


# What a data set is


def data_of(info: DatasetInfo = CIFAR) -> Dataset:
    train, validation, test = (split_of(count, info, seed) for seed, count in enumerate((6, 2, 3)))
    return Dataset(info, train, validation, test, "made up", ())


def test_fingerprint_is_that_of_the_same_data():
    assert data_of().fingerprint() == data_of().fingerprint()
    assert replace(data_of(), provenance="elsewhere").fingerprint() == data_of().fingerprint()


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_fingerprint_changes_with_one_pixel_and_with_one_label(part):
    data = data_of()
    split = getattr(data, part)
    images, labels = split.inputs.clone(), split.labels.clone()
    images[-1, -1, -1, -1] ^= 1
    labels[-1] = (labels[-1] + 1) % 10
    seen = {
        data.fingerprint(),
        replace(data, **{part: replace(split, inputs=images)}).fingerprint(),
        replace(data, **{part: replace(split, labels=labels)}).fingerprint(),
    }
    assert len(seen) == 3


def test_fingerprint_tells_held_out_examples_from_trained_on():
    data = data_of()
    joined = Split(*(torch.cat([getattr(s, name) for s in (data.train, data.validation)]) for name in TENSORS))
    assert replace(data, train=joined, validation=None).fingerprint() != data.fingerprint()


def test_fingerprint_does_not_depend_on_the_memory_layout():
    """torchvision hands CIFAR out as a transposed view."""
    data = data_of()
    view = data.train.inputs.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    assert not view.is_contiguous()
    assert replace(data, train=replace(data.train, inputs=view)).fingerprint() == data.fingerprint()


def test_resident_images_do_not_depend_on_the_memory_layout():
    split = split_of(5, CIFAR)
    view = replace(split, inputs=split.inputs.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1))
    ours, theirs = (ResidentImages(s, CIFAR, padding=4, device=CPU).fetch(torch.arange(5)) for s in (view, split))
    assert torch.equal(ours, theirs)


def open_digits(*, label_noise: float = 0.0, seed: int = 0) -> Dataset:
    return open_dataset(
        "digits",
        root=None,
        download=False,
        train_size=None,
        validation=0.1,
        label_noise=label_noise,
        stream=lambda name: generator(seed, name),
    )


def test_opened_data_says_what_it_is():
    data = open_digits(label_noise=0.3)
    assert data.info is DIGITS
    assert data.provenance == "scikit-learn digits"
    assert data.classes == tuple("0123456789")
    assert (len(data.train), len(data.validation), len(data.test)) == (808, 90, 899)
    for split in (data.train, data.validation, data.test):
        assert split.inputs.shape == (len(split), 8, 8, 1)
        assert (split.inputs.dtype, split.labels.dtype, split.corrupted.dtype) == (torch.uint8, torch.int64, torch.bool)
        assert split.labels.shape == split.corrupted.shape == (len(split),)


def test_fingerprint_of_opened_data_changes_with_the_label_noise_and_its_seed():
    seen = [open_digits(label_noise=noise, seed=seed).fingerprint() for noise in (0.0, 0.2, 0.4) for seed in (0, 1)]
    assert len(set(seen)) == 6
    assert open_digits(label_noise=0.2, seed=1).fingerprint() == seen[3]


@pytest.mark.parametrize("info", [CIFAR, DIGITS], ids=["colour", "grey"])
def test_images_normalised_once_are_those_normalised_at_each_fetch(info):
    split, index = split_of(50, info), torch.randint(0, 50, (200,), generator=torch.Generator().manual_seed(1))
    crop = torch.randint(0, 9, (200, 2), generator=torch.Generator().manual_seed(2))
    each, once = (ResidentImages(split, info, padding=4, device=CPU, normalise_once=once) for once in (False, True))
    assert once.images.dtype == torch.float32
    assert torch.equal(once.fetch(index, crop, crop[:, 0] > 4), each.fetch(index, crop, crop[:, 0] > 4))
    assert torch.equal(once.fetch(index), each.fetch(index))
