"""The ledger, built from the paper's numbers and the evidence by the rules of `inference`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mixup.errors import UserError
from mixup.ledger import inference
from mixup.ledger.cells import (
    RUNS_OF,
    Cell,
    Settings,
    baseline_of,
    cells_of,
    difference,
    experiment_of,
    is_erm,
    overlap,
    runs_of,
    values,
)
from mixup.ledger.comparable import Recipes, claim_against_erm, erm_row, why_not_comparable
from mixup.ledger.entries import ClaimEntry, Entry, Group, Ledger
from mixup.ledger.evidence import Evidence, faults
from mixup.ledger.groups import groups_of
from mixup.ledger.inference import FEWEST_SEEDS, Paired, Verdict, paired_difference
from mixup.ledger.metrics import Measure
from mixup.ledger.paper import Experiment, Row, Value


def checked(evidence: Sequence[Evidence], *, allow_dirty: bool) -> Sequence[Evidence]:
    """The evidence. UserError for a run that cannot be believed, with the first reason."""
    for run in evidence:
        if reasons := faults(run, allow_dirty=allow_dirty):
            remedy = "" if "--allow-dirty" in reasons[0] else "; restore it from git, or collect the run again"
            raise UserError(f"{run.file}: {reasons[0]}{remedy}")
    return evidence


Planned = Callable[[str, Settings], frozenset[int]]
"""Experiment and a cell's settings -> the seeds that its grid has of it, at the settings' scale; none for no cell of it."""


def build(
    papers: Mapping[str, Experiment], evidence: Sequence[Evidence], recipes: Recipes, planned: Planned | None = None
) -> Ledger:
    """UserError where runs of two recipes would have to be one mean."""
    parts = [judge(paper, runs_of(name, evidence), recipes) for name, paper in papers.items()]
    others = sorted({experiment_of(run) for run in evidence} - {*papers})
    for name in others:
        groups = groups_of(cells_of(runs_of(name, evidence)), name, None)
        parts.append(Ledger({}, tuple(entry for group in groups for entry in group_entries(group, None))))
    entries = tuple(with_plan(entry, planned) for part in parts for entry in part.entries)
    return Ledger(papers, entries, tuple(claim for part in parts for claim in part.claims))


def with_plan(entry: Entry, planned: Planned | None) -> Entry:
    """The entry with the seeds that its cell should have."""
    if planned is None or entry.cell is None:
        return entry
    return replace(entry, planned=planned(experiment_of(entry.cell.first), entry.cell.settings))


def judge(paper: Experiment, runs: Sequence[Evidence], recipes: Recipes) -> Ledger:
    """The part of one experiment of the paper."""
    cells_of(runs)
    by_row: dict[str, Cell] = {}
    for row in paper.rows:
        cells = cells_of(run for run in runs if why_not_comparable(run, row, paper.name, recipes) is None)
        if len(cells) > 1:
            raise UserError(difference(cells[0].first, cells[1].first))
        if cells:
            by_row[row.id] = cells[0]
    claims = claim_entries(paper, by_row)
    numbers = [number_entry(row, value, paper, by_row, claims) for row in paper.rows for value in row.values]
    taken = {run.name for cell in by_row.values() for run in cell.runs}
    rest = [] if paper.name in RUNS_OF else cells_of(run for run in runs if run.name not in taken)
    for group in groups_of(rest, paper.name, paper):
        numbers += group_entries(group, paper)
        claims += claim_entries(paper, sole_cells(group), group)
    return Ledger({paper.name: paper}, tuple(numbers), tuple(claims))


def number_entry(
    row: Row, value: Value, paper: Experiment, cells: Mapping[str, Cell], claims: Sequence[ClaimEntry]
) -> Entry:
    measure, cell, erm = value.measure, cells.get(row.id), erm_row(row, paper.rows)
    baseline, ours = cells.get(erm.id) if erm else None, values(cell, measure)
    of_row = [claim.verdict for claim in claims if claim.rows[0] is row and claim.measure == measure and claim.verdict]
    verdict = inference.row_verdict(number_verdict(list(ours.values()), value), of_row)
    if ours and not row.is_stated:
        verdict = not_stated(len(ours), f"one run is expected in {inference.prediction(list(ours.values()))}")
    difference = difference_of(cell, baseline, measure)
    return Entry(paper.name, measure, row, value, cell, ours, difference, verdict, baseline=baseline)


def not_stated(n: int, seen: str) -> Verdict:
    """For rows whose numbers are decided by what the paper does not state. seen: under our choices."""
    return Verdict("recipe not stated", n, f"under our choices {seen}")


def difference_of(a: Cell | None, b: Cell | None, measure: Measure) -> Paired | None:
    """None where the cells have no seed in common."""
    pairs = paired_difference(values(a, measure), values(b, measure), overlap=overlap(a, b))
    return pairs if pairs.seeds else None


def number_verdict(ours: Sequence[float], value: Value) -> Verdict:
    """`cell_verdict`, also for a range. A number in another unit than percent has no margin: claims alone judge it."""
    if value.value is not None and value.unit == "%":
        return inference.cell_verdict(ours, value.value)
    if len(ours) < FEWEST_SEEDS:
        return inference.cell_verdict(ours, 0.0)
    if value.bounds is None:
        return Verdict("undecided", len(ours), "no margin is set for this unit, so that claims alone judge it")
    low, high = value.bounds
    half = max(0.0, inference.margin((low + high) / 2) - (high - low) / 2)
    return inference.range_verdict(ours, (low, high), half, str(value))


def claim_entries(paper: Experiment, cells: Mapping[str, Cell], group: Group | None = None) -> list[ClaimEntry]:
    """The claims that one row is better than another. cells: by row. Of a group, claims for which it lacks a cell are left
    out, and claims about a cell and its baseline, which are the direction of an entry."""
    entries = []
    for claim in paper.claims:
        if claim.better is None or claim.worse is None or (group and not {claim.better, claim.worse} <= cells.keys()):
            continue
        measure, rows = claim.measure, (paper.row(claim.better), paper.row(claim.worse))
        pair = (cells[claim.better], cells[claim.worse]) if group else ()
        if group and measure in group.compared and is_baseline(pair, group.cells):
            continue
        a, b = (cells.get(row.id) for row in rows)
        ours = values(a, measure), values(b, measure)
        difference = paired_difference(*ours, overlap=overlap(a, b))
        verdict = None if group else inference.claim_verdict(*ours)
        if verdict and difference.seeds and not all(row.is_stated for row in rows):
            verdict = not_stated(len(difference.seeds), f"the difference is {difference.interval}")
        entries.append(ClaimEntry(paper.name, claim, measure, rows, difference, verdict, group, pair))
    return entries


def is_baseline(pair: Sequence[Cell], cells: Sequence[Cell]) -> bool:
    """Whether one of the two cells is the baseline of the other."""
    a, b = pair
    return baseline_of(a, cells) is b or baseline_of(b, cells) is a


# -- runs that are not comparable ----------------------------------------------------------------------------------------


def group_entries(group: Group, paper: Experiment | None) -> list[Entry]:
    """One entry for each cell and measure."""
    return [group_entry(cell, measure, group, paper) for cell in group.cells for measure in group.measures]


def group_entry(cell: Cell, measure: Measure, group: Group, paper: Experiment | None) -> Entry:
    (row, remark), ours = group.row(cell), cell.values(measure)
    baseline = baseline_of(cell, group.cells) if measure in group.compared else None
    difference, claim, direction = difference_of(cell, baseline, measure), None, None
    found = claim_against_erm(row, measure, paper) if paper else None
    if found and difference and baseline and is_erm(baseline.settings):
        claim, sign = found
        lower, higher = (cell, baseline) if sign < 0 else (baseline, cell)
        direction = difference_of(lower, higher, measure)
    printed = row.value(measure.metric, measure.statistic) if row else None
    verdict = Verdict("not comparable", len(ours), group.title)
    numbers = (measure, row, printed, cell, ours, difference, verdict)
    compared = (baseline, claim, direction)
    return Entry(group.experiment, *numbers, group, remark, *compared)


def sole_cells(group: Group) -> dict[str, Cell]:
    """The cells by the row of the paper that they resemble, without the rows that several cells resemble."""
    rows = [row.id for row, _ in group.rows.values()]
    return {row.id: cell for cell in group.cells if (row := group.row(cell)[0]) and rows.count(row.id) == 1}
