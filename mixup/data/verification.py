"""Checks the data root: layout, counts, checksums, files that cannot be read, duplicates.

Everything is read anew, without the caches, and nothing is written. A packed archive is proven by its checksum and is not
unpacked. An example is remembered by 8 bytes: that is little memory even for ImageNet. Duplicates are examples whose decoded
content is equal, bit for bit: official datasets have some, so they are a remark, unless more than `LEAK` of a held-out split
of images or clips is in train. A damaged JPEG that still decodes cannot be told from a sound one.
"""

import hashlib
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from mixup.data import Dataset, DatasetInfo, Split, dataset_info, official_splits
from mixup.data.sources.cifar import CIFAR, TEST_PARTS, locate_archive, official_data, torchvision_class
from mixup.data.sources.folders import index_shards, indexed_split, list_folders, shards_of
from mixup.data.sources.imagenet import IMAGENET, locate_folder
from mixup.data.sources.imagenet import TEST_PARTS as IMAGENET_TEST_PARTS
from mixup.data.sources.spectrograms import read_clip
from mixup.data.sources.speech import SPEECH, check_archive, list_clips, locate_clips
from mixup.data.sources.storage import remark_left_out
from mixup.data.sources.uci import REMOTE, obtain_csv
from mixup.errors import UserError
from mixup.plan import generator
from mixup.run.display import progress

LEAK = 0.05
CHUNK = 256  # examples that one thread reads
LISTED = 10  # so many of the files with a fault are named
LINE = "\n    "


@dataclass
class Finding:
    """What was found of one dataset.

    layout: None if the dataset is not there. checksums: None if there are none to check. counts: examples by split.
    balance: the smallest and the largest class of train. unreadable, duplicates: None if nothing was read; duplicates by
    split: in train those beyond the first of their content, in the others those that are in train too.
    """

    name: str
    layout: str | None = None
    checksums: bool | None = None
    counts: dict[str, int] = field(default_factory=dict)
    classes: int = 0
    balance: tuple[int, int] = (0, 0)
    unreadable: int | None = None
    duplicates: dict[str, int] | None = None
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def verify(name: str, root: Path, *, quick: bool) -> Finding:
    """Checks the dataset called `name` below the root. quick: lists it, and reads no example."""
    finding = Finding(name)
    try:
        data = list_dataset(finding, root)
        if data is not None:
            finding.remarks += data.remarks
            check_counts(finding, data)
            if not quick:
                check_examples(finding, data, root)
    except (UserError, OSError) as error:
        finding.problems.append(str(error))
    return finding


def list_dataset(finding: Finding, root: Path) -> Dataset | None:
    """What there is to read, with files as inputs where there are files; None if there is nothing."""
    name = finding.name
    if name in CIFAR:
        place = locate_archive(name, root)
        return list_cifar(finding, place) if place else list_images(finding, root / name, TEST_PARTS)
    if name in IMAGENET:
        folder = locate_folder(name, root)
        return list_shards(finding, folder) or list_images(finding, folder, IMAGENET_TEST_PARTS[name])
    if name in SPEECH:
        return list_speech(finding, root)
    if name in REMOTE:
        try:
            obtain_csv(name, root / "uci", download=False)
        except UserError:
            return None
    finding.layout = "CSV" if name in REMOTE else "drawn as needed" if name == "rings" else "scikit-learn"
    data = official_splits(name, root, download=False, stream=partial(generator, 0))  # as a run at `data.seed=0`
    if "instead of" in data.provenance:
        finding.remarks.append(data.provenance)
    return data


def list_cifar(finding: Finding, place: Path) -> Dataset | None:
    """The official archive. Files that fail their checksum are not opened: the batches are pickles."""
    from torchvision.datasets.utils import check_integrity

    name = finding.name
    dataset, packed, unpacked = torchvision_class(name), CIFAR[name].archive(place), place / CIFAR[name].folders[0]
    finding.layout = "archive" if unpacked.is_dir() else "archive, packed"
    checksums = {packed: dataset.tgz_md5} if packed.is_file() else {}
    if unpacked.is_dir():
        meta = dataset.meta["filename"], dataset.meta["md5"]
        checksums |= {unpacked / file: md5 for file, md5 in (*dataset.train_list, *dataset.test_list, meta)}
    wrong = [file for file, md5 in checksums.items() if not check_integrity(file, md5)]
    finding.checksums = not wrong
    finding.problems += [f"{file} is {'damaged: its MD5 is wrong' if file.exists() else 'not there'}" for file in wrong]
    if not unpacked.is_dir() or set(wrong) - {packed}:
        return None
    return official_data(name, dataset_info(name), place, download=False)


def list_images(finding: Finding, folder: Path, test_parts: tuple[str, ...]) -> Dataset | None:
    if not folder.is_dir():
        return None
    finding.layout = "folders"
    return list_folders(dataset_info(finding.name), folder, test_parts)


def list_shards(finding: Finding, folder: Path) -> Dataset | None:
    """Each damaged shard is a problem, and the others are listed."""
    if not shards_of(folder, "train"):
        return None
    finding.layout = "shards"
    info, splits, largest, left_out = dataset_info(finding.name), [], -1, Counter[str]()
    for part in ("train", "val"):
        shards = shards_of(folder, part)
        split, others = indexed_split(index_shards(shards, finding.problems), shards, folder)
        left_out += others
        odd = np.setdiff1d(split.labels.numpy(), np.arange(info.num_classes))
        if len(odd):
            raise UserError(f"{folder}: {part} shards hold class {odd[0]}, where there are 0 to {info.num_classes - 1}")
        largest = split.labels.numpy().max(initial=largest)
        splits.append(split)
    remarks = remark_left_out(folder, "images or classes", left_out)
    return Dataset(info, splits[0], None, splits[1], "shards", tuple(map(str, range(largest + 1))), remarks=remarks)


