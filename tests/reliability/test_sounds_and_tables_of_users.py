"""Sounds and tables as users have them: read as docs/data.md says, or refused by name with a remedy."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from mixup.data import Dataset
from mixup.data.sources.speech import speech_data
from mixup.data.sources.tables import table_data
from mixup.errors import UserError

RATE = 16_000
WAVE = (16_000 * np.sin(np.arange(1_600) / 3)).astype(np.int16)


def write_clips(root: Path, content: Callable[[io.BytesIO], None] | bytes) -> Path:
    folder, usual = root / "speech_commands_v0.01", io.BytesIO()
    soundfile.write(usual, WAVE, RATE, format="WAV", subtype="PCM_16")
    for word in ("no", "yes"):
        (folder / word).mkdir(parents=True)
        for number in range(3):
            (folder / word / f"{number}.wav").write_bytes(usual.getvalue())
    for number, part in enumerate(("validation", "testing")):
        (folder / f"{part}_list.txt").write_text(f"no/{number}.wav\nyes/{number}.wav\n")
    stream = io.BytesIO(content if isinstance(content, bytes) else b"")
    if not isinstance(content, bytes):
        content(stream)
    (folder / "no/2.wav").write_bytes(stream.getvalue())
    return folder


def clips(root: Path) -> Dataset:
    return speech_data("speech_commands", root=root, download=False, device=torch.device("cpu"))


def sound(subtype: str, *, rate: int = RATE, wave: np.ndarray = WAVE, kind: str = "WAV") -> Callable[[io.BytesIO], None]:
    samples = wave / 2**15 if subtype in ("FLOAT", "DOUBLE") else wave
    return lambda stream: soundfile.write(stream, samples, rate, format=kind, subtype=subtype)


def streamed_wav() -> bytes:
    """As ffmpeg writes to a pipe: the lengths are not known when the header is written."""
    stream = io.BytesIO()
    sound("PCM_16")(stream)
    content = bytearray(stream.getvalue())
    content[4:8] = content[40:44] = b"\xff" * 4
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "difference"),
    [
        (sound("PCM_U8"), 0.2),
        (sound("PCM_24"), 0),
        (sound("PCM_32"), 0),
        (sound("FLOAT"), 0),
        (sound("DOUBLE"), 0),
        (sound("PCM_16", kind="WAVEX"), 0),
        (sound("PCM_24", kind="WAVEX"), 0),
        (sound("ULAW"), 0.5),
        (sound("PCM_16", kind="RF64"), 0),
        (sound("PCM_16", kind="FLAC"), 0),
        (streamed_wav(), 0),
    ],
    ids=["8", "24", "32", "float", "double", "extensible 16", "extensible 24", "u-law", "RF64", "FLAC", "piped"],
)
def test_a_clip_of_any_kind_is_the_reference(tmp_path, content, difference):
    write_clips(tmp_path, content)
    data = clips(tmp_path)
    of_no, of_yes = data.train.inputs[:, 0]
    assert float((of_no - of_yes).abs().mean()) <= difference
    if not difference:
        assert torch.equal(data.train.identity[0], data.train.identity[1])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (sound("PCM_16", wave=np.stack([WAVE, WAVE], 1)), "has 2 channels"),
        (sound("PCM_16", rate=8_000), "has 8,000 samples a second"),
        (sound("PCM_16", rate=44_100), "has 44,100 samples a second"),
        (sound("PCM_16", wave=WAVE[:0]), "holds no samples"),
        (b"", "cannot be read as a clip"),
        (b"this is text", "cannot be read as a clip"),
    ],
    ids=["stereo", "8 kHz", "44.1 kHz", "no samples", "no bytes", "text"],
)
def test_a_clip_that_cannot_be_used_is_named_with_the_reason(tmp_path, content, said):
    write_clips(tmp_path, content)
    with pytest.raises(UserError, match=rf"no/2\.wav {said}.*; expected a WAV file of one channel .*: restore or remove it"):
        clips(tmp_path)


def test_a_word_of_one_clip_and_folders_that_are_no_words(tmp_path):
    folder = write_clips(tmp_path, sound("PCM_16"))
    (folder / "loop").symlink_to(folder / "loop")
    for name in ("__MACOSX", "_background_noise_", ".git", "größe 1"):
        (folder / name).mkdir()
        (folder / name / "5.wav").write_bytes((folder / "no/0.wav").read_bytes())
    assert clips(tmp_path).classes == ("größe 1", "no", "yes")


# Tables

LINES = ["f0,f1,class", *(f"{number}.5,{number % 7},{'ant' if number % 2 else 'bee'}" for number in range(40))]
PLAIN = "\n".join(LINES) + "\n"


def table(root: Path, content: str | bytes, name: str = "htru2") -> Dataset:
    (root / "uci").mkdir(exist_ok=True)
    (root / f"uci/{name}.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return table_data(name, root=root, download=False, split=np.random.default_rng(0))


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.rstrip("\n"),
        "\n\n" + PLAIN.replace("\n", "\n\n"),
        "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in LINES),
        PLAIN.replace(",", " , "),
        PLAIN.replace("f1", "f0"),
        PLAIN.replace("f1", "größe, in cm".replace(",", "")),
        PLAIN.replace("class", "CLASS"),
    ],
    ids=["BOM", "CRLF", "no last line end", "empty lines", "quotes", "spaces", "equal names", "other letters", "CLASS"],
)
def test_a_table_however_it_is_written_is_the_same(tmp_path, content):
    assert table(tmp_path, content).fingerprint() == table(tmp_path, PLAIN).fingerprint()


def test_missing_values_and_a_class_of_one_example(tmp_path):
    lines = [LINES[0], *(line.replace(".5,3,", ".5,?,").replace(".5,4,", ".5,,") for line in LINES[1:]), "3,3,cat"]
    data = table(tmp_path, "\n".join(lines), "abalone")
    assert data.classes == ("ant", "bee", "cat")
    assert 2 in data.train.labels
    assert all(split.inputs.isfinite().all() for split in data.splits.values())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "does not begin with the names of its columns"),
        ("\n \n", "does not begin with the names of its columns"),
        (PLAIN.replace(",", ";"), "separated by commas"),
        (PLAIN.replace(",", "\t"), "separated by commas"),
        ("\n".join(LINES[1:]), "does not begin with the names of its columns"),
        (PLAIN.replace("f0", "class"), "does not begin with the names of its columns"),
        (PLAIN.replace("3.5,3,", "3.5,3,9,"), "line 5: expected 3 values"),
        (PLAIN.replace("3.5,3,", "3.5,"), "line 5: expected 3 values"),
        (PLAIN.replace("3.5,3,ant", "3.5,3,"), "line 5: expected 3 values, one of them the class"),
        (PLAIN.replace("3.5,3,", '"3.5,3,'), "expected 3 values"),
        (PLAIN.replace("3.5,3,", "3.5,NA,"), "'NA' among numbers; . or nothing stands for a missing one"),
        (PLAIN.replace("3.5,", "3\0.5,"), "holds NUL bytes"),
        (PLAIN.encode("utf-16"), "save it as UTF-8"),
        (PLAIN.encode("utf-16-le"), "holds NUL bytes, as UTF-16 does: save it as UTF-8"),
        (PLAIN.replace("f1", "größe").encode("latin-1"), "save it as UTF-8"),
        (PLAIN.replace("bee", "ant"), "40 rows of 1 classes"),
        (LINES[0], "0 rows of 0 classes"),
        (b"PK\3\4" + bytes(range(256)), "save it as UTF-8"),
    ],
    ids=[
        *("empty", "blank", "semicolons", "tabs", "no header", "two classes", "long row", "short row", "no label"),
        *(
            "open quote",
            "NA",
            "NUL",
            "UTF-16",
            "UTF-16, no mark",
            "Latin-1",
            "one class",
            "header alone",
            "a zip file",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_named_with_the_reason(tmp_path, content, said):
    with pytest.raises(UserError, match=rf"(?s){said}") as caught:
        table(tmp_path, content)
    assert str(tmp_path / "uci") in str(caught.value)
