"""What a game of figure 5 leaves: snapshots, lines of metrics, weights and its record."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from mixup.gan.config import GanConfig, cell, config_hash
from mixup.gan.game import SPREAD, mode_centres, picture_points, slopes
from mixup.gan.game_state import Run
from mixup.gan.modes import coverage
from mixup.run import records, tracking
from mixup.run.display import duration
from mixup.run.files import write_atomic
from mixup.training import checkpoint
from mixup.training.dry_run import parameter_count
from mixup.training.setup import device_name

STRICT, LOOSE = 3, 10  # standard deviations from a centre within which a sample is good
WINDOW = 1.25  # what a picture shows: coordinates from -WINDOW to WINDOW
SETTINGS = {"ring": "8 Gaussians on the unit circle", "grid": "25 Gaussians on a square of side 2"}


def is_measured(config: GanConfig, iteration: int) -> bool:
    """Whether metrics.jsonl has a line on this iteration."""
    return iteration % config.log_every_iterations == 0 or iteration in (*config.snapshots, config.iterations)


def write_line(run: Run) -> None:
    """Losses since the last line, and what the generator makes of its fixed noise; at a snapshot, its points too."""
    config, iteration = run.config, run.iteration
    real, noise = picture_points(config.data, config.seed)
    with torch.no_grad():
        fake = run.players.generator(noise.to(run.device))
    if iteration in config.snapshots or iteration == config.iterations:
        (run.folder / "snapshots").mkdir(exist_ok=True)
        content = io.BytesIO()
        np.savez(content, real=real.numpy(), fake=fake.cpu().numpy())
        write_atomic(run.folder / "snapshots" / f"{iteration}.npz", content.getvalue())
    seconds, count = run.seconds(), iteration - run.line_iteration
    loss, floor, generator_loss = (run.sums / count).tolist()
    line = {
        "step": iteration,
        "train_discriminator_loss": loss,
        "train_entropy_floor": floor,
        "train_excess_loss": loss - floor,
        "train_generator_loss": generator_loss,
        **{f"test_{name}": value for name, value in measured(run, fake).items()},
        "seconds": seconds,
        "iterations_per_second": count / (seconds - run.line_seconds),
    }
    records.append_metrics(run.folder, [line])
    run.sums.zero_()
    run.line_iteration, run.line_seconds = iteration, seconds
    left = (config.iterations - iteration) / line["iterations_per_second"]
    print(
        f"iteration {iteration:>6,}/{config.iterations:,}  excess loss {line['train_excess_loss']:.4f}  "
        f"modes {line['test_modes']}/{len(mode_centres(config.data))}  good samples {line['test_good_share']:5.1f} %  "
        f"{line['iterations_per_second']:.1f} iterations/s  {duration(left)} left",
        flush=True,
    )


def measured(run: Run, fake: Tensor) -> dict[str, float]:
    """What there is to say of the generator's SHOWN points. Shares in percent; `loose` counts samples within LOOSE standard
    deviations of a centre, the others within STRICT. The slopes are the discriminator's, at these points."""
    points, centres = fake.cpu().numpy(), mode_centres(run.config.data)
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
    """Both networks' weights and, last, the record; the checkpoints go."""
    config, players = run.config, run.players
    weights = {
        f"{name}.{key}": value.contiguous()
        for name, network in (("generator", players.generator), ("discriminator", players.discriminator))
        for key, value in network.state_dict().items()
    }
    write_atomic(run.folder / "weights.safetensors", save(weights))
    lines = {line["step"]: line for line in records.read_metrics(run.folder)}
    snapshots = {step: measures(line) for step, line in lines.items() if step in config.snapshots}
    seconds = lines[config.iterations]["seconds"]
    record = {
        "name": config.name,
        "label": label,
        "seed": config.seed,
        "alpha": config.alpha,
        "game": config.game,
        "hash": config_hash(config),
        "cell": cell(config),
        "config": dataclasses.asdict(config),
        "data": {
            "provenance": f"{SETTINGS[config.data]}, standard deviation {SPREAD}, drawn as needed",
            "modes": len(mode_centres(config.data)),
        },
        "last": measures(lines[config.iterations]),
        "snapshots": {str(step): values for step, values in snapshots.items()},
        "iterations": config.iterations,
        "train_seconds": seconds,
        "iterations_per_second": config.iterations / seconds,
        "parameters": {
            "generator": parameter_count(players.generator),
            "discriminator": parameter_count(players.discriminator),
        },
        "device": device_name(run.device),
        "environment": records.environment(),
        "wandb": tracking.read_address(run.folder) or None,
    }
    records.write_record(run.folder, record)
    checkpoint.remove(run.folder / "checkpoint")
    return record


def measures(line: dict[str, Any]) -> dict[str, float]:
    """A line of metrics without its counts and times."""
    return {key.removeprefix("test_"): value for key, value in line.items() if key.startswith(("test_", "train_"))}
