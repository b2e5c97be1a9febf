"""ImageNet-2012 (section 3.1) and Tiny ImageNet: folders of images or tar shards, in memory if they fit, else streamed."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from mixup.data.dataset import Dataset, identities
from mixup.data.datasets import DATASETS, DatasetInfo
from mixup.data.sources.folders import decode_dataset, list_folders, read_shards, shards_of
from mixup.data.sources.storage import Download, remark_left_out
from mixup.errors import UserError

RESIDENT_BYTES = 4 * 2**30  # images of one size that need no more than this are kept in memory
LAYOUTS = """  * images in folders, as {root}/{folders[0]}/train/<wnid>/*.JPEG and {root}/{folders[0]}/val/<wnid>/*.JPEG
  * WebDataset shards, as {root}/{folders[0]}/train/*.tar and {root}/{folders[0]}/val/*.tar
"""
FETCH_IMAGENET = """    To fetch it, get ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from {url} (an account is
    needed) and unpack them to these folders; or, after accepting the terms on the page of the dataset, fetch shards:
      hf download timm/imagenet-1k-wds --repo-type dataset --local-dir {quoted_root}/imagenet"""
FETCH_TINY = """    To fetch it:
      curl -L -o {quoted_archive} {url}
      unzip -q {quoted_archive} -d {quoted_root}"""
TINY_FOLDERS, TINY_URL = ("tiny_imagenet", "tiny-imagenet-200"), "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
IMAGENET = {
    "imagenet": Download("ImageNet", ("imagenet",), "https://image-net.org/download-images", "", LAYOUTS + FETCH_IMAGENET),
    "tiny_imagenet": Download("Tiny ImageNet", TINY_FOLDERS, TINY_URL, "", LAYOUTS + FETCH_TINY),
}
# Names of the test folder. Tiny ImageNet's test/, as it is published, has no labels.
TEST_PARTS = {"imagenet": ("val", "test"), "tiny_imagenet": ("val",)}


def imagenet_data(name: str, *, root: Path, resident: bool | None) -> Dataset:
    """The dataset called `name` below the root. resident: whether images are decoded into memory; None goes by size.

    Raises UserError if it is not there, with the layout and the command that fetches it.
    """
    folder = locate_folder(name, root)
    if shards_of(folder, "train"):
        if resident:
            raise UserError(f"data.resident=true: the shards in {folder} are read as they are needed; leave it at null")
        return with_identities(shard_data(name, folder, root))
    if not (folder / "train").is_dir():
        raise IMAGENET[name].missing(root, "data.download does not fetch it")
    data = describe(name, folder, list_folders(DATASETS[name], folder, TEST_PARTS[name]))
    return decode_dataset(data, name, root) if is_resident(name, data.info, resident) else with_identities(data)


def locate_folder(name: str, root: Path) -> Path:
    """Its folder below the root; the usual one if there is none."""
    places = [root / place for place in IMAGENET[name].folders]
    return next((place for place in places if (place / "train").is_dir() or shards_of(place, "train")), places[0])


def shard_data(name: str, folder: Path, root: Path) -> Dataset:
    """Classes are the numbers in the shards: each from 0 to the largest must occur in training."""
    official = DATASETS[name].num_classes
    parts = {part: shards_of(folder, part) for part in ("train", "val")}
    if not parts["val"]:
        raise UserError(f"{folder} has training shards, but none of {folder}/val/*.tar or {folder}/*val*.tar")
    (train, left_out), (test, others) = (
        read_shards(root, f"{name}-{part}", shards, folder) for part, shards in parts.items()
    )
    left_out += others
    numbers = np.unique(train.labels.numpy())
    if numbers.min() < 0:
        raise UserError(f"{folder}: a class is {numbers.min()}, and the classes of shards count from 0; fetch them again")
    if numbers.max() >= official:
        raise UserError(f"{folder}: a class is {numbers.max()}, and {IMAGENET[name].title} has {official:,}, from 0")
    missing = np.setdiff1d(np.union1d(np.arange(numbers.max() + 1), test.labels.numpy()), numbers)
    if len(missing):
        raise UserError(f"{folder}: no training shard holds class {missing[0]}; fetch the shards that are missing")
    remarks = remark_left_out(folder, "images or classes", left_out)
    classes = tuple(map(str, numbers))
    data = Dataset(DATASETS[name], train, None, test, "shards", classes, left_out=left_out, remarks=remarks)
    return describe(name, folder, data)


def describe(name: str, folder: Path, data: Dataset) -> Dataset:
    """The dataset with its own counts, and a provenance that says what is missing."""
    title, official, classes = IMAGENET[name].title, DATASETS[name], len(data.classes)
    if classes > official.num_classes:
        raise UserError(f"{folder} has {classes:,} classes; {title} has {official.num_classes:,}")
    info = replace(official, num_classes=classes, train_count=len(data.train), test_count=len(data.test))
    counts = [(info.train_count, official.train_count, "training"), (info.test_count, official.test_count, "test")]
    present = [f"{count:,} of {total:,} {part} images" for count, total, part in counts if count != total]
    if classes < official.num_classes:
        present = [f"{classes:,} of {official.num_classes:,} classes"]
    return replace(data, info=info, provenance=f"{title} ({', '.join(present)})" if present else title)


def is_resident(name: str, info: DatasetInfo, resident: bool | None) -> bool:
    """Whether the images are decoded into memory. Raises UserError if they cannot be."""
    same_size = info.resize == info.input_shape[1]
    if resident and not same_size:
        raise UserError(f"data.resident=true: the images of {name} differ in size and are decoded as they are needed")
    fits = (info.train_count + info.test_count) * math.prod(info.input_shape) <= RESIDENT_BYTES
    return same_size and (fits if resident is None else resident)


def with_identities(data: Dataset) -> Dataset:
    """Files stand in the fingerprint by their names: there are too many to be read."""
    train, test = (replace(split, identity=identities(list(split.files.names))) for split in (data.train, data.test))
    return replace(data, train=train, test=test)
