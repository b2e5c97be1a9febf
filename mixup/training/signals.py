"""Signals that ask a run to stop, collected until the step at hand is done."""

from __future__ import annotations

import contextlib
import signal
from typing import Any

from mixup.training.distributed import Group


class Stopped(Exception):
    """The run received SIGTERM or Ctrl-C and has saved a checkpoint. `signal` is the signal's number."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}: the same command resumes it")
        self.signal = number


class Stops:
    """Inside the context, SIGTERM and SIGINT are appended to `received`; a second one of a kind ends the process at once.

    In a group of more than one, each rank would stop after a different step: there the signals keep their default, and the
    run resumes from its last checkpoint.
    """

    def __init__(self, group: Group) -> None:
        self.received: list[int] = []
        self.previous: dict[int, Any] = {}
        self.numbers = (signal.SIGTERM, signal.SIGINT) if group.world_size == 1 else ()

    def __enter__(self) -> Stops:
        with contextlib.suppress(ValueError):  # only the main thread receives signals
            for number in self.numbers:
                self.previous[number] = signal.signal(number, self.receive)
        return self

    def receive(self, number: int, frame: object) -> None:
        self.received.append(number)
        signal.signal(number, signal.SIG_DFL)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
