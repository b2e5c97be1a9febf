"""Signals that ask a run to stop, kept until every rank can stop after the same step."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import torch

from mixup.run.processes import STOPPING, handling
from mixup.training.distributed import Group, largest_of_all

SECONDS_BETWEEN_AGREEMENTS = 0.5


class Stopped(Exception):
    """The run received a signal of `STOPPING` and has saved a checkpoint. `signal` is the signal's number."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}: the same command resumes it")
        self.signal = number


class Signals:
    """Those that this process has received, and on which of them all ranks have agreed.

    Each rank receives them at another step. So every half second all tell each other, through the CPU and while the next
    step is computed; how many steps that is, the leader says.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self.received = 0
        self.exchange: tuple[Any, torch.Tensor] | None = None  # under way: the largest signal, and steps until the next one
        self.steps_left = self.steps = 1
        self.began = time.monotonic()

    def agreed(self) -> int:
        """The number of the signal that all ranks stop for now; 0 for none. Every rank calls it equally often."""
        if self.group.world_size == 1:
            return self.received
        if self.exchange is not None:
            work, values = self.exchange
            work.wait()
            number, self.steps = values.tolist()
            self.steps_left, self.began, self.exchange = self.steps, time.monotonic(), None
            return number
        self.steps_left -= 1
        if self.steps_left == 0:
            seconds_a_step = (time.monotonic() - self.began) / self.steps
            steps = min(1000, int(SECONDS_BETWEEN_AGREEMENTS / seconds_a_step) + 1)
            values = torch.tensor([self.received, steps if self.group.is_leader else 0])
            self.exchange = largest_of_all(values), values
        return 0

    def receive(self, number: int, frame: object) -> None:
        """The handler. A second signal of a kind ends the process at once, unless a launcher may have repeated the first."""
        first, self.received = not self.received, number
        if self.group.world_size == 1:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        if first and self.group.is_leader:
            again = "; again to stop now, back to the last checkpoint" if self.group.world_size == 1 else ""
            with contextlib.suppress(OSError):  # the terminal may be gone; `print` cannot be called from a handler
                os.write(2, f"\n{signal.Signals(number).name}: stopping after this step{again}\n".encode())


@contextlib.contextmanager
def received_signals(group: Group) -> Iterator[Signals]:
    """Inside the context signals are received, in the main thread; a run in another receives none."""
    signals, in_main = Signals(group), threading.current_thread() is threading.main_thread()
    with handling(STOPPING if in_main else (), signals.receive):
        yield signals
