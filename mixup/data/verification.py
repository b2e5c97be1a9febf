"""What lies under the data root, checked: layout, counts, checksums, files that cannot be read, duplicates.

Everything is read anew, past the caches, and nothing is written. An example is remembered by 8 bytes, so that memory stays
small for ImageNet. Duplicates are examples whose decoded content is equal, bit for bit: official data sets have some, so
they are a remark, unless more than `LEAK` of a held-out split of images or clips is in train. A damaged JPEG that still
decodes cannot be told from a sound one.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from mixup.data import ARCHIVES, DatasetInfo, Split, dataset_info
from mixup.data.inventory import Finding, look, progress
from mixup.data.sources.spectrograms import read_clip
from mixup.errors import UserError

LEAK = 0.05
READ_AT_ONCE = 256
SHOWN = 10  # of the files with a fault, so many are named
LINE = "\n    "


def verify(name: str, root: Path, *, quick: bool) -> Finding:
    """Checks what lies below the root of the data set called `name`. quick: lists it, and reads no example."""
    finding = Finding(name)
    try:
        data = look(finding, root)
        if data is not None:
            splits = {"train": data.train, "validation": data.validation, "test": data.test}
            there = {part: split for part, split in splits.items() if split is not None}
            check_counts(finding, there, data.classes)
            if not quick:
                check_examples(finding, there, root)
    except (UserError, OSError) as error:
        finding.problems.append(str(error))
    return finding


def check_counts(finding: Finding, splits: Mapping[str, Split], classes: Sequence[str]) -> None:
    """Examples by split, and classes, against what the data set has officially."""
    info = dataset_info(finding.name)
    finding.counts, finding.classes = {part: len(split) for part, split in splits.items()}, len(classes)
    if len(classes) > info.num_classes or (len(classes) < info.num_classes and finding.name in ARCHIVES):
        finding.problems.append(f"{len(classes):,} classes, where the data set has {info.num_classes:,}")
    for part, split in splits.items():
        official = getattr(info, f"{part}_count")
        if not 0 < len(split) <= official:
            finding.problems.append(f"{len(split):,} {part} examples, where the data set has {official:,}")
        by_class = np.bincount(split.labels.numpy(), minlength=len(classes))
        if part == "train" and len(classes):
            finding.balance = int(by_class.min()), int(by_class.max())
        empty = [name for name, count in zip(classes, by_class) if not count]
        if empty:  # of a few held-out examples, none may be of a class
            told = finding.problems if part == "train" else finding.remarks
            told.append(f"no {part} example of {some(empty, ', ')}")


def check_examples(finding: Finding, splits: Mapping[str, Split], root: Path) -> None:
    """Reads every example, and looks for those that are equal."""
    info, faults = dataset_info(finding.name), list[str]()
    rows, held = dict[str, np.ndarray](), dict[str, np.ndarray]()
    for part, split in splits.items():
        rows[part], held[part], faulty = read(split, info, f"{finding.name}: reading {part}")
        faults += faulty
    if faults:
        total = sum(finding.counts.values())
        finding.problems.append(f"{len(faults):,} of {total:,} files cannot be used:{LINE}{some(faults, LINE)}")
    finding.unreadable, finding.duplicates = len(faults), {}
    unique, first = np.unique(held["train"], return_index=True)
    for part, split in splits.items():
        again = np.flatnonzero(np.isin(held[part], unique))
        if part == "train":
            again = np.setdiff1d(again, first)
        finding.duplicates[part] = len(again)
        if not len(again):
            continue
        twin = first[np.searchsorted(unique, held[part][again[0]])]
        pair = called(part, split, rows[part][again[0]], root), called("train", splits["train"], rows["train"][twin], root)
        what = "repeat others" if part == "train" else "are in train too"
        text = f"{len(again):,} of {len(split):,} {part} examples {what}; the first: {pair[0]} = {pair[1]}"
        if part != "train" and len(info.input_shape) > 1 and len(again) > LEAK * len(split):
            finding.problems.append(f"{text} (more than {LEAK:.0%}: these splits are not the official ones)")
        else:
            finding.remarks.append(text)


def read(split: Split, info: DatasetInfo, description: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The rows that can be read, (K,) int64; a digest of what each holds, (K,) uint64; what is wrong with the others."""
    digests, faults = np.zeros(len(split), np.uint64), dict[int, str]()

    def read_some(start: int) -> None:
        for row in range(start, min(start + READ_AT_ONCE, len(split))):
            try:
                digests[row] = digest(content(split, row, info))
            except UserError as error:
                faults[row] = str(error)

    starts = range(0, len(split), READ_AT_ONCE)
    with ThreadPoolExecutor() as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of metadata: ImageNet's files give many
        for _ in progress(pool.map(read_some, starts), description, total=len(starts)):
            pass
    rows = np.setdiff1d(np.arange(len(split)), np.fromiter(faults, np.int64))
    return rows, digests[rows], [faults[row] for row in sorted(faults)]


def digest(array: np.ndarray) -> int:
    return int.from_bytes(hashlib.sha256(str(array.shape).encode() + array.tobytes()).digest()[:8], "big")


def content(split: Split, row: int, info: DatasetInfo) -> np.ndarray:
    """Pixels (H, W, 3) uint8, samples (N,) int16, or features. Raises UserError for a file that a run cannot use."""
    if isinstance(split.inputs, Tensor):
        return split.inputs[row].numpy()
    file, size = split.inputs.path(row), info.input_shape[1:]
    if file.endswith(".wav"):
        return read_clip(Path(file))
    try:
        with Image.open(io.BytesIO(split.inputs.read(row))) as image:
            pixels = np.asarray(image.convert("RGB"))
    except Exception as error:  # Pillow raises nearly anything for a damaged one
        why = str(error).split(" <_io")[0]  # it names the buffer that it read from
        raise UserError(f"{file} cannot be read as an image ({why})") from error
    if info.resize in (None, size[0]) and pixels.shape[:2] != size:
        raise UserError(f"{file} is {pixels.shape[1]}x{pixels.shape[0]}, not {size[1]}x{size[0]}")
    return pixels


def called(part: str, split: Split, row: int, root: Path) -> str:
    return f"{part} example {row}" if isinstance(split.inputs, Tensor) else split.inputs.path(row).removeprefix(f"{root}/")


def some(names: Sequence[str], separator: str) -> str:
    """The first of them, and how many more there are."""
    more = [f"and {len(names) - SHOWN:,} more"] if len(names) > SHOWN else []
    return separator.join([*names[:SHOWN], *more])
