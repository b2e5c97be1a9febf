"""What a GAN's training writes: snapshots, lines of metrics.jsonl, weights and its record."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from mixup.gan.game import SHOWN, SPREAD, mode_centres, picture_points, slopes
from mixup.gan.modes import coverage
from mixup.gan.state import Run
from mixup.run import records, tracking
from mixup.run.config import plain
from mixup.run.display import duration
from mixup.run.files import write_atomic
from mixup.run.identity import config_hash
from mixup.training import checkpoint
from mixup.training.dry_run import parameter_count
from mixup.training.setup import device_name

STRICT, LOOSE = 3, 10  # standard deviations from a centre within which a sample is good
WINDOW = 1.25  # what a picture shows: coordinates from -WINDOW to WINDOW
SETTINGS = {"ring": "8 Gaussians on the unit circle", "grid": "25 Gaussians on a square of side 2"}


def is_snapshot(run: Run) -> bool:
    return run.iteration in (*run.gan.snapshots, run.gan.iterations)


def is_measured(run: Run) -> bool:
    """Whether metrics.jsonl has a line on the iteration that has just ended."""
    return run.iteration % run.config.trainer.log_every_steps == 0 or is_snapshot(run)


def write_line(run: Run) -> None:
    """Mean losses since the last line, and measures of the generator's points from fixed noise; keeps snapshots' points."""
    real, noise = picture_points(run.game.data, run.config.seed)
    with torch.no_grad():
        fake = run.players.generator(noise.to(run.device))
    if is_snapshot(run):
        (run.folder / "snapshots").mkdir(exist_ok=True)
        content = io.BytesIO()
        np.savez(content, real=real.numpy(), fake=fake.cpu().numpy())
        write_atomic(run.folder / "snapshots" / f"{run.iteration}.npz", content.getvalue())
    seconds, count = run.seconds(), run.iteration - run.line_iteration
    loss, floor, generator_loss = (run.sums / count).tolist()
    line = {
        "step": run.iteration,
        "train_discriminator_loss": loss,
        "train_entropy_floor": floor,
        "train_excess_loss": loss - floor,
        "train_generator_loss": generator_loss,
        **{f"test_{name}": value for name, value in measure(run, fake).items()},
        "seconds": seconds,
        "iterations_per_second": count / (seconds - run.line_seconds),
    }
    records.append_metrics(run.folder, [line])
    run.sums.zero_()
    run.line_iteration, run.line_seconds = run.iteration, seconds
    left = (run.gan.iterations - run.iteration) / line["iterations_per_second"]
    print(
        f"iteration {run.iteration:>6,}/{run.gan.iterations:,}  excess loss {line['train_excess_loss']:.4f}  "
        f"modes {line['test_modes']}/{len(mode_centres(run.game.data))}  good samples {line['test_good_share']:5.1f} %  "
        f"{line['iterations_per_second']:.1f} iterations/s  {duration(left)} left",
        flush=True,
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


def write_results(run: Run, label: str, environment: dict[str, Any]) -> records.Record:
    """Writes both networks' weights and, last, the record; removes the checkpoints."""
    config, players = run.config, run.players
    weights = {
        f"{name}.{key}": value.contiguous()
        for name, network in (("generator", players.generator), ("discriminator", players.discriminator))
        for key, value in network.state_dict().items()
    }
    write_atomic(run.folder / "weights.safetensors", save(weights))
    last = records.read_metrics(run.folder)[-1]
    record = {
        "name": config.name,
        "label": label,
        "seed": config.seed,
        "alpha": config.mixup.alpha,
        "hash": config_hash(config),
        "cell": config_hash(dataclasses.replace(config, seed=0)),
        "config": plain(config),
        "data": {
            "provenance": f"{SETTINGS[config.data.name]}, standard deviation {SPREAD}, drawn as needed",
            "modes": len(mode_centres(config.data.name)),
            "test_count": SHOWN,
            "absent": {},
            "unreadable": {},
        },
        "test": {key: {"last": value} for key, value in values_of(last, "test_").items()},
        "validation": None,
        "train": values_of(last, "train_"),
        "epochs": config.trainer.epochs,
        "train_seconds": last["seconds"],
        "iterations_per_second": run.gan.iterations / last["seconds"],
        "parameters": parameter_count(players.generator) + parameter_count(players.discriminator),
        "device": device_name(run.device),
        "world_size": 1,
        "environment": environment,
        "wandb": tracking.read_address(run.folder) or None,
    }
    records.write_record(run.folder, record)
    checkpoint.remove(run.folder / "checkpoint")
    return record


def values_of(line: dict[str, Any], prefix: str) -> dict[str, float]:
    return {key.removeprefix(prefix): value for key, value in line.items() if key.startswith(prefix)}
