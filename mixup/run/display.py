"""What a person sees of a run: a progress bar on a terminal, one line per epoch elsewhere."""

import sys
import time
from collections.abc import Iterable
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn, track

Item = TypeVar("Item")
SECONDS_BETWEEN_UPDATES = 0.1  # rich takes 50 us for an update, a tenth of a step of a small network


class Display:
    """Shows one run. silent: shows nothing, for all ranks but the first."""

    def __init__(self, *, epochs: int, steps_per_epoch: int, images_per_step: int, silent: bool) -> None:
        self.silent, self.console = silent, Console(quiet=silent, highlight=False)
        self.epochs, self.steps_per_epoch, self.images_per_step = epochs, steps_per_epoch, images_per_step
        self.first_step: tuple[float, int] | None = None  # seconds and steps done then: throughput is measured from here
        self.start = time.perf_counter()
        self.epochs_shown = 0
        self.next_update = 0.0
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

    def __enter__(self) -> "Display":
        self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()

    def step(self, epoch: int, step: int) -> None:
        """After every step; the counts are of steps done."""
        now = time.perf_counter()
        if self.bar.disable or now < self.next_update:
            return
        self.next_update, done = now + SECONDS_BETWEEN_UPDATES, epoch * self.steps_per_epoch + step
        self.first_step = self.first_step or (now, done)
        seconds, steps = now - self.first_step[0], done - self.first_step[1]
        rate = f"{steps * self.images_per_step / seconds:,.0f} images/s" if steps else ""
        self.bar.update(self.task, completed=done, rate=rate, description=f"epoch {epoch + 1}/{self.epochs}")

    def epoch(self, line: dict[str, Any]) -> None:
        """After every epoch; `line` as in metrics.jsonl."""
        names = {"train_eval": "train_eval_top1_error", "validation": "validation_top1_error", "test": "test_top1_error"}
        errors = "".join(f"{name} error {line[key]:5.2f} %  " for name, key in names.items() if key in line)
        text = (
            f"epoch {line['epoch']:>3}/{self.epochs}  lr {line['learning_rate']:<7.4g} loss {line['train_loss']:.4f}  "
            f"{errors}{line['images_per_second']:,.0f} images/s"
        )
        self.epochs_shown += 1
        left = (self.epochs - line["epoch"]) * (time.perf_counter() - self.start) / self.epochs_shown
        if self.console.is_terminal:
            self.bar.print(text)
        else:
            self.say(f"{text}  {duration(left)} left")

    def say(self, text: str) -> None:
        """One line, above the bar if there is one."""
        if self.silent:
            return
        if self.console.is_terminal:
            self.bar.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            print(text, flush=True)

    def warn(self, text: str) -> None:
        if not self.silent:
            print(f"warning: {text}", file=sys.stderr, flush=True)


def progress(items: Iterable[Item], title: str, total: int) -> Iterable[Item]:
    """The items, with a bar on a terminal's stderr meanwhile: what is printed may be piped on."""
    console = Console(stderr=True)
    return track(items, title, total, console=console, transient=True, disable=not console.is_terminal)


def duration(seconds: float) -> str:
    """`8 s`, `3 min`, `2.5 h`, `4 days`."""
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            value = seconds / size
            return f"{value:.1f} {unit}" if unit == "h" and value < 10 else f"{value:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
