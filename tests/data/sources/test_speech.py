"""Speech Commands: the spectrograms against a reference, the official lists, and what a user is told."""

from __future__ import annotations

import hashlib
import io
import os
import shlex
import signal
import socket
import subprocess
import sys
import tarfile
import urllib.error
from collections.abc import Callable
from dataclasses import replace
from email.message import Message
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from mixup.data.dataset import Dataset, Split
from mixup.data.datasets import DATASETS
from mixup.data.sources import spectrograms as features
from mixup.data.sources.speech import SPEECH, speech_data
from mixup.errors import UserError
from mixup.run.compose import configuration

CPU = torch.device("cpu")
V1, V2 = "speech_commands", "speech_commands_v2"
CLIPS = {  # three words; `go` has no clip in the validation list
    "train": ["go/1.wav", "no/1.wav", "no/2.wav", "yes/3.wav"],
    "validation": ["no/4.wav", "yes/1.wav"],
    "test": ["go/2.wav", "no/3.wav", "yes/2.wav"],
}
WORDS = ("go", "no", "yes")


@pytest.fixture(autouse=True)
def requests(monkeypatch) -> list[str]:
    """No network in this file: every request fails, and its address is noted here."""
    seen = []

    def refuse(request, *args, **kwargs):
        seen.append(request.full_url)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torch.hub.urlopen", refuse)
    return seen


def noise(name: str, length: int = 1_600) -> np.ndarray:
    """(samples,) int16, the same for a name, another for any other."""
    rng = np.random.default_rng(list(name.encode()))
    return rng.integers(-8_000, 8_000, length).astype(np.int16)


def write_clip(file: Path, samples: np.ndarray, *, rate: int = 16_000) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, samples, rate, subtype="PCM_16")


def write_release(folder: Path) -> None:
    """What the archives hold, in small."""
    for names in CLIPS.values():
        for name in names:
            write_clip(folder / name, noise(name))
    write_clip(folder / "_background_noise_/hiss.wav", noise("hiss", 5_000))
    (folder / "README.md").write_text("not a word")
    (folder / "yes/notes.txt").write_text("not a clip")
    (folder / "yes/._1.wav").write_text("what a Mac leaves behind")
    (folder / "validation_list.txt").write_text("".join(f"{name}\n" for name in reversed(CLIPS["validation"])))
    (folder / "testing_list.txt").write_text("".join(f"{name}\n" for name in reversed(CLIPS["test"])))


@pytest.fixture
def root(tmp_path) -> Path:
    """A data root with a small v0.01 in it."""
    write_release(tmp_path / "speech_commands_v0.01")
    return tmp_path


def read(root: Path, name: str = V1, *, download: bool = False) -> Dataset:
    return speech_data(name, root=root, download=download, device=CPU)


def failure(root: Path, name: str = V1, *, download: bool = False) -> str:
    with pytest.raises(UserError) as caught:
        read(root, name, download=download)
    return str(caught.value)


def digests(names: list[str]) -> list[bytes]:
    return [hashlib.sha256(noise(name).tobytes()).digest()[:8] for name in names]


def held_by(split: Split | None) -> list[bytes]:
    assert split is not None
    assert split.identity is not None
    return [bytes(row) for row in split.identity.tolist()]


def assert_same(ours: Dataset, other: Dataset) -> None:
    assert ours.classes == other.classes
    for part in ("train", "validation", "test"):
        torch.testing.assert_close(getattr(ours, part).inputs, getattr(other, part).inputs, rtol=0, atol=0)
        assert getattr(ours, part).labels.tolist() == getattr(other, part).labels.tolist()


# Spectrograms


def spectrogram_of(*clips: np.ndarray) -> np.ndarray:
    return features.spectrograms(clips, CPU)


