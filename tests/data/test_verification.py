"""What the verification of data finds, and what it takes for sound. Each fault lies in a data root made up for it."""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torchvision
from PIL import Image

from mixup.data import DATASETS
from mixup.data.sources.cifar import CIFAR
from mixup.data.sources.speech import SPEECH
from mixup.data.verification import Finding, verify

CLASSES = ("ant", "bee", "cat")
TINY, CIFAR100, V1 = "tiny_imagenet", "cifar100", "speech_commands"


def pixels(seed: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def write_images(root: Path, *, train: int = 2, test: int = 7) -> Path:
    """Tiny ImageNet with three classes, of so many images each; all of them different."""
    folder, seed = root / TINY, 0
    for part, count in (("train", train), ("val", test)):
        for label in CLASSES:
            (folder / part / label).mkdir(parents=True)
            for index in range(count):
                Image.fromarray(pixels(seed := seed + 1)).save(folder / part / label / f"{index}.png")
    return folder


def write_clips(root: Path) -> Path:
    """Speech Commands v0.01 with two words, of three clips each: to train on, of validation, of the test."""
    folder = root / "speech_commands_v0.01"
    for seed, word in enumerate(("no", "yes")):
        (folder / word).mkdir(parents=True)
        for index in range(3):
            samples = np.random.default_rng([seed, index]).integers(-8_000, 8_000, 1_600).astype(np.int16)
            soundfile.write(folder / word / f"{index}.wav", samples, 16_000, subtype="PCM_16")
    (folder / "validation_list.txt").write_text("no/1.wav\nyes/1.wav\n")
    (folder / "testing_list.txt").write_text("no/2.wav\nyes/2.wav\n")
    return folder


def only(lines: list[str]) -> str:
    (line,) = lines
    return line


def contents(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in root.rglob("*")}


# Images in folders


def test_sound_folder_is_counted_and_read(tmp_path):
    write_images(tmp_path)
    assert verify(TINY, tmp_path, quick=False) == Finding(
        TINY,
        layout="folders",
        counts={"train": 6, "test": 21},
        classes=3,
        balance=(2, 2),
        unreadable=0,
        duplicates={"train": 0, "test": 0},
    )


def test_quick_reads_no_image(tmp_path):
    folder = write_images(tmp_path)
    (folder / "train/bee/0.png").write_bytes(b"")
    finding = verify(TINY, tmp_path, quick=True)
    assert finding.counts == {"train": 6, "test": 21}
    assert (finding.unreadable, finding.duplicates, finding.problems) == (None, None, [])


def test_damaged_and_odd_images_are_named_and_the_others_compared(tmp_path):
    folder = write_images(tmp_path)
    cut, odd = folder / "train/bee/0.png", folder / "val/cat/3.png"
    cut.write_bytes(cut.read_bytes()[:500])
    Image.fromarray(pixels(99, size=32)).save(odd)
    Image.fromarray(pixels(1)).save(folder / "train/cat/copy.png")
    finding = verify(TINY, tmp_path, quick=False)
    assert finding.unreadable == 2
    told = only(finding.problems).splitlines()
    assert told[0] == "2 of 28 files cannot be used:"
    assert str(cut) in told[1]
    assert f"{odd} is 32x32, not 64x64" in told[2]
    assert finding.duplicates == {"train": 1, "test": 0}
    assert only(finding.remarks).endswith(f"{TINY}/train/cat/copy.png = {TINY}/train/ant/0.png")


def test_ten_of_many_damaged_images_are_named(tmp_path):
    folder = write_images(tmp_path, test=4)
    for file in folder.glob("val/*/*.png"):
        file.write_bytes(b"no image")
    told = only(verify(TINY, tmp_path, quick=False).problems)
    assert told.startswith("12 of 18 files")
    assert told.count(".png") == 10
    assert told.endswith("and 2 more")


def test_duplicates_are_found_by_pixels_and_remarked_with_the_first_pair(tmp_path):
    folder = write_images(tmp_path)
    Image.fromarray(pixels(1)).save(folder / "val/cat/0.bmp")  # the pixels of train/ant/0.png, in another file format
    Image.fromarray(pixels(2)).save(folder / "train/cat/7.png")
    Image.fromarray(pixels(2)).save(folder / "train/cat/8.png")
    finding = verify(TINY, tmp_path, quick=False)
    assert finding.duplicates == {"train": 2, "test": 1}
    assert finding.problems == []
    train, test = finding.remarks
    assert train == f"2 of 8 train examples repeat others; the first: {TINY}/train/cat/7.png = {TINY}/train/ant/1.png"
    assert test == f"1 of 22 test examples are in train too; the first: {TINY}/val/cat/0.bmp = {TINY}/train/ant/0.png"


def test_many_test_images_in_train_are_a_problem(tmp_path):
    folder = write_images(tmp_path)
    for index in range(2):
        Image.fromarray(pixels(1 + index)).save(folder / f"val/ant/{index}.png")
    assert "2 of 21 test examples are in train too" in only(verify(TINY, tmp_path, quick=False).problems)


def test_images_of_other_shapes_are_no_duplicates(tmp_path):
    for part, size in (("train", (8, 2)), ("val", (2, 8))):
        (tmp_path / "imagenet" / part / "ant").mkdir(parents=True)
        Image.new("RGB", size).save(tmp_path / "imagenet" / part / "ant/black.png")
    finding = verify("imagenet", tmp_path, quick=False)
    assert (finding.duplicates, finding.unreadable, finding.problems) == ({"train": 0, "test": 0}, 0, [])


def test_class_absent_from_one_part_is_named(tmp_path):
    folder = write_images(tmp_path)
    (folder / "val/cat").rename(tmp_path / "elsewhere")
    finding = verify(TINY, tmp_path, quick=False)
    assert finding.layout == "folders"
    assert "cat in one alone" in only(finding.problems)


@pytest.mark.parametrize("part", ["train", "val"])
def test_an_empty_class_is_a_problem(tmp_path, part):
    folder = write_images(tmp_path)
    for file in folder.glob(f"{part}/cat/*"):
        file.unlink()
    finding = verify(TINY, tmp_path, quick=False)
    assert f"{folder}/{part}/cat holds no images" in only(finding.problems)


@pytest.mark.parametrize("part", ["train", "val"])
def test_folder_without_a_part_is_a_problem(tmp_path, part):
    folder = write_images(tmp_path)
    (folder / part).rename(tmp_path / "elsewhere")
    assert f"{part}/" in only(verify(TINY, tmp_path, quick=False).problems).replace(str(folder), "")


def test_more_examples_or_classes_than_official_are_problems(tmp_path, monkeypatch):
    write_images(tmp_path)
    monkeypatch.setitem(DATASETS, TINY, replace(DATASETS[TINY], num_classes=2, train_count=5, test_count=21))
    assert verify(TINY, tmp_path, quick=True).problems == [
        "3 classes, where the dataset has 2",
        "6 train examples, where the dataset has 5",
    ]


def test_cifar_with_too_few_classes_is_a_problem(tmp_path):
    """Training refuses it."""
    write_images(tmp_path).rename(tmp_path / "cifar10")
    assert verify("cifar10", tmp_path, quick=True).problems == ["3 classes, where the dataset has 10"]


# Shards


def write_shard(file: Path, labels: list[int], seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for index, label in enumerate(labels):
            buffer = io.BytesIO()
            Image.fromarray(pixels(seed + index, size=8 + index)).save(buffer, "png")
            for ending, content in (("png", buffer.getvalue()), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{index}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def write_shards(root: Path) -> Path:
    folder = root / "imagenet"
    for number in range(3):
        write_shard(folder / f"train/{number}.tar", [0, 1], seed=10 * number)
    write_shard(folder / "val/0.tar", [0, 1], seed=100)
    return folder


def test_shards_are_read_and_compared(tmp_path):
    folder = write_shards(tmp_path)
    write_shard(folder / "train/3.tar", [1], seed=10)  # the first image of 1.tar
    finding = verify("imagenet", tmp_path, quick=False)
    assert (finding.layout, finding.classes, finding.balance) == ("shards", 2, (3, 4))
    assert finding.counts == {"train": 7, "test": 2}
    assert (finding.unreadable, finding.duplicates, finding.problems) == (0, {"train": 1, "test": 0}, [])
    assert "imagenet/train/3.tar: 0.png = imagenet/train/1.tar: 0.png" in only(finding.remarks)


def test_each_damaged_shard_is_named_and_the_others_checked(tmp_path):
    folder = write_shards(tmp_path)
    for number in (0, 2):
        (folder / f"train/{number}.tar").write_bytes(b"no archive" * 100)
    finding = verify("imagenet", tmp_path, quick=False)
    assert [text.split(" ")[0] for text in finding.problems] == [f"{folder}/train/{number}.tar" for number in (0, 2)]
    assert (finding.counts, finding.unreadable) == ({"train": 2, "test": 2}, 0)


@pytest.mark.parametrize("label", [-1, 1000])
def test_class_that_imagenet_lacks_is_a_problem(tmp_path, label):
    folder = write_shards(tmp_path)
    write_shard(folder / "train/3.tar", [label], seed=50)
    assert f"train shards hold class {label}," in only(verify("imagenet", tmp_path, quick=True).problems)


def test_shards_without_those_of_the_test_are_a_problem(tmp_path):
    folder = write_shards(tmp_path)
    (folder / "val/0.tar").unlink()
    assert "0 test examples, where the dataset has 50,000" in verify("imagenet", tmp_path, quick=False).problems


# Speech Commands


def test_absent_clips_are_remarked_with_counts_by_split(tmp_path):
    folder = write_clips(tmp_path)
    names = "".join(f"no/{index}.wav\n" for index in range(10, 15)) + "other/1.wav\n"  # of a word that is left out
    with open(folder / "testing_list.txt", "a") as file:
        file.write(names)
    finding = verify(V1, tmp_path, quick=False)
    assert finding.remarks == [f"{folder} lacks 5 of 7 test clips that testing_list.txt names, the first no/10.wav"]
    assert (finding.counts, finding.unreadable) == ({"train": 2, "validation": 2, "test": 2}, 0)
    assert (finding.checksums, finding.classes, finding.problems) == (None, 2, [])


def test_files_that_are_no_examples_are_remarked_with_counts_by_ending(tmp_path):
    folder = write_clips(tmp_path)
    for name in ("notes.txt", ".DS_Store", "a.flac"):
        (folder / "no" / name).touch()
    finding = verify(V1, tmp_path, quick=True)
    assert only(finding.remarks).endswith(": files that are no clips are left out: 1 hidden, 1 .flac, 1 .txt")
    assert finding.problems == []


def test_truncated_clip_is_named(tmp_path):
    clip = write_clips(tmp_path) / "yes/1.wav"
    clip.write_bytes(clip.read_bytes()[:-100])
    finding = verify(V1, tmp_path, quick=False)
    assert finding.unreadable == 1
    assert f"{clip} is cut short" in only(finding.problems)


def test_clip_of_the_validation_set_in_train_is_found(tmp_path):
    folder = write_clips(tmp_path)
    (folder / "no/1.wav").write_bytes((folder / "yes/0.wav").read_bytes())
    finding = verify(V1, tmp_path, quick=False)
    assert finding.duplicates == {"train": 0, "validation": 1, "test": 0}
    assert "no/1.wav = speech_commands_v0.01/yes/0.wav" in only(finding.problems)


def test_missing_list_is_a_problem(tmp_path):
    (write_clips(tmp_path) / "testing_list.txt").unlink()
    assert "testing_list.txt cannot be read" in only(verify(V1, tmp_path, quick=False).problems)


@pytest.mark.parametrize("unpacked", [False, True])
@pytest.mark.parametrize("right", [False, True])
def test_checksum_of_the_speech_archive(tmp_path, monkeypatch, right, unpacked):
    archive = tmp_path / "speech_commands_v0.01.tar.gz"
    archive.write_bytes(b"clips")
    if right:
        monkeypatch.setitem(SPEECH, V1, replace(SPEECH[V1], sha256=hashlib.sha256(b"clips").hexdigest()))
    if unpacked:
        write_clips(tmp_path)
    finding = verify(V1, tmp_path, quick=False)
    assert (finding.layout, finding.checksums) == ("folders" if unpacked else "archive, packed", right)
    assert [str(archive) in text for text in finding.problems] == [True] * (not right)
    assert (finding.unreadable == 0) == unpacked


# Official CIFAR archives


def write_official(root: Path, monkeypatch) -> Path:
    """A tiny CIFAR-100 as Toronto packs it, both packed and unpacked, with torchvision expecting its checksums."""
    dataset = torchvision.datasets.CIFAR100
    folder, packed = root / CIFAR[CIFAR100].folders[0], CIFAR[CIFAR100].archive(root)
    folder.mkdir()

    def write(file: str, content: dict[str, object]) -> str:
        (folder / file).write_bytes(pickle.dumps(content, protocol=2))
        return hashlib.md5((folder / file).read_bytes()).hexdigest()

    for part, repeats in (("train", 2), ("test", 1)):
        rows = np.random.default_rng(repeats).integers(0, 256, (100 * repeats, 3072), dtype=np.uint8)
        sums = [[part, write(part, {"data": rows, "fine_labels": list(range(100)) * repeats})]]
        monkeypatch.setattr(dataset, f"{part}_list", sums)
    md5 = write("meta", {"fine_label_names": [f"class {index}" for index in range(100)]})
    monkeypatch.setattr(dataset, "meta", dataset.meta | {"md5": md5})
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(folder, folder.name)
    monkeypatch.setattr(dataset, "tgz_md5", hashlib.md5(packed.read_bytes()).hexdigest())
    return folder


@pytest.mark.parametrize("below", [".", CIFAR100])
def test_official_archive_is_read(tmp_path, monkeypatch, below):
    (tmp_path / CIFAR100).mkdir()
    write_official(tmp_path / below, monkeypatch)
    finding = verify(CIFAR100, tmp_path, quick=False)
    assert (finding.layout, finding.checksums, finding.unreadable, finding.problems) == ("archive", True, 0, [])
    assert (finding.counts, finding.classes) == ({"train": 200, "test": 100}, 100)


def test_batches_that_fail_their_checksum_are_named_and_not_opened(tmp_path, monkeypatch):
    class Malice:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    folder = write_official(tmp_path, monkeypatch)
    (folder / "train").write_bytes(pickle.dumps(Malice()))
    (folder / "meta").unlink()
    finding = verify(CIFAR100, tmp_path, quick=False)
    assert (finding.layout, finding.checksums, finding.counts) == ("archive", False, {})
    assert finding.problems == [f"{folder}/train is damaged: its MD5 is wrong", f"{folder}/meta is not there"]
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("right", [False, True])
def test_packed_archive_is_judged_by_its_checksum(tmp_path, monkeypatch, right):
    folder = write_official(tmp_path, monkeypatch)
    folder.rename(tmp_path / "elsewhere")
    file = CIFAR[CIFAR100].archive(tmp_path)
    if not right:
        file.write_bytes(file.read_bytes()[:-1])
    finding = verify(CIFAR100, tmp_path, quick=False)
    assert (finding.layout, finding.checksums) == ("archive, packed", right)
    assert finding.problems == ([] if right else [f"{file} is damaged: its MD5 is wrong"])


def test_damaged_archive_beside_sound_batches_is_a_problem(tmp_path, monkeypatch):
    write_official(tmp_path, monkeypatch)
    file = CIFAR[CIFAR100].archive(tmp_path)
    file.write_bytes(b"")
    finding = verify(CIFAR100, tmp_path, quick=False)
    assert finding.problems == [f"{file} is damaged: its MD5 is wrong"]
    assert finding.counts == {"train": 200, "test": 100}


# Tables and digits


def test_bundled_tables_are_there_without_a_file(tmp_path):
    iris = verify("iris", tmp_path, quick=False)
    assert (iris.layout, iris.counts, iris.classes) == ("scikit-learn", {"train": 75, "test": 75}, 3)
    assert sum((iris.duplicates or {}).values()) == 1  # the flowers 102 and 143, in whichever halves
    assert verify("digits", tmp_path, quick=False).counts == {"train": 898, "test": 899}


def write_table(root: Path, rows: list[str]) -> None:
    (root / "uci").mkdir()
    (root / "uci/phishing.csv").write_text("\n".join(["a,b,class", *rows]))


def test_partial_table_is_remarked(tmp_path):
    write_table(tmp_path, [f"{row},0,{row % 3}" for row in range(60)])
    finding = verify("phishing", tmp_path, quick=False)
    assert (finding.layout, finding.counts, finding.problems) == ("CSV", {"train": 30, "test": 30}, [])
    assert "60 rows instead of 1,353" in only(finding.remarks)


def test_equal_rows_of_a_table_are_no_problem(tmp_path):
    write_table(tmp_path, [f"{row % 6},0,{row % 3}" for row in range(60)])
    finding = verify("phishing", tmp_path, quick=False)
    assert finding.duplicates == {"train": 24, "test": 30}
    assert finding.problems == []


def test_damaged_table_is_a_problem(tmp_path):
    write_table(tmp_path, ["1,2,0", "1,2"])
    finding = verify("phishing", tmp_path, quick=False)
    assert finding.layout == "CSV"
    assert "line 3: expected 3 values" in only(finding.problems)


# All of them


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"digits", "rings", "iris", "wine", "breast_cancer"}))
def test_what_is_not_there_is_no_problem(tmp_path, name):
    assert verify(name, tmp_path, quick=False) == Finding(name)


