"""Images below a folder, listed as files: one folder a class, decoded into memory once if they are to be resident, or tar
shards by the WebDataset convention, where members that share a key are one example, `<key>.jpg` and `<key>.cls`.

Members of shards are indexed once and then read where they lie, in the order of the epoch's plan: a run sees the images that
folders would give, and resumes in the same way. That is meant for disks; on object stores, fetch the shards first.
"""

import json
import os
import tarfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mixup.data.dataset import Dataset, Split, split_of
from mixup.data.datasets import DatasetInfo
from mixup.data.sources.storage import (
    Arrays,
    Files,
    cached_arrays,
    count_kinds,
    entries_of,
    file_states,
    files_in,
    is_folder,
    is_hidden,
    remark_left_out,
)
from mixup.errors import UserError
from mixup.run.display import progress

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
INDEX_VERSION = 2  # of the index of shards: to be raised with any change of it
View = Callable[[Files, int], np.ndarray]
LONGEST_LABEL = 18  # bytes of a member that are read as a class's number: what a tar file states of its lengths may be a lie


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
    (train, held_out), classes, left_out = list_parts(folder, ("train", test))
    remarks = remark_left_out(folder, "images", left_out)
    return Dataset(info, train, None, held_out, "folders", classes, left_out=left_out, remarks=remarks)


def list_parts(folder: Path, parts: Sequence[str]) -> tuple[list[Split], tuple[str, ...], Counter[str]]:
    """The images of `<folder>/<part>/<class>/*` as `Files`, in the order of class and name, of `<folder>` itself for a part
    without a name; the classes; and how many other files there are, by kind. UserError where parts differ in classes."""
    listings, left_out = dict[str, dict[str, list[str]]](), Counter[str]()
    for part in parts:
        listings[part], others = list_images(folder / part)
        left_out += others
    classes = sorted(listings[parts[0]])
    for part, images in listings.items():
        if odd := sorted(set(classes) ^ set(images)):
            names = ", ".join(odd[:5])
            raise UserError(
                f"{folder}/{parts[0]} and {folder}/{part} have different classes: {names} in one alone; each class needs a "
                "folder with images in both"
            )
    splits = []
    for part, images in listings.items():
        for label in classes:
            if not images[label]:
                where = folder / part / label
                raise UserError(f"{where} holds no images: restore them, or remove that class from both parts")
        names_of_all = [os.path.join(part, file) for label in classes for file in images[label]]
        labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(images[label]) for label in classes])
        splits.append(split_of(files_in(folder, names_of_all), labels))
    return splits, tuple(classes), left_out


def list_images(folder: Path) -> tuple[dict[str, list[str]], Counter[str]]:
    """Class -> names below `folder`, in order; and how many other files there are, by kind.

    Besides `<class>/*` the two layouts of Tiny ImageNet as it is published: `<class>/images/*`, and one folder `images/`
    with the classes in `val_annotations.txt`. Raises UserError.
    """
    listing, entries = dict[str, list[str]](), entries_of(folder)
    if {"val_annotations.txt", "images"} <= {entry.name for entry in entries}:
        return annotated_images(folder)
    classes = [entry for entry in entries if not is_hidden(entry.name) and is_folder(entry)]
    left_out = count_kinds(entry for entry in entries if is_hidden(entry.name) or not is_folder(entry))
    for entry in classes:
        files, inside = entries_of(entry.path), entry.name
        if "images" in (file.name for file in files):
            left_out += count_kinds(file for file in files if file.name != "images")
            files, inside = entries_of(f"{entry.path}/images"), f"{entry.name}/images"
        images = {file.name for file in files if is_image(file)}
        listing[entry.name] = [f"{inside}/{file.name}" for file in files if file.name in images]
        left_out += count_kinds(file for file in files if file.name not in images)
    if not any(listing.values()):
        raise UserError(f"{folder} holds no images: expected {folder}/<class>/*.png or .jpg")
    return listing, left_out


def is_image(entry: os.DirEntry[str]) -> bool:
    """By its name. What a link leads to is not asked for: that would be a request for each of a million links."""
    is_named_so = entry.name.lower().endswith(IMAGE_ENDINGS) and not is_hidden(entry.name)
    return is_named_so and not entry.is_dir(follow_symlinks=False)


def annotated_images(folder: Path) -> tuple[dict[str, list[str]], Counter[str]]:
    """`list_images` of `images/`, where `val_annotations.txt` has lines of a name, a tab, and a class."""
    listing, annotations = dict[str, list[str]](), folder / "val_annotations.txt"
    try:
        lines = annotations.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError as error:
        raise UserError(f"{annotations} cannot be read ({error.strerror}): restore it") from error
    for number, line in enumerate(lines, 1):
        file, _, rest = line.partition("\t")
        if line.strip() and not rest.strip():
            raise UserError(f"{annotations}, line {number}: expected a file, a tab and its class: restore it")
        if line.strip():
            listing.setdefault(rest.split("\t")[0], []).append(f"images/{file}")
    named = {name for files in listing.values() for name in files}
    others = count_kinds(entry for entry in entries_of(folder / "images") if f"images/{entry.name}" not in named)
    return {label: sorted(files) for label, files in listing.items()}, others


def decode_dataset(data: Dataset, name: str, root: Path, view: View | None = None) -> Dataset:
    """The listed dataset with its images in memory, (N, H, W, 3) uint8 of the dataset's size: decoded once, then cached.
    view: see `decode`."""
    files = [split.files.path(row) for split in data.splits.values() for row in range(len(split))]

    def decode_splits() -> dict[str, np.ndarray]:
        return {f"{part}_images": decode(split.files, data.info, view) for part, split in data.splits.items()}

    arrays = cached_arrays(root, name, file_states(files), decode_splits)
    splits = {part: split_of(arrays[f"{part}_images"], split.labels.numpy()) for part, split in data.splits.items()}
    return data.with_splits(splits)


