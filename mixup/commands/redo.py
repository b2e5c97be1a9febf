"""Which commands redo a number: from a row of the paper to the cell of this project's grid that stands for it; and how a run
differs from that."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from mixup.errors import UserError, suggestion
from mixup.ledger.cells import NOT_COUNTED, Settings, counted
from mixup.ledger.comparable import Recipes, corresponding
from mixup.ledger.evidence import Evidence
from mixup.ledger.names import experiments
from mixup.ledger.paper import Experiment, mismatches
from mixup.run.compose import configuration, expanded, parsed, sweeper_params
from mixup.run.config import TrainConfig
from mixup.run.conversions import leaves

# Experiments in `configs/experiment` that an experiment of the paper takes, where that is not the one of its name.
SWEEPS = {"table1_imagenet": ("table1_imagenet", "table1_imagenet_200"), "figure3b_curve": ("figure3_cifar10",)}

Command = list[str]


@dataclass(frozen=True)
class GridCell:
    """A cell of a sweep: the overrides that choose it, its seeds with commas between, its configuration at one seed."""

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
    choice = chosen(experiment, scale)
    params = dict(line.split("=", 1) for line in sweeper_params(parsed(choice)))
    seeds = ",".join(str(seed.value()) for (seed,) in expanded(parsed([f"seed={params.pop('seed', '0')}"])))
    cells = expanded(parsed([f"{key}={value}" for key, value in params.items()]))
    words = [tuple(str(override.input_line) for override in cell) for cell in cells]
    return tuple(GridCell(experiment, cell, seeds, configuration([*cell, *choice])) for cell in words)


def chosen(experiment: str, scale: str) -> list[str]:
    return [f"experiment={experiment}", *([] if scale == "paper" else [f"scale={scale}"])]


def cells_by_row(paper: Experiment, scale: str) -> dict[str, GridCell]:
    """The cell of each row that has one. At the paper's scale it has all the row's settings, at another the nearest."""
    cells_of: dict[str, GridCell] = {}
    for sweep in SWEEPS.get(paper.name, (paper.name,)):
        cells = {str(number): cell for number, cell in enumerate(grid(sweep, scale))}
        if scale == "paper":
            rows = {
                row.id: next((cell for cell in cells.values() if not mismatches(cell.settings, row.settings)), None)
                for row in paper.rows
            }
            cells_of |= {id: cell for id, cell in rows.items() if cell is not None}
        else:
            nearest = corresponding({name: cell.settings for name, cell in cells.items()}, paper.rows)
            cells_of |= {row.id: cells[name] for name, (row, _) in nearest.items() if row.id not in cells_of}
    return cells_of


def recipes(paper: Mapping[str, Experiment]) -> Recipes:
    """For `verdicts.judge`. Each experiment is composed when its first row is asked for, which takes seconds."""

    @cache
    def by_row(name: str) -> dict[str, dict[str, Any]]:
        return {id: cell.settings for id, cell in cells_by_row(paper[name], "paper").items()}

    return lambda name, row: by_row(name).get(row)


def planned_seeds(experiment: str, settings: Settings) -> frozenset[int]:
    """For `verdicts.build`: of the experiment's grid at the scale of these settings, whichever of its sweeps has them."""
    sweeps = SWEEPS.get(experiment, (experiment,)) if experiment in experiments() else ()
    cells = [cell for sweep in sweeps for cell in grid(sweep, settings["scale"])]
    seeds = next((cell.seeds for cell in cells if counted(cell.settings) == counted(settings)), "")
    return frozenset(int(seed) for seed in seeds.split(",") if seed)


# -- commands ------------------------------------------------------------------------------------------------------------


def full_name(beginning: str, paper: Mapping[str, Experiment]) -> str:
    """The experiment of the paper, or of `configs/experiment`, that has this name, or that alone begins so. UserError with
    the names that come near where there is none, or more than one."""
    names = list(dict.fromkeys([*paper, *experiments()]))
    candidates = [name for name in names if name.startswith(beginning)]
    if beginning in names or len(candidates) == 1:
        return beginning if beginning in names else candidates[0]
    if candidates:
        raise UserError(f"{beginning} is the beginning of {', '.join(candidates)}: name one of them")
    nearest = suggestion(beginning, names) or f"; there are {', '.join(names)}"
    raise UserError(f"{beginning}: no such experiment{nearest}")


