"""Images below a folder, listed as files: one folder a class, decoded into memory once if they are to be resident, or tar
shards by the WebDataset convention, where members that share a key are one example, `<key>.jpg` and `<key>.cls`.

Members of shards are indexed once and then read where they lie, in the order of the epoch's plan: a run sees the images that
folders would give, and resumes in the same way. That is meant for disks; on object stores, fetch the shards first.
"""

import os
import tarfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mixup.data.dataset import Dataset, Split, split_of
from mixup.data.datasets import DatasetInfo
from mixup.data.sources.storage import Files, cached_arrays, file_states, files_in
from mixup.errors import UserError
from mixup.run.display import progress

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".pgm", ".ppm", ".tif", ".tiff", ".webp")


def list_folders(info: DatasetInfo, folder: Path, test_parts: tuple[str, ...]) -> Dataset:
    """`<folder>/train/<class>/*` and the first of the test parts that is there, in the order of class and name.

    The inputs are `Files`, and `info` is passed on. Raises UserError for another layout.
    """
    if not (folder / "train").is_dir():
        raise UserError(f"{folder} has no train/: expected train/<class>/* and {test_parts[0]}/<class>/*")
    test = next((part for part in test_parts if (folder / part).is_dir()), None)
    if test is None:
        missing = ("neither " if len(test_parts) > 1 else "no ") + " nor ".join(f"{part}/" for part in test_parts)
        raise UserError(f"{folder} has train/ but {missing}: put the test images there, one folder a class")
    listed = {part: list_images(folder / part) for part in ("train", test)}
    classes = sorted(listed["train"])
    if sorted(listed[test]) != classes:
        odd = sorted(set(classes) ^ set(listed[test]))
        raise UserError(f"{folder}/train and {folder}/{test} have different classes: {', '.join(odd[:5])} in one alone")
    splits = []
    for part, images in listed.items():
        for label in classes:
            if not images[label]:
                where = folder / part / label
                raise UserError(f"{where} holds no images: restore them, or remove that class from both parts")
        names = [f"{part}/{file}" for label in classes for file in images[label]]
        labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(images[label]) for label in classes])
        splits.append(split_of(files_in(folder, names), labels))
    return Dataset(info, splits[0], None, splits[1], "folders", tuple(classes))


def list_images(folder: Path) -> dict[str, list[str]]:
    """Class -> names below `folder`, in order. Besides `<class>/*` the two layouts of Tiny ImageNet as it is published:
    `<class>/images/*`, and one folder `images/` with the classes in `val_annotations.txt`."""
    listing: dict[str, list[str]] = {}
    left_out: Counter[str] = Counter()
    annotations = folder / "val_annotations.txt"
    if annotations.is_file():
        for line in filter(str.strip, annotations.read_text(encoding="utf-8-sig").splitlines()):
            file, label = line.split("\t")[:2]
            listing.setdefault(label, []).append(f"images/{file}")
        return {label: sorted(files) for label, files in listing.items()}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir() and not entry.name.startswith("."):
            inside = f"{entry.name}/images" if (folder / entry.name / "images").is_dir() else entry.name
            # macOS leaves ._name beside a name.
            files = {file.name for file in os.scandir(folder / inside) if not file.name.startswith(".")}
            images = {file for file in files if file.lower().endswith(IMAGE_ENDINGS)}
            listing[entry.name] = sorted(f"{inside}/{file}" for file in images)
            left_out.update(Path(file).suffix or file for file in files - images)
    if not any(listing.values()):
        raise UserError(f"{folder} holds no images: expected {folder}/<class>/*.png or .jpg")
    if left_out:
        counts = ", ".join(f"{count:,} {ending}" for ending, count in left_out.most_common(5))
        print(f"{folder}: files that are no images are left out: {counts}", flush=True)
    return listing


def decode_dataset(data: Dataset, name: str, root: Path) -> Dataset:
    """The listed dataset with its images in memory, (N, H, W, 3) uint8 of the dataset's size: decoded once, then cached."""
    files = [split.files.path(row) for split in data.splits.values() for row in range(len(split))]

    def decode_splits() -> dict[str, np.ndarray]:
        return {f"{part}_images": decode(split.files, data.info) for part, split in data.splits.items()}

    arrays = cached_arrays(root, name, file_states(files), decode_splits)
    splits = {part: split_of(arrays[f"{part}_images"], split.labels.numpy()) for part, split in data.splits.items()}
    return data.with_splits(splits)


