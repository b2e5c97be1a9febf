"""Training, from a configuration to a record. `assembly`, `resuming` and `results` are its three parts."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import yaml

from mixup.run import records, tracking
from mixup.run.config import TrainConfig, plain
from mixup.run.display import Display
from mixup.run.files import write_atomic
from mixup.training.distributed import buffers_from_leader, from_leader, join_group, merged, wait_for_all
from mixup.training.engine import Progress, finish_epoch, start_epoch, train_epoch
from mixup.training.results import write_results
from mixup.training.resuming import Stopped, Stops, restore, resume, save_state
from mixup.training.setup import Run, assemble, learning_rate

__all__ = ["Stopped", "train"]

WANDB_SECONDS = 15.0  # how long a finished run waits for W&B


def train(config: TrainConfig, folder: Path, label: str) -> records.Record:
    """Trains from the newest checkpoint in `folder`, or from the start, to the end; returns the record on every rank.

    Raises UserError for what the user can put right, and Stopped where a signal ended it; what was done is kept.
    """
    group = join_group(config.trainer.device)
    run = assemble(config, folder, group)  # before the folder: a request that cannot be met leaves none behind
    if group.leads:
        folder.mkdir(parents=True, exist_ok=True)
    with records.sole_writer(folder) if group.leads else contextlib.nullcontext(), display(run) as shown:
        # Another process may have finished this run while this one was waiting or loading.
        finished = from_leader(group, records.read_record(folder) if group.leads else None)
        if finished is not None:
            return finished
        if group.leads:
            write_atomic(folder / "config.yaml", yaml.safe_dump(plain(config), sort_keys=False).encode())
        progress = resume(run, from_leader(group, restore(run, shown)), shown)
        mirror = tracking.Mirror(
            folder,
            mode=tracking.resolve_mode(config.tracking.wandb) if group.leads else "disabled",
            project=config.tracking.project,
            entity=config.tracking.entity,
            warn=shown.warn,
        )
        try:
            train_epochs(run, progress, shown, mirror)
            record = from_leader(group, write_results(run, label))
        finally:
            mirror.close(WANDB_SECONDS)
        if url := tracking.read_address(folder).get("url"):
            shown.say(f"W&B: {url}")
    wait_for_all(group)  # a rank that leaves while another still writes would end the job as failed
    return record


def display(run: Run) -> Display:
    trainer = run.config.trainer
    return Display(
        epochs=trainer.epochs,
        steps_per_epoch=run.steps_per_epoch,
        images_per_step=min(trainer.batch_size, len(run.train)),
        silent=not run.group.leads,
    )


def train_epochs(run: Run, progress: Progress, shown: Display, mirror: tracking.Mirror) -> None:
    """All epochs that are left; a line in metrics.jsonl after each, checkpoints as configured."""
    trainer = run.config.trainer
    saved_at = time.monotonic()
    with Stops(run.group) as stops:

        def after_step(progress: Progress) -> None:
            shown.step(progress.epoch, progress.step)
            stops.obey(run, progress)
            every = trainer.checkpoint_every_steps
            if every and progress.step < run.steps_per_epoch and run.steps_done(progress) % every == 0:
                save_state(run, progress)

        for epoch in range(progress.epoch, trainer.epochs):
            plan = run.plan(epoch)
            progress.resume_clock()
            train_epoch(
                run.trained,
                run.optimizer,
                run.train,
                plan,
                progress,
                learning_rate=lambda epochs_done: learning_rate(run.config, epochs_done),
                autocast=run.autocast,
                seed=run.config.seed,
                group=run.group,
                after_step=after_step,
                method=run.method,
            )
            means = finish_epoch(progress, run.group)
            seconds = progress.seconds()
            line = epoch_line(run, epoch, means, seconds)
            if run.group.leads:
                records.append_metrics(run.folder, [*step_lines(run, progress), line])
                mirror.check()
            shown.epoch(line)
            if line.get("train_unreadable"):
                shown.warn(f"{line['train_unreadable']} training images cannot be read and are left out, with their pairs")
            progress = start_epoch(epoch + 1, run.steps_per_epoch, run.device)
            due = from_leader(run.group, time.monotonic() - saved_at >= 60 * trainer.checkpoint_every_minutes)
            if due or epoch + 1 == trainer.epochs:
                save_state(run, progress)
                saved_at = time.monotonic()
            if epoch + 1 < trainer.epochs:
                stops.obey(run, progress)


def epoch_line(run: Run, epoch: int, train_means: dict[str, float], seconds: float) -> dict[str, Any]:
    """What metrics.jsonl says of an epoch. `epoch` counts epochs done, `step` optimizer steps done since the start."""
    buffers_from_leader(run.group, run.model)
    splits = {"clean": run.clean, "test": run.test, "validation": run.validation}
    evaluated = {name: run.evaluate(split)[0] for name, split in splits.items() if split is not None and len(split)}
    return {
        "epoch": epoch + 1,
        "step": (epoch + 1) * run.steps_per_epoch,
        "learning_rate": learning_rate(run.config, epoch),
        **{f"train_{name}": value for name, value in train_means.items()},
        **{f"{split}_{name}": value for split, means in evaluated.items() for name, value in means.items()},
        "seconds": seconds,
        "images_per_second": len(run.train) / seconds,
        **({"train_unreadable": len(merged(run.group, run.train.unreadable))} if run.streams else {}),
    }


def step_lines(run: Run, progress: Progress) -> list[dict[str, Any]]:
    """Loss and learning rate of every so many steps of a finished epoch, read off the device once."""
    lines = []
    for step, loss in enumerate(progress.losses.tolist()[:-1]):
        done = progress.epoch * run.steps_per_epoch + step + 1
        if done % run.config.trainer.log_every_steps == 0:
            rate = learning_rate(run.config, progress.epoch + step / run.steps_per_epoch)
            lines.append({"step": done, "train_step_loss": loss, "learning_rate": rate})
    return lines
