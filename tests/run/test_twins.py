"""Experiments that share runs train them once."""

import dataclasses
import json

import pytest
import yaml

from mixup.commands.train import perform
from mixup.ledger.collect import collect_run
from mixup.run.compose import Task, planned
from mixup.run.twins import adopt
from mixup.training.train import train

SETTINGS = ("data.train_size=100", "trainer.train_eval_size=20", "trainer.epochs=1", "optim.milestones=[]")


@pytest.fixture
def tasks(tmp_path):
    """A run that has finished as `one`, by code that git can name, and the tasks of it and of others as `two`."""

    def task(*words: str) -> Task:
        return planned([*SETTINGS, f"runs_dir={tmp_path}", *words], multirun=True)[0]

    one = task("name=one")
    train(one.config, one.folder, one.label)
    file = one.folder / "record.json"
    record = json.loads(file.read_text())
    record["environment"]["dirty"] = False
    file.write_text(json.dumps(record))
    return one, task("name=two", "sweep.slots=1"), task


def test_a_sweep_copies_a_run_that_another_one_has_finished(tasks, tmp_path, capsys):
    one, two, _ = tasks
    assert perform(two, pytest.fail) == 0
    assert f"copied from {one.folder}" in capsys.readouterr().out
    for name in ("metrics.jsonl", "predictions.npz", "weights.safetensors"):
        assert (two.folder / name).read_bytes() == (one.folder / name).read_bytes()
    before, after = (json.loads((task.folder / "record.json").read_text()) for task in (one, two))
    changed = {key for key in before if before[key] != after[key]}
    assert changed <= {"name", "label", "config", "wandb"}
    assert after["name"] == yaml.safe_load((two.folder / "config.yaml").read_text())["name"] == "two"
    assert collect_run(two.folder, tmp_path / "evidence", allow_dirty=True, replace=False) == "collected"


def test_a_single_run_is_trained(tasks):
    _, two, _ = tasks
    trained = []

    def train_it(task):
        trained.append(task.folder)
        return train(task.config, task.folder, task.label)

    assert perform(dataclasses.replace(two, place=""), train_it) == 0
    assert trained == [two.folder]


@pytest.mark.parametrize("other", ["seed=1", "mixup.alpha=0.5", "trainer.batch_size=32"])
def test_another_run_is_no_twin(tasks, other):
    *_, task = tasks
    assert adopt(task("name=two", other)) is None


def test_what_was_begun_goes_on(tasks):
    _, two, _ = tasks
    two.folder.mkdir(parents=True)
    (two.folder / "config.yaml").touch()
    assert adopt(two) is None


def test_a_run_by_code_that_git_cannot_name_is_left_alone(tasks):
    one, two, _ = tasks
    file = one.folder / "record.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"environment": {"dirty": True}}))
    assert adopt(two) is None
