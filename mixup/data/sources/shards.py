"""Images in tar shards by the WebDataset convention: members that share a key are one example, `<key>.jpg` and `<key>.cls`.

The members are indexed once and then read where they lie, in the order of the epoch's plan: the images of a run are those
that folders would give, and it resumes as they do. That is meant for disks; on object stores, fetch the shards first.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from mixup.data.sources.folders import IMAGE_ENDINGS, cache_file, read_cache, write_cache
from mixup.errors import UserError


def shards_of(folder: Path, part: str) -> list[Path]:
    """`<folder>/<part>/*.tar`, else `<folder>/*<part>*.tar`, in name order; none where `<folder>/<part>/` has class folders,
    beside which the archives that they were unpacked from may lie."""
    if (folder / part).is_dir() and any(entry.is_dir() for entry in (folder / part).iterdir()):
        return []
    return sorted((folder / part).glob("*.tar")) or sorted(folder.glob(f"*{part}*.tar"))


def index_shards(root: Path, name: str, shards: Sequence[Path], folder: Path) -> dict[str, np.ndarray]:
    """Every example of the shards, in the order of class and key. Kept in `<root>/.mixup-cache`.

    Returns names (N, bytes) uint8, where (N, 3) int64 (shard, offset, length) and labels (N,) int64.
    Raises UserError at a shard that is damaged, or an example without a class.
    """
    listing = [(str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns) for file in shards]
    cache = cache_file(root, f"{name}-shards", listing)
    index = read_cache(cache)
    if index is None:
        examples = []
        for number, file in track(
            enumerate(shards), description=f"indexing {len(shards):,} shards, once", total=len(shards), transient=True
        ):
            examples += [(label, key, number, offset, length) for label, key, offset, length in index_shard(file)]
        examples.sort()
        index = {
            "labels": np.array([example[0] for example in examples], np.int64),
            "names": as_bytes([example[1] for example in examples]),
            "where": np.array([example[2:] for example in examples], np.int64).reshape(-1, 3),
        }
        write_cache(cache, index)
    return index


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
        raise UserError(f"{file} is damaged, or no shard of WebDataset's ({error}): fetch it again") from error
    lacking = sorted(images.keys() - labels.keys())
    if lacking or not images:
        what = f"{images[lacking[0]][0]} has no class beside it" if lacking else "it holds no images"
        raise UserError(f"{file}: {what}; expected are pairs <key>.jpg and <key>.cls (the class's number, from 0)")
    return [(labels[key], *images[key]) for key in images]


def as_bytes(names: Sequence[str]) -> np.ndarray:
    """(N, longest) uint8, padded with zeros, as safetensors can keep it."""
    array = np.array([name.encode() for name in names])
    return array.view(np.uint8).reshape(len(names), -1)


def as_names(array: np.ndarray) -> np.ndarray:
    """The inverse of `as_bytes`: (N,) bytes."""
    return np.ascontiguousarray(array).view(f"S{array.shape[1]}")[:, 0]
