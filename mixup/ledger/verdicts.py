"""The ledger, built from the paper's numbers and the evidence by the rules of `inference`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mixup.errors import UserError
from mixup.ledger import inference
from mixup.ledger.cells import RUNS_OF, Cell, cells_of, difference, experiment_of, runs_of
from mixup.ledger.comparable import Recipes, erm_row, why_not_comparable
from mixup.ledger.entries import ClaimEntry, Entry, Ledger
from mixup.ledger.evidence import Evidence, faults
from mixup.ledger.groups import claims_of_group, entries_of_group, groups_of, values
from mixup.ledger.inference import FEWEST_SEEDS, Verdict, paired_difference
from mixup.ledger.metrics import Measure
from mixup.ledger.paper import Claim, Experiment, Row, Value

OWN_PAGE = ("quickstart",)  # experiments with a page of their own, whose runs are not kept


def checked(evidence: Sequence[Evidence], *, allow_dirty: bool) -> Sequence[Evidence]:
    """The evidence. UserError for a run that cannot be believed, with the first reason."""
    for run in evidence:
        if reasons := faults(run, allow_dirty=allow_dirty):
            remedy = "" if "--allow-dirty" in reasons[0] else "; restore it from git, or collect the run again"
            raise UserError(f"{run.file}: {reasons[0]}{remedy}")
    return evidence


def build(papers: Mapping[str, Experiment], evidence: Sequence[Evidence], recipes: Recipes) -> Ledger:
    """UserError where runs of two recipes would have to be one mean."""
    parts = [judge(paper, runs_of(name, evidence), recipes) for name, paper in papers.items()]
    others = sorted({experiment_of(run) for run in evidence} - {*papers, *OWN_PAGE})
    for name in others:
        groups = groups_of(cells_of(runs_of(name, evidence)), name, None)
        parts.append(Ledger({}, tuple(entry for group in groups for entry in entries_of_group(group, None))))
    entries = tuple(entry for part in parts for entry in part.entries)
    return Ledger(papers, entries, tuple(claim for part in parts for claim in part.claims))


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
    claims = [claim_entry(claim, paper, by_row) for claim in paper.claims if claim.better is not None]
    numbers = [number_entry(row, value, paper, by_row, claims) for row in paper.rows for value in row.values]
    taken = {run.name for cell in by_row.values() for run in cell.runs}
    rest = [] if paper.name in RUNS_OF else cells_of(run for run in runs if run.name not in taken)
    for group in groups_of(rest, paper.name, paper):
        numbers += entries_of_group(group, paper)
        claims += claims_of_group(group, paper)
    return Ledger({paper.name: paper}, tuple(numbers), tuple(claims))


def number_entry(
    row: Row, value: Value, paper: Experiment, cells: Mapping[str, Cell], claims: Sequence[ClaimEntry]
) -> Entry:
    measure = Measure(value.metric, value.statistic)
    cell, erm = cells.get(row.id), erm_row(row, paper.rows)
    baseline, ours = cells.get(erm.id) if erm else None, values(cell, measure)
    pairs = paired_difference(ours, values(baseline, measure))
    of_row = [one.verdict for one in claims if one.rows[0] is row and one.measure == measure and one.verdict]
    verdict = inference.row_verdict(number_verdict(list(ours.values()), value), of_row)
    return Entry(paper.name, measure, row, value, cell, ours, pairs if pairs.seeds else None, verdict, baseline=baseline)


def number_verdict(ours: Sequence[float], value: Value) -> Verdict:
    """`cell_verdict`, also for a range. A number in another unit than percent has no margin: claims alone judge it."""
    if value.value is not None and value.unit == "%":
        return inference.cell_verdict(ours, value.value, comparable=True)
    if len(ours) < FEWEST_SEEDS:
        return inference.cell_verdict(ours, 0.0, comparable=True)
    if value.bounds is None:
        return Verdict("undecided", len(ours), "no margin is set for this unit, so that claims alone judge it")
    middle, half = sum(value.bounds) / 2, (value.bounds[1] - value.bounds[0]) / 2
    half = max(half, inference.margin(middle))
    return inference.range_verdict(ours, middle - half, middle + half, str(value))


def claim_entry(claim: Claim, paper: Experiment, cells: Mapping[str, Cell]) -> ClaimEntry:
    measure = Measure(claim.metric or "", claim.statistic or "")
    better, worse = paper.row(claim.better or ""), paper.row(claim.worse or "")
    a, b = values(cells.get(better.id), measure), values(cells.get(worse.id), measure)
    verdict = inference.claim_verdict(a, b, comparable=True)
    return ClaimEntry(paper.name, claim, measure, (better, worse), paired_difference(a, b), verdict)
