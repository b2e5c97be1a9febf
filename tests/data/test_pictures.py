"""What becomes of pictures that are not 8-bit colours, on both ways in: decoded into memory, and streamed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mixup.data.datasets import DATASETS
from mixup.data.sources.folders import list_images
from mixup.data.sources.storage import files_in
from mixup.data.streaming import Decoder, Task
from mixup.errors import UserError

SIZE = 64


@pytest.fixture
def picture() -> np.ndarray:
    """(64, 64), 0 to 1: a ramp with all grey values, as pictures of any depth can hold it."""
    return np.tile(np.linspace(0, 1, SIZE), (SIZE, 1))


def resident(file) -> np.ndarray:
    return files_in(file.parent, [file.name]).image(0, (SIZE, SIZE))


def streamed(file) -> np.ndarray:
    decoded = Decoder(files_in(file.parent, [file.name]), DATASETS["tiny_imagenet"], [Task(np.array([0]))])[0]
    if decoded.unreadable:
        raise UserError(decoded.unreadable[0])
    return decoded.pixels[0].numpy()


ways = pytest.mark.parametrize("way", [resident, streamed])


@ways
@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_of_grey_are_rounded_to_eight(tmp_path, picture, way, dtype, suffix):
    file = tmp_path / f"a.{suffix}"
    Image.fromarray((65535 * picture).round().astype(dtype)).save(file)
    expected = (255 * picture).round()
    assert np.abs(way(file) - expected[:, :, None]).max() <= 1
    assert (way(file)[:, 0] == 0).all()
    assert (way(file)[:, -1] == 255).all()


@ways
@pytest.mark.parametrize(("dtype", "mode"), [(np.float32, "F"), (np.int32, "I")])
def test_pixels_of_unknown_range_are_refused_by_the_name_of_their_file(tmp_path, picture, way, dtype, mode):
    file = tmp_path / "a.tiff"
    Image.fromarray((200 * picture).astype(dtype)).save(file)
    with pytest.raises(UserError, match=rf"a\.tiff cannot be read as an image .*mode {mode}, whose range is not known"):
        way(file)


@ways
@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_a_picture_in_its_alpha_is_refused_and_an_opaque_one_is_read(tmp_path, picture, way, suffix):
    eight, black = (255 * picture).astype(np.uint8), np.zeros((SIZE, SIZE), np.uint8)
    hidden, opaque = tmp_path / f"hidden.{suffix}", tmp_path / f"opaque.{suffix}"
    Image.fromarray(np.dstack([black, black, black, eight])).save(hidden, lossless=True)
    with pytest.raises(UserError, match=r"hidden\.\w+ cannot be read as an image .*transparent: put it on a background"):
        way(hidden)
    Image.fromarray(np.dstack([eight, eight, eight, np.full_like(eight, 255)])).save(opaque, lossless=True)
    assert (way(opaque) == eight[:, :, None]).all()


@ways
def test_a_palette_with_a_transparent_colour_is_refused(tmp_path, picture, way):
    file = tmp_path / "a.png"
    Image.fromarray((255 * picture).astype(np.uint8)).convert("P").save(file, transparency=0)
    with pytest.raises(UserError, match="transparent"):
        way(file)


def test_every_usual_ending_is_read_and_others_are_counted(tmp_path):
    names = [
        "a.png",
        "b.TIF",
        "c.tiff",
        "d.jfif",
        "e.JPEG",
        "f.pgm",
        "notes.txt",
        "more.txt",
        "g.gif",
        ".hidden.png",
        "._a.png",
    ]
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for name in names:
            (tmp_path / label / name).touch()
    listing, left_out = list_images(tmp_path)
    assert listing["cat"] == [f"cat/{name}" for name in names[:6]]
    assert left_out == {".txt": 4, ".gif": 2, "hidden": 4}
