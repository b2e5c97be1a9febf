"""Checkpoints: what they hold, how they are written, when they are refused, and how a run continues from one.

A checkpoint survives a kill at any moment: it is atomic, has a checksum, and the last two are kept. It is `step-<n>.pt`,
tensors and plain values only, and `step-<n>.pt.sha256` in the format of `sha256sum -c`.
"""

import contextlib
import hashlib
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mixup.errors import UserError
from mixup.models.imported import source_of
from mixup.run import records
from mixup.run.display import Display
from mixup.run.files import write_atomic
from mixup.training.device import device_name
from mixup.training.distributed import broadcast, union
from mixup.training.engine import DIVERGED, Progress, reduce_progress, start_epoch
from mixup.training.setup import Run

KEPT = 2


def save(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Writes the state after `step` optimizer steps and removes all but the newest two. Raises OSError when it cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    file = folder / f"step-{step}.pt"
    # The checksum first: a checkpoint without one is then always an unfinished or a foreign file.
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
    write_atomic(checksum_of(file), f"{digest}  {file.name}\n".encode())
    write_atomic(file, buffer.getbuffer())
    files = checkpoints(folder)
    place = files.index(file)
    # Newer files are damaged ones that resume skipped; keeping them would evict good checkpoints.
    for other in [*files[: max(0, place + 1 - KEPT)], *files[place + 1 :]]:
        delete(other)
    return file


def load_newest(folder: Path, *, warn: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest undamaged state, on the CPU; None if there is none. `warn` receives a message for each damaged one.

    Raises OSError if a file exists and cannot be read: the cause may pass, so the file does not count as damaged.
    """
    for file in reversed(checkpoints(folder)):
        content = file.read_bytes()
        try:
            expected = checksum_of(file).read_text().split()[0]
            if hashlib.sha256(content).hexdigest() != expected:
                raise ValueError("its checksum does not match")
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # whatever is wrong with this file, an older one may be good
            warn(f"checkpoint {file} is damaged ({error}): falling back to the one before it, or to the start")
    return None


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoint files, oldest first."""
    steps = {int(match[1]): file for file in folder.glob("*.pt") if (match := re.fullmatch(r"step-(\d+)\.pt", file.name))}
    return [steps[step] for step in sorted(steps)]


def checksum_of(file: Path) -> Path:
    return file.with_name(file.name + ".sha256")


def delete(file: Path) -> None:
    file.unlink()
    checksum_of(file).unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Removes all checkpoints of a finished run, whose weights are in weights.safetensors."""
    for file in checkpoints(folder):
        delete(file)
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()


def write_state(folder: Path, step: int, state: dict[str, Any], network: nn.Module, place: str) -> None:
    """Writes the checkpoint of a run in `folder`. place: where the run is, in words. Raises UserError, and keeps the last
    good checkpoint, if a weight of the network is not finite or the disk is full."""
    if not torch.stack([torch.isfinite(parameter).all() for parameter in network.parameters()]).all():
        raise UserError(f"a weight is no longer finite at {place}; {DIVERGED}")
    try:
        save(folder / "checkpoint", step, state)
    except OSError as error:
        raise UserError(
            f"no checkpoint could be written in {folder} ({error}): make room or mend it, and start again; "
            "the run resumes from the checkpoint before"
        ) from error


def read_state(
    folder: Path, machine: dict[str, Any], environment: dict[str, Any], warn: Callable[[str], None]
) -> dict[str, Any] | None:
    """The newest good checkpoint of the run in `folder`; None to start from scratch. Warns if another machine or other code
    made it."""
    state = load_newest(folder / "checkpoint", warn=warn)
    if state is None:
        return None
    for key, now in machine.items():
        if key != "world_size" and state.get(key, now) != now:  # see `check_world_size`
            warn(f"resumed with {key} {now} instead of {state[key]}: the result will not be the same to the last bit")
    before = (segments(state)[-1]["environment"] or {}).get("commit")
    if before != environment["commit"]:
        warn(f"resumed with the code of commit {environment['commit']} instead of {before}: this run will be no evidence")
    return state


def machine(device: torch.device, world_size: int = 1) -> dict[str, Any]:
    """A resumed run ends with the same bits only if these are the same."""
    return {"device": device_name(device), "torch": str(torch.__version__), "world_size": world_size}


def conditions(run: Run) -> dict[str, Any]:
    """The machine, and the source of a network of the user's."""
    source = source_of(run.config.model.path)
    return machine(run.device, run.group.world_size) | ({"network_sha256": source["sha256"]} if source else {})


def segments(state: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What trained a run up to a checkpoint, one entry for each start of it: the steps done before, the machine, and the
    code's environment, which a checkpoint of an earlier version does not name."""
    return [] if state is None else state.get("segments", [{"step": 0, "environment": None}])


def save_state(run: Run, progress: Progress) -> None:
    """Writes everything a restart needs; called on every rank. Raises as `reduce_progress` and `write_state` do."""
    reduce_progress(progress, run.group)
    unreadable = union(run.group, run.train.unreadable)
    if not run.group.is_leader:
        return
    state = {
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "epoch": progress.epoch,
        "step": progress.step,
        "losses": progress.state.losses,
        "predicted": progress.state.predicted,
        "seconds": progress.seconds(),
        "unreadable": unreadable,
        **run.fingerprints,
        "segments": run.segments,
        **conditions(run),
    }
    place = f"epoch {progress.epoch}, step {progress.step} (both counted from 0)"
    write_state(run.folder, progress.steps_done, state, run.model, place)


def resume(run: Run, environment: dict[str, Any], display: Display) -> Progress:
    """Continues from the newest good checkpoint, if there is one, after cutting metrics.jsonl back to it; called on every
    rank. Raises UserError if the checkpoint was made on other data, or does not fit this code, these processes, or
    metrics.jsonl."""
    state, here = None, conditions(run)
    if run.group.is_leader:
        state = read_state(run.folder, here, environment, display.warn)
        if state and not records.same_data(run.fingerprints, state):
            raise UserError(
                f"the data is not what {run.folder} was trained on: restore it, or remove that folder to start again"
            )
        if state:
            check_world_size(run, state.get("world_size", run.group.world_size), display.warn)
        epoch = state["epoch"] if state else 0
        # The lines of an epoch are written when it ends, so all lines of the current epoch are still to come.
        lines = records.rewind_metrics(run.folder, epoch * run.steps_per_epoch)
        if (lost := epoch - sum("epoch" in line for line in lines)) > 0:
            raise UserError(
                f"{run.folder}/metrics.jsonl lacks {lost} of the {epoch} epochs that its checkpoint has: restore it, or "
                "remove the folder to start again"
            )
    state = broadcast(run.group, state)
    progress = start_epoch(0, len(run.train), run.config.trainer.batch_size, run.device)
    if state is not None:
        with explained_mismatch(run.folder, state):
            progress = restore(run, state)
        display.say(f"resumed at epoch {progress.epoch + 1}, step {progress.step}")
    run.segments = [*segments(state), {"step": progress.steps_done, **here, "environment": environment}]
    return progress


def check_world_size(run: Run, before: int, warn: Callable[[str], None]) -> None:
    """Warns if another number of processes goes on, and raises UserError if what they mix would be other from there on."""
    now = run.group.world_size
    if now == before:
        return
    if run.mixes_in_shares:
        start = f"torchrun with {before} processes" if before > 1 else "one process, without torchrun"
        raise UserError(
            f"{run.folder} was trained with world_size {before}, and each process mixes its own share of a batch: with "
            f"{now} the mixtures would be others. Go on with {start}, or remove the folder to start again"
        )
    warn(
        f"resumed with world_size {now} instead of {before}: the batches stay the same, but BatchNorm and dropout see other "
        "shares of them, and the result will not be the same to the last bit"
    )


def restore(run: Run, state: dict[str, Any]) -> Progress:
    """Puts the saved state into a run."""
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    progress = start_epoch(state["epoch"], len(run.train), run.config.trainer.batch_size, run.device)
    progress.step = state["step"]
    progress.seconds_before = state["seconds"] if state["step"] else 0.0
    if run.group.is_leader:  # what was saved is of all ranks
        if state["step"]:
            progress.state.losses.copy_(state["losses"])
            progress.state.predicted.copy_(state["predicted"])
        run.train.unreadable |= state.get("unreadable", {})
    return progress


@contextlib.contextmanager
def explained_mismatch(folder: Path, state: dict[str, Any]) -> Iterator[None]:
    """Raises UserError where a checkpoint lacks what this code needs, or its network is another."""
    try:
        yield
    except (KeyError, ValueError, RuntimeError) as error:
        commit = (segments(state)[-1]["environment"] or {}).get("commit") or "an earlier one"
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).splitlines()[-1].strip()
        raise UserError(
            f"the checkpoint in {folder} does not fit this code ({reason}): go on with the code that made it, of commit "
            f"{commit}, or remove the folder to start again"
        ) from error
