"""The data sets of the paper by name: facts, and how to open them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mixup.data.arrays import ImageData, ImageFacts, ResidentImages, Split
from mixup.data.labels import balanced_subset, corrupt
from mixup.data.sources import Archive, digits, image_arrays
from mixup.errors import UserError, suggestion

__all__ = ["DATASETS", "ImageData", "ImageFacts", "ResidentImages", "Split", "open_data"]

# Means and deviations of CIFAR-10 as both of the authors' codes have them; its deviations are means of per-image ones.
# The paper is silent on CIFAR-100: the values in common use.
DATASETS: dict[str, ImageFacts] = {
    "digits": ImageFacts(
        num_classes=10,
        input_shape=(1, 8, 8),
        mean=(0.3074,),
        std=(0.3772,),
        white=16,
        train_count=898,
        test_count=899,
    ),
    "cifar10": ImageFacts(
        num_classes=10,
        input_shape=(3, 32, 32),
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        crop_padding=4,
        flip=True,
        train_count=50_000,
        test_count=10_000,
    ),
    "cifar100": ImageFacts(
        num_classes=100,
        input_shape=(3, 32, 32),
        mean=(0.5071, 0.4867, 0.4408),
        std=(0.2675, 0.2565, 0.2761),
        crop_padding=4,
        flip=True,
        train_count=50_000,
        test_count=10_000,
    ),
}
ARCHIVES = {
    "cifar10": Archive("CIFAR-10", "CIFAR10", "cifar-10-python.tar.gz", "cifar-10-batches-py", megabytes=170),
    "cifar100": Archive("CIFAR-100", "CIFAR100", "cifar-100-python.tar.gz", "cifar-100-python", megabytes=169),
}


def facts_of(name: str) -> ImageFacts:
    """What is known of a data set without opening it. UserError for an unknown name."""
    if name not in DATASETS:
        raise UserError(f"data.name={name}: no such data set{suggestion(name, DATASETS)}; there are {', '.join(DATASETS)}")
    return DATASETS[name]


def data_root(root: str | None) -> Path:
    """`data.root`, else $MIXUP_DATA, else ~/.cache/mixup-data."""
    return Path(root or os.environ.get("MIXUP_DATA") or Path.home() / ".cache" / "mixup-data").expanduser()


def open_data(
    name: str,
    *,
    root: str | None,
    download: bool,
    train_size: int | None,
    validation: float,
    label_noise: float,
    stream: Callable[[str], np.random.Generator],
) -> ImageData:
    """A data set with its held-out split, subset and label noise, in that order.

    stream: a random generator by name; each of the three draws has one of its own. Validation and test labels stay clean.
    """
    facts = facts_of(name)
    if name == "digits":
        arrays = digits()
    else:
        arrays = image_arrays(name, ARCHIVES[name], data_root(root), size=facts.input_shape[1:], download=download)
    if len(arrays.classes) != facts.num_classes:
        raise UserError(
            f"{arrays.provenance} in {data_root(root)} has {len(arrays.classes)} classes, not {facts.num_classes}"
        )
    train, held_out = as_split(arrays.train_images, arrays.train_labels), None
    if validation:
        held_out_count = round(validation * len(train))
        if not held_out_count:
            raise UserError(
                f"data.validation={validation}: no example of {len(train):,} would be held out; use a larger share"
            )
        index = balanced_subset(train.labels.numpy(), held_out_count, stream("validation"))
        held_out = train.select(index)
        train = train.select(np.setdiff1d(np.arange(len(train)), index))
    if train_size is not None:
        if train_size > len(train):
            raise UserError(f"data.train_size={train_size}: {arrays.provenance} has {len(train):,} examples to train on")
        if train_size < len(train):
            train = train.select(balanced_subset(train.labels.numpy(), train_size, stream("subset")))
    if label_noise:
        noisy, replaced = corrupt(train.labels.numpy(), facts.num_classes, label_noise, stream("label_noise"))
        train = Split(train.images, torch.from_numpy(noisy), torch.from_numpy(replaced))
    return ImageData(
        facts=facts,
        train=train,
        validation=held_out,
        test=as_split(arrays.test_images, arrays.test_labels),
        provenance=arrays.provenance,
        classes=arrays.classes,
    )


def as_split(images: np.ndarray, labels: np.ndarray) -> Split:
    return Split(torch.from_numpy(images), torch.from_numpy(labels), torch.zeros(len(labels), dtype=torch.bool))
