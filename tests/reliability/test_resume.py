"""A run that is cut off anywhere and started again ends in the state of one that nothing has disturbed, to the last bit:
weights, optimizer, predictions, and every number of its metrics and its record."""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mixup.run import records
from mixup.run.compose import configuration
from mixup.run.config import TrainConfig
from mixup.training import checkpoint, folder
from mixup.training import train as run
from tests.training.test_distributed import torchrun
from tests.training.test_streamed_runs import root
from tests.training.test_train import assert_same_run

__all__ = ["root"]  # a fixture

STEPS, EPOCHS = 3, 2
COMMON = (
    *(f"trainer.epochs={EPOCHS}", "trainer.batch_size=16", "trainer.eval_batch_size=20", "trainer.train_eval_size=10"),
    *("optim.milestones=[1]", "trainer.checkpoint_every_minutes=0", "tracking.wandb=disabled"),
)
DIGITS = ("data.train_size=40", "data.test_size=40")
KINDS = {
    "mixup": (*DIGITS, "mixup.lam_per=example"),
    "erm": (*DIGITS, "mixup=erm"),
    "latent": (*DIGITS, "mixup.layer='3'", "mixup.noise=0.1"),
    "batchnorm and dropout": (*DIGITS, "model=preact_resnet18", "model.width=16", "model.dropout=0.3"),
    "label noise": (*DIGITS, "data.label_noise=0.5", "mixup.partner=nearest", "mixup.neighbours=5"),
    "features, adam": ("data=iris", "model=mlp", "data.train_size=40"),
    "streamed": (
        *("data=tiny_imagenet", "data.resident=false", "data.workers=0", "trainer.batch_size=10"),
        *("model=preact_resnet18", "model.width=16"),
    ),
}
States = list[dict[str, Any]]


class Kill(BaseException):
    """The process ends here."""


def kill(*arguments: object, **settings: object) -> None:
    raise Kill


@pytest.fixture
def states(monkeypatch) -> States:
    """Every state that is saved, in order."""
    saved, real = [], checkpoint.save

    def save(target: Path, step: int, state: dict[str, Any]) -> Path:
        saved.append(copy.deepcopy(state))
        return real(target, step, state)

    monkeypatch.setattr(checkpoint, "save", save)
    return saved


def stopped_after(step: int) -> Callable[[pytest.MonkeyPatch], None]:
    """By SIGTERM after so many optimizer steps."""

    def cut(patch: pytest.MonkeyPatch) -> None:
        real = run.stop_if_signalled

        def stop_if_signalled(signals, assembled, progress):
            if progress.steps_done == step:
                os.kill(os.getpid(), signal.SIGTERM)
            real(signals, assembled, progress)

        patch.setattr(run, "stop_if_signalled", stop_if_signalled)

    return cut


def killed_in(module: object, name: str, call: int = 1) -> Callable[[pytest.MonkeyPatch], None]:
    """At the start of that call of a function."""

    def cut(patch: pytest.MonkeyPatch) -> None:
        real, calls = getattr(module, name), []

        def function(*arguments, **settings):
            calls.append(name)
            return kill() if len(calls) == call else real(*arguments, **settings)

        patch.setattr(module, name, function)

    return cut


def killed_in_the_middle_of_a_line(patch: pytest.MonkeyPatch) -> None:
    def append_metrics(run_dir: Path, lines: list[dict[str, Any]]) -> None:
        with open(run_dir / "metrics.jsonl", "a") as stream:
            stream.write('{"epoch": 1, "st')
        raise Kill

    patch.setattr(records, "append_metrics", append_metrics)


PLACES = {
    "before the first step": killed_in(run, "train_epoch"),
    "step 1": stopped_after(1),
    "in mid-epoch": stopped_after(STEPS + 1),
    "the last step of an epoch": stopped_after(STEPS),
    "the last step": stopped_after(STEPS * EPOCHS),
    "the evaluation after an epoch": killed_in(run, "epoch_line"),
    "the evaluation after the last": killed_in(run, "epoch_line", call=EPOCHS),
    "writing a checksum": killed_in(checkpoint, "write_atomic", call=3),
    "writing a checkpoint": killed_in(checkpoint, "write_atomic", call=4),
    "after a line of metrics": killed_in(run, "start_epoch", call=1),
    "a line of metrics": killed_in_the_middle_of_a_line,
    "writing the weights": killed_in(folder, "write_atomic", call=2),
    "writing the record": killed_in(records, "write_record"),
}


def train(config: TrainConfig, target: Path) -> records.Record:
    return run.train(config, target, "a label")


def assert_equal(one: object, other: object, place: str = "") -> None:
    """Nested values, tensors to the last bit; times apart."""
    assert type(one) is type(other), place
    if isinstance(one, dict):
        keys = {key for key in one if "second" not in str(key) and key not in ("segments", "environment", "wandb")}
        assert keys == {key for key in other if "second" not in str(key)} - {"segments", "environment", "wandb"}, place
        for key in keys:
            assert_equal(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), place
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_equal(*pair, f"{place}[{number}]")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), place
    else:
        assert one == other, place


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, Path]:
    return {}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_cut_off_and_started_again(kind, place, undisturbed, states, root, tmp_path, tmp_path_factory, monkeypatch):
    config = configuration([*COMMON, *KINDS[kind], *([f"data.root={root}"] if kind == "streamed" else [])])
    if kind not in undisturbed:
        target = tmp_path_factory.mktemp("undisturbed")
        train(config, target / "run")
        torch.save(states[-1], target / "state.pt")
        undisturbed[kind] = target
    states.clear()
    with monkeypatch.context() as patch:
        PLACES[place](patch)
        with pytest.raises((Kill, run.Stopped)):
            train(config, tmp_path / "run")
    assert records.read_record(tmp_path / "run") is None
    train(config, tmp_path / "run")
    expected = undisturbed[kind]
    assert_same_run(expected / "run", tmp_path / "run")
    assert_equal(records.read_record(expected / "run"), records.read_record(tmp_path / "run"))
    assert_equal(torch.load(expected / "state.pt", weights_only=True), states[-1])


@pytest.mark.slow
def test_two_ranks_cut_off_and_started_again(command, tmp_path):
    done = torchrun(command, 2, "tests/reliability/resume_on_ranks.py", str(tmp_path), PYTHONPATH=".")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("the same") == 20, done.stdout
