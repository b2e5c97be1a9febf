"""A finished run is not repeated; of other data it is refused, and other code is said."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mixup.run import records
from mixup.training.folder import fingerprints_here
from tests.conftest import ROOT
from train import main

RUN = ("data=htru2", "model=mlp", "trainer.epochs=2", "optim.milestones=[]", "tracking.wandb=disabled")


@pytest.fixture
def table(tmp_path) -> Path:
    """A table of two classes under the name of HTRU2, in a data root."""
    file, rng = tmp_path / "root" / "uci" / "htru2.csv", np.random.default_rng(0)
    file.parent.mkdir(parents=True)
    rows = [",".join([*(f"{number:.3f}" for number in rng.normal(i % 2, 1, 8)), str(i % 2)]) for i in range(60)]
    file.write_text("\n".join([",".join([*"abcdefgh", "class"]), *rows]) + "\n")
    return file


@pytest.fixture
def train(table, monkeypatch, capsys, tmp_path):
    def run(*overrides: str, root: Path = table.parents[1]) -> SimpleNamespace:
        """As a command of its own: with its status, and what it printed."""
        fingerprints_here.cache_clear()
        words = ["train.py", *RUN, "sweep.slots=1", f"data.root={root}", f"runs_dir={tmp_path / 'runs'}", *overrides]
        monkeypatch.setattr(sys, "argv", words)
        status = main()
        said = capsys.readouterr()
        return SimpleNamespace(returncode=status, stdout=said.out, stderr=said.err)

    return run


def edited(table: Path) -> None:
    """The class of the last row is another."""
    content = table.read_text().rstrip()
    table.write_text(content[:-1] + str(1 - int(content[-1])) + "\n")


def test_an_edited_table_under_a_finished_run_is_refused(train, table):
    assert train().returncode == 0
    again = train()
    assert (again.returncode, "already finished: test error" in again.stdout) == (0, True)
    edited(table)
    other = train()
    assert other.returncode == 3
    assert "has finished, on other data" in other.stderr
    assert "Traceback" not in other.stderr
    assert "test error" not in other.stdout


def test_another_root_with_the_same_data_is_the_same_run_and_with_none_is_said(train, table, tmp_path):
    assert train().returncode == 0
    copy = tmp_path / "copy" / "uci" / "htru2.csv"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(table.read_bytes())
    assert "already finished" in train(root=tmp_path / "copy").stdout
    none = train(root=tmp_path / "nowhere")
    assert (none.returncode, "its data does not lie here now" in none.stdout) == (0, True)
    edited(copy)
    assert train(root=tmp_path / "copy").returncode == 3


def test_a_sweep_does_not_put_the_old_number_into_its_table(train, table):
    assert train().returncode == 0
    edited(table)
    sweep = train("-m", "seed=0,1")
    assert sweep.returncode == 3
    assert sweep.stderr.count("has finished, on other data") == 1
    assert "\ntest error" in sweep.stdout.partition("[2/2]")[2]
    assert "±" not in sweep.stdout
    assert "(n=" not in sweep.stdout


def test_other_code_under_a_finished_run_is_said(monkeypatch):
    asked = []

    def git(root, *words):
        asked.append(words)
        return "mixup/models/mlp.py"

    monkeypatch.setattr(records, "git", git)
    assert "by the code of commit abcdefa, which has changed since" in records.compare_code(
        {"commit": "abcdefabc", "dirty": False}
    )
    assert asked == [("diff", "--name-only", "abcdefabc", "--", "mixup", "train.py")]
    monkeypatch.setattr(records, "git", lambda root, *words: "")
    assert records.compare_code({"commit": "abcdefabc", "dirty": False}) == ""
    assert "uncommitted" in records.compare_code({"commit": "abcdefabc", "dirty": True})
    assert "uncommitted changes, after commit none" in records.compare_code({"commit": None, "dirty": True})
    monkeypatch.setattr(records, "git", lambda root, *words: None)  # of a commit that is not here, or without git
    assert records.compare_code({"commit": None, "dirty": None}) == ""


def test_the_code_of_the_last_commit_is_told_from_the_first(tmp_path):
    """By git itself."""
    first = records.git(ROOT, "rev-list", "--max-parents=0", "HEAD")
    if not first:
        pytest.skip("needs the history of the code")
    assert "has changed since" in records.compare_code({"commit": first.splitlines()[0], "dirty": False})
