"""Makes the tables of results/ and the README's from results/paper.yaml and the evidence in results/runs. Made again from
the same evidence, nothing changes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mixup.errors import UserError
from mixup.ledger.paper import read_paper
from mixup.ledger.redo import recipes
from mixup.pages.build import PAPER, write_tables

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, help="the evidence (default runs/ below --out)")
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="default results; README.md lies beside it")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; status 1 and the names of files that would change"
    )
    parser.add_argument("--allow-dirty", action="store_true", help="take runs of a tree with uncommitted changes, marked so")
    options = parser.parse_args()
    try:
        return write_tables(
            runs=options.runs or options.out / "runs",
            results=options.out,
            check=options.check,
            allow_dirty=options.allow_dirty,
            recipes=recipes(read_paper(PAPER)),
        )
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
