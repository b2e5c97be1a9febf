"""What `scripts/ledger.py` does: a verb for each way between finished runs, committed evidence and pages."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from mixup.commands.differences import differences
from mixup.commands.messages import explain
from mixup.commands.redo import Command, commands, commands_of_row, full_name, recipes
from mixup.errors import UserError
from mixup.ledger.cells import runs_of
from mixup.ledger.collect import collect, runs_below
from mixup.ledger.evidence import read_evidence
from mixup.ledger.inference import seeds_needed
from mixup.ledger.paper import read_paper
from mixup.ledger.seeds_needed import plans
from mixup.ledger.verdicts import judge

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"
PAPER = RESULTS / "paper.yaml"

Options = argparse.Namespace
Verb = Callable[[Options], int]


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status: 0 done, 1 refused or out of date, 2 a mistake in the request."""
    options = parser().parse_args(arguments)
    try:
        return options.verb(options)
    except (UserError, HydraException, OmegaConfBaseException, OSError) as error:
        print(explain(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ledger.py", description="Evidence of finished runs, and what is made from it.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def add(verb: Verb, name: str) -> argparse.ArgumentParser:
        first = (verb.__doc__ or "").partition("\n")[0]
        added = verbs.add_parser(name, help=first, description=verb.__doc__)
        added.set_defaults(verb=verb)
        return added

    dirty = "accept runs of a tree with uncommitted changes"
    new = add(collect_runs, "collect")
    new.add_argument(
        "paths", nargs="+", type=Path, metavar="RUN", help="a run's directory, or one of many: runs/<experiment>"
    )
    new.add_argument("--out", type=Path, default=RESULTS / "runs", help="default results/runs")
    new.add_argument("--replace", action="store_true", help="overwrite evidence of the same run that differs")
    new.add_argument("--allow-dirty", action="store_true", help=dirty)
    for verb, name in ((tables, "tables"), (figures, "figures"), (report, "report")):
        new = add(verb, name)
        new.add_argument("--runs", type=Path, help="the evidence (default results/runs, or runs below --out)")
        new.add_argument("--out", type=Path, default=RESULTS, help="the folder of the results (default results)")
        new.add_argument("--allow-dirty", action="store_true", help=dirty)
        if verb is tables:
            new.add_argument("--check", action="store_true", help="write nothing; status 1 and the files that would change")
    new = add(reproduce, "reproduce")
    new.add_argument("experiment", help="of results/paper.yaml or configs/experiment; a beginning is enough")
    new.add_argument("--row", metavar="ID", help="the commands of one row")
    new.add_argument("--all", action="store_true", help="the commands of the whole experiment")
    new.add_argument("--scale", default="paper", choices=["paper", "cpu"], help="paper (default), or cpu for two cores")
    new.add_argument("--run", action="store_true", help="run the commands: of the row, or of all")
    new.add_argument("--runs", type=Path, default=RESULTS / "runs", help="the evidence (default results/runs)")
    new = add(seeds, "seeds")
    new.add_argument("experiment", nargs="?", help="of results/paper.yaml: its evidence gives the spread")
    new.add_argument("--std", type=float, help="standard deviation of paired differences, percentage points")
    new.add_argument("--difference", type=float, help="the difference to show, percentage points")
    new.add_argument("--power", type=float, default=0.8, help="the chance of showing it (default 0.8)")
    new.add_argument("--runs", type=Path, default=RESULTS / "runs", help="the evidence (default results/runs)")
    return parser


def collect_runs(options: Options) -> int:
    """Copies finished runs to results/runs as evidence: record, measurements and curve.

    Refuses a run that has not finished, ran from a tree with uncommitted changes, contradicts itself, or differs from its
    committed evidence."""
    runs = runs_below(options.paths)
    outcomes = collect(runs, options.out, allow_dirty=options.allow_dirty, replace=options.replace)
    for outcome in outcomes:
        if outcome.word == "refused":
            print(f"refused {outcome.run}: {outcome.reason}", file=sys.stderr)
        elif outcome.word != "unchanged":
            print(f"{outcome.word}: {outcome.run}")
    counts = Counter(outcome.word for outcome in outcomes)
    print(f"{', '.join(f'{count} {word}' for word, count in counts.items())}; evidence is in {options.out}")
    return int(counts["refused"] > 0)


def places(options: Options) -> dict[str, Path]:
    return {"runs": options.runs or options.out / "runs", "results": options.out}


def tables(options: Options) -> int:
    """Writes results/*.md and the README's table from the evidence. The same evidence gives the same bytes."""
    from mixup.pages.build import write_tables  # type: ignore[import-not-found,unused-ignore]

    recipe = recipes(read_paper(PAPER))
    return write_tables(**places(options), check=options.check, allow_dirty=options.allow_dirty, recipes=recipe)


def figures(options: Options) -> int:
    """Draws results/figures/*.svg from the evidence, and names what is missing with its command."""
    from mixup.figures import write_figures  # type: ignore[attr-defined,unused-ignore]

    return write_figures(**places(options), allow_dirty=options.allow_dirty)


def report(options: Options) -> int:
    """Writes results/report.html: tables, figures and every run on one page that needs no network."""
    from mixup.pages.build import write_report  # type: ignore[import-not-found,unused-ignore]

    recipe = recipes(read_paper(PAPER))
    return write_report(**places(options), allow_dirty=options.allow_dirty, recipes=recipe, differences=differences)


def reproduce(options: Options) -> int:
    """Lists an experiment's rows: the paper's numbers and ours. Prints the commands that redo them, or runs these.

    With --row or --all it prints the commands, from training to tables; with --run it runs them. What has finished is not
    run again."""
    paper = read_paper(PAPER)
    name = full_name(options.experiment, paper)
    if not (options.row or options.all or options.run):
        list_rows(name, options.runs)
        return 0
    steps = commands_of_row(paper[name], options.row, options.scale) if options.row else commands(name, options.scale)
    return run(steps) if options.run else show(steps)


def list_rows(name: str, folder: Path) -> None:
    """A line for each number; the commands for an experiment without numbers."""
    from mixup.pages.texts import printed, spread

    paper = read_paper(PAPER)
    if name not in paper or not paper[name].rows:
        print(f"{name} prints no numbers; its commands, for all of it:")
        show(commands(name, "paper"))
        return
    ledger = judge(paper[name], runs_of(name, read_evidence(folder)), recipes(paper))
    width = max(len(row.id) for row in paper[name].rows)
    for entry in ledger.numbers:
        number, ours = printed(entry.row, entry.paper), spread(entry.ours.values())
        id = entry.row.id if entry.row else ""
        print(f"{id:<{width}}  {entry.measure.title}: {number}; ours {ours}, {entry.verdict}")
    print(f"\nthe commands: python scripts/ledger.py reproduce {name} --row ID, or --all")


def show(steps: Sequence[Command]) -> int:
    print("\n".join(shlex.join(step) for step in steps))
    return 0


def run(steps: Sequence[Command]) -> int:
    """Runs the commands in order and stops after one that could not begin or was interrupted. Returns the worst status."""
    worst = 0
    for step in steps:
        print(f"$ {shlex.join(step)}", flush=True)
        status = subprocess.run([sys.executable, *step[1:]], cwd=ROOT, check=False).returncode
        worst = max(worst, abs(status))
        if status not in (0, 1):
            break
    return worst


def seeds(options: Options) -> int:
    """How many seeds show a difference, given the spread of an experiment's evidence, or --std and --difference.

    A seed is a pair of runs, and the spread that of paired differences. The difference is the paper's where it has one."""
    level = f"with {100 * options.power:g} % power, by the 95 % interval of the paired difference"
    try:
        lines = seeds_of_evidence(options) if options.experiment else [seeds_of_spread(options)]
    except ValueError as error:
        raise UserError(str(error)) from error
    print(f"{lines[0]}, {level}" if not options.experiment else "\n".join([*lines, f"({level})"]))
    return 0


def seeds_of_spread(options: Options) -> str:
    if options.std is None or options.difference is None:
        raise UserError("name an experiment, or give both --std and --difference")
    return f"{seeds_needed(options.std, options.difference, options.power)} seeds"


def seeds_of_evidence(options: Options) -> list[str]:
    """A line for each pair of cells."""
    paper, name = read_paper(PAPER), options.experiment
    if name not in paper:
        raise UserError(f"{name}: results/paper.yaml has {', '.join(paper)}")
    pairs = plans(judge(paper[name], runs_of(name, read_evidence(options.runs)), recipes(paper)))
    if not pairs:
        raise UserError(f"{name}: no two cells with two seeds in common in {options.runs}; give --std, --difference")
    lines = []
    for plan in pairs:
        difference, count = options.difference or plan.difference, plan.seeds(options.difference, options.power)
        answer = (
            f"{count} seeds tell {abs(difference):.2f}" if difference else "the paper has no difference: give --difference"
        )
        lines.append(f"{plan.what}: seen {plan.seen:+.2f}, std {plan.std:.2f} over {plan.pairs} pairs; {answer}")
    return lines
