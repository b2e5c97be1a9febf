"""Runs of the GAN: what they leave, resuming after a stop at any iteration, mistakes, and the figure made from them."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mixup.commands import train_gan as gan_command_line
from mixup.commands.train_gan import planned
from mixup.errors import UserError
from mixup.gan import game_state as gan_state
from mixup.gan import train as gan_run
from mixup.gan.config import GanConfig
from mixup.gan.game import SPREAD, mode_centres, picture_points
from mixup.gan.modes import coverage
from mixup.run import records

SMALL = (
    *("width=8", "batch_size=4", "discriminator_steps=2", "iterations=212", "snapshots=[10,100,205]"),
    *("log_every_iterations=50", "tracking.wandb=disabled", "checkpoint_every_minutes=0"),
)
ITERATIONS = 212
MEASURED = [10, 50, 100, 150, 200, 205, 212]


def settings(*overrides: str) -> GanConfig:
    (task,) = planned([*SMALL, *overrides], multirun=False)
    return task.config


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, snapshots and every number of every line, bit for bit; times apart."""
    assert (one / "weights.safetensors").read_bytes() == (other / "weights.safetensors").read_bytes()
    for step in (10, 100, 205, ITERATIONS):
        with np.load(one / f"snapshots/{step}.npz") as first, np.load(other / f"snapshots/{step}.npz") as second:
            assert np.array_equal(first["fake"], second["fake"])
            assert np.array_equal(first["real"], second["real"])
    lines = [records.read_metrics(folder) for folder in (one, other)]
    for pair in zip(*lines, strict=True):
        first_line, second_line = ({k: v for k, v in line.items() if "second" not in k} for line in pair)
        assert first_line == second_line


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    gan_run.train(settings(), folder, "a label")
    return folder


def test_a_run_leaves_what_the_design_says_and_nothing_else(finished):
    assert sorted(file.name for file in finished.iterdir()) == [
        *("config.yaml", "lock", "metrics.jsonl", "record.json", "snapshots", "weights.safetensors")
    ]
    assert {file.name for file in (finished / "snapshots").iterdir()} == {"10.npz", "100.npz", "205.npz", "212.npz"}


def test_metrics_are_at_the_snapshots_at_every_so_many_iterations_and_at_the_end(finished):
    lines = records.read_metrics(finished)
    assert [line["step"] for line in lines] == MEASURED
    for line in lines:
        assert line["train_excess_loss"] == pytest.approx(line["train_discriminator_loss"] - line["train_entropy_floor"])
        assert line["train_entropy_floor"] > 0