def raw_reference(clip: np.ndarray) -> np.ndarray:
    """(161, frames) log(1 + magnitude) of the whole clip by the definition of the Fourier transform, a frame at a time."""
    wave = clip / 32768
    wave = np.concatenate([wave, np.zeros(max(0, 161 - len(wave)))])
    wave = np.concatenate([wave[160:0:-1], wave, wave[-2:-162:-1]])
    time = np.arange(320)
    window = 0.54 - 0.46 * np.cos(2 * np.pi * time / 320)  # of period 320, not 319
    waves = np.exp(-2j * np.pi * np.outer(np.arange(161), time) / 320)
    frames = [waves @ (window * wave[start : start + 320]) for start in range(0, len(wave) - 319, 160)]
    return np.log1p(np.abs(np.stack(frames, 1)))


def reference(clip: np.ndarray) -> np.ndarray:
    raw = raw_reference(clip)[:, :101]
    padded = np.zeros((161, 101))
    padded[:, : raw.shape[1]] = raw
    return (padded - padded.mean()) / padded.std(ddof=1)


LENGTHS = [1, 100, 160, 161, 320, 8_000, 12_345, 15_999, 16_000, 16_001, 16_159, 16_160, 16_161, 16_400, 40_000]


@pytest.mark.parametrize("length", LENGTHS)
def test_spectrogram_is_the_reference_for_clips_of_any_length(length):
    clip = noise("any", length)
    (ours,) = spectrogram_of(clip)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, reference(clip), atol=2e-4)


def test_reference_agrees_with_scipy():
    """Where no edge is in reach: scipy pads otherwise."""
    from scipy.signal import ShortTimeFFT, get_window

    clip = noise("scipy", 16_000)
    transform = ShortTimeFFT(get_window("hamming", 320), hop=160, fs=16_000)
    theirs = np.log1p(np.abs(transform.stft(clip / 32768, p0=1, p1=100)))
    np.testing.assert_allclose(raw_reference(clip)[:, 1:100], theirs, atol=1e-9)


def test_a_tone_is_where_its_frequency_and_time_say():
    """Rows are 50 Hz apart, columns 10 ms."""
    time = np.arange(16_000) / 16_000
    tone = np.where(time >= 0.5, np.sin(2 * np.pi * 1_000 * time), 0)
    (ours,) = spectrogram_of((tone * 20_000).astype(np.int16))
    assert (ours[:, 52:100].argmax(0) == 20).all()
    assert ours[20, :49].max() < ours[20, 52:].min()


def test_clips_of_many_lengths_together_are_what_each_is_alone():
    clips = [noise(str(length), length) for length in LENGTHS + LENGTHS[::-1]]
    together = spectrogram_of(*clips)
    for clip, ours in zip(clips, together):
        np.testing.assert_allclose(ours, spectrogram_of(clip)[0], atol=1e-5)


