"""The digitised curves of figure 2."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from mixup.errors import UserError
from mixup.ledger.paper import PAPER

FIGURE2 = PAPER.parent / "paper" / "figure2.csv"
COLUMNS = {"miss": "miss_pct", "gradient_norm": "gradnorm"}  # with _erm and _mixup

Figure2 = Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]
"""Measure (`miss`, in percent; `gradient_norm`, in a unit that the paper does not state) and method -> (lambda, value)."""


def read_figure2(file: Path = FIGURE2) -> Figure2:
    """The digitised curves. UserError where the file is absent or damaged."""
    try:
        with open(file, newline="") as stream:
            lines = list(csv.DictReader(stream))
        return {
            measure: {
                method: [(float(line["lambda"]), float(line[f"{column}_{method.lower()}"])) for line in lines]
                for method in ("ERM", "mixup")
            }
            for measure, column in COLUMNS.items()
        }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}, the paper's curves, cannot be read ({error!r}): restore it from git") from error
