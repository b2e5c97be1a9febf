"""What a run of `scripts/train_gan.py` may vary: the schema of `configs/gan/`, its checks, and the run's identity."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from mixup.run.config import TrackingConfig, check, check_choice, check_device, leaves, schema_defaults

# What cannot change the numbers, and so is no part of a run's identity.
NOT_HASHED = (
    *("name", "runs_dir", "device", "log_every_iterations", "checkpoint_every_minutes"),
    *("tracking.wandb", "tracking.project", "tracking.entity"),
)
NAMED = ("data", "game", "alpha", "seed")  # what every label says


@dataclass
class GanConfig:
    """One game of figure 5 (section 3.7); `mixup/gan/game.py` says what the values mean."""

    name: str = MISSING
    scale: str = MISSING
    data: str = MISSING
    game: str = MISSING
    alpha: float = MISSING
    lam_per: str = MISSING
    seed: int = MISSING
    iterations: int = MISSING
    batch_size: int = MISSING
    discriminator_steps: int = MISSING
    lr: float = MISSING
    width: int = MISSING
    depth: int = MISSING
    precision: str = MISSING
    snapshots: list[int] = MISSING
    log_every_iterations: int = MISSING
    checkpoint_every_minutes: float = MISSING
    device: str = MISSING
    runs_dir: str = MISSING
    tracking: TrackingConfig = MISSING

    def __post_init__(self) -> None:
        check("name", self.name, re.fullmatch(r"[\w.+-]+", self.name) is not None, "letters, digits, '-', '_', '.', '+'")
        check_choice("scale", self.scale, ["paper", "cpu"])
        check_choice("data", self.data, ["ring", "grid"])
        check_choice("game", self.game, ["paper", "unmixed", "author"])
        check_choice("lam_per", self.lam_per, ["example", "batch"])
        check_choice("precision", self.precision, ["float32", "bfloat16"])
        check_device("device", self.device)
        largest = 1 if self.game == "author" else float("inf")
        check("alpha", self.alpha, 0 <= self.alpha < float("inf"), "0 for ERM, or a positive number such as 0.2")
        check(
            "alpha",
            self.alpha,
            self.alpha <= largest,
            "at most 1 with game=author, where it is the partner's largest weight",
        )
        check("seed", self.seed, self.seed >= 0, "0 or a positive whole number")
        for name in ("iterations", "batch_size", "discriminator_steps", "width", "depth", "log_every_iterations"):
            check(name, getattr(self, name), getattr(self, name) >= 1, "a whole number, at least 1")
        check("lr", self.lr, 0 < self.lr < float("inf"), "a positive number")
        rising = sorted(set(self.snapshots)) == self.snapshots
        check("snapshots", self.snapshots, rising and min(self.snapshots, default=1) >= 1, "rising iterations, from 1")


def identity(config: GanConfig) -> dict[str, Any]:
    """What can change the numbers. Keys at a default of the schema itself are left out, as `naming.identity` does."""
    defaults = dict(schema_defaults(GanConfig))
    return {key: value for key, value in leaves(config) if key not in NOT_HASHED and value != defaults[key]}


def config_hash(config: GanConfig) -> str:
    """Eight hexadecimal digits of the identity's SHA-256."""
    return hashlib.sha256(json.dumps(identity(config), sort_keys=True).encode()).hexdigest()[:8]


def cell(config: GanConfig) -> str:
    """The hash that runs share which differ in the seed alone."""
    return config_hash(dataclasses.replace(config, seed=0))


def run_label(config: GanConfig, baseline: GanConfig) -> str:
    """`data=ring,game=paper,alpha=0.2,seed=0`, preceded by every other value that differs from `baseline`."""
    before, values = dict(leaves(baseline)), dict(leaves(config))
    changed = [key for key in values if values[key] != before[key] and key not in (*NOT_HASHED, *NAMED)]
    shown = {
        key: "-".join(map(str, value)) if isinstance(value := values[key], list) else value for key in (*changed, *NAMED)
    }
    return re.sub(r"[^\w.,=+-]", "-", ",".join(f"{key}={value}" for key, value in shown.items()))[:120]


def run_dir(config: GanConfig, label: str) -> Path:
    """`<runs_dir>/<name>/<label>-<hash8>`, as for every run."""
    return Path(config.runs_dir) / config.name / f"{label}-{config_hash(config)}"
