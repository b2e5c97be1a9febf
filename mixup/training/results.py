"""What a finished run leaves: predictions, weights and its record."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from mixup.data import Split
from mixup.run import records, tracking
from mixup.run.config import plain
from mixup.run.files import write_atomic
from mixup.run.identity import config_hash
from mixup.training import checkpoint
from mixup.training.distributed import all_gather, union
from mixup.training.dry_run import flops_per_image, parameter_count
from mixup.training.setup import Run, build, device_name


def write_results(run: Run, label: str) -> records.Record:
    """Writes predictions, weights and, last, the record; called on every rank, since all evaluate. Returns the record on
    rank 0, and an empty one elsewhere."""
    test, logits = run.evaluate(run.test)
    rows = torch.cat(all_gather(run.group, logits.cpu()))
    # Evaluating all of a streamed training set would take a third of an epoch's time, so it is the fixed slice.
    measured, split = (run.train_eval, run.train_eval_split) if run.streams else (run.train, run.data.train)
    train, train_logits = run.evaluate(measured)
    train_rows = torch.cat(all_gather(run.group, train_logits.cpu()))
    splits = {"train": run.train, "validation": run.validation, "test": run.test}
    unreadable = {name: union(run.group, part.unreadable) for name, part in splits.items() if part is not None}
    if not run.group.is_leader:
        return {}
    config, lines = run.config, [line for line in records.read_metrics(run.folder) if "epoch" in line]
    predictions = io.BytesIO()
    np.savez(predictions, logits=rows.numpy(), labels=run.data.test.labels.numpy())
    write_atomic(run.folder / "predictions.npz", predictions.getvalue())
    write_atomic(run.folder / "weights.safetensors", save({k: v.contiguous() for k, v in run.model.state_dict().items()}))
    if any(unreadable.values()):
        names = [f"{part}\t{why}" for part, files in unreadable.items() for why in files.values()]
        write_atomic(run.folder / "unreadable.txt", ("\n".join(sorted(names)) + "\n").encode())
    seconds = sum(line["seconds"] for line in lines)
    record = {
        "name": config.name,
        "label": label,
        "seed": config.seed,
        "alpha": config.mixup.alpha,
        "hash": config_hash(config),
        "cell": config_hash(dataclasses.replace(config, seed=0)),
        "config": plain(config),
        "data": {
            "provenance": run.data.provenance,
            "fingerprint": run.fingerprint,
            "train_count": len(run.train),
            "validation_count": len(run.validation) if run.validation else 0,
            "test_count": len(run.test),
            "corrupted_count": int(run.data.train.corrupted.sum()),
            "absent": dict(run.data.absent),
            "unreadable": {part: len(files) for part, files in unreadable.items()},
        },
        "test": summary(lines, "test", test),
        "validation": summary(lines, "validation", {}) if run.validation else None,
        "train": {**train, **noise_errors(train_rows, split)} if train["count"] else None,
        "epochs": config.trainer.epochs,
        "train_seconds": seconds,
        "images_per_second": sum(line["seconds"] * line["images_per_second"] for line in lines) / seconds,
        "parameters": parameter_count(run.model),
        "flops_per_image": flops_per_image(lambda: build(config, run.data.info), run.data.info.input_shape),
        "device": device_name(run.device),
        "world_size": run.group.world_size,
        "environment": records.environment(),
        "wandb": tracking.read_address(run.folder) or None,
    }
    records.write_record(run.folder, record)
    checkpoint.remove(run.folder / "checkpoint")
    return record


def summary(lines: list[dict[str, Any]], split: str, final: dict[str, float]) -> dict[str, Any]:
    """Last, best and last-ten-median top-1 error over epochs, in percent, and the other means of the final evaluation."""
    errors = records.headline([line[f"{split}_top1_error"] for line in lines])
    return {"top1_error": errors, **{key: value for key, value in final.items() if key != "top1_error"}}


def noise_errors(logits: Tensor, split: Split) -> dict[str, float]:
    """Train errors in percent over the original labels and over those replaced by noise, both against the labels trained on,
    in evaluation mode and without augmentation (section 3.4, the last two columns of table 2). logits: (N, C)."""
    corrupted = split.corrupted
    if not bool(corrupted.any()):
        return {}
    readable = ~logits.isnan().any(1)
    wrong = (logits.argmax(1) != split.labels).double()
    parts = {"real_label_error": ~corrupted & readable, "corrupted_label_error": corrupted & readable}
    return {name: 100 * float(wrong[mask].mean()) for name, mask in parts.items() if bool(mask.any())}
