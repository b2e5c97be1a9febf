"""Where the UCI tables that scikit-learn does not bundle come from: a CSV of the user's, or OpenML."""

from __future__ import annotations

import csv
import http.client
import os
import shlex
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mixup.data.sources.download import time_limit
from mixup.errors import UserError


@dataclass(frozen=True)
class Remote:
    """A table that must be fetched: its number at OpenML; UCI's own archive, below archive.ics.uci.edu/static/public, the
    command that prints its rows, class last, and how many columns come before; what UCI's file has for words of OpenML."""

    title: str
    openml: int
    archive: str
    rows: str
    columns: int
    codes: Mapping[str, str] = field(default_factory=dict)


ARCENE_ROWS = (
    "cat ARCENE/arcene_train.labels arcene_valid.labels > labels; "
    "cat ARCENE/arcene_train.data ARCENE/arcene_valid.data | paste -d ' ' - labels | tr -s ' ' ,"
)
PHISHING_CODES = {"Phishy": "-1", "Suspicious": "0", "Legitimate": "1"}
PHISHING_ROWS = "grep -v '^[@%]' PhishingData.arff"
REMOTE = {
    "abalone": Remote("Abalone", 183, "1/abalone.zip", "cat abalone.data", 8),
    "arcene": Remote("Arcene", 1458, "167/arcene.zip", ARCENE_ROWS, 10_000),
    "arrhythmia": Remote("Arrhythmia", 5, "5/arrhythmia.zip", "cat arrhythmia.data", 279),
    "htru2": Remote("HTRU2", 45558, "372/htru2.zip", "cat HTRU_2.csv", 8),
    "phishing": Remote("Website Phishing", 46963, "379/website+phishing.zip", PHISHING_ROWS, 9, PHISHING_CODES),
}


def find(name: str, folder: Path, *, download: bool) -> tuple[Path, str]:
    """A CSV and what it is: the user's, else the one that was made of OpenML's table, or is made now."""
    remote = REMOTE[name]
    own, made = folder / f"{name}.csv", folder / f"{name}-openml{remote.openml}.csv"
    if own.exists():
        return own, f"UCI {remote.title} (CSV)"
    if not made.exists():
        if not download:
            raise UserError(nothing_found(name, folder, "data.download is false"))
        print(f"UCI {remote.title} is not in {folder}: fetching OpenML {remote.openml}", flush=True)
        write_csv(made, fetch(name, folder))
    return made, f"UCI {remote.title} (OpenML {remote.openml})"


def nothing_found(name: str, folder: Path, why: str) -> str:
    remote = REMOTE[name]
    return f"""no UCI {remote.title} in {folder}, and {why}. Any one of these will do:
  * where openml.org can be reached, data.download=true, the default: it makes a file that can be copied from there,
    {folder}/{name}-openml{remote.openml}.csv
  * {folder}/{name}.csv: a header row, then one row an example; the class in the column `class`, or else in the
    last one; ? or nothing where a value is missing. From UCI's own archive:
      mkdir -p {shlex.quote(str(folder))} && cd {shlex.quote(str(folder))}
      curl -LO https://archive.ics.uci.edu/static/public/{remote.archive}
      python -m zipfile -e {Path(remote.archive).name} .
      (python -c "print('x,' * {remote.columns} + 'class')"; {remote.rows}) > {name}.csv
  * another data root: MIXUP_DATA=DIR in the environment, or data.root=DIR
  * a table that needs no file: data=iris, data=wine or data=breast_cancer"""


def fetch(name: str, folder: Path) -> list[list[str]]:
    """The rows of OpenML's table after a header, class last. Not cached by scikit-learn: the CSV made of them is kept."""
    from sklearn.datasets import fetch_openml

    try:
        with time_limit(20), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A network error occurred")  # it tries again, and raises in the end
            # These two need no pandas. Numbers are float64, words their places in `categories`.
            bunch = fetch_openml(data_id=REMOTE[name].openml, as_frame=False, parser="liac-arff", cache=False)
    except (OSError, http.client.HTTPException, EOFError, ValueError, KeyError) as error:
        why = f"it cannot be downloaded ({getattr(error, 'reason', error)})"
        raise UserError(nothing_found(name, folder, why)) from error
    cells = bunch.data if isinstance(bunch.data, np.ndarray) else bunch.data.toarray()
    words = [bunch.categories.get(feature, ()) for feature in bunch.feature_names]
    columns = [as_text(column, names, REMOTE[name].codes) for column, names in zip(cells.T, words)]
    columns.append(as_text(bunch.target, (), REMOTE[name].codes))
    return [[*bunch.feature_names, "class"], *map(list, zip(*columns))]


def as_text(values: Iterable[float | str | None], words: Sequence[str], codes: Mapping[str, str]) -> list[str]:
    """A column of numbers, or of places in `words`, as a CSV has it."""

    def text(value: float | str | None) -> str:
        if value is None or value != value:
            return ""
        if isinstance(value, str) or words:
            word = value if isinstance(value, str) else words[int(value)]
            return codes.get(word, word)
        return str(int(value)) if float(value).is_integer() else repr(float(value))

    return [text(value) for value in values]


def write_csv(file: Path, rows: list[list[str]]) -> None:
    """Atomic. Raises UserError where the folder cannot be written."""
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows(rows)
        partial.replace(file)
    except OSError as error:
        raise UserError(f"{file} cannot be written ({error}): make room there, or use data.root=DIR") from error
