"""Whole runs on images that are decoded as they are needed: resumed in mid-epoch, on two ranks, and with damaged files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mixup.data import dataset_info, streaming
from mixup.errors import UserError
from mixup.evaluation.printed import report
from mixup.evaluation.settings import EvalConfig
from mixup.plan import draw_plan
from mixup.run import records
from mixup.run.compose import configuration
from mixup.run.config import TrainConfig
from mixup.training import train as run
from mixup.training.setup import plan_settings
from tests.training.test_distributed import torchrun
from tests.training.test_train import assert_same_run, interrupt_after

ARGUMENTS = (
    *(
        "data=tiny_imagenet",
        "data.resident=false",
        "data.workers=1",
        "model=preact_resnet18",
        "model.width=16",
    ),  # torch 2.15 on CPUs corrupts memory below 16
    *("trainer.epochs=2", "trainer.batch_size=8", "trainer.train_eval_size=6", "tracking.wandb=disabled"),
    *("optim.milestones=[1]", "trainer.eval_batch_size=5"),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A root with 3 classes of `tiny_imagenet`, 9 images each to train on and 4 to test on."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for part, count in (("train", 9), ("val", 4)):
        for label in ("n01", "n02", "n03"):
            folder = root / "tiny_imagenet" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return root


@pytest.fixture
def damaged(root, tmp_path) -> Path:
    shutil.copytree(root, tmp_path / "data")
    for name in ("train/n01/3.png", "train/n03/7.png", "val/n02/1.png"):
        (tmp_path / "data/tiny_imagenet" / name).write_bytes(b"no image")
    return tmp_path / "data"


def settings(root: Path, *overrides: str) -> TrainConfig:
    return configuration([*ARGUMENTS, f"data.root={root}", *overrides])


@pytest.mark.parametrize("step", [2, 4, 6])
def test_a_run_stopped_at_any_step_ends_as_the_uninterrupted_one(root, tmp_path, monkeypatch, step):
    config = settings(root, "data.workers=0")
    run.train(config, tmp_path / "whole", "")
    monkeypatch.setattr(run, "stop_if_signalled", interrupt_after(step))
    with pytest.raises(run.Stopped):
        run.train(config, tmp_path / "cut", "")
    monkeypatch.undo()
    run.train(settings(root, "data.workers=2"), tmp_path / "cut", "")
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_the_record_counts_unreadable_files_exactly_and_names_them(damaged, tmp_path):
    record = run.train(settings(damaged, "data.on_error=skip"), tmp_path / "run", "")
    assert record["data"]["unreadable"] == {"train": 2, "test": 1}
    assert record["data"]["train_count"] == 27
    assert record["test"]["count"] == 11
    lines = (tmp_path / "run/unreadable.txt").read_text().splitlines()
    assert [line.partition(" cannot")[0] for line in lines] == [
        f"{part}\t{damaged}/tiny_imagenet/{name}"
        for part, name in (("test", "val/n02/1.png"), ("train", "train/n01/3.png"), ("train", "train/n03/7.png"))
    ]
    epochs = [line for line in records.read_metrics(tmp_path / "run") if "epoch" in line]
    assert [line["train_unreadable"] for line in epochs] == [2, 2]
    with np.load(tmp_path / "run/predictions.npz") as predictions:
        assert np.isnan(predictions["logits"]).all(1).nonzero()[0].tolist() == [5]


@pytest.mark.parametrize("step", [2, 6])
def test_the_count_survives_a_restart(damaged, tmp_path, monkeypatch, step):
    """A file that was met before the stop, and is not visited again in the last epoch, is counted all the same."""
    monkeypatch.setattr(run, "stop_if_signalled", interrupt_after(step))
    config = settings(damaged, "data.on_error=skip", "trainer.epochs=2")
    with pytest.raises(run.Stopped):
        run.train(config, tmp_path / "run", "")
    monkeypatch.undo()
    record = run.train(config, tmp_path / "run", "")
    assert record["data"]["unreadable"] == {"train": 2, "test": 1}


def test_by_default_a_damaged_file_ends_the_run_with_its_name(damaged, command, tmp_path):
    done = command("train.py", *ARGUMENTS, f"data.root={damaged}", f"runs_dir={tmp_path}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    *remarks, message = done.stderr.strip().splitlines()
    assert all(line.startswith(("note: the code", "warning: optim.")) for line in remarks)
    assert message.startswith(f"{damaged}/tiny_imagenet/")
    assert message.endswith("data.on_error=skip")


def test_eval_agrees_with_the_record(root, tmp_path, capsys):
    run.train(settings(root), tmp_path / "run", "")
    assert report(EvalConfig(run=str(tmp_path / "run"), device="cpu", examples=6, pairs=4))
    assert "the record's, exactly" in capsys.readouterr().out


@pytest.mark.slow
def test_two_ranks_see_every_image_once_and_count_what_is_damaged(damaged, command, tmp_path):
    options = (f"data.root={damaged}", f"runs_dir={tmp_path}", "data.on_error=skip", "trainer.batch_size=27")
    done = torchrun(command, 2, "train.py", *ARGUMENTS, *options)
    assert done.returncode == 0, done.stderr[-3000:]
    (file,) = tmp_path.glob("*/*/record.json")
    record = json.loads(file.read_text())
    assert record["world_size"] == 2
    assert record["data"]["unreadable"] == {"train": 2, "test": 1}
    assert record["test"]["count"] == 11


def test_the_record_measures_the_training_set_on_the_train_eval_size(root, tmp_path):
    record = run.train(settings(root), tmp_path / "run", "")
    assert record["train"]["count"] == 6
    last = records.read_metrics(tmp_path / "run")[-1]
    assert record["train"]["top1_error"] == pytest.approx(last["train_eval_top1_error"])
    assert torch.isfinite(torch.tensor(record["train"]["nll"]))


def test_without_a_train_eval_size_nothing_is_said_of_the_training_set(root, tmp_path):
    record = run.train(settings(root, "trainer.train_eval_size=0"), tmp_path / "run", "")
    assert record["train"] is None


def test_sigterm_to_the_whole_group_saves_the_step_at_hand(root, background, tmp_path):
    """As job managers send it, to the loader's workers too."""
    options = (f"data.root={root}", f"runs_dir={tmp_path}", "data.workers=2", "trainer.epochs=400")
    started = background("train.py", *ARGUMENTS, *options)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*/*/metrics.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1)
    os.killpg(started.pid, signal.SIGTERM)
    assert started.wait(60) == 128 + signal.SIGTERM
    assert list(tmp_path.glob("*/*/checkpoint/step-*.pt"))


