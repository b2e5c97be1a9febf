"""Makes the tables of results/ and the README's from results/paper.yaml and the evidence in results/runs. Made again from
the same evidence, nothing changes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mixup.errors import UserError
from mixup.ledger.evidence import read_evidence
from mixup.ledger.paper import read_paper
from mixup.ledger.redo import recipes
from mixup.pages.overview import changes, generated, ledger, with_block

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, help="the evidence (default runs/ below --out)")
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="default results; README.md lies beside it")
    parser.add_argument("--paper", type=Path, default=ROOT / "results" / "paper.yaml", help="the paper's numbers")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; status 1 and the names of files that would change"
    )
    parser.add_argument("--allow-dirty", action="store_true", help="take runs of a tree with uncommitted changes, marked so")
    options = parser.parse_args()
    try:
        written, removed = made(options)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for file in [*written, *removed]:
        print(f"{'would change' if options.check else 'wrote' if file in written else 'removed'} {file}")
    if not written and not removed:
        print("every table is as its evidence has it")
    return int(options.check and bool(written or removed))


def made(options: argparse.Namespace) -> tuple[list[Path], list[Path]]:
    """The files that are written and removed, or would be."""
    paper = read_paper(options.paper)
    evidence = read_evidence(options.runs or options.out / "runs")
    found = ledger(paper, evidence, recipes(paper), allow_dirty=options.allow_dirty)
    files = {options.out / name: text for name, text in generated(found).items()}
    readme = options.out.resolve().parent / "README.md"
    if readme.exists():
        files[readme] = with_block(readme.read_text(), found)
    written, removed = changes(files, options.out)
    if not options.check:
        options.out.mkdir(parents=True, exist_ok=True)
        for file, text in written.items():
            file.write_text(text)
        for file in removed:
            file.unlink()
    return list(written), removed


if __name__ == "__main__":
    sys.exit(main())
