"""From the command line to a checked `TrainConfig`, one run or a sweep of them, with errors a person can act on.

Hydra composes and launches. Every cell of a sweep is composed and checked before the first one starts, so a mistake in the
last costs no hours. torch is imported only when there is something to train.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import hydra
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from mixup.errors import LocalError, UserError, suggestion
from mixup.evaluation.settings import eval_config
from mixup.run import records
from mixup.run.config import TrainConfig, from_omegaconf, schema_defaults
from mixup.run.identity import run_dir, run_label

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
GROUPS = ("data", "model", "experiment", "scale")  # what a label need not spell out: the run's name says it

ConfigStore.instance().store(name="schema", node=TrainConfig)


@dataclass(frozen=True)
class Task:
    """One run that was asked for: its configuration, its label, its directory."""

    config: TrainConfig
    label: str
    folder: Path


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


def evaluate(arguments: list[str], *, usage: str) -> int:
    """`eval.py`: returns 0, 1 where the test error is not the record's, 2 for a mistake in the request."""
    try:
        if not arguments or {"-h", "--help"} & set(arguments):
            print(usage.strip(), flush=True)
            return 0 if arguments else 2
        wanted = eval_config(arguments)
        from mixup.evaluation.printed import report

        return 0 if report(wanted) else 1
    except (UserError, OmegaConfBaseException) as error:
        print(explain(error), file=sys.stderr)
        return 2
    except BrokenPipeError:  # `eval.py --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"{error}: restore what is missing, or train the run again", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; of what was being measured nothing is written", file=sys.stderr)
        return 130


# -- composing -----------------------------------------------------------------------------------------------------------


def planned(overrides: Sequence[str], *, multirun: bool) -> list[Task]:
    """Every run the command line asks for, composed and checked."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        if not multirun:
            config = compose("train", list(overrides), return_hydra_config=True)
            if config.hydra.sweeper.params:
                print("this experiment is a grid: -m runs all of it, without -m this is one run at its defaults")
            return [checked(overrides)]
        loader = GlobalHydra.instance().config_loader()
        whole = loader.load_configuration("train", list(overrides), run_mode=RunMode.MULTIRUN)
        params = [f"{key}={value}" for key, value in (whole.hydra.sweeper.params or {}).items()]
        parsed = OverridesParser.create(config_loader=loader).parse_overrides([*params, *overrides])
        (batch,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
        return [checked(cell) for cell in batch]


def configuration(overrides: Sequence[str]) -> TrainConfig:
    """What `python train.py OVERRIDES` would run, for scripts and tests."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return from_omegaconf(compose("train", list(overrides)))


def checked(overrides: Sequence[str]) -> Task:
    return task(compose("train", list(overrides)), overrides)


def task_of(config: DictConfig) -> Task:
    """The task of a job that Hydra has launched."""
    return task(config, HydraConfig.get().overrides.task)


def task(config: DictConfig, overrides: Sequence[str]) -> Task:
    """The label says in what the run differs from what its data, model and experiment stand for by themselves."""
    chosen = tuple(override for override in overrides if override.partition("=")[0] in GROUPS)
    baseline = usual_of(chosen)
    whole = from_omegaconf(config)
    parts = [run_label(whole, baseline)]
    framed = tuple(override for override in chosen if override.partition("=")[0] in ("experiment", "scale"))
    if any(override.startswith("experiment=") for override in framed):
        usual = usual_of(framed)
        pairs = {"data": (whole.data.name, usual.data.name), "model": (whole.model.name, usual.model.name)}
        parts[:0] = [f"{group}={name}" for group, (name, before) in pairs.items() if name != before]
    elif whole.scale != "paper":  # an experiment's name says it
        parts[:0] = [f"scale={whole.scale}"]
    label = ",".join(parts)
    return Task(whole, label, run_dir(whole, label))


@functools.cache
def usual_of(chosen: tuple[str, ...]) -> TrainConfig:
    """What these choices of groups stand for by themselves: the same for many cells of a sweep."""
    return from_omegaconf(compose("train", list(chosen)))


# -- running -------------------------------------------------------------------------------------------------------------


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
                error, provenance = record["test"]["top1_error"]["last"], record["data"]["provenance"]
                print(f"already finished: test error {error:.2f} % on {provenance}, {record['device']}", flush=True)
            return 0
        from mixup.training import train as run

        try:
            record = run.train(task.config, task.folder, task.label)
        except run.Stopped as stop:
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
        errors, held_out = record["test"]["top1_error"], record["validation"]
        print(
            f"test error {errors['last']:.2f} % after the last epoch, median of the last ten {errors['last10_median']:.2f} %"
            + (f"; validation error {held_out['top1_error']['last']:.2f} %" if held_out else "")
        )
    return 0


def summarise(tasks: Sequence[Task]) -> int:
    """The table of the sweep's experiment, or of its test errors. Returns 1 where some run has no record."""
    from mixup.pages.sweep_table import show_sweep

    return show_sweep([task.folder for task in tasks], ("test", "top1_error", "last"), "test error %")


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


# -- errors --------------------------------------------------------------------------------------------------------------


def explain(error: BaseException) -> str:
    """One short message with the nearest right name or the range, for an error of ours, of Hydra's or of OmegaConf's."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, name = error.missing_cfg_file.rpartition("/")
        others = suggestion(name, error.options) or f"; there are {', '.join(error.options)}"
        return f"{group}={name}: no such file in configs/{group}{others}"
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__ or error.__context__
    if not isinstance(cause, OmegaConfBaseException):
        lines = str(error).splitlines()
        if lines[0].startswith("Ambiguous value"):
            return f"{lines[0]}: to run each of its values, add -m"
        return " ".join(lines[: 2 if "parsing override" in lines[0] else 1])
    where = "".join(line.partition(":")[0] + ": " for line in str(error).splitlines()[:1] if line.startswith("In '"))
    key, what = cause.full_key or "", str(cause).splitlines()[0]
    keys = [name for name, _ in schema_defaults()]
    if "not in" in what:
        return f"{where}{key}: no such setting{suggestion(key, [*keys, *GROUPS, 'mixup'])}"
    return f"{where}{key}: {what[0].lower()}{what[1:]}"
