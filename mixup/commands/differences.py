"""How a run differs from the recipe of its experiment, for the report."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from mixup.commands.redo import experiments, grid
from mixup.errors import UserError
from mixup.ledger.cells import NOT_COUNTED
from mixup.ledger.evidence import Evidence
from mixup.run.compose import configuration
from mixup.run.config import leaves

COUNTED = ("data", "model", "recipe")  # swept groups whose settings count as differences
SET_BY = {"method": ("mixup.alpha", "model.dropout"), "experiment/figure5": ("mixup.alpha", "gan.game")}  # by swept groups

Recipe = tuple[Mapping[str, Any], Collection[str]]
"""Settings by dotted key, and the keys or sections that its experiment varies."""


def differences(run: Evidence) -> list[tuple[str, str, str]] | None:
    """Setting, value of the run, value of the recipe: for the nearest recipe of the run's experiment at the paper's scale.
    What the experiment varies does not count, except data and net. None where there is no recipe."""
    recipes = grid_recipes(experiment_of(run)) or plain_recipes(run.settings["data.name"], run.settings["model.name"])
    return min((differing(run.settings, *recipe) for recipe in recipes), key=len, default=None)


def differing(ours: Mapping[str, Any], recipe: Mapping[str, Any], varied: Collection[str]) -> list[tuple[str, str, str]]:
    counted = [key for key in ours if key not in NOT_COUNTED and not {key, key.partition(".")[0]} & {*varied}]
    return [(key, shown(ours[key]), shown(recipe.get(key))) for key in counted if ours[key] != recipe.get(key)]


def shown(value: Any) -> str:
    return "-" if value is None else str(value)


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
