"""Waiting for what another process does."""

import subprocess
import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float, process: subprocess.Popen | None = None) -> None:
    """Fails after so many seconds, or once the process that should bring it about has ended."""
    until = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, "the process ended before it happened"
        assert time.monotonic() < until, "it has not happened in time"
        time.sleep(0.002)
