"""The child process that repeats a run's metrics.jsonl to W&B: `tracking` starts it. This file alone imports wandb."""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from mixup.run.records import read_record
from mixup.run.tracking import in_one_line, read_address, write_address

POLL_SECONDS = 1.0


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
    if url and record is not None:
        write_address(run_dir, complete=url)
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
    print(f"not finished {last_seconds:.0f} s after the run's end", file=sys.stderr, flush=True)
    os._exit(1)


def main(run_dir: Path, last_seconds: float) -> int:
    run_ended = threading.Event()
    try:
        os.nice(5)  # the training comes first
        threading.Thread(target=await_end, args=(run_ended, last_seconds), daemon=True).start()
        print(mirror(run_dir, run_ended), flush=True)
    except Exception as error:  # the run quotes this line in its warning
        print(in_one_line(error), file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    status = main(Path(sys.argv[1]), float(sys.argv[2]))
    if status:
        os._exit(status)  # W&B's exit handlers may hang where W&B has failed
