"""Trains a GAN of figure 5, from a configuration to a record: what `mixup.training.train` is for a classifier."""

from __future__ import annotations

import os
import time
from pathlib import Path

import yaml

from mixup.errors import UserError
from mixup.gan.game import BLOCK, draw, play
from mixup.gan.results import is_measured, write_line, write_results
from mixup.gan.state import Run, assemble, resume, save_state, warn
from mixup.run import records, tracking
from mixup.run.config import TrainConfig, plain
from mixup.run.files import write_atomic
from mixup.training.distributed import Group
from mixup.training.signals import Stopped, Stops

__all__ = ["Stopped", "train"]

WANDB_SECONDS = 15.0  # how long a finished run waits for W&B


def train(config: TrainConfig, folder: Path, label: str) -> records.Record:
    """Trains from the newest checkpoint in `folder`, or from the start, to the end; returns the record.

    Raises UserError for what the user can put right, and Stopped where a signal ended the training; both keep what was done.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UserError("model=gan trains in one process: start it with python instead of torchrun")
    run = assemble(config, folder)  # before the folder: a configuration that cannot be built leaves none behind
    folder.mkdir(parents=True, exist_ok=True)
    with records.sole_writer(folder):
        finished = records.read_record(folder)  # another process may have ended it meanwhile
        if finished is not None:
            return finished
        write_atomic(folder / "config.yaml", yaml.safe_dump(plain(config), sort_keys=False).encode())
        environment = records.environment()
        resume(run)
        mirror = tracking.Mirror(
            folder,
            mode=tracking.resolve_mode(config.tracking.wandb),
            project=config.tracking.project,
            entity=config.tracking.entity,
            warn=warn,
        )
        try:
            play_all(run, mirror)
            record = write_results(run, label, environment)
        finally:
            mirror.close(WANDB_SECONDS)
        if url := tracking.read_address(folder).get("url"):
            print(f"W&B: {url}", flush=True)
    return record


def play_all(run: Run, mirror: tracking.Mirror) -> None:
    """The iterations that are left, one block of random numbers after the other."""
    iterations, saved = run.gan.iterations, time.monotonic()
    with Stops(Group()) as stops:
        while run.iteration < iterations:
            block, first = divmod(run.iteration, BLOCK)
            draws = draw(run.game, run.config.seed, block).to(run.device)
            for turn in range(first, min(BLOCK, iterations - block * BLOCK)):
                run.sums += play(run.players, draws, turn)
                run.iteration += 1
                if is_measured(run):
                    write_line(run)
                    mirror.check()
                if stops.received:
                    save_state(run)
                    raise Stopped(stops.received[0], run.iteration)
            if time.monotonic() - saved >= 60 * run.config.trainer.checkpoint_every_minutes or run.iteration == iterations:
                save_state(run)
                saved = time.monotonic()
