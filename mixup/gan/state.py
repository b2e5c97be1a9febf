"""A GAN in training: its parts, built from a configuration, and its checkpoints."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mixup.errors import UserError
from mixup.gan.game import Game, Players, make_players
from mixup.run import records
from mixup.run.config import GanConfig, TrainConfig
from mixup.training import checkpoint
from mixup.training.distributed import Group
from mixup.training.setup import choose_device, device_name


@dataclass
class Run:
    """sums: (3,), what `play` returned since the last line of metrics.jsonl, on the device; line_iteration, line_seconds:
    the iteration of that line, and the seconds of training before it."""

    config: TrainConfig
    gan: GanConfig
    folder: Path
    device: torch.device
    game: Game
    players: Players
    sums: Tensor
    iteration: int = 0
    line_iteration: int = 0
    line_seconds: float = 0.0
    seconds_before: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        """Seconds of training, those before a restart included."""
        return self.seconds_before + time.monotonic() - self.began


def assemble(config: TrainConfig, folder: Path) -> Run:
    """The game before its first iteration."""
    assert config.gan is not None
    device = choose_device(config.trainer.device, Group())
    game = Game(
        data=config.data.name,
        kind=config.gan.game,
        alpha=config.mixup.alpha,
        lam_per=config.mixup.lam_per,
        batch_size=config.trainer.batch_size,
        discriminator_steps=config.gan.discriminator_steps,
    )
    players = make_players(
        config.seed,
        width=config.model.width or 1,
        depth=config.model.depth or 1,
        lr=config.optim.lr,
        bfloat16=config.trainer.precision == "bfloat16",
        device=device,
    )
    return Run(config, config.gan, folder, device, game, players, sums=torch.zeros(3, device=device))


def warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


def save_state(run: Run) -> None:
    """Writes a checkpoint. UserError for weights that are not finite: the checkpoint before stays the newest."""
    networks = (run.players.generator, run.players.discriminator)
    if not all(bool(torch.isfinite(parameter).all()) for network in networks for parameter in network.parameters()):
        raise UserError(
            f"a weight is no longer finite at iteration {run.iteration}: the last good checkpoint is kept; try a smaller "
            "optim.lr"
        )
    state = {
        **{name: part.state_dict() for name, part in run.players.parts().items()},
        **{"sums": run.sums, "iteration": run.iteration, "seconds": run.seconds()},
        **{"line_iteration": run.line_iteration, "line_seconds": run.line_seconds},
        **machine(run),
    }
    try:
        checkpoint.save(run.folder / "checkpoint", run.iteration, state)
    except OSError as error:
        raise UserError(
            f"no checkpoint could be written in {run.folder} ({error}): free space or repair it, and start again; "
            "the run resumes from the checkpoint before"
        ) from error


def machine(run: Run) -> dict[str, str]:
    """What must be the same after a restart for the same bits."""
    return {"device": device_name(run.device), "torch": str(torch.__version__)}


def resume(run: Run) -> None:
    """Loads the newest good checkpoint, if there is one, and cuts metrics.jsonl back to it."""
    state = checkpoint.load_newest(run.folder / "checkpoint", warn=warn)
    records.rewind_metrics(run.folder, state["iteration"] if state else 0)
    if state is None:
        return
    for key, now in machine(run).items():
        if state[key] != now:
            warn(f"resumed with {key} {now} instead of {state[key]}: the result will not be the same to the last bit")
    for name, part in run.players.parts().items():
        part.load_state_dict(state[name])
    run.sums += state["sums"].to(run.device)
    run.iteration, run.line_iteration = state["iteration"], state["line_iteration"]
    run.seconds_before, run.line_seconds = state["seconds"], state["line_seconds"]
    print(f"resumed after iteration {run.iteration:,}", flush=True)
