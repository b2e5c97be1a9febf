"""The processes of a run: how many cores they may use, and which signals ask them to stop."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

# Of a job manager, Ctrl-C, a closed terminal, and those that SLURM and Grid Engine send before the time is up.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def cores() -> int:
    """The cores that this process may use: containers and job schedulers often allow fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def handling(numbers: Iterable[int], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Inside, these signals are handled so; those that are ignored, as SIGHUP under nohup, stay so. ValueError where this is
    not the main thread."""
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: usual for number, usual in before.items() if usual is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)
