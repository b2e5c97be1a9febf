"""The table after a sweep: as in `results/*.md`, but of all finished runs of an experiment instead of committed evidence. It
is printed, and written beside the runs."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from mixup.errors import UserError
from mixup.ledger.cells import grouped
from mixup.ledger.collect import evidence_of, runs_below
from mixup.ledger.comparable import Recipes
from mixup.ledger.evidence import Evidence
from mixup.ledger.metrics import Measure
from mixup.ledger.names import experiments
from mixup.ledger.paper import PAPER, Experiment, read_paper
from mixup.ledger.verdicts import build
from mixup.pages.build import MADE, page
from mixup.pages.texts import measured
from mixup.run import records
from mixup.run.files import write_atomic

FILE = "table.md"
RecipesOf = Callable[[Mapping[str, Experiment]], Recipes]


def has_table(name: str) -> bool:
    """Whether a folder below `runs` of this name is an experiment's."""
    return name.removesuffix("-cpu") in experiments()


def show_sweep(runs: Sequence[Path], measure: Measure, recipes: RecipesOf) -> int:
    """After a sweep of these runs: the tables of their experiments; where that cannot be, a short one of one measure, mean ±
    standard deviation over seeds. Returns 1 where some run has no record, and says so."""
    finished = [run for run in runs if records.read_record(run) is not None]
    if finished and not show_tables(finished, recipes):
        print_cells([evidence_of(run) for run in finished], measure)
    missing = len(runs) - len(finished)
    if missing:
        print(f"{missing} of {len(runs)} runs have no record", file=sys.stderr, flush=True)
    return int(missing > 0)


def show_tables(runs: Iterable[Path], recipes: RecipesOf) -> bool:
    """Writes and prints `table.md` of each experiment that the runs are of. False where they are of none, or where an
    experiment's runs cannot be one table, for which the reason is printed."""
    folders = list(dict.fromkeys(run.parent for run in runs))
    if not folders or not all(has_table(folder.name) for folder in folders):
        return False
    try:
        for folder in folders:
            show_table(folder, table_of(folder, recipes))
    except (UserError, OSError) as error:
        print(f"no table of {folder}: {error}", file=sys.stderr, flush=True)
        return False
    return True


def show_table(folder: Path, text: str) -> None:
    """Prints all but what is folded: rendered if the terminal is wide enough, since a narrower table would be cut."""
    write_atomic(folder / FILE, text.encode())
    short, console = re.sub(r"\n<details>.*?</details>\n", "", text, flags=re.DOTALL).strip(), Console()
    widest = max((len(line) for line in short.splitlines() if line.startswith("|")), default=0)
    console.print(Markdown(short)) if console.is_terminal and widest < console.width else print(short)
    print(f"\nall of it, with the way to each record: {folder / FILE}", flush=True)


def print_cells(runs: Sequence[Evidence], measure: Measure) -> None:
    """A line a cell, of runs that are no experiment's."""
    table = Table(title=", ".join(sorted({run.file.parent.name for run in runs})))
    table.add_column("run")
    table.add_column(measure.title, justify="right")
    for cell in grouped(runs):
        table.add_row(cell.label, measured(cell, measure))
    Console().print(table)


def table_of(folder: Path, recipes: RecipesOf) -> str:
    """Markdown, of every run in the folder that has finished."""
    evidence = [evidence_of(run) for run in runs_below([folder]) if records.read_record(run) is not None]
    papers = read_paper(PAPER)
    ledger = build(papers, evidence, recipes(papers)).with_runs()
    names = [name for name in ledger.experiments if ledger.of(name).entries]
    pages = [
        page(ledger.of(name), name, "markdown", address=str, record="{0.file.stem}/record.json".format) for name in names
    ]
    return "\n".join(text.removeprefix(MADE).lstrip() for text in pages)
