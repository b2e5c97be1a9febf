"""Images in folders, one folder a class: decoded once, and kept as one array file."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mixup.data.arrays import Arrays
from mixup.errors import UserError


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
    """Atomic. Without permission or space the images are decoded again next time, which is said."""
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(exist_ok=True)
        save_file(arrays, partial)
        partial.replace(file)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        print(
            f"the decoded images cannot be kept in {file.parent} ({error}); they will be decoded again next time", flush=True
        )
