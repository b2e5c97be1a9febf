"""`train.py` again and again in processes that SIGKILL ends: `kill_storm.py KILLS LOG ARGUMENTS...`, started by a test.

A forked process has torch imported already. Every other kill comes while a file is written, the others at a random moment of
the first steps; then the run is left alone to its end. Writes a word a kill to the log: where it came.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import train
from mixup.training import train as training


def run(pipe: int, *, dies_writing: bool) -> int:
    """The process of one start; it writes a byte to the pipe after each step."""
    after_step, fsync, writes = training.stop_if_signalled, os.fsync, random.randrange(2, 20)

    def stop_if_signalled(*arguments: object) -> None:
        os.write(pipe, b".")
        after_step(*arguments)

    def deadly_fsync(file: int) -> None:  # the partial file has its content, and not yet its name
        nonlocal writes
        writes -= 1
        if writes == 0:
            note("writing")
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(file)

    training.stop_if_signalled = stop_if_signalled
    if dies_writing:
        os.fsync = deadly_fsync
    return train.main()


def note(word: str) -> None:
    with open(log, "a") as file:
        file.write(f"{word}\n")


if __name__ == "__main__":
    _, kills, log, *arguments = sys.argv
    sys.argv = ["train.py", *arguments]
    assert torch.get_num_threads() == 1, "threads would not survive a fork"
    for number in range(int(kills) + 1):
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            os._exit(run(theirs, dies_writing=number % 2 == 0 and number < int(kills)))
        os.close(theirs)
        os.read(ours, 1)  # its first step
        if number < int(kills) and number % 2:
            time.sleep(0.1 * random.random())
            os.kill(child, signal.SIGKILL)
            note("anywhere")
        while os.read(ours, 4096):
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.close(ours)
        assert status == (-signal.SIGKILL if number < int(kills) else 0), (number, status)
