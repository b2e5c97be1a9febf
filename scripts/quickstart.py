"""Draws the runs of `python train.py -m experiment=quickstart` as runs/quickstart/quickstart.png."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mixup.commands.messages import one_message
from mixup.figures.quickstart import write_quickstart
from mixup.run.places import ROOT


@one_message(stopped="stopped before the picture was drawn")
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="as runs_dir of the sweep (default runs)")
    print(f"the picture: {write_quickstart(parser.parse_args().runs)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
