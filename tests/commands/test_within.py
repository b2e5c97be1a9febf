"""What is missing of the paper's rows, and as much of it as fits a time."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from mixup.commands import ledger, within
from mixup.commands.within import missing, reproduce_within, run_until, seconds_of
from mixup.errors import UserError
from mixup.ledger.evidence import read_run
from mixup.ledger.paper import PAPER, read_paper

ROOT = Path(__file__).resolve().parents[2]
TABLE4 = {"table4_uci": read_paper(PAPER)["table4_uci"]}


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """The commands that would run, each of which finishes, in a folder without runs; a step takes a millisecond."""
    commands: list[list[str]] = []
    monkeypatch.setattr(within, "ROOT", tmp_path)
    monkeypatch.setattr(within, "timed", lambda config: 0.001)
    monkeypatch.setattr(within, "time", SimpleNamespace(monotonic=lambda: 0.0))
    monkeypatch.setattr(within, "run_until", lambda command, seconds: commands.append(command) or 0)
    return commands


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("8m", 480), ("2h", 7200), ("1h30m", 5400), ("0.5m", 30)])
def test_times_as_people_write_them(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["8", "m", "8 m", "-8m", "8d", ""])
def test_other_times_are_refused_with_examples(text):
    with pytest.raises(UserError, match="give a time as 90s, 8m, 2h or 1h30m"):
        seconds_of(text)


def test_committed_runs_are_not_missing(trained):
    runs = [read_run(file) for file in sorted((ROOT / "results" / "runs" / "table4_uci").glob("*.json"))]
    assert missing(TABLE4["table4_uci"], "paper", runs) == []
    without = [run for run in runs if run.seed != 3]
    assert {run.task.config.seed for run in missing(TABLE4["table4_uci"], "paper", without)} == {3}


def test_the_cheapest_numbers_come_first_and_what_does_not_fit_is_left(trained, capsys):
    runs = sorted(missing(TABLE4["table4_uci"], "paper", []), key=lambda run: run.seconds)
    least, most = runs[0].seconds, runs[-1].seconds
    assert runs[0].task.config.data.name == "iris_uci"
    assert runs[-1].task.config.data.name == "htru2"
    assert reproduce_within((least + most) / 2, TABLE4, "paper", []) == 0
    assert "data=iris_uci" in trained[0]
    assert not [command for command in trained if "data=htru2" in command]
    output = capsys.readouterr().out
    assert "120 runs are missing" in output
    assert "100 runs done, 20 left: 20 of table4_uci" in output
    assert "python scripts/ledger.py collect runs/table4_uci" in output


def test_a_run_that_fails_is_left_and_the_others_go_on(trained, monkeypatch, capsys):
    monkeypatch.setattr(within, "run_until", lambda command, seconds: 2 if "data=arcene" in command else 0)
    assert reproduce_within(1e6, TABLE4, "paper", []) == 2
    assert "100 runs done, 20 left" in capsys.readouterr().out


def test_a_run_that_the_time_cuts_off_is_asked_to_save_and_stays_missing(monkeypatch, tmp_path, trained, capsys):
    monkeypatch.setattr(within, "run_until", lambda command, seconds: None)
    assert reproduce_within(1e6, TABLE4, "paper", []) == 0
    assert len(trained) == 0
    assert "the same command goes on from its checkpoint\n0 runs done, 120 left" in capsys.readouterr().out


def test_the_process_is_stopped_by_sigterm(monkeypatch, tmp_path):
    script = tmp_path / "saves.py"
    script.write_text(
        "import signal, sys, time, pathlib\n"
        "def save(*_): pathlib.Path('saved').touch(); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save); pathlib.Path('ready').touch(); time.sleep(60)\n"
    )
    monkeypatch.setattr(within, "ROOT", tmp_path)
    assert run_until(["python", str(script)], 5.0) is None
    assert (tmp_path / "saved").exists()
    assert run_until(["python", "-c", "raise SystemExit(3)"], 60.0) == 3


def test_without_an_experiment_or_a_time_the_command_says_what_to_give(capsys):
    assert ledger.main(["reproduce"]) == 2
    assert "name an experiment" in capsys.readouterr().err
