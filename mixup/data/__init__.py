"""The datasets of the paper by name: how to open one, and how its splits are served to training and evaluation."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mixup.data.dataset import Dataset, Split, balanced_subset, corrupt, hold_out, split_of
from mixup.data.datasets import DATASETS, DatasetInfo, dataset_info
from mixup.data.neighbours import nearest
from mixup.data.resident import ResidentFeatures, ResidentImages
from mixup.data.sources.cifar import CIFAR, cifar_data
from mixup.data.sources.imagenet import IMAGENET, imagenet_data
from mixup.data.sources.own_images import own_images
from mixup.data.sources.speech import SPEECH, speech_data
from mixup.data.sources.storage import data_root
from mixup.data.sources.tables import TABLES, USUAL, Preparation, own_table, table_data
from mixup.data.sources.toys import digits, rings
from mixup.data.streaming import StreamedImages
from mixup.errors import UserError
from mixup.run.config import DataConfig

__all__ = ["DATASETS", "Dataset", "DatasetInfo", "Examples", "ResidentFeatures", "ResidentImages", "Split"]
__all__ += ["StreamedImages", "data_root", "dataset_info", "nearest", "open_dataset", "serve", "split_of"]

# One split, ready to be trained on or evaluated: resident on the device, or streamed from files.
Examples = ResidentImages | ResidentFeatures | StreamedImages
Streams = Callable[[str], np.random.Generator]
NORMALISED_BYTES = 2**30  # at most, of images that a GPU keeps normalised: CIFAR has 0.6 GB, without its padding


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
    preparation: Preparation = USUAL,
    own: DataConfig | None = None,
    resident: bool | None = None,
    device: torch.device | None = None,
) -> Dataset:
    """A dataset with its held-out split, subsets and label noise, in that order.

    stream: a random generator by name; each draw has one of its own. Validation and test labels stay clean.
    preparation: of a table. own: the settings of data of the user's, in full. resident: whether images in
    folders are kept in memory; None goes by size. device: where spectrograms are computed.
    """
    where = data_root(root)
    if own and name == "folder":
        data = own_images(where, own, split=stream("split"), preparation=preparation)
    elif own:
        data = own_table(own, split=stream("split"), preparation=preparation)
    else:
        data = official_splits(
            name, where, download=download, stream=stream, preparation=preparation, resident=resident, device=device
        )
    for remark in data.remarks if os.environ.get("RANK", "0") == "0" else ():
        print(remark, flush=True)
    if validation:
        data = hold_out(data, validation, stream("validation"))
    for part, size, draw in (("train", train_size, "subset"), ("test", test_size, "test_subset")):
        split = data.splits[part]
        if size is not None and size > len(split):
            raise UserError(f"data.{part}_size={size}: {data.provenance} has {len(split):,} examples there")
        if size is not None and size < len(split):
            data = data.with_splits({part: split.select(balanced_subset(split.labels.numpy(), size, stream(draw)))})
    if not label_noise:
        return data
    noisy, replaced = corrupt(data.train.labels.numpy(), data.info.num_classes, label_noise, stream("label_noise"))
    train = replace(data.train, labels=torch.from_numpy(noisy), corrupted=torch.from_numpy(replaced))
    return replace(data, train=train)


def official_splits(
    name: str,
    root: Path,
    *,
    download: bool,
    stream: Streams,
    preparation: Preparation = USUAL,
    resident: bool | None = None,
    device: torch.device | None = None,
) -> Dataset:
    """The complete dataset, from files below the root or from scikit-learn."""
    info = dataset_info(name)
    if preparation != USUAL and name not in TABLES:
        raise UserError(
            f"data.scaling, data.train_share and data.split are of tables, and data={name} is none: leave them out"
        )
    if name in IMAGENET:
        return imagenet_data(name, root=root, resident=resident)
    if resident is False:
        raise UserError(f"data.resident=false: {name} is always kept in memory; leave data.resident at null")
    if name in TABLES:
        return table_data(name, root=root, download=download, split=stream("split"), preparation=preparation)
    if name in CIFAR:
        return cifar_data(name, info, root=root, download=download)
    if name in SPEECH:
        return speech_data(name, root=root, download=download, device=device or torch.device("cpu"))
    if name == "rings":
        return rings(stream("rings"))
    return digits()


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

    padding: pixels of zeros around images. workers, on_error: see `StreamedImages`; resident inputs ignore them.
    """
    if not isinstance(split.inputs, torch.Tensor):
        return StreamedImages(
            split,
            info,
            device=device,
            workers=workers,
            on_error=on_error,
            channels_last=channels_last,
            padding=padding,
        )
    if split.inputs.dtype == torch.uint8:
        fits = 4 * split.inputs.numel() <= NORMALISED_BYTES and not info.resized_crop
        return ResidentImages(
            split,
            info,
            padding=padding,
            device=device,
            channels_last=channels_last,
            normalise_once=fits and device.type == "cuda",
        )
    return ResidentFeatures(split, device=device)
