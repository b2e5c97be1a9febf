"""Weights & Biases as a mirror of metrics.jsonl, in a process of its own.

The run writes its metrics to disk, which is the truth. A child process follows that file and repeats it to W&B; the run
itself never imports wandb. So a missing package, an outage or a client that hangs costs one warning, and at most the time
that `Mirror.close` is given. `python -m mixup.run.tracking RUNS` sends later what W&B has missed, by the same child process.

Every start repeats the file from its first line under the run's one id. W&B drops a step that is not beyond its last one,
so a resumed run continues its curves there. `train_loss` on disk is named `train/loss` there, which groups the charts.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mixup.errors import UserError, redacted
from mixup.run.config import TrackingConfig
from mixup.run.files import write_json
from mixup.run.places import PACKAGE

SEND = "python -m mixup.run.tracking"
LAST_SECONDS = 600.0  # for sending the rest after the run has ended


def resolve_mode(mode: str) -> str:
    """`auto` is disabled with $WANDB_DISABLED, else $WANDB_MODE where set, else online with $WANDB_API_KEY, else offline."""
    if mode != "auto":
        return mode
    if os.environ.get("WANDB_DISABLED", "").lower() in ("true", "t", "yes", "on", "1"):
        return "disabled"
    return os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")


def resolve_place(project: str, entity: str | None) -> dict[str, str | None]:
    """Project and entity: $WANDB_PROJECT and $WANDB_ENTITY where the configuration has its defaults."""
    if project == TrackingConfig.project:
        project = os.environ.get("WANDB_PROJECT") or project
    return {"project": project, "entity": entity or os.environ.get("WANDB_ENTITY") or None}


def give_each_run_its_own(runs: int) -> str | None:
    """Forgets, in the environment, what names one run of W&B, where there are more; returns what to say of it."""
    names = [name for name in ("WANDB_RUN_ID", "WANDB_NAME") if os.environ.get(name)] if runs > 1 else []
    for name in names:
        del os.environ[name]
    return f"{' and '.join(names)}: of one run, and these are {runs}; each has its own" if names else None


class Mirror:
    """The child process, of `mirror`, that follows one run. No method raises; every one returns at once, except `close`,
    which waits for a bounded time. `warn` is called at most once."""

    def __init__(self, run_dir: Path, *, mode: str, project: str, entity: str | None, warn: Callable[[str], None]) -> None:
        self.run_dir = run_dir
        self.warn = warn
        self.child: subprocess.Popen[bytes] | None = None
        if mode == "disabled":
            return
        try:
            write_address(run_dir, mode=mode, **resolve_place(project, entity))
            self.child = start_child(run_dir)
        except OSError as error:
            self.give_up(str(error))

    def check(self) -> None:
        """Warns if the child has ended before the run."""
        if self.child is not None and self.child.poll() is not None:
            self.give_up(cause_of_death(self.run_dir, self.child.returncode))

    def close(self, timeout_seconds: float) -> None:
        """Tells the child that the run has ended, and waits until it has sent the rest, or until the time is up."""
        if self.child is None:
            return
        try:
            # A byte, not only the end of file: a process forked from this one could hold the pipe open.
            self.child.communicate(b"\n", timeout_seconds)
        except subprocess.TimeoutExpired:
            status = f"W&B has not finished after {timeout_seconds:.0f} s and goes on without the run"
            self.warn(f"{status}; if curves are missing there: {SEND} {self.run_dir}")
        else:
            if self.child.returncode:
                self.check()
        self.child = None

    def give_up(self, why: str) -> None:
        self.warn(f"no W&B for this run, which needs none ({why}); to send it later: {SEND} {self.run_dir}")
        self.child = None


def start_child(run_dir: Path) -> subprocess.Popen[bytes]:
    with open(run_dir / "wandb.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "mixup.run.mirror", str(run_dir.resolve()), str(LAST_SECONDS)],
            stdin=subprocess.PIPE,  # its end tells the child that the run has ended, also if the run was killed
            stdout=log,
            stderr=log,
            cwd=PACKAGE.parent,  # so that it finds this package, and W&B its commit
            env={**os.environ, "WANDB_DIR": os.path.abspath(os.environ.get("WANDB_DIR") or run_dir)},
            start_new_session=True,  # Ctrl-C is for the run; the child still sends what there is
        )


def cause_of_death(run_dir: Path, status: int) -> str:
    """Why the child has ended: what it said last if it failed by itself, else its exit status."""
    return (last_words(run_dir) if status == 1 else "") or f"its process ended with status {status}"


def last_words(run_dir: Path) -> str:
    """The last line of the child's log that is not empty; empty if there is none."""
    try:
        lines = (run_dir / "wandb.log").read_text(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line.strip()), "")


def in_one_line(error: Exception) -> str:
    """What an error says, without secrets; with its type, unless it is ours."""
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return redacted(f"{kind}{' '.join(str(error).split()[:40])}")


