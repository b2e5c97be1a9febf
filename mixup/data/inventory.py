"""Lists what is below the data root, without the caches and without writing: the first half of `verification`.

Layout and checksums go into a `Finding`. A packed archive is proven by its checksum and is not unpacked.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mixup.data import Dataset, dataset_info
from mixup.data.sources.cifar import CIFAR, TEST_PARTS, locate_archive, official_data, torchvision_class
from mixup.data.sources.folders import list_folders
from mixup.data.sources.imagenet import IMAGENET, locate_folder
from mixup.data.sources.imagenet import TEST_PARTS as IMAGENET_TEST_PARTS
from mixup.data.sources.shards import index_shards, indexed_split, shards_of
from mixup.data.sources.speech import LISTS, SPEECH, check_archive, list_clips, locate_clips
from mixup.data.sources.tables import BUNDLED, REMOTE, table_data
from mixup.data.sources.toys import digits, rings
from mixup.data.sources.uci import obtain_csv
from mixup.errors import UserError
from mixup.plan import generator


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


def list_dataset(finding: Finding, root: Path) -> Dataset | None:
    """What there is to read, with files as inputs where there are files; None if there is nothing."""
    name = finding.name
    if name in CIFAR:
        return list_cifar(finding, root)
    if name in IMAGENET:
        folder = locate_folder(name, root)
        return list_shards(finding, folder) or list_images(finding, folder, IMAGENET_TEST_PARTS[name])
    if name in SPEECH:
        return list_speech(finding, root)
    if name == "digits":
        finding.layout = "scikit-learn"
        return digits()
    if name == "rings":
        finding.layout = "drawn as needed"
        return rings(generator(0, "rings"))
    return list_table(finding, root)


def list_cifar(finding: Finding, root: Path) -> Dataset | None:
    """Files that fail their checksum are not opened: the batches are pickles."""
    name = finding.name
    place = locate_archive(name, root)
    if place is None:
        return list_images(finding, root / name, TEST_PARTS)
    from torchvision.datasets.utils import check_integrity

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
    return official_data(name, dataset_info(name), place, root, download=False)


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
    info, splits, largest = dataset_info(finding.name), [], -1
    for part in ("train", "val"):
        shards = shards_of(folder, part)
        split = indexed_split(index_shards(shards, finding.problems), shards, folder)
        odd = np.setdiff1d(split.labels.numpy(), np.arange(info.num_classes))
        if len(odd):
            raise UserError(f"{folder}: {part} shards hold class {odd[0]}, where there are 0 to {info.num_classes - 1}")
        largest = split.labels.numpy().max(initial=largest)
        splits.append(split)
    return Dataset(info, splits[0], None, splits[1], "shards", tuple(map(str, range(largest + 1))))


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
    data = list_clips(finding.name, folder)
    for part, count in data.absent.items():
        listed = f"{count:,} of {count + len(data.splits[part]):,} {part} clips named in {folder.name}/{LISTS[part]}"
        finding.remarks.append(f"{listed} are not there")
    return data


def list_table(finding: Finding, root: Path) -> Dataset | None:
    """Halved as a run at `data.seed=0` has it."""
    name = finding.name
    if name in REMOTE:
        try:
            obtain_csv(name, root / "uci", download=False)
        except UserError:
            return None
    finding.layout = "scikit-learn" if name in BUNDLED else "CSV"
    data = table_data(name, root=root, download=False, split=generator(0, "split"))
    if "instead of" in data.provenance:
        finding.remarks.append(data.provenance)
    return data
