"""The curves of figure 2, read off the paper's drawing: `results/paper/figure2.csv`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from mixup.errors import UserError

FIGURE2 = Path(__file__).resolve().parents[2] / "results" / "paper" / "figure2.csv"
COLUMNS = {
    "miss": {"ERM": "miss_pct_erm", "mixup": "miss_pct_mixup"},
    "gradient_norm": {"ERM": "gradnorm_erm", "mixup": "gradnorm_mixup"},
}

Curves = Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]
"""Measure (`miss`, in percent; `gradient_norm`, in a unit that the paper does not state) and method -> (lambda, value)."""


def read_figure2(file: Path = FIGURE2) -> Curves:
    """UserError where the file is absent or not as it should be."""
    try:
        with open(file, newline="") as stream:
            rows = list(csv.DictReader(stream))
        return {
            measure: {
                method: [(float(row["lambda"]), float(row[column])) for row in rows] for method, column in methods.items()
            }
            for measure, methods in COLUMNS.items()
        }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}, the paper's curves, cannot be read ({error!r}): restore it from git") from error
