"""What a program puts right in its own process before anything else: output, variables without a value, a home, ranks."""

import codecs
import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from mixup.errors import LocalError

# Empty, they are as if not set. Not CUDA_VISIBLE_DEVICES, whose empty value hides all GPUs.
VARIABLES = re.compile(r"MIXUP_\w+|WANDB_\w+|HOME|TMPDIR|OMP_NUM_THREADS|(LOCAL_)?(RANK|WORLD_SIZE)|MASTER_(ADDR|PORT)")
PLAIN = {"±": "+-", "–": "-", "—": "-", "×": "x", "…": "...", "→": "->", "λ": "lambda", "≤": "<=", "≥": ">="}
OF_A_GROUP = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def prepare_process() -> None:
    steady_output()
    for name, value in list(os.environ.items()):
        if not value and VARIABLES.fullmatch(name):
            del os.environ[name]
    ensure_home()


# -- output --------------------------------------------------------------------------------------------------------------


class Output(io.FileIO):
    """A standard stream that ends no run: what a full disk or a lost terminal does not take is dropped after a warning."""

    failed = False

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if isinstance(error, BrokenPipeError) and self.fileno() == 1:  # `train.py | head`
                raise
            if not self.failed:
                self.failed = True
                with contextlib.suppress(OSError):
                    os.write(2, f"warning: output cannot be written ({error.strerror}): going on without\n".encode())
            return memoryview(content).nbytes


def steady_output() -> None:
    """Makes standard output and error take every text, be they closed, full, or of an encoding that lacks a sign."""
    codecs.register_error("plain", lambda error: (plain_text(error), error.end))  # type: ignore[attr-defined]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started this process
            place = os.open(os.devnull, os.O_RDWR)
            with contextlib.suppress(OSError):
                os.fstat(number)
                number = place  # something else has been opened at its place
            os.dup2(place, number)
        if name == "stdin" or stream is not getattr(sys, f"__{name}__"):
            continue
        file = io.BufferedWriter(Output(number, "w", closefd=False))
        encoding = stream.encoding if stream else "utf-8"
        lines = name == "stderr" or file.isatty()
        setattr(sys, name, io.TextIOWrapper(file, encoding=encoding, errors="plain", line_buffering=lines))


def plain_text(error: UnicodeError) -> str:
    """For signs that an encoding lacks, what stands for them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(sign, "?") for sign in error.object[error.start : error.end])


# -- environment ---------------------------------------------------------------------------------------------------------


def ensure_home() -> None:
    """A user without a home and without a name, as containers have them, gets both; several libraries need them."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(Path(tempfile.gettempdir()) / f"mixup-home-{os.getuid()}")
        os.environ.setdefault("USER", f"user-{os.getuid()}")


def check_ranks() -> None:
    """Raises LocalError where the environment describes a group of processes in part, as some launchers do: each process
    would train alone."""
    given = {name: os.environ[name] for name in (*OF_A_GROUP, "LOCAL_WORLD_SIZE") if name in os.environ}
    for name, value in given.items():
        if name != "MASTER_ADDR" and not re.fullmatch(r"0|[1-9]\d{0,8}", value):
            raise LocalError(f"{name}={value}: no number; start with torchrun, which sets it, or unset {name}")
    rank, size, local = (int(given.get(name, default)) for name, default in zip(OF_A_GROUP, (0, 1, 0)))
    if rank == local == 0 and size == 1:
        return
    missing = [name for name in OF_A_GROUP if name not in given]
    if missing:
        names = " and ".join(name for name in OF_A_GROUP[:3] if name in given)
        raise LocalError(
            f"{names}: set as for one process of many, but not {' and '.join(missing)}, so that each would train alone; "
            f"start with torchrun, which sets all of them, or unset {names}"
        )
    if rank >= size or local >= size:
        raise LocalError(f"RANK={rank} and LOCAL_RANK={local} must be below WORLD_SIZE={size}: start with torchrun")
