"""The UCI tables that scikit-learn does not bundle: found as a CSV of the user's, or fetched from OpenML."""

import csv
import http.client
import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixup.data.sources.download import Download, time_limit
from mixup.errors import UserError
from mixup.run.files import write_atomic

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
PHISHING_ROWS = "grep -v '^[@%]' PhishingData.arff"
PHISHING_WORDS = {"Phishy": "-1", "Suspicious": "0", "Legitimate": "1"}
REMOTE = {
    "abalone": remote_table("abalone", "Abalone", 183, "1/abalone.zip", "cat abalone.data", 8),
    "arcene": remote_table("arcene", "Arcene", 1458, "167/arcene.zip", ARCENE_ROWS, 10_000),
    "arrhythmia": remote_table("arrhythmia", "Arrhythmia", 5, "5/arrhythmia.zip", "cat arrhythmia.data", 279),
    "htru2": remote_table("htru2", "HTRU2", 45558, "372/htru2.zip", "cat HTRU_2.csv", 8),
    "phishing": remote_table(
        "phishing", "Website Phishing", 46963, "379/website+phishing.zip", PHISHING_ROWS, 9, **PHISHING_WORDS
    ),
}


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
    categories = [bunch.categories.get(feature, ()) for feature in bunch.feature_names]
    columns = [as_texts(column, words, table.words) for column, words in zip(cells.T, categories)]
    columns.append(as_texts(bunch.target, (), table.words))
    return [[*bunch.feature_names, "class"], *map(list, zip(*columns))]


def as_texts(values: Iterable[float | str | None], categories: Sequence[str], numbers: Mapping[str, str]) -> list[str]:
    """A column for a CSV. values: numbers, or places in `categories`. numbers: those that stand for some words."""

    def text(value: float | str | None) -> str:
        if value is None or value != value:
            return ""
        if isinstance(value, str) or categories:
            word = value if isinstance(value, str) else categories[int(value)]
            return numbers.get(word, word)
        return str(int(value)) if float(value).is_integer() else repr(float(value))

    return [text(value) for value in values]


def write_csv(file: Path, rows: list[list[str]]) -> None:
    """Atomic. Raises UserError if the folder cannot be written."""
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows(rows)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, stream.getvalue().encode())
    except OSError as error:
        raise UserError(f"{file} cannot be written ({error}): make room there, or use data.root=DIR") from error
