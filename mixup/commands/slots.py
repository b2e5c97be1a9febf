"""A slot of a sweep: a process that trains one run after the other. Imports no torch until the first one."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mixup.commands.process import steady_output
from mixup.commands.train import perform
from mixup.run import records
from mixup.run.compose import Task
from mixup.run.processes import cores

PR_SET_PDEATHSIG = 1

Train = Callable[[Task], records.Record]


@dataclass
class Slot:
    """A process and the run that it trains, if any."""

    process: Any
    connection: Connection
    device: str | None
    task: Task | None = None

    @property
    def signs(self) -> tuple[Any, int]:
        """What becomes ready when the run has ended, or the process."""
        return self.connection, self.process.sentinel


def start(train: Train, device: str | None, slots: int) -> Slot:
    """A process that trains what it is sent, on this GPU, if any, and with its share of the cores."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, train, os.getpid()), daemon=False)
    before = dict(os.environ)
    os.environ.update(environment(device, slots))  # read when the process starts
    try:
        process.start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    theirs.close()
    return Slot(process, ours, device)


def environment(device: str | None, slots: int) -> dict[str, str]:
    """What one of so many slots has of this machine. LOCAL_WORLD_SIZE divides the processes that decode images."""
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores() // slots))
    shares = {"OMP_NUM_THREADS": threads, "LOCAL_WORLD_SIZE": str(slots)}
    return shares if device is None else {**shares, "CUDA_VISIBLE_DEVICES": device}


def work(connection: Connection, train: Train, parent: int) -> None:
    """Trains each run that comes, its output in `output.log` of its folder, until the connection is closed."""
    steady_output()
    os.setsid()  # Ctrl-C is for the sweep, which ends its processes itself
    end_with_parent(parent)
    with contextlib.suppress(EOFError):
        while True:
            task = connection.recv()
            send_output_to(task.folder / "output.log")
            connection.send(perform(task, train))


def end_with_parent(parent: int) -> None:
    """On Linux a process whose sweep is killed receives SIGTERM, and so saves a checkpoint and ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has ended already
            sys.exit(1)


def send_output_to(file: Path) -> None:
    """From here on, all that this process and its children print is added to the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "ab") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
