"""Writing files so that a reader, or a restart, never sees half of one."""

import json
import os
from pathlib import Path
from typing import Any


def write_atomic(file: Path, content: bytes | memoryview) -> None:
    """Leaves the old file or the complete new one, also after a power cut: writes a partial file, fsyncs and renames it, and
    fsyncs the folder."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(partial, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(file: Path, value: Any) -> None:
    """Indented, with a final newline; `nan` and infinities are refused, since JSON has none."""
    write_atomic(file, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())
