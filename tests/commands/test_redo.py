"""The commands that redo a number: those of each row run what the row is, and nothing else."""

import itertools
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ledger_factory import commit_cell

from mixup.commands import ledger
from mixup.commands.redo import SWEEPS, cells_by_row, commands, commands_of_row, full_name, grid, planned_seeds
from mixup.errors import UserError
from mixup.ledger.cells import RUNS_OF, experiment_of
from mixup.ledger.evidence import read_evidence
from mixup.ledger.paper import mismatches, read_paper
from mixup.run.compose import planned
from mixup.run.conversions import leaves

ROOT = Path(__file__).resolve().parents[2]
# Sweeps of which the committed runs are a part; the pages say what is missing.
UNFINISHED = ("figure5_gan",)
PAPER = read_paper(ROOT / "results" / "paper.yaml")
NO_CELL = {"resnext101_32x4d_100_erm", "resnext101_64x4d_100_erm"}  # quoted, at 100 epochs
ROWS = [(name, row.id) for name, paper in PAPER.items() for row in paper.rows if row.id not in NO_CELL]
SOME = [("figure2_between", "mixup"), ("table1_imagenet", "resnet50_200_erm"), ("figure4_speech", "lenet_mixup_0.1")]
ROWS = [row for row in ROWS if row not in SOME and row[0] != "table3_adversarial"]


def tasks_of(command: list[str]):
    """What the printed line would run, as a shell and then train.py read it."""
    words = shlex.split(shlex.join(command))
    assert words[:3] == ["python", "train.py", "-m"]
    return planned(words[3:], multirun=True)


def check_row(name: str, id: str, *, one_seed: bool = False) -> None:
    train, collect, tables = commands_of_row(PAPER[name], id, "paper")
    assert train[-1].startswith("seed=")
    tasks, row = tasks_of([*train[:-1], "seed=0"] if one_seed else train), PAPER[name].row(id)
    for task in tasks:
        assert mismatches(dict(leaves(task.config)), {**row.settings, **row.recipe}) == []
        assert task.config.scale == "paper"
    assert len({task.config.seed for task in tasks}) == len(tasks)
    assert collect == ["python", "scripts/ledger.py", "collect", f"runs/{RUNS_OF.get(name, name)}"]
    assert {task.folder.parent for task in tasks} == {Path(collect[3])}
    assert tables == ["python", "scripts/ledger.py", "tables"]


@pytest.mark.parametrize(("name", "id"), SOME)
def test_a_rows_commands_run_that_row(name, id):
    check_row(name, id)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "id"), ROWS)
def test_every_rows_commands_run_that_row(name, id):
    check_row(name, id, one_seed=True)


def test_a_rows_runs_are_those_of_the_whole_sweep():
    """The same directories, so that what has finished is not run again."""
    paper = PAPER["figure2_between"]
    whole = {task.folder for task in planned(["experiment=figure2_between"], multirun=True)}
    parts = [task.folder for row in paper.rows for task in tasks_of(commands_of_row(paper, row.id, "paper")[0])]
    assert sorted(parts) == sorted(whole)


def test_every_row_has_a_cell_but_for_what_is_quoted_from_others():
    for name in ("figure2_between", "figure3_cifar10", "figure4_speech", "table1_imagenet", "table3_adversarial"):
        paper = PAPER[name]
        assert {row.id for row in paper.rows} - cells_by_row(paper, "paper").keys() <= NO_CELL


def test_a_small_scale_has_the_cells_that_it_has():
    found = cells_by_row(PAPER["table2_label_noise"], "cpu")
    assert found["noise50_mixup"].settings["mixup.alpha"] == 32
    assert 0 < found["noise50_dropout"].settings["model.dropout"] < 0.8  # not the paper's: at this size less is enough
    assert not any(id.startswith("noise80") for id in found)
    train, collect, _ = commands_of_row(PAPER["table2_label_noise"], "noise50_erm", "cpu")
    assert {task.config.scale for task in tasks_of(train)} == {"cpu"}
    assert collect[3] == "runs/table2_label_noise-cpu"


def test_attacks_need_the_whole_experiment():
    found = commands_of_row(PAPER["table3_adversarial"], "mixup", "paper")
    assert found == commands("table3_adversarial", "paper")
    assert found[0] == ["python", "train.py", "-m", "experiment=table3_adversarial"]


