"""From overrides to checked configurations, one run or every cell of a sweep, with label and directory.

Hydra composes. Every cell of a sweep is composed and checked before the first one starts, so a mistake in the last costs no
hours.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig

from mixup.errors import UserError
from mixup.run.config import TrainConfig, from_omegaconf
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


def planned(overrides: Sequence[str], *, multirun: bool) -> list[Task]:
    """Every run the command line asks for, composed and checked."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        if not multirun:
            config = composed(overrides, return_hydra_config=True)
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
        return from_omegaconf(composed(overrides))


def composed(overrides: Sequence[str], **options: bool) -> DictConfig:
    """Hydra's `compose`; UserError for a setting inside a section that the run does not have."""
    try:
        return compose("train", list(overrides), **options)
    except AssertionError as error:  # OmegaConf's
        raise UserError("gan.*: only a GAN has these settings: add data=ring model=gan") from error


def checked(overrides: Sequence[str]) -> Task:
    return task(composed(overrides), overrides)


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
    return from_omegaconf(composed(chosen))
