"""The tables of what cannot stand beside the paper's numbers: other data, scale or recipe, or what the paper has not."""

from __future__ import annotations

from mixup.ledger.alike import claimed_sign, direction
from mixup.ledger.cells import Cell, baseline_of, is_erm, is_mixup
from mixup.ledger.inference import Paired, paired_difference, sign_test
from mixup.ledger.paper import Claim
from mixup.pages.kinds import Kind, Measure
from mixup.pages.markdown import MISSING, cost, measure, paired, paper_number, places_of, probability, spread, table

BASELINES = {"ERM": is_erm, "mixup": is_mixup}


def kind_table(kind: Kind) -> list[str]:
    body = []
    for cell in kind.cells:
        for one in kind.paired_measures:
            row = [of(cell) for of in kind.columns.values()]
            row += [] if kind.wide else [measure(*one)]
            numbers = kind.measures if kind.wide else [one]
            row += [spread(list(cell.values(*other).values()), places_of(other[0])) for other in numbers]
            body.append([*row, *beside_baseline(cell, kind, one), cost(cell)])
    names = [*kind.columns, *([] if kind.wide else ["measure"])]
    columns = [measure(*one) for one in kind.measures] if kind.wide else ["ours"]
    against = next((name for name, is_it in BASELINES.items() if any(is_it(cell.settings) for cell in kind.cells)), "")
    judged = ["paper (orientation)", "verdict "] if kind.paper and kind.paper.rows else []
    header = [*names, *columns, f"difference{against and f' to {against}'}", "p", *judged, "one run "]
    return [kind.caption, "", *table(header, body, words=len(names), grouped=0 if kind.wide else len(names) - 1)]


def beside_baseline(cell: Cell, kind: Kind, one: Measure) -> list[str]:
    """Difference to the baseline and its sign test; the paper's number and whether its direction is seen."""
    baseline = baseline_of(cell, kind.cells)
    pairs = paired_difference(cell.values(*one), baseline.values(*one)) if baseline else Paired((), (), None)
    p = probability(sign_test(pairs.differences).p) if pairs.seeds else MISSING
    found = [paired(pairs, places_of(one[0])), p]
    if kind.paper is None or not kind.paper.rows:
        return found
    row, note = kind.rows.get(cell.first.name, (None, ""))
    value = row.value(*one) if row else None
    claimed = claimed_sign(cell, row, one, kind.paper)
    words = "not comparable"
    if claimed and pairs.seeds and baseline and is_erm(baseline.settings):
        lower, higher = (cell, baseline) if claimed < 0 else (baseline, cell)
        words += f"; {direction(paired_difference(lower.values(*one), higher.values(*one)))}"
    return [*found, paper_number(row, value) + note if row and value else MISSING, words]


# -- other claims --------------------------------------------------------------------------------------------------------


def claim_table(kind: Kind) -> list[str]:
    """The claims that are not of a cell and its ERM cell, which the table above has; as far as both rows have a cell."""
    body = []
    for claim, a, b in claimed_pairs(kind):
        one = (claim.metric or "", claim.statistic or "")
        if one in kind.paired_measures and (baseline_of(a, kind.cells) is b or baseline_of(b, kind.cells) is a):
            continue
        pairs = paired_difference(a.values(*one), b.values(*one))
        found = [paired(pairs, places_of(one[0])), direction(pairs)]
        body.append([claim.text, kind.name(a), kind.name(b), measure(*one), *found])
    return (
        table(["claim", "lower", "higher", "measure", "difference", "seen here "], body, words=4, grouped=1) if body else []
    )


def claimed_pairs(kind: Kind) -> list[tuple[Claim, Cell, Cell]]:
    """Each claim with the cells of its two rows, where both have exactly one."""
    found: dict[str, list[Cell]] = {}
    for cell in kind.cells:
        if cell.first.name in kind.rows:
            found.setdefault(kind.rows[cell.first.name][0].id, []).append(cell)
    sole = {id: cells[0] for id, cells in found.items() if len(cells) == 1}
    claims = kind.paper.claims if kind.paper else ()
    return [
        (claim, sole[claim.better], sole[claim.worse]) for claim in claims if claim.better in sole and claim.worse in sole
    ]
