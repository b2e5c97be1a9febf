"""Trains committed runs again and compares: evidence that cannot be made again is no evidence."""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mixup.errors import UserError
from mixup.ledger.cells import cells_of, experiment_of
from mixup.ledger.evidence import EXACT, Evidence
from mixup.run.records import read_metrics

CHEAP = ("figure1_toy/alpha=1.0", "table4_uci/alpha=0.2")  # seconds each, without a download
POINTS = 3.0  # that an error may be off on another kind of processor, whose sums are rounded otherwise and go other ways


def retrain(names: Sequence[str], evidence: Sequence[Evidence]) -> int:
    """Trains every run of these cells again, `<experiment>/<label without seed>`, and prints a line each. Returns 1 where
    one is not as committed: to the last bit on the device and torch version of the record, else within POINTS. UserError for
    a cell that is not there."""
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
    import torch

    from mixup.training.train import train

    if threads := re.search(r"(\d+) threads", run.record["device"]):
        torch.set_num_threads(int(threads[1]))
    tracking = replace(run.config.tracking, wandb="disabled")
    with tempfile.TemporaryDirectory() as folder:
        record = train(replace(run.config, tracking=tracking), Path(folder) / "run", run.record["label"])
        lines = [line for line in read_metrics(Path(folder) / "run") if "epoch" in line]
    torch_then = run.record["environment"]["packages"]["torch"]
    if (record["device"], torch.__version__.partition("+")[0]) == (run.record["device"], torch_then.partition("+")[0]):
        curves = {name: [line.get(name) for line in lines] for name in EXACT if name in run.curve}
        return all(run.curve[name] == curve for name, curve in curves.items()), "bit for bit"
    return close(
        record["test"], run.record["test"]
    ), f"to {POINTS:g} points, on {record['device']} with torch {torch.__version__}"


def close(here: dict[str, Any], there: dict[str, Any]) -> bool:
    return abs(here["top1_error"]["last"] - there["top1_error"]["last"]) <= POINTS
