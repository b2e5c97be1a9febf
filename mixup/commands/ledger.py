"""What `scripts/ledger.py` does: a verb for each way between finished runs, committed evidence and pages."""

import argparse
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixup.commands.messages import one_message
from mixup.commands.redo import Command, commands, commands_of_row, differences, full_name, planned_seeds, recipes
from mixup.errors import UserError
from mixup.ledger.cells import runs_of
from mixup.ledger.collect import collect_run, runs_below
from mixup.ledger.evidence import read_evidence
from mixup.ledger.paper import PAPER, Experiment, read_paper
from mixup.ledger.seeds_needed import plans, seeds_needed
from mixup.ledger.setups import NAME as SETUPS
from mixup.ledger.setups import collect_setups
from mixup.ledger.verdicts import judge
from mixup.run.places import RESULTS, ROOT

Options = argparse.Namespace


@one_message(stopped="stopped")
def main(arguments: Sequence[str]) -> int:
    """Returns the exit status: 0 done, 1 refused or out of date, 2 a mistake in the request."""
    options = parser().parse_args(arguments)
    return options.verb(options)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ledger.py", description="Evidence of finished runs, and what is made from it.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def add(verb: Callable[[Options], int], name: str) -> Callable[..., argparse.Action]:
        added = verbs.add_parser(name, help=(verb.__doc__ or "").partition("\n")[0], description=verb.__doc__)
        added.set_defaults(verb=verb)
        return added.add_argument

    dirty: dict[str, Any] = {"action": "store_true", "help": "accept runs of a tree with uncommitted changes"}
    runs: dict[str, Any] = {"type": Path, "default": RESULTS / "runs", "help": "the evidence (default results/runs)"}
    new = add(collect_runs, "collect")
    new("paths", nargs="+", type=Path, metavar="RUN", help="a run's directory, or one of many: runs/<experiment>")
    new("--out", type=Path, default=RESULTS / "runs", help="default results/runs")
    new("--replace", action="store_true", help="overwrite evidence of the same run that differs")
    new("--allow-dirty", **dirty)
    for verb in (tables, figures, report):
        new = add(verb, verb.__name__)
        new("--runs", type=Path, help="the evidence (default results/runs, or runs below --out)")
        new("--out", type=Path, default=RESULTS, help="the folder of the results (default results)")
        new("--allow-dirty", **dirty)
        if verb is tables:
            new("--check", action="store_true", help="write nothing; status 1 and the files that would change")
    new = add(reproduce, "reproduce")
    new("experiment", nargs="?", help="of results/paper.yaml or configs/experiment; a beginning is enough")
    new("--within", metavar="TIME", help="run what is missing and fits 90s, 8m or 2h, of one experiment or of all")
    new("--row", metavar="ID", help="the commands of one row")
    new("--all", action="store_true", help="the commands of the whole experiment")
    new("--scale", default="paper", choices=["paper", "cpu"], help="paper (default), or cpu for two cores")
    new("--run", action="store_true", help="run the commands: of the row, or of all")
    new("--runs", **runs)
    new = add(train_again, "retrain")
    new("cells", nargs="*", metavar="CELL", help="<experiment>/<label without seed> (default two cheap ones)")
    new("--runs", **runs)
    new = add(seeds, "seeds")
    new("experiment", nargs="?", help="of results/paper.yaml: its evidence gives the spread")
    new("--std", type=float, help="standard deviation of paired differences, percentage points")
    new("--difference", type=float, help="the difference to show, percentage points")
    new("--power", type=float, default=0.8, help="the chance of showing it (default 0.8)")
    new("--runs", **runs)
    return parser


def collect_runs(options: Options) -> int:
    """Copies finished runs to results/runs as evidence: record, measurements and curve.

    Refuses a run that has not finished, ran from a tree with uncommitted changes, contradicts itself, or differs from its
    committed evidence."""
    runs = runs_below(options.paths)
    setups = [run for run in runs if run.parent.name == SETUPS]
    if setups:
        count = collect_setups(setups, options.out.parent, replace=options.replace)
        print(f"collected: {count:,} runs of {SETUPS} as one file, {options.out.parent / SETUPS}.csv")
        runs = [run for run in runs if run.parent.name != SETUPS]
    if not runs:
        return 0
    counts = Counter[str]()
    for run in runs:
        try:
            word: str = collect_run(run, options.out, allow_dirty=options.allow_dirty, replace=options.replace)
            if word != "unchanged":
                print(f"{word}: {run}")
        except (UserError, OSError) as error:  # of one run: the others are collected
            word = "refused"
            print(f"refused {run}: {error}", file=sys.stderr)
        counts[word] += 1
    print(f"{', '.join(f'{count} {word}' for word, count in counts.items())}; evidence is in {options.out}")
    return int(counts["refused"] > 0)


