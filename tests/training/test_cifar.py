"""Real CIFAR-10 images, the networks of the paper made narrow: what digits cannot show."""

import json

import pytest

from mixup.commands.evaluate import evaluate
from mixup.run import records

pytestmark = pytest.mark.slow


RESNET, WIDE = ("model=preact_resnet18", "model.width=16"), ("model=wrn28", "model.depth=10", "model.width=2")


@pytest.mark.parametrize(
    ("model", "mixup"), [(RESNET, "mixup"), (WIDE, "mixup"), pytest.param(RESNET, "erm", marks=pytest.mark.long)]
)
def test_a_short_run_learns_and_is_evaluated_again_exactly(command, cifar10_root, tmp_path, capsys, model, mixup):
    settings = (
        "data.train_size=4000",
        "data.test_size=2000",
        "trainer.epochs=5",
        "optim.lr=0.05",
        "optim.milestones=[4]",
        "trainer.batch_size=64",
    )
    done = command(
        *("train.py", "data=cifar10", *model, f"mixup={mixup}", *settings, f"runs_dir={tmp_path}"),
        MIXUP_DATA=cifar10_root,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("*/*/record.json")
    record = json.loads(file.read_text())
    assert record["data"]["provenance"].startswith("CIFAR-10 (")
    assert (record["data"]["train_count"], record["test"]["count"]) == (4000, 2000)
    losses = [line["train_excess_loss"] for line in records.read_metrics(file.parent) if "epoch" in line]
    assert losses[-1] < losses[0] - 0.15
    assert record["test"]["top1_error"]["last"] < 65, "chance is 90"
    few = ("examples=50", "pairs=20")  # the test error is of all examples, whatever the card is of
    assert evaluate([f"run={file.parent}", f"root={cifar10_root}", *few], usage="") == 0
    assert "the record's, exactly" in capsys.readouterr().out
