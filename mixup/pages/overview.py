"""Everything that is generated from the evidence: a page an experiment, `results/README.md` over all of them, and the block
of the project's README."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixup.errors import UserError
from mixup.ledger.cells import cells_of
from mixup.ledger.evidence import Evidence, faults
from mixup.ledger.inference import Verdict, Word
from mixup.ledger.paper import Claim, Experiment
from mixup.ledger.verdicts import Judged, Recipes, judge, runs_of
from mixup.pages.gan_table import gan_tables, page_gan
from mixup.pages.markdown import MADE, MISSING, Link, counted, from_results, table
from mixup.pages.tables import TITLES, beside_tables, directions, number_tables, page, page_beside

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
WORDS: tuple[Word, ...] = ("reproduced", "direction holds", "not reproduced", "undecided", "too few seeds", "not run")
UNJUDGED: tuple[Word, ...] = ("too few seeds", "not run")
APART = ("runs not comparable", "directions seen there")
ALL = "All tables"
ELSEWHERE = ("quickstart",)  # has a page of its own, by `make run`


@dataclass(frozen=True)
class Ledger:
    """What there is: experiments of the paper, judged, and the others' runs by name."""

    judged: tuple[Judged, ...]
    others: Mapping[str, Sequence[Evidence]]


def ledger(paper: Mapping[str, Experiment], evidence: Sequence[Evidence], recipes: Recipes, *, allow_dirty: bool) -> Ledger:
    """UserError for evidence that cannot be believed, with the first reason."""
    for run in evidence:
        if told := faults(run, allow_dirty=allow_dirty):
            remedy = "restore it from git, or collect the run again" if "dirty" not in told[0] else ""
            raise UserError(f"{run.file}: {told[0]}" + (f"; {remedy}" if remedy else ""))
    judged = tuple(judge(one, runs_of(name, evidence), recipes) for name, one in paper.items())
    taken = {run.name for name in paper for run in runs_of(name, evidence)}
    others: dict[str, list[Evidence]] = {}
    for run in evidence:
        name = run.file.parent.name.removesuffix("-cpu")
        if run.name not in taken and name not in ELSEWHERE:
            others.setdefault(name, []).append(run)
    return Ledger(judged, dict(sorted(others.items())))


def generated(found: Ledger) -> dict[str, str]:
    """The content of each file below `results`, by name."""
    files = {f"{one.paper.name}.md": page_of(one) for one in found.judged if has_page(one)}
    files |= {f"{name}.md": page_beside(name, cells_of(runs)) for name, runs in found.others.items()}
    return {**files, "README.md": overview(found)}


def has_page(judged: Judged) -> bool:
    return bool(judged.lines or judged.apart)


def page_of(judged: Judged, link: Link = from_results) -> str:
    return page_gan(judged.paper, judged.apart, link) if is_gan(judged.paper) else page(judged, link)


def is_gan(paper: Experiment) -> bool:
    return paper.name == "figure5_gan"


# -- results/README.md ---------------------------------------------------------------------------------------------------


def overview(found: Ledger) -> str:
    body = [overview_row(one) for one in found.judged]
    header = ["experiment", "numbers", *WORDS, *APART]
    lines = [MADE, "", "# Results", "", STATED, "", "## The paper's numbers", "", *table(header, body, words=1), ""]
    lines += ["## The paper's claims", "", *claims_table(found.judged), ""]
    if found.others:
        others = [[f"[{TITLES.get(name, name)}]({name}.md)", str(len(runs))] for name, runs in found.others.items()]
        lines += ["## Not in the paper", "", *table(["experiment", "runs"], others, words=1), ""]
    lines += ["The quick start has a page of its own, [quickstart.md](quickstart.md), made by `make run`. "]
    lines[-1] += "[report.html](report.html) has tables, figures, curves and every run's details on one page, for a browser."
    return "\n".join([*lines, "", f"## {ALL}", "", *all_tables(found)]) + "\n"


def all_tables(found: Ledger) -> list[str]:
    """Those of each page, without the words around them."""
    parts = {
        linked(one, ""): gan_tables(one.apart) if is_gan(one.paper) else number_tables(one)
        for one in found.judged
        if has_page(one)
    }
    parts |= {
        f"[{TITLES.get(name, name)}]({name}.md)": beside_tables(name, cells_of(runs)) for name, runs in found.others.items()
    }
    lines = []
    for title, tables in parts.items():
        lines += [f"### {title}", "", *(re.sub("^#+ ", "#### ", line) for line in tables)]
    return lines[:-1]


