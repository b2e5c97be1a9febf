"""Random examples, and `train.py` on them in this process."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, Phase, settings

import train as train_script


def fuzz(examples: int) -> Any:
    """The same examples each time; no shrinking, since the message of a failure shows the command line."""
    health = [HealthCheck.too_slow, HealthCheck.data_too_large]
    phases = [Phase.explicit, Phase.generate]
    return settings(max_examples=examples, derandomize=True, deadline=None, suppress_health_check=health, phases=phases)


def outcome(*words: str) -> tuple[int, str, str, list[Path]]:
    """Status, output and error of `train.py`, and the files that it leaves, in a folder of its own."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, {"WANDB_MODE": "disabled", "HOME": folder, "MIXUP_DATA": folder}),
        mock.patch.object(sys, "argv", ["train.py", *words]),
        contextlib.redirect_stdout(io.StringIO()) as output,
        contextlib.redirect_stderr(io.StringIO()) as error,
    ):
        status = train_script.main()
        files = [file.relative_to(folder) for file in Path(folder).rglob("*") if file.is_file()]
        notes = [line for line in error.getvalue().splitlines() if not line.startswith("note: ")]  # of the checkout
        return status, output.getvalue(), "\n".join(notes), files


def refused(status: int, error: str) -> bool:
    lines = [line for line in error.strip().splitlines() if not line.startswith("warning: ")]
    return status == 2 and len(lines) >= 1 and len(lines[-1]) < 2500 and "Traceback" not in error and "secret" not in error