def test_a_short_clip_is_padded_and_never_repeated():
    (ours,) = spectrogram_of(noise("short", 8_000))
    silence = ours[:, 51:]
    assert (silence == silence[0, 0]).all()
    assert silence[0, 0] < ours[:, :51].mean() - 0.5
    assert ours.mean() == pytest.approx(0, abs=1e-5)
    assert ours.std(ddof=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("length", [1, 8_000, 16_000, 20_000])
def test_a_silent_clip_is_zero_and_leaves_the_others_alone(length):
    silent, other = spectrogram_of(np.zeros(length, np.int16), noise("other", length))
    assert (silent == 0).all()
    np.testing.assert_array_equal(other, spectrogram_of(noise("other", length), noise("third", length))[0])


# Splits


def test_official_lists_split_the_clips_and_the_rest_is_to_train_on(root):
    data = read(root)
    assert data.classes == WORDS
    for part, names in CLIPS.items():
        split = getattr(data, part)
        assert held_by(split) == digests(names), part
        assert [WORDS[label] for label in split.labels] == [name.split("/")[0] for name in names], part
        assert split.inputs.shape == (len(names), 1, 161, 101)
        assert split.inputs.dtype == torch.float32
        for row, name in enumerate(names):
            np.testing.assert_allclose(split.inputs[row, 0], reference(noise(name)), atol=2e-4)
        assert split.labels.dtype == torch.int64
        assert not split.corrupted.any()


def test_more_clips_than_are_read_at_once_keep_their_order(root, monkeypatch):
    monkeypatch.setattr(features, "BATCH", 3)
    data = read(root)
    assert held_by(data.train) == digests(CLIPS["train"])
    np.testing.assert_allclose(data.train.inputs[3, 0], reference(noise("yes/3.wav")), atol=2e-4)


def test_part_of_the_words_is_another_task_and_is_called_so(root):
    data = read(root)
    assert data.provenance == "Speech Commands v0.01 (3 of 30 words)"
    assert data.info == replace(DATASETS[V1], num_classes=3)


def test_all_words_are_the_release(root):
    for number in range(27):
        write_clip(root / f"speech_commands_v0.01/word{number}/1.wav", noise(str(number)))
    data = read(root)
    assert data.provenance == f"Speech Commands v0.01 ({len(data.train)} of 51,088 training clips)"
    assert data.info == DATASETS[V1]


def test_more_words_than_the_release_has_are_refused(root):
    for number in range(28):
        write_clip(root / f"speech_commands_v0.01/word{number}/1.wav", noise(str(number)))
    assert f"{root}/speech_commands_v0.01 holds 31 words, and Speech Commands v0.01 has 30" in failure(root)


def test_nothing_is_said_of_a_folder_that_is_complete(root):
    (root / "speech_commands_v0.01/yes/notes.txt").unlink()
    (root / "speech_commands_v0.01/yes/._1.wav").unlink()
    data = read(root)
    assert (data.absent, data.left_out, data.remarks) == ({}, {}, ())


def test_listed_clips_that_are_not_there_are_counted_and_the_first_is_named(root):
    folder = root / "speech_commands_v0.01"
    with open(folder / "testing_list.txt", "a") as file:
        file.write("yes/8.wav\nno/8.wav\n")
    data = read(root)
    assert data.absent == {"test": 2}
    assert data.remarks[-1] == f"{folder} lacks 2 of 5 test clips that testing_list.txt names, the first yes/8.wav"
    (folder / "yes/1.wav").unlink()
    data = read(root)
    assert data.absent == {"validation": 1, "test": 2}
    assert f"{folder} lacks 1 of 2 validation clips that validation_list.txt names, the first yes/1.wav" in data.remarks


def test_files_that_are_no_clips_are_counted_by_ending(root):
    folder = root / "speech_commands_v0.01"
    for name in ("a.flac", "b.FLAC", "c.mp3", ".DS_Store", "noending"):
        (folder / "no" / name).touch()
    (folder / "no/more").mkdir()
    data = read(root)
    assert data.left_out == {".flac": 2, ".mp3": 1, ".txt": 1, "hidden": 2, "folder": 1, "no ending": 1}
    assert data.remarks[0].startswith(f"{folder}: files that are no clips are left out: 2 hidden, 2 .flac, ")
    assert_same(data, read(root))


@pytest.mark.parametrize("line", ["1.wav", "speech_commands_v0.01/yes/1.wav", "../yes/1.wav", "/yes/a/1.wav"])
def test_a_list_that_names_clips_in_another_way_is_refused_by_its_line(root, line):
    """What it names would be trained on."""
    file = root / "speech_commands_v0.01/testing_list.txt"
    file.write_text(file.read_text() + f"{line}\n")
    assert f"{file} names {line!r}, where <word>/<clip>.wav is expected: restore it" in failure(root)


def test_a_list_of_which_nothing_matches_is_refused_by_its_first_line(root):
    file = root / "speech_commands_v0.01/testing_list.txt"
    file.write_text("ja/1.wav\nja/2.wav\n")
    message = failure(root)
    assert f"named in {file} (which names 'ja/1.wav'); restore them" in message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_a_list_in_utf16_is_refused(root, encoding):
    file = root / "speech_commands_v0.01/testing_list.txt"
    file.write_text(file.read_text(), encoding=encoding)
    message = failure(root)
    assert f"{file} names '" in message
    assert "restore it" in message


def test_words_left_out_altogether_are_not_counted_as_absent_clips(root):
    for file in (root / "speech_commands_v0.01/go").iterdir():
        file.unlink()
    data = read(root)
    assert data.classes == ("no", "yes")
    assert data.absent == {}
    assert "lacks" not in "".join(data.remarks)
    assert data.provenance == "Speech Commands v0.01 (2 of 30 words)"


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE", "PCM_24", "PCM_32"])
def test_a_clip_of_any_depth_is_the_clip_of_16_bits(root, subtype):
    expected = read(root)
    for file in root.glob("*/*/[0-9]*.wav"):
        samples, _ = soundfile.read(file, dtype="float64")
        soundfile.write(file, samples, 16_000, subtype=subtype)
    ours = read(root)
    assert_same(ours, expected)
    assert held_by(ours.train) == held_by(expected.train)


@pytest.mark.parametrize(("samples", "said"), [(1.5, "up to 1.5"), (9_000.0, "up to 9000"), (np.nan, "up to nan")])
def test_floats_out_of_range_are_refused(root, samples, said):
    soundfile.write(root / "speech_commands_v0.01/yes/0.wav", np.full(1_600, samples), 16_000, subtype="DOUBLE")
    message = failure(root)
    assert f"yes/0.wav has samples {said}" in message
    assert "between -1 and 1" in message


def rewritten(rewrite) -> object:
    return lambda folder: [file.write_bytes(rewrite(file.read_bytes())) for file in folder.glob("*_list.txt")]


@pytest.mark.parametrize(
    "change",
    [
        rewritten(lambda content: b"\xef\xbb\xbf" + content),
        rewritten(lambda content: b"./" + content.replace(b"\n", b"\n./", 1)),
        rewritten(lambda content: content.replace(b"/", b"\\").replace(b"\n", b"\r\n")),
        lambda folder: [file.rename(file.with_suffix(".WAV")) for file in folder.glob("*/[0-9]*.wav")],
        rewritten(lambda content: content.upper()),
    ],
    ids=["byte-order mark", "half dotted", "by Windows", "upper case", "upper case in the lists"],
)
def test_no_clip_that_a_list_holds_out_is_trained_on_however_it_is_written(root, change):
    expected = read(root)
    change(root / "speech_commands_v0.01")
    ours = read(root)
    assert_same(ours, expected)
    assert ours.absent == {}


@pytest.mark.parametrize("file", ["validation_list.txt", "testing_list.txt"])
def test_a_missing_list_is_named(root, file):
    (root / "speech_commands_v0.01" / file).unlink()
    message = failure(root)
    assert f"{root}/speech_commands_v0.01/{file} cannot be read (No such file or directory)" in message
    assert "restore it" in message


@pytest.mark.parametrize("part", CLIPS)
def test_a_split_without_clips_is_refused(root, part):
    for name in CLIPS[part]:
        (root / "speech_commands_v0.01" / name).unlink()
    message = failure(root)
    assert f"{root}/speech_commands_v0.01 holds no {part} clip" in message
    assert "restore" in message


def test_version_two_is_found_under_either_name_and_by_its_own_first(tmp_path):
    write_release(tmp_path / "speech_commands")
    assert read(tmp_path, V2).provenance == "Speech Commands v0.02 (3 of 35 words)"
    assert "no Speech Commands v0.01" in failure(tmp_path, V1)
    write_release(tmp_path / "speech_commands_v0.02")
    write_clip(tmp_path / "speech_commands_v0.02/on/1.wav", noise("on"))
    assert read(tmp_path, V2).classes == ("go", "no", "on", "yes")


# Files that are no clips


def spoilt(file: Path, fault: str) -> None:
    content = file.read_bytes()
    if fault == "cut short":
        file.write_bytes(content[:-100])
    elif fault == "cut in its header":
        file.write_bytes(content[:20])
    elif fault == "empty":
        file.write_bytes(b"")
    elif fault == "text":
        file.write_text("this is text, not a clip")
    elif fault == "no samples":
        write_clip(file, noise("x", 0))
    elif fault == "48 kHz":
        write_clip(file, noise("x"), rate=48_000)
    elif fault == "stereo":
        write_clip(file, noise("x", 2_000).reshape(-1, 2))
    elif fault == "a folder":
        file.unlink()
        file.mkdir()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("cut short", "is cut short"),
        ("cut in its header", "cannot be read as a clip"),
        ("empty", "cannot be read as a clip"),
        ("text", "cannot be read as a clip"),
        ("no samples", "holds no samples"),
        ("48 kHz", "has 48,000 samples a second"),
        ("stereo", "has 2 channels"),
        ("a folder", "cannot be read as a clip"),
    ],
)
@pytest.mark.parametrize("name", ["no/2.wav", "yes/2.wav"])
def test_a_file_that_is_no_clip_is_named_with_what_is_expected(root, fault, said, name):
    file = root / "speech_commands_v0.01" / name
    spoilt(file, fault)
    message = failure(root)
    assert f"{file} {said}" in message
    assert "expected a WAV file of one channel at 16,000 samples a second: restore or remove it" in message
    assert not (root / ".mixup-cache").exists()


