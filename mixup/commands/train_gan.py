"""From the command line to a checked `GanConfig`, one game or a grid of them; what `command_line` is for `train.py`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixup.commands.messages import explain
from mixup.errors import UserError, suggestion
from mixup.gan.config import GanConfig, run_dir, run_label
from mixup.run import records
from mixup.run.config import schema_defaults

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "gan"  # apart: `data` here is no group of files
NAME = "train_gan"

ConfigStore.instance().store(name="gan_schema", node=GanConfig)


@dataclass(frozen=True)
class Task:
    """One run that was asked for: its configuration, its label, its directory."""

    config: GanConfig
    label: str
    folder: Path


def main(arguments: Sequence[str], *, usage: str) -> int:
    """Runs what is asked for; returns the exit status: 0 done, 1 a run failed, 2 a mistake in the request."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing, and `explain` says it in one message
    try:
        if {"-h", "--help"} & set(arguments):
            print(usage.strip(), "every setting, with its default:", (CONFIGS / f"{NAME}.yaml").read_text(), sep="\n\n")
            sys.stdout.flush()
            return 0
        multirun = bool({"-m", "--multirun"} & set(arguments))
        tasks = planned([word for word in arguments if word not in ("-m", "--multirun")], multirun=multirun)
        statuses = [
            perform(task, place=f"[{number}/{len(tasks)}] " if multirun else "") for number, task in enumerate(tasks, 1)
        ]
        return max([*statuses, summarise(tasks)] if multirun else statuses)
    except (UserError, HydraException, OmegaConfBaseException) as error:
        print(explain(error), file=sys.stderr)
        return 2
    except BrokenPipeError:  # `train_gan.py --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command resumes from the last checkpoint", file=sys.stderr)
        return 130


def planned(overrides: Sequence[str], *, multirun: bool) -> list[Task]:
    """Every run the command line asks for, composed and checked."""
    check_names(overrides)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cells = every_cell(overrides) if multirun else [list(overrides)]
        baseline = composed([])
        configs = [composed(cell) for cell in cells]
    labels = [run_label(config, baseline) for config in configs]
    return [Task(config, label, run_dir(config, label)) for config, label in zip(configs, labels)]


def every_cell(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each run of a sweep: those given, and the file's grid for what they leave open."""
    loader = GlobalHydra.instance().config_loader()
    whole = loader.load_configuration(NAME, list(overrides), run_mode=RunMode.MULTIRUN)
    grid = [f"{key}={value}" for key, value in whole.hydra.sweeper.params.items()]
    parsed = OverridesParser.create(config_loader=loader).parse_overrides([*grid, *overrides])
    (batch,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [list(cell) for cell in batch]


def check_names(overrides: Sequence[str]) -> None:
    """UserError for a setting that there is not, with the nearest one that there is."""
    known = [name for name, _ in schema_defaults(GanConfig)]
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~")
        if key not in known and not key.startswith("hydra."):
            raise UserError(f"{key}: no such setting{suggestion(key, known)}; --help lists them")


def composed(overrides: Sequence[str]) -> GanConfig:
    return cast(GanConfig, OmegaConf.to_object(compose(NAME, list(overrides))))


def perform(task: Task, *, place: str) -> int:
    """One run, unless it has finished before. Prints what it is about; returns its exit status."""
    print(f"{place}{task.folder}", flush=True)
    try:
        record = records.read_record(task.folder)
        if record is not None:
            print(f"already finished: {outcome(record)}, {record['device']}", flush=True)
            return 0
        from mixup.gan import train as gan_train  # torch only where there is something to train

        try:
            record = gan_train.train(task.config, task.folder, task.label)
        except gan_train.Stopped as stop:
            print(stop, file=sys.stderr, flush=True)
            raise SystemExit(128 + stop.signal) from None
    except (UserError, OSError) as error:
        remedy = "" if isinstance(error, UserError) else "; mend it and start again: what is done is kept"
        print(f"{error}{remedy}", file=sys.stderr, flush=True)
        return 2
    print(outcome(record), flush=True)
    return 0


def outcome(record: records.Record) -> str:
    last = record["last"]
    return f"{last['modes']} of {record['data']['modes']} modes covered, {last['good_share']:.1f} % of the samples good"


def summarise(tasks: Sequence[Task]) -> int:
    """The table of figure 5, or of the modes that the sweep's games cover. Returns 1 where some run has no record."""
    from mixup.pages.sweep_table import show_sweep

    return show_sweep([task.folder for task in tasks], ("last", "modes"), "modes covered")
