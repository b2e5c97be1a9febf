"""Evidence against the paper, line by line: which runs may stand beside a printed number, and what the rules of
`statistics` make of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixup.errors import UserError
from mixup.ledger import inference as statistics
from mixup.ledger.cells import SEEDS, Cell, cells_of, difference
from mixup.ledger.evidence import Evidence
from mixup.ledger.inference import FEWEST_SEEDS, Paired, Verdict
from mixup.ledger.paper import Claim, Experiment, Row, Value, mismatches
from mixup.run import identity as naming

# Whose runs an experiment of the paper reads, where it has none of its own; and whose name differs from its folder's.
RUNS_OF = {"figure3b_curve": "figure3_cifar10"}

# The provenance that a record has of the paper's own data.
PAPERS_DATA = {
    "CIFAR-10": r"CIFAR-10 \(official archive\)",
    "CIFAR-100": r"CIFAR-100 \(official archive\)",
    "ImageNet-2012": "ImageNet",
    "Speech Commands v0.01": r"Speech Commands v0\.01",
    **dict.fromkeys(("Abalone", "Arcene", "Arrhythmia", "Htru2", "Iris", "Phishing"), r"UCI (?!.* instead of ).*"),
}
# What may differ from the recipe and leave the run comparable: how the machine computes it, and which draw it is.
NEUTRAL = {*naming.NOT_HASHED, *SEEDS, "evaluate", "data.on_error", "data.resident", "trainer.precision", "trainer.compile"}
NEUTRAL |= {"trainer.channels_last", "trainer.eval_batch_size", "trainer.clean_slice"}

Recipes = Callable[[str, str], Mapping[str, Any] | None]
"""Experiment and row -> the settings, by dotted key, that this project runs for it; None for what it does not run."""


@dataclass(frozen=True)
class Line:
    """A printed number. ours: by seed. beside: ours against the ERM row's, by seed; None where there is nothing to pair."""

    row: Row
    value: Value
    cell: Cell | None
    ours: Mapping[int, float]
    beside: Paired | None
    verdict: Verdict


@dataclass(frozen=True)
class Judged:
    """An experiment of the paper. apart: cells that are not comparable with any of its numbers."""

    paper: Experiment
    lines: tuple[Line, ...]
    claims: tuple[tuple[Claim, Paired, Verdict], ...]
    apart: tuple[Cell, ...]


def folder_of(name: str) -> str:
    """Where the evidence of an experiment of the paper lies, below results/runs; with `-cpu`, that of two cores."""
    return RUNS_OF.get(name, name)


def runs_of(name: str, evidence: Sequence[Evidence]) -> list[Evidence]:
    """An experiment's, at every scale."""
    return [run for run in evidence if run.file.parent.name.removesuffix("-cpu") in (name, folder_of(name))]


def judge(paper: Experiment, runs: Sequence[Evidence], recipes: Recipes) -> Judged:
    """UserError where runs of two recipes would have to be one mean."""
    cells_of(runs)
    found: dict[str, Cell] = {}
    for row in paper.rows:
        fitting = [run for run in runs if why_apart(run, row, paper.name, recipes) is None]
        cells = cells_of(fitting)
        if len(cells) > 1:
            raise UserError(difference(cells[0].first, cells[1].first))
        if cells:
            found[row.id] = cells[0]
    claims = [(claim, *judge_claim(claim, found)) for claim in paper.claims if claim.better is not None]
    lines = [line_of(row, value, paper, found, claims) for row in paper.rows for value in row.values]
    taken = {run.name for cell in found.values() for run in cell.runs}
    apart = () if paper.name in RUNS_OF and paper.rows else cells_of(run for run in runs if run.name not in taken)
    return Judged(paper, tuple(lines), tuple(claims), tuple(apart))


def why_apart(run: Evidence, row: Row, experiment: str, recipes: Recipes) -> str | None:
    """Why a run cannot stand beside the row's numbers; None where it can."""
    if told := mismatches(run.nested, row.settings):
        return told[0]
    if run.settings["scale"] != "paper":
        return f"scale={run.settings['scale']}"
    if not is_papers_data(row.data, run.record["data"]):
        return f"{run.record['data']['provenance']}, the paper's is {row.data}"
    if told := mismatches(run.nested, row.recipe):
        return told[0]
    recipe = recipes(experiment, row.id)
    if recipe is None:
        return "no recipe of ours"
    for key, value in recipe.items():
        if key not in NEUTRAL and run.settings[key] != value:
            return f"{key}={run.settings[key]}, the recipe's {value}"
    return None


def is_papers_data(name: str, data: Mapping[str, Any]) -> bool:
    """Whether a record's data is what the paper's data set of this name holds, whole."""
    lacks = any(data["absent"].values()) or any(data["unreadable"].values())
    return not lacks and re.fullmatch(PAPERS_DATA.get(name, "(?!)"), data["provenance"]) is not None


# -- verdicts ------------------------------------------------------------------------------------------------------------


def line_of(
    row: Row, value: Value, paper: Experiment, cells: Mapping[str, Cell], claims: Sequence[tuple[Claim, Paired, Verdict]]
) -> Line:
    place = (value.metric, value.statistic)
    cell, erm = cells.get(row.id), erm_row(row, paper.rows)
    ours = cell.values(*place) if cell else {}
    pairs = statistics.paired_difference(ours, cells[erm.id].values(*place)) if erm and erm.id in cells else None
    of_row = [found for claim, _, found in claims if claim.better == row.id and (claim.metric, claim.statistic) == place]
    verdict = statistics.row_verdict(number_verdict(list(ours.values()), value), of_row)
    return Line(row, value, cell, ours, pairs if pairs and pairs.seeds else None, verdict)


def erm_row(row: Row, rows: Sequence[Row]) -> Row | None:
    """The ERM row that has all else of this one; None for itself."""

    def rest(one: Row) -> dict[str, Any]:
        kept = {key: value for key, value in one.settings.items() if not key.startswith("mixup.")}
        return {key: value for key, value in kept.items() if key != "model.dropout"}

    return next((one for one in rows if one is not row and one.method == "erm" and rest(one) == rest(row)), None)


def number_verdict(ours: Sequence[float], value: Value) -> Verdict:
    """`cell_verdict`, also for a range. A number in another unit than percent has no margin: claims alone judge it."""
    if value.value is not None and value.unit == "%":
        return statistics.cell_verdict(ours, value.value, comparable=True)
    if len(ours) < FEWEST_SEEDS:
        return statistics.cell_verdict(ours, 0.0, comparable=True)
    if value.bounds is None:
        return Verdict("undecided", len(ours), "no margin is set for this unit, so that claims alone judge it")
    middle, half = sum(value.bounds) / 2, (value.bounds[1] - value.bounds[0]) / 2
    half = max(half, statistics.margin(middle))
    return statistics.range_verdict(ours, middle - half, middle + half, str(value))


def judge_claim(claim: Claim, cells: Mapping[str, Cell]) -> tuple[Paired, Verdict]:
    a, b = (claimed(claim, cells.get(id or "")) for id in (claim.better, claim.worse))
    return statistics.paired_difference(a, b), statistics.claim_verdict(a, b, comparable=True)


def claimed(claim: Claim, cell: Cell | None) -> dict[int, float]:
    """The values of one side, by seed."""
    return cell.values(claim.metric or "", claim.statistic or "") if cell else {}
