"""A record names the code, the machine and the data that trained it: of every start, as they were at that start."""

from __future__ import annotations

import json

import pytest

from mixup.ledger.collect import contents
from mixup.ledger.evidence import faults, parsed
from mixup.run import records
from mixup.run.compose import Task
from mixup.training import train as run
from mixup.training.checkpoint import load_newest, save


class Repository:
    """Stands for git: a commit that can change while a run trains."""

    def __init__(self, monkeypatch) -> None:
        self.commit, self.changes = "a" * 40, ""
        answers = {"rev-parse": lambda: self.commit, "status": lambda: self.changes, "diff": lambda: ""}
        monkeypatch.setattr(records, "git", lambda root, word, *rest: answers[word]())


@pytest.fixture
def repository(monkeypatch) -> Repository:
    return Repository(monkeypatch)


def train(task: Task) -> records.Record:
    return run.train(task.config, task.folder, task.label)


def stopped_in_epoch(epoch: int, monkeypatch):
    """As SIGTERM after the first step of an epoch."""
    real = run.stop_if_signalled

    def stop(signals, assembled, progress):
        if (progress.epoch, progress.step) == (epoch, 1):
            signals.received = 15
        real(signals, assembled, progress)

    monkeypatch.setattr(run, "stop_if_signalled", stop)


def reasons(task: Task) -> list[str]:
    """Why the run would be refused as evidence."""
    return faults(parsed(task.folder.with_name(f"{task.folder.name}.json"), contents(task.folder)))


def test_a_commit_made_while_a_run_trains_is_not_the_code_that_ran(repository, monkeypatch, task):
    real = run.train_epochs

    def train_epochs(*arguments):
        repository.commit, repository.changes = "b" * 40, "?? new.py"
        return real(*arguments)

    monkeypatch.setattr(run, "train_epochs", train_epochs)
    environment = train(task)["environment"]
    assert (environment["commit"], environment["dirty"]) == ("a" * 40, False)


def test_a_dirty_start_that_is_committed_meanwhile_stays_dirty(repository, monkeypatch, task):
    repository.changes = " M mixup/mixing.py"
    real = run.train_epochs

    def train_epochs(*arguments):
        repository.commit, repository.changes = "b" * 40, ""
        return real(*arguments)

    monkeypatch.setattr(run, "train_epochs", train_epochs)
    train(task)
    assert any("uncommitted changes" in reason for reason in reasons(task))


@pytest.mark.parametrize(
    ("second", "dirty", "reason"), [("a", "", ""), ("b", "", "several commits"), ("a", "M x", "changes")]
)
def test_every_start_is_a_segment_and_evidence_is_of_one_commit(
    repository, monkeypatch, task, capsys, second, dirty, reason
):
    with monkeypatch.context() as patch:
        stopped_in_epoch(1, patch)
        with pytest.raises(run.Stopped):
            train(task)
    repository.commit, repository.changes = second * 40, dirty
    record = train(task)
    assert [segment["step"] for segment in record["segments"]] == [0, 3]
    assert [segment["environment"]["commit"][0] for segment in record["segments"]] == ["a", second]
    assert {"device", "world_size", "torch"} <= record["segments"][0].keys()
    assert ("instead of aaaa" in capsys.readouterr().err) == (second != "a")
    found = reasons(task)
    assert [reason in text for text in found] == ([True] if reason else []), found


def test_a_checkpoint_of_an_earlier_version_goes_on_and_is_no_evidence(repository, monkeypatch, task, capsys):
    with monkeypatch.context() as patch:
        stopped_in_epoch(1, patch)
        with pytest.raises(run.Stopped):
            train(task)
    state = load_newest(task.folder / "checkpoint", warn=pytest.fail)
    del state["segments"]
    save(task.folder / "checkpoint", 3, state)
    assert train(task)["segments"][0] == {"step": 0, "environment": None}
    assert "instead of None" in capsys.readouterr().err
    assert "aaaaaaa, unknown" in reasons(task)[0]


def test_the_classes_stand_in_the_record_in_the_order_of_the_logits(repository, task):
    train(task)
    assert json.loads((task.folder / "record.json").read_text())["data"]["classes"] == [str(digit) for digit in range(10)]
