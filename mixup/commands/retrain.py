"""Trains committed runs again and compares: evidence that cannot be made again is no evidence."""

import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mixup.errors import UserError
from mixup.ledger.cells import cells_of, experiment_of
from mixup.ledger.evidence import DIGITS, EXACT, Evidence
from mixup.run.records import read_metrics

CHEAP = ("figure1_toy/alpha=1.0", "table4_uci/alpha=0.2")  # seconds each, without a download
TIMES = {"seconds", "images_per_second"}
POINTS = 3.0  # that an error may be off on another kind of processor, whose sums are rounded otherwise and go other ways


def retrain(names: Sequence[str], evidence: Sequence[Evidence]) -> int:
    """Trains every run of these cells again, `<experiment>/<label without seed>`, and prints a line each. Returns 1 where
    one is not as committed: on the device and torch version of the record errors to the last bit and losses to all digits
    that are kept, else the last error within POINTS. UserError for a cell that is not there."""
    by_name: dict[str, Sequence[Evidence]] = {}
    for cell in cells_of(evidence):
        by_name.setdefault(f"{experiment_of(cell.first)}/{cell.label}", cell.runs)
    if missing := [name for name in names if name not in by_name]:
        raise UserError(f"{missing[0]}: no such cell; there are {', '.join(sorted(by_name)[:10])}, ...")
    worst = 0
    for run in [run for name in names or CHEAP for run in by_name[name]]:
        same, words = compared(run)
        print(f"{'as committed' if same else 'NOT as committed'}, {words}: {run.name}", flush=True)
        worst = max(worst, int(not same))
    return worst


def compared(run: Evidence) -> tuple[bool, str]:
    """Whether a run comes out as its evidence has it, and how that was told."""
    record, lines = trained(run)
    torch, torch_then = (one["environment"]["packages"]["torch"] for one in (record, run.record))
    if (record["device"], torch.partition("+")[0]) == (run.record["device"], torch_then.partition("+")[0]):
        there = (run.curve.keys() & lines[0].keys()) - TIMES
        differing = sorted(name for name in there if not repeated(run.curve[name], [line[name] for line in lines], name))
        return not differing, f"another {', '.join(differing)}" if differing else "bit for bit"
    return close(record["test"], run.record["test"]), f"to {POINTS:g} points, on {record['device']} with torch {torch}"


def trained(run: Evidence) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The record and the epochs of the same run here and now, with as many threads."""
    import torch

    from mixup.training.train import train

    if threads := re.search(r"(\d+) threads", run.record["device"]):
        torch.set_num_threads(int(threads[1]))
    tracking = replace(run.config.tracking, wandb="disabled")
    with tempfile.TemporaryDirectory() as folder:
        record = train(replace(run.config, tracking=tracking), Path(folder) / "run", run.record["label"])
        return record, [line for line in read_metrics(Path(folder) / "run") if "epoch" in line]


def repeated(there: Sequence[float | None], here: Sequence[float | None], name: str) -> bool:
    """Whether a column of the curve comes out again: errors to the last bit, losses to the digits that evidence keeps."""
    tolerance = {"rel_tol": 0.0} if name in EXACT else {"rel_tol": 10.0 ** (1 - DIGITS), "abs_tol": 10.0**-DIGITS}
    pairs = list(zip(there, here))
    return len(there) == len(here) and all(a == b or math.isclose(a or 0, b or 0, **tolerance) for a, b in pairs)


def close(here: dict[str, Any], there: dict[str, Any]) -> bool:
    return abs(here["top1_error"]["last"] - there["top1_error"]["last"]) <= POINTS
