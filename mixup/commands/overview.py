"""What a person sees of a sweep: on a terminal a bar for each run that trains and one for all, elsewhere lines."""

import signal
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mixup.commands.train import outcome
from mixup.errors import UserError
from mixup.run import records
from mixup.run.compose import Task


class Overview:
    """The display of a sweep of these runs."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        console = Console(highlight=False)
        counts = TextColumn("{task.completed:g}/{task.total:g} {task.fields[unit]}")
        words = (TextColumn("{task.description}"), BarColumn(), counts)
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        self.bars = Progress(*words, *times, console=console, disable=not console.is_terminal)
        self.lengths = {
            task.folder: task.config.gan.iterations if task.config.gan else task.config.trainer.epochs for task in tasks
        }
        self.unit = "iterations" if any(task.config.gan for task in tasks) else "epochs"
        self.done = {task.folder: 0.0 for task in tasks}
        self.all = self.bars.add_task(f"{len(tasks)} runs", total=sum(self.lengths.values()), unit=self.unit)
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
        self.running[task.folder] = self.bars.add_task(title, total=self.lengths[task.folder], unit=self.unit)

    def look(self, tasks: Sequence[Task]) -> None:
        """How far each run has come, by its metrics; off a terminal nobody would see it."""
        if self.bars.disable:
            return
        for task in tasks:
            self.done[task.folder] = done(task.folder, "step" if task.config.gan else "epoch")
            self.bars.update(self.running[task.folder], completed=self.done[task.folder])
        self.bars.update(self.all, completed=sum(self.done.values()))

    def end(self, task: Task, status: int, why: str = "") -> None:
        """why: a run failed, where it has not said so itself."""
        self.done[task.folder] = self.lengths[task.folder]
        self.bars.remove_task(self.running.pop(task.folder))
        record = records.read_record(task.folder) if status == 0 else None
        self.say(f"{task.place}{outcome(record) if record else why or failure(task, status)}")


def done(folder: Path, key: str) -> float:
    """How far a run has come, from the last line of its metrics with this key: `epoch`, or of a GAN `step`."""
    try:
        return next((line[key] for line in reversed(records.read_metrics(folder)) if key in line), 0.0)
    except UserError:  # damaged metrics are the run's own affair
        return 0.0


def failure(task: Task, status: int) -> str:
    """Why a run failed, and where its output is: the signal that ended it, or what it said last. All that it said, where its
    configuration was refused: then its folder has nothing else, and is removed."""
    log = task.folder / "output.log"
    words = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    ended = signal.Signals(-status).name if status < 0 else f"status {status}"
    last = words[-1] if words and status >= 0 else f"its process ended by {ended}"
    if status == 2 and list(task.folder.iterdir()) == [log]:
        log.unlink()
        task.folder.rmdir()
        return "failed: " + ("\n".join(words[1:]) or last)  # but the first, which names the folder
    return f"failed: {last} ({log})"
