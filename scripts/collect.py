"""Copies finished runs as evidence to results/runs: record, measurements and curve. Refuses a run that has not finished, is
of a tree with uncommitted changes, contradicts itself, or differs from what is committed of it."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mixup.errors import UserError
from mixup.ledger.collect import collect, runs_below

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="RUN", help="a run's directory, or one of many: runs/<experiment>"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "runs", help="default results/runs")
    parser.add_argument("--allow-dirty", action="store_true", help="take runs of a tree with uncommitted changes")
    parser.add_argument("--replace", action="store_true", help="overwrite evidence of the same run that differs")
    options = parser.parse_args()
    try:
        runs = runs_below(options.paths)
        outcomes = collect(runs, options.out, allow_dirty=options.allow_dirty, replace=options.replace)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for outcome in outcomes:
        if outcome.word == "refused":
            print(f"refused {outcome.run}: {outcome.reason}", file=sys.stderr)
        elif outcome.word != "unchanged":
            print(f"{outcome.word}: {outcome.run}")
    counts = Counter(outcome.word for outcome in outcomes)
    print(f"{', '.join(f'{count} {word}' for word, count in counts.items())}; evidence is in {options.out}")
    return int(counts["refused"] > 0)


if __name__ == "__main__":
    sys.exit(main())
