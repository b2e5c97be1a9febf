"""What a person sees of a run: a bar on a terminal, one line an epoch elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Display:
    """Shows one run; a silent one, for the ranks that do not lead, shows nothing."""

    def __init__(self, *, epochs: int, steps_per_epoch: int, images_per_step: int, silent: bool) -> None:
        self.silent = silent
        self.console = Console(quiet=silent, highlight=False)
        self.steps_per_epoch = steps_per_epoch
        self.images_per_step = images_per_step
        self.started: tuple[float, int] | None = None  # seconds, step: what throughput and time left are measured from
        self.epochs = epochs
        self.begun = time.perf_counter()
        self.epochs_shown = 0
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=silent or not self.console.is_terminal,
            transient=True,
        )
        self.task = self.bar.add_task("", total=epochs * steps_per_epoch, rate="")

    def __enter__(self) -> Display:
        self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()

    def step(self, epoch: int, step: int) -> None:
        """After every step; the counts are of steps done."""
        if self.bar.disable:
            return
        done = epoch * self.steps_per_epoch + step
        now = time.perf_counter()
        if self.started is None:
            self.started = (now, done)
        seconds, steps = now - self.started[0], done - self.started[1]
        rate = f"{steps * self.images_per_step / seconds:,.0f} images/s" if steps else ""
        self.bar.update(self.task, completed=done, rate=rate, description=f"epoch {epoch + 1}/{self.epochs}")

    def epoch(self, line: dict[str, Any]) -> None:
        """After every epoch; `line` as it stands in metrics.jsonl."""
        names = {"train": "clean_top1_error", "validation": "validation_top1_error", "test": "test_top1_error"}
        errors = "".join(f"{name} error {line[key]:5.2f} %  " for name, key in names.items() if key in line)
        text = (
            f"epoch {line['epoch']:>3}/{self.epochs}  lr {line['learning_rate']:<7.4g} loss {line['train_loss']:.4f}  "
            f"{errors}{line['images_per_second']:,.0f} images/s"
        )
        self.epochs_shown += 1
        left = (self.epochs - line["epoch"]) * (time.perf_counter() - self.begun) / self.epochs_shown
        if self.console.is_terminal:
            self.bar.print(text)
        else:
            self.say(f"{text}  {duration(left)} left")

    def say(self, text: str) -> None:
        if not self.silent:
            self.bar.print(text, highlight=False, markup=False, soft_wrap=True) if self.console.is_terminal else print(
                text, flush=True
            )

    def warn(self, text: str) -> None:
        if not self.silent:
            print(f"warning: {text}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """`8 s`, `3 min`, `2.5 h`, `4 days`."""
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            value = seconds / size
            return f"{value:.1f} {unit}" if unit == "h" and value < 10 else f"{value:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