def commands_of_row(paper: Experiment, id: str, scale: str) -> list[Command]:
    """UserError for a row that is not there, or that no sweep of ours has."""
    ids = [row.id for row in paper.rows]
    if id not in ids:
        nearest = suggestion(id, ids) or f"; there are {', '.join(ids)}"
        raise UserError(f"--row {id}: no such row{nearest if ids else f': {paper.name} prints no numbers, leave out --row'}")
    cell = cells_by_row(paper, scale).get(id)
    if cell is None:
        why = f" ({paper.row(id).note})" if paper.row(id).note else ""
        at = "" if scale == "paper" else f" scale={scale}"
        raise UserError(f"--row {id}{why}: the grid of experiment={paper.name}{at} has no cell of it")
    if cell.config.evaluate == "attacks":  # whose black box takes the other nets, too
        return commands(paper.name, scale)
    train = ["train.py", "-m", *chosen(cell.experiment, scale), *cell.overrides, f"seed={cell.seeds}"]
    return [["python", *train], *commands_after(cell.config.name)]


def commands(name: str, scale: str) -> list[Command]:
    """Redo a whole experiment; what has finished is not run again."""
    sweeps = SWEEPS.get(name, (name,))
    folders = [configuration(chosen(sweep, scale)).name for sweep in sweeps]
    return [["python", "train.py", "-m", *chosen(sweep, scale)] for sweep in sweeps] + commands_after(*folders)


def commands_after(*folders: str) -> list[Command]:
    script, below = ["python", "scripts/ledger.py"], [f"runs/{folder}" for folder in dict.fromkeys(folders)]
    return [[*script, "collect", *below], [*script, "tables"]]


# -- differences from the recipe, for the report ---------------------------------------------------------------------------

COUNTED = ("data", "model", "recipe")  # swept groups whose settings count as differences
SET_BY = {  # what a swept group sets
    "experiment/table2": ("mixup.alpha", "model.dropout"),
    "experiment/figure5": ("mixup.alpha", "gan.game"),
}

Recipe = tuple[Mapping[str, Any], Collection[str]]
"""Settings by dotted key, and the keys or sections that its experiment varies."""


def differences(run: Evidence) -> list[tuple[str, str, str]] | None:
    """Setting, value of the run, value of the recipe: for the nearest recipe of the run's experiment at the paper's scale.
    What the experiment varies does not count, except data and net. None where there is no recipe."""
    recipes = grid_recipes(experiment_of(run)) or plain_recipes(run.settings["data.name"], run.settings["model.name"])
    return min((differing(run.settings, *recipe) for recipe in recipes), key=len, default=None)


def differing(ours: Mapping[str, Any], recipe: Mapping[str, Any], varied: Collection[str]) -> list[tuple[str, str, str]]:
    pairs = {
        key: ["-" if value is None else str(value) for value in (ours[key], recipe.get(key))]
        for key in ours
        if key not in NOT_COUNTED and not {key, key.partition(".")[0]} & {*varied} and ours[key] != recipe.get(key)
    }
    return [(key, here, there) for key, (here, there) in pairs.items()]


def experiment_of(run: Evidence) -> str:
    """The file in configs/experiment that the run's command names; table 1 has two."""
    words = [word.partition("=") for word in run.record["environment"]["command"]]
    named = [name for key, _, name in words if key == "experiment" and name in experiments()]
    return named[-1] if named else run.file.parent.name.removesuffix(f"-{run.settings['scale']}")


@cache
def grid_recipes(experiment: str) -> list[Recipe]:
    """One for each choice of data, net and recipe in the experiment's grid; none where there is no such experiment."""
    recipes: dict[tuple[str, ...], Recipe] = {}
    for cell in grid(experiment, "paper") if experiment in experiments() else ():
        groups = {override: override.partition("=")[0] for override in cell.overrides}
        varied = [group for group in groups.values() if group not in COUNTED]
        choice = tuple(override for override, group in groups.items() if group in COUNTED)
        recipes.setdefault(choice, (cell.settings, [*varied, *(key for group in varied for key in SET_BY.get(group, ()))]))
    return list(recipes.values())


@cache
def plain_recipes(data: str, model: str) -> list[Recipe]:
    """For a run outside experiments: how its net is trained on its data, where the configuration still has both."""
    try:
        return [(dict(leaves(configuration([f"data={data}", f"model={model}"]))), ())]
    except (UserError, HydraException, OmegaConfBaseException):
        return []
