"""What an evaluation leaves in a run's directory: JSON that says which network it is of, so that it is made once."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track

from mixup.errors import UserError
from mixup.run import records
from mixup.run.files import write_json

Step = TypeVar("Step")
Values = dict[str, Any]


def stamp(folder: Path) -> dict[str, str]:
    """Which network a measurement is of: the run's name and label, the hash of its configuration, the SHA-256 of its
    weights. OSError or UserError where there is no finished run."""
    record = records.read_record(folder)
    if record is None:
        raise UserError(f"{folder}: this run has not finished; the command that started it resumes it")
    weights = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    return {"name": record["name"], "label": record["label"], "hash": record["hash"], "weights_sha256": weights}


def write_measurement(folder: Path, file: str, values: Values) -> Values:
    """Writes the values with the run's stamp and returns both; what is no finite number is null, since JSON has no word
    for it."""
    whole = {"run": stamp(folder), **finite(values)}
    write_json(folder / file, whole)
    return whole


def read_measurement(folder: Path, file: str) -> Values | None:
    """What the file says, or None where it is absent, damaged, or of other weights than the run has now."""
    try:
        values = json.loads((folder / file).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return values if isinstance(values, dict) and values.get("run") == stamp(folder) else None


def finite(value: Any) -> Any:
    """The same value, with None for a number that is not finite."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def tracked(steps: Iterable[Step], what: str, total: int, *, every_seconds: float = 30.0) -> Generator[Step, None, None]:
    """The same steps, with a bar on a terminal, and elsewhere a line every so often while it takes longer than that."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(steps, what, total=total, console=console, transient=True)
        return
    said = time.monotonic()
    for number, step in enumerate(steps, 1):
        yield step
        if time.monotonic() - said >= every_seconds:
            print(f"{what}: {number} of {total}", file=sys.stderr, flush=True)
            said = time.monotonic()
