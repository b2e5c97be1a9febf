"""From overrides to checked configurations: one run, or every cell of a grid, each with its label and directory.

Every cell is composed and checked before the first one trains, so that a mistake in the last one is found at once. Hydra
composes once for each combination of files that the cells choose; their other settings are then set one by one.
"""

import copy
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from hydra import compose
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Glob, Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mixup.errors import UserError
from mixup.run.checks import check_game, check_own, check_together, check_values
from mixup.run.config import TrainConfig
from mixup.run.conversions import from_omegaconf, leaves, text_settings
from mixup.run.identity import run_dir, run_label
from mixup.run.overrides import NOT_HYDRAS, for_shell, parsed
from mixup.run.places import CONFIGS
from mixup.run.sources import OURS, Sources, folders, opened

SCHEMA = OmegaConf.structured(TrainConfig)
OmegaConf.set_struct(SCHEMA.sweep.job, False)  # takes every key
ConfigStore.instance().store(name="schema", node=SCHEMA)


MOST_RUNS = 10_000  # of one sweep, which is composed before the first run starts: 100 a second


@dataclass(frozen=True)
class Task:
    """One run: its configuration, its label, its directory, and its place in a grid, such as `[3/12] `."""

    config: TrainConfig
    label: str
    folder: Path
    place: str = ""


def planned(words: Sequence[str], *, multirun: bool, sources: Sources = OURS) -> list[Task]:
    """The runs that a command line stands for. UserError for several runs where `multirun` is false."""
    given = parsed(words)
    grid = parsed(sweeper_params(given, sources))
    if not multirun:
        require_one_run(given, grid)
    cells = expanded([*grid, *given], sources)
    tasks = [task_of(cell, f"[{number}/{len(cells)}] " if multirun else "", sources) for number, cell in enumerate(cells, 1)]
    require_folders(tasks)
    return tasks


def configuration(words: Sequence[str]) -> TrainConfig:
    """The configuration of one run, without the grid of its experiment; for scripts and tests."""
    return checked(parsed(words), OURS)


# -- grids ---------------------------------------------------------------------------------------------------------------


def sweeper_params(given: Sequence[Override], sources: Sources = OURS) -> list[str]:
    """The grid of the experiment, as overrides that the command line's follow."""
    places = searched(given, sources)
    files = [override for override in given if chooses_file(override, places)]
    words = [str(override.input_line) for override in files if not override.is_sweep_override()]
    hydra = composed_files(sources, *words, with_hydra=True).hydra
    if hydra.job.chdir or hydra.runtime.choices["hydra/launcher"] != "basic":  # of a file: `parsed` has seen the words
        raise UserError(
            f"hydra.job.chdir and hydra/launcher have no effect here; {NOT_HYDRAS['run']}, {NOT_HYDRAS['launcher']}"
        )
    return [f"{key}={value}" for key, value in (hydra.sweeper.params or {}).items()]


def searched(given: Sequence[Override], sources: Sources) -> tuple[Path, ...]:
    """The folders in which Hydra looks for a file."""
    searchpath = [override.value() for override in given if override.key_or_group == "hydra.searchpath"]
    return folders(sources, str(searchpath[-1]) if searchpath else None)


def expanded(overrides: Sequence[Override], sources: Sources = OURS) -> list[tuple[Override, ...]]:
    """Every cell of a grid, the last key varying fastest. A later override of a key takes the place of an earlier one."""
    words: dict[str, list[str]] = {}
    places = searched(overrides, sources)
    for override in overrides:
        words[override.get_key_element()] = values_of(override, places)
    if (count := math.prod(map(len, words.values()))) > MOST_RUNS:
        raise UserError(f"a grid of {count:,} runs is too large: give fewer values, at most {MOST_RUNS:,} combinations")
    return list(itertools.product(*(parsed(values) for values in words.values())))


