"""Writing files so that a reader, or a restart, never sees half of one."""

import contextlib
import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LEFTOVER_SECONDS = 86_400  # what was not touched for so long is of a process that was killed
# What fsync of a folder answers where it is not implemented: CIFS, VirtualBox, 9p, some FUSE. The rename itself was done.
NOT_IMPLEMENTED = (errno.EINVAL, errno.EBADF, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


def write_atomic(file: Path, content: bytes | memoryview) -> None:
    """Leaves the old file or the complete new one, also after a power cut. Raises OSError."""
    with replacing(file, lambda: file.read_bytes() == content) as partial:
        partial.write_bytes(content)


@contextlib.contextmanager
def replacing(file: Path, is_there: Callable[[], bool]) -> Iterator[Path]:
    """Yields the path of a partial file to be written, which then is fsynced and takes the name of `file`, all or nothing.

    is_there: whether `file` is what was written. It is asked where there is nothing to rename: NFS repeats a rename whose
    answer was lost, and the repetition fails. Raises OSError.
    """
    remove_leftovers(file.parent, f".*.{'[0-9a-f]' * 16}.partial")
    # A random name, since process ids are not unique where several machines or containers share a folder.
    partial = file.with_name(f".{file.name}.{secrets.token_hex(8)}.partial")
    try:
        yield partial
        fsync(partial)
        try:
            partial.replace(file)
        except FileNotFoundError:
            if not is_there():
                raise
    finally:
        partial.unlink(missing_ok=True)
    try:
        fsync(file.parent)
    except OSError as error:
        if error.errno not in NOT_IMPLEMENTED:
            raise


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yields the path of a partial folder to be filled, which then takes the name of `folder`, all or nothing.

    Raises OSError, also where something else than an empty folder has come to lie at `folder` meanwhile.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.parent, f".*.{'[0-9a-f]' * 16}.partial")
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.partial")
    partial.mkdir()
    try:
        yield partial
        for file in partial.iterdir():
            fsync(file)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def fsync(path: Path) -> None:
    """Of a file, what was written into it by whichever descriptor; of a folder, the names in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path, pattern: str) -> None:
    """Removes the partial files and folders of processes that were killed long ago."""
    for leftover in folder.glob(pattern):
        with contextlib.suppress(OSError):  # where another process is faster, or has the right to and this one has not
            if leftover.stat().st_mtime < time.time() - LEFTOVER_SECONDS:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def write_json(file: Path, value: Any) -> None:
    """Indented, with a final newline; `nan` and infinities are refused, since JSON has none."""
    write_atomic(file, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())
