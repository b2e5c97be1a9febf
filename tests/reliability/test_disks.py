"""Disks that are full, that refuse, or that fail: one message with the remedy, and the run goes on where it was."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mixup.errors import UserError
from mixup.run import records
from mixup.run.compose import configuration
from mixup.training import train as run
from tests.conftest import ROOT
from tests.training.test_train import assert_same_run

SETTINGS = (
    *("data.train_size=60", "data.test_size=60", "trainer.batch_size=32", "trainer.epochs=2", "optim.milestones=[]"),
    *("trainer.checkpoint_every_minutes=0", "tracking.wandb=disabled"),
)
NOBODY = 65534


def train(folder: Path) -> records.Record:
    return run.train(configuration(SETTINGS), folder, "a label")


def started(*prefix: str, runs_dir: Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, sys.executable, "train.py", *SETTINGS, f"runs_dir={runs_dir}"],
        cwd=ROOT,
        env={**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(folder)
    return folder


def test_a_limit_of_a_files_size(tmp_path, undisturbed):
    done = started("bash", "-c", 'ulimit -f 100; exec "$@"', "bash", runs_dir=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "File too large" in done.stderr
    assert "make room" in done.stderr
    assert "Traceback" not in done.stderr
    done = started(runs_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_run(undisturbed, next(tmp_path.glob("*/*")))


def test_a_full_disk(tmp_path, undisturbed):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", disk], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"needs a file system of its own: {mounted.stderr.decode().strip()}")
    try:
        done = started(runs_dir=disk)
        assert done.returncode == 2, done.stderr
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        subprocess.run(["mount", "-o", "remount,size=40m", disk], check=True)
        done = started(runs_dir=disk)
        assert done.returncode == 0, done.stderr
        assert_same_run(undisturbed, next(disk.glob("*/*")))
    finally:
        subprocess.run(["umount", disk], check=False)


def test_no_permission_for_the_runs(tmp_path):
    try:
        subprocess.run([sys.executable, "-c", ""], user=NOBODY, check=True, capture_output=True)
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("needs root, and an interpreter that others may start")
    os.chmod(tmp_path, 0o755)
    done = started(runs_dir=tmp_path / "runs", user=NOBODY, group=NOBODY, extra_groups=[])
    assert done.returncode == 2, done.stderr
    assert "Permission denied" in done.stderr
    assert "repair it and start again" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", [".pt", ".sha256", ".safetensors", ".npz", "record.json", "metrics.jsonl", "config.yaml"])
@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS, errno.EDQUOT])
def test_a_file_that_cannot_be_renamed(tmp_path, monkeypatch, undisturbed, name, code):
    real = Path.replace

    def replace(self, target):
        if str(target).endswith(name):
            raise OSError(code, os.strerror(code), str(target))
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises((UserError, OSError)) as error:
            train(tmp_path / "run")
    assert os.strerror(code) in str(error.value)
    assert [file.name for file in (tmp_path / "run").rglob(".*")] == []  # no partial file is left
    train(tmp_path / "run")
    assert_same_run(undisturbed, tmp_path / "run")


def test_metrics_that_cannot_be_written(tmp_path, monkeypatch, undisturbed):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "metrics.jsonl")

    with monkeypatch.context() as patch:
        patch.setattr(records, "append_metrics", full)
        with pytest.raises(OSError, match="No space left"):
            train(tmp_path / "run")
    train(tmp_path / "run")
    assert_same_run(undisturbed, tmp_path / "run")
