"""One game of figure 5 in progress: its parts, put together from its configuration, and its checkpoints."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mixup.errors import UserError
from mixup.gan.config import GanConfig
from mixup.gan.game import Game, Players, make_players
from mixup.run import records
from mixup.training import checkpoint
from mixup.training.setup import device_name


@dataclass
class Run:
    """One run's parts and how far it is. sums: (3,), what `play` returned since the last line of metrics, on the device;
    line_seconds: when that line was written, in seconds of this run."""

    config: GanConfig
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
        """Spent on this run so far, before its restarts too."""
        return self.seconds_before + time.monotonic() - self.began


def assemble(config: GanConfig, folder: Path) -> Run:
    """The game as it stands before the first iteration."""
    device = choose_device(config.device)
    game = Game(
        data=config.data,
        kind=config.game,
        alpha=config.alpha,
        lam_per=config.lam_per,
        batch_size=config.batch_size,
        discriminator_steps=config.discriminator_steps,
    )
    bfloat16 = config.precision == "bfloat16"
    players = make_players(
        config.seed, width=config.width, depth=config.depth, lr=config.lr, bfloat16=bfloat16, device=device
    )
    return Run(config, folder, device, game, players, sums=torch.zeros(3, device=device))


def choose_device(wanted: str) -> torch.device:
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device={wanted}: torch finds no GPU here; use device=cpu or auto")
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted)


def warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


# -- stopping and going on -----------------------------------------------------------------------------------------------


def save_state(run: Run) -> None:
    """A checkpoint of everything a restart needs; weights that are not finite are refused, so the last one stays good."""
    networks = (run.players.generator, run.players.discriminator)
    if not all(bool(torch.isfinite(parameter).all()) for network in networks for parameter in network.parameters()):
        raise UserError(
            f"a weight is no longer finite at iteration {run.iteration}: the last good checkpoint is kept; try a smaller lr"
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
            f"no checkpoint could be written in {run.folder} ({error}): make room or mend it, and start again; "
            "the run resumes from the checkpoint before"
        ) from error


def machine(run: Run) -> dict[str, str]:
    """What must stay for a resumed run to end with the same bits."""
    return {"device": device_name(run.device), "torch": str(torch.__version__)}


def resume(run: Run) -> None:
    """Puts the newest good checkpoint into the run, and cuts the metrics file back to it; nothing where there is none."""
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
