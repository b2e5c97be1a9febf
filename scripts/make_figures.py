"""Draws every figure that the committed evidence is enough for: results/runs in, results/figures/*.svg out.

A figure's name carries its scale. The same evidence makes the same bytes. What is missing is named, with its command.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mixup.figures import write_figures

RESULTS = Path(__file__).resolve().parent.parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=Path, default=RESULTS / "runs", help="the evidence (default results/runs)")
    parser.add_argument("--out", type=Path, default=RESULTS / "figures", help="where they go (default results/figures)")
    parser.add_argument("--allow-dirty", action="store_true", help="also runs of a tree with uncommitted changes")
    options = parser.parse_args()
    return write_figures(runs=options.runs, results=RESULTS, out=options.out, allow_dirty=options.allow_dirty)


if __name__ == "__main__":
    sys.exit(main())
