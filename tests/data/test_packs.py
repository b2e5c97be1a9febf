"""Short real runs, one a family, on real data below MIXUP_DATA: the loss falls, the error is far below chance."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mixup.run import records

pytestmark = pytest.mark.slow

# Below MIXUP_DATA; arguments; the test error in percent that must be reached. A minute or two of one core each.
SPEECH = ("data=speech_commands_v2", "data.test_size=200", "mixup.warmup_epochs=1")
TINY = (
    "data=tiny_imagenet",
    "data.test_size=200",
    "model=timm",
    "model.arch=resnet10t",
    "optim.warmup_epochs=1",
    "trainer.batch_size=64",
)
RUNS = {
    "speech_lenet": (
        "speech_commands",
        (*SPEECH, "model=lenet", "data.train_size=1000", "trainer.epochs=6", "optim.milestones=[4]"),
        70,
    ),
    "speech_vgg11": (
        "speech_commands",
        (*SPEECH, "model=vgg11", "model.width=16", "trainer.epochs=3", "optim.milestones=[2]"),
        84,
    ),
    "tiny_imagenet_resident": (
        "tiny_imagenet",
        (*TINY, "data.train_size=1500", "trainer.epochs=3", "optim.milestones=[2]"),
        90,
    ),
    "tiny_imagenet_streamed": (
        "tiny_imagenet",
        (*TINY, "data.resident=false", "data.train_size=1500", "trainer.epochs=3", "optim.milestones=[2]"),
        90,
    ),
    "densenet": (
        "cifar10",
        (
            *("data=cifar10", "model=densenet", "model.depth=22", "model.growth=12"),
            *("data.train_size=2000", "data.test_size=500", "trainer.epochs=3", "optim.milestones=[2]"),
        ),
        82,
    ),
    "iris": ("", ("data=iris", "model=mlp"), 30),
}


LONG = ("speech_lenet", "tiny_imagenet_resident", "densenet")  # minutes each; the others are of the same data


@pytest.mark.parametrize("run", [pytest.param(run, marks=[pytest.mark.long] if run in LONG else []) for run in RUNS])
def test_a_short_run_learns_and_eval_agrees(run, command, tmp_path):
    folder, arguments, limit = RUNS[run]
    root = os.environ.get("MIXUP_DATA", "")
    if folder and not (Path(root or "nowhere") / folder).is_dir():
        pytest.skip(f"needs real data: MIXUP_DATA=DIR with DIR/{folder}")
    options = (f"runs_dir={tmp_path}", "trainer.eval_batch_size=250")
    done = command("train.py", *arguments, *options, timeout=580)
    assert done.returncode == 0, done.stderr[-2000:]
    (directory,) = tmp_path.glob("*/*")
    epochs = [line for line in records.read_metrics(directory) if "epoch" in line]
    assert epochs[-1]["train_eval_nll"] < 0.9 * epochs[0]["train_eval_nll"] or epochs[-1]["train_eval_nll"] < 0.5
    record = records.read_record(directory)
    assert record["test"]["top1_error"]["last"] < limit
    few = ("examples=20", "pairs=4")  # the test error is of all examples, whatever the card is of
    again = command("eval.py", f"run={directory}", *few, timeout=300)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "the test error is the record's, exactly" in again.stdout
