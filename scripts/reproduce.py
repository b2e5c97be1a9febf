"""Lists the rows of an experiment with the paper's numbers and where ours stand; with --row or --all prints the commands
that redo them, from training to tables; with --run runs these. What has finished is not run again."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from mixup.commands.messages import explain
from mixup.errors import UserError
from mixup.ledger.cells import runs_of
from mixup.ledger.evidence import read_evidence
from mixup.ledger.paper import Experiment, read_paper
from mixup.ledger.redo import Command, commands, commands_of_row, known, recipes
from mixup.ledger.verdicts import judge
from mixup.pages.texts import printed, spread

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", help="of results/paper.yaml, or of configs/experiment")
    parser.add_argument("--row", metavar="ID", help="the commands of one row")
    parser.add_argument("--all", action="store_true", help="the commands of the whole experiment")
    parser.add_argument(
        "--scale", default="paper", choices=["paper", "cpu"], help="paper (default), or cpu: small enough for two cores"
    )
    parser.add_argument("--run", action="store_true", help="run the commands: of the row, or of all")
    parser.add_argument("--runs", type=Path, default=ROOT / "results" / "runs", help="the evidence (default results/runs)")
    options = parser.parse_args()
    try:
        paper = read_paper(ROOT / "results" / "paper.yaml")
        name = known(options.experiment, paper)
        if not (options.row or options.all or options.run):
            listed(name, paper, options.runs)
            return 0
        found = commands_of_row(paper[name], options.row, options.scale) if options.row else commands(name, options.scale)
    except (UserError, HydraException, OmegaConfBaseException, OSError) as error:
        print(explain(error), file=sys.stderr)
        return 2
    try:
        return run(found) if options.run else show(found)
    except KeyboardInterrupt:
        return 130


def listed(name: str, paper: Mapping[str, Experiment], folder: Path) -> None:
    """The rows, a line a number; for what prints none, the commands."""
    rows = paper[name].rows if name in paper else ()
    if not rows:
        print(f"{name} prints no numbers; its commands, for all of it:")
        show(commands(name, "paper"))
        return
    ledger = judge(paper[name], runs_of(name, read_evidence(folder)), recipes(paper))
    width = max(len(row.id) for row in rows)
    for entry in ledger.numbers:
        assert entry.row is not None
        number, ours = printed(entry.row, entry.paper), spread(entry.ours.values())
        print(f"{entry.row.id:<{width}}  {entry.measure.title}: {number}; ours {ours}, {entry.verdict}")
    print(f"\nthe commands: python scripts/reproduce.py {name} --row ID, or --all")


def show(found: Sequence[Command]) -> int:
    for command in found:
        print(shlex.join(command))
    return 0


def run(found: Sequence[Command]) -> int:
    """One after the other; ends where one could not begin or was stopped. Returns the worst status."""
    worst = 0
    for command in found:
        print(f"$ {shlex.join(command)}", flush=True)
        status = subprocess.run([sys.executable, *command[1:]], cwd=ROOT, check=False).returncode
        worst = max(worst, abs(status))
        if status not in (0, 1):
            break
    return worst


if __name__ == "__main__":
    sys.exit(main())
