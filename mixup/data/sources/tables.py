"""The UCI tables of section 3.6: where they come from, how they are halved, and how they become numbers.

scikit-learn bundles some; the others are a CSV of the user's, or fetched from OpenML. The paper states the network and how
it is trained, and nothing of the data's preparation. Chosen here:

* Half of the rows to train on and half to test, as the printed 21.3 % and 17.3 % of iris are 16/75 and 13/75; drawn at
  random with each class in both halves in proportion, and the only example of a class in training.
* Numbers are standardised and words one-hot; a missing number is the median, a missing word the most frequent one; all
  this by the training half alone. A column constant in it is 0 there. Codes that are numbers (phishing's -1, 0 and 1,
  arrhythmia's 0 and 1) count as numbers, whatever the file's format calls them.
* Abalone's classes are its 28 counts of rings, as the error of 74 % says; arrhythmia's the 13 of its 16 that occur.
"""

import csv
import hashlib
import http.client
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from mixup.data.dataset import Dataset, identities, split_of
from mixup.data.datasets import dataset_info
from mixup.data.sources.csv_tables import Table, read_csv
from mixup.data.sources.storage import Download, time_limit
from mixup.errors import UserError, suggestion
from mixup.run.files import write_atomic

VERSION = 1  # of `as_numbers`: to be raised with any change of it, as runs on other numbers are no longer comparable
BUNDLED = {"iris": "Iris", "wine": "Wine", "breast_cancer": "Breast Cancer Wisconsin (Diagnostic)"}
INSTEAD = "a table that needs no file: data=iris, data=wine or data=breast_cancer"


@dataclass(frozen=True)
class RemoteTable:
    """openml: its number at OpenML. words: UCI's numbers for words that OpenML has in their place."""

    download: Download
    openml: int
    words: Mapping[str, str]


def remote_table(name: str, title: str, openml: int, archive: str, rows: str, columns: int, **words: str) -> RemoteTable:
    """archive: UCI's own, below archive.ics.uci.edu/static/public. rows: the shell command that prints its rows, class last,
    inside the unpacked archive. columns: how many there are before the class."""
    url = f"https://archive.ics.uci.edu/static/public/{archive}"
    remedy = f"""  * where openml.org can be reached, data.download=true, the default: it makes a file that can be copied
    from there, {{root}}/{name}-openml{openml}.csv
  * {{root}}/{name}.csv: a header row, then one row an example; the class in the column `class`, or else in the
    last one; ? or nothing where a value is missing. From UCI's own archive:
      mkdir -p {{quoted_root}} && cd {{quoted_root}}
      curl -LO {{url}}
      python -m zipfile -e {Path(archive).name} .
      (python -c "print('x,' * {columns} + 'class')"; {rows}) > {name}.csv"""
    return RemoteTable(Download(f"UCI {title}", (name,), url, size="", remedy=remedy, instead=INSTEAD), openml, words)


ARCENE_ROWS = (
    "cat ARCENE/arcene_train.labels arcene_valid.labels > labels; "
    "cat ARCENE/arcene_train.data ARCENE/arcene_valid.data | paste -d ' ' - labels | tr -s ' ' ,"
)
PHISHING_ROWS, PHISHING_WORDS = "grep -v '^[@%]' PhishingData.arff", {"Phishy": "-1", "Suspicious": "0", "Legitimate": "1"}
REMOTE = {
    "abalone": remote_table("abalone", "Abalone", 183, "1/abalone.zip", "cat abalone.data", 8),
    "arcene": remote_table("arcene", "Arcene", 1458, "167/arcene.zip", ARCENE_ROWS, 10_000),
    "arrhythmia": remote_table("arrhythmia", "Arrhythmia", 5, "5/arrhythmia.zip", "cat arrhythmia.data", 279),
    "htru2": remote_table("htru2", "HTRU2", 45558, "372/htru2.zip", "cat HTRU_2.csv", 8),
    "phishing": remote_table(
        "phishing", "Website Phishing", 46963, "379/website+phishing.zip", PHISHING_ROWS, 9, **PHISHING_WORDS
    ),
}


