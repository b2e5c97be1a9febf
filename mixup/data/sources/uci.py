"""The UCI tables that scikit-learn does not bundle: a CSV of the user's, or one that is made of OpenML's copy."""

import csv
import hashlib
import http.client
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mixup.data.sources.csv_tables import Table, read_csv
from mixup.data.sources.storage import Download, time_limit
from mixup.errors import UserError
from mixup.run.files import write_atomic

INSTEAD = "a table that needs no file: data=iris, data=wine or data=breast_cancer"


@dataclass(frozen=True)
class RemoteTable:
    """file: its name below `uci/`, without the ending. openml: its number at OpenML. digest: of UCI's rows, see `digest`.
    words: UCI's numbers for words that OpenML has in their place."""

    download: Download
    file: str
    openml: int
    digest: str
    words: Mapping[str, str]


def published(
    file: str, title: str, *, openml: int, archive: str, rows: str, columns: int, digest: str, **words: str
) -> RemoteTable:
    """archive: UCI's own, below archive.ics.uci.edu/static/public. rows: the shell command that prints its rows, class last,
    inside the unpacked archive. columns: how many there are before the class."""
    url = f"https://archive.ics.uci.edu/static/public/{archive}"
    remedy = f"""  * where openml.org can be reached, data.download=true, the default: it makes a file that can be copied
    from there, {{root}}/{file}-openml{openml}.csv
  * {{root}}/{file}.csv: a header row, then one row an example; the class in the column `class`, or else in the
    last one; ? or nothing where a value is missing. From UCI's own archive:
      mkdir -p {{quoted_root}} && cd {{quoted_root}}
      curl -LO {{url}}
      python -m zipfile -e {Path(archive).name} .
      (python -c "print('x,' * {columns} + 'class')"; {rows}) > {file}.csv"""
    download = Download(f"UCI {title}", (file,), url, size="", remedy=remedy, instead=INSTEAD)
    return RemoteTable(download, file, openml, digest, words)


ARCENE_ROWS = (
    "cat ARCENE/arcene_train.labels arcene_valid.labels > labels; "
    "cat ARCENE/arcene_train.data ARCENE/arcene_valid.data | paste -d ' ' - labels | tr -s ' ' ,"
)
REMOTE = {
    "abalone": published(
        *("abalone", "Abalone"),
        openml=183,
        archive="1/abalone.zip",
        rows="cat abalone.data",
        columns=8,
        digest="b443ee68dd089e2d230218eb155a34282ab3f313d067ad3aa85a11e75865c207",
    ),
    "arcene": published(
        *("arcene", "Arcene"),
        openml=1458,
        archive="167/arcene.zip",
        rows=ARCENE_ROWS,
        columns=10_000,
        digest="0f049fc114f3d034ded8184269e829278529e677e019df7857d2b585303d09c5",
    ),
    "arrhythmia": published(
        *("arrhythmia", "Arrhythmia"),
        openml=5,
        archive="5/arrhythmia.zip",
        rows="cat arrhythmia.data",
        columns=279,
        digest="8ab90586a69ea0350b0552d8a6d5a8d9ed588155954a56c715b34819323317f8",
    ),
    "htru2": published(
        *("htru2", "HTRU2"),
        openml=45558,
        archive="372/htru2.zip",
        rows="cat HTRU_2.csv",
        columns=8,
        digest="e880a97bb4b0ea66b416ea1ab130fee58e3ae00fe40050953f6a34df524991fa",
    ),
    "iris_uci": published(
        *("iris", "Iris"),
        openml=61,
        archive="53/iris.zip",
        rows="grep . iris.data",
        columns=4,
        digest="427b56a42b58233fa4d0631cab811a34708948bf70dc43ed9232742f8d0febfb",
    ),
    "phishing": published(
        *("phishing", "Website Phishing"),
        openml=46963,
        archive="379/website+phishing.zip",
        rows="grep -v '^[@%]' PhishingData.arff",
        columns=9,
        digest="4c207f8cfa6dadd4481162b55a743acdd23dafa463e4d8d6ac196155193fd3fc",
        **{"Phishy": "-1", "Suspicious": "0", "Legitimate": "1"},
    ),
    "phishing_websites": published(
        *("phishing_websites", "Phishing Websites"),
        openml=4534,
        archive="327/phishing+websites.zip",
        rows="grep -v '^[@%]' 'Training Dataset.arff'",
        columns=30,
        digest="fcf733b44941fa0e11c37cb40a87c97d7c1c7887a63b5978a9e8fb70049aec26",
    ),
}


def remote_table(name: str, folder: Path, *, download: bool) -> Table:
    """The user's CSV or OpenML's. Its provenance is UCI's title if the rows are UCI's, wherever they come from."""
    table, (file, kind) = REMOTE[name], obtain_csv(name, folder, download=download)
    title = table.download.title
    parsed = read_csv(file, f"{title} ({kind})")
    return replace(parsed, provenance=title) if digest(parsed) == table.digest else parsed


def digest(table: Table) -> str:
    """A SHA-256 over the sorted SHA-256 of each row: its words, its class, its numbers in float64. Neither the order of the
    rows nor the columns' names count."""
    words = table.cells[:, table.words].tolist()
    numbers = np.delete(table.cells, table.words, axis=1).astype("<f8") + 0.0  # -0 becomes 0
    numbers[np.isnan(numbers)] = np.nan  # of one bit pattern
    rows = zip(words, table.labels, numbers, strict=True)
    each = [hashlib.sha256(repr((*texts, table.classes[label])).encode() + row.tobytes()) for texts, label, row in rows]
    return hashlib.sha256(b"".join(sorted(row.digest() for row in each))).hexdigest()


def obtain_csv(name: str, folder: Path, *, download: bool) -> tuple[Path, str]:
    """A CSV and what it is: the user's, else the one that was made of OpenML's table, or is made now."""
    table = REMOTE[name]
    own, made = folder / f"{table.file}.csv", folder / f"{table.file}-openml{table.openml}.csv"
    if own.exists():
        return own, "CSV"
    if not made.exists():
        if not download:
            raise table.download.missing(folder, "data.download is false")
        print(f"{table.download.title} is not in {folder}: fetching OpenML {table.openml}", flush=True)
        write_csv(made, fetch_rows(table, folder))
    return made, f"OpenML {table.openml}"


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
