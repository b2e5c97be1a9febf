"""Images in folders, one folder a class: listed as files, and decoded into memory once."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from mixup.data.dataset import Dataset, Split, split_of
from mixup.data.datasets import DatasetInfo
from mixup.data.sources.cache import cached_arrays, file_states
from mixup.data.sources.encoded import files_in
from mixup.errors import UserError
from mixup.run.display import progress

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".webp")


def list_folders(info: DatasetInfo, folder: Path, test_parts: tuple[str, ...]) -> Dataset:
    """`<folder>/train/<class>/*` and the first of the test parts that is there, in the order of class and name.

    The inputs are `Files`, and `info` is passed on. Raises UserError for another layout.
    """
    if not (folder / "train").is_dir():
        raise UserError(f"{folder} has no train/: expected train/<class>/* and {test_parts[0]}/<class>/*")
    test = next((part for part in test_parts if (folder / part).is_dir()), None)
    if test is None:
        missing = " nor ".join(f"{part}/" for part in test_parts)
        raise UserError(
            f"{folder} has train/ but {'neither ' if len(test_parts) > 1 else 'no '}{missing}: put the test images there, "
            "one folder a class"
        )
    listed = {part: list_images(folder / part) for part in ("train", test)}
    classes = sorted(listed["train"])
    if sorted(listed[test]) != classes:
        odd = sorted(set(classes) ^ set(listed[test]))
        raise UserError(f"{folder}/train and {folder}/{test} have different classes: {', '.join(odd[:5])} in one alone")
    splits = []
    for part, images in listed.items():
        names: list[str] = []
        for label in classes:
            if not images[label]:
                where = folder / part / label
                raise UserError(f"{where} holds no images: restore them, or remove that class from both parts")
            names += [f"{part}/{file}" for file in images[label]]
        labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(images[label]) for label in classes])
        splits.append(split_of(files_in(folder, names), labels))
    return Dataset(info, splits[0], None, splits[1], "folders", tuple(classes))


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


def decode_dataset(data: Dataset, name: str, root: Path) -> Dataset:
    """The listed dataset with its images in memory, (N, H, W, 3) uint8 of the dataset's size: decoded once, then cached."""
    splits = {"train": data.train, "test": data.test}
    files = [split.files.path(row) for split in splits.values() for row in range(len(split))]

    def decode_splits() -> dict[str, np.ndarray]:
        return {f"{part}_images": decode(split, data.info) for part, split in splits.items()}

    arrays = cached_arrays(root, name, file_states(files), decode_splits)
    train, test = (split_of(arrays[f"{part}_images"], split.labels.numpy()) for part, split in splits.items())
    return replace(data, train=train, test=test)


def decode(split: Split, info: DatasetInfo) -> np.ndarray:
    """(N, H, W, 3) uint8. Raises UserError naming a file that cannot be read or has another size."""
    files, size = split.files, (info.input_shape[1], info.input_shape[2])
    images = np.empty((len(files), *size, 3), np.uint8)
    title = f"decoding {len(files):,} images of {files.root}, once"
    with ThreadPoolExecutor() as pool:
        decoded = pool.map(lambda row: files.image(row, size), range(len(files)), chunksize=64)
        for row, pixels in enumerate(progress(decoded, title, len(files))):
            images[row] = pixels
    return images