# The cache and the fingerprint


def forbid_reading(monkeypatch) -> None:
    def fail(*args, **kwargs):
        raise AssertionError("read again")

    monkeypatch.setattr(soundfile, "SoundFile", fail)


def test_second_opening_reads_no_clip(root, monkeypatch):
    first = read(root)
    forbid_reading(monkeypatch)
    second = read(root)
    assert_same(second, first)
    assert second.fingerprint() == first.fingerprint()


def test_what_is_done_to_the_data_does_not_reach_the_cache(root):
    first = read(root)
    read(root).train.inputs.zero_()
    assert_same(read(root), first)


@pytest.mark.parametrize(("length", "seconds_later"), [(1_600, 1), (1_500, 0)], ids=["by its time", "by its length"])
@pytest.mark.parametrize("part", CLIPS)
def test_a_changed_clip_is_read_again(root, part, length, seconds_later):
    before = read(root)
    file = root / "speech_commands_v0.01" / CLIPS[part][0]
    old = file.stat()
    write_clip(file, noise("changed", length))
    time = old.st_mtime_ns + seconds_later * 10**9
    os.utime(file, ns=(time, time))
    assert (file.stat().st_size == old.st_size) == (length == 1_600)
    after = read(root)
    np.testing.assert_allclose(getattr(after, part).inputs[0, 0], reference(noise("changed", length)), atol=2e-4)
    torch.testing.assert_close(getattr(after, part).inputs[1:], getattr(before, part).inputs[1:])
    assert after.fingerprint() != before.fingerprint()


