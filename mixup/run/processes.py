"""The processes of a run: how many cores they may use, and which signals ask them to stop."""

import os
import signal

# Of a job manager, Ctrl-C, a closed terminal, and those that SLURM and Grid Engine send before the time is up.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def cores() -> int:
    """The cores that this process may use: containers and job schedulers often allow fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
