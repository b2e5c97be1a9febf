"""Checks what lies under the data root: counts, checksums, unreadable files, duplicates. Writes nothing there.

Exits with 0 if everything there is sound, with 1 if something is damaged or is not what it should be, with 2 for a mistake
in the request. Partial datasets, absent clips and the few duplicates that official datasets have are remarks.

Examples and duplicates are counted by split: duplicates in train are those that repeat another example, in the other splits
those that are in train too. Below the number of classes are the sizes of the smallest and of the largest class in train.
Tables are halved as at data.seed=0.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich import box
from rich.console import Console
from rich.table import Table

from mixup.commands.messages import one_message
from mixup.data import DATASETS, data_root, dataset_info
from mixup.data.verification import Finding, verify
from mixup.errors import UserError


@one_message(stopped="stopped before all was checked")
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", metavar="DATASET", help=f"some of {', '.join(DATASETS)} (default all)")
    parser.add_argument("--root", metavar="DIR", help="the data root (default $MIXUP_DATA, else ~/.cache/mixup-data)")
    parser.add_argument("--quick", action="store_true", help="list and count alone: no image or clip is read")
    options = parser.parse_args()
    names, root = check_names(options.datasets), data_root(options.root)
    if not root.is_dir():
        raise UserError(f"{root} is no folder: name the data root with --root DIR, or set MIXUP_DATA=DIR")
    findings = [verify(name, root, quick=options.quick) for name in names]
    show(findings, root, quick=options.quick)
    return int(any(finding.problems for finding in findings))


def check_names(names: list[str]) -> list[str]:
    """The datasets asked for, each once; all of them if none is named. UserError for an unknown one."""
    for name in names:
        dataset_info(name)
    return list(dict.fromkeys(names or DATASETS))


def show(findings: list[Finding], root: Path, *, quick: bool) -> None:
    """The table, and below it a line for each problem and each remark."""
    table = Table(title=f"Datasets in {root}", box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for header in ("dataset", "examples", "check-\nsums", "unread-\nable", "dupli-\ncates", "classes,\nin train"):
        table.add_column(header, justify="left" if header in ("dataset", "examples") else "right")
    for finding in findings:
        table.add_row(*cells(finding), style="" if finding.layout else "dim")
    console = Console(highlight=False)
    console.print(table, "")
    for kind, colour in (("problems", "red"), ("remarks", "yellow")):
        for finding in findings:
            for text in getattr(finding, kind):
                console.print(f"[{colour}]{kind[:-1]}[/]", end=" ")
                console.print(f"{finding.name}: {text}", markup=False, soft_wrap=True)
    count = sum(finding.layout is not None for finding in findings)
    bad = [finding.name for finding in findings if finding.problems]
    verdict = f"not sound: {', '.join(bad)}" if bad else f"all sound{' by their listing' if quick else ''}"
    console.print(f"datasets there: {count}, {verdict}" if count else "none of them is there", soft_wrap=True)


def cells(finding: Finding) -> list[str]:
    """A row of the table, with the duplicates of each split in its line."""
    if finding.layout is None:
        return [finding.name, "not there"]
    info = DATASETS[finding.name]
    official = {part: getattr(info, f"{part}_count") for part in finding.counts}
    smallest, largest = finding.balance
    return [
        f"{finding.name}\n  {finding.layout}",
        "\n".join(f"{part} {share(count, official[part])}" for part, count in finding.counts.items()) or "not listed",
        {None: "-", True: "ok", False: "wrong"}[finding.checksums],
        "-" if finding.unreadable is None else f"{finding.unreadable:,}",
        "-" if finding.duplicates is None else "\n".join(f"{count:,}" for count in finding.duplicates.values()),
        f"{share(finding.classes, info.num_classes)}\n"
        + (f"{largest:,} each" if smallest == largest else f"{smallest:,}–{largest:,}")
        if finding.counts
        else "-",
    ]


def share(count: int, official: int) -> str:
    return f"{count:,}" if count == official else f"{count:,} of {official:,}"


if __name__ == "__main__":
    sys.exit(main())
