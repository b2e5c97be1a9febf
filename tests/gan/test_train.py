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

import train as train_script
from mixup.errors import UserError
from mixup.figures import write_figures
from mixup.gan import train as gan_run
from mixup.gan.game import SPREAD, mode_centres, picture_points
from mixup.gan.modes import coverage
from mixup.ledger.collect import collect_run, runs_below
from mixup.run import records
from mixup.run.compose import configuration, planned
from mixup.run.config import TrainConfig

SMALL = (
    *("data=ring", "model=gan", "model.width=8", "trainer.batch_size=4", "gan.discriminator_steps=2", "gan.iterations=212"),
    *("gan.snapshots=[10,100,205]", "trainer.log_every_steps=50", "trainer.checkpoint_every_minutes=0"),
    "tracking.wandb=disabled",
)
ITERATIONS = 212
MEASURED = [10, 50, 100, 150, 200, 205, 212]


def settings(*overrides: str) -> TrainConfig:
    return configuration([*SMALL, *overrides])


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
    lines = {line["step"]: line for line in records.read_metrics(finished)}
    assert record["test"] == {key[5:]: {"last": lines[ITERATIONS][key]} for key in lines[ITERATIONS] if key[:5] == "test_"}
    assert record["train"]["excess_loss"] == lines[ITERATIONS]["train_excess_loss"]
    for step in (10, 100, 205, ITERATIONS):
        values = lines[step]
        with np.load(finished / "snapshots" / f"{step}.npz") as points:
            fake, real = points["fake"], points["real"]
        assert fake.shape == real.shape == (1000, 2)
        strict = coverage(fake, mode_centres("ring"), radius=3 * SPREAD)
        assert (values["test_modes"], values["test_good_share"]) == (strict.modes, strict.good_share)
        assert values["test_in_window"] == pytest.approx(100 * np.mean(np.abs(fake).max(1) <= 1.25))
    assert (record["alpha"], record["seed"], record["label"], record["data"]["modes"]) == (0.2, 0, "a label", 8)
    assert record["parameters"] == (3 * 8 + 2 * 72 + 2 * 9) + (3 * 8 + 2 * 72 + 9)
    json.loads((finished / "record.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_the_last_snapshot_is_what_the_saved_generator_makes_of_its_noise(finished):
    run = gan_run.assemble(settings("seed=1"), finished)
    weights = load_file(finished / "weights.safetensors")
    generator = {key.removeprefix("generator."): value for key, value in weights.items() if key.startswith("generator.")}
    run.players.generator.load_state_dict(generator)
    with torch.no_grad(), np.load(finished / f"snapshots/{ITERATIONS}.npz") as points:
        assert np.array_equal(run.players.generator(picture_points("ring", 0)[1]).numpy(), points["fake"])


def test_the_papers_scale_and_defaults_are_the_papers():
    config = configuration(["data=ring", "model=gan"])
    assert (config.model.width, config.model.depth, config.trainer.batch_size) == (512, 3, 128)
    assert (config.gan.discriminator_steps, config.gan.iterations) == (5, 20_000)
    assert config.gan.snapshots == [10, 100, 1000, 10_000, 20_000]
    assert (config.optim.lr, config.mixup.alpha, config.mixup.lam_per) == (1e-3, 0.2, "example")
    assert (config.trainer.precision, config.scale) == ("float32", "paper")
    players = gan_run.assemble(config, Path()).players
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

    def killed(*arguments):
        monkeypatch.setattr(gan_run, "write_results", die)
        real(*arguments)

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
    with pytest.raises(UserError, match=r"no longer finite at iteration 100.*smaller optim\.lr"):
        gan_run.train(settings(), tmp_path / "run", "")
    assert not (tmp_path / "run" / "checkpoint").exists()


# -- the command ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def train(monkeypatch, capsys, tmp_path):
    """`train.py ARGUMENTS` in this process: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("MIXUP_COMMIT", "a" * 40)  # without which uncommitted changes are noted

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        status = train_script.main()
        return status, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("mistake", "remedy"),
    [
        ("gan.game=authors", "did you mean 'author'"),
        ("gan.itrations=9", "did you mean 'gan.iterations'"),
        ("mixup.alpha=-1", "0 for ERM"),
        ("experiment/figure5=erm,paper", "experiment/figure5"),
        ("gan.iterations=0", "at least 1"),
        ("gan.snapshots=[10,5]", "rising"),
        ("gan.snapshots=[0]", "from 1"),
        ("gan.discriminator_steps=0", "at least 1"),
        ("trainer.device=cuda", "device=cpu"),
        ("model=lenet", "model=gan"),
        ("data=digits", "data=ring or data=grid"),
        ("recipe=digits", "recipe=gan"),
        ("data.label_noise=0.5", "use 0.0"),
        ("mixup=timm", "use random"),
        ("mixup.layer=first", "use null"),
        ("optim.milestones=[3]", "use []"),
        ("trainer.epochs=2", "use 1"),
        ("dry_run=true", "use false"),
    ],
)
def test_a_mistake_ends_in_one_short_message_with_the_remedy(train, tmp_path, mistake, remedy):
    if mistake == "trainer.device=cuda" and torch.cuda.is_available():
        pytest.skip("a GPU is here")
    status, _, error = train("data=ring", "model=gan", mistake)
    assert status == 2
    assert remedy in error
    assert len(error.strip().splitlines()) == 1
    assert len(error) < 250
    assert list(tmp_path.iterdir()) == [], "a mistake leaves nothing behind"


def test_the_authors_weight_is_at_most_1(train):
    status, _, error = train("-m", "data=ring", "model=gan", "gan.game=paper,author", "mixup.alpha=2")
    assert status == 2
    assert "gan.game=author" in error
    assert "at most 1" in error


def test_settings_of_a_gan_are_of_no_classifier(train):
    status, _, error = train("gan.iterations=5")
    assert status == 2
    assert "model=gan" in error
    assert len(error.strip().splitlines()) == 1


FOUR = ("sweep.slots=1", "gan.iterations=4", "gan.snapshots=[2]", "data=grid", "experiment/figure5=erm,paper", "seed=0,1")


def test_a_finished_run_says_so_and_a_sweep_ends_with_its_table(train, tmp_path):
    overrides = ["-m", "experiment=figure5_gan", *SMALL[2:], *FOUR]
    status, output, _ = train(*overrides)
    assert status == 0
    assert "[4/4] runs/figure5_gan/" in output
    assert output.count("(n=2)") == 10, "two cells, five columns"
    rows = [re.split(r"\s*\|\s*", line)[1:] for line in output.splitlines() if re.match(r"\| (ERM|mixup)", line)]
    assert [row[0] for row in rows] == ["ERM", "mixup, alpha 0.2, the paper's formula"]
    assert all(row[1] == "0.0 ± 0.0 (n=2)" for row in rows)
    status, output, _ = train(*overrides)
    assert status == 0
    assert output.count("already finished") == 4
    evidence, figures = tmp_path / "evidence", tmp_path / "figures"
    for run in runs_below([tmp_path / "runs" / "figure5_gan"]):
        collect_run(run, evidence, allow_dirty=True, replace=False)
    assert write_figures(runs=evidence, results=tmp_path, allow_dirty=True) == 0
    names = {file.stem.rpartition("-")[0] for file in figures.iterdir()}
    assert names == {"figure5_gan", "figure5_gan-modes"}


def test_a_sweep_under_a_name_of_its_own_ends_with_a_short_table(train):
    overrides = ["-m", "experiment=figure5_gan", *SMALL[2:], *FOUR, "name=mine"]
    status, output, _ = train(*overrides)
    assert status == 0
    assert "modes covered" in output
    assert output.count("0.0 ± 0.0 (n=2)") == 2


def test_the_grid_has_every_game_and_each_run_has_a_directory_of_its_own():
    tasks = planned(["experiment=figure5_gan"], multirun=True)
    games = {(task.config.gan.game, task.config.mixup.alpha) for task in tasks}
    assert games == {("paper", 0.0), ("paper", 0.2), ("unmixed", 0.2), ("author", 0.2)}
    assert {task.config.data.name for task in tasks} == {"ring", "grid"}
    assert len({task.folder for task in tasks}) == len(tasks) == 40
    small = planned(["experiment=figure5_gan", "scale=cpu"], multirun=True)
    assert {(task.config.scale, task.config.model.width, task.folder.parent.name) for task in small} == {
        ("cpu", 128, "figure5_gan-cpu")
    }


def test_the_committed_games_are_cells_of_the_grid():
    root = Path(__file__).resolve().parents[2]
    committed = {file.stem for file in (root / "results" / "runs" / "figure5_gan-cpu").glob("*.json")}
    assert len(committed) == 28
    assert committed <= {task.folder.name for task in planned(["experiment=figure5_gan", "scale=cpu"], multirun=True)}


def test_what_cannot_change_the_numbers_changes_no_directory():
    def folder(*overrides: str) -> str:
        return str(planned(["data=ring", "model=gan", *overrides], multirun=False)[0].folder)

    assert folder("trainer.log_every_steps=7", "trainer.device=cpu", "tracking.wandb=disabled") == folder()
    changes = ("seed=1", "mixup.alpha=0", "mixup.lam_per=batch", "trainer.precision=bfloat16", "optim.lr=0.01")
    assert len({folder(change) for change in changes}) == 5
