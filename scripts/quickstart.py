"""Draws the runs of `python train.py -m experiment=quickstart` as runs/quickstart/quickstart.png."""

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
    options = parser.parse_args()
    try:
        picture = write_quickstart(options.runs)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"the picture: {picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
