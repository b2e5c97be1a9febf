"""Where the arrays come from: official archives, folders of images, and what scikit-learn bundles."""

from __future__ import annotations

import urllib.error
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixup.data.resident import Arrays
from mixup.data.sources.download import time_limit
from mixup.data.sources.folders import folder_arrays
from mixup.errors import UserError


def digits() -> Arrays:
    """scikit-learn's 1,797 digits, 8x8, pixels 0 to 16. First half to train, second to test, as in scikit-learn's own
    example: writers follow one another in the file, so the test set's are almost all new ones."""
    from sklearn.datasets import load_digits

    bundle = load_digits()
    images, labels = bundle.images.astype(np.uint8)[..., None], bundle.target.astype(np.int64)
    half = len(labels) // 2
    names = tuple(str(name) for name in bundle.target_names)
    return Arrays(images[:half], labels[:half], images[half:], labels[half:], names, "scikit-learn digits")


@dataclass(frozen=True)
class Archive:
    """An official archive that torchvision knows: its class there, its file, the folder it unpacks to."""

    title: str
    torchvision_name: str
    file: str
    folder: str
    megabytes: int


def image_arrays(name: str, archive: Archive, root: Path, *, size: tuple[int, int], download: bool) -> Arrays:
    """The official archive where it lies, else a folder of images, else the archive downloaded.

    Raises UserError with the expected layout and the ways out where there is nothing, or where it is damaged.
    """
    for place in (root, root / name):
        if (place / archive.folder).is_dir() or (place / archive.file).is_file():
            return official_arrays(name, archive, place, root, download=download)
    if (root / name / "train").is_dir():
        return folder_arrays(name, archive.title, root, size)
    if download:
        print(f"{archive.title} is not in {root}: downloading {archive.megabytes} MB", flush=True)
        return official_arrays(name, archive, root, root, download=True)
    raise UserError(nothing_found(name, archive, root, "data.download is false"))


def nothing_found(name: str, archive: Archive, root: Path, why: str) -> str:
    return f"""no {archive.title} in {root}, and {why}. Any one of these will do:
  * the official archive, as {root}/{archive.file} or unpacked as {root}/{archive.folder}/
  * images in folders, as {root}/{name}/train/<class>/*.png and {root}/{name}/test/<class>/*.png (or val/, or .jpg)
  * another data root: MIXUP_DATA=DIR in the environment, or data.root=DIR
  * the digits, which need no file: data=digits"""


def official_arrays(name: str, archive: Archive, place: Path, root: Path, *, download: bool) -> Arrays:
    """Through torchvision, which checks the md5 of each file, unpacks what is packed and downloads what is missing."""
    import torchvision
    from torchvision.datasets.utils import check_integrity

    dataset = getattr(torchvision.datasets, archive.torchvision_name)
    there = (place / archive.folder).is_dir() or (place / archive.file).is_file()
    packed = check_integrity(place / archive.file, dataset.tgz_md5)
    try:
        with time_limit(30):
            train, test = (dataset(place, train=is_train, download=download or packed) for is_train in (True, False))
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        why = f"cannot be downloaded ({getattr(error, 'reason', error)})"
        if there:
            raise UserError(f"{archive.title} in {place} is damaged or incomplete, and {why}") from error
        raise UserError(nothing_found(name, archive, root, f"it {why}")) from error
    except OSError as error:
        raise UserError(f"{archive.title} in {place} cannot be read or written ({error})") from error
    except (RuntimeError, EOFError) as error:
        raise UserError(
            f"{archive.title} in {place} is damaged or incomplete ({error}): remove it and start again"
        ) from error
    return Arrays(
        train_images=np.ascontiguousarray(train.data),
        train_labels=np.asarray(train.targets, np.int64),
        test_images=np.ascontiguousarray(test.data),
        test_labels=np.asarray(test.targets, np.int64),
        classes=tuple(train.classes),
        provenance=f"{archive.title} (official archive)",
    )
