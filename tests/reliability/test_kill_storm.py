"""SIGKILL fifty times, at random moments and while a checkpoint is written: the end is that of the undisturbed run."""

from __future__ import annotations

import pytest

from tests.reliability.test_kills import weights

KILLS, WRITING = 50, 10


@pytest.mark.long
def test_fifty_kills(command, tmp_path):
    run = (
        *(
            "data.train_size=300",
            "data.test_size=100",
            "trainer.batch_size=16",
            "trainer.epochs=60",
            "trainer.train_eval_size=50",
        ),
        *("mixup.lam_per=example", "trainer.checkpoint_every_minutes=0", "trainer.checkpoint_every_steps=3"),
    )
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = command("train.py", *run, f"runs_dir={whole}")
    assert done.returncode == 0, done.stderr
    done = command("tests/reliability/kill_storm.py", KILLS, tmp_path / "log", *run, f"runs_dir={killed}", timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    kills = (tmp_path / "log").read_text().split()
    assert len(kills) == KILLS
    assert kills.count("writing") >= WRITING, kills
    assert kills.count("anywhere") >= WRITING, kills
    assert weights(killed) == weights(whole)
