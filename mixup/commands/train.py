"""What `train.py` does: one run, or every cell of a grid, then what the grid measures and its table.

torch is imported only when there is something to train.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from mixup.commands.messages import explain
from mixup.errors import LocalError, UserError
from mixup.run import records
from mixup.run.checks import doubts
from mixup.run.compose import CONFIGS, Task, planned

MULTIRUN = ("-m", "--multirun")
SHOWS = ("-h", "--help", "-c", "--cfg", "-i", "--info", "--hydra-help", "--version", "-sc", "--shell-completion")


def main() -> int:
    """Runs what the command line says; returns the exit status: 0 done, 1 a run failed, 2 a mistake in the request."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing, and `explain` says it in one message
    arguments, leads = sys.argv[1:], os.environ.get("RANK", "0") == "0"
    try:
        if flags := [word for word in arguments if word.startswith("-") and word not in MULTIRUN]:
            if not any(flag.partition("=")[0] in SHOWS for flag in flags):
                raise UserError(f"{' '.join(flags)}: train.py takes -m and settings, and to look at them {' '.join(SHOWS)}")
            show()
            return 0
        multirun = any(word in MULTIRUN for word in arguments)
        tasks = planned([word for word in arguments if word not in MULTIRUN], multirun=multirun)
        places = [f"[{number}/{len(tasks)}] " if multirun else "" for number in range(1, len(tasks) + 1)]
        if leads:
            for doubt in dict.fromkeys(doubt for task in tasks for doubt in doubts(task.config)):
                print(f"warning: {doubt}", file=sys.stderr, flush=True)
        statuses = [perform(task, place) for place, task in zip(places, tasks)]
        if multirun and leads and not any(task.config.dry_run for task in tasks):
            statuses += [measure(tasks), summarise(tasks)]
        return max(statuses, default=0)
    except (UserError, HydraException, OmegaConfBaseException) as error:
        if leads:
            print(explain(error), file=sys.stderr)
        return 2
    except BrokenPipeError:  # `train.py --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command resumes from the last checkpoint", file=sys.stderr)
        return 130
    finally:
        if "torch" in sys.modules:
            from mixup.training.distributed import leave_group

            leave_group()


@hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="train")
def show(config: DictConfig) -> None:
    """Hydra itself answers --help, --cfg job and the like."""


def perform(task: Task, place: str) -> int:
    """Trains one run, unless it has finished before; returns its exit status. place: `[3/12] `, of the runs of a grid."""
    leads = os.environ.get("RANK", "0") == "0"
    if leads:
        print(f"{place}{task.folder}", flush=True)
    try:
        if task.config.dry_run:
            from mixup.training.dry_run import dry_run

            dry_run(task.config)
            return 0
        record = records.read_record(task.folder)
        if record is not None:
            if leads:
                print(f"already finished: {outcome(record)}; {record['data']['provenance']}, {record['device']}", flush=True)
            return 0
        record = train(task)
    except (UserError, OSError) as error:
        if leads or isinstance(error, LocalError):
            remedy = "" if isinstance(error, UserError) else "; repair it and start again: what is done is kept"
            print(f"{error}{remedy}", file=sys.stderr, flush=True)
        if os.environ.get("WORLD_SIZE", "1") != "1":  # the others wait for this rank: the launcher must end them all
            raise SystemExit(2) from None
        return 2
    if leads:
        print(outcome(record), flush=True)
    return 0


def train(task: Task) -> records.Record:
    """Trains a classifier, or a GAN where the configuration has that section. SystemExit where a signal stopped it."""
    from mixup.training.signals import Stopped

    if task.config.gan is not None:
        from mixup.gan.train import train as train_run
    else:
        from mixup.training.train import train as train_run
    try:
        return train_run(task.config, task.folder, task.label)
    except Stopped as stop:
        print(stop, file=sys.stderr, flush=True)
        raise SystemExit(128 + stop.signal) from None


def outcome(record: records.Record) -> str:
    """A finished run in one line."""
    test, validation = record["test"], record["validation"]
    if "modes" in test:
        modes, good = test["modes"]["last"], test["good_share"]["last"]
        return f"{modes} of {record['data']['modes']} modes covered, {good:.1f} % of the samples good"
    errors = test["top1_error"]
    words = f"test error {errors['last']:.2f} % after the last epoch, median of the last ten {errors['last10_median']:.2f} %"
    return words + (f"; validation error {validation['top1_error']['last']:.2f} %" if validation else "")


def summarise(tasks: Sequence[Task]) -> int:
    """Shows the table of the grid's experiment, or of its test errors or modes. Returns 1 where some run has no record."""
    from mixup.commands.redo import recipes
    from mixup.ledger.metrics import LAST, MODES
    from mixup.pages.sweep_table import show_sweep

    measure = MODES if any(task.config.gan for task in tasks) else LAST
    return show_sweep([task.folder for task in tasks], measure, recipes)


def measure(tasks: Sequence[Task]) -> int:
    """Evaluates the finished runs as their configurations say (`evaluate`). Returns the exit status."""
    status = 0
    for name in dict.fromkeys(task.config.evaluate for task in tasks):
        configs = {task.folder: task.config for task in tasks if task.config.evaluate == name}
        finished = [folder for folder in configs if records.read_record(folder) is not None]
        if name is not None and finished:
            from mixup.commands.evaluate import draw_measurements
            from mixup.evaluation.sweep import evaluate_sweep

            config = configs[finished[0]]
            status = max(status, evaluate_sweep(name, finished, root=config.data.root, device=config.trainer.device))
            for folder in finished:
                draw_measurements(folder)
    return status
