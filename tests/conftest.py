"""Shared fixtures: commands run as a user runs them, and configurations composed as `train.py` composes them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
import torch

torch.set_num_threads(1)  # the networks here are tiny: threads cost more than they give, above all on a busy machine

# Files whose slow tests last longest. They start first, so that no process is left with one of them in the end.
LENGTHY = ("test_generated.py", "test_packs.py", "test_distributed.py", "test_signals.py", "test_sweep.py")

ROOT = Path(__file__).resolve().parent.parent
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LENGTHY)


@pytest.fixture(scope="session")
def command() -> Command:
    """Runs `python ARGUMENTS` in the repository's root and returns what it printed and its status."""

    def run(*arguments: object, timeout: float = 240, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1", **environ},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture
def background() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts `python ARGUMENTS` as `command` does, in a process group of its own that ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: object, output: int | IO[bytes] = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        started.append(
            subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                cwd=ROOT,
                env={**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def cpu() -> torch.device:
    return torch.device("cpu")


@pytest.fixture(scope="session")
def cifar10_root() -> str:
    """A data root with CIFAR-10 in it, or a skip that says so."""
    root = os.environ.get("MIXUP_DATA", "")
    if not root or not (Path(root) / "cifar10" / "train").is_dir():
        pytest.skip("needs real CIFAR-10: MIXUP_DATA=DIR with DIR/cifar10/{train,test}/<class>/*.jpg")
    return root
