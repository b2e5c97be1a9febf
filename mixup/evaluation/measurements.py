"""Measurements of finished runs: JSON files in a run's directory that name the network they are of. Imports no torch."""

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


def run_name(folder: Path) -> str:
    """The experiment and the label, as in the run's path."""
    return "/".join(folder.resolve().parts[-2:])


def stamp(folder: Path) -> dict[str, str]:
    """Identifies a run's network: name, label, hash of the configuration, SHA-256 of the weights.

    OSError or UserError if there is no finished run.
    """
    record = records.read_record(folder)
    if record is None:
        raise UserError(f"{folder}: this run has not finished; the command that started it resumes it")
    weights = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    return {"name": record["name"], "label": record["label"], "hash": record["hash"], "weights_sha256": weights}


def write_measurement(folder: Path, file: str, values: Values) -> Values:
    """Writes the values with the run's stamp and returns both; numbers that are not finite become null, as JSON has none."""
    content = {"run": stamp(folder), **finite(values)}
    write_json(folder / file, content)
    return content


def read_measurement(folder: Path, file: str) -> Values | None:
    """The file's content, or None if it is absent, damaged, or of other weights than the run has now."""
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


def tracked(steps: Iterable[Step], title: str, total: int, *, every_seconds: float = 30.0) -> Generator[Step, None, None]:
    """Yields the steps and shows a progress bar on a terminal, elsewhere a line every `every_seconds`."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(steps, title, total=total, console=console, transient=True)
        return
    printed = time.monotonic()
    for number, step in enumerate(steps, 1):
        yield step
        if time.monotonic() - printed >= every_seconds:
            print(f"{title}: {number} of {total}", file=sys.stderr, flush=True)
            printed = time.monotonic()
