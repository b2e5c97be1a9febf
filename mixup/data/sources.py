"""Where the arrays come from: official archives, folders of images, and what scikit-learn bundles."""

from __future__ import annotations

import hashlib
import os
import socket
import urllib.error
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mixup.errors import UserError


@dataclass(frozen=True)
class Arrays:
    """images: (N, H, W, C) uint8; labels: (N,) int64; of the training and the test set."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]
    provenance: str


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
            return official_arrays(name, archive, place, root)
    if (root / name / "train").is_dir():
        return folder_arrays(name, archive.title, root, size)
    if download:
        print(f"{archive.title} is not in {root}: downloading {archive.megabytes} MB", flush=True)
        return official_arrays(name, archive, root, root)
    raise UserError(nothing_found(name, archive, root, "data.download is false"))


def nothing_found(name: str, archive: Archive, root: Path, why: str) -> str:
    return f"""no {archive.title} in {root}, and {why}. Any one of these will do:
  * the official archive, as {root}/{archive.file} or unpacked as {root}/{archive.folder}/
  * images in folders, as {root}/{name}/train/<class>/*.png and {root}/{name}/test/<class>/*.png (or val/, or .jpg)
  * another data root: MIXUP_DATA=DIR in the environment, or data.root=DIR
  * the digits, which need no file: data=digits"""


def official_arrays(name: str, archive: Archive, place: Path, root: Path) -> Arrays:
    """Through torchvision, which checks the md5 of each file, unpacks what is packed and downloads what is missing."""
    import torchvision

    dataset = getattr(torchvision.datasets, archive.torchvision_name)
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)
    try:
        train, test = (dataset(place, train=is_train, download=True) for is_train in (True, False))
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        why = f"it cannot be downloaded ({getattr(error, 'reason', error)})"
        raise UserError(nothing_found(name, archive, root, why)) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise UserError(
            f"{archive.title} in {place} is damaged or incomplete ({error}): remove it and start again"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
    labels = (np.asarray(split.targets, np.int64) for split in (train, test))
    return Arrays(
        train.data, next(labels), test.data, next(labels), tuple(train.classes), f"{archive.title} (official archive)"
    )


def folder_arrays(name: str, title: str, root: Path, size: tuple[int, int]) -> Arrays:
    """`<root>/<name>/{train,test|val}/<class>/*`, decoded once and kept as one file below `<root>/.mixup-cache`."""
    folder = root / name
    test_name = next((part for part in ("test", "val") if (folder / part).is_dir()), None)
    if test_name is None:
        raise UserError(f"{folder} has train/ but neither test/ nor val/: put the test images there, one folder a class")
    listings = {part: list_images(folder / part) for part in ("train", test_name)}
    classes = sorted(listings["train"])
    if sorted(listings[test_name]) != classes:
        odd = sorted(set(classes) ^ set(listings[test_name]))
        raise UserError(f"{folder}/train and {folder}/{test_name} have different classes: {', '.join(odd[:5])} in one alone")
    suffixes = sorted({Path(f).suffix.lower().lstrip(".") for files in listings["train"].values() for f, *_ in files})
    kind = "JPEG copy" if set(suffixes) & {"jpg", "jpeg"} else f"folder of {'/'.join(suffixes)}"

    cache = cache_file(root, name, listings)
    arrays = read_cache(cache)
    if arrays is None:
        arrays = {}
        for part, key in (("train", "train"), (test_name, "test")):
            files = [folder / part / label / file for label in classes for file, *_ in listings[part][label]]
            arrays[f"{key}_images"] = decode(files, size, f"decoding {len(files):,} images of {folder / part}, once")
            counts = [len(listings[part][label]) for label in classes]
            arrays[f"{key}_labels"] = np.repeat(np.arange(len(classes), dtype=np.int64), counts)
        write_cache(cache, arrays)
    return Arrays(**arrays, classes=tuple(classes), provenance=f"{title} ({kind})")


def list_images(folder: Path) -> dict[str, list[tuple[str, int, int]]]:
    """Class -> (file name, bytes, modification time in ns), in name order."""
    endings = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".webp")
    listing = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir() and not entry.name.startswith("."):
            files = [f for f in os.scandir(entry.path) if f.name.lower().endswith(endings)]
            listing[entry.name] = sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    if not any(listing.values()):
        raise UserError(f"{folder} holds no images: expected {folder}/<class>/*.png or .jpg")
    return listing


def decode(files: Sequence[Path], size: tuple[int, int], description: str) -> np.ndarray:
    """(N, *size, 3) uint8. Raises UserError naming a file that cannot be read or has another size."""
    from PIL import Image

    def one(file: Path) -> np.ndarray:
        try:
            with Image.open(file) as image:
                pixels = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError) as error:
            raise UserError(f"{file} cannot be read as an image ({error}): restore or remove it") from error
        if pixels.shape[:2] != size:
            raise UserError(f"{file} is {pixels.shape[1]}x{pixels.shape[0]}, not {size[1]}x{size[0]} as the others")
        return pixels

    images = np.empty((len(files), *size, 3), np.uint8)
    with ThreadPoolExecutor() as pool:
        decoded = pool.map(one, files, chunksize=64)
        for row, pixels in track(enumerate(decoded), description=description, total=len(files), transient=True):
            images[row] = pixels
    return images


def cache_file(root: Path, name: str, listings: object) -> Path:
    """Named after what lies in the folder, so that a changed folder is decoded again."""
    key = hashlib.sha256(repr(listings).encode()).hexdigest()[:16]
    return root / ".mixup-cache" / f"{name}-{key}.safetensors"


def read_cache(file: Path) -> dict[str, np.ndarray] | None:
    try:
        with safe_open(file, framework="np") as tensors:
            return {key: tensors.get_tensor(key) for key in tensors.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError):
        return None


def write_cache(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """Atomic. Without permission or space the images are decoded again next time, which is said."""
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(exist_ok=True)
        save_file(arrays, partial)
        partial.replace(file)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        print(
            f"the decoded images cannot be kept in {file.parent} ({error}); they will be decoded again next time", flush=True
        )