def read_address(run_dir: Path) -> dict[str, Any]:
    """The run at W&B: id, mode, project, entity, `url` once it has been online, and `complete`, the same, once all of a
    finished run has been sent there. Empty if the file cannot be read."""
    try:
        address = json.loads((run_dir / "wandb.json").read_text())
    except (OSError, ValueError):
        return {}
    return address if isinstance(address, dict) else {}


def write_address(run_dir: Path, **values: str | None) -> None:
    """Updates wandb.json. The first call makes the run's id, or takes $WANDB_RUN_ID, as W&B's sweeps give one. It is never
    changed, so that a restart continues the run."""
    first = os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4)
    write_json(run_dir / "wandb.json", {"id": first, **read_address(run_dir), **values})


# -- sending later -------------------------------------------------------------------------------------------------------


def runs_in(path: Path) -> list[Path]:
    """The run at a path, or the runs in a folder of runs, as `runs/NAME` or `runs`. None for a file, such as the table that
    a shell's glob finds beside the runs. Raises UserError where there is no run."""
    found = {file.parent for below in ("", "*/", "*/*/") for file in path.glob(f"{below}metrics.jsonl")}
    if not found and not path.is_file():
        what = "has no metrics.jsonl, nor has a folder in it" if path.exists() else "does not exist, or matches no folder"
        raise UserError(f"{path} {what}; runs lie at runs/<name>/<label>-<hash>")
    return sorted(found)


def mode_to_send() -> str:
    """`online` or `offline`. Raises UserError if W&B is disabled, or if the environment has neither a key nor the mode."""
    mode = resolve_mode("auto")
    if mode == "disabled":
        raise UserError("W&B is disabled by WANDB_MODE or WANDB_DISABLED: unset it to send runs")
    if mode == "offline" and not os.environ.get("WANDB_MODE"):
        remedy = (
            "set WANDB_API_KEY; or WANDB_MODE=online after `wandb login`; or WANDB_MODE=offline to write for `wandb sync`"
        )
        raise UserError(f"no key of W&B in the environment: {remedy}")
    return mode


def send(run_dir: Path, *, mode: str, senders: dict[str, Path]) -> tuple[str, str]:
    """Sends a run under its one id, made now if it was never tracked. Returns what was done, and its address or its offline
    folder. senders: runs by id, which takes this one. Raises UserError, OSError, and what a damaged configuration raises."""
    import yaml

    settings = yaml.safe_load((run_dir / "config.yaml").read_text())["tracking"]
    place, address = resolve_place(settings["project"], settings["entity"]), read_address(run_dir)
    if "id" not in address and (run_dir / "wandb.json").exists():
        raise UserError("its wandb.json, which has its id at W&B, is damaged: restore it, or remove it to send a new run")
    if "id" in address and senders.setdefault(address["id"], run_dir) != run_dir:
        raise UserError(f"it has the id of {senders[address['id']]}: remove the wandb.json of the one that is a copy")
    if "complete" in address and place.items() <= address.items():
        return "already complete", address["complete"]
    write_address(run_dir, mode=mode, **place)
    child = start_child(run_dir)
    child.communicate(b"\n")  # the run has ended
    if child.returncode:
        raise UserError(cause_of_death(run_dir, child.returncode))
    return "sent" if mode == "online" else "written offline", last_words(run_dir)


def send_all(paths: Sequence[Path], mode: str) -> int:
    """Sends every run at or in the paths, whatever becomes of the others. Returns the exit status: 1 if one has
    failed, or if there is none."""
    runs: dict[Path, Path] = {}
    failures = []
    for path in paths:
        try:
            runs |= {run_dir.resolve(): run_dir for run_dir in runs_in(path)}
        except UserError as error:
            failures.append(str(error))
    if note := give_each_run_its_own(len(runs)):
        print(f"warning: {note}", file=sys.stderr, flush=True)
    senders: dict[str, Path] = {}
    counts: Counter[str] = Counter()
    for number, run_dir in enumerate(runs.values(), 1):
        try:
            done, words = send(run_dir, mode=mode, senders=senders)
        except Exception as error:  # of this run alone
            done, words = "failed", in_one_line(error)
            failures.append(f"{run_dir}: {words}")
        counts[done] += 1
        print(f"[{number}/{len(runs)}] {run_dir} {done}: {words}", flush=True)
    print(", ".join(f"{count} {done}" for done, count in counts.items()) or "no runs")
    print("".join(f"failed: {failure}\n" for failure in failures), end="", file=sys.stderr)
    return 0 if runs and not failures else 1


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog=SEND, description="Sends runs to Weights & Biases, each under its one id.")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUNS", help="a run, or a folder of runs, as runs/NAME")
    options = parser.parse_args(arguments)
    try:
        return send_all(options.runs, mode_to_send())
    except UserError as error:
        print(error, file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("stopped; the run in hand is still sent to its end, and the same command sends the others", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
