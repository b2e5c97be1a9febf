"""What a run leaves behind, read and written without torch: metrics and record.

A run's directory holds config.yaml, metrics.jsonl, checkpoint/, weights.safetensors, predictions.npz and, written last
and only when the run has finished, record.json.
"""

import errno
import fcntl
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mixup.errors import UserError, redacted
from mixup.run.files import write_atomic, write_json
from mixup.run.places import INSTALLED, ROOT

Record = dict[str, Any]
MEDIAN_EPOCHS = 10  # whose median is the test error that section 3.2 is compared in
FLIPS = 5e-4  # share of test examples whose prediction a GPU's rounding may change


def read_record(run_dir: Path) -> Record | None:
    """The record of a finished run, or None. UserError if it cannot be read."""
    file = run_dir / "record.json"
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(f"{file} is not readable ({error}): remove the run's directory and run it again") from error


def write_record(run_dir: Path, record: Record) -> None:
    """Last of all files: a run that has one has finished."""
    write_json(run_dir / "record.json", record)


def finite(value: Any) -> Any:
    """The same, nested as it may be, with null for numbers that are not finite, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# -- metrics.jsonl -------------------------------------------------------------------------------------------------------


def append_metrics(run_dir: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Adds JSON lines. Each has `step`, the optimizer steps done; a line with `epoch` closes that epoch."""
    with open(run_dir / "metrics.jsonl", "a") as stream:
        stream.write("".join(json.dumps(line, allow_nan=False) + "\n" for line in finite(lines)))
        stream.flush()
        os.fsync(stream.fileno())  # before the checkpoint that follows: a checkpoint must not be ahead of its metrics


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Every complete line; a last line that a kill cut off is dropped. UserError for one that is not JSON."""
    file = run_dir / "metrics.jsonl"
    lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    try:
        return [json.loads(line) for line in lines if line.endswith(b"\n")]
    except ValueError as error:
        raise UserError(
            f"{file} is damaged ({error}): restore it, or remove the run's directory and run it again"
        ) from error


def rewind_metrics(run_dir: Path, step: int) -> list[dict[str, Any]]:
    """Drops the lines after `step`, before a resumed run writes them anew; returns the others."""
    lines = [line for line in read_metrics(run_dir) if line["step"] <= step]
    write_atomic(run_dir / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    return lines


def headline(errors: Sequence[float]) -> dict[str, float]:
    """Three statistics of the errors after each epoch, in percent. Each table states beforehand which one counts: for CIFAR
    the median of the last ten epochs, for label noise best and last. `best` selects on test data."""
    return {"last": errors[-1], "best": min(errors), "last10_median": statistics.median(errors[-MEDIAN_EPOCHS:])}


def agrees(record: Record, error: float, *, count: int, device: str) -> bool:
    """Whether a test error in percent, of `count` examples on `device`, is the record's: the same number on a CPU, and up to
    a few predictions where it or the record is of a GPU, which may choose other kernels."""
    on_cpus = device.startswith("CPU") and record["device"].startswith("CPU")
    changed = abs(record["test"]["top1_error"]["last"] - error) * count / 100
    return changed <= (0.0 if on_cpus else FLIPS * count) + 1e-6


def same_data(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two are of the same data, by the `source_fingerprint` of each, where both have one, or by the `fingerprint` of
    the values that were computed of it, which another version of a library may round otherwise."""
    keys = ("source_fingerprint", "fingerprint")
    return any(one.get(key) is not None and one.get(key) == other.get(key) for key in keys)


# -- environment and lock -------------------------------------------------------------------------------------------------


def environment() -> dict[str, Any]:
    """Versions and commit; `dirty` as in `commit_here`."""
    packages = {}
    for name in ("torch", "torchvision", "numpy", "hydra-core", "omegaconf", "timm", "scikit-learn"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "absent"
    commit, dirty = commit_here()
    script = Path(sys.argv[0]).resolve()
    name = str(script.relative_to(ROOT)) if script.is_relative_to(ROOT) else script.name
    return {
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "command": [name, *map(redacted, sys.argv[1:])],
    }


def commit_here() -> tuple[str | None, bool | None]:
    """The commit of the code, and whether there are changed or new files outside results/, which could change numbers; None
    where git cannot say. $MIXUP_COMMIT is the commit of a copy that has not the history of the code."""
    if told := os.environ.get("MIXUP_COMMIT"):
        return told, False
    if INSTALLED:  # a repository around the environment is of other code
        return None, None
    changed = git(ROOT, "status", "--porcelain", "--", ".", ":(exclude)results")
    return git(ROOT, "rev-parse", "HEAD"), None if changed is None else bool(changed)


def doubt_of_provenance() -> str:
    """Why a run that starts now would be refused as evidence, in words; empty where its record can name the code."""
    commit, dirty = commit_here()
    if commit is None:
        return "git cannot name the commit of this code, nor can a record, unless MIXUP_COMMIT does: it will be no evidence"
    return "the code has uncommitted changes, so a record cannot name what ran: it will be no evidence" if dirty else ""


def compare_code(environment: dict[str, Any]) -> str:
    """Whether the code of a run, by its environment, is another than today's, in words; empty where it is the same, or where
    git cannot say."""
    if environment["dirty"]:
        return f"by code with uncommitted changes, after commit {(environment['commit'] or 'none')[:7]}"
    changed = git(ROOT, "diff", "--name-only", environment["commit"] or "", "--", "mixup", "train.py")
    return f"by the code of commit {environment['commit'][:7]}, which has changed since" if changed else ""


def git(root: Path, *arguments: str) -> str | None:
    """What git prints, or None without git or outside a checkout."""
    try:
        return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


@contextmanager
def sole_writer(run_dir: Path) -> Iterator[None]:
    """Exclusive lock on the run directory, released by the OS when the process dies. UserError if another process has it.

    Of this process alone (`lockf`): one by `flock` would live on in the workers of a loader that outlive a killed run.
    """
    with open(run_dir / "lock", "a+") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                print(
                    f"warning: {lock.name} cannot be locked ({error}): start no second run there",
                    file=sys.stderr,
                    flush=True,
                )
                yield
                return
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise UserError(f"{run_dir} is being trained by {holder}: wait for it, or stop it and start again") from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {platform.node()}")
        lock.flush()
        yield
