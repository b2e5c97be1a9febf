"""Whole runs in this process: the record, pairs of seeds, resuming after a stop at any step, and refusals."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mixup.errors import UserError
from mixup.run import records
from mixup.run.compose import configuration
from mixup.run.config import TrainConfig
from mixup.training import train as run
from mixup.training.distributed import Group
from mixup.training.engine import Progress
from mixup.training.setup import Run, assemble

SMALL = (
    *(
        "data.train_size=90",
        "trainer.epochs=3",
        "trainer.batch_size=32",
        "trainer.train_eval_size=30",
        "tracking.wandb=disabled",
    ),
    *("trainer.log_every_steps=2", "optim.milestones=[2]"),
)
# BatchNorm and dropout have state and draws. torch 2.15 on CPUs corrupts memory below a width of 16.
NORMED = ("model=preact_resnet18", "model.width=16", "model.dropout=0.3")
STEPS = 3  # of an epoch: 32, 32 and 26 examples


def settings(*overrides: str) -> TrainConfig:
    return configuration([*SMALL, *overrides])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights.safetensors")


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, predictions and every number of every epoch, bit for bit; times apart."""
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name
    with np.load(one / "predictions.npz") as first, np.load(other / "predictions.npz") as second:
        assert np.array_equal(first["logits"], second["logits"])
        assert np.array_equal(first["labels"], second["labels"])
    lines = [records.read_metrics(folder) for folder in (one, other)]
    for pair in zip(*lines, strict=True):
        first_line, second_line = ({k: v for k, v in line.items() if "second" not in k} for line in pair)
        assert first_line == second_line


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    run.train(settings(*NORMED), folder, "a label")
    return folder


def test_a_run_leaves_what_the_design_says_and_nothing_else(finished):
    assert sorted(file.name for file in finished.iterdir()) == [
        *("config.yaml", "lock", "metrics.jsonl", "predictions.npz", "record.json", "weights.safetensors")
    ]


def test_the_record_agrees_with_metrics_and_predictions(finished):
    record = records.read_record(finished)
    epochs = [line for line in records.read_metrics(finished) if "epoch" in line]
    assert [line["epoch"] for line in epochs] == [1, 2, 3]
    assert record["test"]["top1_error"] == records.headline([line["test_top1_error"] for line in epochs])
    with np.load(finished / "predictions.npz") as predictions:
        wrong = predictions["logits"].argmax(1) != predictions["labels"]
    assert record["test"]["top1_error"]["last"] == pytest.approx(100 * wrong.mean(), abs=1e-9)
    assert record["test"]["count"] == len(wrong) == 899
    assert (record["alpha"], record["seed"], record["label"]) == (1.0, 0, "a label")
    assert record["data"]["train_count"] == record["train"]["count"] == 90
    assert record["parameters"] == sum(
        v.numel() for k, v in weights(finished).items() if "running" not in k and "num_b" not in k
    )
    assert record["images_per_second"] == pytest.approx(3 * 90 / record["train_seconds"])
    assert record["flops_per_image"] > 1e5


def test_metrics_hold_the_floor_and_both_accuracies_under_mixup(finished):
    for line in (line for line in records.read_metrics(finished) if "epoch" in line):
        assert line["train_entropy_floor"] > 0
        assert line["train_excess_loss"] == pytest.approx(line["train_loss"] - line["train_entropy_floor"])
        assert 0 <= line["train_lam_error"] <= 100
        assert line["train_eval_count"] == 30
    steps = [line["step"] for line in records.read_metrics(finished) if "train_step_loss" in line]
    assert steps == [2, 4, 8], "every second step, but 6, which ends an epoch"
    rates = {line["epoch"]: line["learning_rate"] for line in records.read_metrics(finished) if "epoch" in line}
    assert rates == {1: 0.05, 2: 0.05, 3: pytest.approx(0.005)}


def test_under_erm_the_floor_is_zero_and_both_accuracies_are_the_plain_one(tmp_path):
    run.train(settings("mixup=erm"), tmp_path / "erm", "")
    for line in (line for line in records.read_metrics(tmp_path / "erm") if "epoch" in line):
        assert line["train_entropy_floor"] == 0
        assert line["train_excess_loss"] == line["train_loss"]
        assert line["train_lam_error"] == pytest.approx(line["train_dominant_error"])


