"""Numbers that are not finite: in training they end the run and keep the good checkpoint, on test data they are a result."""

from __future__ import annotations

import json

import pytest
import torch

from mixup.commands.train import outcome, perform
from mixup.errors import UserError
from mixup.ledger.cells import Cell
from mixup.ledger.collect import collect_run
from mixup.ledger.evidence import read_run
from mixup.ledger.metrics import LAST
from mixup.pages.texts import measured
from mixup.run import records
from mixup.training import capture
from mixup.training import train as run
from tests.reliability.conftest import SMALL
from tests.reliability.faulty_train import spoil
from tests.reliability.test_kills import TORCHRUN


@pytest.fixture(params=[float("inf"), float("nan")], ids=str)
def overflows(request, monkeypatch):
    """A network that is finite in training and not in evaluation, as one becomes whose BatchNorm has hidden it."""
    real = run.assemble

    def assemble(*arguments):
        assembled = real(*arguments)
        forward = assembled.model.forward
        assembled.model.forward = lambda inputs: forward(inputs) * (1 if assembled.model.training else request.param)
        return assembled

    monkeypatch.setattr(run, "assemble", assemble)
    return request.param


def train(task):
    return run.train(task.config, task.folder, task.label)


def test_a_test_loss_that_is_not_finite_is_a_result(task, overflows, tmp_path):
    record = train(task)
    assert record["diverged"] is True
    assert record["test"]["nll"] is None
    if overflows != overflows:
        assert record["test"]["top1_error"]["last"] == 100  # none is the largest of numbers that are none
    text = (task.folder / "metrics.jsonl").read_text() + (task.folder / "record.json").read_text()
    json.loads((task.folder / "record.json").read_text(), parse_constant=pytest.fail)
    assert "NaN" not in text
    assert "Infinity" not in text
    assert outcome(record).startswith("diverged, since a loss on test data is not finite: test error ")
    assert perform(task, pytest.fail) == 0  # it has finished


def test_a_diverged_run_is_evidence_and_its_cell_says_so(task, overflows, tmp_path):
    train(task)
    assert collect_run(task.folder, tmp_path / "evidence", allow_dirty=True, replace=False) == "collected"
    cell = Cell((read_run(next((tmp_path / "evidence").glob("*/*.json"))),))
    assert measured(cell, LAST).endswith("(n=1), 1 diverged")


def test_a_finite_run_has_not_diverged(task):
    assert train(task)["diverged"] is False


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")], ids=str)
@pytest.mark.parametrize("where", ["loss", "gradient", "weight"])
def test_training_that_is_not_finite_ends_with_the_place_and_keeps_a_good_checkpoint(task, monkeypatch, where, value):
    """In the second epoch; the checkpoint of the first stays."""
    task.config.trainer.checkpoint_every_minutes = 0.0
    with monkeypatch.context() as patch:
        patch.setattr(capture, "train_step", spoil(where, value, call=3))
        with pytest.raises(UserError, match="epoch 1") as error:
            train(task)
    assert "smaller optim.lr" in str(error.value)
    assert records.read_record(task.folder) is None
    assert [file.stem for file in task.folder.glob("checkpoint/*.pt")] == ["step-2"]
    for parameter in torch.load(task.folder / "checkpoint/step-2.pt", weights_only=True)["model"].values():
        assert torch.isfinite(parameter).all()
    assert train(task)["epochs"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("where", ["gradient", *(pytest.param(name, marks=pytest.mark.long) for name in ("loss", "weight"))])
def test_one_rank_of_two_ends_both_with_one_message(command, tmp_path, where):
    done = command(
        *TORCHRUN,
        "tests/reliability/faulty_train.py",
        where,
        "nan",
        3,
        1,
        *SMALL,
        "trainer.checkpoint_every_minutes=0",
        f"runs_dir={tmp_path}",
    )
    assert done.returncode != 0
    assert done.stderr.count("epoch 1, step") == 1, done.stderr
    assert "smaller optim.lr" in done.stderr
    assert [file.stem for file in tmp_path.glob("*/*/checkpoint/*.pt")] == ["step-2"]
    assert command(*TORCHRUN, "train.py", *SMALL, f"runs_dir={tmp_path}").returncode == 0
