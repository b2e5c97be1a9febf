"""Shared fixtures: commands run as a user runs them, and configurations composed as `train.py` composes them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def command() -> Command:
    """Runs `python ARGUMENTS` in the repository's root and returns what it printed and its status."""

    def run(*arguments: object, timeout: float = 240, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "WANDB_MODE": "disabled", **environ},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


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
