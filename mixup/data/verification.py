"""Checks the data root: layout, counts, checksums, files that cannot be read, duplicates.

Everything is read anew, without the caches, and nothing is written. An example is remembered by 8 bytes: that is little
memory even for ImageNet. Duplicates are examples whose decoded content is equal, bit for bit: official datasets have some,
so they are a remark, unless more than `LEAK` of a held-out split of images or clips is in train. A damaged JPEG that still
decodes cannot be told from a sound one.
"""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from torch import Tensor

from mixup.data import DatasetInfo, Split, dataset_info
from mixup.data.inventory import Finding, list_dataset
from mixup.data.sources.cifar import CIFAR
from mixup.data.sources.spectrograms import read_clip
from mixup.errors import UserError
from mixup.run.display import progress

LEAK = 0.05
CHUNK = 256  # examples that one thread reads
LISTED = 10  # so many of the files with a fault are named
LINE = "\n    "


def verify(name: str, root: Path, *, quick: bool) -> Finding:
    """Checks the dataset called `name` below the root. quick: lists it, and reads no example."""
    finding = Finding(name)
    try:
        data = list_dataset(finding, root)
        if data is not None:
            check_counts(finding, data.splits, data.classes)
            if not quick:
                check_examples(finding, data.splits, root)
    except (UserError, OSError) as error:
        finding.problems.append(str(error))
    return finding


def check_counts(finding: Finding, splits: Mapping[str, Split], classes: Sequence[str]) -> None:
    """Examples by split, and classes, against what the dataset has officially."""
    info = dataset_info(finding.name)
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


def check_examples(finding: Finding, splits: Mapping[str, Split], root: Path) -> None:
    """Reads every example, and compares the contents."""
    info, faults = dataset_info(finding.name), list[str]()
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
        pair = title_of(part, splits, rows[part][repeats[0]], root), title_of("train", splits, rows["train"][original], root)
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


def title_of(part: str, splits: Mapping[str, Split], row: int, root: Path) -> str:
    inputs = splits[part].inputs
    return f"{part} example {row}" if isinstance(inputs, Tensor) else inputs.path(row).removeprefix(f"{root}/")


def first_few(names: Sequence[str], separator: str) -> str:
    """The first of them, and how many more there are."""
    more = [f"and {len(names) - LISTED:,} more"] if len(names) > LISTED else []
    return separator.join([*names[:LISTED], *more])
