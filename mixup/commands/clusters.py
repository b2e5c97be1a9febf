"""A sweep in the jobs of a cluster: each holds some runs and trains them as a sweep on one machine does, in slots.

SLURM or Ray starts the jobs where it has room. What a run leaves, it writes to its folder, which all machines share; this
process reads how far the runs have come from there.
"""

import importlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from mixup.commands.overview import Overview
from mixup.commands.slots import Train
from mixup.commands.sweep import Interrupted, Statuses, gpus, side_by_side, slots_of, stopping_signals
from mixup.errors import redacted
from mixup.run.compose import Task
from mixup.run.config import SweepConfig, TrainConfig

SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True)
class Job:
    """Some runs of a sweep. Called in a process of its own, wherever that is, it trains them as this process would."""

    tasks: tuple[Task, ...]
    train: Train
    folder: str = field(default_factory=os.getcwd)  # where relative paths begin
    words: tuple[str, ...] = field(default_factory=lambda: tuple(sys.argv))  # which each record has
    variables: dict[str, str] = field(default_factory=lambda: dict(ours(os.environ.items())))

    def __call__(self) -> Statuses:
        os.chdir(self.folder)
        os.environ.update(self.variables)
        sys.argv[:] = self.words
        return side_by_side(self.tasks, self.train, slots_of(self.tasks, len(gpus())))


def ours(variables: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """The variables that this project and W&B read, without secrets, since jobs are kept in files."""
    return ((name, value) for name, value in variables if name.startswith(("MIXUP_", "WANDB_")) and redacted(value) == value)


class Cluster(Protocol):
    """What starts jobs. A handle is its own name for a job that it was given."""

    def earlier(self) -> list[tuple[Any, Job]]:
        """The jobs of earlier sweeps in the same folder that wait or train now."""

    def submit(self, jobs: Sequence[Job]) -> list[Any]:
        """Hands them over and says so; returns a handle of each. UserError where they are refused."""

    def result(self, handle: Any) -> Statuses | str | None:
        """What the job has returned, or why it ended without; None while it waits or trains."""

    def leave(self, handles: Sequence[Any]) -> str:
        """What becomes of these jobs when this process ends, in words; this is called before it does."""


@dataclass
class Placed:
    """The runs of a job that have not ended yet, each with the size of its log when it was placed."""

    handle: Any
    runs: dict[Path, tuple[Task, int]]


def perform_in_jobs(tasks: Sequence[Task], train: Train) -> Statuses:
    """Trains the runs in jobs of the cluster that `sweep.on` names; returns when all have ended. UserError where there is
    none. A run that waits or trains in the job of an earlier sweep stays there."""
    if not tasks:
        return {}
    cluster = cluster_of(tasks[0].config)
    waiting, placed = {task.folder.absolute(): task for task in tasks}, []
    for handle, job in cluster.earlier():
        folders = [Path(job.folder, task.folder) for task in job.tasks]
        runs = {folder: (waiting.pop(folder), 0) for folder in folders if folder in waiting}
        placed += [Placed(handle, runs)] if runs else []
    if placed:
        print(
            f"{len(tasks) - len(waiting)} of {len(tasks)} runs are in jobs of an earlier start, and stay there", flush=True
        )
    chunks = divided([*waiting.values()])
    handles = cluster.submit([Job(tuple(map(locally, chunk)), importable(train)) for chunk in chunks]) if chunks else []
    for handle, chunk in zip(handles, chunks):
        placed.append(Placed(handle, {task.folder.absolute(): (task, size_of_log(task)) for task in chunk}))
    return watched(tasks, cluster, placed)


def cluster_of(config: TrainConfig) -> Cluster:
    if config.sweep.on == "slurm":
        from mixup.commands.slurm import Slurm

        return Slurm(config)
    from mixup.commands.on_ray import OnRay

    return OnRay(config)


def divided(tasks: Sequence[Task]) -> list[Sequence[Task]]:
    """The runs of each job."""
    sweep = tasks[0].config.sweep if tasks else SweepConfig()
    size = sweep.runs_per_job or (1 if sweep.slots == "auto" else sweep.slots)
    return [tasks[first : first + size] for first in range(0, len(tasks), size)]


def locally(task: Task) -> Task:
    """The run as its job trains it: the job is one machine."""
    return replace(task, config=replace(task.config, sweep=SweepConfig(slots=task.config.sweep.slots)))


def importable(train: Train) -> Train:
    """The same function by a name under which another process finds it: here a script's own is of `__main__`."""
    if train.__module__ != "__main__":
        return train
    script = Path(str(sys.modules["__main__"].__file__))
    return getattr(importlib.import_module(script.stem), train.__name__)


def size_of_log(task: Task) -> int:
    try:
        return (task.folder / "output.log").stat().st_size
    except FileNotFoundError:
        return 0


def watched(tasks: Sequence[Task], cluster: Cluster, placed: list[Placed]) -> Statuses:
    """Shows how far the runs have come, until all have ended."""
    statuses: Statuses = {}
    display = Overview(tasks)
    with display, stopping_signals():
        try:
            while placed:
                for job in placed:
                    look(job, cluster.result(job.handle), display, statuses)
                display.look([task for job in placed for task, _ in job.runs.values() if task.folder in display.running])
                placed = [job for job in placed if job.runs]
                time.sleep(SECONDS_BETWEEN_LOOKS if placed else 0)
        except (KeyboardInterrupt, Interrupted) as stop:
            number = stop.signal if isinstance(stop, Interrupted) else signal.SIGINT
            print(
                f"stopped by {signal.Signals(number).name}: {cluster.leave([job.handle for job in placed])}", file=sys.stderr
            )
            raise SystemExit(128 + number) from None
    return statuses


def look(job: Placed, result: Statuses | str | None, display: Overview, statuses: Statuses) -> None:
    """Takes the runs out that have ended. Its record says that a run has finished, before its job has ended."""
    for folder, (task, size) in list(job.runs.items()):
        finished = (folder / "record.json").exists()
        ended = finished or result is not None
        if task.folder not in display.running and (ended or size_of_log(task) > size):
            display.start(task)
        if ended:
            status = 0 if finished else result.get(task.folder, 1) if isinstance(result, dict) else 1
            display.end(task, status, f"failed: {result}" if isinstance(result, str) else "")
            statuses[task.folder] = status
            del job.runs[folder]
