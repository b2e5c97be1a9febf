"""Which runs are comparable with a row of the paper, and which row a cell resembles that is not."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mixup.ledger.cells import NOT_COUNTED, Settings, is_method
from mixup.ledger.evidence import Evidence
from mixup.ledger.metrics import Measure
from mixup.ledger.paper import Claim, Experiment, Row, mismatches

# How a machine computes: runs of one cell share it, but it does not set a run apart from the recipe.
COMPUTING = (
    *("data.on_error", "data.resident", "trainer.precision", "trainer.deterministic", "trainer.compile"),
    *("trainer.channels_last", "trainer.eval_batch_size", "trainer.train_eval_size"),
)
# The provenance that a record has of the paper's own data.
PAPERS_DATA = {
    "CIFAR-10": "CIFAR-10",
    "CIFAR-100": "CIFAR-100",
    "ImageNet-2012": "ImageNet",
    "Speech Commands v0.01": r"Speech Commands v0\.01",
    **{name: f"UCI {name}" for name in ("Abalone", "Arcene", "Arrhythmia", "Iris")},
    "Htru2": "UCI HTRU2",
    "Phishing": "UCI Website Phishing",
}

Recipes = Callable[[str, str], Settings | None]
"""Experiment and row -> the settings that this project runs for it; None for what it does not run."""


def why_not_comparable(run: Evidence, row: Row, experiment: str, recipes: Recipes) -> str | None:
    """Why a run cannot stand beside the row's numbers; None where it can."""
    if differences := mismatches(run.settings, row.settings):
        return differences[0]
    if run.settings["scale"] != "paper":
        return f"scale={run.settings['scale']}"
    if not is_papers_data(row.data, run.record["data"]):
        return f"{run.record['data']['provenance']}, the paper's is {row.data}"
    if differences := mismatches(run.settings, row.recipe):
        return differences[0]
    recipe = recipes(experiment, row.id)
    if recipe is None:
        return "no recipe of ours"
    for key, value in recipe.items():
        if key not in (*NOT_COUNTED, *COMPUTING) and run.settings[key] != value:
            return f"{key}={run.settings[key]}, the recipe's {value}"
    return None


def has_gaps(data: Mapping[str, Any]) -> bool:
    """Whether examples of a record's data were absent or unreadable."""
    return any((data.get("absent") or {}).values()) or any((data.get("unreadable") or {}).values())


def is_papers_data(name: str, data: Mapping[str, Any]) -> bool:
    """Whether a record's data is all that the paper's data set of this name holds."""
    return not has_gaps(data) and re.fullmatch(PAPERS_DATA.get(name, "(?!)"), data["provenance"]) is not None


# -- rows ----------------------------------------------------------------------------------------------------------------


def erm_row(row: Row | None, rows: Sequence[Row]) -> Row | None:
    """The ERM row with all other settings of this one; None for itself."""

    def rest(other: Row) -> Settings:
        return {key: value for key, value in other.settings.items() if not is_method(key)}

    matches = (other for other in rows if row and other is not row and other.method == "erm" and rest(other) == rest(row))
    return next(matches, None)


def corresponding(cells: Mapping[str, Settings], rows: Sequence[Row]) -> dict[str, tuple[Row, str]]:
    """The row that each cell resembles, and a remark on how they differ. cells: settings by name; so is the result.

    The length of training may differ; the data if all rows have the same; dropout if no cell has the row's."""
    free = {"trainer.epochs"} | ({"data.name"} if len({row.settings.get("data.name") for row in rows}) == 1 else set())
    resembled: dict[str, tuple[Row, str]] = {}
    for loose in (False, True):
        taken = {row.id for row, _ in resembled.values()}
        for name, settings in cells.items():
            for row in (row for row in rows if name not in resembled and not (loose and row.id in taken)):
                differing = {key for key, value in row.settings.items() if settings.get(key) != value}
                if loose and bool(settings.get("model.dropout")) == bool(row.settings.get("model.dropout")):
                    differing.discard("model.dropout")
                if differing <= free:
                    resembled[name] = row, remark(settings, row)
    return resembled


def remark(ours: Settings, row: Row) -> str:
    """What to say beside the row's number: ` on CIFAR-10 at dropout 0.7`."""
    data, dropout = (row.settings.get(key, ours[key]) for key in ("data.name", "model.dropout"))
    on = f" on {row.data}" if data != ours["data.name"] else ""
    return on + (f" at dropout {dropout:g}" if dropout != ours["model.dropout"] else "")


def claim_against_erm(row: Row | None, measure: Measure, paper: Experiment) -> tuple[Claim, int] | None:
    """What the paper claims of a row and its ERM row, and -1 where that is a lower number than ERM's, 1 for a higher one."""
    for claim in paper.claims if row else ():
        if claim.measure != measure or not (claim.better and claim.worse):
            continue
        better, worse = paper.row(claim.better), paper.row(claim.worse)
        for side, other, sign in ((better, worse, -1), (worse, better, 1)):
            if side is row and other is erm_row(row, paper.rows):
                return claim, sign
    return None
