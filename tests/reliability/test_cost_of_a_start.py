"""What a start asks of the file system: on a network each request is a round trip, and data sets have millions of files."""

from __future__ import annotations

import io
import os
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from mixup.data.sources.imagenet import imagenet_data
from mixup.data.sources.speech import speech_data

FILES, FOLDERS = 2_000, 10


@pytest.fixture
def requests(monkeypatch) -> Counter[str]:
    """Counts calls of stat, and listings."""
    seen = Counter[str]()
    for name in ("stat", "scandir", "listdir"):
        real = getattr(os, name)

        def counted(*arguments, real=real, name=name, **options):
            seen[name] += 1
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, counted)
    return seen


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    root, content = tmp_path_factory.mktemp("images"), io.BytesIO()
    Image.new("RGB", (64, 64)).save(content, "PNG")
    for part, count in (("train", 180), ("val", 20)):
        for label in range(FOLDERS):
            folder = root / "tiny_imagenet" / part / f"n{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.png").write_bytes(content.getvalue())
    return root


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    root, content = tmp_path_factory.mktemp("clips"), io.BytesIO()
    soundfile.write(content, np.zeros(1_600, np.int16), 16_000, format="WAV")
    folder = root / "speech_commands_v0.01"
    for label in range(FOLDERS):
        (folder / f"word{label}").mkdir(parents=True)
        for number in range(FILES // FOLDERS):
            (folder / f"word{label}/{number}.wav").write_bytes(content.getvalue())
    for part, number in (("validation", 0), ("testing", 1)):
        (folder / f"{part}_list.txt").write_text(f"word0/{number}.wav\n")
    return root


@pytest.mark.parametrize(("resident", "stats"), [(True, FILES), (False, 0)])
def test_images_are_listed_once_and_asked_for_once_if_they_are_cached(images, requests, resident, stats):
    imagenet_data("tiny_imagenet", root=images, resident=resident)  # decodes, and makes the cache
    requests.clear()
    assert len(imagenet_data("tiny_imagenet", root=images, resident=resident).train) == FILES * 9 // 10
    assert stats <= requests["stat"] <= stats + 10
    assert requests["scandir"] + requests["listdir"] <= 2 * FOLDERS + 5


def test_clips_are_listed_once_and_asked_for_once(clips, requests):
    speech_data("speech_commands", root=clips, download=False, device=torch.device("cpu"))
    requests.clear()
    speech_data("speech_commands", root=clips, download=False, device=torch.device("cpu"))
    assert FILES <= requests["stat"] <= FILES + 10
    assert requests["scandir"] + requests["listdir"] <= FOLDERS + 1


def test_shards_are_listed_twice_and_asked_for_once(tmp_path, requests):
    for part in ("train", "val"):
        (tmp_path / "imagenet" / part).mkdir(parents=True)
        for number in range(50):
            with tarfile.open(tmp_path / f"imagenet/{part}/{number:03}.tar", "w") as tar:
                for name, content in (("a.png", b"image"), ("a.cls", b"0")):
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    imagenet_data("imagenet", root=tmp_path, resident=None)
    requests.clear()
    imagenet_data("imagenet", root=tmp_path, resident=None)
    assert 100 <= requests["stat"] <= 110
    assert requests["scandir"] + requests["listdir"] <= 3
