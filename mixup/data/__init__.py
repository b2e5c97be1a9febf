"""The data sets of the paper by name: facts, and how to open them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mixup.data.dataset import Dataset, Split, split_of
from mixup.data.datasets import DATASETS, DatasetInfo, dataset_info
from mixup.data.labels import balanced_subset, corrupt
from mixup.data.neighbours import nearest_neighbours
from mixup.data.resident import Arrays, ResidentFeatures, ResidentImages
from mixup.data.sources.cifar import Archive, digits, image_arrays
from mixup.data.sources.imagenet import imagenet_data
from mixup.data.sources.speech import speech_commands
from mixup.data.sources.tables import table_data
from mixup.data.sources.toys import rings
from mixup.data.streaming import StreamedImages
from mixup.errors import UserError

__all__ = ["DATASETS", "Data", "Examples", "Facts", "ResidentFeatures", "ResidentImages", "Split", "StreamedImages"]
__all__ += ["data_root", "facts_of", "nearest", "open_data", "serve", "split_of"]

# One split, ready to be trained on or evaluated: resident on the device, or streamed from files.
Examples = ResidentImages | ResidentFeatures | StreamedImages

ARCHIVES = {
    "cifar10": Archive("CIFAR-10", "CIFAR10", "cifar-10-python.tar.gz", "cifar-10-batches-py", megabytes=170),
    "cifar100": Archive("CIFAR-100", "CIFAR100", "cifar-100-python.tar.gz", "cifar-100-python", megabytes=169),
}


def data_root(root: str | None) -> Path:
    """`data.root`, else $MIXUP_DATA, else ~/.cache/mixup-data."""
    return Path(root or os.environ.get("MIXUP_DATA") or Path.home() / ".cache" / "mixup-data").expanduser()


def open_data(
    name: str,
    *,
    root: str | None,
    download: bool,
    train_size: int | None,
    test_size: int | None = None,
    validation: float,
    label_noise: float,
    stream: Callable[[str], np.random.Generator],
    resident: bool | None = None,
    device: torch.device | None = None,
) -> Dataset:
    """A data set with its held-out split, subsets and label noise, in that order.

    stream: a random generator by name; each draw has one of its own. Validation and test labels stay clean.
    resident: whether images in folders are kept in memory; None goes by size. device: where spectrograms are computed.
    """
    data = found(name, data_root(root), download=download, resident=resident, stream=stream, device=device)
    train, held_out = data.train, data.validation
    if validation:
        if held_out is not None:
            raise UserError(f"data.validation={validation}: {data.provenance} has an official validation set; leave it at 0")
        held_out_count = round(validation * len(train))
        if not 0 < held_out_count < len(train):
            raise UserError(
                f"data.validation={validation}: {held_out_count} of {len(train):,} examples held out; use another share"
            )
        index = balanced_subset(train.labels.numpy(), held_out_count, stream("validation"))
        held_out = train.select(index)
        train = train.select(np.setdiff1d(np.arange(len(train)), index))
    train = subset(train, train_size, "train_size", data.provenance, lambda: stream("subset"))
    test = subset(data.test, test_size, "test_size", data.provenance, lambda: stream("test_subset"))
    if label_noise:
        noisy, replaced = corrupt(train.labels.numpy(), data.info.num_classes, label_noise, stream("label_noise"))
        train = replace(train, labels=torch.from_numpy(noisy), corrupted=torch.from_numpy(replaced))
    return replace(data, train=train, validation=held_out, test=test)


def subset(split: Split, size: int | None, field: str, provenance: str, rng: Callable[[], np.random.Generator]) -> Split:
    """`size` examples of a split, class-balanced; all of it for None."""
    if size is None or size == len(split):
        return split
    if size > len(split):
        raise UserError(f"data.{field}={size}: {provenance} has {len(split):,} examples there")
    return split.select(balanced_subset(split.labels.numpy(), size, rng()))


def found(
    name: str,
    root: Path,
    *,
    download: bool,
    resident: bool | None,
    stream: Callable[[str], np.random.Generator],
    device: torch.device | None,
) -> Dataset:
    """The data set as it lies below the root, or comes with scikit-learn."""
    info = dataset_info(name)
    if name in ("imagenet", "tiny_imagenet"):
        return imagenet_data(name, root=root, resident=resident)
    if resident is False:
        raise UserError(f"data.resident=false: {name} is always kept in memory; leave data.resident at null")
    if name == "digits":
        return as_data(info, digits(), root)
    if name == "rings":
        return rings(stream("rings"))
    if name in ARCHIVES:
        _, height, width = info.input_shape
        return as_data(info, image_arrays(name, ARCHIVES[name], root, size=(height, width), download=download), root)
    if name.startswith("speech_commands"):
        return speech_commands(name, root=root, download=download, device=device or torch.device("cpu"))
    return table_data(name, root=root, download=download, split=stream("split"))


def as_data(info: DatasetInfo, arrays: Arrays, root: Path) -> Dataset:
    if len(arrays.classes) != info.num_classes:
        raise UserError(f"{arrays.provenance} in {root} has {len(arrays.classes)} classes, not {info.num_classes}")
    train = split_of(arrays.train_images, arrays.train_labels)
    return Dataset(info, train, None, split_of(arrays.test_images, arrays.test_labels), arrays.provenance, arrays.classes)


def serve(
    split: Split,
    info: DatasetInfo,
    *,
    device: torch.device,
    padding: int = 0,
    channels_last: bool = True,
    workers: int = 0,
    on_error: str = "raise",
) -> Examples:
    """A split ready to be trained on or evaluated: `ResidentImages` (N, H, W, C) uint8 or `ResidentFeatures` float32 on the
    device if its inputs are in memory, else `StreamedImages`.

    padding: pixels of zeros around resident images. workers, on_error: see `StreamedImages`; resident inputs ignore them.
    """
    if not isinstance(split.inputs, torch.Tensor):
        return StreamedImages(split, info, device=device, workers=workers, on_error=on_error, channels_last=channels_last)
    if split.inputs.dtype == torch.uint8:
        return ResidentImages(split, info, padding=padding, device=device, channels_last=channels_last)
    return ResidentFeatures(split, device=device)


def nearest(split: Split, count: int, *, within_class: bool, root: str | None, device: torch.device) -> np.ndarray:
    """The `count` nearest examples of each (`neighbours.nearest_neighbours`), kept in the data root's cache."""
    return nearest_neighbours(split, count, within_class=within_class, root=data_root(root), device=device)
