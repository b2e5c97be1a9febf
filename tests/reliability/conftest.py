"""Fixtures: a small run, `train.py` in this process, and a folder of a user's own configuration files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import train as train_script
from mixup.run.compose import Task, planned

SMALL = (
    "data.train_size=60",
    "trainer.batch_size=32",
    "trainer.train_eval_size=20",
    "trainer.epochs=2",
    "optim.milestones=[]",
)


@pytest.fixture(autouse=True)
def no_npm(monkeypatch):
    """Its registry would have CIFAR-10 where the tests say that nothing can be reached."""
    monkeypatch.setattr("mixup.data.sources.cifar.fetch_package", lambda root: False)


MINE = """# @package _global_
name: mine
trainer: {epochs: 1}
mixup: {alpha: 0.3}
"""
GRID = """# @package _global_
defaults:
  - override /data: few
hydra: {sweeper: {params: {seed: "0,1", mixup.alpha: "0.3,0.4"}}}
"""
FEW = """# @package _global_
defaults: [/recipe: digits, _self_]
data: {name: digits, train_size: 60}
"""
OTHER = """defaults: [train, _self_]
optim: {lr: 0.02}
"""


@pytest.fixture
def train(monkeypatch, capsys, tmp_path):
    """`train.py ARGUMENTS` in this process: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        status = train_script.main()
        output, error = capsys.readouterr()
        notes = "".join(line for line in error.splitlines(keepends=True) if not line.startswith("note: "))  # of the checkout
        return status, output, notes

    return run


@pytest.fixture
def own(tmp_path) -> Path:
    """A folder of a user's files."""
    folder = tmp_path / "own files"
    for name, text in (("experiment/mine", MINE), ("experiment/mine_grid", GRID), ("data/few", FEW), ("other", OTHER)):
        file = folder / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "searched.yaml").write_text(f"{OTHER}hydra: {{searchpath: ['file://{folder}']}}\n")
    return folder


@pytest.fixture
def task(tmp_path) -> Task:
    """A run of two epochs on a few digits."""
    return planned([*SMALL, "tracking.wandb=disabled", f"runs_dir={tmp_path}"], multirun=False)[0]
