"""Tables of numbers and words in CSV files. What could lose numbers in silence is refused by file, line and column."""

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixup.errors import UserError, suggestion

MISSING = ("", "?")
# 3,14 and 1'000 and 1 000.5, 5 % and $3, 2024-01-31 and 31/1/24, 12:30; (5) and \u22125 and 0x1f
ODD_NUMBER = re.compile(
    r"\(?[-+\u2212]?\s?[$€£]?\s?\d[\d.,'\s]*(e[-+]?\d+)?\s?[%$€£]?\)?|0x[\da-f]+|\d{1,4}([-/.])\d{1,2}\2\d{1,4}([T\s].*)?|\d+(:\d\d)+",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Table:
    """columns: F names. cells: (N, F), numbers (NaN where missing) and, in the columns `words`, str ("" where missing).
    labels: (N,) int64."""

    columns: tuple[str, ...]
    cells: np.ndarray
    words: list[int]
    labels: np.ndarray
    classes: tuple[str, ...]
    provenance: str


def read_csv(file: Path, provenance: str, target: str | None = None) -> Table:
    """A table with a header and a class column: `target`; without one `class`, else the last.

    Raises UserError with file and line for any other content.
    """
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            text = stream.read()
        reader = csv.reader(io.StringIO(text, newline=""))
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        remedy = "save it as UTF-8" if isinstance(error, UnicodeDecodeError) else "restore it"
        raise UserError(f"{file} cannot be read as a CSV ({error}): {remedy}") from error
    if "\0" in text:  # with UTF-16 every cell would be a word of its own
        raise UserError(f"{file} holds NUL bytes, as UTF-16 does: save it as UTF-8, or restore it")
    header = [name.casefold() for name in rows[0][1]] if rows else []
    wanted = (target or "class").strip().casefold()
    if len(header) < 2 or not all(header) or any(map(is_number, header)) or header.count(wanted) > 1:
        raise UserError(f"{file} does not begin with the names of its columns, separated by commas, one of them the class")
    if target is not None and wanted not in header:
        known = ", ".join(rows[0][1][:20])
        raise UserError(f"data.target={target}: {file} has no such column{suggestion(wanted, header)}; it has {known}")
    place = header.index(wanted) if wanted in header else len(header) - 1
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
    columns_left = tuple(name for number, name in enumerate(rows[0][1]) if number != place)
    return Table(columns_left, np.stack(parsed, axis=1), words, numbered, tuple(names), provenance)


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
    for text in filter(ODD_NUMBER.fullmatch, present):
        raise UserError(
            f"{where}: '{text}' looks like a number, a share or a date, and would be one word among others; write numbers "
            "with a point and without signs of units or thousands, a date as the days since another, or put a letter before "
            "what is a word"
        )
    return np.array(["" if text in MISSING else text for text in texts], object)
