"""Checkpoints and metrics that are foreign, lost, or apart from each other. Damaged ones: training/test_checkpoint.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mixup.errors import UserError
from mixup.run import records
from mixup.run.compose import configuration
from mixup.training import checkpoint
from mixup.training import train as run
from tests.training.test_train import SMALL, STEPS, assert_same_run, interrupt_after


def settings():
    return configuration([*SMALL, "trainer.checkpoint_every_minutes=0"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    run.train(settings(), folder, "")
    return folder


@pytest.fixture
def cut(tmp_path, monkeypatch) -> Path:
    """A run that was stopped in its third epoch, with checkpoints after steps 6 and 7."""
    with monkeypatch.context() as patch:
        patch.setattr(run, "stop_if_signalled", interrupt_after(2 * STEPS + 1))
        with pytest.raises(run.Stopped):
            run.train(settings(), tmp_path / "run", "")
    assert [file.stem for file in checkpoint.checkpoints(tmp_path / "run/checkpoint")] == ["step-6", "step-7"]
    return tmp_path / "run"


def rewrite(cut: Path, change) -> None:
    """The newest checkpoint, changed, with a checksum that is right."""
    file = cut / "checkpoint/step-7.pt"
    state = torch.load(file, weights_only=True)
    change(state)
    checkpoint.save(cut / "checkpoint", 7, state)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state.pop("step"), "'step'"),
        (lambda state: state.pop("optimizer"), "'optimizer'"),
        (lambda state: state["model"].pop("0.weight"), "0.weight"),
        (lambda state: state["model"].update({"0.weight": torch.zeros(3)}), "size mismatch"),
        (lambda state: state["optimizer"]["param_groups"].clear(), "parameter group"),
        (lambda state: state.pop("predicted"), "'predicted'"),
        (lambda state: state.pop("fingerprint"), "the data is not what"),
    ],
    ids=["no step", "no optimizer", "no weight", "another weight", "no group", "no tables", "no fingerprint"],
)
def test_a_checkpoint_of_other_code_is_refused_with_the_way_on(cut, change, reason):
    rewrite(cut, change)
    with pytest.raises(UserError, match="remove th") as error:
        run.train(settings(), cut, "")
    assert reason in str(error.value)
    assert (cut / "checkpoint/step-7.pt").exists()


def test_all_checkpoints_bad_is_a_start_from_scratch_that_says_so(cut, finished, capsys):
    for file in (cut / "checkpoint").glob("*.pt"):
        file.write_bytes(file.read_bytes()[:1000])
    run.train(settings(), cut, "")
    assert capsys.readouterr().err.count("is damaged") == 2
    assert_same_run(finished, cut)


@pytest.mark.parametrize("bytes_left", [-1, -30, 10])
def test_metrics_that_are_cut_off_below_the_checkpoint_are_missed(cut, bytes_left):
    file = cut / "metrics.jsonl"
    file.write_bytes(file.read_bytes()[:bytes_left])
    with pytest.raises(UserError, match=r"metrics\.jsonl lacks"):
        run.train(settings(), cut, "")


def test_metrics_ahead_of_the_checkpoint_are_cut_back(cut, finished):
    with open(cut / "metrics.jsonl", "a") as stream:
        stream.write(json.dumps({"epoch": 3, "step": 9, "test_top1_error": 1.0}) + '\n{"epoch": 4, "st')
    run.train(settings(), cut, "")
    assert_same_run(finished, cut)


def test_metrics_that_are_no_json_are_named(cut):
    text = (cut / "metrics.jsonl").read_text()
    (cut / "metrics.jsonl").write_text("x" + text)
    with pytest.raises(UserError, match=r"metrics\.jsonl is damaged"):
        run.train(settings(), cut, "")
    (cut / "metrics.jsonl").write_bytes(b"\xff\xfe" + text.encode())
    with pytest.raises(UserError, match=r"metrics\.jsonl is damaged"):
        records.read_metrics(cut)
