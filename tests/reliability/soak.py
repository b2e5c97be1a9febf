"""`train.py` that notes what its process uses after each run: `soak.py FILE ARGUMENTS...`, started by a test."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import train


class Allocated(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "mapped", "usmblks", "fsmblks", "used", "fordblks", "keepcost")
    ]


def allocated_kb() -> int:
    """What this process has asked for and not given back. Resident memory is more, and grows in steps, by fragmentation."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Allocated
    now = mallinfo()
    return (now.used + now.mapped) // 1024


def usage() -> dict[str, int]:
    """Of this process and its children."""
    gc.collect()  # what is kept counts, not what waits to be collected
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "process": os.getpid(),
        "allocated kB": allocated_kb(),
        "resident kB": int(status["VmRSS"].split()[0]),
        "threads": int(status["Threads"]),
        "open files": len(os.listdir("/proc/self/fd")),
        "children": len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()),
    }


def train_and_note(task):
    record = train.train(task)
    with open(os.environ["SOAK"], "a") as file:
        file.write(json.dumps(usage()) + "\n")
    return record


if __name__ == "__main__":
    os.environ["SOAK"], sys.argv = sys.argv[1], ["train.py", *sys.argv[2:]]
    perform_all = train.perform_all
    train.perform_all = lambda tasks, trains: perform_all(tasks, train_and_note)
    sys.exit(train.main())
