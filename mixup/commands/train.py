"""What `train.py` does around a training: reads the command line, reports each run, and measures a finished grid.

torch is imported only when there is something to train, or data to compare with that of a finished run.
"""

import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import hydra
from omegaconf import DictConfig

from mixup.commands.arguments import request_of
from mixup.commands.help import help_text
from mixup.commands.process import check_ranks
from mixup.errors import LocalError, UserError, redacted
from mixup.run import records
from mixup.run.checks import doubts
from mixup.run.compose import CONFIGS, Task, planned
from mixup.run.overrides import parsed
from mixup.run.tracking import give_each_run_its_own
from mixup.run.twins import adopt

NEED_NO_FILE = ("digits", "rings", "ring", "grid")


def is_leader() -> bool:
    """Whether this process speaks for all; there may be many under torchrun."""
    return os.environ.get("RANK", "0") == "0"


def in_group() -> bool:
    return os.environ.get("WORLD_SIZE", "1") != "1"


def abandon_group(status: int) -> NoReturn:
    """Ends this process at once. To close the group it would wait for ranks that wait for it; so the launcher ends those."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


@contextmanager
def process_group() -> Iterator[None]:
    """Closes the process group that trainings inside joined under torchrun, if any."""
    try:
        yield
    except Exception as error:
        if in_group():
            if lost := re.search(r"gloo/transport/\S+ (.*?)(?:\. |$)", str(error)):
                print(
                    f"another process of this run has ended or cannot be reached ({lost[1]}): what it printed says why. "
                    "The same command goes on from the last checkpoint",
                    file=sys.stderr,
                )
            else:
                traceback.print_exc()
            abandon_group(1)
        raise
    finally:
        if "torch" in sys.modules:
            from mixup.training.distributed import leave_group

            leave_group()


def read_tasks(arguments: Sequence[str]) -> list[Task]:
    """Every run of the command line, composed and checked; none where it only asks to be shown something."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing, and `messages` says it in one message
    check_ranks()
    request = request_of(arguments)
    if request.asks_for_help:
        print(help_text(request))
        return []
    if request.shows:
        sys.argv[1:] = [*(str(override.input_line) for override in parsed(request.settings)), *request.shows]
        show()
        return []
    tasks = planned(request.settings, multirun=request.multirun, sources=request.sources)
    found = [doubt for task in tasks for doubt in doubts(task.config)] + [give_each_run_its_own(len(tasks)) or ""]
    if not request.multirun and tasks[0].config.evaluate:
        found.append(f"evaluate={tasks[0].config.evaluate}: sweeps (-m) are measured; for this run there is eval.py")
    for doubt in dict.fromkeys(filter(None, found)) if is_leader() else ():
        print(f"warning: {doubt}", file=sys.stderr, flush=True)
    if is_leader() and not tasks[0].config.dry_run and (note := records.doubt_of_provenance()):
        print(f"note: {note}", file=sys.stderr, flush=True)
    return tasks


@hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="train")
def show(config: DictConfig) -> None:
    """Hydra itself answers --help-all, --cfg job and the like."""


def perform(task: Task, train: Callable[[Task], records.Record]) -> int:
    """Trains one run, unless it has finished before on the same data; returns its exit status."""
    if is_leader():
        print(f"{task.place}{task.folder}", flush=True)
    try:
        if task.config.dry_run:
            from mixup.training.dry_run import dry_run

            dry_run(task.config)
            return 0
        if task.place and is_leader() and (twin := adopt(task)):
            print(f"copied from {twin}, which has the same settings", flush=True)
        record, words = finished_before(task)
        record = record or train(task)
    except BrokenPipeError:  # `train.py | head`
        raise
    except (UserError, OSError) as error:
        if is_leader() or isinstance(error, LocalError):
            remedy = "" if isinstance(error, UserError) else "; repair it and start again: what is done is kept"
            print(redacted(f"{error}{remedy}"), file=sys.stderr, flush=True)
        status = error.status if isinstance(error, UserError) else UserError.status
        if in_group():
            abandon_group(status)
        return status
    except Exception as error:
        if in_group() or not task.place or not task.folder.exists():
            raise
        file = task.folder / "traceback.txt"
        file.write_text(redacted(traceback.format_exc()))
        words = redacted(f"{type(error).__name__}: {error}")
        print(f"{words} (a fault of this program: see {file})", file=sys.stderr, flush=True)
        return 1
    if is_leader():
        print(f"already finished: {outcome(record)}; {words}" if words else outcome(record), flush=True)
    return 0


def finished_before(task: Task) -> tuple[records.Record | None, str]:
    """The record of a run that has finished, on every rank what the leader has read, and what it says of it.

    Raises OtherDataError if it was trained on other data than lies here now.
    """
    if in_group():
        from mixup.training.distributed import broadcast, join_group

        group = join_group(task.config.trainer.device)
        record = broadcast(group, records.read_record(task.folder) if is_leader() else None)
    else:
        record = records.read_record(task.folder)
    if record is None or not is_leader():
        return record, ""
    words = [record["data"]["provenance"], record["device"]]
    if task.config.data.name not in NEED_NO_FILE:
        from mixup.training.folder import compare_data

        words.append(compare_data(task.config, task.folder, record))
    words.append(records.compare_code(record["environment"]))
    if record.get("network"):
        from mixup.models.imported import compare_source

        words.append(compare_source(record))
    return record, ", ".join(filter(None, words))


def outcome(record: records.Record) -> str:
    """A finished run in one line."""
    test, validation = record["test"], record["validation"]
    if "modes" in test:
        modes, good = test["modes"]["last"], test["good_share"]["last"]
        return f"{modes} of {record['data']['modes']} modes covered, {good:.1f} % of the samples good"
    errors = test["top1_error"]
    words = f"test error {errors['last']:.2f} % after the last epoch"
    if record["epochs"] >= records.MEDIAN_EPOCHS:
        words += f", median of the last ten {errors['last10_median']:.2f} %"
    words = f"diverged, since a loss on test data is not finite: {words}" if record.get("diverged") else words
    return words + (f"; validation error {validation['top1_error']['last']:.2f} %" if validation else "")


def conclude(tasks: Sequence[Task]) -> list[int]:
    """After a grid, on the leader: measures its runs and shows its table. Returns the exit statuses."""
    if not any(task.place for task in tasks) or not is_leader() or any(task.config.dry_run for task in tasks):
        return []
    return [measure(tasks), summarise(tasks)]


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


def summarise(tasks: Sequence[Task]) -> int:
    """Shows the table of the grid's experiment, or of its test errors or modes. Returns 1 where some run has no record."""
    from mixup.commands.redo import recipes
    from mixup.ledger.metrics import LAST, MODES
    from mixup.pages.sweep_table import show_sweep

    metric = MODES if any(task.config.gan for task in tasks) else LAST
    return show_sweep([task.folder for task in tasks], metric, recipes)