def test_the_record_can_be_worked_out_again_from_the_snapshots(finished):
    record = records.read_record(finished)
    assert sorted(map(int, record["snapshots"])) == [10, 100, 205]
    for step, values in [*record["snapshots"].items(), (str(ITERATIONS), record["last"])]:
        with np.load(finished / "snapshots" / f"{step}.npz") as points:
            fake, real = points["fake"], points["real"]
        assert fake.shape == real.shape == (1000, 2)
        strict = coverage(fake, mode_centres("ring"), radius=3 * SPREAD)
        assert (values["modes"], values["good_share"]) == (strict.modes, strict.good_share)
        assert values["in_window"] == pytest.approx(100 * np.mean(np.abs(fake).max(1) <= 1.25))
    assert (record["alpha"], record["seed"], record["game"], record["label"]) == (0.2, 0, "paper", "a label")
    assert record["parameters"] == {"generator": 3 * 8 + 2 * 72 + 2 * 9, "discriminator": 3 * 8 + 2 * 72 + 9}
    json.loads((finished / "record.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_the_last_snapshot_is_what_the_saved_generator_makes_of_its_noise(finished):
    run = gan_state.assemble(settings("seed=1"), finished)
    weights = load_file(finished / "weights.safetensors")
    generator = {key.removeprefix("generator."): value for key, value in weights.items() if key.startswith("generator.")}
    run.players.generator.load_state_dict(generator)
    with torch.no_grad(), np.load(finished / f"snapshots/{ITERATIONS}.npz") as points:
        assert np.array_equal(run.players.generator(picture_points("ring", 0)[1]).numpy(), points["fake"])


def test_the_papers_scale_and_defaults_are_the_papers():
    (task,) = planned([], multirun=False)
    config = task.config
    assert (config.width, config.depth, config.batch_size, config.discriminator_steps) == (512, 3, 128, 5)
    assert (config.iterations, config.snapshots) == (20_000, [10, 100, 1000, 10_000, 20_000])
    assert (config.lr, config.alpha, config.precision, config.scale) == (1e-3, 0.2, "float32", "paper")
    players = gan_state.assemble(config, task.folder).players
    assert sum(p.numel() for p in players.generator.parameters()) == 3 * 512 + 2 * 513 * 512 + 2 * 513
    assert players.generator_optimizer.defaults["betas"] == (0.9, 0.999)


@pytest.mark.parametrize("stop", [1, 10, 99, 100, 101, 150, 211])
def test_stopped_at_any_iteration_and_started_again_equals_the_uninterrupted_run(tmp_path, finished, monkeypatch, stop):
    folder, config, calls = tmp_path / "run", settings(), 0

    def play(*arguments):
        nonlocal calls
        calls += 1
        if calls == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    real = gan_run.play
    with monkeypatch.context() as patch:
        patch.setattr(gan_run, "play", play)
        with pytest.raises(gan_run.Stopped, match=f"SIGTERM after step {stop}"):
            gan_run.train(config, folder, "")
    assert not (folder / "record.json").exists()
    gan_run.train(config, folder, "")
    assert_same_run(finished, folder)


def test_a_kill_costs_what_came_after_the_checkpoint_and_no_bit(tmp_path, finished, monkeypatch):
    class Kill(BaseException):
        pass

    def killed(run, mirror):
        monkeypatch.setattr(gan_run, "write_results", die)
        real(run, mirror)

    def die(run, label):
        raise Kill

    real = gan_run.play_all
    with monkeypatch.context() as patch:
        patch.setattr(gan_run, "play_all", killed)
        with pytest.raises(Kill):
            gan_run.train(settings(), tmp_path / "run", "")
    monkeypatch.undo()
    newest = tmp_path / "run" / "checkpoint" / f"step-{ITERATIONS}.pt"
    newest.write_bytes(newest.read_bytes()[:-100])  # and the newest is damaged: it goes on from iteration 200
    gan_run.train(settings(), tmp_path / "run", "")
    assert_same_run(finished, tmp_path / "run")


def test_weights_that_are_not_finite_are_not_saved(tmp_path, monkeypatch):
    real = gan_run.play

    def diverge(players, draws, turn):
        if turn == 7:
            players.generator.last.weight.data.fill_(float("nan"))
        return real(players, draws, turn)

    monkeypatch.setattr(gan_run, "play", diverge)
    with pytest.raises(UserError, match=r"no longer finite at iteration 100.*smaller lr"):
        gan_run.train(settings(), tmp_path / "run", "")
    assert not (tmp_path / "run" / "checkpoint").exists()


# -- the command ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def train(monkeypatch, capsys, tmp_path):
    """`train_gan.py ARGUMENTS` in this process: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")

    def run(*arguments: str) -> tuple[int, str, str]:
        status = gan_command_line.main(arguments, usage="usage: ...")
        return status, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("mistake", "remedy"),
    [
        ("alhpa=1", "alpha"),
        ("data=rnig", "did you mean 'ring'"),
        ("game=authors", "did you mean 'author'"),
        ("scale=cup", "did you mean 'cpu'"),
        ("alpha=-1", "0 for ERM"),
        ("alpha=nan", "0 for ERM"),
        ("alpha=ten", "alpha"),
        ("alpha=0,0.2", "-m"),
        ("iterations=0", "at least 1"),
        ("snapshots=[10,5]", "rising"),
        ("snapshots=[0]", "from 1"),
        ("device=gpu", "cuda"),
        ("device=cuda", "device=cpu"),
        ("precision=half", "float32"),
        ("+foo=1", "foo: no such setting"),
        ("seed", "seed"),
    ],
)
def test_a_mistake_ends_in_one_short_message_with_the_remedy(train, tmp_path, mistake, remedy):
    if mistake == "device=cuda" and torch.cuda.is_available():
        pytest.skip("a GPU is here")
    status, _, error = train(mistake)
    assert status == 2
    assert remedy in error
    assert len(error.strip().splitlines()) == 1
    assert len(error) < 250
    assert list(tmp_path.iterdir()) == [], "a mistake leaves nothing behind"


def test_the_authors_weight_is_at_most_1(train):
    status, _, error = train("-m", "game=paper,author", "alpha=2")
    assert status == 2
    assert "at most 1 with game=author" in error


def test_a_finished_run_says_so_and_a_sweep_ends_with_its_table(train, tmp_path):
    overrides = ["-m", *SMALL, "iterations=4", "snapshots=[2]", "data=grid", "alpha=0,0.2", "seed=0,1"]
    status, output, _ = train(*overrides)
    assert status == 0
    assert "[4/4] runs/gan/" in output
    assert output.count("(n=2)") == 8, "two cells, four columns"
    rows = [re.split(r"\s*\|\s*", line)[1:] for line in output.splitlines() if line.startswith("| grid (25)")]
    assert [row[1] for row in rows] == ["ERM", "mixup 0.2, the paper's formula"]
    assert all("0, 0" in row for row in rows)
    status, output, _ = train(*overrides)
    assert status == 0
    assert output.count("already finished") == 4
    status, _, error = figure(train, "--runs", "runs/gan", "--out", "results")
    assert (status, error) == (0, "")
    results = tmp_path / "results"
    assert sorted(file.name for file in results.iterdir()) == ["figure5_gan-modes.png", "figure5_gan.png"]


def test_a_sweep_under_a_name_of_its_own_ends_with_a_short_table(train):
    overrides = ["-m", *SMALL, "name=mine", "iterations=4", "snapshots=[2]", "data=grid", "alpha=0,0.2", "seed=0,1"]
    status, output, _ = train(*overrides)
    assert status == 0
    assert "modes covered" in output
    assert output.count("0.00 ± 0.00 (n=2)") == 2


def figure(train, *arguments: str) -> tuple[int, str, str]:
    import subprocess

    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, root / "scripts" / "gan_figure.py", *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_the_figure_names_what_is_missing(train, tmp_path):
    status, _, error = figure(train, "--runs", "nowhere")
    assert status == 2
    assert "scripts/train_gan.py -m" in error


def test_the_default_grid_is_the_papers_figure_and_each_run_has_a_directory_of_its_own():
    tasks = planned([], multirun=True)
    assert {(task.config.data, task.config.alpha) for task in tasks} == {
        (data, alpha) for data in ("ring", "grid") for alpha in (0.0, 0.2)
    }
    assert len({task.folder for task in tasks}) == len(tasks) == 20
    small = planned(["scale=cpu"], multirun=True)
    assert {task.config.scale for task in small} == {"cpu"}
    assert not {task.folder for task in small} & {task.folder for task in tasks}


def test_what_cannot_change_the_numbers_changes_no_directory():
    def folder(*overrides: str) -> str:
        return str(planned(overrides, multirun=False)[0].folder)

    assert folder("log_every_iterations=7", "device=cpu", "tracking.wandb=disabled") == folder()
    assert len({folder(change) for change in ("seed=1", "alpha=0", "lam_per=batch", "precision=bfloat16", "lr=0.01")}) == 5
