"""From overrides to checked configurations: one run, or every cell of a grid, each with its label and directory.

Every cell is composed and checked before the first one trains, so that a mistake in the last one is found at once. Hydra
composes once for each combination of files that the cells choose; their other settings are then set one by one.
"""

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType
from omegaconf import DictConfig, OmegaConf

from mixup.errors import UserError
from mixup.run.checks import check_game, check_together
from mixup.run.config import TrainConfig
from mixup.run.conversions import from_omegaconf
from mixup.run.identity import run_dir, run_label

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

ConfigStore.instance().store(name="schema", node=TrainConfig)


@dataclass(frozen=True)
class Task:
    """One run: its configuration, its label, its directory, and its place in a grid, such as `[3/12] `."""

    config: TrainConfig
    label: str
    folder: Path
    place: str = ""


def planned(overrides: Sequence[str], *, multirun: bool) -> list[Task]:
    """The runs that a command line stands for. UserError for several runs where `multirun` is false."""
    given = parsed(overrides)
    grid = parsed(sweeper_params(given))
    if not multirun:
        require_one_run(given, grid)
    cells = expanded([*grid, *given])
    return [task_of(cell, f"[{number}/{len(cells)}] " if multirun else "") for number, cell in enumerate(cells, 1)]


def configuration(overrides: Sequence[str]) -> TrainConfig:
    """The configuration of one run, without the grid of its experiment; for scripts and tests."""
    return checked(parsed(overrides))


def parsed(overrides: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))


# -- grids ---------------------------------------------------------------------------------------------------------------


def sweeper_params(given: Sequence[Override]) -> list[str]:
    """The grid of the experiment, as overrides that the command line's follow."""
    words = [str(override.input_line) for override in given if chooses_file(override) and not override.is_sweep_override()]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        params = compose("train", words, return_hydra_config=True).hydra.sweeper.params or {}
    return [f"{key}={value}" for key, value in params.items()]


def expanded(overrides: Sequence[Override]) -> list[tuple[Override, ...]]:
    """Every cell of a grid, the last key varying fastest. A later override of a key takes the place of an earlier one."""
    words: dict[str, list[str]] = {}
    for override in overrides:
        words[override.get_key_element()] = values_of(override)
    return list(itertools.product(*(parsed(values) for values in words.values())))


def values_of(override: Override) -> list[str]:
    """An override for each value of a sweep."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    value, key = override.value(), override.get_key_element()
    if isinstance(value, Glob):
        files = sorted(file.stem for file in (CONFIGS / override.key_or_group).glob("*.yaml"))
        return [f"{key}={name}" for name in value.filter(files)]
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def require_one_run(given: Sequence[Override], grid: Sequence[Override]) -> None:
    for override in given:
        if override.is_sweep_override():
            raise UserError(f"{override.input_line}: several values; to run each of them, add -m")
    keys = {override.get_key_element() for override in given}
    missing = [key for override in grid if (key := override.get_key_element()) not in keys and override.is_sweep_override()]
    if missing:
        raise UserError(
            f"experiment={experiment_of(given)} is a grid over {', '.join(missing)}: add -m to run all of it, or give one "
            "value of each"
        )


# -- composing -----------------------------------------------------------------------------------------------------------


def checked(overrides: Sequence[Override]) -> TrainConfig:
    config = from_omegaconf(composed(overrides))
    check_together(config)
    check_game(config)
    return config


def composed(overrides: Sequence[Override]) -> DictConfig:
    """What Hydra's `compose` returns for these overrides, by way of a cache of the files that they choose."""
    words = [str(override.input_line) for override in overrides]
    values = [override for override in overrides if not chooses_file(override)]
    if any(override.type is not OverrideType.CHANGE for override in values):
        added = OmegaConf.to_container(composed_files(CONFIGS, *words), resolve=True)
        return cast(DictConfig, OmegaConf.merge(OmegaConf.structured(TrainConfig), added))  # which refuses an unknown key
    config = composed_files(CONFIGS, *(word for word, override in zip(words, overrides) if override not in values))
    config = copy.deepcopy(config)
    try:
        for override in values:
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
    except Exception:  # Hydra says what is wrong, and where
        return composed_files(CONFIGS, *words)
    return config


def chooses_file(override: Override) -> bool:
    """Whether an override changes the list of files, as `data=iris` and `mixup=erm` do and `mixup={alpha:1}` does not."""
    in_hydra = override.key_or_group.partition(".")[0] == "hydra"
    is_group = override.package is not None or (CONFIGS / override.key_or_group).is_dir()
    return in_hydra or (is_group and not isinstance(override.value(), dict))


@cache
def composed_files(folder: Path, *overrides: str) -> DictConfig:
    """Hydra's `compose`, of the files in `folder`. The same for many cells, hence the cache: not to be changed."""
    with initialize_config_dir(str(folder), version_base="1.3"):
        try:
            return compose("train", list(overrides))
        except AssertionError as error:  # OmegaConf's, of a value inside a section that is null
            raise UserError("gan: only a GAN has these settings; add data=ring model=gan") from error


# -- labels --------------------------------------------------------------------------------------------------------------


def task_of(cell: Sequence[Override], place: str) -> Task:
    config = checked(cell)
    label = label_of(config, experiment_of(cell))
    return Task(config, label, run_dir(config, label), place)


def experiment_of(overrides: Sequence[Override]) -> str:
    return next((str(override.value()) for override in reversed(overrides) if override.key_or_group == "experiment"), "none")


def label_of(config: TrainConfig, experiment: str) -> str:
    """In what a run differs from what its data, network and scale stand for in its experiment, or without one.

    In an experiment data and network stand in the label where they are not the experiment's own. Elsewhere the run's name
    has both, and the label has the scale.
    """
    frame = (f"experiment={experiment}", f"scale={config.scale}")
    label = run_label(config, usual(*frame, f"data={config.data.name}", f"model={config.model.name}"))
    if experiment == "none":
        return label if config.scale == "paper" else f"scale={config.scale},{label}"
    own = usual(*frame)
    names = {"data": (config.data.name, own.data.name), "model": (config.model.name, own.model.name)}
    return ",".join([*(f"{group}={name}" for group, (name, usually) in names.items() if name != usually), label])


@cache
def usual(*choices: str) -> TrainConfig:
    return configuration(choices)
