"""ImageNet-2012 (section 3.1) and Tiny ImageNet: folders of images or tar shards, resident where they fit, else streamed."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mixup.data.dataset import Dataset, identities, split_of
from mixup.data.datasets import DATASETS, DatasetInfo
from mixup.data.sources.encoded import Files
from mixup.data.sources.folders import decoded_arrays, list_folder
from mixup.data.sources.shards import as_names, index_shards, shards_of
from mixup.errors import UserError

RESIDENT_BYTES = 4 * 2**30  # images of one size that need no more than this are kept in memory


@dataclass(frozen=True)
class Source:
    """folders: where it may lie below the data root. fetch: how to come by it. test_parts: names of its test folder."""

    title: str
    folders: tuple[str, ...]
    fetch: str
    test_parts: tuple[str, ...]


SOURCES = {
    "imagenet": Source(
        "ImageNet",
        ("imagenet",),
        """get ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from https://image-net.org/download-images (an account is
    needed) and unpack them to the folders above; or fetch shards, after accepting the terms on the page of the data set:
    hf download timm/imagenet-1k-wds --repo-type dataset --local-dir {root}/imagenet""",
        ("val", "test"),
    ),
    "tiny_imagenet": Source(
        "Tiny ImageNet",
        ("tiny_imagenet", "tiny-imagenet-200"),
        """curl -L -o {root}/tiny-imagenet-200.zip http://cs231n.stanford.edu/tiny-imagenet-200.zip
    unzip -q {root}/tiny-imagenet-200.zip -d {root}""",
        ("val",),  # as it is published, its test/ has no labels
    ),
}


def imagenet_data(name: str, *, root: Path, resident: bool | None) -> Dataset:
    """The data set called `name` below the root. resident: whether images are decoded into memory; None goes by size.

    Raises UserError where it is not there, with the layout and the command that fetches it.
    """
    source, info = SOURCES[name], DATASETS[name]
    folder = folder_of(source, root)
    shards = {part: shards_of(folder, part) for part in ("train", "val")}
    if shards["train"]:
        if resident:
            raise UserError(f"data.resident=true: the shards in {folder} are read as they are needed; leave it at null")
        return from_shards(name, source, folder, root, shards)
    if not (folder / "train").is_dir():
        raise UserError(nothing_found(source, root))
    listing = list_folder(folder, source.test_parts)
    info = counted(info, source, folder, listing.classes, len(listing.train), len(listing.test))
    provenance = described(source.title, info, DATASETS[name])
    if keeps_resident(name, info, resident):
        arrays = decoded_arrays(listing, name, root, (info.input_shape[1], info.input_shape[2]), provenance=provenance)
        train = split_of(arrays.train_images, arrays.train_labels)
        test = split_of(arrays.test_images, arrays.test_labels)
    else:
        train, test = (
            split_of(Files(folder, np.array(names)), labels, identities(names))
            for names, labels in (
                (list(map(os.fsencode, listing.train)), listing.train_labels),
                (list(map(os.fsencode, listing.test)), listing.test_labels),
            )
        )
    return Dataset(info, train, None, test, provenance, listing.classes)


def folder_of(source: Source, root: Path) -> Path:
    """Where it lies below the root, or would."""
    places = [root / place for place in source.folders]
    return next((place for place in places if (place / "train").is_dir() or shards_of(place, "train")), places[0])


def from_shards(name: str, source: Source, folder: Path, root: Path, shards: dict[str, list[Path]]) -> Dataset:
    """Classes are the numbers that the shards give: every one of 0 to the largest must occur."""
    if not shards["val"]:
        raise UserError(f"{folder} has training shards, but none of {folder}/val/*.tar or {folder}/*val*.tar")
    splits = {}
    for part, files in shards.items():
        index = index_shards(root, f"{name}-{part}", files, folder)
        names = as_names(index["names"])
        where = Files(folder, names, tuple(str(file.relative_to(folder)) for file in files), index["where"])
        splits[part] = split_of(where, index["labels"], identities(list(names)))
    numbers = np.unique(splits["train"].labels.numpy())
    if numbers.min() < 0:
        raise UserError(f"{folder}: a class is {numbers.min()}, and the classes of shards count from 0; fetch them again")
    if numbers.max() >= DATASETS[name].num_classes:
        raise UserError(
            f"{folder}: a class is {numbers.max()}, and {source.title} has {DATASETS[name].num_classes:,}, from 0"
        )
    missing = np.setdiff1d(np.union1d(np.arange(numbers.max() + 1), splits["val"].labels.numpy()), numbers)
    if len(missing):
        raise UserError(f"{folder}: no training shard holds class {missing[0]}; fetch the shards that are missing")
    classes = tuple(map(str, numbers))
    info = counted(DATASETS[name], source, folder, classes, len(splits["train"]), len(splits["val"]))
    return Dataset(info, splits["train"], None, splits["val"], described(source.title, info, DATASETS[name]), classes)


def counted(info: DatasetInfo, source: Source, folder: Path, classes: tuple[str, ...], train: int, test: int) -> DatasetInfo:
    """The facts of what lies in the folder, which may be some of the classes."""
    if len(classes) > info.num_classes:
        raise UserError(f"{folder} has {len(classes):,} classes; {source.title} has {info.num_classes:,}")
    return replace(info, num_classes=len(classes), train_count=train, test_count=test)


def described(title: str, found: DatasetInfo, official: DatasetInfo) -> str:
    """The title, and what of the data set is missing."""
    if found.num_classes < official.num_classes:
        return f"{title} ({found.num_classes:,} of {official.num_classes:,} classes)"
    counts = [(found.train_count, official.train_count, "training"), (found.test_count, official.test_count, "test")]
    lacks = ", ".join(f"{ours:,} of {all:,} {part} images" for ours, all, part in counts if ours != all)
    return f"{title} ({lacks})" if lacks else title


def keeps_resident(name: str, info: DatasetInfo, resident: bool | None) -> bool:
    one_size = info.resize == info.input_shape[1]
    if resident and not one_size:
        raise UserError(f"data.resident=true: the images of {name} differ in size and are decoded as they are needed")
    fits = (info.train_count + info.test_count) * math.prod(info.input_shape) <= RESIDENT_BYTES
    return one_size and (fits if resident is None else resident)


def nothing_found(source: Source, root: Path) -> str:
    folder = root / source.folders[0]
    return f"""no {source.title} in {root}. Any one of these will do:
  * images in folders, as {folder}/train/<wnid>/*.JPEG and {folder}/val/<wnid>/*.JPEG
  * WebDataset shards, as {folder}/train/*.tar and {folder}/val/*.tar
  * another data root: MIXUP_DATA=DIR in the environment, or data.root=DIR
  * the digits, which need no file: data=digits
To fetch it:
    {source.fetch.format(root=root)}"""