def test_changed_lists_are_noticed(root):
    read(root)
    (root / "speech_commands_v0.01/validation_list.txt").write_text("yes/3.wav\n")
    data = read(root)
    assert held_by(data.validation) == digests(["yes/3.wav"])
    assert held_by(data.train) == digests(["go/1.wav", "no/1.wav", "no/2.wav", "no/4.wav", "yes/1.wav"])


def test_features_of_another_version_are_computed_again(root, monkeypatch):
    read(root)
    monkeypatch.setattr(features, "VERSION", features.VERSION + 1)
    forbid_reading(monkeypatch)
    with pytest.raises(AssertionError, match="read again"):
        read(root)


def test_a_damaged_cache_is_made_anew(root, monkeypatch):
    first = read(root)
    (cache,) = (root / ".mixup-cache").iterdir()
    cache.write_bytes(cache.read_bytes()[:-7])
    assert_same(read(root), first)
    forbid_reading(monkeypatch)
    assert_same(read(root), first)


def test_a_cache_that_cannot_be_kept_costs_only_time(root, capsys):
    (root / ".mixup-cache").write_text("a file where the folder should be")
    assert held_by(read(root).train) == digests(CLIPS["train"])
    assert f"cannot be kept in {root}/.mixup-cache" in capsys.readouterr().out


