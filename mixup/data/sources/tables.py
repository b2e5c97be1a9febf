"""The UCI tables of section 3.6: where they come from, how they are halved, and how they become numbers.

The paper states the network and how it is trained, and nothing of the data's preparation. Chosen here:

* Half of the rows to train on and half to test, as the printed 21.3 % and 17.3 % of iris are 16/75 and 13/75; drawn at
  random with each class in both halves in proportion, and the only example of a class in training.
* Numbers are standardised and words one-hot; a missing number is the median, a missing word the most frequent one; all
  this by the training half alone. A column constant in it is 0 there. Codes that are numbers (phishing's -1, 0 and 1,
  arrhythmia's 0 and 1) count as numbers, whatever the file's format calls them.
* Abalone's classes are its 28 counts of rings, as the error of 74 % says; arrhythmia's the 13 of its 16 that occur.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mixup.data.dataset import Dataset, split_of
from mixup.data.datasets import DatasetInfo, dataset_info
from mixup.data.sources.uci import REMOTE, obtain_csv
from mixup.errors import UserError, suggestion

BUNDLED = {"iris": "Iris", "wine": "Wine", "breast_cancer": "Breast Cancer Wisconsin (Diagnostic)"}
MISSING = ("", "?")


@dataclass(frozen=True)
class Table:
    """cells: (N, F), numbers (NaN where missing) and, in the columns `words`, str ("" where missing). labels: (N,) int64."""

    cells: np.ndarray
    words: list[int]
    labels: np.ndarray
    classes: tuple[str, ...]
    provenance: str


def table_data(name: str, *, root: Path, download: bool, split: np.random.Generator) -> Dataset:
    """A UCI table (section 3.6): features (N, F) float32, halved by one draw from `split`. Its info counts what was read;
    where that is not what UCI states, the provenance says so. Raises UserError if there is no table, or another one."""
    if name not in BUNDLED | REMOTE:
        names = ", ".join(BUNDLED | REMOTE)
        raise UserError(f"data.name={name}: no such table{suggestion(name, BUNDLED | REMOTE)}; there are {names}")
    table = bundled_table(name) if name in BUNDLED else read_csv(*obtain_csv(name, root / "uci", download=download))
    official, rows, classes = dataset_info(name), len(table.labels), len(table.classes)
    if not 0 < classes <= min(official.num_classes, rows // 2):
        raise UserError(
            f"{table.provenance} in {root / 'uci'} has {rows:,} rows of {classes:,} classes, where UCI has "
            f"{official.train_count + official.test_count:,} of {official.num_classes}: is anything cut off, and is the "
            f"class in the column `class`, or else in the last one?"
        )
    train, test = halves(table.labels, split)
    inputs = as_numbers(table, train)
    train_split, test_split = (split_of(inputs[half], table.labels[half]) for half in (train, test))
    info = replace(official, num_classes=classes, input_shape=inputs.shape[1:], train_count=len(train), test_count=len(test))
    provenance = table.provenance + differences(info, official)
    return Dataset(info, train_split, None, test_split, provenance, table.classes)


def differences(info: DatasetInfo, official: DatasetInfo) -> str:
    """`, 4,176 rows instead of 4,177`, or an empty string."""
    counts = [
        ("rows", info.train_count + info.test_count, official.train_count + official.test_count),
        ("features", info.input_shape[0], official.input_shape[0]),
        ("classes", info.num_classes, official.num_classes),
    ]
    return "".join(f", {ours:,} {what} instead of {theirs:,}" for what, ours, theirs in counts if ours != theirs)


def halves(labels: np.ndarray, split: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the training half, the larger one if their number is odd, and of the test half; both in rising order."""
    from sklearn.model_selection import train_test_split

    alone = np.bincount(labels)[labels] == 1
    rest = np.flatnonzero(~alone)
    seed = int(split.integers(2**32))
    train, test = train_test_split(rest, test_size=len(labels) // 2, stratify=labels[rest], random_state=seed)
    return np.sort(np.concatenate([train, np.flatnonzero(alone)])), np.sort(test)


def as_numbers(table: Table, train: np.ndarray) -> np.ndarray:
    """(N, features) float32, first the numbers, then the words; fitted to the rows `train` alone."""
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
    return transform.fit(table.cells[train]).transform(table.cells).astype(np.float32, order="C")


def bundled_table(name: str) -> Table:
    """scikit-learn's copy."""
    from sklearn import datasets

    bundle = getattr(datasets, f"load_{name}")()
    classes = tuple(map(str, bundle.target_names))
    return Table(bundle.data, [], bundle.target.astype(np.int64), classes, f"UCI {BUNDLED[name]} (scikit-learn)")


def read_csv(file: Path, provenance: str) -> Table:
    """A table with a header and a class column. Raises UserError with file and line for any other content."""
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as a CSV ({error})") from error
    header = [name.casefold() for name in rows[0][1]] if rows else []
    if len(header) < 2 or not all(header) or any(map(is_number, header)) or header.count("class") > 1:
        raise UserError(f"{file} does not begin with the names of its columns, separated by commas, one of them the class")
    place = header.index("class") if "class" in header else len(header) - 1
    for line, row in rows[1:]:
        if len(row) != len(header) or row[place] in MISSING:
            raise UserError(f"{file}, line {line}: expected {len(header)} values, one of them the class, not {len(row)}")
    columns = list(zip(*(row for _, row in rows[1:]))) or [()] * len(header)
    labels = columns.pop(place)
    names = sorted(set(labels))
    if all(map(is_number, names)):
        names.sort(key=float)  # 2 before 10
    parsed = [parse_column(f"{file}, column {number}", column) for number, column in enumerate(columns, 1)]
    words = [number for number, column in enumerate(parsed) if column.dtype == object]
    numbered = np.array([names.index(label) for label in labels], np.int64)
    return Table(np.stack(parsed, axis=1), words, numbered, tuple(names), provenance)


def is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def parse_column(where: str, texts: Sequence[str]) -> np.ndarray:
    """Numbers as float64, words as object. Raises UserError for both in one column, as a typing error makes them."""
    present = [text for text in texts if text not in MISSING]
    numeric = [is_number(text) for text in present]
    if all(numeric):
        return np.array([math.nan if text in MISSING else float(text) for text in texts])
    if any(numeric):
        raise UserError(f"{where}: '{present[numeric.index(False)]}' among numbers; ? or nothing stands for a missing one")
    return np.array(["" if text in MISSING else text for text in texts], object)
