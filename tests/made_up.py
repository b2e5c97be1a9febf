"""Evidence of runs that never ran: real configurations, made-up numbers of a plausible shape. For tests of what is drawn."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import io
import runpy
import shutil
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixup.evaluation.between import LAMS
from mixup.ledger.collect import csv_text, json_text, write_evidence
from mixup.ledger.evidence import digest_of
from mixup.run.compose import planned
from mixup.run.conversions import plain
from mixup.run.identity import config_hash
from mixup.run.records import headline

ROOT = Path(__file__).resolve().parent.parent
PROVENANCE = {"cifar10": "CIFAR-10 (JPEG copy)", "rings": "two rings, drawn as needed", "digits": "digits of scikit-learn"}
STRANGER = "0" * 8  # the hash of a run on which no black box of table 3 is made
ENVIRONMENT = {
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "dirty": False,
    "python": "3.11.7",
    "platform": "Linux-6.1-x86_64",
    "packages": {"torch": "2.15.0", "torchvision": "0.29.2", "numpy": "2.4.6", "timm": "absent"},
}


def call(script: str, *arguments: object) -> tuple[int, str, str]:
    """One of `scripts/`, in this process: status, standard output, standard error."""
    before, sys.argv = sys.argv, [script, *map(str, arguments)]
    output, errors = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors), pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "scripts" / script), run_name="__main__")
    finally:
        sys.argv = before
    return int(end.value.code or 0), output.getvalue(), errors.getvalue()


@cache
def everything() -> Path:
    """Evidence of every kind, made once a process."""
    folder = Path(tempfile.mkdtemp(prefix="made_up"))
    atexit.register(shutil.rmtree, folder)
    make_runs(folder, "experiment=figure1_toy", measured="surface")
    for name, measured in (("figure2_between", "between"), ("table3_adversarial", "attacks"), ("report_card", "card")):
        make_runs(folder, f"experiment={name}", "scale=cpu", measured=measured)
    make_runs(folder, "experiment=figure3_cifar10", "scale=cpu", "model=preact_resnet18,densenet")
    noisy = ("scale=cpu", "data.label_noise=0.2,0.5", "experiment/table2=erm,[erm,dropout_0.5],mixup_8,mixup_32")
    make_runs(folder, "experiment=table2_label_noise", *noisy, seeds=3)
    make_runs(folder, "experiment=alpha_sweep", "scale=cpu", "mixup.alpha=0,0.2,1")
    make_runs(folder, "experiment=table4_uci", "data=iris_uci")
    make_games(folder, "scale=cpu", "seed=0,1", "data=ring", "experiment/figure5=erm,paper")
    return folder


def make_runs(folder: Path, *overrides: str, measured: str | None = None, seeds: int = 2) -> list[Path]:
    """Evidence of `train.py -m OVERRIDES` below `folder`, at as many seeds. measured: what was evaluated of each run."""
    files = []
    for task in planned([*overrides, "seed=0"], multirun=True):
        for seed in range(seeds):
            data = dataclasses.replace(task.config.data, seed=seed) if "table4_uci" in task.config.name else task.config.data
            config = dataclasses.replace(task.config, seed=seed, data=data)
            rng = np.random.default_rng(int(config_hash(config), 16))
            curve = curve_of(config, rng)
            record = record_of(config, task.label.replace("seed=0", f"seed={seed}"), curve)
            evaluations = {measured: MEASURED[measured](config, rng)} if measured else {}
            files.append(write(folder, record, curve, evaluations))
    return files


def write(folder: Path, record: dict[str, Any], curve: dict[str, Any], evaluations: dict[str, Any], **more: bytes) -> Path:
    content = {".csv": csv_text(curve).encode(), **{f".{suffix}": data for suffix, data in more.items()}}
    body = {**record, "evaluations": evaluations}
    content[".json"] = (json_text({**body, "digest": digest_of(body, content)}) + "\n").encode()
    file = folder / record["name"] / f"{record['label']}-{record['hash']}.json"
    write_evidence(content, file)
    return file


def record_of(config: Any, label: str, curve: dict[str, Any]) -> dict[str, Any]:
    noisy = config.data.label_noise > 0
    provenance = PROVENANCE.get(config.data.name, config.data.name)
    memorised = {"real_label_error": 20.0, "corrupted_label_error": 80.0 if config.mixup.alpha else 3.0}
    return {
        "name": config.name,
        "label": label,
        "seed": config.seed,
        "alpha": config.mixup.alpha,
        "hash": config_hash(config),
        "cell": config_hash(dataclasses.replace(config, seed=0)),
        "config": plain(config),
        "data": {
            "provenance": provenance,
            "fingerprint": "f" * 64,
            "train_count": config.data.train_size or 50_000,
            "validation_count": 0,
            "test_count": 2000,
            "corrupted_count": 900 if noisy else 0,
            "absent": {},
            "unreadable": {"train": 0, "test": 0},
        },
        "test": {"top1_error": headline(curve["test_top1_error"]), "top5_error": 3.0, "nll": 0.7, "count": 2000},
        "validation": None,
        "train": {"top1_error": 10.0, "top5_error": 1.0, "nll": 0.3, "count": 2000, **(memorised if noisy else {})},
        "epochs": config.trainer.epochs,
        "train_seconds": 61.5,
        "images_per_second": 700.0,
        "parameters": 700_762,
        "flops_per_image": 70_093_312,
        "device": "CPU (1 threads, AVX512)",
        "world_size": 1,
        "environment": {**ENVIRONMENT, "command": ["train.py", "-m", f"experiment={config.name}", f"scale={config.scale}"]},
        "wandb": None,
    }


def curve_of(config: Any, rng: np.random.Generator) -> dict[str, list[float]]:
    """Falls towards an end, with steps where the learning rate does; a noisy ERM rises again."""
    epochs, alpha = config.trainer.epochs, config.mixup.alpha
    done = np.arange(1, epochs + 1) / epochs
    dropout = config.model.dropout or 0
    end = 30 + 40 * config.data.label_noise - 4 * min(alpha, 2) - 10 * dropout * config.data.label_noise
    drop = sum((done * epochs > milestone) * 6.0 for milestone in config.optim.milestones)
    rise = 30 * config.data.label_noise * (1 - dropout) * np.maximum(done - 0.5, 0) if alpha == 0 else 0 * done
    errors = end + 12 + 45 * np.exp(-5 * done) - drop + rise + rng.normal(0, 1.2, epochs) + rng.normal(0, 1)
    errors = np.round(np.clip(errors, 1, 90), 2)
    excess = (0.25 if alpha else 0.01) + 2.2 * np.exp(-(3 if alpha else 6) * done) + rng.uniform(0, 0.01, epochs)
    return {
        "epoch": list(range(1, epochs + 1)),
        "step": [16 * epoch for epoch in range(1, epochs + 1)],
        "train_loss": (excess + (0.5 if alpha else 0)).tolist(),
        "train_entropy_floor": [0.5 if alpha else 0.0] * epochs,
        "train_excess_loss": excess.tolist(),
        "test_top1_error": errors.tolist(),
        "seconds": [3.0] * epochs,
    }


# -- measurements --------------------------------------------------------------------------------------------------------


def between(config: Any, rng: np.random.Generator) -> dict[str, Any]:
    lam, height = np.array(LAMS), 9.0 if config.mixup.alpha else 26.0
    hump = (4 * lam * (1 - lam)) ** 2
    miss = 4 + height * hump + rng.normal(0, 0.6, len(lam))
    norm = 0.05 + (0.1 if config.mixup.alpha else 0.7) * hump + rng.normal(0, 0.01, len(lam))
    flat = [0.1] * len(lam)
    values = {"lam": LAMS, "miss": miss.tolist(), "miss_error": flat, "gradient_norm": np.abs(norm).tolist()}
    return {**values, "gradient_error": flat, "pairs": 1000, "seed": 0}


def surface(config: Any, rng: np.random.Generator) -> dict[str, Any]:
    grid = np.linspace(-1.5, 1.5, 64)
    radius = np.hypot(*np.meshgrid(grid, grid))
    width = 0.25 if config.mixup.alpha else 0.03
    label = np.arange(512) % 2
    around = np.where(label == 1, 0.3, 1.0) * (1 + np.where(label == 1, 0.16, 0.08) * rng.standard_normal(512))
    angle = rng.uniform(0, 2 * np.pi, 512)
    points = np.stack([around * np.cos(angle), around * np.sin(angle)], 1)
    probability = 1 / (1 + np.exp((radius - 0.65) / width))
    named = {"x": grid, "y": grid, "probability": probability.round(4), "points": points.round(4), "labels": label}
    return {name: values.tolist() for name, values in named.items()}


def attacks(config: Any, rng: np.random.Generator) -> dict[str, Any]:
    """The black box of the ERM run of the other seed, and of a run that is none's black box."""
    erm = dataclasses.replace(config, seed=1 - config.seed, mixup=dataclasses.replace(config.mixup, alpha=0.0))
    sources = {"self": "", f"alpha=0.0,seed={erm.seed}": config_hash(erm), "model=wrn28,alpha=0.0,seed=7": STRANGER}
    results = []
    for attack, strength in (("fgsm", 0.35), ("ifgsm", 0.9), ("pgd", 1.1)):
        for source, made_on in sources.items():
            for eps in (0.0, 0.5, 1.0, 2.0, 4.0, 8.0):
                power = strength * (1 if source == "self" else 0.3) * (0.7 if config.mixup.alpha else 1)
                error = 30 + 68 * (1 - np.exp(-power * eps)) + rng.normal(0, 1)
                top5 = max(0.0, error - 40)
                measured = {"top1_error": error, "top5_error": top5}
                results.append({"attack": attack, "eps": eps, "source": source, "source_hash": made_on, **measured})
    return {"examples": 1000, "results": results}


