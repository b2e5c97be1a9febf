"""Experiments that share runs train them once: figure 2 and the sweep over alpha begin with the runs of figure 3."""

import shutil
from pathlib import Path

import yaml

from mixup.run import records
from mixup.run.compose import Task
from mixup.run.conversions import from_dict, plain
from mixup.run.files import write_atomic
from mixup.run.identity import config_hash, identity

COPIED = ("metrics.jsonl", "predictions.npz", "weights.safetensors", "snapshots")  # the record comes last


def adopt(task: Task) -> Path | None:
    """Copies a finished run of the same settings but for `name` into the task's folder; returns where it was. None where
    there is no such run, or where the folder has one of its own, trained or begun."""
    if (task.folder / "config.yaml").exists() or (twin := twin_of(task)) is None:
        return None
    folder, record = twin
    task.folder.mkdir(parents=True, exist_ok=True)
    with records.sole_writer(task.folder):
        write_atomic(task.folder / "config.yaml", yaml.safe_dump(plain(task.config), sort_keys=False).encode())
        for file in (folder / name for name in COPIED):
            if file.exists():  # a GAN has no predictions, and it alone has snapshots
                (shutil.copytree if file.is_dir() else shutil.copyfile)(file, task.folder / file.name)
        own = {"name": task.config.name, "label": task.label, "config": plain(task.config), "wandb": None}
        records.write_record(task.folder, {**record, **own})
    return folder


def twin_of(task: Task) -> tuple[Path, records.Record] | None:
    """Its folder and record. One by code with uncommitted changes is left alone: its copy would be no evidence either."""
    for file in sorted(Path(task.config.runs_dir).expanduser().glob(f"*/*-{config_hash(task.config)}/record.json")):
        record = records.read_record(file.parent) or {"environment": {"dirty": True}}
        if not record["environment"]["dirty"] and identity(from_dict(record["config"])) == identity(task.config):
            return file.parent, record
    return None
