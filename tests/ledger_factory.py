"""Finished runs that never ran, with the errors that a test asks for: as directories, and as committed evidence."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mixup.ledger.collect import contents, write_evidence
from mixup.run import records
from mixup.run.compose import CONFIGS, configuration
from mixup.run.config import TrainConfig
from mixup.run.conversions import plain
from mixup.run.identity import config_hash, run_label

OFFICIAL = {"cifar10": "CIFAR-10", "iris_uci": "UCI Iris", "imagenet": "ImageNet"}
TESTED = 10_000  # examples, so that an error of two decimals is a whole number of them

composed = cache(lambda overrides: configuration(list(overrides)))


def config_of(*overrides: str, seed: int = 0) -> TrainConfig:
    config = dataclasses.replace(composed(overrides), seed=seed)
    if config.name.startswith("table4_uci"):  # whose data.seed follows
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, seed=seed))
    return config


def record_of(config: TrainConfig, errors: list[float], **changes: Any) -> records.Record:
    """changes: of the record's top level; `provenance`, `dirty` and `top5` of what they are in."""
    provenance = changes.pop("provenance", OFFICIAL.get(config.data.name, config.data.name))
    dirty, top5 = changes.pop("dirty", False), changes.pop("top5", 1.0)
    return {
        "name": config.name,
        "label": label_of(config),
        "seed": config.seed,
        "alpha": config.mixup.alpha,
        "hash": config_hash(config),
        "cell": config_hash(dataclasses.replace(config, seed=0)),
        "config": plain(config),
        "data": {
            "provenance": provenance,
            "fingerprint": f"{provenance} {config.data.seed}",
            "train_count": config.data.train_size or 50_000,
            "test_count": TESTED,
            "absent": {},
            "unreadable": {"train": 0, "test": 0},
        },
        "test": {"top1_error": records.headline(errors), "top5_error": top5, "count": TESTED},
        "validation": None,
        "train": {"top1_error": 0.5},
        "epochs": len(errors),
        "train_seconds": 7200.0,
        "device": "NVIDIA H100",
        "world_size": 1,
        "environment": {"commit": "0123456789", "dirty": dirty, "command": ["train.py", "-m"]},
        **changes,
    }


def label_of(config: TrainConfig) -> str:
    """As `command_line.task` would have it."""
    name = config.name.removesuffix("-cpu")
    if not (CONFIGS / "experiment" / f"{name}.yaml").exists():
        return run_label(config)
    usual = composed((f"experiment={name}", f"scale={config.scale}"))
    here = composed(
        (f"experiment={name}", f"scale={config.scale}", f"data={config.data.name}", f"model={config.model.name}")
    )
    pairs = {"data": (config.data.name, usual.data.name), "model": (config.model.name, usual.model.name)}
    parts = [f"{group}={ours}" for group, (ours, before) in pairs.items() if ours != before]
    return ",".join([*parts, run_label(config, here)])


def curve(config: TrainConfig, error: float) -> list[float]:
    """High until the last ten epochs, all of which have the error: so have last, best and median."""
    epochs = config.trainer.epochs
    return [80.0] * max(0, epochs - 10) + [error] * min(10, epochs)


def make_run(runs: Path, *overrides: str, seed: int = 0, error: float = 5.0, **changes: Any) -> Path:
    """A finished run's directory, as far as evidence is made from it."""
    config = config_of(*overrides, seed=seed)
    errors = curve(config, error)
    record = record_of(config, errors, **changes)
    folder = runs / config.name / f"{record['label']}-{record['hash']}"
    folder.mkdir(parents=True)
    lines: list[dict[str, Any]] = [{"step": 1, "train_step_loss": 2.0}]
    for epoch, value in enumerate(errors, 1):
        lines.append({"epoch": epoch, "step": 10 * epoch, "train_loss": 1 / 3, "test_top1_error": value})
    records.append_metrics(folder, lines)
    (folder / "config.yaml").write_text("seed: 0\n")
    (folder / "weights.safetensors").write_bytes(b"weights")
    labels = np.zeros(TESTED, np.int64)
    wrong = np.arange(TESTED) < round(error * TESTED / 100)
    np.savez(folder / "predictions.npz", logits=np.eye(2, dtype=np.float32)[wrong.astype(int)], labels=labels)
    records.write_record(folder, record)
    return folder


def commit_run(evidence: Path, run: Path) -> Path:
    """As `collect` would, but for its checks."""
    record = json.loads((run / "record.json").read_text())
    target = evidence / record["name"] / f"{run.name}.json"
    write_evidence(contents(run), target)
    return target


def commit_cell(folder: Path, *overrides: str, errors: list[float], **changes: Any) -> list[Path]:
    """Evidence below `folder/results/runs` of one cell, an error a seed."""
    made = [make_run(folder / "runs", *overrides, seed=seed, error=error, **changes) for seed, error in enumerate(errors)]
    return [commit_run(folder / "results" / "runs", run) for run in made]


def make_game(runs: Path, *overrides: str, seed: int, modes: int) -> Path:
    """A finished GAN's directory."""
    config = config_of("experiment=figure5_gan", *overrides, seed=seed)
    folder = runs / config.name / f"{label_of(config)}-{config_hash(config)}"
    (folder / "snapshots").mkdir(parents=True)
    test = {"modes": modes, "good_share": 12.3, "in_window": 90.0}
    line = {"train_generator_loss": -1.5, **{f"test_{key}": value for key, value in test.items()}}
    records.append_metrics(folder, [{"step": step, **line} for step in (10_000, 20_000)])
    for step in (10, 20_000):
        np.savez(folder / "snapshots" / f"{step}.npz", real=np.full((1000, 2), 0.12345), fake=np.full((1000, 2), step / 3))
    record = {
        "name": config.name,
        "label": label_of(config),
        "seed": seed,
        "alpha": config.mixup.alpha,
        "hash": config_hash(config),
        "cell": config_hash(dataclasses.replace(config, seed=0)),
        "config": plain(config),
        "data": {"provenance": "Gaussians, drawn as needed", "modes": 8},
        "test": {key: {"last": value} for key, value in test.items()},
        "validation": None,
        "train": {"generator_loss": -1.5},
        "epochs": 1,
        "train_seconds": 120.0,
        "device": "CPU (1 threads)",
        "world_size": 1,
        "environment": {"commit": "0123456789", "dirty": False, "command": ["train.py", "experiment=figure5_gan"]},
    }
    (folder / "config.yaml").write_text("seed: 0\n")
    records.write_record(folder, record)
    return folder


def edit(file: Path, **changes) -> None:
    """Changes fields of a JSON file, a dotted path each."""
    whole = json.loads(file.read_text())
    for path, value in changes.items():
        *above, name = path.split("__")
        place = whole
        for key in above:
            place = place[key]
        place[name] = value
    file.write_text(json.dumps(whole))