def test_the_same_seed_gives_the_same_run(finished, tmp_path):
    run.train(settings(*NORMED), tmp_path / "again", "")
    assert_same_run(finished, tmp_path / "again")


def test_another_seed_or_alpha_gives_another_run(finished, tmp_path):
    for name, change in {"seed": "seed=1", "alpha": "mixup.alpha=0.5"}.items():
        run.train(settings(*NORMED, change), tmp_path / name, "")
        assert not torch.equal(weights(finished)["stem.weight"], weights(tmp_path / name)["stem.weight"])


def test_erm_and_mixup_start_from_the_same_weights(tmp_path, monkeypatch):
    starts = []
    real = run.train_epochs
    monkeypatch.setattr(
        run, "train_epochs", lambda r, *rest: (starts.append(r.model.state_dict()["0.weight"].clone()), real(r, *rest))
    )
    for name in ("mixup", "erm"):
        run.train(settings(f"mixup={name}", "trainer.epochs=1"), tmp_path / name, "")
    assert torch.equal(*starts)


def interrupt_after(step: int):
    """A stand-in for `stop_if_signalled` that first sends this process SIGTERM, once the run has done so many steps."""
    stop_if_signalled = run.stop_if_signalled

    def interrupted(received: list[int], r: Run, progress: Progress) -> None:
        if progress.steps_done == step:
            os.kill(os.getpid(), signal.SIGTERM)
        stop_if_signalled(received, r, progress)

    return interrupted


@pytest.mark.parametrize("step", range(1, 3 * STEPS + 1))
def test_stopped_at_any_step_and_started_again_equals_the_uninterrupted_run(finished, tmp_path, monkeypatch, step):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(run, "stop_if_signalled", interrupt_after(step))
        with pytest.raises(run.Stopped, match=f"SIGTERM after step {step}"):
            run.train(settings(*NORMED), folder, "")
    assert not (folder / "record.json").exists()
    run.train(settings(*NORMED), folder, "")
    assert_same_run(finished, folder)


def test_checkpoints_inside_an_epoch_change_nothing(finished, tmp_path):
    folder = tmp_path / "run"
    run.train(settings(*NORMED, "trainer.checkpoint_every_steps=2", "trainer.checkpoint_every_minutes=0"), folder, "")
    assert_same_run(finished, folder)


