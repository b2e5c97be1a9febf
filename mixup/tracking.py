"""Weights & Biases as a mirror of metrics.jsonl, in a process of its own.

The run writes its metrics to disk, which is the truth. A child process follows that file and repeats it to W&B; the run
itself never imports wandb. So a missing package, an outage or a client that hangs costs one warning and no time. What
W&B has missed can be sent later: `python -m mixup.tracking RUN_DIR` repeats a run's whole file.

Names: `train_loss` on disk is `train/loss` there, so that W&B groups its charts. Curves run over epochs.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mixup.files import write_json

POLL_SECONDS = 1.0
LAST_SECONDS = 600.0  # for sending the rest after the run has ended


def resolve_mode(mode: str) -> str:
    """`auto` is $WANDB_MODE where set, else online with $WANDB_API_KEY in the environment, else offline."""
    if mode != "auto":
        return mode
    return os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")


class Mirror:
    """The child process that follows one run. Every method returns at once, but `close`, which waits a bounded time."""

    def __init__(self, run_dir: Path, *, mode: str, project: str, entity: str | None, warn: Callable[[str], None]) -> None:
        self.run_dir = run_dir
        self.warn = warn
        self.child: subprocess.Popen[bytes] | None = None
        if mode == "disabled":
            return
        settings = {"mode": mode, "project": project, "entity": entity, "id": run_id(run_dir)}
        write_json(run_dir / "wandb.json", {**read_address(run_dir), **settings})
        self.start()

    def start(self) -> None:
        root = Path(__file__).resolve().parent.parent
        paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        try:
            with open(self.run_dir / "wandb.log", "ab") as log:
                self.child = subprocess.Popen(
                    [sys.executable, "-m", "mixup.tracking", str(self.run_dir.resolve()), "--follow"],
                    stdin=subprocess.PIPE,  # its end of file tells the child that the run has ended, however it did
                    stdout=log,
                    stderr=log,
                    env=environ,
                    start_new_session=True,  # Ctrl-C is for the run; the child still sends what there is
                )
        except OSError as error:
            self.give_up(str(error))

    def check(self) -> None:
        """Warns, once, where the child has ended before its time."""
        if self.child is not None and self.child.poll() is not None:
            lines = (self.run_dir / "wandb.log").read_text(errors="replace").strip().splitlines()
            self.give_up(lines[-1] if lines else f"it ended with status {self.child.returncode}")

    def close(self, timeout_seconds: float) -> None:
        """Tells the child that the run has ended, and waits for it to send the rest; leaves it behind after the time."""
        if self.child is None or self.child.stdin is None:
            return
        self.child.stdin.close()
        try:
            status = self.child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.warn(
                f"W&B has not finished after {timeout_seconds:.0f} s and is left to itself; if curves are missing there: "
                f"python -m mixup.tracking {self.run_dir}"
            )
        else:
            if status:
                self.check()
        self.child = None

    def give_up(self, why: str) -> None:
        self.warn(f"no W&B for this run, which goes on ({why}); to send it later: python -m mixup.tracking {self.run_dir}")
        self.child = None


def run_id(run_dir: Path) -> str:
    """The W&B id of a run: made once, kept in its directory, the same after every restart."""
    return read_address(run_dir).get("id") or secrets.token_hex(4)


def read_address(run_dir: Path) -> dict[str, Any]:
    """What is known of the run at W&B: id, mode, project, and `url` once it is online."""
    try:
        return json.loads((run_dir / "wandb.json").read_text())
    except (OSError, ValueError):
        return {}


# -- the child process ---------------------------------------------------------------------------------------------------


def mirror(run_dir: Path, *, follow: bool) -> None:
    """Repeats metrics.jsonl to W&B; with `follow`, until standard input ends."""
    import wandb
    import yaml

    settings = read_address(run_dir)
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    run = wandb.init(
        dir=run_dir,
        name=run_dir.name,
        group=config["name"],
        config=config,
        resume="allow",
        settings=wandb.Settings(console="off", silent=True),
        **{key: settings[key] for key in ("id", "mode", "project", "entity")},
    )
    write_json(run_dir / "wandb.json", {**settings, "url": getattr(run, "url", None)})
    run.define_metric("epoch")
    run.define_metric("*", step_metric="epoch")
    position = 0
    going = follow
    while True:
        ended = not going
        if ended:
            deadline(LAST_SECONDS)
        position = send_new_lines(run, run_dir / "metrics.jsonl", position)
        if ended:
            break
        readable, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
        going = not readable  # nothing is ever written there: readable means closed
    record = run_dir / "record.json"
    if record.exists():
        run.summary.update({key: value for key, value in json.loads(record.read_text()).items() if key != "config"})
    run.finish(exit_code=0 if record.exists() else 1)


def deadline(seconds: float) -> None:
    """Ends this process after that time, whatever it hangs in: nobody waits for it any more."""
    timer = threading.Timer(seconds, os._exit, [1])
    timer.daemon = True
    timer.start()


def send_new_lines(run: Any, file: Path, position: int) -> int:
    """Logs the whole lines after byte `position`; returns where they end. A file cut by a restart is read on from there."""
    if not file.exists():
        return position
    with open(file, "rb") as stream:
        stream.seek(min(position, file.stat().st_size))
        for line in stream:
            if not line.endswith(b"\n"):
                break
            values = json.loads(line)
            step = values.pop("step")
            run.log({chart_name(key): value for key, value in values.items()}, step=step)
            position += len(line)
    return position


def chart_name(key: str) -> str:
    """`train_loss` as `train/loss`: what stands before the slash is a group of charts."""
    split, _, rest = key.partition("_")
    return f"{split}/{rest}" if split in ("train", "clean", "test", "validation") else key


def main(arguments: list[str]) -> int:
    follow = "--follow" in arguments
    folders = [Path(argument) for argument in arguments if argument != "--follow"]
    if len(folders) != 1 or (not follow and not (folders[0] / "metrics.jsonl").exists()):
        print("usage: python -m mixup.tracking RUN_DIR, a directory with metrics.jsonl", file=sys.stderr)
        return 2
    os.nice(5)  # the training comes first
    try:
        mirror(folders[0], follow=follow)
    except Exception as error:  # the last line of the log is what the run quotes in its warning
        print(f"{type(error).__name__}: {' '.join(str(error).split()[:40])}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
