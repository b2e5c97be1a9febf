"""A game of figure 5 from its configuration to its record. `gan_state` and `gan_results` are its two parts."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import yaml

from mixup.gan.config import GanConfig
from mixup.gan.game import BLOCK, draw, play
from mixup.gan.game_state import Run, assemble, resume, save_state, warn
from mixup.gan.results import is_measured, write_line, write_results
from mixup.run import records, tracking
from mixup.run.files import write_atomic
from mixup.training.distributed import Group
from mixup.training.signals import Stopped, Stops

__all__ = ["Stopped", "train"]

WANDB_SECONDS = 15.0  # how long a finished run waits for W&B


def train(config: GanConfig, folder: Path, label: str) -> records.Record:
    """Plays from the newest checkpoint in `folder`, or from the start, to the end; returns the record.

    Raises UserError for what the user can put right, and Stopped where a signal ended it; what was done is kept.
    """
    run = assemble(config, folder)  # before the folder: a request that cannot be met leaves none behind
    folder.mkdir(parents=True, exist_ok=True)
    with records.sole_writer(folder):
        finished = records.read_record(folder)  # another process may have ended it meanwhile
        if finished is not None:
            return finished
        write_atomic(folder / "config.yaml", yaml.safe_dump(dataclasses.asdict(config), sort_keys=False).encode())
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
            record = write_results(run, label)
        finally:
            mirror.close(WANDB_SECONDS)
        if url := tracking.read_address(folder).get("url"):
            print(f"W&B: {url}", flush=True)
    return record


def play_all(run: Run, mirror: tracking.Mirror) -> None:
    """All iterations that are left, a block of random numbers at a time."""
    config = run.config
    saved = time.monotonic()
    with Stops(Group()) as stops:
        while run.iteration < config.iterations:
            block, first = divmod(run.iteration, BLOCK)
            draws = draw(run.game, config.seed, block).to(run.device)
            for turn in range(first, min(BLOCK, config.iterations - block * BLOCK)):
                run.sums += play(run.players, draws, turn)
                run.iteration += 1
                if is_measured(config, run.iteration):
                    write_line(run)
                    mirror.check()
                if stops.received:
                    save_state(run)
                    raise Stopped(stops.received[0], run.iteration)
            if time.monotonic() - saved >= 60 * config.checkpoint_every_minutes or run.iteration == config.iterations:
                save_state(run)
                saved = time.monotonic()
