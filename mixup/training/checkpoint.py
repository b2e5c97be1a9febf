"""Checkpoints that survive a kill at any moment: atomic, with a checksum, the last two kept.

A checkpoint is `step-<n>.pt`, tensors and plain values only, and `step-<n>.pt.sha256` in the format of `sha256sum -c`.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mixup.run.files import write_atomic

KEPT = 2


def save(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Writes the state after `step` optimizer steps and removes all but the newest two. Raises OSError when it cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    file = folder / f"step-{step}.pt"
    # The checksum first: a checkpoint without one is then always an unfinished or a foreign file.
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
    write_atomic(checksum_of(file), f"{digest}  {file.name}\n".encode())
    write_atomic(file, buffer.getbuffer())
    found = checkpoints(folder)
    here = found.index(file)
    # What is newer was passed over as damaged when this run resumed: kept, it would crowd out the good ones.
    for other in [*found[: max(0, here + 1 - KEPT)], *found[here + 1 :]]:
        other.unlink()
        checksum_of(other).unlink(missing_ok=True)
    return file


def load_newest(folder: Path, *, warn: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest undamaged state, on the CPU; None where there is none. A damaged one is named through `warn`.

    Raises OSError where a file is there and cannot be read: that may pass, and is no damage.
    """
    for file in reversed(checkpoints(folder)):
        content = file.read_bytes()
        try:
            expected = checksum_of(file).read_text().split()[0]
            if hashlib.sha256(content).hexdigest() != expected:
                raise ValueError("its checksum does not match")
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # whatever is wrong with this one, an older one may be good
            warn(f"checkpoint {file} is damaged ({error}): falling back to the one before it, or to the start")
    return None


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoint files, oldest first."""
    found = [(int(match[1]), file) for file in folder.glob("*.pt") if (match := re.fullmatch(r"step-(\d+)\.pt", file.name))]
    return [file for _, file in sorted(found)]


def checksum_of(file: Path) -> Path:
    return file.with_name(file.name + ".sha256")


def remove(folder: Path) -> None:
    """All checkpoints of a run that has finished; its weights are in weights.safetensors."""
    for file in checkpoints(folder):
        file.unlink()
        checksum_of(file).unlink(missing_ok=True)
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
