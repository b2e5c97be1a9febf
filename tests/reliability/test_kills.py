"""SIGKILL at a random moment, started again: the final weights are those of the uninterrupted run, bit for bit."""

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.waiting import wait_until

RUN = (
    *("model=preact_resnet18", "model.width=16", "model.dropout=0.2", "data.train_size=300", "trainer.epochs=6"),
    *(
        "trainer.batch_size=32",
        "trainer.train_eval_size=50",
        "trainer.checkpoint_every_minutes=0",
        "trainer.checkpoint_every_steps=4",
    ),
)
STEPS = 60
PATIENCE = 120  # seconds until a run has got as far as a test wants it
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0")


def newest(runs: Path) -> int:
    """Steps done at the newest checkpoint of the only run in a folder."""
    return max((int(file.stem.split("-")[1]) for file in runs.glob("*/*/checkpoint/step-*.pt")), default=0)


def kill_all(argument: str) -> None:
    """SIGKILL to every process with this in its command line: torchrun's workers outlive torchrun."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if argument.encode() in (folder / "cmdline").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)


def weights(runs: Path) -> bytes:
    (file,) = runs.glob("*/*/weights.safetensors")
    return file.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "mixup"),
    [
        pytest.param((), "mixup", marks=pytest.mark.long),
        pytest.param((), "erm", marks=pytest.mark.long),
        pytest.param(TORCHRUN, "mixup", id="two processes"),
    ],
)
def test_killed_at_random_steps_and_started_again(command, background, tmp_path, launcher, mixup):
    run = (*launcher, "train.py", *RUN, f"mixup={mixup}")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = command(*run, f"runs_dir={whole}")
    assert done.returncode == 0, done.stderr
    rng = random.Random()
    for target in sorted(rng.sample(range(1, STEPS - 12), 2)):
        process = background(*run, f"runs_dir={killed}")
        wait_until(lambda target=target: newest(killed) >= target, PATIENCE, process)
        time.sleep(0.03 * rng.random())
        kill_all(str(killed))
        process.wait()
    assert not list(killed.glob("*/*/record.json"))
    done = command(*run, f"runs_dir={killed}")
    assert done.returncode == 0, done.stderr
    assert "resumed at epoch" in done.stdout
    assert weights(killed) == weights(whole)


@pytest.mark.slow
def test_ctrl_c_saves_the_step_and_names_the_way_on(background, tmp_path):
    with open(tmp_path / "output", "wb") as output:
        process = background("train.py", *RUN, f"runs_dir={tmp_path}", output=output)
        wait_until(lambda: newest(tmp_path) > 0, PATIENCE, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 128 + signal.SIGINT
    said = (tmp_path / "output").read_text()
    assert "the same command resumes it" in said
    assert "Traceback" not in said
    assert f"after step {newest(tmp_path)}:" in said
