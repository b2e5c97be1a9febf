"""Images in tar shards by the WebDataset convention: members that share a key are one example, `<key>.jpg` and `<key>.cls`.

The members are indexed once and then read where they lie, in the order of the epoch's plan: a run sees the images that
folders would give, and resumes in the same way. That is meant for disks; on object stores, fetch the shards first.
"""

import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mixup.data.dataset import Split, split_of
from mixup.data.sources.cache import cached_arrays, file_states
from mixup.data.sources.encoded import Files
from mixup.data.sources.folders import IMAGE_ENDINGS
from mixup.errors import UserError
from mixup.run.display import progress


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
            for member in tar:
                if not member.isfile():
                    continue
                start = member.name.rfind("/") + 1
                key, _, ending = member.name[start:].partition(".")
                key = member.name[:start] + key
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
