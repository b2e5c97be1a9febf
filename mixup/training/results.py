"""What a finished run leaves: predictions, weights and its record."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixup.data import Examples, Split
from mixup.models.imported import source_of
from mixup.run import records
from mixup.run.files import write_atomic
from mixup.training.distributed import all_gather, broadcast, union
from mixup.training.dry_run import flops_per_image, parameter_count
from mixup.training.folder import finish
from mixup.training.setup import Run


def write_results(run: Run, label: str, *, after_batch: Callable[[], None]) -> records.Record:
    """Evaluates the finished run, and writes predictions, weights and its record; returns the record on every rank.

    after_batch: called after every batch that is evaluated.
    """
    test, logits = evaluate(run, run.test, after_batch)
    # Evaluating all of a streamed training set would take a third of an epoch's time, so it is the fixed slice.
    data, split = (run.train_eval, run.train_eval_split) if run.streams else (run.train, run.data.train)
    train, train_logits = evaluate(run, data, after_batch)
    train |= noise_errors(train_logits, split) if train["count"] else {}
    served = {"train": run.train, "validation": run.validation, "test": run.test}
    unreadable = {name: union(run.group, part.unreadable) for name, part in served.items() if part is not None}
    record = None
    if run.group.is_leader:
        write_predictions(run, logits, unreadable)
        measured = results(run, test, train, unreadable)
        record = finish(run, label, weights=run.model.state_dict(), results=measured)
    return broadcast(run.group, record)


def evaluate(run: Run, data: Examples, after_batch: Callable[[], None]) -> tuple[dict[str, float], Tensor]:
    """Means, and the logits (N, C) of all ranks on the CPU."""
    means, logits = run.evaluate(data, after_batch=after_batch)
    return means, torch.cat(all_gather(run.group, logits.cpu()))


def write_predictions(run: Run, logits: Tensor, unreadable: dict[str, dict[int, str]]) -> None:
    """logits: (N, C) of the test set. unreadable: by split and example, why."""
    predictions = io.BytesIO()
    np.savez(predictions, logits=logits.numpy(), labels=run.data.test.labels.numpy())
    write_atomic(run.folder / "predictions.npz", predictions.getvalue())
    names = sorted(f"{split}\t{why}" for split, files in unreadable.items() for why in files.values())
    if names:
        write_atomic(run.folder / "unreadable.txt", ("\n".join(names) + "\n").encode())


def results(
    run: Run, test: dict[str, float], train: dict[str, float], unreadable: dict[str, dict[int, str]]
) -> dict[str, Any]:
    """What the record says of a classifier. Errors in percent, duration in seconds."""
    config, info = run.config, run.data.info
    lines = [line for line in records.read_metrics(run.folder) if "epoch" in line]
    seconds = sum(line["seconds"] for line in lines)
    return {
        "data": {
            "provenance": run.data.provenance,
            "classes": list(run.data.classes),  # in the order of the logits
            **run.fingerprints,
            **run.data.measured,
            "train_count": len(run.train),
            "validation_count": len(run.validation) if run.validation else 0,
            "test_count": len(run.test),
            "corrupted_count": int(run.data.train.corrupted.sum()),
            "absent": dict(run.data.absent),
            "left_out": dict(run.data.left_out),
            "unreadable": {split: len(files) for split, files in unreadable.items()},
        },
        "test": summary(lines, "test", test),
        "validation": summary(lines, "validation", {}) if run.validation else None,
        "train": train if train["count"] else None,
        "epochs": config.trainer.epochs,
        "diverged": None in lines[-1].values(),  # a loss of the last evaluation is not finite
        "train_seconds": seconds,
        "images_per_second": sum(line["seconds"] * line["images_per_second"] for line in lines) / seconds,
        "parameters": parameter_count(run.model),
        "flops_per_image": flops_per_image(run.model, info.input_shape),
        "world_size": run.group.world_size,
        **({"network": source_of(config.model.path)} if config.model.path else {}),
    }


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
