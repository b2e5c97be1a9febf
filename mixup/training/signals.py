"""Signals that ask a run to stop, collected until the step at hand is done."""

import contextlib
import signal
from collections.abc import Iterator

from mixup.training.distributed import Group


class Stopped(Exception):
    """The run received SIGTERM or Ctrl-C and has saved a checkpoint. `signal` is the signal's number."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}: the same command resumes it")
        self.signal = number


@contextlib.contextmanager
def received_signals(group: Group) -> Iterator[list[int]]:
    """A list to which SIGTERM and SIGINT are appended inside the context; a second one of a kind ends the process at once.

    In a group of more than one, each rank would stop after a different step: there the signals keep their default, and the
    run resumes from its last checkpoint.
    """
    received: list[int] = []

    def receive(number: int, frame: object) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)

    previous = {}
    with contextlib.suppress(ValueError):  # only the main thread receives signals
        for number in (signal.SIGTERM, signal.SIGINT) if group.world_size == 1 else ():
            previous[number] = signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
