"""Images of the user's: one folder a class, in memory if they fit, else streamed. Nothing is written into that folder."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from mixup.data.crops import centre
from mixup.data.dataset import Dataset, Split, identities
from mixup.data.datasets import DatasetInfo
from mixup.data.sources.folders import decode_dataset, list_parts
from mixup.data.sources.imagenet import RESIDENT_BYTES
from mixup.data.sources.storage import Files, cached_arrays, data_root, entries_of, file_states, is_folder, remark_left_out
from mixup.data.sources.tables import Preparation, divide
from mixup.errors import UserError
from mixup.run.config import DataConfig
from mixup.run.display import progress


def own_images(folder: Path, stated: DataConfig, *, split: np.random.Generator, preparation: Preparation) -> Dataset:
    """`<folder>/train/<class>/*` with test/ or val/, with both val/ is the validation set; without either, and where the
    folder holds the classes itself, `preparation.train_share` of each class trains and the rest is the test set.

    Raises UserError for a folder without images or with one class, for parts that differ in classes, for an image that
    cannot be read, and for images of several sizes where no size is stated.
    """
    listed = list_splits(folder, split, preparation)
    shape, resize = image_shape(listed, stated.size)
    info = DatasetInfo(
        num_classes=len(listed.classes),
        input_shape=shape,
        train_count=len(listed.train),
        validation_count=len(listed.validation or ()),
        test_count=len(listed.test),
        crop_padding=stated.crop_padding or 0,
        flip=bool(stated.flip),
        resized_crop=bool(stated.resized_crop),
        resize=resize,
    )
    data, cache = replace(listed, info=info), data_root(None)
    fits = sum(map(len, data.splits.values())) * math.prod(shape) <= RESIDENT_BYTES
    if fits if stated.resident is None else stated.resident:
        name = f"folder-{shape[1]}x{shape[2]}"  # the same files at another size are other arrays
        data = decode_dataset(data, name, cache, lambda files, row: view(files, row, info))
    else:
        data = data.with_splits({part: identified(images) for part, images in data.splits.items()})
    mean, std = stated.mean, stated.std
    if mean is None or std is None:
        mean, std = measure(data.train.inputs, listed.train.files, info, cache)
    return replace(
        data,
        info=replace(info, mean=tuple(mean), std=tuple(std)),
        measured={"input_shape": list(shape), "mean": list(mean), "std": list(std)},
    )


def list_splits(folder: Path, split: np.random.Generator, preparation: Preparation) -> Dataset:
    """The images as `Files`, and a provenance that says where the test set comes from."""
    if not folder.is_dir():
        raise UserError(f"data.root={folder}: no such folder")
    inside = {entry.name for entry in entries_of(folder) if is_folder(entry)}
    others = [part for part in ("test", "val") if part in inside]
    if others and "train" not in inside:
        raise UserError(f"{folder} has {others[0]}/ and no train/: put the training images there, one folder a class")
    splits, classes, left_out = list_parts(folder, ["train", *others] if "train" in inside else [""])
    if len(classes) < 2:
        raise UserError(f"{folder} has one class, {classes[0]}: a classifier needs two or more, each in a folder of its own")
    provenance = f"images of the folder {folder.resolve().name}"
    train, test, *validation = splits if others else [*hold_out(splits[0], split, preparation)]
    if not others:
        provenance += f" ({len(test):,} of {len(splits[0]):,} held out to test)"
    facts = DatasetInfo(len(classes), (), train_count=len(train), test_count=len(test))
    remarks = remark_left_out(folder, "images", left_out)
    parts = (train, validation[0] if validation else None, test)
    return Dataset(facts, *parts, provenance, classes, left_out=left_out, remarks=remarks)


def hold_out(images: Split, split: np.random.Generator, preparation: Preparation) -> tuple[Split, Split]:
    """Training and test images: of each class the same share."""
    train, test = divide(images.labels.numpy(), split, preparation)
    return images.select(train), images.select(test)


def image_shape(data: Dataset, size: int | None) -> tuple[tuple[int, int, int], int]:
    """(3, height, width), and what the shorter side of every image is resized to before the centre is cut out. Without a
    size the one that all images have, by their headers; UserError where they differ."""
    if size is not None:
        return (3, size, size), size
    first: tuple[tuple[int, int], str] | None = None
    for images in data.splits.values():
        with ThreadPoolExecutor() as pool:
            sizes = pool.map(images.files.size, range(len(images)), chunksize=64)
            for row, own in enumerate(progress(sizes, f"reading the size of {len(images):,} images", len(images))):
                first = first or (own, images.files.path(row))
                if own != first[0]:
                    (height, width), name = first
                    raise UserError(
                        f"images differ in size: {name} is {width}x{height} and {images.files.path(row)} {own[1]}x{own[0]}; "
                        f"state one, as data.size=64: the shorter side is resized to it, and the centre cut out"
                    )
    assert first is not None
    return (3, *first[0]), min(first[0])


def view(files: Files, row: int, info: DatasetInfo) -> np.ndarray:
    """The image of a row as a streamed run tests on it, (H, W, 3) uint8. Raises UserError for an unreadable file."""
    from PIL import Image

    _, height, width = info.input_shape
    assert info.resize is not None
    return centre(Image.fromarray(files.image(row)), info.resize, (height, width)).permute(1, 2, 0).numpy()


def identified(images: Split) -> Split:
    """With names and bytes of the files as the identity: there are too many to be read."""
    names = [name.decode(errors="surrogateescape") for name in images.files.names]
    states = file_states(names, images.files.root)
    return replace(images, identity=identities(repr(state[:2]).encode() for state in states))


def measure(inputs: Tensor | Files, files: Files, info: DatasetInfo, cache: Path) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the training images by channel, 0 to 1, of their view at test time: from exact sums, so
    that they are the same in whatever order and on whichever machine. A channel that is constant gets a deviation of 1."""
    _, height, width = info.input_shape

    def sums() -> dict[str, np.ndarray]:
        total = np.zeros((2, 3), np.int64)
        with ThreadPoolExecutor() as pool:
            rows = () if isinstance(inputs, Tensor) else range(len(files))
            decoded = pool.map(lambda row: view(files, row, info), rows, chunksize=64)
            images = inputs.numpy() if isinstance(inputs, Tensor) else decoded
            for pixels in progress(images, f"measuring {len(files):,} training images, once", len(files)):
                values = pixels.reshape(-1, 3).astype(np.int64)
                total += [values.sum(0), (values**2).sum(0)]
        return {"sums": total}

    states = file_states([files.path(row) for row in range(len(files))])
    first, second = cached_arrays(cache, f"folder-sums-{height}x{width}", states, sums)["sums"]
    count = len(files) * height * width
    mean = first / count
    # In whole numbers, as the difference of two large floats would lose digits.
    variance = [(count * int(b) - int(a) ** 2) / count**2 for a, b in zip(first, second)]
    return (mean / 255).tolist(), [math.sqrt(value) / 255 or 1.0 for value in variance]
