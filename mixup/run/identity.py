"""A run's identity: its hash, label and directory, as functions of its configuration."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from mixup.run.config import OLD_NAMES, TrainConfig
from mixup.run.conversions import leaves, schema_defaults

# What cannot change the numbers, and so is no part of a run's identity.
NOT_HASHED = (
    *("name", "runs_dir", "dry_run", "evaluate", "data.root", "data.download", "data.workers", "model.memory_efficient"),
    "data.file",
    *("trainer.device", "trainer.capture", "sweep.on", "sweep.slots", "sweep.runs_per_job", "sweep.job"),
    *("trainer.log_every_steps", "trainer.checkpoint_every_minutes", "trainer.checkpoint_every_steps"),
    *("tracking.wandb", "tracking.project", "tracking.entity"),
)


def identity(config: TrainConfig) -> dict[str, Any]:
    """What can change the numbers. Keys at the schema's default are left out, so that a key added later, with a default
    that changes nothing, leaves the directories of earlier runs as they are."""
    defaults = dict(schema_defaults())
    different = {key: value for key, value in leaves(config) if key not in NOT_HASHED and value != defaults[key]}
    different |= own_names(config)
    return {OLD_NAMES.get(key, key): value for key, value in different.items()}


def own_names(config: TrainConfig) -> dict[str, str]:
    """The name of a user's own folder or file, which stands in its identity and label, wherever that lies."""
    paths = {"folder": {"data.root": config.data.root}, "csv": {"data.file": config.data.file}}.get(config.data.name, {})
    return {key: Path(path).expanduser().resolve().name for key, path in paths.items() if path}


def config_hash(config: TrainConfig) -> str:
    """Eight hexadecimal digits of the identity's SHA-256."""
    return hashlib.sha256(json.dumps(identity(config), sort_keys=True).encode()).hexdigest()[:8]


def run_label(config: TrainConfig, baseline: TrainConfig | None = None) -> str:
    """`alpha=1.0,seed=0`, preceded by every other value in which the run differs from `baseline`."""
    before = dict(leaves(baseline or config))
    names = [key.rsplit(".", 1)[-1] for key in before]
    parts = [f"{key.rsplit('.', 1)[-1]}={name}" for key, name in own_names(config).items()]
    for key, value in leaves(config):
        if value != before.get(key) and key not in (*NOT_HASHED, "mixup.alpha", "seed"):
            last = key.rsplit(".", 1)[-1]
            value = "-".join(map(str, value)) if isinstance(value, list) else value
            parts.append(f"{last if names.count(last) == 1 else key}={value}")
    parts += [f"alpha={config.mixup.alpha}", f"seed={config.seed}"]
    return re.sub(r"[^\w.,=+-]", "-", ",".join(parts))[:120]


def run_dir(config: TrainConfig, label: str) -> Path:
    """`<runs_dir>/<name>/<label>-<hash8>`: the same for every process and every restart of one configuration."""
    return Path(config.runs_dir).expanduser() / config.name / f"{label}-{config_hash(config)}"