def list_speech(finding: Finding, root: Path) -> Dataset | None:
    source, folder = SPEECH[finding.name], locate_clips(SPEECH[finding.name], root)
    archive = source.archive(root)
    if archive.is_file():
        finding.layout = "archive, packed"
        try:
            check_archive(archive, source)
        except UserError as error:
            finding.problems.append(str(error))
        finding.checksums = not finding.problems
    if folder is None:
        return None
    finding.layout = "folders"
    return list_clips(finding.name, folder)


def check_counts(finding: Finding, data: Dataset) -> None:
    """Examples by split, and classes, against what the dataset has officially."""
    info, splits, classes = dataset_info(finding.name), data.splits, data.classes
    finding.counts, finding.classes = {part: len(split) for part, split in splits.items()}, len(classes)
    if len(classes) > info.num_classes or (len(classes) < info.num_classes and finding.name in CIFAR):
        finding.problems.append(f"{len(classes):,} classes, where the dataset has {info.num_classes:,}")
    for part, split in splits.items():
        official = getattr(info, f"{part}_count")
        if not 0 < len(split) <= official:
            finding.problems.append(f"{len(split):,} {part} examples, where the dataset has {official:,}")
        by_class = np.bincount(split.labels.numpy(), minlength=len(classes))
        if part == "train" and len(classes):
            finding.balance = int(by_class.min()), int(by_class.max())
        empty = [name for name, count in zip(classes, by_class) if not count]
        if empty:  # of a few held-out examples, none may be of a class
            texts = finding.problems if part == "train" else finding.remarks
            texts.append(f"no {part} example of {first_few(empty, ', ')}")


def check_examples(finding: Finding, data: Dataset, root: Path) -> None:
    """Reads every example, and compares the contents."""
    info, splits, faults = dataset_info(finding.name), data.splits, list[str]()
    rows, digests = dict[str, np.ndarray](), dict[str, np.ndarray]()
    for part, split in splits.items():
        rows[part], digests[part], texts = read_split(split, info, f"{finding.name}: reading {part}")
        faults += texts
    if faults:
        total = sum(finding.counts.values())
        finding.problems.append(f"{len(faults):,} of {total:,} files cannot be used:{LINE}{first_few(faults, LINE)}")
    finding.unreadable, finding.duplicates = len(faults), {}
    unique, first = np.unique(digests["train"], return_index=True)
    for part, split in splits.items():
        repeats = np.flatnonzero(np.isin(digests[part], unique))
        if part == "train":
            repeats = np.setdiff1d(repeats, first)
        finding.duplicates[part] = len(repeats)
        if not len(repeats):
            continue
        original = first[np.searchsorted(unique, digests[part][repeats[0]])]
        pair = title_of(part, data, rows[part][repeats[0]], root), title_of("train", data, rows["train"][original], root)
        what = "repeat others" if part == "train" else "are in train too"
        text = f"{len(repeats):,} of {len(split):,} {part} examples {what}; the first: {pair[0]} = {pair[1]}"
        if part != "train" and len(info.input_shape) > 1 and len(repeats) > LEAK * len(split):
            finding.problems.append(f"{text} (more than {LEAK:.0%}: these splits are not the official ones)")
        else:
            finding.remarks.append(text)


def read_split(split: Split, info: DatasetInfo, title: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The rows that can be read, (K,) int64; a digest of the content of each, (K,) uint64; what is wrong with the others."""
    digests, faults = np.zeros(len(split), np.uint64), dict[int, str]()

    def read_chunk(start: int) -> None:
        for row in range(start, min(start + CHUNK, len(split))):
            try:
                array = content(split, row, info)
                digest = hashlib.sha256(str(array.shape).encode() + array.tobytes()).digest()
                digests[row] = int.from_bytes(digest[:8], "big")
            except UserError as error:
                faults[row] = str(error)

    starts = range(0, len(split), CHUNK)
    with ThreadPoolExecutor() as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of metadata: ImageNet's files give many
        for _ in progress(pool.map(read_chunk, starts), title, len(starts)):
            pass
    rows = np.setdiff1d(np.arange(len(split)), np.fromiter(faults, np.int64))
    return rows, digests[rows], [faults[row] for row in sorted(faults)]


def content(split: Split, row: int, info: DatasetInfo) -> np.ndarray:
    """Pixels (H, W, 3) uint8, samples (N,) int16, or features. Raises UserError for a file that a run cannot use."""
    if isinstance(split.inputs, Tensor):
        return split.inputs[row].numpy()
    file = split.inputs.path(row)
    if file.endswith(".wav"):
        return read_clip(Path(file))
    height, width = info.input_shape[1:]
    return split.inputs.image(row, (height, width) if info.resize in (None, height) else None)


def title_of(part: str, data: Dataset, row: int, root: Path) -> str:
    inputs = data.splits[part].inputs
    return f"{part} example {row}" if isinstance(inputs, Tensor) else inputs.path(row).removeprefix(f"{root}/")


def first_few(names: Sequence[str], separator: str) -> str:
    """The first of them, and how many more there are."""
    more = [f"and {len(names) - LISTED:,} more"] if len(names) > LISTED else []
    return separator.join([*names[:LISTED], *more])
