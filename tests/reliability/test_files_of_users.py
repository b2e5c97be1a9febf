"""Pictures and folders as users have them: read as docs/data.md says, in every way in, or refused by name."""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mixup.data import DATASETS, serve
from mixup.data.sources.cifar import cifar_data
from mixup.data.sources.imagenet import imagenet_data
from mixup.errors import UserError

SIZE = 64
rng = np.random.default_rng(0)
SMALL = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
PICTURE = SMALL.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
COLOURS = np.asarray(PICTURE)
GREY = np.asarray(PICTURE.convert("L"))


def encoded(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, kind, **options)
    return stream.getvalue()


def write_root(root: Path, name: str, content: bytes) -> Path:
    """A root of two classes of one image each, of which the one in train/cat is called `name` and holds `content`."""
    for part in ("train", "val"):
        for label in ("cat", "dog"):
            (root / "tiny_imagenet" / part / label).mkdir(parents=True)
            (root / "tiny_imagenet" / part / label / "other.png").write_bytes(encoded(PICTURE, "PNG"))
    (root / "tiny_imagenet/train/cat/other.png").unlink()
    (root / "tiny_imagenet/train/cat" / name).write_bytes(content)
    return root / "tiny_imagenet"


def shards_in_place_of(folder: Path) -> None:
    for part in ("train", "val"):
        with tarfile.open(folder / part / "0.tar", "w") as tar:
            for label, name in enumerate(("cat", "dog")):
                (file,) = (folder / part / name).iterdir()
                for ending, content in ((file.suffix, file.read_bytes()), (".cls", str(label).encode())):
                    info = tarfile.TarInfo(f"{name}/{file.stem}{ending}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
                file.unlink()
                file.parent.rmdir()


def read(folder: Path, way: str) -> np.ndarray:
    """The picture of train/cat, (64, 64, 3) uint8."""
    root = folder.parent
    if way == "shards":
        shards_in_place_of(folder)
    if way == "cifar":
        folder.rename(root / "cifar10")
        info = replace(DATASETS["cifar10"], num_classes=2, input_shape=(3, SIZE, SIZE))
        return cifar_data("cifar10", info, root=root, download=False).train.inputs[0].numpy()
    data = imagenet_data("tiny_imagenet", root=root, resident={"resident": True, "streamed": False}.get(way))
    if way == "resident":
        return data.train.inputs[0].numpy()
    served = serve(data.train, data.info, device=torch.device("cpu"))
    ((_, images),) = served.in_order([slice(0, 1)])
    std, mean = (torch.tensor(values).view(3, 1, 1) for values in (data.info.std, data.info.mean))
    return (255 * (images[0] * std + mean)).round().to(torch.uint8).permute(1, 2, 0).numpy()


ways = pytest.mark.parametrize("way", ["resident", "streamed", "cifar", "shards"])
turned = Image.Exif()
turned[274] = 6  # to be turned by a quarter
sixteen = np.stack([GREY.astype(np.uint16) * 257] * 3, 2)


def png_of_16_bit_colours() -> bytes:
    """Pillow cannot write them."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", SIZE, SIZE, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in sixteen)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pgm_of_16_bits() -> bytes:
    return b"P5 64 64 65535\n" + (GREY.astype(">u2") * 257).tobytes()


def grey3(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[:, :, None], 3, 2)


frames = {"save_all": True, "append_images": [Image.new("RGB", (SIZE, SIZE))]}
READ: dict[str, tuple[str, bytes, np.ndarray, int]] = {  # name of the file, content, pixels, largest difference of one
    "grey": ("a.png", encoded(GREY, "PNG"), grey3(GREY), 0),
    "1 bit": ("a.png", encoded(PICTURE.convert("1"), "PNG"), np.asarray(PICTURE.convert("1").convert("RGB")), 0),
    "16-bit grey": ("a.png", encoded(GREY.astype(np.uint16) * 257, "PNG"), grey3(GREY), 0),
    "16-bit grey TIFF": ("a.tif", encoded(GREY.astype(np.uint16) * 257, "TIFF"), grey3(GREY), 0),
    "16-bit grey PGM": ("a.pgm", pgm_of_16_bits(), grey3(GREY), 0),
    "16-bit colours": ("a.png", png_of_16_bit_colours(), grey3(GREY), 0),
    "palette": ("a.png", encoded(PICTURE.quantize(8), "PNG"), np.asarray(PICTURE.quantize(8).convert("RGB")), 0),
    "opaque alpha": ("a.png", encoded(PICTURE.convert("RGBA"), "PNG"), COLOURS, 0),
    "CMYK": ("a.jpg", encoded(PICTURE.convert("CMYK"), "JPEG", quality=98), COLOURS, 24),
    "progressive": ("a.jpg", encoded(PICTURE, "JPEG", quality=98, progressive=True), COLOURS, 24),
    "EXIF rotation": ("a.jpg", encoded(PICTURE, "JPEG", quality=98, exif=turned), COLOURS, 24),
    "animated WebP": ("a.webp", encoded(PICTURE, "WEBP", lossless=True, **frames), COLOURS, 0),
    "animated PNG": ("a.png", encoded(PICTURE, "PNG", **frames), COLOURS, 0),
    "TIFF of two pages": ("a.tiff", encoded(PICTURE, "TIFF", **frames), COLOURS, 0),
    "GIF called PNG": ("a.png", encoded(PICTURE.quantize(8), "GIF"), np.asarray(PICTURE.quantize(8).convert("RGB")), 0),
    "PNG called JPEG": ("a.JPEG", encoded(PICTURE, "PNG"), COLOURS, 0),
    "upper case": ("A.PNG", encoded(PICTURE, "PNG"), COLOURS, 0),
}
for odd in (
    "a b.png",
    "a,b.png",
    "a=b.png",
    "größe 图.png",
    "new\nline.png",
    "-rf.png",
    "%s{}.png",
    "'\".png",
    "\udcff.png",
):
    READ[f"name {odd!r}"] = (odd, encoded(PICTURE, "PNG"), COLOURS, 0)


@ways
@pytest.mark.parametrize("case", READ)
def test_a_picture_is_read_as_it_is_shown(tmp_path, way, case):
    name, content, expected, difference = READ[case]
    if way == "shards" and "." in Path(name).stem:
        pytest.skip("a key of WebDataset has no dot")
    ours = read(write_root(tmp_path, name, content), way)
    assert np.abs(ours.astype(int) - expected).max() <= difference


huge = io.BytesIO()
Image.new("1", (20_000, 10_000)).save(huge, "PNG")
clear = PICTURE.convert("RGBA")
clear.putpixel((3, 3), (0, 0, 0, 0))
REFUSED = {
    "transparent": (encoded(clear, "PNG"), "transparent: put it on a background"),
    "transparent palette": (encoded(PICTURE.quantize(8), "PNG", transparency=0), "transparent: put it on a background"),
    "float": (encoded(GREY.astype(np.float32), "TIFF"), "mode F, whose range is not known"),
    "32 bits": (encoded(GREY.astype(np.int32), "TIFF"), "mode I, whose range is not known"),
    "zero bytes": (b"", "cannot be read as an image"),
    "text": (b"not an image", "cannot be read as an image"),
    "truncated JPEG": (encoded(PICTURE, "JPEG")[:-200], "truncated"),
    "truncated PNG": (encoded(PICTURE, "PNG")[:-200], "cannot be read as an image"),
    "too large": (huge.getvalue(), "decompression bomb"),
    "a page": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n(%pipe%touch x) run\n", "cannot be read"),
}


@ways
@pytest.mark.parametrize("case", REFUSED)
def test_a_picture_that_cannot_be_used_is_named_with_the_reason(tmp_path, way, case):
    content, why = REFUSED[case]
    folder = write_root(tmp_path, "bad one.png", content)
    with pytest.raises(UserError) as caught:
        read(folder, way)
    message = str(caught.value)
    assert "cat/bad one.png" in message
    assert why in message
    assert "restore" in message


def test_twelve_bits_are_not_taken_for_sixteen(tmp_path):
    """The brightest would be a sixteenth of white."""
    rows = np.full((SIZE, SIZE // 2), 0xFFFFFF, ">u4").astype(">u4").view(np.uint8).reshape(SIZE, -1, 4)[:, :, 1:].tobytes()
    tags = {256: SIZE, 257: SIZE, 258: 12, 259: 1, 262: 1, 273: 8 + 2 + 8 * 12 + 4, 277: 1, 279: len(rows)}
    entries = b"".join(
        tag.to_bytes(2, "little") + b"\4\0" + b"\1\0\0\0" + value.to_bytes(4, "little") for tag, value in tags.items()
    )
    content = b"II*\0\x08\0\0\0" + len(tags).to_bytes(2, "little") + entries + bytes(4) + rows
    with pytest.raises(UserError, match="12 bits"):
        read(write_root(tmp_path, "a.tif", content), "resident")


# Folders


def change(folder: Path, case: str) -> None:
    """Makes train/cat another one, which holds the same picture."""
    cat = folder / "train/cat"
    if case == "linked class":
        cat.rename(folder.parent / "elsewhere")
        cat.symlink_to(folder.parent / "elsewhere")
    elif case == "linked file":
        (cat / "a.png").rename(folder.parent / "b.png")
        (cat / "a.png").symlink_to(folder.parent / "b.png")
    elif case == "linked root":
        folder.rename(folder.parent / "elsewhere")
        folder.symlink_to(folder.parent / "elsewhere")
    elif case == "system files":
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._a.png"):
            (cat / name).write_bytes(b"\0")
            (folder / "train" / name).write_bytes(b"\0")
        for name in ("__MACOSX", ".hidden", "@eaDir"):
            (folder / "train" / name).mkdir()
            (folder / "train" / name / "._a.png").write_bytes(b"\0")
    elif case == "nested":
        (cat / "more").mkdir()
        (cat / "more/b.png").write_bytes(b"\0")
    elif case == "circle beside the classes":
        (folder / "train/loop").symlink_to(folder / "train/loop")
        (folder / "train/nowhere").symlink_to(folder / "none")
    elif case == "circle inside a class":
        (cat / "up").symlink_to(folder)


@pytest.mark.parametrize("way", ["resident", "streamed", "cifar"])
@pytest.mark.parametrize(
    ("case", "left_out"),
    [
        ("linked class", {}),
        ("linked file", {}),
        ("linked root", {}),
        ("system files", {"hidden": 7, ".db": 2, ".ini": 2}),
        ("nested", {"folder": 1}),
        ("circle beside the classes", {"no ending": 2}),
        ("circle inside a class", {"folder": 1}),
    ],
)
def test_links_and_what_lies_beside_pictures(tmp_path, way, case, left_out):
    folder = write_root(tmp_path / "root", "a.png", encoded(PICTURE, "PNG"))
    change(folder, case)
    assert imagenet_data("tiny_imagenet", root=tmp_path / "root", resident=None).left_out == left_out
    np.testing.assert_array_equal(read(folder, way), COLOURS)


def empty(folder: Path) -> None:
    (folder / "train/cat/a.png").unlink()


def break_link(folder: Path) -> None:
    empty(folder)
    (folder / "train/cat/a.png").symlink_to(folder / "none.png")


def make_folder(folder: Path) -> None:
    empty(folder)
    (folder / "train/cat/a.png").mkdir()


@pytest.mark.parametrize("way", ["resident", "streamed", "cifar"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (empty, "train/cat holds no images: restore them, or remove that class"),
        (make_folder, "train/cat holds no images: restore them, or remove that class"),
        (break_link, "train/cat/a.png cannot be read"),
        (lambda folder: (folder / "train/bird").mkdir(), "different classes: bird in one alone"),
    ],
    ids=["empty class", "folder called .png", "broken link", "empty class in one part"],
)
def test_folders_that_cannot_be_used_are_named(tmp_path, way, spoil, said):
    folder = write_root(tmp_path, "a.png", encoded(PICTURE, "PNG"))
    spoil(folder)
    with pytest.raises(UserError, match=said):
        read(folder, way)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["train/cat/a.png", "train/cat", "train"])
def test_what_may_not_be_read_is_named(tmp_path, name):
    folder = write_root(tmp_path, "a.png", encoded(PICTURE, "PNG"))
    (folder / name).chmod(0)
    try:
        with pytest.raises(UserError, match=rf"{name}.* cannot be"):
            read(folder, "resident")
    finally:
        (folder / name).chmod(0o755)


def test_names_of_every_kind_are_all_trained_on(tmp_path):
    folder = write_root(tmp_path, "a.png", encoded(PICTURE, "PNG"))
    for part in ("train", "val"):
        for label in ("a b", "a,b", "a=b", "größe", "two\nlines", "\udcff"):
            (folder / part / label).mkdir()
            (folder / part / label / "a.png").write_bytes(encoded(PICTURE, "PNG"))
    data = imagenet_data("tiny_imagenet", root=tmp_path, resident=None)
    assert (len(data.train), len(data.test), len(data.classes)) == (8, 8, 8)


@pytest.mark.parametrize("content", ["a.png cat\n", "a.png\t\n", "\tcat\nx"])
def test_annotations_that_are_none_are_named_by_line(tmp_path, content):
    folder = write_root(tmp_path, "a.png", encoded(PICTURE, "PNG"))
    (folder / "val/images").mkdir()
    (folder / "val/val_annotations.txt").write_text(content)
    with pytest.raises(UserError, match=r"val_annotations\.txt, line [12]: expected a file, a tab and its class"):
        read(folder, "resident")


def test_annotations_left_beside_class_folders_do_not_hide_them(tmp_path):
    folder = write_root(tmp_path, "a.png", encoded(PICTURE, "PNG"))
    (folder / "val/val_annotations.txt").write_text("val_0.JPEG\tcat\n")
    assert imagenet_data("tiny_imagenet", root=tmp_path, resident=None).left_out == {".txt": 1}


def test_images_that_the_annotations_do_not_name_are_counted(tmp_path):
    folder = write_root(tmp_path, "a.png", encoded(PICTURE, "PNG"))
    (folder / "val/images").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        (folder / "val/images" / name).write_bytes(encoded(PICTURE, "PNG"))
    (folder / "val/val_annotations.txt").write_text("a.png\tcat\nb.png\tdog\n")
    data = imagenet_data("tiny_imagenet", root=tmp_path, resident=None)
    assert (len(data.test), data.left_out) == (2, {".png": 1})
