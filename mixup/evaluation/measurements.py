"""Measurements of finished runs: JSON files in a run's directory that name the network they are of. Imports no torch."""

import hashlib
import json
import sys
import time
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, TypeVar

from mixup.errors import UserError
from mixup.run import records
from mixup.run.display import progress
from mixup.run.files import write_json

Step = TypeVar("Step")
Values = dict[str, Any]
EXPORTED_WEIGHTS = "model.safetensors"  # the name that the hubs of models know


def run_name(folder: Path) -> str:
    """The experiment and the label, as in the run's path."""
    return "/".join(folder.resolve().parts[-2:])


def finished_record(folder: Path, setting: str = "") -> records.Record:
    """The record of a run. UserError, which begins with the setting and says why, if the folder has none."""
    record = records.read_record(folder) if folder.is_dir() else None
    if record is not None:
        return record
    if not folder.is_dir():
        why = "no such directory; runs lie at runs/<name>/<label>-<hash>"
    elif (folder / "config.yaml").exists():
        why = "this run has not finished; the command that started it resumes it"
    else:
        runs = sorted(file.parent.name for file in folder.glob("*/record.json"))
        why = f"no run, but a folder of runs: {', '.join(runs[:3])}, ..." if runs else "no run lies here"
    raise UserError(f"{setting}{folder}: {why}")


def weights_file(folder: Path) -> Path:
    """The weights of a finished run, or of the folder that it was exported to."""
    exported = folder / EXPORTED_WEIGHTS
    return exported if exported.exists() else folder / "weights.safetensors"


def stamp(folder: Path) -> dict[str, str]:
    """A network's name, label, hash of the configuration, SHA-256 of the weights. OSError or UserError without these."""
    record, weights = finished_record(folder), weights_file(folder).read_bytes()
    return {**{key: record[key] for key in ("name", "label", "hash")}, "weights_sha256": hashlib.sha256(weights).hexdigest()}


def write_measurement(folder: Path, file: str, values: Values) -> Values:
    """Writes the values with the run's stamp and returns both; numbers that are not finite become null, as JSON has none."""
    content = {"run": stamp(folder), **records.finite(values)}
    write_json(folder / file, content)
    return content


def read_measurement(folder: Path, file: str) -> Values | None:
    """The file's content, or None if it is absent, damaged, or of other weights than the run has now."""
    try:
        values = json.loads((folder / file).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return values if isinstance(values, dict) and values.get("run") == stamp(folder) else None


def place_for(folder: Path, name: str, **amounts: int) -> Path:
    """`<name>.json`, or `<name>-<amounts>.json` where that one is of the present weights and of more: a quick look does not
    replace a sweep's measurement. amounts: `examples`, `pairs`, as the file has them."""
    earlier = read_measurement(folder, f"{name}.json") or {}
    fewer = any(amount < earlier.get(key, 0) for key, amount in amounts.items())
    words = [name, *(f"{amount}-{key}" for key, amount in amounts.items() if fewer)]
    return folder / f"{'-'.join(words)}.json"


def tracked(steps: Iterable[Step], title: str, total: int) -> Generator[Step, None, None]:
    """Yields the steps and shows a progress bar on a terminal, elsewhere a line every 30 seconds."""
    printed = time.monotonic()
    for number, step in enumerate(progress(steps, title, total), 1):
        yield step
        if time.monotonic() - printed >= 30 and not sys.stderr.isatty():
            print(f"{title}: {number} of {total}", file=sys.stderr, flush=True)
            printed = time.monotonic()