def test_all_of_an_experiment():
    assert commands("table1_imagenet", "paper") == [
        ["python", "train.py", "-m", "experiment=table1_imagenet"],
        ["python", "train.py", "-m", "experiment=table1_imagenet_200"],
        ["python", "scripts/ledger.py", "collect", "runs/table1_imagenet"],
        ["python", "scripts/ledger.py", "tables"],
    ]
    assert commands("figure3b_curve", "paper")[0][-1] == "experiment=figure3_cifar10"
    assert commands("figure5_gan", "cpu")[:2] == [
        ["python", "train.py", "-m", "experiment=figure5_gan", "scale=cpu"],
        ["python", "scripts/ledger.py", "collect", "runs/figure5_gan-cpu"],
    ]
    assert commands("alpha_sweep", "cpu")[1][-1] == "runs/alpha_sweep-cpu"


def test_a_grid_is_every_cell_once():
    found = grid("figure3_cifar10", "paper")
    settings = {(cell.settings["model.name"], cell.settings["mixup.alpha"]) for cell in found}
    assert settings == set(itertools.product(("preact_resnet18", "wrn28", "densenet"), (0.0, 1.0)))
    assert {cell.seeds for cell in found} == {"0,1,2"}
    assert len(found) == 6


@pytest.mark.parametrize(
    ("name", "id", "scale", "message"),
    [
        (
            "table1_imagenet",
            "resnext101_32x4d_100_erm",
            "paper",
            "quoted by the paper from Xie et al. 2016.* has no cell of it",
        ),
        ("table2_label_noise", "noise80_erm", "cpu", "experiment=table2_label_noise scale=cpu has no cell of it"),
        ("table2_label_noise", "noise80_emr", "paper", "no such row; did you mean 'noise80_erm'"),
        ("figure1_toy", "erm", "paper", "figure1_toy prints no numbers, leave out --row"),
    ],
)
def test_a_row_that_is_not_there(name, id, scale, message):
    with pytest.raises(UserError, match=message):
        commands_of_row(PAPER[name], id, scale)


def test_an_experiment_that_is_not_there():
    with pytest.raises(UserError, match="no such experiment; did you mean 'table2_label_noise'"):
        full_name("table2_label_nose", PAPER)


def test_a_beginning_is_enough_where_it_is_the_beginning_of_one_name():
    assert full_name("alpha_sweep", PAPER) == "alpha_sweep"
    assert full_name("table2", PAPER) == "table2_label_noise"
    assert full_name("table1_imagenet", PAPER) == "table1_imagenet"  # of which there is a longer name, too
    with pytest.raises(
        UserError, match=r"^table1 is the beginning of table1_imagenet, table1_imagenet_200: name one of them$"
    ):
        full_name("table1", PAPER)
    with pytest.raises(UserError, match="figure3 is the beginning of figure3_cifar10, figure3_cifar100, figure3b_curve"):
        full_name("figure3", PAPER)


# -- the scripts ---------------------------------------------------------------------------------------------------------


def test_the_list_of_rows(tmp_path, command):
    commit_cell(tmp_path, "experiment=figure3_cifar10", "mixup=mixup", errors=[4.15, 4.2, 4.25])
    done = command("scripts/ledger.py", "reproduce", "figure3_cifar10", "--runs", tmp_path / "results" / "runs")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    number = "test error, median of last 10 epochs: 4.2; ours 4.20 ± 0.05 (n=3), reproduced (n=3)"
    assert lines[1].split(maxsplit=1) == ["preact_resnet18_mixup", number]
    assert lines[2].endswith("3.8; ours -, not run")
    assert lines[-1] == "the commands: python scripts/ledger.py reproduce figure3_cifar10 --row ID, or --all"


def test_the_script_prints_what_a_shell_takes(command):
    done = command(
        "scripts/ledger.py", "reproduce", "table2_label_noise", "--row", "noise50_mixup_dropout", "--scale", "cpu"
    )
    assert done.returncode == 0, done.stderr
    first, *others = done.stdout.splitlines()
    assert "'experiment/table2=[mixup_8,dropout_0.3]'" in first
    assert len(tasks_of(shlex.split(first))) == 5
    assert others == ["python scripts/ledger.py collect runs/table2_label_noise-cpu", "python scripts/ledger.py tables"]


