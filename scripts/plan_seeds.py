"""How many seeds tell a difference apart from the spread seen: of an experiment's evidence, or of --std and --difference.

A seed is a pair of runs, and the spread that of paired differences. The difference is the paper's where it has one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mixup.errors import UserError
from mixup.ledger.cells import runs_of
from mixup.ledger.evidence import read_evidence
from mixup.ledger.inference import seeds_needed
from mixup.ledger.paper import read_paper
from mixup.ledger.redo import recipes
from mixup.ledger.seeds_needed import plans
from mixup.ledger.verdicts import judge

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", nargs="?", help="of results/paper.yaml: the spread is that of its evidence")
    parser.add_argument("--std", type=float, help="standard deviation of paired differences, percentage points")
    parser.add_argument("--difference", type=float, help="the difference to tell, percentage points")
    parser.add_argument("--power", type=float, default=0.8, help="the chance of telling it (default 0.8)")
    parser.add_argument("--runs", type=Path, default=ROOT / "results" / "runs", help="the evidence (default results/runs)")
    options = parser.parse_args()
    try:
        print("\n".join(answer(options)))
        return 0
    except (UserError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


def answer(options: argparse.Namespace) -> list[str]:
    level = f"with {100 * options.power:g} % power, by the 95 % interval of the paired difference"
    if options.experiment is None:
        if options.std is None or options.difference is None:
            raise UserError("name an experiment, or give both --std and --difference")
        return [f"{seeds_needed(options.std, options.difference, options.power)} seeds, {level}"]
    paper = read_paper(ROOT / "results" / "paper.yaml")
    if options.experiment not in paper:
        raise UserError(f"{options.experiment}: results/paper.yaml has {', '.join(paper)}")
    runs = runs_of(options.experiment, read_evidence(options.runs))
    found = plans(judge(paper[options.experiment], runs, recipes(paper)))
    if not found:
        raise UserError(
            f"{options.experiment}: no two cells with two seeds in common in {options.runs}; give --std, --difference"
        )
    lines = []
    for plan in found:
        wanted = options.difference or plan.difference
        seeds = plan.seeds(options.difference, options.power)
        told = f"{seeds} seeds tell {abs(wanted):.2f}" if wanted else "the paper has no difference: give --difference"
        lines.append(f"{plan.what}: seen {plan.seen:+.2f}, std {plan.std:.2f} over {plan.pairs} pairs; {told}")
    return [*lines, f"({level})"]


if __name__ == "__main__":
    sys.exit(main())
