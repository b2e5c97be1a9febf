"""Which row of the paper a cell of another scale or of other data is the like of, and what the paper claims of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mixup.ledger.cells import Cell, is_mixup
from mixup.ledger.inference import Paired, sign_test
from mixup.ledger.paper import Experiment, Row
from mixup.ledger.verdicts import erm_row
from mixup.pages.markdown import MISSING, probability


def corresponding(cells: Mapping[str, Mapping[str, Any]], rows: Sequence[Row]) -> dict[str, tuple[Row, str]]:
    """The row that each cell is the like of, and what to say of that. cells: settings by name; so is the result.

    The length of training may differ, the data where all rows have the same, dropout where no cell has the row's."""
    free = {"trainer.epochs"} | ({"data.name"} if len({row.settings.get("data.name") for row in rows}) == 1 else set())
    found: dict[str, tuple[Row, str]] = {}
    for loose in (False, True):
        taken = {row.id for row, _ in found.values()}
        for name, settings in cells.items():
            for row in (row for row in rows if name not in found and not (loose and row.id in taken)):
                if all(key in free or like(key, settings.get(key), value, loose) for key, value in row.settings.items()):
                    found[name] = row, remark(settings, row.settings, row.data)
    return found


def remark(ours: Mapping[str, Any], papers: Mapping[str, Any], data: str) -> str:
    """What of the row to say beside its number."""
    data_differs = papers.get("data.name", ours["data.name"]) != ours["data.name"]
    dropout_differs = papers.get("model.dropout", ours["model.dropout"]) != ours["model.dropout"]
    at = f" at dropout {papers['model.dropout']:g}" if dropout_differs else ""
    return (f" on {data}" if data_differs else "") + at


def like(key: str, ours: Any, papers: Any, loose: bool) -> bool:
    return bool(ours) == bool(papers) if loose and key == "model.dropout" else ours == papers


def claimed_sign(cell: Cell, row: Row | None, one: tuple[str, str], paper: Experiment) -> int:
    """-1 where the paper claims a lower number than ERM's for this cell, 1 for a higher one, 0 where it claims neither.

    Plain mixup of a net or data set that the paper has not is taken by what it claims of all that it has."""
    rows = {row.id: row for row in paper.rows}
    signs = set()
    for claim in (claim for claim in paper.claims if claim.better and (claim.metric, claim.statistic) == one):
        better, worse = rows[claim.better or ""], rows[claim.worse or ""]
        for side, other, sign in ((better, worse, -1), (worse, better, 1)):
            if row is not None and side is row and other is erm_row(row, paper.rows):
                return sign
            if row is None and is_mixup(cell.settings) and (side.method, other.method) == ("mixup", "erm"):
                signs.add(sign)
    return signs.pop() if len(signs) == 1 else 0


def direction(pairs: Paired) -> str:
    """Whether "a is lower than b" is seen in differences a - b of runs that prove nothing of the paper: never a verdict."""
    if pairs.interval is None:
        return MISSING
    seen = "seen" if pairs.interval.mean < 0 else "not seen"
    return f"direction {seen}, n={len(pairs.seeds)}, p={probability(sign_test(pairs.differences).p)}"
