"""CIFAR-10 and CIFAR-100 (section 3.2): the official archives, or images in folders."""

import urllib.error
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mixup.data.dataset import Dataset, split_of
from mixup.data.datasets import DatasetInfo
from mixup.data.sources.folders import decode_dataset, list_folders
from mixup.data.sources.storage import Download, time_limit
from mixup.errors import UserError

URL = "https://www.cs.toronto.edu/~kriz"
TEST_PARTS = ("test", "val")  # names of the test folder, if there are folders
REMEDY = """  * the official archive, as {archive} or unpacked as {root}/{folders[0]}/
  * images in folders, as {root}/{folders[1]}/train/<class>/*.png and {root}/{folders[1]}/test/<class>/*.png
    (or val/, or .jpg)"""
CIFAR = {
    "cifar10": Download("CIFAR-10", ("cifar-10-batches-py", "cifar10"), f"{URL}/cifar-10-python.tar.gz", "170 MB", REMEDY),
    "cifar100": Download("CIFAR-100", ("cifar-100-python", "cifar100"), f"{URL}/cifar-100-python.tar.gz", "169 MB", REMEDY),
}


def cifar_data(name: str, info: DatasetInfo, *, root: Path, download: bool) -> Dataset:
    """The official archive below the root, else a folder of images, else the downloaded archive.

    Raises UserError with the expected layout and the ways out if nothing is there, or if it is damaged.
    """
    source, place = CIFAR[name], locate_archive(name, root)
    if place is not None:
        return official_data(name, info, place, download=download)
    if (root / name / "train").is_dir():
        return folder_data(name, info, root)
    if not download:
        raise source.missing(root, "data.download is false")
    print(f"{source.title} is not in {root}: downloading {source.size}", flush=True)
    return official_data(name, info, root, download=True)


def locate_archive(name: str, root: Path) -> Path | None:
    """The folder that holds the official archive, packed or unpacked; None if there is none."""
    source = CIFAR[name]
    places = (root, root / name)
    return next((p for p in places if (p / source.folders[0]).is_dir() or source.archive(p).is_file()), None)


def folder_data(name: str, info: DatasetInfo, root: Path) -> Dataset:
    """`<root>/<name>/{train,test|val}/<class>/*`, decoded. JPEGs are called a copy: they are not the official pixels."""
    title, listed = CIFAR[name].title, list_folders(info, root / name, TEST_PARTS)
    if len(listed.classes) != info.num_classes:
        raise UserError(f"{title} in {root / name} has {len(listed.classes)} classes, not {info.num_classes}")
    files = listed.train.files
    suffixes = sorted({Path(files.path(row)).suffix.lower().lstrip(".") for row in range(len(files))})
    kind = "JPEG copy" if {"jpg", "jpeg"}.intersection(suffixes) else f"folder of {'/'.join(suffixes)}"
    return replace(decode_dataset(listed, name, root), provenance=f"{title} ({kind})")


def torchvision_class(name: str) -> Any:
    """torchvision's class of the dataset, which knows the MD5 of its files."""
    import torchvision

    return getattr(torchvision.datasets, name.upper())


def official_data(name: str, info: DatasetInfo, place: Path, *, download: bool) -> Dataset:
    """Through torchvision, which checks the MD5 of each file, unpacks what is packed and downloads what is missing.

    place: the folder of the archive, packed or unpacked; the data root if there is none yet.
    """
    from torchvision.datasets.utils import check_integrity

    source, dataset = CIFAR[name], torchvision_class(name)
    packed = check_integrity(source.archive(place), dataset.tgz_md5)
    try:
        with time_limit(30):
            train, test = (dataset(place, train=is_train, download=download or packed) for is_train in (True, False))
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        why = f"cannot be downloaded ({getattr(error, 'reason', error)})"
        if locate_archive(name, place):
            raise UserError(f"{source.title} in {place} is damaged or incomplete, and {why}") from error
        raise source.missing(place, f"it {why}") from error
    except OSError as error:
        raise UserError(f"{source.title} in {place} cannot be read or written ({error})") from error
    except (RuntimeError, EOFError) as error:
        message = f"{source.title} in {place} is damaged or incomplete ({error}): remove it and start again"
        raise UserError(message) from error
    splits = [split_of(np.ascontiguousarray(part.data), np.asarray(part.targets, np.int64)) for part in (train, test)]
    return Dataset(info, splits[0], None, splits[1], f"{source.title} (official archive)", tuple(train.classes))