def test_not_one_readable_test_image_ends_the_run_with_a_message(damaged, tmp_path):
    for file in (damaged / "tiny_imagenet/val").rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(UserError, match="not one of 12 examples"):
        run.train(settings(damaged, "data.on_error=skip", "trainer.epochs=1"), tmp_path / "run", "")


def test_skipping_is_for_streamed_images_alone(root, tmp_path):
    with pytest.raises(UserError, match=r"data\.resident=false"):
        run.train(settings(root, "data.on_error=skip", "data.resident=true"), tmp_path / "run", "")


@pytest.mark.slow
def test_a_process_names_the_file_it_alone_met(root, command, tmp_path):
    shutil.copytree(root, tmp_path / "data")
    config = settings(tmp_path / "data", "trainer.batch_size=27", "trainer.epochs=1")
    plan = draw_plan(plan_settings(config, dataset_info("tiny_imagenet"), np.zeros(27, int), shards=2), 0)
    files = sorted((tmp_path / "data/tiny_imagenet/train").rglob("*.png"))
    victim = files[int(plan.order[20])]  # in the second process's share
    victim.write_bytes(b"no image")
    options = (
        f"data.root={tmp_path / 'data'}",
        f"runs_dir={tmp_path / 'runs'}",
        "trainer.batch_size=27",
        "trainer.epochs=1",
    )
    done = torchrun(command, 2, "train.py", *ARGUMENTS, *options, "trainer.train_eval_size=0")
    assert done.returncode != 0
    assert f"{victim} cannot be read" in done.stderr


def test_a_loader_process_that_hangs_ends_the_run_with_a_message(root, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "SILENT_SECONDS", 1)
    monkeypatch.setattr(streaming.Decoder, "__getitem__", lambda self, number: time.sleep(60))
    with pytest.raises(UserError, match="does not answer"):
        run.train(settings(root), tmp_path / "run", "")