def test_fingerprint_is_of_the_recording_and_not_of_the_machine_that_transforms_it(root, monkeypatch):
    first = read(root)
    exact = features.normalised_spectrogram
    monkeypatch.setattr(features, "normalised_spectrogram", lambda samples: exact(samples) * (1 + 1e-6))
    write_release(root / "elsewhere/speech_commands_v0.01")
    second = read(root / "elsewhere")
    assert not torch.equal(second.train.inputs, first.train.inputs)
    assert second.fingerprint() == first.fingerprint()


def test_fingerprint_sees_which_word_a_clip_is_of(root):
    before = read(root).fingerprint()
    folder = root / "speech_commands_v0.01"
    (folder / "no/1.wav").rename(folder / "go/7.wav")  # in the same place of the same split
    after = read(root)
    assert held_by(after.train) == digests(CLIPS["train"])
    assert after.fingerprint() != before


# The archive


def pack(root: Path, monkeypatch, name: str = V1) -> Path:
    """The release packed as Google packs it, without a folder of its own, and its checksum expected."""
    release = root / "packed"
    write_release(release)
    archive = root / f"{SPEECH[name].folders[0]}.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(release, ".")
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setitem(SPEECH, name, replace(SPEECH[name], sha256=sha256))
    return archive


def contents(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("name", [V1, V2])
def test_archive_is_unpacked_where_it_lies_without_the_network(tmp_path, monkeypatch, requests, capsys, name):
    archive = pack(tmp_path, monkeypatch, name)
    data = read(tmp_path, name)
    assert held_by(data.train) == digests(CLIPS["train"])
    assert f"unpacking {archive}, once" in capsys.readouterr().out
    folder = SPEECH[name].folders[0]
    assert contents(tmp_path) == sorted([".mixup-cache", "packed", folder, f"{folder}.tar.gz"])
    assert (tmp_path / folder).stat().st_mode == (tmp_path / "packed").stat().st_mode
    archive.unlink()
    assert_same(read(tmp_path, name), data)
    assert requests == []


@pytest.mark.parametrize("download", [False, True])
def test_archive_with_another_checksum_is_refused(tmp_path, monkeypatch, requests, download):
    archive = pack(tmp_path, monkeypatch)
    good = hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.write_bytes(archive.read_bytes()[:-10])
    message = failure(tmp_path, download=download)
    bad = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert f"{archive} is damaged, incomplete or not Speech Commands v0.01: its SHA-256 is {bad}, not {good}" in message
    assert f"curl -L -o {archive} http://download.tensorflow.org/data/speech_commands_v0.01.tar.gz" in message
    assert contents(tmp_path) == ["packed", archive.name]
    assert requests == []


def test_checksums_and_addresses_are_googles():
    one, two = SPEECH[V1], SPEECH[V2]
    assert (one.sha256[:8], two.sha256[:8]) == ("74393542", "af14739e")
    assert all(len(bytes.fromhex(release.sha256)) == 32 for release in (one, two))
    assert one.url == "http://download.tensorflow.org/data/speech_commands_v0.01.tar.gz"
    assert two.url == "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz"


def test_unpacking_that_fails_leaves_nothing(tmp_path, monkeypatch):
    archive = pack(tmp_path, monkeypatch)

    def fill_the_disk(self, path, **kwargs):
        Path(path, "yes").mkdir(parents=True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "extractall", fill_the_disk)
    message = failure(tmp_path)
    assert f"{archive} cannot be unpacked in {tmp_path} ([Errno 28] No space left on device)" in message
    assert contents(tmp_path) == ["packed", archive.name]


def test_unpacking_that_is_killed_leaves_no_folder_to_be_taken_for_the_whole(tmp_path, monkeypatch):
    archive = pack(tmp_path, monkeypatch)
    program = """
import os, signal, sys, tarfile
from pathlib import Path
from mixup.data.sources import speech

extract = tarfile.TarFile._extract_one
def extract_three(self, *args, count=[0], **kwargs):
    count[0] += 1
    if count[0] == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    extract(self, *args, **kwargs)
tarfile.TarFile._extract_one = extract_three
speech.unpack(Path(sys.argv[1]), Path(sys.argv[2]))
"""
    folder = tmp_path / "speech_commands_v0.01"
    killed = subprocess.run(
        [sys.executable, "-c", program, archive, folder], cwd=Path(__file__).resolve().parents[3], timeout=120
    )
    assert killed.returncode == -signal.SIGKILL
    assert not folder.exists()
    assert held_by(read(tmp_path).train) == digests(CLIPS["train"])


def test_unpacking_beside_a_faster_process_takes_the_others_folder(tmp_path, monkeypatch):
    pack(tmp_path, monkeypatch)
    extract = tarfile.TarFile.extractall

    def extract_twice(self, path, **kwargs):
        extract(self, path, **kwargs)
        write_release(tmp_path / "speech_commands_v0.01")

    monkeypatch.setattr(tarfile.TarFile, "extractall", extract_twice)
    assert held_by(read(tmp_path).train) == digests(CLIPS["train"])
    assert not list(tmp_path.glob("*partial*"))


# Nothing there


def assert_lists_the_ways_out(message: str, root: Path, name: str) -> None:
    version = {V1: "v0.01", V2: "v0.02"}[name]
    command = next(line for line in message.splitlines() if "curl" in line)
    archive, address = str(root / f"speech_commands_{version}.tar.gz"), "http://download.tensorflow.org/data"
    assert shlex.split(command)[:5] == ["curl", "-L", "-o", archive, f"{address}/speech_commands_{version}.tar.gz"]
    for part in (
        f"no Speech Commands {version} in {root}",
        f"{root}/speech_commands_{version}/<word>/*.wav",
        "validation_list.txt and testing_list.txt",
        "data.download=true",
        "MIXUP_DATA=",
        "data.root=",
        "data=digits",
    ):
        assert part in message


@pytest.mark.parametrize("name", [V1, V2])
@pytest.mark.parametrize("below", [".", "a b"], ids=["folder", "absent folder with a space"])
def test_nothing_there_and_download_off_tells_the_ways_out(tmp_path, requests, name, below):
    message = failure(tmp_path / below, name)
    assert_lists_the_ways_out(message, tmp_path / below, name)
    assert "data.download is false" in message
    assert requests == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "size"), [(V1, "1.4 GB"), (V2, "2.3 GB")])
