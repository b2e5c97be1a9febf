"""What lies under the data root, listed anew, past the caches, and writing nothing: the first half of `verification`.

A packed archive is proven by its checksum and is not unpacked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.progress import track

from mixup.data import ARCHIVES, Dataset, Split, as_data, dataset_info, split_of
from mixup.data.sources.cifar import digits, official_arrays
from mixup.data.sources.encoded import Files
from mixup.data.sources.folders import list_folder
from mixup.data.sources.imagenet import SOURCES, folder_of
from mixup.data.sources.shards import index_shard, shards_of
from mixup.data.sources.speech import LISTS, RELEASES, assign, check_archive, labels_of, list_clips, read_list, word_of
from mixup.data.sources.tables import BUNDLED, REMOTE, table_data
from mixup.data.sources.tables import find as find_table
from mixup.data.sources.toys import rings
from mixup.errors import UserError
from mixup.plan import generator

Item = TypeVar("Item")


@dataclass
class Finding:
    """One data set. layout: None where nothing lies there. checksums: None where there are none. counts: examples by split.
    balance: the smallest and the largest class of train. unreadable, duplicates: None where nothing was read; duplicates
    by split: in train those beyond the first of their content, in the others those that are in train too."""

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


def look(finding: Finding, root: Path) -> Dataset | None:
    """What there is to read, layout and checksums noted; None where there is nothing."""
    name = finding.name
    if name in ARCHIVES:
        return look_for_cifar(finding, root)
    if name in SOURCES:
        folder = folder_of(SOURCES[name], root)
        return look_for_shards(finding, folder) or look_for_folders(finding, folder, SOURCES[name].test_parts)
    if name in RELEASES:
        return look_for_clips(finding, root)
    if name == "digits":
        finding.layout = "scikit-learn"
        return as_data(dataset_info(name), digits(), root)
    if name == "rings":
        finding.layout = "drawn as needed"
        return rings(generator(0, "rings"))
    return look_for_table(finding, root)


def look_for_cifar(finding: Finding, root: Path) -> Dataset | None:
    """What fails its checksum is not opened: the batches are pickles."""
    name, archive = finding.name, ARCHIVES[finding.name]
    places = [
        place for place in (root, root / name) if (place / archive.file).is_file() or (place / archive.folder).is_dir()
    ]
    if not places:
        return look_for_folders(finding, root / name, ("test", "val"))
    import torchvision
    from torchvision.datasets.utils import check_integrity

    packed, unpacked = places[0] / archive.file, places[0] / archive.folder
    finding.layout = "archive" if unpacked.is_dir() else "archive, packed"
    dataset = getattr(torchvision.datasets, archive.torchvision_name)
    sums = {packed: dataset.tgz_md5} if packed.is_file() else {}
    if unpacked.is_dir():
        meta = dataset.meta["filename"], dataset.meta["md5"]
        sums |= {unpacked / file: md5 for file, md5 in (*dataset.train_list, *dataset.test_list, meta)}
    wrong = [file for file, md5 in sums.items() if not check_integrity(file, md5)]
    finding.checksums = not wrong
    finding.problems += [f"{file} is {'damaged: its MD5 is wrong' if file.exists() else 'not there'}" for file in wrong]
    if not unpacked.is_dir() or set(wrong) - {packed}:
        return None
    return as_data(dataset_info(name), official_arrays(name, archive, places[0], root, download=False), root)


def look_for_folders(finding: Finding, folder: Path, test_parts: tuple[str, ...]) -> Dataset | None:
    if not folder.is_dir():
        return None
    finding.layout = "folders"
    if not (folder / "train").is_dir():
        raise UserError(f"{folder} has no train/: expected train/<class>/* and {test_parts[0]}/<class>/*")
    listing = list_folder(folder, test_parts)
    train = stored(folder, listing.train, listing.train_labels)
    test = stored(folder, listing.test, listing.test_labels)
    return Dataset(dataset_info(finding.name), train, None, test, "folders", listing.classes)


def look_for_shards(finding: Finding, folder: Path) -> Dataset | None:
    """Of damaged shards each is noted, and the others are checked."""
    parts = {"train": shards_of(folder, "train"), "test": shards_of(folder, "val")}
    if not parts["train"]:
        return None
    finding.layout = "shards"
    splits, info, largest = [], dataset_info(finding.name), -1
    for part, shards in parts.items():
        examples = []
        for number, shard in enumerate(progress(shards, f"{finding.name}: listing {part} shards", len(shards))):
            try:
                examples += [(label, name.encode(), number, *where) for label, name, *where in index_shard(shard)]
            except UserError as error:
                finding.problems.append(str(error))
        labels = np.array([example[0] for example in examples], np.int64)
        odd = np.setdiff1d(labels, np.arange(info.num_classes))
        if len(odd):
            raise UserError(f"{folder}: {part} shards hold class {odd[0]}, where there are 0 to {info.num_classes - 1}")
        names = np.array([example[1] for example in examples], np.bytes_)
        places = np.array([example[2:] for example in examples], np.int64).reshape(-1, 3)
        paths = tuple(str(shard.relative_to(folder)) for shard in shards)
        splits.append(split_of(Files(folder, names, paths, places), labels))
        largest = labels.max(initial=largest)
    return Dataset(info, splits[0], None, splits[1], "shards", tuple(map(str, range(largest + 1))))


def look_for_clips(finding: Finding, root: Path) -> Dataset | None:
    release = RELEASES[finding.name]
    archive = release.archive(root)
    if archive.is_file():
        finding.layout = "archive, packed"
        try:
            check_archive(archive, release)
        except UserError as error:
            finding.problems.append(str(error))
        finding.checksums = not finding.problems
    folder = next((root / place for place in release.folders if (root / place).is_dir()), None)
    if folder is None:
        return None
    finding.layout = "folders"
    clips = list_clips(folder)
    words = tuple(sorted({word_of(clip) for clip, *_ in clips}))
    held_out = {part: read_list(folder / file) for part, file in LISTS.items()}
    splits = {}
    for part, found in assign(clips, held_out, folder).items():
        names = [clip for clip, *_ in found]
        splits[part] = stored(folder, names, labels_of(found, words))
        listed = {name for name in held_out.get(part, ()) if word_of(name) in words}
        if absent := len(listed.difference(names)):
            finding.remarks.append(
                f"{absent:,} of {len(listed):,} {part} clips named in {folder.name}/{LISTS[part]} are not there"
            )
    return Dataset(dataset_info(finding.name), splits["train"], splits["validation"], splits["test"], "folders", words)


def look_for_table(finding: Finding, root: Path) -> Dataset | None:
    """Halved as a run at `data.seed=0` has it."""
    name = finding.name
    finding.layout = "scikit-learn" if name in BUNDLED else "CSV"
    if name in REMOTE:
        try:
            find_table(name, root / "uci", download=False)
        except UserError:
            finding.layout = None
            return None
    data = table_data(name, root=root, download=False, split=generator(0, "split"))
    if "instead of" in data.provenance:
        finding.remarks.append(data.provenance)
    return data


def stored(folder: Path, names: Sequence[str], labels: np.ndarray) -> Split:
    try:
        return split_of(Files(folder, np.array([name.encode() for name in names], np.bytes_)), labels)
    except UnicodeEncodeError as error:
        raise UserError(f"{folder}: the name {error.object!r} is not UTF-8; rename the file") from error


def progress(items: Iterable[Item], description: str, total: int) -> Iterable[Item]:
    """With a bar on a terminal; the output may be piped on."""
    console = Console(stderr=True)
    return track(items, description, total=total, console=console, transient=True, disable=not console.is_terminal)
