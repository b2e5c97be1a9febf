"""Which commands redo a number: from a row of the paper to the cell of this project's grid that stands for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

from mixup.errors import UserError, suggestion
from mixup.ledger.comparable import Recipes, corresponding
from mixup.ledger.paper import Experiment, Row
from mixup.run.compose import CONFIGS, configuration
from mixup.run.config import TrainConfig, from_omegaconf, leaves

# Experiments in `configs/experiment` that an experiment of the paper takes, where that is not the one of its name.
SWEEPS = {"table1_imagenet": ("table1_imagenet", "table1_imagenet_200"), "figure3b_curve": ("figure3_cifar10",)}

Command = list[str]


@dataclass(frozen=True)
class GridCell:
    """A cell of a sweep: the overrides that choose it, its seeds as the sweep writes them, its configuration at one seed."""

    experiment: str
    overrides: tuple[str, ...]
    seeds: str
    config: TrainConfig

    @property
    def settings(self) -> dict[str, Any]:
        return dict(leaves(self.config))


@cache
def grid(experiment: str, scale: str) -> tuple[GridCell, ...]:
    """Every cell of an experiment's sweep, composed and checked."""
    asked = framed(experiment, scale)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        whole = loader.load_configuration("train", asked, run_mode=RunMode.MULTIRUN)
        params = dict((whole.hydra.sweeper.params or {}).items())
        seeds = str(params.pop("seed", "0"))
        words = [*(f"{key}={value}" for key, value in params.items()), *asked]
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(words)
        (batch,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
        return tuple(
            GridCell(
                experiment,
                tuple(word for word in cell if word not in asked),
                seeds,
                from_omegaconf(compose("train", list(cell))),
            )
            for cell in batch
        )


def framed(experiment: str, scale: str) -> list[str]:
    return [f"experiment={experiment}", *([] if scale == "paper" else [f"scale={scale}"])]


def cells_by_row(paper: Experiment, scale: str) -> dict[str, GridCell]:
    """The cell of each row that has one. At the paper's scale it has all the row's settings, at another the nearest."""
    found: dict[str, GridCell] = {}
    for sweep in SWEEPS.get(paper.name, (paper.name,)):
        cells = {str(number): cell for number, cell in enumerate(grid(sweep, scale))}
        if scale == "paper":
            rows = {row.id: next((cell for cell in cells.values() if fits(cell, row)), None) for row in paper.rows}
            found |= {id: cell for id, cell in rows.items() if cell is not None}
        else:
            likes = corresponding({name: cell.settings for name, cell in cells.items()}, paper.rows)
            found |= {row.id: cells[name] for name, (row, _) in likes.items() if row.id not in found}
    return found


def fits(cell: GridCell, row: Row) -> bool:
    return all(cell.settings[key] == value for key, value in row.settings.items())


def recipes(paper: Mapping[str, Experiment]) -> Recipes:
    """For `verdicts.judge`: composed when first asked for, which takes seconds."""

    @cache
    def of(name: str) -> dict[str, dict[str, Any]]:
        return {id: cell.settings for id, cell in cells_by_row(paper[name], "paper").items()}

    return lambda name, row: of(name).get(row)


# -- commands ------------------------------------------------------------------------------------------------------------


def experiments() -> list[str]:
    """The names in `configs/experiment`."""
    return sorted(file.stem for file in (CONFIGS / "experiment").glob("*.yaml") if file.stem != "none")


def known(name: str, paper: Mapping[str, Experiment]) -> str:
    """The whole name, of which a beginning is enough. UserError for what is neither an experiment of the paper nor one of
    `configs/experiment`."""
    names = list(dict.fromkeys([*paper, *experiments()]))
    begun = [one for one in names if one.startswith(name)]
    if name not in names and len(begun) == 1:
        return begun[0]
    if name not in names:
        raise UserError(f"{name}: no such experiment{suggestion(name, names)}; there are {', '.join(names)}")
    return name


def commands_of_row(paper: Experiment, id: str, scale: str) -> list[Command]:
    """UserError for a row that is not there, or that no sweep of ours has."""
    ids = [row.id for row in paper.rows]
    if id not in ids:
        listed = f"; there are {', '.join(ids)}" if ids else f": {paper.name} prints no numbers, leave --row away"
        raise UserError(f"--row {id}: no such row{suggestion(id, ids)}{listed}")
    cell = cells_by_row(paper, scale).get(id)
    if cell is None:
        why = f" ({paper.row(id).note})" if paper.row(id).note else ""
        at = "" if scale == "paper" else f" scale={scale}"
        raise UserError(f"--row {id}{why}: the grid of experiment={paper.name}{at} has no cell of it")
    if cell.config.evaluate == "attacks":  # whose black box takes the other nets, too
        return commands(paper.name, scale)
    train = ["train.py", "-m", *framed(cell.experiment, scale), *cell.overrides, f"seed={cell.seeds}"]
    return [["python", *train], *commands_after(cell.config.name)]


def commands(name: str, scale: str) -> list[Command]:
    """Redo a whole experiment; what has finished is not run again."""
    sweeps = SWEEPS.get(name, (name,))
    folders = [configuration(framed(sweep, scale)).name for sweep in sweeps]
    return [["python", "train.py", "-m", *framed(sweep, scale)] for sweep in sweeps] + commands_after(*folders)


def commands_after(*folders: str) -> list[Command]:
    below: Sequence[str] = [f"runs/{folder}" for folder in dict.fromkeys(folders)]
    return [["python", "scripts/collect.py", *below], ["python", "scripts/make_tables.py"]]