def test_a_mistake_is_one_line_and_status_2(command):
    done = command("scripts/ledger.py", "reproduce", "table9")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "no such experiment" in done.stderr


@pytest.mark.parametrize("request_", [["--row", "erm"], ["--within", "8m"]])
def test_an_experiment_without_the_papers_numbers_has_no_rows(request_, capsys):
    assert ledger.main(["reproduce", "quickstart", *request_]) == 2
    assert capsys.readouterr().err.startswith(f"{request_[0]} {request_[1]}: quickstart ")


@pytest.mark.slow
def test_seeds_from_a_spread(command):
    done = command("scripts/ledger.py", "seeds", "--std", "0.1", "--difference", "0.3", "--power", "0.9")
    assert done.stdout.startswith("4 seeds, with 90 % power")
    for wrong in ([], ["--std", "-1", "--difference", "1"]):
        failed = command("scripts/ledger.py", "seeds", *wrong)
        assert (failed.returncode, failed.stderr.count("\n")) == (2, 1), failed.stderr


def test_seeds_from_evidence(tmp_path, command):
    for scale, provenance in (("paper", "CIFAR-10"), ("cpu", "CIFAR-10 (JPEG copy)")):
        figure3 = ("experiment=figure3_cifar10", f"scale={scale}")
        commit_cell(tmp_path, *figure3, "mixup=erm", errors=[5.5, 5.6, 5.7], provenance=provenance)
        commit_cell(tmp_path, *figure3, "mixup=mixup", errors=[4.0, 4.5, 4.1], provenance=provenance)
    done = command("scripts/ledger.py", "seeds", "figure3_cifar10", "--runs", tmp_path / "results" / "runs")
    assert (done.returncode, done.stderr) == (0, "")
    first, second, level = done.stdout.splitlines()
    assert first.startswith("PreAct ResNet-18, mixup, alpha 1 against PreAct ResNet-18, ERM, test error")
    assert first.endswith("seen -1.40, std 0.26 over 3 pairs; 3 seeds tell 1.40")
    assert second.startswith("CIFAR-10 (JPEG copy), cpu scale: mixup, alpha 1 against ERM, test error")
    assert "80 % power" in level
    wider = command(
        "scripts/ledger.py", "seeds", "figure3_cifar10", "--runs", tmp_path / "results" / "runs", "--difference", "0.2"
    )
    assert "; 16 seeds tell 0.20" in wider.stdout


def test_running_goes_on_after_a_refusal_and_ends_with_a_mistake(monkeypatch, capfd):
    """Status 1 is a run or a record that is refused: the others still make a table. 2 is a command that cannot begin."""
    for statuses, ran in (((0, 0, 0), 3), ((0, 1, 0), 3), ((2, 0, 0), 1), ((130, 0, 0), 1)):
        left, begun = list(statuses), []

        def run(command, left=left, begun=begun, **_):
            begun.append(command)
            return subprocess.CompletedProcess(command, left.pop(0))

        monkeypatch.setattr(ledger.subprocess, "run", run)
        assert ledger.run(commands("figure5_gan", "paper")) == max(statuses)
        assert len(begun) == ran
        assert begun[0] == [sys.executable, "train.py", "-m", "experiment=figure5_gan"]
    assert "$ python scripts/ledger.py collect runs/figure5_gan" in capfd.readouterr().out


@pytest.mark.slow
def test_the_grids_are_what_the_committed_runs_are_of():
    """Each run is a cell of its experiment's grid, and each cell and seed has its run."""
    found: dict[tuple[str, str], list[int]] = {}
    for run in read_evidence(ROOT / "results" / "runs"):
        experiment = experiment_of(run)
        assert run.seed in planned_seeds(experiment, run.settings), run.name
        found.setdefault((experiment, run.settings["scale"]), []).append(run.seed)
    for (experiment, scale), seeds in found.items():
        sweeps = SWEEPS.get(experiment, (experiment,))
        planned = sum(len(cell.seeds.split(",")) for sweep in sweeps for cell in grid(sweep, scale))
        assert len(seeds) == planned or experiment in UNFINISHED, f"{experiment}, {scale} scale"
