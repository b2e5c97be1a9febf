"""Encoded images and clips on disk: files in folders, or members of tar shards. Compact, for workers to share millions."""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from mixup.errors import UserError


@dataclass(frozen=True)
class Files:
    """names: (N,) bytes, each a path below `root`, or a member's name inside its shard.
    where: (N, 3) int64, for shards only: the index into `shards`, offset and length in bytes."""

    root: Path
    names: np.ndarray
    shards: tuple[str, ...] = ()
    where: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: Tensor | np.ndarray) -> "Files":
        index = np.asarray(rows)
        return replace(self, names=self.names[index], where=None if self.where is None else self.where[index])

    def path(self, row: int) -> str:
        """What to call the example in a message; for files in folders the path to open."""
        name = os.fsdecode(self.names[row])
        if self.where is None:
            return str(self.root / name)
        return f"{self.root / self.shards[self.where[row, 0]]}: {name}"

    def read(self, row: int) -> bytes:
        """The encoded content. Raises OSError."""
        if self.where is None:
            with open(self.root / os.fsdecode(self.names[row]), "rb") as file:
                return file.read()
        shard, offset, length = self.where[row]
        with open(self.root / self.shards[shard], "rb", buffering=0) as file:
            file.seek(offset)
            return file.read(length)

    def image(self, row: int, size: tuple[int, int] | None = None) -> np.ndarray:
        """The decoded pixels, (H, W, 3) uint8. Raises UserError for a file that is no image, or not of `size`."""
        from PIL import Image

        try:
            with Image.open(io.BytesIO(self.read(row))) as image:
                pixels = np.asarray(image.convert("RGB"))
        except MemoryError:
            raise
        except Exception as error:  # Pillow raises nearly anything for a damaged file
            why = str(error).split(" <_io")[0]  # it names the buffer that it read from
            raise UserError(f"{self.path(row)} cannot be read as an image ({why}): restore or remove it") from error
        if size is not None and pixels.shape[:2] != size:
            raise UserError(f"{self.path(row)} is {pixels.shape[1]}x{pixels.shape[0]}, not {size[1]}x{size[0]}")
        return pixels


def files_in(folder: Path, names: Sequence[str]) -> Files:
    """Files by their names below `folder`."""
    return Files(folder, np.array([os.fsencode(name) for name in names], np.bytes_))
