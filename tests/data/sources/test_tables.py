"""The UCI tables: read right, halved fairly, turned into numbers by the training half alone, and asked for politely."""

from __future__ import annotations

import csv
import hashlib
import http.client
import io
import json
import os
import socket
import subprocess
import sys
import urllib.error
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
import torch
from sklearn.model_selection import train_test_split

from mixup.data.dataset import Dataset
from mixup.data.datasets import DATASETS
from mixup.data.sources import tables
from mixup.data.sources.csv_tables import read_csv
from mixup.data.sources.tables import BUNDLED, USUAL, Preparation, divide, table_data
from mixup.data.sources.uci import REMOTE, digest
from mixup.errors import UserError


@pytest.fixture(autouse=True)
def requests(monkeypatch) -> list[str]:
    """No network in this file: every request fails at once, and its address is noted here."""
    seen = []

    def refuse(request, *args, **kwargs):
        seen.append(request.full_url)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", refuse)
    monkeypatch.setattr("sklearn.datasets._openml.time.sleep", lambda seconds: None)
    return seen


def open_table(name: str, root: Path, *, download: bool = False, seed: int = 0) -> Dataset:
    return table_data(name, root=root, download=download, split=np.random.default_rng(seed))


def failure(name: str, root: Path, *, download: bool = False) -> str:
    with pytest.raises(UserError) as caught:
        open_table(name, root, download=download)
    return str(caught.value)


