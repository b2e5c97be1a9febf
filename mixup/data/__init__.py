"""The datasets of the paper by name: how to open one, and how its splits are served to training and evaluation."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mixup.data.dataset import Dataset, Split, split_of
from mixup.data.datasets import DATASETS, DatasetInfo, dataset_info
from mixup.data.labels import balanced_subset, corrupt
from mixup.data.neighbours import nearest
from mixup.data.resident import ResidentFeatures, ResidentImages
from mixup.data.sources.cifar import CIFAR, cifar_data
from mixup.data.sources.download import data_root
from mixup.data.sources.imagenet import IMAGENET, imagenet_data
from mixup.data.sources.speech import SPEECH, speech_data
from mixup.data.sources.tables import table_data
from mixup.data.sources.toys import digits, rings
from mixup.data.streaming import StreamedImages
from mixup.errors import UserError

__all__ = ["DATASETS", "Dataset", "DatasetInfo", "Examples", "ResidentFeatures", "ResidentImages", "Split"]
__all__ += ["StreamedImages", "data_root", "dataset_info", "nearest", "open_dataset", "serve", "split_of"]

# One split, ready to be trained on or evaluated: resident on the device, or streamed from files.
Examples = ResidentImages | ResidentFeatures | StreamedImages


Streams = Callable[[str], np.random.Generator]


def open_dataset(
    name: str,
    *,
    root: str | None,
    download: bool,
    train_size: int | None,
    test_size: int | None = None,
    validation: float,
    label_noise: float,
    stream: Streams,
    resident: bool | None = None,
    device: torch.device | None = None,
) -> Dataset:
    """A dataset with its held-out split, subsets and label noise, in that order.

    stream: a random generator by name; each draw has one of its own. Validation and test labels stay clean.
    resident: whether images in folders are kept in memory; None goes by size. device: where spectrograms are computed.
    """
    data = official_splits(name, data_root(root), download=download, resident=resident, stream=stream, device=device)
    if validation:
        data = hold_out(data, validation, stream("validation"))
    train = take_subset(data.train, train_size, "train_size", data.provenance, lambda: stream("subset"))
    test = take_subset(data.test, test_size, "test_size", data.provenance, lambda: stream("test_subset"))
    if label_noise:
        noisy, replaced = corrupt(train.labels.numpy(), data.info.num_classes, label_noise, stream("label_noise"))
        train = replace(train, labels=torch.from_numpy(noisy), corrupted=torch.from_numpy(replaced))
    return replace(data, train=train, test=test)


def hold_out(data: Dataset, share: float, rng: np.random.Generator) -> Dataset:
    """A share of the training set, class-balanced, as the validation set. UserError if there is one already."""
    if data.validation is not None:
        raise UserError(f"data.validation={share}: {data.provenance} has an official validation set; leave it at 0")
    count, train = round(share * len(data.train)), data.train
    if not 0 < count < len(train):
        raise UserError(f"data.validation={share}: {count} of {len(train):,} examples held out; use another share")
    index = balanced_subset(train.labels.numpy(), count, rng)
    rest = np.setdiff1d(np.arange(len(train)), index)
    return replace(data, train=train.select(rest), validation=train.select(index))


def take_subset(
    split: Split, size: int | None, field: str, provenance: str, rng: Callable[[], np.random.Generator]
) -> Split:
    """`size` examples of a split, class-balanced; all of it for None."""
    if size is None or size == len(split):
        return split
    if size > len(split):
        raise UserError(f"data.{field}={size}: {provenance} has {len(split):,} examples there")
    return split.select(balanced_subset(split.labels.numpy(), size, rng()))


def official_splits(
    name: str, root: Path, *, download: bool, resident: bool | None, stream: Streams, device: torch.device | None
) -> Dataset:
    """The complete dataset, from files below the root or from scikit-learn."""
    info = dataset_info(name)
    if name in IMAGENET:
        return imagenet_data(name, root=root, resident=resident)
    if resident is False:
        raise UserError(f"data.resident=false: {name} is always kept in memory; leave data.resident at null")
    if name == "digits":
        return digits()
    if name == "rings":
        return rings(stream("rings"))
    if name in CIFAR:
        return cifar_data(name, info, root=root, download=download)
    if name in SPEECH:
        return speech_data(name, root=root, download=download, device=device or torch.device("cpu"))
    return table_data(name, root=root, download=download, split=stream("split"))


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