def test_nothing_there_and_no_network_tells_the_ways_out(tmp_path, requests, capsys, name, size):
    message = failure(tmp_path, name, download=True)
    assert_lists_the_ways_out(message, tmp_path, name)
    assert "cannot be downloaded (no route to host)" in message
    assert requests == [SPEECH[name].url]
    assert f"downloading {size}" in capsys.readouterr().out
    assert contents(tmp_path) == []


def test_download_that_hangs_ends_and_the_time_limit_is_put_back(tmp_path, monkeypatch):
    limits = []

    def hang(*args, **kwargs):
        limits.append(socket.getdefaulttimeout())
        raise TimeoutError("timed out")

    monkeypatch.setattr("torch.hub.urlopen", hang)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(1_000)
    try:
        message = failure(tmp_path, download=True)
        after = socket.getdefaulttimeout()
    finally:
        socket.setdefaulttimeout(before)
    assert_lists_the_ways_out(message, tmp_path, V1)
    assert limits
    assert all(0 < limit <= 60 for limit in limits)
    assert after == 1_000


def test_data_root_that_cannot_be_made_is_said(tmp_path):
    root = tmp_path / "root"
    root.write_text("a file where the folder should be")
    assert "File exists" in failure(root, download=True)


def serve(content: bytes, monkeypatch) -> None:
    class Response(io.BytesIO):
        def info(self) -> Message:
            return Message()

    monkeypatch.setattr("torch.hub.urlopen", lambda request: Response(content))


