"""The table after a sweep: of all that has finished in the experiment's folder, with the ledger's numbers."""

import re
import sys
from pathlib import Path

import pytest
from ledger_factory import commit_run, make_game, make_run

import train as train_script
from mixup.commands.redo import recipes
from mixup.ledger.evidence import read_evidence
from mixup.ledger.paper import PAPER, read_paper
from mixup.ledger.verdicts import build
from mixup.pages.build import pages
from mixup.pages.sweep_table import FILE, has_table, show_tables, table_of

CIFAR = ("experiment=figure3_cifar10", "model=preact_resnet18")
ERRORS = {"mixup.alpha=0": (5.6, 5.7, 5.5), "mixup.alpha=1": (4.2, 4.3, 4.1)}


def made(tmp_path: Path, *overrides: str) -> list[Path]:
    return [
        make_run(tmp_path / "runs", *CIFAR, alpha, *overrides, seed=seed, error=error)
        for alpha, errors in ERRORS.items()
        for seed, error in enumerate(errors)
    ]


def numbers(text: str) -> list[list[str]]:
    """The cells of each line of a table that has a number of ours."""
    return [re.split(r"\s*\|\s*", line) for line in text.splitlines() if line.startswith("|") and "(n=3)" in line]


def test_it_has_the_numbers_and_verdicts_that_the_ledger_has(tmp_path):
    runs = made(tmp_path)
    for run in runs:
        commit_run(tmp_path / "results" / "runs", run)
    paper = read_paper(PAPER)
    name = "figure3_cifar10"
    ledger = pages(build(paper, read_evidence(tmp_path / "results" / "runs"), recipes(paper)))[f"{name}.md"]
    table = table_of(tmp_path / "runs" / name, recipes)
    assert len(numbers(ledger)) == 3, "two numbers and a claim"
    assert all(line in numbers(table) for line in numbers(ledger))
    assert "not run" not in table, "the paper's other numbers are not this sweep's"


def test_a_link_leads_to_a_record(tmp_path):
    (run, *_) = made(tmp_path)
    text = table_of(run.parent, recipes)
    links = re.findall(r"\]\(([^)]*record\.json)\)", text)
    assert len(links) == 6
    assert all((run.parent / link).exists() for link in links)


def test_it_is_written_beside_the_runs_and_printed_without_the_list_of_records(tmp_path, capsys):
    runs = made(tmp_path)
    assert show_tables(runs, recipes)
    printed = capsys.readouterr().out
    written = (runs[0].parent / FILE).read_text()
    assert printed.startswith("# Figure 3")
    assert "4.20 ± 0.10 (n=3)" in printed
    assert "4.20 ± 0.10 (n=3)" in written
    assert "record.json" in written
    assert "record.json" not in printed
    assert str(runs[0].parent / FILE) in printed


def test_a_run_that_has_not_finished_is_not_in_it(tmp_path):
    *rest, last = made(tmp_path)
    (last / "record.json").unlink()
    assert "4.25 ± 0.07 (n=2)" in table_of(rest[0].parent, recipes)


def test_runs_of_a_changed_tree_are_marked(tmp_path):
    run = make_run(tmp_path / "runs", *CIFAR, "mixup.alpha=1", dirty=True)
    assert "0123456 (changed)" in table_of(run.parent, recipes)


def test_two_recipes_of_one_cell_are_no_table_and_that_is_said(tmp_path, capsys):
    run = make_run(tmp_path / "runs", *CIFAR, "mixup.alpha=1", seed=0)
    make_run(tmp_path / "runs", *CIFAR, "mixup.alpha=1", "optim.lr=0.2", seed=0, label="alpha=1.0,seed=0")
    assert not show_tables([run], recipes)
    assert "stand for one cell and differ in optim.lr" in capsys.readouterr().err
    assert not (run.parent / FILE).exists()


def test_what_the_paper_has_not_has_a_table_too(tmp_path):
    for alpha, errors in ERRORS.items():
        for seed, error in enumerate(errors):
            make_run(tmp_path / "runs", "experiment=alpha_sweep", alpha, seed=seed, error=error)
    table = table_of(tmp_path / "runs" / "alpha_sweep", recipes)
    assert "how much does alpha matter" in table
    assert "4.20 ± 0.10 (n=3)" in table


def test_games_have_one(tmp_path):
    for seed in range(3):
        for alpha in (0, 0.2):
            game = make_game(tmp_path / "runs", f"mixup.alpha={alpha}", seed=seed, modes=seed + 1)
    assert "2.0 ± 1.0 (n=3)" in table_of(game.parent, recipes)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("table4_uci-cpu", True),
        ("semantics", True),
        ("figure5_gan-cpu", True),
        ("quickstart", True),
        ("digits-lenet", False),
    ],
)
def test_which_folders_are_of_an_experiment(name, expected):
    assert has_table(name) is expected


def test_a_sweep_of_an_experiment_ends_with_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ("data.train_size=60", "trainer.epochs=2", "trainer.batch_size=32", "data.test_size=50", "optim.milestones=[]")
    digits = ("data=digits", "model=lenet", "recipe=digits", "tracking.wandb=disabled")
    words = ["-m", "sweep.slots=1", "experiment=dirichlet", "scale=cpu", *digits, *small, "mixup.ways=2,3", "seed=0,1"]
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    status = train_script.main()
    told = capsys.readouterr()
    assert status == 0, told.err
    assert len(re.findall(r"\(n=2\)", told.out)) >= 2
    assert (tmp_path / "runs" / "dirichlet-cpu" / FILE).exists()
