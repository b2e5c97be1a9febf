"""Stopping and going on: what a checkpoint holds, when it is refused, and how a run continues from it."""

from __future__ import annotations

import contextlib
import signal
from typing import Any

import torch

from mixup.errors import UserError
from mixup.run import records
from mixup.run.display import Display
from mixup.training import checkpoint
from mixup.training.distributed import Group, merged
from mixup.training.engine import Progress, reduce_progress, start_epoch
from mixup.training.setup import Run, device_name


class Stopped(Exception):
    """The run was asked to stop (SIGTERM, Ctrl-C) and has saved where it stands. `signal` is the signal's number."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}: the same command resumes it")
        self.signal = number


class Stops:
    """Collects SIGTERM and SIGINT, to be obeyed after the step at hand. Many processes would each stop at a step of their
    own: there the signals keep their default, and the run resumes from its last checkpoint."""

    def __init__(self, group: Group) -> None:
        self.received: list[int] = []
        self.before: dict[int, Any] = {}
        self.numbers = (signal.SIGTERM, signal.SIGINT) if group.world_size == 1 else ()

    def __enter__(self) -> Stops:
        with contextlib.suppress(ValueError):  # only the main thread receives signals
            for number in self.numbers:
                self.before[number] = signal.signal(number, self.note)
        return self

    def note(self, received: int, frame: object) -> None:
        self.received.append(received)
        signal.signal(received, signal.SIG_DFL)  # a second one does not wait for the step to end

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def obey(self, run: Run, progress: Progress) -> None:
        """Where a signal has come: saves and raises Stopped."""
        if self.received:
            save_state(run, progress)
            raise Stopped(self.received[0], run.steps_done(progress))


def save_state(run: Run, progress: Progress) -> None:
    """A checkpoint of everything a restart needs; weights that are not finite are refused, so the last one stays good."""
    reduce_progress(progress, run.group)
    unreadable = merged(run.group, run.train.unreadable)
    if not run.group.leads:
        return
    if not all(bool(torch.isfinite(parameter).all()) for parameter in run.model.parameters()):
        raise UserError(
            f"a weight is no longer finite at epoch {progress.epoch}, step {progress.step} (both counted from 0); the last "
            "good checkpoint is kept. Try a smaller optim.lr, or trainer.precision=float32"
        )
    state = {
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "epoch": progress.epoch,
        "step": progress.step,
        "losses": progress.losses,
        "sums": progress.totals.sums,
        "count": progress.totals.count,
        "seconds": progress.seconds(),
        "unreadable": unreadable,
        "fingerprint": run.fingerprint,
        **machine(run),
    }
    try:
        checkpoint.save(run.folder / "checkpoint", run.steps_done(progress), state)
    except OSError as error:
        raise UserError(
            f"no checkpoint could be written in {run.folder} ({error}): make room or mend it, and start again; "
            "the run resumes from the checkpoint before"
        ) from error


def machine(run: Run) -> dict[str, str | int]:
    """What must stay for a resumed run to end with the same bits."""
    return {"device": device_name(run.device), "torch": str(torch.__version__), "world_size": run.group.world_size}


def restore(run: Run, shown: Display) -> dict[str, Any] | None:
    """The newest good checkpoint, on rank 0, with the metrics file cut back to it; None to start from scratch."""
    if not run.group.leads:
        return None
    state = checkpoint.load_newest(run.folder / "checkpoint", warn=shown.warn)
    if state and state["fingerprint"] != run.fingerprint:
        raise UserError(
            f"the data is not what {run.folder} was trained on: restore it, or remove that folder to start again"
        )
    for key, now in machine(run).items():
        if state and state[key] != now:
            shown.warn(f"resumed with {key} {now} instead of {state[key]}: the result will not be the same to the last bit")
    # An epoch's lines are written when it ends, so those of the epoch at hand are all written anew.
    records.rewind_metrics(run.folder, state["epoch"] * run.steps_per_epoch if state else 0)
    return state


def resume(run: Run, state: dict[str, Any] | None, shown: Display) -> Progress:
    """Puts a checkpoint into the run and returns where to go on."""
    if state is None:
        return start_epoch(0, run.steps_per_epoch, run.device)
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    progress = start_epoch(state["epoch"], run.steps_per_epoch, run.device)
    progress.step = state["step"]
    progress.seconds_before = state["seconds"] if state["step"] else 0.0
    if run.group.leads:  # sums over all ranks were rank 0's when they were saved
        progress.losses += state["losses"].to(run.device)
        progress.totals.sums += state["sums"].to(run.device)
        progress.totals.count = state["count"]
        run.train.unreadable |= state.get("unreadable", {})
    shown.say(f"resumed at epoch {state['epoch'] + 1}, step {state['step']}")
    return progress