def test_archive_is_downloaded_and_unpacked_where_nothing_is(tmp_path, monkeypatch):
    (tmp_path / "server").mkdir()
    serve(pack(tmp_path / "server", monkeypatch).read_bytes(), monkeypatch)
    root = tmp_path / "new/root"
    assert held_by(read(root, download=True).train) == digests(CLIPS["train"])
    assert contents(root) == [".mixup-cache", "speech_commands_v0.01", "speech_commands_v0.01.tar.gz"]


def test_download_cut_short_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "server").mkdir()
    serve(pack(tmp_path / "server", monkeypatch).read_bytes()[:-10], monkeypatch)
    root = tmp_path / "root"
    message = failure(root, download=True)
    assert_lists_the_ways_out(message, root, V1)
    assert "invalid hash value" in message
    assert contents(root) == []


# The recipe


@pytest.mark.parametrize("data", [V1, V2])
@pytest.mark.parametrize(("model", "name"), [("lenet", "speech_lenet"), ("vgg11", "vgg11")])
def test_the_recipe_is_the_papers(data, model, name):
    """Section 3.3; PAPER.md 2.4."""
    config = configuration([f"data={data}", f"model={model}"])
    optim, trainer, mixup = config.optim, config.trainer, config.mixup
    assert (config.data.name, config.model.name) == (data, name)
    assert (optim.name, optim.lr, optim.weight_decay) == ("adam", 3e-3, 0.0)
    assert (optim.milestones, optim.decay) == ([10, 20], 0.1)
    assert (trainer.epochs, trainer.batch_size) == (30, 100)
    assert (mixup.alpha, mixup.warmup_epochs) == (0.1, 5)


# The real thing


@pytest.fixture
def real(tmp_path) -> Callable[[str], Path]:
    """A data root of the test's own, so that no cache is left in the real one."""

    def link(folder: str) -> Path:
        source = Path(os.environ.get("MIXUP_DATA") or "/nowhere") / folder
        if not source.is_dir():
            pytest.skip(f"needs real Speech Commands: set MIXUP_DATA to a folder with {folder}/ in it")
        (tmp_path / folder).symlink_to(source.resolve())
        return tmp_path

    return link


def assert_normalised(split: Split | None) -> None:
    assert split is not None
    assert isinstance(split.inputs, torch.Tensor)
    deviation, mean = torch.std_mean(split.inputs, dim=(1, 2, 3))
    torch.testing.assert_close(mean, torch.zeros(len(split)), atol=1e-4, rtol=0)
    torch.testing.assert_close(deviation, torch.ones(len(split)), atol=1e-4, rtol=0)


def test_real_version_one(real):
    """Ten clips of each of the thirty words, beside the full lists."""
    data = read(real("speech_commands_v0.01"), V1)
    assert data.provenance == "Speech Commands v0.01 (205 of 51,088 training clips)"
    assert len(data.classes) == DATASETS[V1].num_classes == 30
    counts = [len(split) for split in (data.train, data.validation, data.test) if split is not None]
    if sum(counts) == 64_721:
        assert counts == [DATASETS[V1].train_count, DATASETS[V1].validation_count, DATASETS[V1].test_count]
        assert data.absent == {}
    else:
        assert counts == [205, 44, 51]
        assert data.absent == {"validation": 6_798 - 44, "test": 6_835 - 51}
        every = torch.cat([data.train.labels, data.validation.labels, data.test.labels])
        assert every.bincount().tolist() == [10] * 30
    for split in (data.train, data.validation, data.test):
        assert_normalised(split)


def test_real_version_two(real):
    data = read(real("speech_commands"), V2)
    assert data.provenance == "Speech Commands v0.02 (10 of 35 words)"
    assert " ".join(data.classes) == "down go left no off on right stop up yes"
    assert [len(split) for split in (data.train, data.validation, data.test)] == [1_568, 348, 549]
    assert data.absent == {}
    for split in (data.train, data.validation, data.test):
        assert_normalised(split)
