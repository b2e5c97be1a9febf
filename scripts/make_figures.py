"""Draws every figure that the committed evidence is enough for: results/runs in, results/figures/*.svg out.

A figure's name carries its scale. The same evidence makes the same bytes. What is missing is named, with its command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mixup.errors import UserError
from mixup.figures import Picture, all_pictures, missing
from mixup.ledger.evidence import Evidence, faults, read_evidence
from mixup.ledger.paper import read_paper

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
MOST_TOLD = 5  # runs that cannot be believed, by name
OURS = '<svg xmlns:xlink="http://www.w3.org/1999/xlink"'  # how a file of ours starts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=Path, default=RESULTS / "runs", help="the evidence (default results/runs)")
    parser.add_argument("--out", type=Path, default=RESULTS / "figures", help="where they go (default results/figures)")
    parser.add_argument("--allow-dirty", action="store_true", help="also runs of a tree with uncommitted changes")
    options = parser.parse_args()
    try:
        evidence = believed(options.runs, allow_dirty=options.allow_dirty)
        pictures = all_pictures(evidence, read_paper(RESULTS / "paper.yaml"), curves=RESULTS)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    write(pictures, options.out)
    for name, command in missing(pictures).items():
        print(f"missing: {name}: no evidence of its runs, which {command} makes")
    return 0


def believed(folder: Path, *, allow_dirty: bool) -> list[Evidence]:
    """All of the evidence; UserError with a reason each where runs cannot be believed."""
    evidence = read_evidence(folder)
    told = {run.file: found[0] for run in evidence if (found := faults(run, allow_dirty=allow_dirty))}
    if told:
        more = [f"... and {len(told) - MOST_TOLD} more"] if len(told) > MOST_TOLD else []
        raise UserError("\n".join([*(f"{file}: {fault}" for file, fault in list(told.items())[:MOST_TOLD]), *more]))
    return evidence


def write(pictures: Sequence[Picture], folder: Path) -> None:
    """Writes them, and removes those of ours that the evidence no longer makes."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for picture in pictures:
        file = folder / f"{picture.name}.svg"
        file.write_text(picture.svg())
        written.append(file)
        print(f"wrote {file}")
    for file in sorted(set(folder.glob("*.svg")) - set(written)):
        if file.read_text().startswith(OURS):
            file.unlink()
            print(f"removed {file}: no evidence any more")


if __name__ == "__main__":
    sys.exit(main())
