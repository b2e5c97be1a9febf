"""Turns the runs of `python train.py -m experiment=quickstart` into results/quickstart.md and results/quickstart.png."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mixup.commands.process import prepare_process
from mixup.errors import UserError
from mixup.figures.quickstart import write_quickstart

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    prepare_process()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="as runs_dir of the sweep (default runs)")
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="where the table and the picture go")
    options = parser.parse_args()
    try:
        page, picture = write_quickstart(runs=options.runs, results=options.out)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"wrote {page} and {picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
