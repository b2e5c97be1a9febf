"""Files are written whole or not at all, on file systems that answer as those of clusters and shares do."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import stat
import time
from pathlib import Path

import numpy as np
import pytest

from mixup.data.sources.storage import cached_arrays
from mixup.run.files import LEFTOVER_SECONDS, write_atomic, write_json


def error_of(code: int, *names: object) -> OSError:
    return OSError(code, os.strerror(code), *map(str, names))


def refuse_fsync(monkeypatch, code: int, kind) -> None:
    """kind: `stat.S_ISDIR` or `stat.S_ISREG`, what fsync fails for."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if kind(os.fstat(descriptor).st_mode):
            raise error_of(code)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EBADF, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP])
def test_fsync_of_a_folder_need_not_be_implemented(tmp_path, monkeypatch, code):
    refuse_fsync(monkeypatch, code, stat.S_ISDIR)
    write_atomic(tmp_path / "a.pt", b"new")
    assert (tmp_path / "a.pt").read_bytes() == b"new"


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("kind", [stat.S_ISDIR, stat.S_ISREG])
def test_other_errors_of_fsync_are_errors(tmp_path, monkeypatch, code, kind):
    """Of a file, EIO may mean that what was written is lost."""
    (tmp_path / "a.pt").write_bytes(b"old")
    refuse_fsync(monkeypatch, code, kind)
    with pytest.raises(OSError, match=os.strerror(code)):
        write_atomic(tmp_path / "a.pt", b"new")
    assert (tmp_path / "a.pt").read_bytes() == (b"old" if kind is stat.S_ISREG else b"new")
    assert os.listdir(tmp_path) == ["a.pt"]


def rename_twice(monkeypatch) -> None:
    """As NFS, whose server did the rename and whose answer was lost."""
    real = os.replace

    def replace(source, target) -> None:
        real(source, target)
        raise error_of(errno.ENOENT, source, None, target)

    monkeypatch.setattr(os, "replace", replace)


def test_a_rename_whose_answer_was_lost_is_done(tmp_path, monkeypatch):
    rename_twice(monkeypatch)
    for content in (b"one", memoryview(b"two")):
        write_atomic(tmp_path / "a.pt", content)
        assert (tmp_path / "a.pt").read_bytes() == content
    assert os.listdir(tmp_path) == ["a.pt"]


def test_a_cache_whose_rename_had_no_answer_is_kept_without_a_word(tmp_path, monkeypatch, capsys):
    rename_twice(monkeypatch)
    for _ in range(2):
        cached_arrays(tmp_path, "squares", "key", lambda: {"squares": np.arange(3) ** 2})
    assert capsys.readouterr().out == ""
    assert len(os.listdir(tmp_path / ".mixup-cache")) == 1


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_rename_that_was_not_done_is_an_error(tmp_path, monkeypatch, before):
    """Something else removed the partial file: what lies there is not what was written."""
    if before:
        (tmp_path / "a.pt").write_bytes(before)

    def replace(source, target) -> None:
        os.unlink(source)
        raise error_of(errno.ENOENT, source, None, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "a.pt", b"new")


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_files_have_the_permissions_that_the_umask_leaves(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_json(tmp_path / "record.json", {})
        cached_arrays(tmp_path, "squares", "key", lambda: {"squares": np.arange(3)})
    finally:
        os.umask(before)
    (cache,) = (tmp_path / ".mixup-cache").iterdir()
    for file in (tmp_path / "record.json", cache):
        assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~mask


def write_often(file: Path, letter: str) -> None:
    os.getpid = lambda: 7  # as in two containers that share a folder
    for _ in range(50):
        write_atomic(file, letter.encode() * 100_000)


def test_two_writers_with_one_process_id_never_mix_their_files(tmp_path):
    file, context = tmp_path / "a.pt", multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_often, args=(file, letter)) for letter in "xy"]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        if file.exists():
            seen.add(file.read_bytes())
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert {file.read_bytes(), *seen} <= {b"x" * 100_000, b"y" * 100_000}
    assert os.listdir(tmp_path) == ["a.pt"]


def test_what_killed_processes_left_half_written_is_removed_a_day_later(tmp_path):
    old, new, foreign = (tmp_path / f".{name}.partial" for name in (f"a.pt.{'0' * 16}", f"b.pt.{'f' * 16}", "of.a.user"))
    for file in (old, new, foreign):
        file.touch()
    for file in (old, foreign):
        os.utime(file, (time.time() - LEFTOVER_SECONDS - 9,) * 2)
    write_atomic(tmp_path / "c.pt", b"")
    assert {file.name for file in tmp_path.iterdir()} == {"c.pt", new.name, foreign.name}


def test_what_a_killed_safetensors_left_in_the_cache_is_removed_a_day_later(tmp_path):
    cached_arrays(tmp_path, "squares", "key", lambda: {"squares": np.arange(3)})
    old, new = tmp_path / ".mixup-cache/.tmpAb1Cd2", tmp_path / ".mixup-cache/.tmpEf3Gh4"
    for file, age in ((old, LEFTOVER_SECONDS + 9), (new, 9)):
        file.touch()
        os.utime(file, (time.time() - age,) * 2)
    cached_arrays(tmp_path, "squares", "another key", lambda: {"squares": np.arange(3)})
    assert (old.exists(), new.exists()) == (False, True)


LOCK = """import errno, fcntl, os

def refuse(*arguments):
    raise OSError(errno.{code}, os.strerror(errno.{code}))

fcntl.flock = fcntl.lockf = refuse
"""
FSYNC = """import errno, os, stat

real_fsync = os.fsync

def fsync(descriptor):
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise OSError(errno.{code}, os.strerror(errno.{code}))
    real_fsync(descriptor)

os.fsync = fsync
"""
RENAME = """import errno, os

real_replace = os.replace

def replace(source, target):
    real_replace(source, target)
    raise OSError(errno.{code}, os.strerror(errno.{code}), str(source), None, str(target))

os.replace = replace
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("patches", "warnings"),
    [
        ([(LOCK, "ENOSYS")], 1),
        ([(FSYNC, "EINVAL"), (RENAME, "ENOENT")], 0),
        ([(LOCK, "ENOLCK"), (FSYNC, "ENOTSUP"), (RENAME, "ENOENT")], 1),
    ],
)
def test_a_run_trains_on_such_a_file_system(tmp_path, command, patches, warnings):
    (tmp_path / "sitecustomize.py").write_text("\n".join(patch.format(code=code) for patch, code in patches))
    arguments = ("trainer.epochs=1", "tracking.wandb=disabled", f"runs_dir={tmp_path}/runs")
    trained = command("train.py", *arguments, PYTHONPATH=str(tmp_path))
    assert (trained.returncode, "Traceback" in trained.stderr) == (0, False), trained.stderr
    assert trained.stderr.count("cannot be locked") == warnings
    (record,) = (tmp_path / "runs").rglob("record.json")
    assert json.loads(record.read_text())["test"]["count"] == 899
    again = command("train.py", *arguments, PYTHONPATH=str(tmp_path))
    assert "already finished" in again.stdout
