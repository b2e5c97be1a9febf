"""Whole runs of `train.py` on a GPU, where the step is captured: they resume bit for bit, and are evaluated again."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

from mixup.commands.evaluate import evaluate

DIGITS = ("train.py", "data=digits", "trainer.epochs=40", "optim.milestones=[30]", "trainer.deterministic=true")


def record_of(folder: Path) -> dict:
    (file,) = folder.glob("*/*/record.json")
    return json.loads(file.read_text())


def test_a_stopped_run_resumes_bit_for_bit(command, background, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert command(*DIGITS, f"runs_dir={whole}").returncode == 0
    process, until = background(*DIGITS, f"runs_dir={cut}"), time.monotonic() + 120
    while not any(file.stat().st_size for file in cut.glob("*/*/metrics.jsonl")):  # an epoch is done
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM, "stopped in the middle"
    done = command(*DIGITS, f"runs_dir={cut}")
    assert done.returncode == 0, done.stderr
    assert "resumed at" in done.stdout
    weights = [next(folder.glob("*/*/weights.safetensors")).read_bytes() for folder in (whole, cut)]
    assert weights[0] == weights[1]
    assert record_of(whole)["test"] == record_of(cut)["test"]


def test_a_run_is_evaluated_again_on_the_gpu(command, tmp_path, capsys):
    assert command(*DIGITS, "trainer.precision=tf32", f"runs_dir={tmp_path}").returncode == 0
    record = record_of(tmp_path)
    assert record["device"].startswith("NVIDIA") or not record["device"].startswith("CPU")
    (file,) = tmp_path.glob("*/*/record.json")
    assert evaluate([f"run={file.parent}", "examples=50", "pairs=20"], usage="") == 0
    assert "the record's" in capsys.readouterr().out


def test_what_forbids_capture_is_said(command, tmp_path):
    done = command(*DIGITS, "mixup.noise=0.1", "trainer.epochs=1", "optim.milestones=[]", f"runs_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert "the step is not captured as a CUDA graph, because of mixup.noise" in done.stdout
