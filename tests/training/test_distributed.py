"""Real processes under torchrun, over gloo on the CPU."""

import json
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from mixup.commands import train
from mixup.errors import LocalError
from mixup.run import records
from mixup.training.distributed import join_group


def torchrun(command, processes: int, *arguments: str, **environ: str):
    return command(
        *(
            "-m",
            "torch.distributed.run",
            f"--nproc-per-node={processes}",
            "--rdzv-backend=c10d",
            "--rdzv-endpoint=localhost:0",
        ),
        *arguments,
        **environ,
    )


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.long), pytest.param(4, marks=pytest.mark.slow)])
def test_ranks_together_do_what_one_process_does(command, processes, tmp_path):
    for part, count in (("train", 2), ("val", 1)):
        for label in ("n01", "n02"):
            folder = tmp_path / "tiny_imagenet" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (64, 64), (number, 40 * number, 90)).save(folder / f"{number}.png")
    done = torchrun(command, processes, "tests/ranks.py", str(tmp_path), PYTHONPATH=".")
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"all claims hold on {processes} ranks" in done.stdout


def test_processes_that_do_not_reach_one_another_are_told_the_setting(monkeypatch):
    """As gloo fails where a machine's own name is an address of the loopback."""
    fault = RuntimeError("Gloo connectFullMesh failed with [pair.cc:152] timed out connecting, remote=[127.0.1.1]:31122")
    monkeypatch.setattr("torch.distributed.init_process_group", Mock(side_effect=fault))
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LocalError, match=r"do not reach one another \(Gloo connect.*set GLOO_SOCKET_IFNAME"):
        join_group("cpu")


def test_the_survivors_of_a_dead_process_say_so_in_one_message(monkeypatch, capsys):
    fault = (
        "[/pytorch/gloo/transport/tcp/pair.cc:561] Connection closed by peer [10.77.0.2]:42733. This is typically caused by"
    )
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(train, "abandon_group", Mock(side_effect=SystemExit))
    with pytest.raises(SystemExit), train.process_group():
        raise RuntimeError(fault)
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(
        "another process of this run has ended or cannot be reached (Connection closed by peer [10.77.0.2]:"
    )


@pytest.mark.slow
def test_batchnorm_over_all_processes_is_refused_on_a_cpu(command, tmp_path):
    done = torchrun(command, 2, "train.py", "trainer.sync_batchnorm=true", f"runs_dir={tmp_path}")
    assert done.returncode != 0
    assert "torch has it for GPUs alone; use trainer.sync_batchnorm=false" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        ("data=digits", "mixup.layer=3"),
        (
            *("data=digits", "model=densenet", "model.depth=10", "model.growth=12", "trainer.epochs=1"),
            *("model.memory_efficient=true", "model.dropout=0.3"),
        ),
    ],
    ids=["latent", "recomputed, with dropout"],
)
def test_what_a_static_graph_might_upset_trains_on_two_processes(command, tmp_path, settings):
    """The gradients are averaged: both processes have the same weights, or the last batch of an epoch would hang."""
    done = torchrun(command, 2, "train.py", *SMALL, "optim.milestones=[]", *settings, f"runs_dir={tmp_path}")
    assert done.returncode == 0, done.stderr[-3000:]
    (file,) = tmp_path.glob("*/*/metrics.jsonl")
    assert all(np.isfinite(line["train_loss"]) for line in records.read_metrics(file.parent) if "epoch" in line)


SMALL = ("data.train_size=101", "trainer.epochs=3", "trainer.batch_size=32", "trainer.train_eval_size=20")


@pytest.mark.slow
def test_train_under_torchrun_writes_one_record_that_agrees_with_one_process(command, tmp_path):
    done = torchrun(command, 2, "train.py", *SMALL, f"runs_dir={tmp_path / 'two'}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("epoch   3/3") == 1, "rank 0 alone speaks"
    alone = command("train.py", *SMALL, f"runs_dir={tmp_path / 'one'}")
    assert alone.returncode == 0, alone.stderr
    (two,), (one,) = tmp_path.glob("two/*/*/record.json"), tmp_path.glob("one/*/*/record.json")
    assert two.parent.name == one.parent.name, "the directory does not depend on the number of processes"
    two_record, one_record = json.loads(two.read_text()), json.loads(one.read_text())
    assert (two_record["world_size"], one_record["world_size"]) == (2, 1)
    assert two_record["test"]["count"] == one_record["test"]["count"] == 899
    assert two_record["data"] == one_record["data"]
    pairs = zip(records.read_metrics(two.parent), records.read_metrics(one.parent), strict=True)
    for a, b in pairs:  # LeNet has no BatchNorm: equal to rounding
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4)
        assert a["train_entropy_floor"] == pytest.approx(b["train_entropy_floor"], rel=1e-6)
    with np.load(two.parent / "predictions.npz") as first, np.load(one.parent / "predictions.npz") as second:
        assert np.array_equal(first["labels"], second["labels"])
        assert np.allclose(first["logits"], second["logits"], atol=1e-3)
    again = torchrun(command, 2, "train.py", *SMALL, f"runs_dir={tmp_path / 'two'}")
    assert again.returncode == 0
    assert again.stdout.count("already finished") == 1