def table_data(name: str, *, root: Path, download: bool, split: np.random.Generator) -> Dataset:
    """A UCI table (section 3.6): features (N, F) float32, halved by one draw from `split`. Its info counts what was read;
    where that is not what UCI states, the provenance says so. Raises UserError if there is no table, or another one."""
    if name not in BUNDLED | REMOTE:
        names = ", ".join(BUNDLED | REMOTE)
        raise UserError(f"data.name={name}: no such table{suggestion(name, BUNDLED | REMOTE)}; there are {names}")
    table = bundled_table(name) if name in BUNDLED else read_csv(*obtain_csv(name, root / "uci", download=download))
    official, rows, classes = dataset_info(name), len(table.labels), len(table.classes)
    official_rows = official.train_count + official.test_count
    if not 1 < classes <= min(official.num_classes, rows // 2):
        raise UserError(
            f"{table.provenance} in {root / 'uci'} has {rows:,} rows of {classes:,} classes, where UCI has "
            f"{official_rows:,} of {official.num_classes}: is anything cut off, and is the class in the column `class`, or "
            "else in the last one?"
        )
    rows_train, rows_test = halves(table.labels, split)
    inputs = as_numbers(table, rows_train)
    train, test = (
        replace(split_of(inputs[half], table.labels[half]), source=sources(table, rows_train, half))
        for half in (rows_train, rows_test)
    )
    info = replace(official, num_classes=classes, input_shape=inputs.shape[1:], train_count=len(train), test_count=len(test))
    counts = [
        (rows, official_rows, "rows"),
        (info.input_shape[0], official.input_shape[0], "features"),
        (classes, official.num_classes, "classes"),
    ]
    differences = "".join(f", {ours:,} {what} instead of {theirs:,}" for ours, theirs, what in counts if ours != theirs)
    return Dataset(info, train, None, test, table.provenance + differences, table.classes)


def halves(labels: np.ndarray, split: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the training half, the larger one if their number is odd, and of the test half; both in rising order."""
    from sklearn.model_selection import train_test_split

    alone = np.bincount(labels)[labels] == 1
    rest = np.flatnonzero(~alone)
    seed = int(split.integers(2**32))
    train, test = train_test_split(rest, test_size=len(labels) // 2, stratify=labels[rest], random_state=seed)
    return np.sort(np.concatenate([train, np.flatnonzero(alone)])), np.sort(test)


def as_numbers(table: Table, train: np.ndarray) -> np.ndarray:
    """(N, features) float32, first the numbers, then the words; fitted to the rows `train` alone. Raises UserError for a
    column whose numbers are too large to be standardised."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = np.setdiff1d(np.arange(table.cells.shape[1]), table.words)
    # A column all missing in training becomes 0, and a word that training lacks is 0 in all of its columns.
    scale = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    fill = SimpleImputer(missing_values="", strategy="most_frequent", keep_empty_features=True)
    one_hot = make_pipeline(fill, OneHotEncoder(handle_unknown="ignore"))
    transform = ColumnTransformer([("numbers", scale, numbers), ("words", one_hot, table.words)], sparse_threshold=0)
    with np.errstate(over="ignore", invalid="ignore"):
        values = transform.fit(table.cells[train]).transform(table.cells).astype(np.float32, order="C")
    for number in (~np.isfinite(values).all(0)).nonzero()[0]:
        column = numbers[number]
        largest = np.nanmax(np.abs(table.cells[:, column].astype(np.float64)))
        raise UserError(
            f"{table.provenance}: the column {table.columns[column]} holds numbers up to {largest:.4g}, too large to be "
            "standardised: correct them, or leave these cells empty"
        )
    return values


def sources(table: Table, train: np.ndarray, rows: np.ndarray) -> Tensor:
    """`Split.source` of some rows. All of the table goes into each, as the training half decides how a number is scaled."""
    numbers = np.delete(table.cells, table.words, axis=1).astype("<f8")
    words = table.cells[:, table.words].tolist()
    digest = hashlib.sha256(repr((VERSION, table.words, words, table.classes)).encode())
    for values in (numbers, table.labels.astype("<i8"), train.astype("<i8")):
        digest.update(np.ascontiguousarray(values).data)
    return identities(digest.digest() + str(row).encode() for row in rows)


def bundled_table(name: str) -> Table:
    """scikit-learn's copy."""
    from sklearn import datasets

    bundle = getattr(datasets, f"load_{name}")()
    classes = tuple(map(str, bundle.target_names))
    return Table(
        tuple(bundle.feature_names),
        bundle.data,
        [],
        bundle.target.astype(np.int64),
        classes,
        f"UCI {BUNDLED[name]} (scikit-learn)",
    )


def obtain_csv(name: str, folder: Path, *, download: bool) -> tuple[Path, str]:
    """A CSV and its provenance: the user's, else the one that was made of OpenML's table, or is made now."""
    table = REMOTE[name]
    title, own, made = table.download.title, folder / f"{name}.csv", folder / f"{name}-openml{table.openml}.csv"
    if own.exists():
        return own, f"{title} (CSV)"
    if not made.exists():
        if not download:
            raise table.download.missing(folder, "data.download is false")
        print(f"{title} is not in {folder}: fetching OpenML {table.openml}", flush=True)
        write_csv(made, fetch_rows(table, folder))
    return made, f"{title} (OpenML {table.openml})"


def fetch_rows(table: RemoteTable, folder: Path) -> list[list[str]]:
    """The rows of OpenML's table after a header, class last. Not cached by scikit-learn: the CSV made of them is kept."""
    from sklearn.datasets import fetch_openml

    try:
        with time_limit(20), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A network error occurred")  # it tries again, and raises in the end
            # These two options need no pandas. Numbers are float64, words their places in `categories`.
            bunch = fetch_openml(data_id=table.openml, as_frame=False, parser="liac-arff", cache=False)
    except (OSError, http.client.HTTPException, EOFError, ValueError, KeyError) as error:
        why = f"it cannot be downloaded ({getattr(error, 'reason', error)})"
        raise table.download.missing(folder, why) from error
    cells = bunch.data if isinstance(bunch.data, np.ndarray) else bunch.data.toarray()
    categories = [*(bunch.categories.get(feature, ()) for feature in bunch.feature_names), ()]
    rows = [(*row, label) for row, label in zip(cells, bunch.target)]
    texts = ([as_text(value, words, table.words) for value, words in zip(row, categories)] for row in rows)
    return [[*bunch.feature_names, "class"], *texts]


def as_text(value: float | str | None, categories: Sequence[str], numbers: Mapping[str, str]) -> str:
    """A cell for a CSV. value: a number, a word, or a word's place in `categories`. numbers: those that stand for words."""
    if value is None or value != value:
        return ""
    if isinstance(value, str) or categories:
        word = value if isinstance(value, str) else categories[int(value)]
        return numbers.get(word, word)
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def write_csv(file: Path, rows: list[list[str]]) -> None:
    """Atomic. Raises UserError if the folder cannot be written."""
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows(rows)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, stream.getvalue().encode())
    except OSError as error:
        raise UserError(f"{file} cannot be written ({error}): make room there, or use data.root=DIR") from error