def values_of(override: Override, places: Sequence[Path]) -> list[str]:
    """An override for each value of a sweep. UserError where there is none."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    value, key = override.value(), override.get_key_element()
    if isinstance(value, Glob):
        names = {file.stem for place in places for file in (place / override.key_or_group).glob("*.yaml")}
        values = [f"{key}={name}" for name in value.filter(sorted(names))]
    elif override.is_interval_sweep():
        raise UserError(f"{override.input_line}: an interval does not say which values to run; list them, as key=0.1,0.2")
    else:
        values = [f"{key}={value}" for value in itertools.islice(override.sweep_string_iterator(), MOST_RUNS + 1)]
    if not 1 <= len(values) <= MOST_RUNS:
        raise UserError(f"{override.input_line}: {'too many' if values else 'no'} values to run; give 1 to {MOST_RUNS:,}")
    return values


def require_one_run(given: Sequence[Override], grid: Sequence[Override]) -> None:
    for override in given:
        if override.is_sweep_override():
            key, _, value = str(override.input_line).partition("=")
            text = f"; for one text with a comma, write {for_shell(key, value)}" if key in text_settings() else ""
            raise UserError(f"{override.input_line}: several values; to run each of them, add -m{text}")
    keys = {override.get_key_element() for override in given}
    missing = [key for override in grid if (key := override.get_key_element()) not in keys and override.is_sweep_override()]
    if missing:
        raise UserError(
            f"experiment={experiment_of(given)} is a grid over {', '.join(missing)}: add -m to run all of it, or give one "
            "value of each"
        )


def experiment_of(overrides: Sequence[Override]) -> str:
    return next((str(override.value()) for override in reversed(overrides) if override.key_or_group == "experiment"), "none")


def require_folders(tasks: Sequence[Task]) -> None:
    """UserError for two cells of a grid that are different and would have one folder."""
    first: dict[Path, TrainConfig] = {}
    for task in tasks:
        before, now = leaves(first.setdefault(task.folder, task.config)), leaves(task.config)
        keys = [key for (key, value), (_, other) in zip(before, now) if value != other]
        if keys:
            raise UserError(
                f"{' and '.join(keys)}: no part of what makes a run another run, so that the cells of this grid would have "
                "one folder; give one value"
            )


# -- composing -----------------------------------------------------------------------------------------------------------


def checked(overrides: Sequence[Override], sources: Sources) -> TrainConfig:
    """The configuration of one cell. UserError for a value, or for values together, that cannot be trained."""
    config = from_omegaconf(composed(overrides, sources))
    check_values(config)
    check_together(config)
    check_own(config)
    check_game(config)
    return config


def composed(overrides: Sequence[Override], sources: Sources = OURS) -> DictConfig:
    """What Hydra's `compose` returns for these overrides, by way of a cache of the files that they choose."""
    words, places = [str(override.input_line) for override in overrides], searched(overrides, sources)
    values = [override for override in overrides if not chooses_file(override, places)]
    if any(override.type is not OverrideType.CHANGE for override in values):
        return typed(composed_files(sources, *words))
    config = composed_files(sources, *(word for word, override in zip(words, overrides) if override not in values))
    config = copy.deepcopy(config)
    try:
        for override in values:
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
    except Exception:  # Hydra says what is wrong, and where
        return composed_files(sources, *words)
    return config if OmegaConf.get_type(config) is TrainConfig else typed(config)


def typed(config: DictConfig) -> DictConfig:
    """As the schema has it, which refuses an unknown key."""
    values = OmegaConf.to_container(config, resolve=True)
    return cast(DictConfig, OmegaConf.merge(OmegaConf.structured(TrainConfig), values))


def chooses_file(override: Override, places: Sequence[Path]) -> bool:
    """Whether an override changes the list of files, as `data=iris` and `mixup=erm` do and `mixup={alpha:1}` does not.
    places: the folders in which Hydra looks for files."""
    in_hydra = override.key_or_group.partition(".")[0] == "hydra"
    is_group = override.package is not None or any((place / override.key_or_group).is_dir() for place in places)
    return in_hydra or (is_group and not isinstance(override.value(), dict))


@cache
def composed_files(sources: Sources, *words: str, with_hydra: bool = False) -> DictConfig:
    """Hydra's `compose`. The same for many cells, hence the cache: not to be changed."""
    with opened(sources):
        try:
            return compose(sources.name, list(words), return_hydra_config=with_hydra)
        except (HydraException, OmegaConfBaseException, YAMLError):
            raise
        except Exception as error:  # neither library has a message for it
            if any(word.lstrip("+").startswith("gan") for word in words):  # a value inside a section that is null
                raise UserError("gan: only a GAN has these settings; add data=ring model=gan") from error
            what = str(error).partition("\n")[0]
            raise UserError(
                f"{' '.join(words)}: cannot be composed ({what}); python train.py --help lists the choices"
            ) from error


# -- labels --------------------------------------------------------------------------------------------------------------


def task_of(cell: Sequence[Override], place: str, sources: Sources) -> Task:
    config = checked(cell, sources)
    label = label_of(config)
    return Task(config, label, run_dir(config, label), place)


def label_of(config: TrainConfig) -> str:
    """In what a run differs from what its data, network and scale stand for in its experiment, or without one.

    The experiment is that of the run's name. In it data and network stand in the label where they are not the experiment's
    own. Elsewhere the run's name has both, and the label has the scale. Own files of the user's never count as usual: one
    configuration has one label, by whichever files it came to be.
    """
    named = config.name.removesuffix(f"-{config.scale}")
    experiment = named if named != "none" and (CONFIGS / "experiment" / f"{named}.yaml").is_file() else "none"
    frame = (f"experiment={experiment}", f"scale={config.scale}")
    label = run_label(config, usual(*frame, f"data={config.data.name}", f"model={config.model.name}"))
    if experiment == "none":
        return label if config.scale == "paper" else f"scale={config.scale},{label}"
    own = usual(*frame)
    names = {"data": (config.data.name, own.data.name), "model": (config.model.name, own.model.name)}
    return ",".join([*(f"{group}={name}" for group, (name, usually) in names.items() if name != usually), label])


@cache
def usual(*choices: str) -> TrainConfig:
    return from_omegaconf(composed_files(OURS, *choices))