def test_a_damaged_newest_checkpoint_costs_a_warning_and_no_bit(finished, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    overrides = (*NORMED, "trainer.checkpoint_every_minutes=0")
    with monkeypatch.context() as patch:
        patch.setattr(run, "stop_if_signalled", interrupt_after(8))
        with pytest.raises(run.Stopped):
            run.train(settings(*overrides), folder, "")
    newest = folder / "checkpoint" / "step-8.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    run.train(settings(*overrides), folder, "")
    assert "step-8.pt is damaged" in capsys.readouterr().err
    assert_same_run(finished, folder)


def test_a_diverging_run_ends_with_epoch_and_step_and_keeps_good_checkpoints(tmp_path):
    folder = tmp_path / "run"
    overrides = ("optim.milestones=[1]", "optim.decay=1e32", "trainer.checkpoint_every_minutes=0")
    with pytest.raises(UserError, match=r"epoch [12], step \d+ .*smaller optim.lr"):
        run.train(settings(*overrides), folder, "")
    assert not (folder / "record.json").exists()
    assert len(list((folder / "checkpoint").glob("*.pt"))) >= 1
    for file in (folder / "checkpoint").glob("*.pt"):
        state = torch.load(file, weights_only=True)
        assert all(torch.isfinite(tensor).all() for tensor in state["model"].values())


def test_a_full_disk_ends_with_the_remedy_and_the_run_resumes(finished, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    overrides = (*NORMED, "trainer.checkpoint_every_minutes=0")
    calls = []

    def full(target: Path, step: int, state: dict) -> None:
        calls.append(step)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(target, step, state)

    from mixup.training import checkpoint

    real = checkpoint.save
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full)
        with pytest.raises(UserError, match=r"No space left.*make room.*resumes"):
            run.train(settings(*overrides), folder, "")
    run.train(settings(*overrides), folder, "")
    assert_same_run(finished, folder)


def test_resuming_with_changed_data_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(run, "stop_if_signalled", interrupt_after(4))
        with pytest.raises(run.Stopped):
            run.train(settings(), folder, "")
    with pytest.raises(UserError, match="the data is not what"):
        run.train(settings("data.label_noise=0.5"), folder, "")


def test_label_noise_reports_train_errors_apart(tmp_path):
    record = run.train(settings("data.label_noise=0.5", "trainer.epochs=1"), tmp_path / "run", "")
    train, share = record["train"], record["data"]["corrupted_count"] / 90
    whole = (1 - share) * train["real_label_error"] + share * train["corrupted_label_error"]
    assert train["top1_error"] == pytest.approx(whole)
    assert 0.3 < share < 0.7


def test_a_held_out_split_is_evaluated_and_recorded(tmp_path):
    record = run.train(settings("data.validation=0.2", "trainer.epochs=2"), tmp_path / "run", "")
    errors = [line["validation_top1_error"] for line in records.read_metrics(tmp_path / "run") if "epoch" in line]
    assert record["validation"]["top1_error"] == records.headline(errors)
    assert record["data"]["validation_count"] == 180


def test_the_record_and_the_configuration_hold_no_key(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "secret" * 6)
    run.train(settings("trainer.epochs=1"), tmp_path / "run", "")
    for file in (tmp_path / "run").iterdir():
        assert b"secret" not in file.read_bytes()


def test_the_record_is_json_that_any_reader_takes(finished):
    json.loads((finished / "record.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_kill_after_a_stop_at_an_epochs_end_repeats_no_line(finished, tmp_path, monkeypatch):
    """The stop saves the epoch before its lines are written; a kill then falls back to that checkpoint once more."""
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(run, "stop_if_signalled", interrupt_after(2 * STEPS))
        with pytest.raises(run.Stopped):
            run.train(settings(*NORMED), folder, "")

    class Kill(BaseException):
        pass

    def kill(received: list[int], r: Run, progress: Progress) -> None:
        if progress.steps_done == 2 * STEPS + 1:
            raise Kill

    with monkeypatch.context() as patch:
        patch.setattr(run, "stop_if_signalled", kill)
        with pytest.raises(Kill):
            run.train(settings(*NORMED), folder, "")
    run.train(settings(*NORMED), folder, "")
    assert_same_run(finished, folder)


def test_a_stop_during_the_evaluation_after_an_epoch_is_obeyed_before_the_next(tmp_path, monkeypatch):
    real = run.epoch_line

    def epoch_line(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(run, "epoch_line", epoch_line)
    with pytest.raises(run.Stopped, match=f"after step {STEPS}"):
        run.train(settings(), tmp_path / "run", "")


def test_a_run_finished_by_another_process_meanwhile_is_left_alone(finished):
    before = {file.name: file.read_bytes() for file in finished.iterdir() if file.name != "lock"}
    record = run.train(settings(*NORMED), finished, "")
    assert record == records.read_record(finished)
    assert {file.name: file.read_bytes() for file in finished.iterdir() if file.name != "lock"} == before


def test_without_a_train_eval_size_the_run_goes_on(tmp_path):
    record = run.train(settings("trainer.train_eval_size=0", "trainer.epochs=1"), tmp_path / "run", "")
    assert record["epochs"] == 1


def test_a_last_batch_that_batchnorm_cannot_normalise_is_explained(tmp_path):
    """Before the first step, and before the folder of the run."""
    with pytest.raises(UserError, match=r"change trainer.batch_size"):
        run.train(settings(*NORMED, "data.train_size=65"), tmp_path / "run", "")
    assert not (tmp_path / "run").exists()


def test_the_learning_rate_of_a_step_is_that_of_the_epochs_done(monkeypatch):
    epochs_done = []
    monkeypatch.setattr(run, "learning_rate", lambda optim, done: epochs_done.append(done) or 0.01 * len(epochs_done))
    assembled = SimpleNamespace(steps_per_epoch=3, config=SimpleNamespace(optim=None))
    assert run.learning_rates(assembled, 7) == [0.01, 0.02, 0.03]
    assert epochs_done == [7, 7 + 1 / 3, 7 + 2 / 3]


def test_a_last_batch_that_batchnorm_can_normalise_is_left_alone(tmp_path):
    """Two examples, and a network whose features are larger than 1x1."""
    for name, overrides in {"two": ("data.train_size=66",), "large": ("data.train_size=65", "model.depth=10")}.items():
        model = ("model=wrn28", "model.width=1") if name == "large" else NORMED
        assemble(settings(*model, *overrides), tmp_path, Group())