def write(root: Path, name: str, header: list[str], rows: list[list[object]]) -> Path:
    file = root / "uci" / f"{name}.csv"
    file.parent.mkdir(exist_ok=True)
    with open(file, "w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return file


# A table with everything: words, missing words, missing numbers, a constant, an empty column, a class of one example.
HEADER = ["sex", "length", "Class", "flat", "height", "empty"]


def mixed_rows() -> list[list[object]]:
    rng = np.random.default_rng(3)
    rows: list[list[object]] = []
    for index in range(61):
        sex = "?" if index % 10 == 4 else "MFI"[index % 3]
        length = "" if index % 7 == 2 else round(float(rng.normal(100, 20)), 3)
        rows.append([sex, length, (10, 9, 8)[index % 3] if index else 11, 0.1, round(float(rng.normal()), 3), "?"])
    return rows


def halves_of(rows: list[list[object]], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    classes = sorted({int(row[2]) for row in rows})
    return divide(np.array([classes.index(int(row[2])) for row in rows]), np.random.default_rng(seed), USUAL)


def by_hand(rows: list[list[object]], train: np.ndarray) -> np.ndarray:
    """What `mixed_rows` should become, in plain numpy."""
    columns = []
    for place in (1, 3, 4, 5):
        column = np.array([np.nan if row[place] in ("", "?") else float(row[place]) for row in rows])
        known = column[train][~np.isnan(column[train])]
        column = np.where(np.isnan(column), np.median(known) if len(known) else 0, column)
        deviation = column[train].std()
        columns.append((column - column[train].mean()) / (deviation if deviation > 1e-9 else 1))
    sexes = [str(row[0]) for row in rows]
    known_sexes = [sexes[index] for index in train if sexes[index] != "?"]
    commonest = max(sorted(set(known_sexes)), key=known_sexes.count)
    sexes = [commonest if sex == "?" else sex for sex in sexes]
    return np.stack([*columns, *(np.array([sex == word for sex in sexes]) for word in sorted(set(known_sexes)))], axis=1)


def test_mixed_table_becomes_the_numbers_worked_out_by_hand(tmp_path):
    rows = mixed_rows()
    write(tmp_path, "abalone", HEADER, rows)
    data = open_table("abalone", tmp_path)
    train, test = halves_of(rows)
    expected = by_hand(rows, train)
    np.testing.assert_allclose(data.train.inputs, expected[train], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(data.test.inputs, expected[test], rtol=1e-5, atol=1e-6)
    assert data.train.inputs.dtype == data.test.inputs.dtype == torch.float32
    assert data.classes == ("8", "9", "10", "11")  # by value, not by alphabet
    assert [int(data.classes[label]) for label in data.train.labels] == [rows[index][2] for index in train]
    assert [int(data.classes[label]) for label in data.test.labels] == [rows[index][2] for index in test]
    assert data.train.labels.dtype == torch.int64
    assert not data.train.corrupted.any()
    assert data.validation is None


def test_constant_and_empty_columns_are_zeros(tmp_path):
    write(tmp_path, "abalone", HEADER, mixed_rows())
    data = open_table("abalone", tmp_path)
    for split in (data.train, data.test):
        assert split.inputs[:, [1, 3]].abs().max() < 1e-12
        assert split.inputs.isfinite().all()


def test_info_counts_what_was_read_and_the_provenance_tells_the_difference(tmp_path):
    write(tmp_path, "abalone", HEADER, mixed_rows())
    data = open_table("abalone", tmp_path)
    found = data.info
    assert (found.num_classes, found.input_shape, found.train_count, found.test_count) == (4, (7,), 31, 30)
    assert (len(data.train), len(data.test)) == (31, 30)
    assert data.provenance == (
        "UCI Abalone (CSV), 61 rows instead of 4,177, 7 features instead of 10, 4 classes instead of 28"
    )


def test_test_rows_do_not_touch_the_training_features(tmp_path):
    rows = mixed_rows()
    write(tmp_path, "abalone", HEADER, rows)
    before = open_table("abalone", tmp_path)
    changed = halves_of(rows)[1][5]
    rows[changed][0], rows[changed][1], rows[changed][3] = "unheard of", 1e6, 1e6
    write(tmp_path, "abalone", HEADER, rows)
    after = open_table("abalone", tmp_path)
    assert torch.equal(after.train.inputs, before.train.inputs)
    same = torch.arange(len(after.test)) != 5
    assert torch.equal(after.test.inputs[same], before.test.inputs[same])
    length, flat, *_, female, infant, male = after.test.inputs[5]
    assert length > 1e4
    assert flat == pytest.approx(1e6)  # constant in training: its deviation counts as 1
    assert female == infant == male == 0  # a word that training has not seen


def test_training_rows_do_touch_the_test_features(tmp_path):
    rows = mixed_rows()
    write(tmp_path, "abalone", HEADER, rows)
    before = open_table("abalone", tmp_path)
    rows[halves_of(rows)[0][5]][1] = 1e6
    write(tmp_path, "abalone", HEADER, rows)
    assert not torch.allclose(open_table("abalone", tmp_path).test.inputs[:, 0], before.test.inputs[:, 0])


@pytest.mark.parametrize("header", [["a", "b", "species"], ["a", "CLASS", "b"], ["class", "a", "b"]])
def test_class_column_is_named_or_the_last(tmp_path, header):
    place = next((place for place, name in enumerate(header) if name.lower() == "class"), 2)
    rows = [[index, index * index] for index in range(20)]
    for index, row in enumerate(rows):
        row.insert(place, "zebra" if index % 2 else "ant")
    write(tmp_path, "htru2", header, rows)
    data = open_table("htru2", tmp_path)
    assert data.classes == ("ant", "zebra")
    train, _ = divide(np.arange(20) % 2, np.random.default_rng(0), USUAL)
    np.testing.assert_array_equal(data.train.labels, train % 2)
    np.testing.assert_allclose(data.train.inputs[:, 0], (train - train.mean()) / train.std(), rtol=1e-5, atol=1e-6)


def test_table_of_words_alone_becomes_one_hot(tmp_path):
    write(tmp_path, "htru2", ["colour", "class"], [["abcdefgh"[index % 8], index // 8 % 2] for index in range(96)])
    data = open_table("htru2", tmp_path)
    assert data.info.input_shape == (8,)
    assert torch.equal(data.train.inputs.unique(dim=0), torch.eye(8).flip(0))


@pytest.mark.parametrize(("ending", "mark"), [("\r\n", b"\xef\xbb\xbf"), ("\r", b""), ("\n\n", b"")])
def test_line_endings_and_byte_order_mark_are_no_matter(tmp_path, ending, mark):
    rows = [[row[2], *row[:2], *row[3:]] for row in mixed_rows()]
    file = write(tmp_path, "abalone", ["class", "sex", "length", "flat", "height", "empty"], rows)
    before = open_table("abalone", tmp_path)
    file.write_bytes(mark + file.read_text().replace("\n", ending).replace(",", " , ").encode())
    assert open_table("abalone", tmp_path).fingerprint() == before.fingerprint()


# Halves


def test_split_is_a_function_of_the_generator(tmp_path):
    prints = [open_table("iris", tmp_path, seed=seed).fingerprint() for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


# What tells that two runs had one table


def recorded(data: Dataset) -> dict[str, str | None]:
    return {"fingerprint": data.fingerprint(), "source_fingerprint": data.source_fingerprint()}


def test_numbers_that_another_numpy_rounds_otherwise_are_the_same_data(tmp_path, monkeypatch):
    write(tmp_path, "abalone", HEADER, mixed_rows())
    before = open_table("abalone", tmp_path)
    real = tables.as_numbers
    monkeypatch.setattr(tables, "as_numbers", lambda *arguments: np.nextafter(real(*arguments), np.float32(np.inf)))
    after = open_table("abalone", tmp_path)
    assert after.fingerprint() != before.fingerprint()
    assert after.source_fingerprint() == before.source_fingerprint()
    assert after.is_that_of(recorded(before))
    assert not after.is_that_of({"fingerprint": before.fingerprint()}), "of before there were sources"


@pytest.mark.parametrize("row", range(10, 61, 20))
def test_any_other_cell_label_or_half_is_other_data(tmp_path, row):
    """Also one that a subset leaves out: it decides how the others are scaled."""
    rows = mixed_rows()
    write(tmp_path, "abalone", HEADER, rows)
    before, half = open_table("abalone", tmp_path), np.arange(15)
    record = recorded(before.with_splits({"train": before.train.select(half)}))
    assert not open_table("abalone", tmp_path, seed=1).is_that_of(record)
    for place, value in ((0, "X"), (2, 12), (4, 1.5)):
        kept, rows[row][place] = rows[row][place], value
        write(tmp_path, "abalone", HEADER, rows)
        rows[row][place] = kept
        other = open_table("abalone", tmp_path)
        assert not other.with_splits({"train": other.train.select(half)}).is_that_of(record)
    write(tmp_path, "abalone", HEADER, rows)
    again = open_table("abalone", tmp_path)
    assert again.with_splits({"train": again.train.select(half)}).is_that_of(record)


def test_records_of_before_there_were_sources_are_of_this_data(tmp_path):
    """The fingerprint of values is what the committed evidence has."""
    data = open_table("iris", tmp_path)
    assert data.is_that_of({"fingerprint": data.fingerprint()})
    assert not data.is_that_of({"fingerprint": "0" * 64})


# As UCI counts them: rings 1 to 29 of abalone, and the classes of arrhythmia.
ABALONE = "1 1 15 57 115 259 391 568 689 634 487 267 203 126 103 67 58 42 32 26 14 6 9 2 1 1 2 1"
ARRHYTHMIA = "245 44 15 15 13 25 3 2 9 50 4 5 22"


PREPARATIONS = [
    Preparation(scaling, share, split)
    for scaling in ("standardised", "min-max", "raw")
    for share in (0.1, 0.5, 0.9)
    for split in ("random", "file_order")
]


@pytest.mark.parametrize("preparation", PREPARATIONS, ids=str)
def test_a_table_is_prepared_as_asked(preparation):
    """Against numpy alone."""
    from sklearn.datasets import load_iris

    data = table_data("iris", root=Path(), download=False, split=np.random.default_rng(0), preparation=preparation)
    cells, labels = load_iris(return_X_y=True)
    rows_train, rows_test = divide(labels, np.random.default_rng(0), preparation)
    np.testing.assert_array_equal(np.sort(np.concatenate([rows_train, rows_test])), np.arange(150))
    assert len(rows_train) == round(150 * preparation.train_share)
    if preparation.split == "file_order":
        assert rows_train.max() < rows_test.min()
    else:
        assert np.ptp(np.bincount(labels[rows_train])) <= 1
    train = cells[rows_train]
    shift, scale = {
        "standardised": (train.mean(0), train.std(0)),
        "min-max": (train.min(0), np.ptp(train, axis=0)),
        "raw": (0, 1),
    }[preparation.scaling]
    for part, rows in ((data.train, rows_train), (data.test, rows_test)):
        np.testing.assert_allclose(part.inputs, (cells[rows] - shift) / scale, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(part.labels, labels[rows])


def test_each_preparation_is_other_data():
    prints = set()
    for preparation in PREPARATIONS:
        options = {"root": Path(), "download": False, "split": np.random.default_rng(0), "preparation": preparation}
        data = table_data("iris", **options)
        prints |= {data.fingerprint(), data.source_fingerprint()}
    assert len(prints) == 2 * len(PREPARATIONS)


@pytest.mark.parametrize(("share", "part"), [(0.999, "one part would be empty"), (0.01, "too few rows for every class")])
def test_a_share_that_leaves_too_little_is_refused(share, part):
    with pytest.raises(UserError, match=rf"data.train_share={share}: .*{part}"):
        divide(np.arange(150) % 3, np.random.default_rng(0), Preparation(train_share=share))


def test_ucis_rows_are_told_in_any_order_under_any_header(tmp_path, monkeypatch):
    rows = mixed_rows()
    monkeypatch.setitem(
        REMOTE, "abalone", replace(REMOTE["abalone"], digest=digest(read_csv(write(tmp_path, "abalone", HEADER, rows), "")))
    )
    write(tmp_path, "abalone", ["x"] * len(HEADER[:-1]) + ["class"] if HEADER[-1] == "class" else HEADER, rows[::-1])
    assert open_table("abalone", tmp_path).provenance.startswith("UCI Abalone, 61 rows")
    rows[7][1] = float(rows[7][1]) + 1e-9
    write(tmp_path, "abalone", HEADER, rows)
    assert open_table("abalone", tmp_path).provenance.startswith("UCI Abalone (CSV), 61 rows")


@pytest.mark.parametrize("name", REMOTE)
def test_the_pack_has_ucis_tables(name):
    root = Path(os.environ.get("MIXUP_DATA", ""))
    if not os.environ.get("MIXUP_DATA") or not (root / f"uci/{REMOTE[name].file}.csv").is_file():
        pytest.skip(f"needs UCI's table: MIXUP_DATA=DIR with DIR/uci/{REMOTE[name].file}.csv")
    data = open_table(name, root)
    assert data.provenance == REMOTE[name].download.title
    assert data.info == DATASETS[name]


def test_scikit_learns_iris_is_not_ucis(tmp_path):
    root = Path(os.environ.get("MIXUP_DATA", ""))
    if not os.environ.get("MIXUP_DATA") or not (root / "uci/iris.csv").is_file():
        pytest.skip("needs UCI's Iris: MIXUP_DATA=DIR with DIR/uci/iris.csv")
    ucis, fishers = read_csv(root / "uci/iris.csv", ""), sklearn.datasets.load_iris().data
    assert (ucis.cells != fishers).any(1).nonzero()[0].tolist() == [34, 37]


@pytest.mark.parametrize("counts", [ABALONE, ARRHYTHMIA, "75 75", "2 2 1", "1 2 4"])
@pytest.mark.parametrize("seed", range(3))
def test_halves_are_disjoint_complete_and_stratified(counts, seed):
    sizes = np.array([int(count) for count in counts.split()])
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    train, test = divide(labels, rng, USUAL)
    assert len(test) == len(labels) // 2
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(labels)))
    of_train, of_test = (np.bincount(labels[part], minlength=len(sizes)) for part in (train, test))
    assert (of_train >= 1).all()
    assert (of_test[sizes > 1] >= 1).all()
    assert (np.abs(of_train - of_test) <= 2).all()


def test_published_counts_are_those_of_the_info():
    for name, counts in (("abalone", ABALONE), ("arrhythmia", ARRHYTHMIA)):
        info, sizes = DATASETS[name], [int(count) for count in counts.split()]
        assert (sum(sizes), len(sizes)) == (info.train_count + info.test_count, info.num_classes)


# Bundled tables


@pytest.mark.parametrize(("name", "title"), BUNDLED.items())
def test_bundled_table_is_scikit_learns_and_as_the_info_says(tmp_path, requests, name, title):
    data = open_table(name, tmp_path / "absent")
    bundle = getattr(sklearn.datasets, f"load_{name}")()
    assert data.info == DATASETS[name]
    assert data.provenance == title
    assert data.classes == tuple(bundle.target_names)
    seed = int(np.random.default_rng(0).integers(2**32))
    target = bundle.target
    rows, _ = train_test_split(np.arange(len(target)), test_size=len(target) // 2, stratify=target, random_state=seed)
    in_train = np.isin(np.arange(len(bundle.target)), rows)
    for split, part in ((data.train, in_train), (data.test, ~in_train)):
        expected = (bundle.data[part] - bundle.data[in_train].mean(axis=0)) / bundle.data[in_train].std(axis=0)
        np.testing.assert_allclose(split.inputs, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(split.labels, bundle.target[part])
    assert requests == []


# OpenML


def serve(monkeypatch, *, number: int, features: dict[str, list[str] | None], target: str, rows: str) -> None:
    """OpenML's four answers about one table, for scikit-learn's own client to read."""
    types = {name: "{" + ",".join(words) + "}" if words else "REAL" for name, words in features.items()}
    lines = ["@RELATION table", *(f"@ATTRIBUTE {name} {kind}" for name, kind in types.items()), "@DATA", rows]
    table = "\n".join(lines).encode()
    never = {"is_ignore": "false", "is_row_identifier": "false"}
    described = [
        {"index": str(index), "name": name, "data_type": "nominal" if words else "numeric", **never}
        | {"nominal_value": words or [], "is_target": str(name == target).lower(), "number_of_missing_values": "0"}
        for index, (name, words) in enumerate(features.items())
    ]
    about = {"name": "table", "version": "1", "status": "active", "format": "ARFF", "description": "", "url": "x://table"}
    answers = {
        f"/data/{number}": {"data_set_description": about | {"md5_checksum": hashlib.md5(table).hexdigest()}},
        f"/data/features/{number}": {"data_features": {"feature": described}},
        f"/data/qualities/{number}": {
            "data_qualities": {"quality": [{"name": "NumberOfInstances", "value": rows.count("\n") + 1}]}
        },
    }

    def answer(request, *args, **kwargs):
        content = next((json.dumps(a).encode() for end, a in answers.items() if request.full_url.endswith(end)), table)
        response = io.BytesIO(content)
        response.info = dict
        return response

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", answer)


def serve_abalone(monkeypatch) -> list[list[object]]:
    """A small one, missing values included. Returns its rows as a CSV of ours would have them, class last."""
    rng = np.random.default_rng(0)
    rows = [["MFI"[index % 3], float(rng.normal()), index % 5, 7 + index % 4] for index in range(40)]
    rows[3][0] = rows[4][1] = "?"
    lines = "\n".join(f"{rings},{sex},{length},{weight}" for sex, length, weight, rings in rows)
    features = {"Rings": [str(rings) for rings in range(1, 30)], "Sex": ["M", "F", "I"], "Length": None, "Weight": None}
    serve(monkeypatch, number=183, features=features, target="Rings", rows=lines)
    return rows


def test_openml_gives_what_the_same_csv_gives(tmp_path, monkeypatch, capsys):
    rows = serve_abalone(monkeypatch)
    fetched = open_table("abalone", tmp_path / "openml", download=True)
    assert f"UCI Abalone is not in {tmp_path}/openml/uci: fetching OpenML 183" in capsys.readouterr().out
    (tmp_path / "csv").mkdir()
    write(tmp_path / "csv", "abalone", ["sex", "length", "weight", "rings"], rows)
    read = open_table("abalone", tmp_path / "csv")
    assert fetched.fingerprint() == read.fingerprint()
    assert fetched.classes == read.classes == ("7", "8", "9", "10")
    assert fetched.provenance.startswith("UCI Abalone (OpenML 183), 40 rows instead of 4,177")
    assert read.provenance.startswith("UCI Abalone (CSV), 40 rows")


def test_what_openml_gave_is_kept_for_the_next_time_without_network(tmp_path, monkeypatch, requests):
    with monkeypatch.context() as patch:
        serve_abalone(patch)
        first = open_table("abalone", tmp_path, download=True)
    for download in (False, True):
        again = open_table("abalone", tmp_path, download=download)
        assert (again.fingerprint(), again.provenance) == (first.fingerprint(), first.provenance)
    assert requests == []
    assert [file.name for file in (tmp_path / "uci").iterdir()] == ["abalone-openml183.csv"]


def test_users_csv_goes_before_openmls(tmp_path, monkeypatch):
    serve_abalone(monkeypatch)
    open_table("abalone", tmp_path, download=True)
    write(tmp_path, "abalone", HEADER, mixed_rows())
    assert open_table("abalone", tmp_path, download=True).provenance.startswith("UCI Abalone (CSV), 61 rows")


def test_openmls_words_for_phishing_become_ucis_numbers_again(tmp_path, monkeypatch):
    words = ["Legitimate", "Phishy", "Suspicious"]
    codes = {"Phishy": -1, "Suspicious": 0, "Legitimate": 1}
    rows = [(words[index % 3], words[index // 3 % 3], words[index // 2 % 3]) for index in range(36)]
    features = {"SFH": words, "web_traffic": words, "WebsiteType": words}
    lines = "\n".join(map(",".join, rows))
    serve(monkeypatch, number=46963, features=features, target="WebsiteType", rows=lines)
    fetched = open_table("phishing", tmp_path / "openml", download=True)
    (tmp_path / "csv").mkdir()
    write(tmp_path / "csv", "phishing", ["SFH", "web_traffic", "Result"], [[codes[word] for word in row] for row in rows])
    read = open_table("phishing", tmp_path / "csv")
    assert fetched.fingerprint() == read.fingerprint()
    assert fetched.info.input_shape == (2,)
    assert fetched.classes == ("-1", "0", "1")


def test_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    serve_abalone(monkeypatch)
    (tmp_path / "uci").write_text("a file where the folder should be")
    message = failure("abalone", tmp_path, download=True)
    assert f"{tmp_path}/uci/abalone-openml183.csv cannot be written" in message
    assert "data.root=DIR" in message


# Nothing there


@pytest.mark.parametrize("name", REMOTE)
@pytest.mark.parametrize("download", [False, True])
def test_nothing_there_tells_the_ways_out(tmp_path, requests, name, download):
    message = failure(name, tmp_path, download=download)
    remote = REMOTE[name]
    for part in (
        f"no {remote.download.title} in {tmp_path}/uci",
        "cannot be downloaded (no route to host)" if download else "data.download is false",
        f"{tmp_path}/uci/{remote.file}-openml{remote.openml}.csv",
        f"{tmp_path}/uci/{remote.file}.csv: a header row",
        remote.download.url,
        "MIXUP_DATA=",
        "data=iris",
    ):
        assert part in message
    assert bool(requests) == download
    assert all(str(remote.openml) in address for address in requests)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError("timed out"),
        ConnectionResetError("reset"),
        http.client.IncompleteRead(b""),
        urllib.error.HTTPError("x://", 503, "busy", None, None),
        EOFError("cut short"),
        ValueError("md5 checksum does not match"),
        KeyError("data_set_description"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_failed_download_is_no_traceback_and_the_time_limit_is_put_back(tmp_path, monkeypatch, error):
    limits = []

    def fail(**options):
        limits.append(socket.getdefaulttimeout())
        raise error

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fail)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(1_000)
    try:
        message = failure("htru2", tmp_path, download=True)
        after = socket.getdefaulttimeout()
    finally:
        socket.setdefaulttimeout(before)
    assert "cannot be downloaded (" in message
    assert f"{tmp_path}/uci/htru2.csv" in message
    assert 0 < limits[0] <= 60
    assert after == 1_000


def archive_of(name: str) -> tuple[dict[str, str], np.ndarray]:
    """The files in UCI's zip, 12 rows in the layout of the real ones, and the first column of the table."""
    width = {"abalone": 7}.get(name, DATASETS[name].input_shape[0])
    numbers = np.random.default_rng(0).integers(0, 50, (12, width))
    if name == "arcene":  # values end with a space, labels lie beside them
        data, labels = (
            [" ".join(map(str, row)) + " \n" for row in numbers],
            [f"{1 - index % 2 * 2}\n" for index in range(12)],
        )
        return {
            "ARCENE/arcene_train.data": "".join(data[:6]),
            "ARCENE/arcene_train.labels": "".join(labels[:6]),
            "ARCENE/arcene_valid.data": "".join(data[6:]),
            "arcene_valid.labels": "".join(labels[6:]),
        }, numbers[:, 0]
    rows = [",".join(map(str, [*row, index % 2])) for index, row in enumerate(numbers)]
    if name == "abalone":
        rows = [f"{'MFI'[index % 3]},{row}" for index, row in enumerate(rows)]
    if name == "iris_uci":
        rows.append("")
    if name.startswith("phishing"):
        head = ["@relation phishing", "", *(f"@attribute a{index} {{-1,0,1}}" for index in range(10)), "", "@data"]
        rows = [*head, *rows, ""]
    member, ending = {
        "abalone": ("abalone.data", "\n"),
        "arrhythmia": ("arrhythmia.data", "\n"),
        "htru2": ("HTRU_2.csv", "\r\n"),
        "iris_uci": ("iris.data", "\n"),
        "phishing": ("PhishingData.arff", "\r\n"),
        "phishing_websites": ("Training Dataset.arff", "\r\n"),
    }[name]
    return {member: "".join(row + ending for row in rows)}, numbers[:, 0]


@pytest.mark.parametrize("name", REMOTE)
def test_commands_of_the_message_make_a_table_of_ucis_archive(tmp_path, name):
    root = tmp_path / "with a space"
    commands = [line for line in failure(name, root).splitlines() if line.startswith(" " * 6)]
    assert len(commands) == 4
    files, first_column = archive_of(name)
    server, programs = tmp_path / "server", tmp_path / "bin"
    server.mkdir()
    programs.mkdir()
    with zipfile.ZipFile(REMOTE[name].download.archive(server), "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
    for program, does in (
        ("curl", f'test "$1" = -LO && cp "{server}/${{2##*/}}" .'),
        ("python", f'exec {sys.executable} "$@"'),
    ):
        (programs / program).write_text(f"#!/bin/sh\n{does}\n")
        (programs / program).chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-e", "-c", "\n".join(commands)], env=environment, check=True, capture_output=True, timeout=60)

    data = open_table(name, root)
    assert (len(data.train), len(data.test), data.info.num_classes) == (6, 6, 2)
    assert data.info.input_shape == DATASETS[name].input_shape
    train, _ = divide((np.arange(12) + (name == "arcene")) % 2, np.random.default_rng(0), USUAL)
    known = first_column[train]
    np.testing.assert_allclose(data.train.inputs[:, 0], (known - known.mean()) / known.std(), rtol=1e-5, atol=1e-6)


# Tables that are not as they should be

GOOD = "a,b,class\n" + "1,2,x\n3,4,y\n" * 10


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "does not begin with the names of its columns"),
        (b"0.5,0.2,1\n" * 10, "does not begin with the names of its columns"),
        (GOOD.replace("a,", ",", 1).encode(), "does not begin with the names of its columns"),
        (GOOD.replace("a,", "class,", 1).encode(), "does not begin with the names of its columns"),
        (GOOD.replace(",", ";").encode(), "does not begin with the names of its columns"),
        (GOOD.replace("3,4,y", "3,4", 1).encode(), "line 3: expected 3 values, one of them the class, not 2"),
        (GOOD.replace("3,4,y", "3,4,?", 1).encode(), "line 3: expected 3 values, one of them the class"),
        (GOOD.replace("3,4,y", "3,n/a,y", 1).encode(), "column 2: 'n/a' among numbers"),
        (GOOD.replace("3,4,y", "3,inf,y", 1).encode(), "column 2: 'inf' among numbers"),
        (GOOD.encode() + b"\xff\xfe,1,x\n", "cannot be read as a CSV"),
        (b"a,b,class\n", "has 0 rows of 0 classes"),
        (b"a,b,class\n" + b"1,2,x\n2,3,x\n" * 9, "has 18 rows of 1 classes"),
        (b"a,b,class\n1,2,x\n2,3,y\n4,5,y\n", "has 3 rows of 2 classes"),
        (b"a,class,b\n" + b"".join(b"1,%d,x\n" % (index % 3) for index in range(20)), "has 20 rows of 3 classes"),
    ],
)
def test_csv_that_is_none_is_named_with_what_is_wrong(tmp_path, content, part):
    file = write(tmp_path, "htru2", [], [])
    file.write_bytes(content)
    message = failure("htru2", tmp_path)
    assert part in message
    assert str(file if part.startswith(("does", "line", "column", "cannot")) else file.parent) in message


def test_csv_of_the_previous_test_is_otherwise_fine(tmp_path):
    write(tmp_path, "htru2", [], []).write_text(GOOD)
    assert open_table("htru2", tmp_path).classes == ("x", "y")


@pytest.mark.parametrize(
    "odd", ["3,14", "1'000", "5 %", "$3", "2024-01-31", "31/1/24", "12:30", "-2,5e3", "(5)", "\u22125", "0x1F"]
)
def test_a_number_in_another_notation_is_no_word(tmp_path, odd):
    """One-hot words of decimal commas took 3 % of test error to 50 %."""
    rows = mixed_rows()
    for row in rows:
        row[4] = odd
    write(tmp_path, "abalone", HEADER, rows)
    message = failure("abalone", tmp_path)
    assert f"abalone.csv, column 4: '{odd}' looks like a number" in message


@pytest.mark.parametrize("word", ["30-39", "1a", "15 min", "<50K", "3rd", "-", "yes"])
def test_a_word_with_digits_is_a_word(tmp_path, word):
    rows = mixed_rows()
    for row in rows[::2]:
        row[0] = word
    write(tmp_path, "abalone", HEADER, rows)
    assert open_table("abalone", tmp_path).train.inputs.isfinite().all()


@pytest.mark.parametrize("seed", range(4))
def test_numbers_too_large_to_be_standardised_are_refused_by_their_column(tmp_path, seed):
    """In whichever half they are."""
    rows = mixed_rows()
    rows[7][4], rows[14][4] = "1e308", "-1e308"
    write(tmp_path, "abalone", HEADER, rows)
    with pytest.raises(UserError, match=r"the column height holds numbers up to 1e\+308, too large to be scaled"):
        open_table("abalone", tmp_path, seed=seed)


def test_folder_in_place_of_the_csv_is_named(tmp_path):
    (tmp_path / "uci/htru2.csv").mkdir(parents=True)
    assert f"{tmp_path}/uci/htru2.csv cannot be read" in failure("htru2", tmp_path)