def tables(options: Options) -> int:
    """Writes results/*.md and the README's table from the evidence. The same evidence gives the same bytes."""
    from mixup.pages.build import write_tables

    return write_tables(**places(options), check=options.check, recipes=recipes(read_paper(PAPER)), planned=planned_seeds)


def figures(options: Options) -> int:
    """Draws results/figures/*.svg from the evidence, and names what is missing with its command."""
    from mixup.figures import write_figures

    return write_figures(**places(options), recipes=recipes(read_paper(PAPER)))


def report(options: Options) -> int:
    """Writes results/report.html: tables, figures and every run on one page that needs no network."""
    from mixup.pages.build import write_report

    how: dict[str, Any] = {"recipes": recipes(read_paper(PAPER)), "planned": planned_seeds, "differences": differences}
    return write_report(**places(options), **how)


def places(options: Options) -> dict[str, Any]:
    """What tables, figures and report are made from, and where to."""
    return {"runs": options.runs or options.out / "runs", "results": options.out, "allow_dirty": options.allow_dirty}


def reproduce(options: Options) -> int:
    """Lists an experiment's rows: the paper's numbers and ours. Prints the commands that redo them, or runs these.

    With --row or --all it prints the commands, from training to tables; with --run it runs them. What has finished is not
    run again. With --within it runs as much of what is missing as fits a time on this machine, the most valuable first."""
    paper = read_paper(PAPER)
    if options.within:
        from mixup.commands.within import reproduce_within, seconds_of

        wanted = [full_name(options.experiment, paper)] if options.experiment else list(paper)
        with_rows = {name: paper[name] for name in wanted if name in paper and paper[name].rows}
        if not with_rows:
            raise UserError(f"--within {options.within}: {wanted[0]} has no numbers of the paper, give --run instead")
        return reproduce_within(seconds_of(options.within), with_rows, options.scale, read_evidence(options.runs))
    if options.experiment is None:
        raise UserError(f"reproduce: name an experiment, of {', '.join(paper)}; or give --within TIME")
    name = full_name(options.experiment, paper)
    if options.row and name not in paper:
        raise UserError(f"--row {options.row}: {name} is not in the paper and has no rows, leave out --row")
    if not (options.row or options.all or options.run):
        if name in paper and paper[name].rows:
            return list_rows(name, paper, options.runs)
        print(f"{name} prints no numbers; its commands, for all of it:")
    steps = commands_of_row(paper[name], options.row, options.scale) if options.row else commands(name, options.scale)
    if options.run:
        return run(steps)
    print("\n".join(shlex.join(step) for step in steps))
    return 0


def train_again(options: Options) -> int:
    """Trains committed runs again and compares their curves, bit for bit where device and torch are those of the record."""
    from mixup.commands.retrain import retrain

    return retrain(options.cells, read_evidence(options.runs))


def list_rows(name: str, paper: Mapping[str, Experiment], folder: Path) -> int:
    """A line for each number."""
    from mixup.pages.texts import printed, spread

    ledger = judge(paper[name], runs_of(name, read_evidence(folder)), recipes(paper))
    width = max(len(row.id) for row in paper[name].rows)
    for entry in ledger.numbers:
        number, ours = printed(entry.row, entry.paper), spread(entry.ours.values())
        id = entry.row.id if entry.row else ""
        print(f"{id:<{width}}  {entry.measure.title}: {number}; ours {ours}, {entry.verdict}")
    print(f"\nthe commands: python scripts/ledger.py reproduce {name} --row ID, or --all")
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
    name, paper = options.experiment, read_paper(PAPER)
    if name is None:
        if options.std is None or options.difference is None:
            raise UserError("name an experiment, or give both --std and --difference")
        print(f"{seeds_needed(options.std, options.difference, options.power)} seeds, {level}")
        return 0
    if name not in paper:
        raise UserError(f"{name}: results/paper.yaml has {', '.join(paper)}")
    pairs = plans(judge(paper[name], runs_of(name, read_evidence(options.runs)), recipes(paper)))
    if not pairs:
        raise UserError(f"{name}: no two cells with two seeds in common in {options.runs}; give --std, --difference")
    print("\n".join([*(plan.answer(options.difference, options.power) for plan in pairs), f"({level})"]))
    return 0