def decode(files: Files, info: DatasetInfo) -> np.ndarray:
    """(N, H, W, 3) uint8. Raises UserError naming a file that cannot be read or has another size."""
    size = info.input_shape[1], info.input_shape[2]
    images = np.empty((len(files), *size, 3), np.uint8)
    with ThreadPoolExecutor() as pool:
        decoded = pool.map(lambda row: files.image(row, size), range(len(files)), chunksize=64)
        for row, pixels in enumerate(progress(decoded, f"decoding {len(files):,} images of {files.root}, once", len(files))):
            images[row] = pixels
    return images


def shards_of(folder: Path, part: str) -> list[Path]:
    """`<folder>/<part>/*.tar`, else `<folder>/*<part>*.tar`, in name order.

    Empty if `<folder>/<part>/` already holds class folders; tar files beside them are then leftovers.
    """
    if (folder / part).is_dir() and any(entry.is_dir() for entry in (folder / part).iterdir()):
        return []
    return sorted((folder / part).glob("*.tar")) or sorted(folder.glob(f"*{part}*.tar"))


def read_shards(root: Path, name: str, shards: Sequence[Path], folder: Path) -> Split:
    """Every example of the shards, as files in the order of class and key. The index is cached below the root.

    Raises UserError at a shard that is damaged, or an example without a class.
    """
    names = [str(file.relative_to(folder)) for file in shards]
    index = cached_arrays(root, f"{name}-shards", file_states(names, folder), lambda: index_shards(shards))
    return indexed_split(index, shards, folder)


def index_shards(shards: Sequence[Path], faults: list[str] | None = None) -> dict[str, np.ndarray]:
    """labels (N,) int64; names (N, longest) uint8, padded with zeros; where (N, 3) int64: shard, offset, length.

    faults: takes the message of each damaged shard, which is then left out; without it the first one raises UserError.
    """
    examples = []
    for number, file in enumerate(progress(shards, f"indexing {len(shards):,} shards", len(shards))):
        try:
            examples += [(label, key, number, offset, length) for label, key, offset, length in index_shard(file)]
        except UserError as error:
            if faults is None:
                raise
            faults.append(str(error))
    examples.sort()
    names = np.array([example[1].encode() for example in examples], np.bytes_)
    return {
        "labels": np.array([example[0] for example in examples], np.int64),
        "names": names.view(np.uint8).reshape(len(names), -1) if examples else np.empty((0, 1), np.uint8),
        "where": np.array([example[2:] for example in examples], np.int64).reshape(-1, 3),
    }


def indexed_split(index: dict[str, np.ndarray], shards: Sequence[Path], folder: Path) -> Split:
    """The examples of an index as files inside the shards."""
    names = np.ascontiguousarray(index["names"])
    paths = tuple(str(file.relative_to(folder)) for file in shards)
    return split_of(Files(folder, names.view(f"S{names.shape[1]}")[:, 0], paths, index["where"]), index["labels"])


def index_shard(file: Path) -> list[tuple[int, str, int, int]]:
    """Class, key with ending, offset and length of each image in one shard."""
    images: dict[str, tuple[str, int, int]] = {}
    labels: dict[str, int] = {}
    try:
        with tarfile.open(file, "r:") as tar:
            for member in filter(tarfile.TarInfo.isfile, tar):
                start = member.name.rfind("/") + 1
                name, _, ending = member.name[start:].partition(".")
                key = member.name[:start] + name
                if f".{ending.lower()}" in IMAGE_ENDINGS:
                    images[key] = (member.name, member.offset_data, member.size)
                elif ending == "cls":
                    content = tar.extractfile(member)
                    assert content is not None
                    labels[key] = int(content.read())
    except (tarfile.TarError, OSError, ValueError) as error:
        raise UserError(f"{file} is damaged, or no WebDataset shard ({error}): fetch it again") from error
    lacking = sorted(images.keys() - labels.keys())
    if lacking or not images:
        what = f"{images[lacking[0]][0]} has no class beside it" if lacking else "it holds no images"
        raise UserError(f"{file}: {what}; expected are pairs <key>.jpg and <key>.cls (the class's number, from 0)")
    return [(labels[key], *images[key]) for key in images]
