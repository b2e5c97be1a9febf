"""Archives that were not made by whom they say, or came in part: nothing runs, lands outside, or is half read."""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import pickle
import tarfile
import time
from dataclasses import replace
from email.message import Message
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from mixup.data import DATASETS
from mixup.data.sources.cifar import CIFAR, cifar_data
from mixup.data.sources.folders import index_shard
from mixup.data.sources.imagenet import imagenet_data
from mixup.data.sources.speech import SPEECH, speech_data
from mixup.errors import UserError
from mixup.run.files import LEFTOVER_SECONDS

V1 = "speech_commands"


class Payload:
    """What unpickling this runs: it makes the file `mark`."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.mark}'",)


def cifar(root: Path, *, download: bool = False):
    return cifar_data("cifar10", DATASETS["cifar10"], root=root, download=download)


def files_below(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}


def write_batches(folder: Path, content: bytes) -> None:
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(content)


# CIFAR


@pytest.mark.parametrize("packed", [False, True])
def test_batches_that_run_code_are_not_opened(tmp_path, monkeypatch, packed):
    """torchvision's checksums, which are those of Toronto's files, are all that stands before the pickles."""
    root, mark = tmp_path / "root", tmp_path / "executed"
    content = pickle.dumps(Payload(mark))
    pickle.loads(content)
    assert mark.exists(), "the payload works"
    mark.unlink()
    write_batches(root / "cifar-10-batches-py", content)
    if packed:
        with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as archive:
            archive.add(root / "cifar-10-batches-py", "cifar-10-batches-py")
        for file in (root / "cifar-10-batches-py").iterdir():
            file.unlink()
        (root / "cifar-10-batches-py").rmdir()
    with pytest.raises(UserError, match=r"CIFAR-10 in .* is damaged or incomplete \(.*\): remove it and start again"):
        cifar(root)
    assert not mark.exists()


def test_a_payload_in_the_class_names_alone_is_not_opened(tmp_path, monkeypatch):
    """With batches that pass."""
    import torchvision

    dataset, mark = torchvision.datasets.CIFAR10, tmp_path / "executed"
    images = pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1]}, protocol=2)
    write_batches(tmp_path / "root/cifar-10-batches-py", images)
    (tmp_path / "root/cifar-10-batches-py/batches.meta").write_bytes(pickle.dumps(Payload(mark)))
    md5 = hashlib.md5(images).hexdigest()
    for name in ("train_list", "test_list"):
        monkeypatch.setattr(dataset, name, [[file, md5] for file, _ in getattr(dataset, name)])
    with pytest.raises(UserError, match="damaged or incomplete"):
        cifar(tmp_path / "root")
    assert not mark.exists()


# Speech Commands


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content)
    return info, content


def clip() -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, np.arange(1_600, dtype=np.int16), 16_000, format="WAV")
    return stream.getvalue()


def release() -> list[tuple[tarfile.TarInfo, bytes]]:
    """All that a small release needs."""
    clips = [member(f"{word}/{number}.wav", content=clip()) for word in ("no", "yes") for number in range(3)]
    lists = [member(f"{part}_list.txt", content=f"no/{n}.wav".encode()) for n, part in enumerate(("validation", "testing"))]
    return [*clips, *lists]


def pack(file: Path, members: list[tuple[tarfile.TarInfo, bytes]], monkeypatch) -> Path:
    """The members as an archive whose checksum is the expected one."""
    file.parent.mkdir(exist_ok=True)
    with tarfile.open(file, "w:gz" if file.suffix == ".gz" else "w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    monkeypatch.setitem(SPEECH, V1, replace(SPEECH[V1], sha256=hashlib.sha256(file.read_bytes()).hexdigest()))
    return file


def speech(root: Path, *, download: bool = False):
    return speech_data(V1, root=root, download=download, device=torch.device("cpu"))


OUTSIDE = {
    "a path above": member("../outside", content=b"x"),
    "a path above inside": member("no/../../../outside", content=b"x"),
    "a link above": member("no/9.wav", tarfile.SYMTYPE, "../../../outside"),
    "a link to an absolute path": member("no/9.wav", tarfile.SYMTYPE, "/etc/passwd"),
    "a hard link above": member("no/9.wav", tarfile.LNKTYPE, "../../outside"),
    "a device": member("no/9.wav", tarfile.CHRTYPE),
    "a pipe": member("no/9.wav", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_nothing_lands_outside_and_nothing_is_left(tmp_path, monkeypatch, case):
    archive = pack(tmp_path / "root/speech_commands_v0.01.tar.gz", [*release(), OUTSIDE[case]], monkeypatch)
    (tmp_path / "root/outside").write_text("of another")
    with pytest.raises(UserError) as caught:
        speech(tmp_path / "root")
    assert f"{archive} cannot be unpacked in {tmp_path / 'root'}" in str(caught.value)
    assert files_below(tmp_path) == {"root", f"root/{archive.name}", "root/outside"}
    assert (tmp_path / "root/outside").read_text() == "of another"


def test_an_absolute_path_is_unpacked_below_the_folder(tmp_path, monkeypatch):
    outside = tmp_path / "outside/9.wav"
    pack(tmp_path / "root/speech_commands_v0.01.tar.gz", [*release(), member(str(outside), content=b"x")], monkeypatch)
    assert len(speech(tmp_path / "root").train) == 4
    assert not outside.parent.exists()


def test_members_that_others_could_write_or_that_run_as_root_lose_these_rights(tmp_path, monkeypatch):
    info, content = member("no/2.wav", content=clip())
    info.mode = 0o6777
    pack(tmp_path / "root/speech_commands_v0.01.tar.gz", [*release(), (info, content)], monkeypatch)
    speech(tmp_path / "root")
    assert (tmp_path / "root/speech_commands_v0.01/no/2.wav").stat().st_mode & 0o7022 == 0


def test_an_archive_is_not_opened_before_its_checksum_is_right(tmp_path, monkeypatch):
    archive = pack(tmp_path / "root/speech_commands_v0.01.tar.gz", release(), monkeypatch)
    archive.write_bytes(archive.read_bytes()[: len(archive.read_bytes()) // 2])
    monkeypatch.setattr(tarfile, "open", lambda *a, **k: pytest.fail("opened"))
    with pytest.raises(UserError, match=r"is damaged, incomplete or not .* Get it anew: curl -L -o "):
        speech(tmp_path / "root")


class Cut(io.BytesIO):
    """An answer that ends in the middle, as when a server or a network goes away."""

    def __init__(self, content: bytes, error: Exception | None) -> None:
        super().__init__(content[: len(content) // 2])
        self.headers, self.error, self.url = Message(), error, ""
        self.length = len(content)
        self.headers["Content-Length"] = str(self.length)

    def read(self, size: int = -1) -> bytes:
        content = super().read(size)
        if not content and self.error:
            raise self.error
        return content

    def info(self) -> Message:
        return self.headers


@pytest.mark.parametrize(
    "error", [None, ConnectionResetError(104, "reset"), TimeoutError("timed out"), http.client.IncompleteRead(b"")]
)
def test_a_download_cut_in_the_middle_leaves_nothing_and_is_fetched_anew(tmp_path, monkeypatch, error):
    root = tmp_path / "root"
    content = pack(tmp_path / "server/speech_commands_v0.01.tar.gz", release(), monkeypatch).read_bytes()
    monkeypatch.setattr("torch.hub.urlopen", lambda *a, **k: Cut(content, error))
    with pytest.raises(UserError, match=r"no Speech Commands v0\.01 in .*, and it cannot be downloaded"):
        speech(root, download=True)
    assert files_below(root) == set()
    whole = Cut(content * 2, None)
    whole.length = len(content)
    whole.headers.replace_header("Content-Length", str(len(content)))
    monkeypatch.setattr("torch.hub.urlopen", lambda *a, **k: whole)
    assert len(speech(root, download=True).train) == 4


@pytest.mark.parametrize("error", [None, ConnectionResetError(104, "reset"), TimeoutError("timed out")])
def test_a_download_of_cifar_cut_in_the_middle_is_one_message(tmp_path, monkeypatch, error):
    def answer(request, *arguments, **options):
        response = Cut(b"x" * 100_000, error)
        response.url = request.full_url
        return response

    monkeypatch.setattr("urllib.request.urlopen", answer)
    for _ in range(2):  # and once more beside what the first left
        with pytest.raises(UserError, match="CIFAR-10"):
            cifar(tmp_path / "root", download=True)
    assert CIFAR["cifar10"].folders[0] not in files_below(tmp_path / "root")


def test_what_killed_processes_left_of_archives_is_removed_a_day_later(tmp_path, monkeypatch):
    root = tmp_path / "root"
    pack(root / "speech_commands_v0.01.tar.gz", release(), monkeypatch)
    (root / "speech_commands_v0.01.partial-abc/clips").mkdir(parents=True)
    (root / "speech_commands_v0.01.partial-new").mkdir()
    old = time.time() - LEFTOVER_SECONDS - 9
    os.utime(root / "speech_commands_v0.01.partial-abc", (old, old))
    speech(root)
    assert {file.name for file in root.glob("*partial*")} == {"speech_commands_v0.01.partial-new"}


# Shards


def picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), (10, 20, 30)).save(stream, "PNG")
    return stream.getvalue()


def pair(key: str, label: object = 0) -> list[tuple[tarfile.TarInfo, bytes]]:
    return [member(f"{key}.png", content=picture()), member(f"{key}.cls", content=str(label).encode())]


def write_shards(root: Path, members: list[tuple[tarfile.TarInfo, bytes]], monkeypatch) -> Path:
    for part in ("train", "val"):
        (root / "tiny_imagenet" / part).mkdir(parents=True)
        pack(root / f"tiny_imagenet/{part}/0.tar", members, monkeypatch)
    return root / "tiny_imagenet/train/0.tar"


def test_names_of_members_are_names_alone(tmp_path, monkeypatch):
    """They are read where they lie: nothing is written, and no link is followed."""
    members = [*pair("../above"), *pair("/etc/absolute"), *pair("\udcff"), member("a.png", tarfile.SYMTYPE, "/etc/passwd")]
    write_shards(tmp_path / "root", members, monkeypatch)
    data = imagenet_data("tiny_imagenet", root=tmp_path / "root", resident=None)
    assert (len(data.train), data.left_out) == (3, {"no plain file": 2})
    assert (data.train.files.image(0, (64, 64)) == (10, 20, 30)).all()
    assert {name.split("/")[0] for name in files_below(tmp_path)} == {"root"}


def sparse(name: str, size: int) -> tuple[tarfile.TarInfo, bytes]:
    """A member that says it has `size` bytes, all of them holes."""
    info, content = member(name)
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": str(size)}
    info.pax_headers |= {"GNU.sparse.numblocks": "1", "GNU.sparse.map": f"{size},0"}
    return info, content


@pytest.mark.parametrize("name", ["b.cls", "b.png"])
def test_a_sparse_bomb_asks_for_no_memory(tmp_path, monkeypatch, name):
    other = pair("b")[0] if name == "b.cls" else pair("b")[1]
    shard = write_shards(tmp_path / "root", [*pair("a"), sparse(name, 2**50), other], monkeypatch)
    if name == "b.cls":
        with pytest.raises(UserError, match=r"b\.png has no class beside it"):
            index_shard(shard)
    else:
        examples, left_out = index_shard(shard)
        assert ([example[1] for example in examples], left_out) == (["a.png"], {"no plain file": 1})


@pytest.mark.parametrize("label", ["1" * 5_000, "1e9", "", "cat", "nan"])
def test_a_class_that_is_no_number_is_damage(tmp_path, monkeypatch, label):
    shard = write_shards(tmp_path / "root", pair("a", label), monkeypatch)
    with pytest.raises(UserError, match=r"(tiny_imagenet: a class is|0\.tar is damaged)"):
        imagenet_data("tiny_imagenet", root=shard.parents[2], resident=None)


def test_a_shard_cut_anywhere_is_damage_and_never_a_smaller_shard(tmp_path, monkeypatch):
    """Also at the border of two members, where what is left looks whole."""
    shard = write_shards(tmp_path / "root", [*pair("a"), *pair("b"), *pair("c")], monkeypatch)
    content = shard.read_bytes()
    with tarfile.open(shard) as tar:
        borders = [*(entry.offset for entry in tar.getmembers()[1:]), tar.offset]
    for length in (*borders, 100, 600, len(content) // 3):
        shard.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"0\.tar is damaged, or no WebDataset shard \(.*\): fetch it again"):
            index_shard(shard)
    for border in borders[:-1]:  # a damaged header in the middle
        shard.write_bytes(content[: border + 150] + b"x" * 10 + content[border + 160 :])
        with pytest.raises(UserError, match=rf"0\.tar is damaged.*at byte {border:,} neither"):
            index_shard(shard)
    shard.write_bytes(content)
    assert len(index_shard(shard)[0]) == 3
