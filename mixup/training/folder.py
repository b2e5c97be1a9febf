"""The folder of a run while it trains, the same for a classifier and for a GAN: its lock, its mirror at W&B, its record."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save
from torch import Tensor

from mixup.errors import OtherDataError, UserError
from mixup.run import records, tracking
from mixup.run.config import DataConfig, TrainConfig
from mixup.run.conversions import plain
from mixup.run.display import Display
from mixup.run.files import write_atomic
from mixup.run.identity import config_hash
from mixup.run.measured import with_measured
from mixup.training import checkpoint
from mixup.training.device import device_name
from mixup.training.distributed import Group, broadcast
from mixup.training.setup import load

WANDB_SECONDS = 15.0  # how long a finished run waits for W&B


@contextlib.contextmanager
def occupied(config: TrainConfig, folder: Path, group: Group) -> Iterator[records.Record | None]:
    """The folder with its configuration, locked by rank 0. Yields the record, on every rank, if the run has finished:
    another process may have finished it while this one was waiting or loading."""
    if not group.is_leader:
        yield broadcast(group, None)
        return
    folder.mkdir(parents=True, exist_ok=True)
    with records.sole_writer(folder):
        record = records.read_record(folder)
        if record is None:
            write_atomic(folder / "config.yaml", yaml.safe_dump(plain(config), sort_keys=False).encode())
        yield broadcast(group, record)


def compare_data(config: TrainConfig, folder: Path, record: records.Record) -> str:
    """Compares the data here with that of a finished run. Returns words if there is none here, else nothing. Raises
    OtherDataError if it is another."""
    try:
        here = fingerprints_here(json.dumps(vars(with_measured(config.data, record["data"]))))
    except UserError:
        return "its data does not lie here now"
    if not records.same_data(here, record["data"]):
        raise OtherDataError(
            f"{folder} has finished, on other data than lies here now ({record['data']['provenance']}): restore that data, "
            "or remove the folder to train on this, or give a runs_dir of its own"
        )
    return ""


@functools.cache
def fingerprints_here(data: str) -> dict[str, str | None]:
    """Of the data of a configuration's section, as JSON. UserError where it does not lie here, instead of fetching it."""
    return load(DataConfig(**{**json.loads(data), "download": False}), torch.device("cpu")).fingerprints()


@contextlib.contextmanager
def mirrored(config: TrainConfig, folder: Path, group: Group, display: Display) -> Iterator[tracking.Mirror]:
    """The mirror of the run at W&B. It starts after metrics.jsonl has been cut back to the checkpoint."""
    mirror = tracking.Mirror(
        folder,
        mode=tracking.resolve_mode(config.tracking.wandb) if group.is_leader else "disabled",
        project=config.tracking.project,
        entity=config.tracking.entity,
        warn=display.warn,
    )
    try:
        yield mirror
    finally:
        mirror.close(WANDB_SECONDS)
    if url := tracking.read_address(folder).get("url"):
        display.say(f"W&B: {url}")


def finish(run: Any, label: str, *, weights: dict[str, Tensor], results: dict[str, Any]) -> records.Record:
    """Writes weights and, last, the record, and removes the checkpoints.

    run: of a classifier or a GAN; its config, folder, device and segments are read. results: what this kind of run has
    measured.
    """
    config, folder = run.config, run.folder
    contiguous = {name: tensor.contiguous() for name, tensor in weights.items()}
    write_atomic(folder / "weights.safetensors", save(contiguous))
    record = {
        "name": config.name,
        "label": label,
        "seed": config.seed,
        "alpha": config.mixup.alpha,
        "hash": config_hash(config),
        "cell": config_hash(dataclasses.replace(config, seed=0)),
        "config": plain(config),
        **results,
        "device": device_name(run.device),
        "environment": run.segments[-1]["environment"],
        "segments": run.segments,
        "wandb": tracking.read_address(folder) or None,
    }
    record = records.finite(record)  # a diverged run is a result, too
    records.write_record(folder, record)
    checkpoint.remove(folder / "checkpoint")
    return record
