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
from mixup.config import TrainConfig, from_dict
from mixup.data import Data, Split, serve
from mixup.distributed import Group
from mixup.engine import evaluate
from mixup.errors import UserError
from mixup.eval_config import EvalConfig


def report(wanted: EvalConfig) -> bool:
    """Prints the test metrics of a run; returns whether the test error is exactly the record's."""
    folder = Path(wanted.run)
    record = records.read_record(folder) if folder.is_dir() else None
    if record is None:
        raise UserError(f"run={folder}: {what_is_missing(folder)}")
    config = from_dict(yaml.safe_load((folder / "config.yaml").read_text()))
    config.data.root = wanted.root or config.data.root
    device = choose_device(wanted.device, Group())
    data = load(config, device)
    if data.fingerprint() != record["data"]["fingerprint"]:
        raise UserError(f"the data here is not what {folder} was trained on ({record['data']['provenance']})")
    metrics = measure(config, folder, data, device)
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


def measure(config: TrainConfig, folder: Path, data: Data, device: torch.device) -> dict[str, float]:
    """Test metrics from the saved weights, and the validation error where there is a validation split."""
    model = place(config, build(config, data.facts), device)
    try:
        model.load_state_dict(load_file(folder / "weights.safetensors"))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UserError(f"{folder}/weights.safetensors cannot be used ({error}): train the run again") from error

    def evaluated(split: Split) -> tuple[dict[str, float], torch.Tensor]:
        return evaluate(
            model,
            serve(
                split,
                data.facts,
                device=device,
                channels_last=config.trainer.channels_last,
                workers=loader_workers(config),
                on_error=config.data.on_error,
            ),
            batch_size=config.trainer.eval_batch_size,
            autocast=lambda: autocast(config, device),
            group=Group(),
        )

    means, logits = evaluated(data.test)
    readable = ~logits.isnan().any(1).cpu()
    probabilities, labels = torch.softmax(logits.double(), 1).cpu()[readable], data.test.labels[readable]
    validation = {"validation top-1 error %": evaluated(data.validation)[0]["top1_error"]} if data.validation else {}
    return {
        "top-1 error %": means["top1_error"],
        "top-5 error %": means["top5_error"],
        "negative log-likelihood (nats)": means["nll"],
        "calibration error % (ECE, 15 bins)": expected_calibration_error(probabilities, labels),
        "Brier score (0 to 2)": brier_score(probabilities, labels),
        **validation,
    }


def print_report(folder: Path, record: records.Record, metrics: dict[str, float]) -> None:
    table = Table(title=f"{folder.parent.name}/{folder.name}", title_justify="left")
    table.add_column(f"{record['data']['provenance']}, {record['test']['count']:,} test examples")
    table.add_column("", justify="right")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4f}")
    Console(width=100).print(table)
