"""`train.py --help` fits a screen, lists what can be chosen, and shows the values that the choices have."""

from __future__ import annotations

import shlex

import pytest

from mixup.commands.arguments import request_of
from mixup.commands.help import EXAMPLES, GROUPS, help_text
from mixup.run.compose import planned
from mixup.run.places import CONFIGS


@pytest.mark.parametrize(("columns", "most"), [("80", 44), ("125", 38)])
def test_it_fits_a_screen(monkeypatch, columns, most):
    monkeypatch.setenv("COLUMNS", columns)
    lines = help_text(request_of(["--help"])).splitlines()
    assert len(lines) <= most
    assert max(map(len, lines)) <= int(columns)


def test_it_lists_every_file_of_the_groups_that_people_choose_from():
    words = help_text(request_of(["-h"])).replace(",", " ").split()
    names = {file.stem for group in GROUPS for file in (CONFIGS / group).glob("*.yaml")}
    assert len(names) > 40
    assert names <= set(words)


def test_the_settings_have_the_values_of_the_choices():
    shown = help_text(request_of(["--help", "data=cifar10", "model=wrn28", "trainer.epochs=7", "seed=0,1"]))
    assert "trainer.epochs=7 " in shown
    assert "trainer.batch_size=128 " in shown
    assert "data.train_size=null " in shown
    assert "dry_run=false " in shown
    assert "seed=0 " in shown  # of several values none can be shown


@pytest.mark.parametrize("command", EXAMPLES)
def test_the_examples_compose(command):
    arguments = shlex.split(command)[2:]
    assert planned([word for word in arguments if "=" in word], multirun="-m" in arguments)
    assert command in help_text(request_of(["--help"]))
