"""CIFAR-10 and CIFAR-100 (section 3.2): the official archives, or images in folders."""

import hashlib
import urllib.error
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mixup.data.dataset import Dataset, Split, split_of
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
# What tells the official images in whatever files they come; see `digest`.
DIGESTS = {
    "cifar10": {
        "train": "d59acf989e068e709ce686cda292672c7b212c08d29d3d3e6d8c3aa99eba6a85",
        "test": "899683d46c3a8c66fd56e1af12202e69fe5a4517be10b0f68e04c78fe585c57c",
    },
    "cifar100": {
        "train": "36ce7a701fbea47796e570c34382aad50f2539687cfcbc6ae96e2f56530d29b6",
        "test": "d3cd5d87a1b9317a0982c8ef5535fe3b86da8da90b13ce5e9b23ea06400dd5eb",
    },
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
    """`<root>/<name>/{train,test|val}/<class>/*`, decoded. The provenance says whether they are the official images, to
    the pixel; JPEGs are called a copy."""
    title, listed = CIFAR[name].title, list_folders(info, root / name, TEST_PARTS)
    if len(listed.classes) != info.num_classes:
        raise UserError(f"{title} in {root / name} has {len(listed.classes)} classes, not {info.num_classes}")
    files = listed.train.files
    suffixes = sorted({Path(files.path(row)).suffix.lower().lstrip(".") for row in range(len(files))})
    lossy = bool({"jpg", "jpeg"}.intersection(suffixes))
    kind = "JPEG copy" if lossy else f"folder of {'/'.join(suffixes)}"
    data = decode_dataset(listed, name, root)
    if not lossy and all(digest(split) == DIGESTS[name][part] for part, split in data.splits.items()):
        kind = "official images"
    return replace(data, provenance=f"{title} ({kind})")


def digest(split: Split) -> str:
    """A SHA-256 over the sorted SHA-256 of each example, its label as one byte and then its pixels, so that their order does
    not count. Labels are numbered by the class names in alphabetical order."""
    assert isinstance(split.inputs, Tensor)
    examples = zip(split.inputs.numpy(), split.labels.numpy().astype(np.uint8), strict=True)
    each = sorted(hashlib.sha256(label.tobytes() + image.tobytes()).digest() for image, label in examples)
    return hashlib.sha256(b"".join(each)).hexdigest()


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
