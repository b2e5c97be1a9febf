"""Data roots that cannot be read, written or filled: the data is used without its cache and with one warning, or one message
says what to do."""

from __future__ import annotations

import os
import subprocess
import urllib.error
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from mixup.data import Dataset, open_dataset
from mixup.errors import UserError
from mixup.plan import generator
from tests.reliability.test_archives import pack, pair, picture, release, write_shards

NAMES = ["cifar10", "cifar100", "imagenet", "tiny_imagenet", "speech_commands", "speech_commands_v2", "abalone", "htru2"]


def opened(name: str, root: Path, *, download: bool = False) -> Dataset:
    options = {"train_size": None, "validation": 0.0, "label_noise": 0.0, "stream": partial(generator, 0)}
    return open_dataset(name, root=str(root), download=download, **options)


@pytest.fixture(autouse=True)
def no_network(monkeypatch) -> None:
    def refuse(*arguments, **options):
        raise urllib.error.URLError("Network is unreachable")

    for place in ("urllib.request.urlopen", "torch.hub.urlopen", "sklearn.datasets._openml.urlopen"):
        monkeypatch.setattr(place, refuse)
    monkeypatch.setattr("sklearn.datasets._openml.time.sleep", lambda seconds: None)


@pytest.fixture
def disk(tmp_path) -> Iterator[Callable[..., Path]]:
    """Mounts a disk of so many bytes, or mounts one again with other options; skips where that is not permitted."""
    mounted: list[Path] = []

    def mount(name: str, *options: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a disk")
        if folder not in mounted:
            mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def write_folders(root: Path) -> None:
    for part in ("train", "val"):
        for label in ("cat", "dog"):
            (root / "tiny_imagenet" / part / label).mkdir(parents=True)
            for number in range(3):
                (root / "tiny_imagenet" / part / label / f"{number}.png").write_bytes(picture())


def write_clips(root: Path) -> None:
    folder = root / "speech_commands_v0.01"
    for info, content in release():
        (folder / info.name).parent.mkdir(parents=True, exist_ok=True)
        (folder / info.name).write_bytes(content)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("download", [False, True])
@pytest.mark.parametrize("kind", ["missing", "empty", "a file", "below a file", "a broken link"])
def test_a_root_without_the_data_is_one_message_that_names_it(tmp_path, name, download, kind):
    root = tmp_path / "root"
    if kind == "empty":
        root.mkdir()
    elif kind == "a broken link":
        root.symlink_to(tmp_path / "nowhere")
    elif kind != "missing":
        root.write_text("a file")
        root = root / "data" if kind == "below a file" else root
    with pytest.raises(UserError) as caught:
        opened(name, root, download=download)
    assert str(root) in str(caught.value)


@pytest.mark.parametrize(("name", "write"), [("tiny_imagenet", write_folders), ("speech_commands", write_clips)])
@pytest.mark.parametrize("kind", ["read-only", "full"])
def test_data_on_a_disk_that_cannot_be_written_is_used_without_its_cache(disk, capsys, name, write, kind):
    root = disk("root", "size=4m")
    write(root)
    expected = opened(name, root)
    for file in (root / ".mixup-cache").iterdir():
        file.unlink()
    (root / ".mixup-cache").rmdir()
    if kind == "read-only":
        disk("root", "remount", "ro")
    else:
        with pytest.raises(OSError, match="No space"):
            (root / "filling").write_bytes(bytes(2**23))
    capsys.readouterr()
    data = opened(name, root)
    assert data.fingerprint() == expected.fingerprint()
    assert capsys.readouterr().out.count("it will be computed again next time") == 1
    if kind == "full":
        assert not list((root / ".mixup-cache").glob("*"))


def test_shards_on_a_disk_that_cannot_be_written_are_indexed_at_each_start(disk, monkeypatch, capsys):
    root = disk("root", "size=4m")
    write_shards(root, [*pair("a"), *pair("b")], monkeypatch)
    disk("root", "remount", "ro")
    for _ in range(2):
        assert len(opened("tiny_imagenet", root).train) == 2
        assert capsys.readouterr().out.count("it will be computed again next time") == 2  # of train and val


def test_a_disk_that_is_full_while_an_archive_is_unpacked(disk, monkeypatch):
    root = disk("root", "size=256k")
    noise = np.random.default_rng(0).bytes(150_000)
    members = [*release(), *pair("no/x")]
    members[-1] = (members[-1][0], noise)
    members[-1][0].size = len(noise)
    archive = pack(root / "speech_commands_v0.01.tar.gz", members, monkeypatch)
    with pytest.raises(UserError, match=rf"{archive} cannot be unpacked in {root} \(.*No space left.*\): is there space\?"):
        opened("speech_commands", root)
    assert [file.name for file in root.iterdir()] == [archive.name]


def test_a_disk_that_is_full_while_openmls_table_is_kept(disk, monkeypatch):
    root = disk("root", "size=64k")
    (root / "filling").write_bytes(bytes(60_000))
    rows = [["x", "class"], *([str(number) * 50, "1"] for number in range(2_000))]
    monkeypatch.setattr("mixup.data.sources.uci.fetch_rows", lambda table, folder: rows)
    with pytest.raises(
        UserError, match=r"abalone-openml183\.csv cannot be written \(.*\): make room there, or use data\.root"
    ):
        opened("abalone", root, download=True)
    assert not list((root / "uci").iterdir())


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_root_without_permission(tmp_path, capsys):
    root = tmp_path / "root"
    write_folders(root)
    root.chmod(0o500)
    try:
        assert len(opened("tiny_imagenet", root).train) == 6
        assert capsys.readouterr().out.count("it will be computed again next time") == 1
        root.chmod(0)
        with pytest.raises(UserError, match=str(root)):
            opened("tiny_imagenet", root)
    finally:
        root.chmod(0o700)


@pytest.mark.parametrize(("name", "write"), [("tiny_imagenet", write_folders), ("speech_commands", write_clips)])
@pytest.mark.parametrize("kind", ["a file", "a broken link", "a foreign folder in the cache"])
def test_a_cache_that_cannot_be_one_costs_only_time(tmp_path, capsys, name, write, kind):
    write(tmp_path)
    expected = opened(name, tmp_path)
    (cached,) = (tmp_path / ".mixup-cache").iterdir()
    cached.unlink()
    if kind == "a foreign folder in the cache":
        cached.mkdir()
    else:
        (tmp_path / ".mixup-cache").rmdir()
        (tmp_path / ".mixup-cache").write_text("a file") if kind == "a file" else (tmp_path / ".mixup-cache").symlink_to(
            "no"
        )
    capsys.readouterr()
    data = opened(name, tmp_path)
    assert data.fingerprint() == expected.fingerprint()
    assert torch.equal(data.train.inputs, expected.train.inputs)
    assert capsys.readouterr().out.count("it will be computed again next time") == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny_imagenet", "cifar10", "abalone", "speech_commands"])
def test_a_command_without_its_data_ends_with_one_message_and_status_2(tmp_path, command, name):
    (tmp_path / "root").write_text("a file")
    arguments = (f"data={name}", "data.download=false", f"data.root={tmp_path}/root", f"runs_dir={tmp_path}/runs")
    ended = command("train.py", *arguments, "tracking.wandb=disabled")
    assert ended.returncode == 2
    assert f"{tmp_path}/root" in ended.stderr
    assert "Traceback" not in ended.stderr
