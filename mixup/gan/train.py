"""Trains a GAN of figure 5, from a configuration to a record: what `mixup.training.train` is for a classifier."""

import io
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixup.errors import UserError
from mixup.gan.game import (
    BLOCK,
    SHOWN,
    SPREAD,
    Draws,
    Game,
    Players,
    draw,
    make_players,
    mode_centres,
    picture_points,
    play,
    slopes,
)
from mixup.gan.modes import coverage
from mixup.run import records, tracking
from mixup.run.config import GanConfig, TrainConfig
from mixup.run.display import Display, duration
from mixup.run.files import write_atomic
from mixup.training.checkpoint import explained_mismatch, machine, read_state, segments, write_state
from mixup.training.device import choose_device, require_precision, set_up_device
from mixup.training.distributed import Group
from mixup.training.dry_run import parameter_count
from mixup.training.folder import finish, mirrored, occupied
from mixup.training.signals import Signals, Stopped, received_signals

__all__ = ["Stopped", "train"]

STRICT, LOOSE = 3, 10  # standard deviations from a centre within which a sample is good
WINDOW = 1.25  # what a picture shows: coordinates from -WINDOW to WINDOW
DATA = {"ring": "8 Gaussians on the unit circle", "grid": "25 Gaussians on a square of side 2"}


@dataclass
class Run:
    """iteration: how many are done. sums: (3,), what `play` returned since the last line of metrics.jsonl, on the device.
    began: when training began, on the clock of `time.monotonic`, as if it had never been interrupted."""

    config: TrainConfig
    gan: GanConfig
    folder: Path
    device: torch.device
    game: Game
    players: Players
    sums: Tensor
    iteration: int = 0
    began: float = field(default_factory=time.monotonic)
    segments: list[dict[str, Any]] = field(default_factory=list)  # see `checkpoint.segments`

    @property
    def at_snapshot(self) -> bool:
        return self.iteration in (*self.gan.snapshots, self.gan.iterations)


