"""Images in folders, one folder a class: decoded once, and kept as one array file."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mixup.data.resident import Arrays
from mixup.errors import UserError

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".webp")


@dataclass(frozen=True)
class Listing:
    """Images in folders. train, test: names below `folder`, in the order of class and name, with labels (N,) int64."""

    folder: Path
    classes: tuple[str, ...]
    train: list[str]
    train_labels: np.ndarray
    test: list[str]
    test_labels: np.ndarray


def folder_arrays(name: str, title: str, root: Path, size: tuple[int, int]) -> Arrays:
    """`<root>/<name>/{train,test|val}/<class>/*`, decoded once and kept as one file below `<root>/.mixup-cache`."""
    listing = list_folder(root / name, ("test", "val"))
    suffixes = sorted({Path(file).suffix.lower().lstrip(".") for file in listing.train})
    kind = "JPEG copy" if set(suffixes) & {"jpg", "jpeg"} else f"folder of {'/'.join(suffixes)}"
    return decoded_arrays(listing, name, root, size, provenance=f"{title} ({kind})")


def list_folder(folder: Path, test_parts: tuple[str, ...]) -> Listing:
    """`<folder>/train/<class>/*` and the first of the test parts that is there. UserError for another layout."""
    test = next((part for part in test_parts if (folder / part).is_dir()), None)
    if test is None:
        missing = " nor ".join(f"{part}/" for part in test_parts)
        raise UserError(
            f"{folder} has train/ but {'neither ' if len(test_parts) > 1 else 'no '}{missing}: put the test images there, "
            "one folder a class"
        )
    images = {part: list_images(folder / part) for part in ("train", test)}
    classes = sorted(images["train"])
    if sorted(images[test]) != classes:
        odd = sorted(set(classes) ^ set(images[test]))
        raise UserError(f"{folder}/train and {folder}/{test} have different classes: {', '.join(odd[:5])} in one alone")
    for part, listed in images.items():
        if empty := next((label for label in classes if not listed[label]), None):
            raise UserError(f"{folder / part / empty} holds no images: restore them, or remove that class from both parts")
    names = {part: [f"{part}/{file}" for label in classes for file in images[part][label]] for part in images}
    labels = {
        part: np.repeat(np.arange(len(classes), dtype=np.int64), [len(images[part][label]) for label in classes])
        for part in images
    }
    return Listing(folder, tuple(classes), names["train"], labels["train"], names[test], labels[test])


def list_images(folder: Path) -> dict[str, list[str]]:
    """Class -> names below `folder`, in order. Besides `<class>/*` the two layouts of Tiny ImageNet as it is published:
    `<class>/images/*`, and one folder `images/` with the classes in `val_annotations.txt`."""
    listing: dict[str, list[str]] = {}
    annotations = folder / "val_annotations.txt"
    if annotations.is_file():
        for line in filter(str.strip, annotations.read_text().splitlines()):
            file, label = line.split("\t")[:2]
            listing.setdefault(label, []).append(f"images/{file}")
        return {label: sorted(files) for label, files in listing.items()}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir() and not entry.name.startswith("."):
            inside = f"{entry.name}/images" if (folder / entry.name / "images").is_dir() else entry.name
            files = (file.name for file in os.scandir(folder / inside))
            listing[entry.name] = sorted(f"{inside}/{file}" for file in files if is_image(file))
    if not any(listing.values()):
        raise UserError(f"{folder} holds no images: expected {folder}/<class>/*.png or .jpg")
    return listing


def is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_ENDINGS) and not name.startswith(".")  # macOS leaves ._name beside a name


def decoded_arrays(listing: Listing, name: str, root: Path, size: tuple[int, int], *, provenance: str) -> Arrays:
    """All images in memory; kept in a cache that is named after what lies in the folder, so that a change is seen."""
    files = {part: [listing.folder / file for file in getattr(listing, part)] for part in ("train", "test")}
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for part in files.values() for file in part]
    cache = cache_file(root, name, stats)
    arrays = read_cache(cache)
    if arrays is None:
        arrays = {
            f"{part}_images": decode(files[part], size, f"decoding {len(files[part]):,} images of {listing.folder}, once")
            for part in files
        }
        write_cache(cache, arrays)
    return Arrays(
        **arrays,
        train_labels=listing.train_labels,
        test_labels=listing.test_labels,
        classes=listing.classes,
        provenance=provenance,
    )


def decode(files: Sequence[Path], size: tuple[int, int], description: str) -> np.ndarray:
    """(N, *size, 3) uint8. Raises UserError naming a file that cannot be read or has another size."""
    from PIL import Image

    def one(file: Path) -> np.ndarray:
        try:
            with Image.open(file) as image:
                pixels = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
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
    """Atomic. Without permission or space it is all computed again next time, which is said."""
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(exist_ok=True)
        save_file(arrays, partial)
        partial.replace(file)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        print(f"{file.name} cannot be kept in {file.parent} ({error}); next time all of it is done again", flush=True)