def card(config: Any, rng: np.random.Generator) -> dict[str, Any]:
    confidence = [None, *np.linspace(10, 99, 14).tolist()]
    shift = 4.0 if config.mixup.alpha else -9.0
    accuracy = [None, *np.clip(np.linspace(10, 99, 14) + shift + rng.normal(0, 1, 14), 0, 100).tolist()]
    count = [0, *np.linspace(20, 400, 14).astype(int).tolist()]
    measures = {"ece": abs(shift) + rng.uniform(0, 1), "ece_scaled": 1.5 + rng.uniform(0, 0.5), "nll": 0.9}
    reliability = {"count": count, "confidence": confidence, "accuracy": accuracy}
    test_count = 1999  # without one that could not be read: the record is of 2,000
    return {"test_count": test_count, "examples": 1000, "pairs": 1000, "measures": measures, "reliability": reliability}


MEASURED = {"between": between, "surface": surface, "attacks": attacks, "card": card}


# -- GAN -----------------------------------------------------------------------------------------------------------------


def make_games(folder: Path, *overrides: str, samples_of: Sequence[int] = (0,)) -> list[Path]:
    """Evidence of `train.py -m experiment=figure5_gan OVERRIDES`, with samples of some seeds."""
    files = []
    for task in planned(["experiment=figure5_gan", *overrides], multirun=True):
        config, rng = task.config, np.random.default_rng(int(config_hash(task.config), 16))
        modes = 8 if config.data.name == "ring" else 25
        steps = sorted({*range(500, config.gan.iterations + 1, 500), *config.gan.snapshots})
        covered = [
            int(modes * (0.8 if config.mixup.alpha else 0.1) * min(1, step / 9000) + rng.integers(0, 2)) for step in steps
        ]
        lines = {"step": steps, "test_modes": covered, "test_good_share": [100 * one / (modes + 1) for one in covered]}
        last = {name.removeprefix("test_"): {"last": values[-1]} for name, values in lines.items() if name != "step"}
        record = {
            "name": config.name,
            "label": task.label,
            "seed": config.seed,
            "alpha": config.mixup.alpha,
            "hash": config_hash(config),
            "cell": config_hash(dataclasses.replace(config, seed=0)),
            "config": plain(config),
            "data": {"provenance": "Gaussians, drawn as needed", "modes": modes},
            "test": last,
            "validation": None,
            "train": {},
            "epochs": 1,
            "train_seconds": 135.0,
            "parameters": 67_203,
            "device": "CPU (1 threads, AVX512)",
            "world_size": 1,
            "environment": {**ENVIRONMENT, "command": ["train.py", "-m", "experiment=figure5_gan", "scale=cpu"]},
            "wandb": None,
        }
        more = {"npz": samples(config, rng)} if config.seed in samples_of else {}
        files.append(write(folder, record, lines, {}, **more))
    return files


def samples(config: Any, rng: np.random.Generator) -> bytes:
    angle = 2 * np.pi * rng.integers(0, 8, 1000) / 8
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    centres = ring if config.data.name == "ring" else rng.integers(-2, 3, (1000, 2)) / 2
    real = (centres + rng.normal(0, 0.01, (1000, 2))).astype(np.float32)
    arrays = {"real": real}
    for step in config.gan.snapshots:
        spread = 0.6 * np.exp(-step / 4000) + (0.02 if config.mixup.alpha else 0.5)
        arrays[f"fake{step}"] = (real[::-1] + rng.normal(0, spread, (1000, 2))).astype(np.float32)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()
