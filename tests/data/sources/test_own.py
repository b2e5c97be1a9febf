"""Images and tables of the user's: what is read, divided and measured of them, and which mistakes are refused, and how."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mixup.data import Dataset, StreamedImages, serve
from mixup.errors import UserError
from mixup.plan import draw_plan
from mixup.run.compose import configuration
from mixup.run.config import DataConfig
from mixup.run.identity import config_hash
from mixup.training.setup import load, plan_settings

CPU = torch.device("cpu")
CLASSES = ("cat", "dog", "owl")


@pytest.fixture(autouse=True)
def usual_root(tmp_path, monkeypatch):
    """Where arrays are kept that are computed once."""
    monkeypatch.setenv("MIXUP_DATA", str(tmp_path / "cache"))


def draw(folder: Path, counts: dict[str, int], *, size: tuple[int, int] = (6, 6), seed: int = 0) -> Path:
    """PNG images of noise, `folder/<class>/<number>.png`. size: height and width."""
    rng = np.random.default_rng(seed)
    for number, (label, count) in enumerate(counts.items()):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            pixels = rng.integers(0, 100 + 50 * number, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{index}.png")
    return folder


def opened(folder: Path, **settings: object) -> Dataset:
    return load(DataConfig(name="folder", root=str(folder), **{"train_share": 0.8, **settings}), CPU)  # type: ignore[arg-type]


def pixels_of(files: list[Path]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(file)) for file in files])


# -- images --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["test", "val"])
def test_folders_are_classes_and_their_parts_are_read_in_order(tmp_path, part):
    draw(tmp_path / "train", {"owl": 3, "cat": 2})
    draw(tmp_path / part, {"owl": 1, "cat": 1}, seed=1)
    data = opened(tmp_path)
    assert data.classes == ("cat", "owl")
    assert data.train.labels.tolist() == [0, 0, 1, 1, 1]
    files = [tmp_path / "train" / name for name in ("cat/0.png", "cat/1.png", "owl/0.png", "owl/1.png", "owl/2.png")]
    assert np.array_equal(data.train.inputs, pixels_of(files))
    assert np.array_equal(data.test.inputs, pixels_of([tmp_path / part / "cat/0.png", tmp_path / part / "owl/0.png"]))
    assert data.info.input_shape == (3, 6, 6)
    assert data.provenance == f"images of the folder {tmp_path.name}"


def test_beside_a_test_set_val_is_the_validation_set(tmp_path):
    for number, part in enumerate(("train", "test", "val")):
        draw(tmp_path / part, {"cat": 1, "dog": number + 1}, seed=number)
    data = opened(tmp_path)
    assert [len(split) for split in data.splits.values()] == [2, 4, 3]
    assert (data.info.validation_count, data.info.test_count) == (4, 3)


@pytest.mark.parametrize("part", ["train", "."])
def test_without_a_test_set_the_same_share_of_each_class_is_held_out(tmp_path, part):
    draw(tmp_path / part, {"cat": 10, "dog": 20, "owl": 5})
    data = opened(tmp_path, resident=False)
    names = {name: set(split.files.names.tolist()) for name, split in data.splits.items()}
    assert not names["train"] & names["test"]
    assert len(names["train"] | names["test"]) == 35
    assert np.bincount(data.train.labels).tolist() == [8, 16, 4]
    assert np.bincount(data.test.labels).tolist() == [2, 4, 1]
    assert data.provenance == f"images of the folder {tmp_path.name} (7 of 35 held out to test)"
    assert opened(tmp_path, resident=False).fingerprint() == data.fingerprint()
    assert opened(tmp_path, resident=False, seed=1).fingerprint() != data.fingerprint()


@pytest.mark.parametrize("resident", [True, False])
def test_mean_and_deviation_are_those_of_numpy_over_the_training_images(tmp_path, resident):
    draw(tmp_path / "train", {"cat": 4, "dog": 3}, size=(6, 8))
    draw(tmp_path / "test", {"cat": 1, "dog": 1}, size=(6, 8))
    data = opened(tmp_path, resident=resident)
    pixels = pixels_of(sorted((tmp_path / "train").rglob("*.png"))) / 255
    assert data.info.mean == pytest.approx(pixels.mean((0, 1, 2)), abs=1e-12)
    assert data.info.std == pytest.approx(pixels.std((0, 1, 2)), abs=1e-12)
    assert data.info.input_shape == (3, 6, 8)
    assert data.measured == {"input_shape": [3, 6, 8], "mean": list(data.info.mean), "std": list(data.info.std)}
    stated = opened(tmp_path, resident=resident, mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    assert (stated.info.mean, stated.info.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_a_constant_channel_does_not_divide_by_zero(tmp_path):
    for label, value in (("cat", 10), ("dog", 10)):
        (tmp_path / "train" / label).mkdir(parents=True)
        for index in range(5):
            Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(tmp_path / "train" / label / f"{index}.png")
    assert opened(tmp_path).info.std == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("augmentation", [{"crop_padding": 2, "flip": True}, {"flip": True}, {}])
def test_a_streamed_epoch_has_the_images_of_a_resident_one(tmp_path, augmentation):
    draw(tmp_path / "small", {"cat": 5, "dog": 5}, size=(7, 9))
    draw(tmp_path / "small", {"owl": 5}, size=(12, 8))
    data = {
        kind: opened(tmp_path / "small", size=6, resident=kind == "resident", **augmentation)
        for kind in ("resident", "streamed")
    }
    infos = [one.info for one in data.values()]
    assert infos[0] == infos[1]
    config = configuration(["data=folder", f"data.root={tmp_path}", "trainer.batch_size=4"])
    plan = draw_plan(plan_settings(config, infos[0], data["resident"].train.labels.numpy()), 3)
    options = {"device": CPU, "padding": infos[0].crop_padding, "channels_last": False}
    resident, streamed = (serve(one.train, one.info, **options) for one in data.values())
    assert isinstance(streamed, StreamedImages)
    shares = [plan.positions(step) for step in range(plan.num_steps)]
    for share, (examples, usable) in zip(shares, streamed.load(plan, shares), strict=True):
        assert usable is None
        for rows, images in zip((torch.arange(share.start, share.stop), plan.partner[share, 0]), examples, strict=True):
            expected = resident.fetch(plan.order[rows], plan.crop[rows], plan.flip[rows])
            assert torch.equal(images, expected)
    whole = [slice(0, len(streamed))]
    assert torch.equal(next(streamed.in_order(whole))[1], next(resident.in_order(whole))[1])


def test_the_fingerprint_of_streamed_images_covers_names_and_lengths(tmp_path):
    draw(tmp_path, {"cat": 5, "dog": 5})
    before = opened(tmp_path, resident=False, mean=[0.5] * 3, std=[0.5] * 3).fingerprint()
    Image.fromarray(np.zeros((6, 6, 3), np.uint8)).save(tmp_path / "cat/0.png")
    assert opened(tmp_path, resident=False, mean=[0.5] * 3, std=[0.5] * 3).fingerprint() != before


def test_nothing_is_written_among_the_images(tmp_path):
    folder = draw(tmp_path / "images", {"cat": 5, "dog": 5})
    (tmp_path / "cache").mkdir()
    before = sorted(folder.rglob("*"))
    for resident in (True, False):
        opened(folder, resident=resident)
    assert sorted(folder.rglob("*")) == before
    assert len(list((tmp_path / "cache/.mixup-cache").iterdir())) == 2, "decoded and measured once"


def spoiled(folder: Path, what: str) -> None:
    """A folder of images with one mistake in it."""
    draw(folder / "train", dict.fromkeys(CLASSES, 3))
    draw(folder / "test", dict.fromkeys(CLASSES, 1))
    if what == "unreadable":
        (folder / "train/dog/1.png").write_bytes(b"no image")
    elif what == "size":
        draw(folder / "train", {"dog": 1}, size=(5, 7))
    elif what == "test alone":
        (folder / "train").rename(folder / "training")
    elif what == "another class":
        draw(folder / "test", {"elk": 1})
    elif what == "empty class":
        for file in (folder / "test/owl").iterdir():
            file.unlink()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("unreadable", r"train/dog/1\.png cannot be read as an image .*: restore or remove it"),
        ("size", r"cat/0\.png is 6x6 and .*dog/0\.png 7x5; state one, as data\.size=64"),
        ("test alone", r"has test/ and no train/: put the training images there"),
        ("another class", r"different classes: elk in one alone; each class needs a folder"),
        ("empty class", r"test/owl holds no images: restore them, or remove that class"),
    ],
)
@pytest.mark.parametrize("resident", [True, False])
def test_a_mistake_in_a_folder_is_named_with_its_remedy(tmp_path, what, message, resident):
    spoiled(tmp_path, what)
    with pytest.raises(UserError, match=message):
        opened(tmp_path, resident=resident)


def test_folders_without_classes_or_images_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"data\.root=.*nowhere: no such folder"):
        opened(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no images: expected"):
        opened(tmp_path)
    draw(tmp_path, {"cat": 4})
    with pytest.raises(UserError, match="has one class, cat: a classifier needs two or more"):
        opened(tmp_path)
    draw(tmp_path, {"dog": 1})
    with pytest.raises(UserError, match=r"data\.train_share=0\.9"):
        opened(tmp_path, train_share=0.9)


# -- a table -------------------------------------------------------------------------------------------------------------


def write_table(folder: Path, rows: int = 40) -> Path:
    """Columns colour, kind, length, price; `kind` holds three classes."""
    rng, file = np.random.default_rng(0), folder / "flowers.csv"
    lines = [
        f"{'red' if row % 2 else 'blue'},k{row % 3},{rng.normal(row % 3):.4f},{rng.uniform():.4f}" for row in range(rows)
    ]
    file.write_text("\n".join(["colour,kind,length,price", *lines]) + "\n")
    return file


def table(file: Path, target: str, **settings: object) -> Dataset:
    return load(DataConfig(name="csv", file=str(file), target=target, **{"train_share": 0.75, **settings}), CPU)  # type: ignore[arg-type]


def test_a_table_is_divided_standardised_and_one_hot(tmp_path):
    data = table(write_table(tmp_path), "kind")
    assert data.classes == ("k0", "k1", "k2")
    assert data.info.input_shape == (4,), "two numbers and two colours"
    assert (len(data.train), len(data.test)) == (30, 10)
    numbers, words = data.train.inputs[:, :2], data.train.inputs[:, 2:]
    assert torch.allclose(numbers.mean(0), torch.zeros(2), atol=1e-6)
    assert torch.allclose(numbers.std(0, correction=0), torch.ones(2), atol=1e-5)
    assert (words.sum(1) == 1).all()
    assert data.provenance == "table flowers.csv, classes of the column kind"
    assert len(table(tmp_path / "flowers.csv", "KIND").test) == 10, "in lower or upper case"


def test_a_relative_file_starts_at_the_root_or_where_the_command_is_run(tmp_path, monkeypatch):
    write_table(tmp_path)
    fingerprint = table(tmp_path / "flowers.csv", "kind").fingerprint()
    assert table(Path("flowers.csv"), "kind", root=str(tmp_path)).fingerprint() == fingerprint
    monkeypatch.chdir(tmp_path)
    assert table(Path("flowers.csv"), "kind").fingerprint() == fingerprint


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("kinds", r"data\.target=kinds: .* has no such column; did you mean 'kind'\?; it has colour, kind, length, price"),
        ("price", r"data\.target=price: 40 different values in 40 rows of .* are no classes; name a column of classes"),
        ("one", r"data\.target=one: .* has 40 rows of 1 classes; a classifier needs two or more"),
    ],
)
def test_a_target_that_is_missing_or_holds_no_classes_is_refused(tmp_path, target, message):
    file = write_table(tmp_path)
    header, *lines = file.read_text().splitlines()
    if target == "one":
        file.write_text("\n".join([f"{header},one", *(f"{line},x" for line in lines)]))
    with pytest.raises(UserError, match=message):
        table(file, target)


def test_a_file_that_is_missing_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"data\.file=.*nothing\.csv: no such file"):
        table(tmp_path / "nothing.csv", "kind")


# -- settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("data=folder", "which folder"),
        ("data=csv data.file=a.csv", "which of its columns"),
        ("data=csv data.target=kind", "which table"),
        ("data=csv data.file=a.csv data.target=b data.resident=false", "always kept in memory"),
        ("data.size=32", "data.size=32: only data=folder has this setting"),
        ("data=cifar10 data.crop_padding=2", "only data=folder"),
        ("data=iris data.target=kind", "only data=csv"),
        ("data=folder data.root=a data.scaling=raw", "data.scaling=raw is of tables"),
        ("data=folder data.root=a data.resized_crop=true", "do not go together"),
        ("data=folder data.root=a data.mean=[0.5,0.5,0.5]", "mean and std together"),
        ("data=folder data.root=a data.mean=[0.5] data.std=[0.5]", "three numbers"),
        ("data=folder data.root=a data.size=1", "4 to 4096 pixels"),
        ("model.path=a:b", "only model=import"),
        ("model=import", "name a module and a function"),
        ("model=import model.path=package.module", "name a module and a function"),
        ("model=import model.path=mine.py:build", "name a module and a function"),
        ("model=import model.path=a/b:build", "name a module and a function"),
    ],
)
def test_settings_of_own_data_are_complete_and_refused_elsewhere(words, message):
    with pytest.raises(UserError, match=message):
        configuration(words.split())


def test_own_data_is_identified_by_the_name_of_its_folder_or_file_wherever_that_lies():
    def digest(*words: str) -> str:
        return config_hash(configuration(words))

    assert digest("data=folder", "data.root=/a/pets") == digest("data=folder", "data.root=/b/pets/")
    assert digest("data=folder", "data.root=/a/pets") != digest("data=folder", "data.root=/a/birds")
    csv = ("data=csv", "data.target=kind", "model=mlp")
    assert digest(*csv, "data.file=/a/x.csv") == digest(*csv, "data.file=x.csv")
    assert digest(*csv, "data.file=/a/x.csv") != digest(*csv, "data.file=/a/y.csv")
