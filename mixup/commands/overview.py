"""What a person sees of a sweep: on a terminal a bar for each run that trains and one for all, elsewhere lines."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mixup.commands.train import outcome
from mixup.run import records
from mixup.run.compose import Task


class Overview:
    """The display of a sweep of these runs."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        console = Console(highlight=False)
        words = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:g}/{task.total:g} epochs"))
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        self.bars = Progress(*words, *times, console=console, disable=not console.is_terminal)
        self.lengths = {task.folder: task.config.trainer.epochs for task in tasks}  # of a GAN 1
        self.done = {task.folder: 0.0 for task in tasks}
        self.all = self.bars.add_task(f"{len(tasks)} runs", total=sum(self.lengths.values()))
        self.running: dict[Path, TaskID] = {}

    def __enter__(self) -> "Overview":
        self.bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bars.stop()

    def say(self, text: str) -> None:
        if self.bars.disable:
            print(text, flush=True)
        else:
            self.bars.print(text, highlight=False, markup=False, soft_wrap=True)

    def start(self, task: Task) -> None:
        if self.bars.disable:
            self.say(f"{task.place}{task.folder}")
        title = f"{task.place}{task.label}"[:60]
        self.running[task.folder] = self.bars.add_task(title, total=self.lengths[task.folder])

    def look(self, tasks: Sequence[Task]) -> None:
        """How far each run has come, by its metrics."""
        for task in tasks:
            self.done[task.folder] = epochs_done(task.folder)
            self.bars.update(self.running[task.folder], completed=self.done[task.folder])
        self.bars.update(self.all, completed=sum(self.done.values()))

    def end(self, task: Task, status: int) -> None:
        self.done[task.folder] = self.lengths[task.folder]
        self.bars.remove_task(self.running.pop(task.folder))
        record = records.read_record(task.folder) if status == 0 else None
        self.say(f"{task.place}{outcome(record) if record else failure(task, status)}")


def epochs_done(folder: Path) -> float:
    """Of a run that trains, from the last whole line of its metrics that closes an epoch."""
    with contextlib.suppress(OSError, ValueError):
        lines = [line for line in (folder / "metrics.jsonl").read_text().splitlines() if '"epoch"' in line]
        return json.loads(lines[-1])["epoch"] if lines else 0.0
    return 0.0


def failure(task: Task, status: int) -> str:
    """What a failed run said last, and where the rest is. Removes a folder in which there is nothing else."""
    log = task.folder / "output.log"
    words = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    last = words[-1] if words else f"its process ended with status {status}"
    if log.exists() and list(task.folder.iterdir()) == [log]:
        log.unlink()
        task.folder.rmdir()
        return f"failed: {last}"
    return f"failed: {last} ({log})"