def test_nothing_is_written(tmp_path, monkeypatch):
    write_images(tmp_path)
    write_clips(tmp_path)
    write_shards(tmp_path)
    write_official(tmp_path, monkeypatch).rename(tmp_path / "elsewhere")
    before = contents(tmp_path)
    for name in DATASETS:
        verify(name, tmp_path, quick=False)
    assert contents(tmp_path) == before


# The script


def run_script(monkeypatch, capsys, *arguments: object) -> tuple[int, str, str]:
    script = importlib.import_module("scripts.verify_data")
    monkeypatch.setattr("sys.argv", ["verify_data.py", *map(str, arguments)])
    status = script.main()
    return status, *capsys.readouterr()


def test_script_of_a_sound_root(tmp_path, command):
    write_images(tmp_path)
    done = command("scripts/verify_data.py", TINY, "cifar10", MIXUP_DATA=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip().endswith("datasets there: 1, all sound")


def test_table_shows_every_data_set_in_80_columns(tmp_path, monkeypatch, capsys):
    write_images(tmp_path)
    write_clips(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = run_script(monkeypatch, capsys, "--root", tmp_path)
    table = [line.rstrip() for line in out.split("\n\n")[0].splitlines()]
    assert status == 0
    assert max(map(len, table)) <= 80
    row = next(index for index, line in enumerate(table) if line.startswith(TINY))
    assert " ".join(table[row].split()) == f"{TINY} train 6 of 100,000 - 0 0 3 of 200"
    assert " ".join(table[row + 1].split()) == "folders test 21 of 10,000 0 2 each"
    absent = [line.split()[0] for line in table if line.endswith("not there")]
    assert set(absent) == set(DATASETS) - {TINY, V1, "digits", "rings", "iris", "wine", "breast_cancer"}
    assert "datasets there: 7, all sound" in out


def test_longest_row_keeps_its_lines_in_80_columns(monkeypatch, capsys):
    """Else the duplicates would not stand beside their split."""
    counts = {"train": 640_000, "test": 25_000}
    finding = Finding("imagenet", "archive, packed", False, counts, 30, (1_000, 1_300), 640_000, duplicates=counts)
    monkeypatch.setenv("COLUMNS", "80")
    importlib.import_module("scripts.verify_data").show([finding], Path("/data"), quick=False)
    table = [line.rstrip() for line in capsys.readouterr().out.split("\n\n")[0].splitlines()]
    assert [" ".join(line.split()) for line in table[-2:]] == [
        "imagenet train 640,000 of 1,281,167 wrong 640,000 640,000 30 of 1,000",
        "archive, packed test 25,000 of 50,000 25,000 1,000–1,300",
    ]


@pytest.mark.slow
def test_script_of_a_damaged_root(tmp_path, command):
    folder = write_images(tmp_path)
    (folder / "val/bee/2.png").write_bytes(b"")
    done = command("scripts/verify_data.py", TINY, "digits", "--root", tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert f"problem {TINY}: 1 of 27 files cannot be used:\n    {folder}/val/bee/2.png cannot be read" in done.stdout
    assert done.stdout.rstrip().endswith(f"datasets there: 2, not sound: {TINY}")
    assert "cifar10" not in done.stdout


def test_script_of_a_mistake(tmp_path, command):
    done = command("scripts/verify_data.py", "cifar1O", "--root", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'cifar10'" in only(done.stderr.splitlines())


@pytest.mark.parametrize("kind", ["absent", "file"])
def test_root_that_is_no_folder_is_a_mistake(tmp_path, monkeypatch, capsys, kind):
    root = tmp_path / kind
    if kind == "file":
        root.write_text("")
    status, out, err = run_script(monkeypatch, capsys, "--root", root)
    assert (status, out) == (2, "")
    assert f"{root} is no folder" in only(err.splitlines())


def test_quick_script_does_not_say_more_than_it_knows(tmp_path, monkeypatch, capsys):
    (write_images(tmp_path) / "train/bee/0.png").write_bytes(b"")
    status, out, _ = run_script(monkeypatch, capsys, TINY, "--quick", "--root", tmp_path)
    assert status == 0
    assert "all sound by their listing" in out


# The real thing

REAL = Path(os.environ.get("MIXUP_DATA") or "/nowhere")


@pytest.mark.slow
@pytest.mark.skipif(
    not (REAL / "cifar10").is_dir(), reason="needs real CIFAR-10: set MIXUP_DATA to a folder with cifar10/ in it"
)
def test_real_data_is_sound():
    found = {name: verify(name, REAL, quick=False) for name in DATASETS}
    assert {name: finding.problems for name, finding in found.items() if finding.problems} == {}
    assert found["cifar10"].counts == {"train": 50_000, "test": 10_000}
    assert found["cifar10"].balance == (5_000, 5_000)
    assert found["cifar10"].unreadable == 0
