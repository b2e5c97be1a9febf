"""Checkpoints: atomic, checked, the last two kept, an older one when the newest is damaged."""

import hashlib
import subprocess

import pytest
import torch

from mixup.run.files import write_atomic
from mixup.training import checkpoint


def state(step: int) -> dict:
    return {
        "model": {"weight": torch.full((3,), float(step))},
        "step": step,
        "optimizer": {"state": {0: {"m": torch.ones(2)}}},
    }


@pytest.fixture
def folder(tmp_path):
    for step in (5, 10, 15):
        checkpoint.save(tmp_path / "checkpoint", step, state(step))
    return tmp_path / "checkpoint"


def load(folder) -> tuple[dict | None, list[str]]:
    warnings: list[str] = []
    return checkpoint.load_newest(folder, warn=warnings.append), warnings


def test_the_last_two_are_kept_and_the_newest_is_read(folder):
    names = sorted(file.name for file in folder.iterdir())
    assert names == ["step-10.pt", "step-10.pt.sha256", "step-15.pt", "step-15.pt.sha256"]
    found, warnings = load(folder)
    assert found["step"] == 15
    assert torch.equal(found["model"]["weight"], torch.full((3,), 15.0))
    assert warnings == []


def test_steps_are_ordered_as_numbers(tmp_path):
    for step in (9, 10, 100):
        checkpoint.save(tmp_path, step, state(step))
    assert [file.name for file in checkpoint.checkpoints(tmp_path)] == ["step-10.pt", "step-100.pt"]


def test_the_checksum_is_readable_by_sha256sum(folder):
    done = subprocess.run(["sha256sum", "-c", "step-15.pt.sha256"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    digest = (folder / "step-15.pt.sha256").read_text().split()[0]
    assert digest == hashlib.sha256((folder / "step-15.pt").read_bytes()).hexdigest()


@pytest.mark.parametrize("damage", ["one bit", "cut", "empty", "no checksum", "empty checksum", "not a checkpoint"])
def test_a_damaged_newest_falls_back_loudly_to_the_one_before(folder, damage):
    newest = folder / "step-15.pt"
    content = newest.read_bytes()
    if damage == "one bit":
        newest.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    elif damage == "cut":
        newest.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        newest.write_bytes(b"")
    elif damage == "no checksum":
        checkpoint.checksum_of(newest).unlink()
    elif damage == "empty checksum":
        checkpoint.checksum_of(newest).write_text("")
    else:
        newest.write_bytes(b"hello")
        checkpoint.checksum_of(newest).write_text(hashlib.sha256(b"hello").hexdigest() + "  step-15.pt\n")
    found, warnings = load(folder)
    assert found["step"] == 10
    assert len(warnings) == 1
    assert "step-15.pt is damaged" in warnings[0]


def test_nothing_good_means_from_the_start(folder, tmp_path):
    for file in folder.glob("*.pt"):
        file.write_bytes(b"")
    found, warnings = load(folder)
    assert found is None
    assert len(warnings) == 2
    assert load(tmp_path / "nowhere") == (None, [])


def test_a_checkpoint_cannot_run_code(tmp_path):
    """Read with weights_only: an object of another kind is refused as damage, and nothing of it is executed."""

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    file = checkpoint.save(tmp_path / "checkpoint", 1, {"model": Evil()})
    assert file.exists()
    found, warnings = load(tmp_path / "checkpoint")
    assert found is None
    assert not (tmp_path / "executed").exists()
    assert len(warnings) == 1


def test_a_failed_write_keeps_the_old_file_and_leaves_no_scraps(tmp_path, monkeypatch):
    file = tmp_path / "file"
    write_atomic(file, b"old")

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        write_atomic(file, b"new")
    assert file.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_remove_leaves_no_folder(folder):
    checkpoint.remove(folder)
    assert not folder.exists()
    checkpoint.remove(folder)


def test_damaged_newer_checkpoints_do_not_crowd_out_a_good_one(folder):
    """A run that fell back to the start must keep what it saves, though its steps are smaller than the damaged ones'."""
    for file in folder.glob("*.pt"):
        file.write_bytes(b"")
    checkpoint.save(folder, 2, state(2))
    found, warnings = load(folder)
    assert found["step"] == 2
    assert warnings == []


def test_a_file_that_cannot_be_read_now_is_no_damage(folder, monkeypatch):
    def stale(file):
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr("pathlib.Path.read_bytes", stale)
    with pytest.raises(OSError, match="Stale"):
        load(folder)
