"""What `train.py` does: one run, or every cell of a sweep, then what the sweep measures and its table.

torch is imported only when there is something to train.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from mixup.commands.messages import explain
from mixup.errors import LocalError, UserError
from mixup.run import records
from mixup.run.compose import CONFIGS, Task, planned, task_of


def main() -> int:
    """Runs what the command line asks for; returns the exit status: 0 done, 1 a run failed, 2 a mistake in the request."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing, and `explain` says it in one message
    leads = os.environ.get("RANK", "0") == "0"
    try:
        flags = [argument for argument in sys.argv[1:] if argument in ("-m", "--multirun")]
        sys.argv[1:] = [*flags, *(argument for argument in sys.argv[1:] if argument not in flags)]  # Hydra wants it in front
        asked = get_args_parser().parse_args(sys.argv[1:])
        shows_only = asked.help or asked.hydra_help or asked.cfg or asked.info
        tasks = [] if shows_only else planned(asked.overrides, multirun=asked.multirun)
        statuses: list[int] = []

        @hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="train")
        def job(config: DictConfig) -> None:
            statuses.append(
                perform(task_of(config), cell=HydraConfig.get().job.num if asked.multirun else None, cells=len(tasks))
            )

        job()
        if asked.multirun and leads and not any(task.config.dry_run for task in tasks):
            return max([*statuses, measure(tasks), summarise(tasks)])
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


def perform(task: Task, *, cell: int | None, cells: int) -> int:
    """One run, unless it has finished before. Prints what it is about; returns its exit status."""
    leads = os.environ.get("RANK", "0") == "0"
    if leads:
        place = f"[{cell + 1}/{cells}] " if cell is not None and cells else ""
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
        from mixup.training.resuming import Stopped

        try:
            record = train(task)
        except Stopped as stop:
            print(stop, file=sys.stderr, flush=True)
            raise SystemExit(128 + stop.signal) from None
    except (UserError, OSError) as error:
        if leads or isinstance(error, LocalError):
            remedy = "" if isinstance(error, UserError) else "; mend it and start again: what is done is kept"
            print(f"{error}{remedy}", file=sys.stderr, flush=True)
        if os.environ.get("WORLD_SIZE", "1") != "1":  # the others wait for this rank: the launcher must end them all
            raise SystemExit(2) from None
        return 2
    if leads:
        print(outcome(record), flush=True)
    return 0


def train(task: Task) -> records.Record:
    """Trains a classifier, or a GAN where the configuration has that section."""
    if task.config.gan is not None:
        from mixup.gan import train as gan

        return gan.train(task.config, task.folder, task.label)
    from mixup.training import train as classifier

    return classifier.train(task.config, task.folder, task.label)


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
    """The table of the sweep's experiment, or of its test errors or modes. Returns 1 where some run has no record."""
    from mixup.ledger.metrics import LAST, MODES
    from mixup.ledger.redo import recipes
    from mixup.pages.sweep_table import show_sweep

    measure = MODES if any(task.config.gan for task in tasks) else LAST
    return show_sweep([task.folder for task in tasks], measure, recipes)


def measure(tasks: Sequence[Task]) -> int:
    """What the sweep asks to be measured of its runs, of those that have finished. Returns the exit status."""
    status = 0
    for wanted in dict.fromkeys(task.config.evaluate for task in tasks):
        asked = {task.folder: task.config for task in tasks if task.config.evaluate == wanted}
        finished = [folder for folder in asked if records.read_record(folder) is not None]
        if wanted is not None and finished:
            from mixup.evaluation.sweep import evaluate_sweep

            config = asked[finished[0]]
            status = max(status, evaluate_sweep(wanted, finished, root=config.data.root, device=config.trainer.device))
    return status
