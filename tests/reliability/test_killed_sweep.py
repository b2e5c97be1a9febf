"""SIGKILL ends a sweep three times at random: the same command finishes each cell once, as an undisturbed sweep does."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from mixup.run import records
from tests.reliability.test_resume import assert_equal
from tests.reliability.test_signals import children
from tests.training.test_train import assert_same_run
from tests.waiting import wait_until

CELLS, EPOCHS, KILLS, SLOTS, SECONDS = 24, 10, 3, 2, 600
LEFT = ("metrics.jsonl", "predictions.npz", "weights.safetensors", "record.json")
SWEEP = (
    *("-m", "seed=range(12)", "mixup=erm,mixup", f"trainer.epochs={EPOCHS}", "optim.milestones=[]"),
    *("data.train_size=100", "data.test_size=50", "trainer.batch_size=32", "trainer.train_eval_size=20"),
    *("trainer.checkpoint_every_minutes=0", "tracking.wandb=disabled", "sweep.slots={slots}"),
)


def command_of(slots: int, runs: Path) -> list[str]:
    return [word.format(slots=slots) for word in SWEEP] + [f"runs_dir={runs}"]


def cells(runs: Path) -> dict[str, Path]:
    return {file.parent.name: file.parent for file in runs.glob("*/*/config.yaml")}


def finished(runs: Path) -> dict[str, dict[str, tuple[int, int]]]:
    """What each cell with a record has left: which file it is, and when it was written."""
    files = {name: {file: folder / file for file in LEFT} for name, folder in cells(runs).items()}
    return {
        name: {file: (path.stat().st_ino, path.stat().st_mtime_ns) for file, path in left.items()}
        for name, left in files.items()
        if left["record.json"].exists()
    }


def results(folder: Path) -> dict[str, object]:
    """The record without its configuration, which names the folder and the slots; its hashes stay."""
    return {key: value for key, value in records.read_record(folder).items() if key != "config"}


def epochs_trained(folder: Path) -> list[int]:
    """As the cell's log names them, in order."""
    return [int(number) for number in re.findall(r"^epoch +(\d+)/", (folder / "output.log").read_text(), re.M)]


@pytest.mark.long
@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.skipif(sys.platform != "linux", reason="the signal of a parent's death is Linux's")
def test_every_cell_of_a_sweep_that_is_killed_three_times_is_trained_once(train, command, background, tmp_path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert train(*command_of(1, undisturbed))[0] == 0
    done_at_a_kill: dict[str, dict[str, tuple[int, int]]] = {}
    rng = random.Random()
    for number, target in enumerate(sorted(rng.sample(range(1, CELLS - 3 * SLOTS), KILLS))):
        process = background("train.py", *command_of(SLOTS, killed))
        wait_until(lambda target=target: len(list(killed.glob("*/*/record.json"))) >= target, SECONDS)
        time.sleep(0.3 * rng.random())
        slots = children(process.pid)
        process.kill()  # its slots then save, and end
        for slot in slots if number % 2 else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(slot, signal.SIGKILL)
        process.wait()
        done_at_a_kill |= finished(killed)
    again = command("train.py", *command_of(SLOTS, killed), timeout=SECONDS)
    assert again.returncode == 0, again.stdout + again.stderr

    assert cells(killed).keys() == cells(undisturbed).keys() == finished(killed).keys()
    assert len(cells(killed)) == CELLS
    for name, files in done_at_a_kill.items():
        assert finished(killed)[name] == files, f"{name} had finished, and was touched again"
    starts = {name: len(records.read_record(folder)["segments"]) for name, folder in cells(killed).items()}
    assert CELLS < sum(starts.values()) <= CELLS + KILLS * SLOTS, starts
    for name, folder in cells(killed).items():
        epochs = epochs_trained(folder)
        assert sorted(set(epochs)) == list(range(1, EPOCHS + 1))
        assert len(epochs) < EPOCHS + starts[name], f"{name} lost more than the epoch at hand: {epochs}"
        other = cells(undisturbed)[name]
        assert_same_run(other, folder)
        assert_equal(results(other), results(folder))
