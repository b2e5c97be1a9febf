"""Short finished runs for the tests of evaluations."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file

from mixup.evaluation.finished_run import FinishedRun, open_finished_run
from mixup.run.compose import configuration
from mixup.run.identity import run_dir
from mixup.training import train as run

TRAINED = ("trainer.epochs=6", "data.test_size=200", "trainer.train_eval_size=0", "tracking.wandb=disabled")


def train(folder: Path, *overrides: str) -> Path:
    """A finished run below a folder, where `train.py` would have put it."""
    config = configuration([*TRAINED, f"runs_dir={folder}", *overrides])
    label = ",".join(override.rpartition("=")[0][-8:] + "=" + override.rpartition("=")[2] for override in overrides)
    run.train(config, run_dir(config, label), label)
    return run_dir(config, label)


def opened(folder: Path, **settings) -> FinishedRun:
    return open_finished_run(folder, root=None, device="cpu", **settings)


def retrain(folder: Path) -> None:
    """Other weights, as a run that was removed and trained again on another machine has."""
    weights = load_file(folder / "weights.safetensors")
    save_file({name: value * 1.01 for name, value in weights.items()}, folder / "weights.safetensors")
