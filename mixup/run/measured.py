"""What a run has measured of images of the user's: a resumed or evaluated run takes it from its files."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from mixup.run.config import DataConfig
from mixup.run.files import write_json

FILE = "measured.json"


def with_measured(data: DataConfig, recorded: Mapping[str, Any]) -> DataConfig:
    """The data of a run with the mean and deviation that its record has; unchanged for data that has none there."""
    return replace(data, mean=recorded["mean"], std=recorded["std"]) if "mean" in recorded else data


def of_first_start(data: DataConfig, folder: Path) -> DataConfig:
    """`with_measured` by the file that the first start left. Only beside a checkpoint, with which a run is refused if the
    data has changed; without one it starts anew."""
    with suppress(FileNotFoundError, ValueError):
        if any((folder / "checkpoint").glob("*.pt")):
            return with_measured(data, json.loads((folder / FILE).read_text()))
    return data


def write_measured(folder: Path, measured: Mapping[str, Any]) -> None:
    """Nothing for data that has no such numbers."""
    if measured:
        write_json(folder / FILE, dict(measured))