STATED = (
    "Each number that the paper prints, beside ours where the paper's recipe has been run on the paper's data; "
    "[paper.yaml](paper.yaml) has the paper's with their sources. A verdict is a rule that was fixed before the runs "
    "([`mixup/ledger/inference.py`](../mixup/ledger/inference.py)), and needs three seeds or more. Runs at a smaller scale, "
    "or on copies or parts of the data, are judged by no rule and stand apart on each page: of them is counted in how many "
    "cases the mean difference has the sign that the paper claims. The runs' records are in `runs/`."
)


def overview_row(judged: Judged) -> list[str]:
    counts = Counter(line.verdict.word for line in judged.lines)
    shown = [str(count) if count else MISSING for count in (len(judged.lines), *(counts[word] for word in WORDS))]
    return [linked(judged, ""), *shown, *apart_counts(judged)]


def apart_counts(judged: Judged) -> list[str]:
    """The cells below APART."""
    runs, (seen, total) = sum(len(cell.runs) for cell in judged.apart), directions(judged)
    return [str(runs) if runs else MISSING, f"{seen} of {total}" if total else MISSING]


def linked(judged: Judged, folder: str) -> str:
    title = short(judged.paper)
    return f"[{title}]({folder}{judged.paper.name}.md)" if has_page(judged) else title


def short(paper: Experiment) -> str:
    return paper.title.partition(",")[0]


def claims_table(judged: Sequence[Judged]) -> list[str]:
    """A line a claim in words: how many pairs of rows it is made of, and what the rules say of them."""
    body = []
    for one in judged:
        groups: dict[str, list[tuple[Claim, Verdict]]] = {}
        for claim, _, verdict in one.claims:
            groups.setdefault(claim.text, []).append((claim, verdict))
        for text, found in groups.items():
            counts = Counter(verdict.word for _, verdict in found)
            said = ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])
            body.append([short(one.paper), text, str(len(found)), said if len(found) > 1 else str(found[0][1])])
    return table(["experiment", "claim", "pairs", "verdict "], body, words=2, grouped=1)


# -- the project's README ------------------------------------------------------------------------------------------------


def with_block(readme: str, found: Ledger) -> str:
    """The README with its block written anew. UserError where the markers are not there, once each and in order."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.index(BEGIN) > readme.index(END):
        raise UserError(f"README.md: put the lines {BEGIN} and {END} where the table of results belongs, once each")
    before, _, rest = readme.partition(BEGIN)
    return before + "\n".join([BEGIN, *block(found), END]) + rest.partition(END)[2]


def block(found: Ledger) -> list[str]:
    body = [block_row(one) for one in found.judged if has_page(one)]
    total, judged = (sum(numbers(one)[place] for one in found.judged) for place in (0, 1))
    apart = sum(len(cell.runs) for one in found.judged for cell in one.apart)
    seen, cases = (sum(directions(one)[place] for one in found.judged) for place in (0, 1))
    summary = f"{counted(judged, 'number')} of the paper's {total} can be judged so far. "
    if apart:
        summary += (
            f"{counted(apart, 'run')} at a smaller scale or on other data are judged by no rule and stand apart: there the "
            f"mean difference has the sign that the paper claims in {seen} of {cases} cases. "
        )
    summary += "[results/README.md](results/README.md) has the rules, every claim and the way back to each record."
    header = ["experiment", "numbers", "judged", "verdicts ", *APART]
    return ["## Results", "", *table(header, body, words=1), "", summary, ""]


def numbers(judged: Judged) -> tuple[int, int]:
    """How many the paper prints, and how many of them can be judged."""
    return len(judged.lines), sum(line.verdict.word not in UNJUDGED for line in judged.lines)


def block_row(judged: Judged) -> list[str]:
    counts = Counter(line.verdict.word for line in judged.lines)
    verdicts = ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word] and word not in UNJUDGED)
    shown = [str(number) if judged.lines else MISSING for number in numbers(judged)]
    return [linked(judged, "results/"), *shown, verdicts or MISSING, *apart_counts(judged)]


# -- files ---------------------------------------------------------------------------------------------------------------


def changes(files: Mapping[Path, str], out: Path) -> tuple[dict[Path, str], list[Path]]:
    """What would be written, because it is absent or another, and what was generated before and is no longer."""
    written = {file: text for file, text in files.items() if not file.exists() or file.read_text() != text}
    pages = [file for file in sorted(out.glob("*.md")) if file not in files]
    return written, [file for file in pages if file.read_text().startswith(MADE)]
