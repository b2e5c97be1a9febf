"""The table of an experiment's runs as they lie in `runs/<experiment>`: what `make tables` makes of committed evidence, here
of all that has finished, collected or not. It is printed after a sweep and written beside the runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from mixup.commands.redo import experiments, recipes
from mixup.errors import UserError
from mixup.ledger.cells import cells_of
from mixup.ledger.collect import contents, runs_below
from mixup.ledger.evidence import Evidence, parsed
from mixup.ledger.paper import read_paper
from mixup.ledger.verdicts import RUNS_OF, Judged, judge, runs_of
from mixup.pages.markdown import MADE, SOURCES
from mixup.pages.overview import ELSEWHERE, has_page, page_of
from mixup.pages.tables import page_beside
from mixup.run import records
from mixup.run.display import print_cells
from mixup.run.files import write_atomic

FILE = "table.md"
PAPER = Path(__file__).resolve().parents[2] / "results" / "paper.yaml"


def has_table(name: str) -> bool:
    """Whether a folder below `runs` of this name is an experiment's. The quick start has a page of its own."""
    return name.removesuffix("-cpu") in {*experiments(), *RUNS_OF.values()} - {*ELSEWHERE}


def show_sweep(runs: Sequence[Path], keys: Sequence[str], number: str) -> int:
    """After a sweep of these runs: the tables of their experiments; where that cannot be, a short one of one number, by its
    keys in a record, mean ± standard deviation over seeds. Returns 1 where some run has no record, which is said."""
    found = {run: record for run in runs if (record := records.read_record(run)) is not None}
    if not show_tables(found):
        names = sorted({run.parent.name for run in runs})
        print_cells(", ".join(names), number, records.cells(list(found.values()), *keys))
    missing = len(runs) - len(found)
    if missing:
        print(f"{missing} of {len(runs)} runs have no record", file=sys.stderr, flush=True)
    return int(missing > 0)


def show_tables(runs: Iterable[Path]) -> bool:
    """Writes and prints `table.md` of each experiment that the runs are of. False where they are of none, or where an
    experiment's runs cannot be one table, which is said."""
    folders = list(dict.fromkeys(run.parent for run in runs))
    if not folders or not all(has_table(folder.name) for folder in folders):
        return False
    try:
        for folder in folders:
            show_table(folder, table_of(folder))
    except (UserError, OSError) as error:
        print(f"no table of {folder}: {error}", file=sys.stderr, flush=True)
        return False
    return True


def show_table(folder: Path, text: str) -> None:
    """All but the list of records is printed: rendered where it fits, since a narrower table would be cut."""
    write_atomic(folder / FILE, text.encode())
    shown, console = text.partition(f"## {SOURCES}")[0].strip(), Console()
    widest = max((len(line) for line in shown.splitlines() if line.startswith("|")), default=0)
    console.print(Markdown(shown)) if console.is_terminal and widest < console.width else print(shown)
    print(f"\nall of it, with the way to each record: {folder / FILE}", flush=True)


def table_of(folder: Path) -> str:
    """Markdown, of every run in the folder that has finished."""
    found = [evidence_of(run) for run in runs_below([folder]) if records.read_record(run) is not None]
    paper = read_paper(PAPER)
    judged = [as_far_as_run(judge(one, found, recipes(paper))) for name, one in paper.items() if runs_of(name, found)]
    pages = [page_of(one, beside_table) for one in judged if has_page(one)]
    if not pages:
        pages = [page_beside(folder.name.removesuffix("-cpu"), cells_of(found), beside_table)]
    return "\n".join(page.removeprefix(MADE).lstrip() for page in pages)


def evidence_of(run: Path) -> Evidence:
    """What would be collected of a run; see `collecting` for what is refused then and not here."""
    return parsed(run.with_name(f"{run.name}.json"), contents(run))


def as_far_as_run(judged: Judged) -> Judged:
    """Without the numbers and the claims of the paper that no run stands beside."""
    lines = tuple(line for line in judged.lines if line.ours)
    return replace(judged, lines=lines, claims=tuple(found for found in judged.claims if found[1].seeds))


def beside_table(run: Evidence) -> str:
    """The address of a run's record from the table."""
    return f"{run.file.stem}/record.json"
