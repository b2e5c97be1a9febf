"""One page of `results/` for each experiment: the paper's numbers, ours, the verdicts, and where ours come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mixup.evaluation.doubts import doubts
from mixup.ledger.cells import Cell
from mixup.ledger.inference import Paired, Verdict, sign_test
from mixup.ledger.paper import Claim, Experiment
from mixup.ledger.systems import system
from mixup.ledger.verdicts import Judged
from mixup.pages.apart import claim_table, kind_table
from mixup.pages.kinds import Measure, kinds
from mixup.pages.markdown import (
    CARD,
    MADE,
    MISSING,
    ROW_NAMES,
    SOURCES,
    Link,
    cost,
    from_results,
    measure,
    paired,
    paper_number,
    places_of,
    probability,
    row_name,
    sources,
    spread,
    table,
    telling,
)

NUMBERS = "The paper's numbers and ours"
LEGEND = (
    "Ours: mean ± standard deviation (number of seeds). Difference: minus ERM's of the same seed, with its 95 % interval. "
    "Verdicts follow the rules in [`mixup/ledger/inference.py`](../mixup/ledger/inference.py). Errors are in percent."
)
APART = (
    "Other data, another scale or another recipe than the paper's: numbers of their own kind. The paper's stand beside them "
    "for orientation alone, and no verdict is drawn. *Direction seen* says no more than that the mean difference has the "
    "claimed sign, and how likely that many seeds of that sign are by chance. Mean ± standard deviation (number of seeds); "
    "difference: minus ERM's of the same seed, with its 95 % interval; p: exact one-sided sign test that it is lower than "
    "ERM's. Errors are in percent."
)
BESIDE = (
    "Not in the paper's tables. Mean ± standard deviation (number of seeds); difference: of pairs of the same seed, with"
    " its 95 % interval; p: exact one-sided sign test that it is lower. Errors are in percent."
)
TITLES = {
    "alpha_sweep": "Beside the paper: how much does alpha matter?",
    "dirichlet": "Beside the paper's tables: mixtures of more than two examples",
    "report_card": "Beside the paper: likelihood, calibration, corruptions and attacks",
    "semantics": "Beside the paper: what other systems call mixup",
}
LAST: Measure = ("test.top1_error", "last")
CARD_MEASURES: list[Measure] = [(name, "last") for name in CARD]


def page(judged: Judged, link: Link = from_results) -> str:
    """Of an experiment of the paper."""
    paper = judged.paper
    lines = [MADE, "", f"# {paper.title}", "", introduction(paper), ""]
    if judged.lines:
        lines += [f"## {NUMBERS}", "", *paper_table(judged), "", LEGEND, "", *reasons(judged)]
    if claims := claim_section(judged):
        lines += ["## Claims of the paper", "", *claims, ""]
    if judged.apart:
        lines += ["## Not comparable", "", APART, ""] if paper.rows else []
        lines += [*tables_apart(judged), *attack_notes(judged.apart)]
    own = {line.cell.first.name: line.cell for line in judged.lines if line.cell}
    return ended(lines, [*own.values(), *judged.apart], link)


def page_beside(name: str, cells: Sequence[Cell], link: Link = from_results) -> str:
    """Of runs that the paper has nothing of."""
    lines = [MADE, "", f"# {TITLES.get(name, f'Runs of {name}')}", "", BESIDE, ""]
    return ended([*lines, *beside_tables(name, cells)], cells, link)


def beside_tables(name: str, cells: Sequence[Cell]) -> list[str]:
    headline: Measure = ("test.top1_error", "last10_median")
    measures = [headline, *(CARD_MEASURES if name == "report_card" else [LAST])]
    return apart_tables(cells, measures, headline, called=system_name if name == "semantics" else None)


def number_tables(judged: Judged) -> list[str]:
    """All that has numbers of ours or of the paper's."""
    own = [f"## {NUMBERS}", "", *paper_table(judged), ""] if judged.lines else []
    return [*own, *tables_apart(judged)]


def tables_apart(judged: Judged) -> list[str]:
    paper = judged.paper
    return apart_tables(judged.apart, measures_of(paper), (paper.metric or "", paper.statistic), paper)


def system_name(cell: Cell) -> str:
    return system(cell.settings) or MISSING


def ended(lines: Sequence[str], cells: Sequence[Cell], link: Link) -> str:
    if not cells:
        return "\n".join(lines).rstrip() + "\n"
    said = "A record holds configuration, command, data and versions of its run; its curve lies beside it, as .csv."
    return "\n".join([*lines, f"## {SOURCES}", "", *sources(cells, link), "", said]) + "\n"


def introduction(paper: Experiment) -> str:
    note = [" ".join(paper.note.split())] if paper.note else []
    redo = f"`python scripts/reproduce.py {paper.name}` lists the rows, `--row ID` prints the commands that redo one, and"
    return " ".join([f"Section {paper.section}.", *note, redo, "`--all --scale cpu` those of the small runs."])


