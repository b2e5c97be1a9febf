"""Encoded images where they lie: files in folders, or members of tar shards. Compact, so that workers can share millions."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Files:
    """names: (N,) bytes, each a path below `root`, or a member's name inside its shard. where: (N, 3) int64, for shards
    alone: which of `shards`, offset and length in bytes."""

    root: Path
    names: np.ndarray
    shards: tuple[str, ...] = ()
    where: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: Tensor | np.ndarray) -> Files:
        index = np.asarray(rows)
        return replace(self, names=self.names[index], where=None if self.where is None else self.where[index])

    def path(self, row: int) -> str:
        """What to call the example in a message."""
        name = os.fsdecode(self.names[row])
        if self.where is None:
            return str(self.root / name)
        return f"{self.root / self.shards[self.where[row, 0]]}: {name}"

    def read(self, row: int) -> bytes:
        """The encoded image. Raises OSError."""
        if self.where is None:
            with open(self.root / os.fsdecode(self.names[row]), "rb") as file:
                return file.read()
        shard, offset, length = self.where[row]
        with open(self.root / self.shards[shard], "rb", buffering=0) as file:
            file.seek(offset)
            return file.read(length)
