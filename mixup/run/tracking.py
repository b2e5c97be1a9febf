"""Weights & Biases as a mirror of metrics.jsonl, in a process of its own.

The run writes its metrics to disk, which is the truth. A child process follows that file and repeats it to W&B; the run
itself never imports wandb. So a missing package, an outage or a client that hangs costs one warning, and at most the time
that `Mirror.close` is given. `python -m mixup.run.tracking RUN_DIR` sends later what W&B has missed: it repeats everything.

Every start repeats the file from its first line under the run's one id. W&B drops a step that is not beyond its last one,
so a resumed run continues its curves there. `train_loss` on disk is named `train/loss` there, which groups the charts.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mixup.errors import redacted
from mixup.run.config import TrackingConfig
from mixup.run.files import write_json
from mixup.run.places import PACKAGE
from mixup.run.records import read_record

SEND = "python -m mixup.run.tracking"
POLL_SECONDS = 1.0
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
    """The child process that follows one run. No method raises; every one returns at once, except `close`, which waits for a
    bounded time. `warn` is called at most once."""

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
            [sys.executable, "-m", "mixup.run.tracking", str(run_dir.resolve()), "--follow", str(LAST_SECONDS)],
            stdin=subprocess.PIPE,  # its end tells the child that the run has ended, also if the run was killed
            stdout=log,
            stderr=log,
            cwd=PACKAGE.parent,  # so that it finds this package, and W&B its commit
            env={**os.environ, "WANDB_DIR": os.path.abspath(os.environ.get("WANDB_DIR") or run_dir)},
            start_new_session=True,  # Ctrl-C is for the run; the child still sends what there is
        )


def cause_of_death(run_dir: Path, status: int) -> str:
    """Why the child has ended: the last line of its log if it failed by itself, else its exit status."""
    try:
        lines = (run_dir / "wandb.log").read_text(errors="replace").split("\n") if status == 1 else []
    except OSError:
        lines = []
    return next((line for line in reversed(lines) if line.strip()), f"its process ended with status {status}")


def read_address(run_dir: Path) -> dict[str, Any]:
    """The run at W&B: id, mode, project, entity, and `url` once it has been online. Empty if the file cannot be read."""
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


# -- the child process ---------------------------------------------------------------------------------------------------


def mirror(run_dir: Path, run_ended: threading.Event) -> str:
    """Repeats metrics.jsonl to W&B until the run has ended. Returns the run's address there, or its offline folder here."""
    import wandb
    import yaml

    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    address, folder = read_address(run_dir), Path(os.environ.get("WANDB_DIR") or run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        dir=folder,
        name=os.environ.get("WANDB_NAME") or run_dir.name[:128],  # W&B takes no more
        group=os.environ.get("WANDB_RUN_GROUP") or config["name"],
        config=config,
        resume="allow",
        settings=wandb.Settings(console="off", silent=True),
        **{key: address[key] for key in ("id", "mode", "project", "entity")},
    )
    url = None if run.offline else run.url
    if url:
        write_address(run_dir, url=url)
    if not config.get("gan"):  # a GAN has no epochs: its curves run over W&B's own step, the iteration
        run.define_metric("epoch")
        run.define_metric("*", step_metric="epoch")
        for name in ("train/step_loss", "learning_rate"):  # also on lines without an epoch: over optimizer steps
            run.define_metric(name)
    position, last = 0, False
    while not last:
        last = run_ended.wait(POLL_SECONDS)
        position = send_new_lines(run, run_dir / "metrics.jsonl", position)
    record = read_record(run_dir)
    if record is not None:
        run.summary.update({key: value for key, value in record.items() if key != "config"})
    run.finish(exit_code=0 if record is not None else 1)
    return url or f"{Path(run.dir).parent}, which `wandb sync` uploads"


def send_new_lines(run: Any, file: Path, position: int) -> int:
    """Logs the complete lines after byte `position`; returns where they end. A line still being written waits."""
    if not file.exists():
        return position
    with open(file, "rb") as stream:
        stream.seek(position)
        for line in stream:
            if not line.endswith(b"\n"):
                break
            values = json.loads(line)
            step = values.pop("step")
            # Without `commit`, W&B would show an epoch only when the next one is there.
            run.log({chart_name(key): value for key, value in values.items()}, step=step, commit=True)
            position += len(line)
    return position


def chart_name(key: str) -> str:
    """`train_loss` as `train/loss`: the part before the slash is a group of charts."""
    splits = ("train_eval", "train", "test", "validation")
    return next((f"{split}/{key.removeprefix(f'{split}_')}" for split in splits if key.startswith(f"{split}_")), key)


def await_end(run_ended: threading.Event, last_seconds: float) -> None:
    """Sets `run_ended` when standard input has a byte or ends; ends this process `last_seconds` later, even if it hangs."""
    os.read(sys.stdin.fileno(), 1)
    run_ended.set()
    time.sleep(last_seconds)
    os._exit(1)


def prepare_sending(run_dir: Path) -> None:
    """Chooses the mode anew, for a run that may have been offline, or not tracked at all."""
    import yaml

    if not (run_dir / "metrics.jsonl").exists():
        raise FileNotFoundError(f"{run_dir} has no metrics.jsonl; runs lie at runs/<name>/<label>-<hash>")
    settings = yaml.safe_load((run_dir / "config.yaml").read_text())["tracking"]
    write_address(run_dir, mode=resolve_mode("auto"), **resolve_place(settings["project"], settings["entity"]))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog=SEND, description="Sends a run to Weights & Biases.")
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="a directory with config.yaml and metrics.jsonl")
    follow = "as a run starts it: until standard input ends, and for at most so many seconds after that"
    parser.add_argument("--follow", type=float, metavar="SECONDS", help=follow)
    options = parser.parse_args(arguments)
    run_ended = threading.Event()
    try:
        if options.follow is None:
            run_ended.set()
            prepare_sending(options.run_dir)
        else:
            os.nice(5)  # the training comes first
            threading.Thread(target=await_end, args=(run_ended, options.follow), daemon=True).start()
        print(mirror(options.run_dir, run_ended), flush=True)
    except Exception as error:  # the run quotes this line in its warning
        print(redacted(f"{type(error).__name__}: {' '.join(str(error).split()[:40])}"), file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    if status:
        os._exit(status)  # W&B's exit handlers may hang where W&B has failed