def apart_tables(
    cells: Sequence[Cell],
    measures: Sequence[Measure],
    headline: Measure,
    paper: Experiment | None = None,
    called: Callable[[Cell], str] | None = None,
) -> list[str]:
    level = "###" if paper and paper.rows else "##"
    lines = []
    for kind in kinds(cells, measures, headline, paper, called):
        lines += [f"{level} {kind.title}", "", *kind_table(kind), ""]
        if claims := claim_table(kind):
            lines += ["Other claims:", "", *claims, ""]
    return lines


def directions(judged: Judged) -> tuple[int, int]:
    """Of the runs that are not comparable: how many of the directions that the paper claims are seen, and of how many."""
    if not judged.apart or not judged.paper.rows:
        return 0, 0
    text = "\n".join(tables_apart(judged))
    return text.count("direction seen"), text.count("direction seen") + text.count("direction not seen")


def attack_notes(cells: Sequence[Cell]) -> list[str]:
    """What contradicts how attacks work, run by run."""
    runs = [run for cell in cells for run in cell.runs if "attacks" in run.evaluations]
    told = [f"* `{run.record['label']}`: {one}" for run in runs for one in doubts(run.evaluations["attacks"]["results"])]
    if not told:
        return []
    why = "The error should grow with epsilon, a stronger attack do no less, another net's examples no more than one's own."
    examples = min(run.evaluations["attacks"]["examples"] for run in runs)
    return [f"{why} Of {examples:,} examples, it is not so here:", "", *told, ""]


def measures_of(paper: Experiment) -> list[Measure]:
    """Those that the paper prints; of attacks, also the clean error, without which they say little."""
    found = [(value.metric, value.statistic) for row in paper.rows for value in row.values]
    clean = [LAST] if not found or any(metric.startswith("white_box") for metric, _ in found) else []
    return list(dict.fromkeys([*clean, *found]))


# -- numbers -------------------------------------------------------------------------------------------------------------


def paper_table(judged: Judged) -> list[str]:
    names = telling(judged.paper.rows)
    measures = measures_of(judged.paper)
    several = len(measures) > 1
    body = []
    for line in judged.lines:
        value, places = line.value, places_of(line.value.metric)
        body.append(
            [
                *(ROW_NAMES[name](line.row) for name in names),
                *([measure(value.metric, value.statistic)] if several else []),
                paper_number(line.row, value),
                spread(list(line.ours.values()), places),
                paired(line.beside, places),
                str(line.verdict),
                cost(line.cell),
            ]
        )
    header = [*names, *(["measure"] if several else []), "paper", "ours", "difference", "verdict ", "one run "]
    said = [] if several else [f"The number is: {measure(*measures[0])}.", ""]
    return [*said, *table(header, body, words=len(names) + several, grouped=len(names))]


def reasons(judged: Judged) -> list[str]:
    """Why each verdict is what it is, with its numbers."""
    found = [line for line in judged.lines if line.verdict.word != "not run"]
    names = [
        f"{row_name(line.row, judged.paper.rows)}, {measure(line.value.metric, line.value.statistic)}" for line in found
    ]
    lines = [f"* {name}: {line.verdict}; {line.verdict.reason}" for name, line in zip(names, found)]
    return ["Why:", "", *lines, ""] if lines else []


# -- claims --------------------------------------------------------------------------------------------------------------


def claim_section(judged: Judged) -> list[str]:
    """A line a claim that names two rows; those in words below."""
    lines = []
    if judged.claims:
        several = len({(claim.metric, claim.statistic) for claim, _, _ in judged.claims}) > 1
        body = [claim_row(judged.paper, *found, several=several) for found in judged.claims]
        names = ["claim", "lower", "higher", *(["measure"] if several else [])]
        header = [*names, "paper", "difference", "seeds lower", "p", "verdict "]
        lines += table(header, body, words=len(names))
        lines += ["", "p: exact one-sided sign test, over pairs of seeds, that the first is lower than the second."]
    words = [claim for claim in judged.paper.claims if claim.better is None]
    if words and lines:
        lines += ["", "In words alone, judged by no rule:", ""]
    return lines + [f"* {claim.text}{'' if claim.verified else ' (unverified)'}" for claim in words]


def claim_row(paper: Experiment, claim: Claim, pairs: Paired, verdict: Verdict, *, several: bool) -> list[str]:
    metric, statistic = claim.metric or "", claim.statistic or ""
    sides = [paper.row(id or "") for id in (claim.better, claim.worse)]
    values = [(side, side.value(metric, statistic)) for side in sides]
    printed = " < ".join(paper_number(side, value) if value else MISSING for side, value in values)
    signs = sign_test(pairs.differences)
    counts = [f"{signs.lower} of {signs.n}", probability(signs.p)] if pairs.seeds else [MISSING, MISSING]
    text = claim.text if claim.verified else f"{claim.text} (unverified)"
    names = [text, *(row_name(side, paper.rows) for side in sides), *([measure(metric, statistic)] if several else [])]
    return [*names, printed, paired(pairs, places_of(metric)), *counts, str(verdict)]