def train(config: TrainConfig, folder: Path, label: str) -> records.Record:
    """Trains from the newest checkpoint in `folder`, or from the start, to the end; returns the record.

    Raises UserError for what the user can put right, and Stopped after a signal; a checkpoint keeps what was trained.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UserError("model=gan trains in one process: start it with python instead of torchrun")
    environment = records.environment()
    run = assemble(config, folder)  # before the folder, so that a refused configuration leaves no folder behind
    display = Display(epochs=1, steps_per_epoch=run.gan.iterations, images_per_step=SHOWN, silent=False)  # lines, no bar
    with occupied(config, folder, Group()) as record:
        if record is None:
            resume(run, environment, display)
            with mirrored(config, folder, Group(), display) as mirror, received_signals(Group()) as signals:
                play_all(run, mirror, display, signals)
                record = write_results(run, label)
    return record


def assemble(config: TrainConfig, folder: Path) -> Run:
    """The game before its first iteration."""
    assert config.gan is not None
    device = choose_device(config.trainer.device, Group())
    require_precision(config.trainer, device)
    set_up_device(device, config.trainer)
    game = Game(
        data=config.data.name,
        kind=config.gan.game,
        alpha=config.mixup.alpha,
        lam_per=config.mixup.lam_per,
        batch_size=config.trainer.batch_size,
        discriminator_steps=config.gan.discriminator_steps,
    )
    width, depth, bfloat16 = config.model.width or 1, config.model.depth or 1, config.trainer.precision == "bfloat16"
    players = make_players(config.seed, width=width, depth=depth, lr=config.optim.lr, bfloat16=bfloat16, device=device)
    return Run(config, config.gan, folder, device, game, players, sums=torch.zeros(3, device=device))


def play_all(run: Run, mirror: tracking.Mirror, display: Display, signals: Signals) -> None:
    """All remaining iterations, one block of random numbers after the other."""
    trainer, saved_at = run.config.trainer, time.monotonic()
    while run.iteration < run.gan.iterations:
        block, first = divmod(run.iteration, BLOCK)
        draws = Draws(*(tensor.to(run.device) for tensor in draw(run.game, run.config.seed, block)))
        for turn in range(first, min(BLOCK, run.gan.iterations - block * BLOCK)):
            run.sums += play(run.players, draws, turn)
            run.iteration += 1
            if run.at_snapshot or run.iteration % trainer.log_every_steps == 0:
                write_line(run, display)
                mirror.check()
            if number := signals.agreed():
                save_state(run)
                raise Stopped(number, run.iteration)
        if time.monotonic() - saved_at >= 60 * trainer.checkpoint_every_minutes or run.iteration == run.gan.iterations:
            save_state(run)
            saved_at = time.monotonic()


def save_state(run: Run) -> None:
    """Writes everything a restart needs. Raises UserError as `write_state` does."""
    progress = {"sums": run.sums, "iteration": run.iteration, "seconds": time.monotonic() - run.began}
    players = {name: part.state_dict() for name, part in run.players._asdict().items()}
    state = {**players, **progress, "segments": run.segments, **machine(run.device)}
    write_state(run.folder, run.iteration, state, run.players.networks, f"iteration {run.iteration}")


def resume(run: Run, environment: dict[str, Any], display: Display) -> None:
    """Continues from the newest good checkpoint, if there is one, after cutting metrics.jsonl back to it."""
    here = machine(run.device)
    state = read_state(run.folder, here, environment, display.warn)
    done = state["iteration"] if state else 0
    run.segments = [*segments(state), {"step": done, **here, "environment": environment}]
    records.rewind_metrics(run.folder, done)
    if state is None:
        return
    with explained_mismatch(run.folder, state):
        for name, part in run.players._asdict().items():
            part.load_state_dict(state[name])
        run.sums += state["sums"].to(run.device)
    run.iteration, run.began = state["iteration"], time.monotonic() - state["seconds"]
    display.say(f"resumed after iteration {run.iteration:,}")


def write_line(run: Run, display: Display) -> None:
    """Mean losses since the last line, and measures of the generator's points from fixed noise; keeps snapshots' points."""
    real, noise = picture_points(run.game.data, run.config.seed)
    with torch.no_grad():
        fake = run.players.generator(noise.to(run.device))
    if run.at_snapshot:
        content = io.BytesIO()
        np.savez(content, real=real.numpy(), fake=fake.cpu().numpy())
        (run.folder / "snapshots").mkdir(exist_ok=True)
        write_atomic(run.folder / "snapshots" / f"{run.iteration}.npz", content.getvalue())
    seconds, lines = time.monotonic() - run.began, records.read_metrics(run.folder)
    previous = lines[-1] if lines else {"step": 0, "seconds": 0.0}
    count = run.iteration - previous["step"]
    loss, floor, generator_loss = (run.sums / count).tolist()
    run.sums.zero_()
    line = {
        "step": run.iteration,
        "train_discriminator_loss": loss,
        "train_entropy_floor": floor,
        "train_excess_loss": loss - floor,
        "train_generator_loss": generator_loss,
        **{f"test_{name}": value for name, value in measure(run, fake).items()},
        "seconds": seconds,
        "iterations_per_second": count / (seconds - previous["seconds"]),
    }
    records.append_metrics(run.folder, [line])
    left = (run.gan.iterations - run.iteration) / line["iterations_per_second"]
    display.say(
        f"iteration {run.iteration:>6,}/{run.gan.iterations:,}  excess loss {line['train_excess_loss']:.4f}  "
        f"modes {line['test_modes']}/{len(mode_centres(run.game.data))}  good samples {line['test_good_share']:5.1f} %  "
        f"{line['iterations_per_second']:.1f} iterations/s  {duration(left)} left"
    )


def measure(run: Run, fake: Tensor) -> dict[str, float]:
    """Measures of the generator's SHOWN points, (SHOWN, 2). Shares in percent; `loose` counts samples within LOOSE standard
    deviations of a centre, the others within STRICT. The slopes are the discriminator's, at these points."""
    points, centres = fake.cpu().numpy(), mode_centres(run.game.data)
    strict, loose = (coverage(points, centres, radius=SPREAD * distance) for distance in (STRICT, LOOSE))
    slope, saturating_slope = slopes(run.players, fake)
    return {
        "modes": strict.modes,
        "good_share": strict.good_share,
        "modes_loose": loose.modes,
        "good_share_loose": loose.good_share,
        "in_window": 100 * float((np.abs(points) <= WINDOW).all(1).mean()),
        "slope": slope,
        "saturating_slope": saturating_slope,
    }


def write_results(run: Run, label: str) -> records.Record:
    """Writes the weights of both networks and the record, whose numbers are those of the last line of metrics.jsonl."""
    name, last = run.game.data, records.read_metrics(run.folder)[-1]
    results = {
        "data": {
            "provenance": f"{DATA[name]}, standard deviation {SPREAD}, drawn as needed",
            "modes": len(mode_centres(name)),
            "test_count": SHOWN,
            "absent": {},
            "unreadable": {},
        },
        "test": {key.removeprefix("test_"): {"last": value} for key, value in last.items() if key.startswith("test_")},
        "validation": None,
        "train": {key.removeprefix("train_"): value for key, value in last.items() if key.startswith("train_")},
        "epochs": run.config.trainer.epochs,
        "train_seconds": last["seconds"],
        "iterations_per_second": run.gan.iterations / last["seconds"],
        "parameters": parameter_count(run.players.networks),
        "world_size": 1,
    }
    return finish(run, label, weights=run.players.networks.state_dict(), results=results)
