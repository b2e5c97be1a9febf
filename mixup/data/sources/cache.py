"""Arrays that are computed once and kept in `<root>/.mixup-cache`: decoded images, spectrograms, indices, neighbours."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mixup.errors import UserError

Arrays = dict[str, np.ndarray]


def cached_arrays(root: Path, name: str, key: object, compute: Callable[[], Arrays]) -> Arrays:
    """What `compute` returns, from `<root>/.mixup-cache/<name>-<hash of key>.safetensors` if that can be read.

    key: changes whenever the arrays would; only its `repr` counts. Nothing is kept if there is no folder `root`.
    """
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
    file = root / ".mixup-cache" / f"{name}-{digest}.safetensors"
    arrays = map_arrays(file)
    if arrays is None:
        arrays = compute()
        if root.is_dir():
            write_arrays(file, arrays)
    return arrays


def map_arrays(file: Path) -> Arrays | None:
    """Memory-mapped, so that gigabytes open at once and processes share them; a write stays its process's own."""
    try:
        with safe_open(file, framework="pt") as tensors:
            return {key: tensors.get_tensor(key).numpy() for key in tensors.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError):
        return None


def write_arrays(file: Path, arrays: Arrays) -> None:
    """Atomic. Without permission or space a message says that everything will be computed again next time."""
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(exist_ok=True)
        save_file(arrays, partial)
        partial.replace(file)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        print(f"{file.name} cannot be kept in {file.parent} ({error}); it will be computed again next time", flush=True)


def file_states(names: Iterable[str], folder: Path = Path()) -> list[tuple[str, int, int]]:
    """(name, bytes, modification time in ns) of each file: a key that changes when a file does. Raises UserError."""
    states = []
    for name in names:
        try:
            state = (folder / name).stat()
        except OSError as error:
            raise UserError(f"{error.filename} cannot be read ({error.strerror}): restore or remove it") from error
        states.append((name, state.st_size, state.st_mtime_ns))
    return states
