"""Finished runs that the tests of evaluations share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.evaluation.short_runs import train


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> dict[str, Path]:
    """LeNet on digits: two seeds of ERM and of mixup, and beside them a table, and ERM on another test set."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        "erm": train(folder, "mixup=erm"),
        "erm 1": train(folder, "mixup=erm", "seed=1"),
        "mixup": train(folder, "mixup.alpha=1.0"),
        "mixup 1": train(folder, "mixup.alpha=1.0", "seed=1"),
        "few": train(folder, "mixup=erm", "data.test_size=100"),
        "table": train(folder, "data=iris", "model=mlp", "data.test_size=60", "mixup=erm"),
    }


@pytest.fixture
def copies(runs, tmp_path) -> dict[str, Path]:
    """The same runs, for tests that write beside them."""
    return {name: Path(shutil.copytree(folder, tmp_path / name)) for name, folder in runs.items()}
