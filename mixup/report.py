"""The report of a finished run: reloaded from its own configuration and weights, evaluated again, set beside its record."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml
from rich.console import Console
from rich.table import Table
from safetensors import SafetensorError
from safetensors.torch import load_file

from mixup import records
from mixup.analysis.calibration import brier_score, expected_calibration_error
from mixup.assembly import autocast, build, choose_device, load, loader_workers, place
from mixup.config import EvalConfig, TrainConfig, from_dict
from mixup.data import serve
from mixup.distributed import Group
from mixup.engine import evaluate
from mixup.errors import UserError


def report(wanted: EvalConfig) -> bool:
    """Prints the test metrics of a run; returns whether the test error is exactly the record's."""
    folder = Path(wanted.run)
    record = records.read_record(folder) if folder.is_dir() else None
    if record is None:
        raise UserError(f"run={folder}: {what_is_missing(folder)}")
    config = from_dict(yaml.safe_load((folder / "config.yaml").read_text()))
    config.data.root = wanted.root or config.data.root
    metrics, fingerprint = measure(config, folder, choose_device(wanted.device, Group()))
    if fingerprint != record["data"]["fingerprint"]:
        raise UserError(f"the data here is not what {folder} was trained on ({record['data']['provenance']})")
    recorded = record["test"]["top1_error"]["last"]
    same = metrics["top-1 error %"] == recorded
    print_report(folder, record, metrics)
    if same:
        print(f"the test error is the record's, exactly: {recorded} %")
    else:
        print(f"the test error differs from the record's {recorded} %, which was measured on {record['device']}")
    return same


def what_is_missing(folder: Path) -> str:
    if not folder.is_dir():
        return "no such directory; runs lie at runs/<name>/<label>-<hash>"
    if (folder / "config.yaml").exists():
        return "this run has not finished; the command that started it resumes it"
    inside = sorted(file.parent.name for file in folder.glob("*/record.json"))
    return f"no run, but it holds some: {', '.join(inside[:3])}, ..." if inside else "no run lies here"


def measure(config: TrainConfig, folder: Path, device: torch.device) -> tuple[dict[str, float], str]:
    """Test metrics from the saved weights, and the fingerprint of the data."""
    data = load(config, device)
    model = place(config, build(config, data.facts), device)
    try:
        model.load_state_dict(load_file(folder / "weights.safetensors"))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UserError(f"{folder}/weights.safetensors cannot be used ({error}): train the run again") from error
    test = serve(data.test, data.facts, device=device, workers=loader_workers(config), on_error=config.data.on_error)
    means, logits = evaluate(
        model,
        test,
        batch_size=config.trainer.eval_batch_size,
        autocast=lambda: autocast(config, device),
        group=Group(),
    )
    probabilities = torch.softmax(logits.double(), 1).cpu()
    labels = data.test.labels
    return {
        "top-1 error %": means["top1_error"],
        "top-5 error %": means["top5_error"],
        "negative log-likelihood (nats)": means["nll"],
        "calibration error % (ECE, 15 bins)": expected_calibration_error(probabilities, labels),
        "Brier score (0 to 2)": brier_score(probabilities, labels),
    }, data.fingerprint()


def print_report(folder: Path, record: records.Record, metrics: dict[str, float]) -> None:
    table = Table(title=f"{folder.parent.name}/{folder.name}", title_justify="left")
    table.add_column(f"{record['data']['provenance']}, {record['test']['count']:,} test examples")
    table.add_column("", justify="right")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4f}")
    Console(width=100).print(table)
