"""Committed runs, trained again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixup.commands.retrain import compared, retrain, trained
from mixup.errors import UserError
from mixup.ledger.evidence import Evidence, read_evidence

RUNS = Path(__file__).resolve().parents[2] / "results" / "runs"


@pytest.fixture(scope="module")
def evidence() -> list[Evidence]:
    return [run for run in read_evidence(RUNS) if run.name.startswith("table4_uci/alpha=0.2,seed=0")]


def test_a_committed_run_comes_out_again(evidence, capsys):
    assert retrain(["table4_uci/alpha=0.2"], evidence) == 0
    assert "as committed, " in capsys.readouterr().out


def test_a_run_that_does_not_come_out_again_is_said(evidence, capsys):
    (run,) = evidence
    test = {**run.record["test"], "top1_error": {"last": 90.0}}
    curve = {**run.curve, "test_top1_error": [90.0] * 10}
    assert retrain(["table4_uci/alpha=0.2"], [replace(run, record={**run.record, "test": test}, curve=curve)]) == 1
    assert "NOT as committed" in capsys.readouterr().out


@pytest.mark.parametrize("column", ["test_top1_error", "train_loss", "train_eval_nll"])
def test_a_column_that_comes_out_otherwise_is_named(evidence, column):
    """On the device of the record, which this one then is."""
    record, lines = trained(evidence[0])
    run = replace(evidence[0], record=record, curve={name: [line[name] for line in lines] for name in evidence[0].curve})
    assert compared(run) == (True, "bit for bit")
    changed = [value * (1 + 1e-4) for value in run.curve[column]]
    assert compared(replace(run, curve={**run.curve, column: changed})) == (False, f"another {column}")


def test_on_another_device_errors_are_compared_with_room(evidence):
    (run,) = evidence
    same, words = compared(replace(run, record={**run.record, "device": "CPU (1 threads, a machine of its own)"}))
    assert same
    assert words.startswith("to 3 points, on CPU (1 threads")


def test_a_cell_that_is_not_there_is_refused(evidence):
    with pytest.raises(UserError, match=r"table9/alpha=0.2: no such cell; there are table4_uci/alpha=0.2"):
        retrain(["table9/alpha=0.2"], evidence)