def decode(files: Files, info: DatasetInfo, view: View | None = None) -> np.ndarray:
    """(N, H, W, 3) uint8. view: the pixels of the image in a row; without it the image as it is.

    Raises UserError naming a file that cannot be read or, without a view, has another size.
    """
    size = info.input_shape[1], info.input_shape[2]
    images = np.empty((len(files), *size, 3), np.uint8)
    with ThreadPoolExecutor() as pool:
        decoded = pool.map(lambda row: view(files, row) if view else files.image(row, size), range(len(files)), chunksize=64)
        for row, pixels in enumerate(progress(decoded, f"decoding {len(files):,} images of {files.root}, once", len(files))):
            images[row] = pixels
    return images


def shards_of(folder: Path, part: str) -> list[Path]:
    """`<folder>/<part>/*.tar`, else `<folder>/*<part>*.tar`, in name order.

    Empty if `<folder>/<part>/` already holds class folders; tar files beside them are then leftovers.
    """
    inside = [entry for entry in entries_of(folder / part) if not is_hidden(entry.name)] if (folder / part).is_dir() else []
    if any(map(is_folder, inside)):
        return []
    tars = [Path(entry.path) for entry in inside if entry.name.endswith(".tar")]
    return tars or sorted(file for file in folder.glob(f"*{part}*.tar") if not is_hidden(file.name))


def read_shards(root: Path, name: str, shards: Sequence[Path], folder: Path) -> tuple[Split, Counter[str]]:
    """Every example of the shards, as files in the order of class and key, and how many other members there are, by ending.
    The index is cached below the root.

    Raises UserError at a shard that is damaged, or an example without a class.
    """
    names = [str(file.relative_to(folder)) for file in shards]
    key = (INDEX_VERSION, file_states(names, folder))
    return indexed_split(cached_arrays(root, f"{name}-shards", key, lambda: index_shards(shards)), shards, folder)


def index_shards(shards: Sequence[Path], faults: list[str] | None = None) -> Arrays:
    """labels (N,) int64; names (N, longest) uint8, padded with zeros; where (N, 3) int64: shard, offset, length; left_out
    uint8, the counts as JSON.

    faults: takes the message of each damaged shard, which is then left out; without it the first one raises UserError.
    """
    examples, left_out = [], Counter[str]()
    for number, file in enumerate(progress(shards, f"indexing {len(shards):,} shards", len(shards))):
        try:
            found, others = index_shard(file)
        except UserError as error:
            if faults is None:
                raise
            faults.append(str(error))
        else:
            examples += [(label, os.fsencode(key), number, offset, length) for label, key, offset, length in found]
            left_out += others
    examples.sort()
    names = np.array([example[1] for example in examples], np.bytes_)
    return {
        "labels": np.array([example[0] for example in examples], np.int64),
        "names": names.view(np.uint8).reshape(len(names), -1) if examples else np.empty((0, 1), np.uint8),
        "where": np.array([example[2:] for example in examples], np.int64).reshape(-1, 3),
        "left_out": np.frombuffer(json.dumps(left_out).encode(), np.uint8),
    }


def indexed_split(index: Arrays, shards: Sequence[Path], folder: Path) -> tuple[Split, Counter[str]]:
    """The examples of an index as files inside the shards, and the counts of other members."""
    names = np.ascontiguousarray(index["names"])
    paths = tuple(str(file.relative_to(folder)) for file in shards)
    files = Files(folder, names.view(f"S{names.shape[1]}")[:, 0], paths, index["where"])
    return split_of(files, index["labels"]), Counter(json.loads(index["left_out"].tobytes()))


def index_shard(file: Path) -> tuple[list[tuple[int, str, int, int]], Counter[str]]:
    """Class, key with ending, offset and length of each image in one shard; and how many other members, by ending."""
    images: dict[str, tuple[str, int, int]] = {}
    labels: dict[str, int] = {}
    left_out = Counter[str]()
    try:
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                start = member.name.rfind("/") + 1
                name, _, ending = member.name[start:].partition(".")
                key = member.name[:start] + name
                if not member.isfile() or member.issparse() or is_hidden(member.name[start:]):
                    left_out["hidden" if is_hidden(member.name[start:]) else "no plain file"] += not member.isdir()
                elif f".{ending.lower()}" in IMAGE_ENDINGS:
                    images[key] = (member.name, member.offset_data, member.size)
                elif ending == "cls":
                    content = tar.extractfile(member)
                    assert content is not None
                    labels[key] = int(content.read(LONGEST_LABEL))
                else:
                    left_out[f".{ending.lower()}" if ending else "no ending"] += 1
            # At a damaged header tarfile ends as at the last member.
            assert tar.fileobj is not None
            tar.fileobj.seek(tar.offset)
            if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError(f"at byte {tar.offset:,} neither a member begins nor zeros that end it")
    except (tarfile.TarError, OSError, ValueError) as error:
        raise UserError(f"{file} is damaged, or no WebDataset shard ({error}): fetch it again") from error
    lacking = sorted(images.keys() - labels.keys())
    if lacking or not images:
        what = f"{images[lacking[0]][0]} has no class beside it" if lacking else "it holds no images"
        raise UserError(f"{file}: {what}; expected are pairs <key>.jpg and <key>.cls (the class's number, from 0)")
    return [(labels[key], *images[key]) for key in images], left_out
