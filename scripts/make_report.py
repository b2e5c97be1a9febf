"""Makes results/report.html from the committed evidence: tables, figures and every run, on one page without the network."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from mixup.errors import UserError
from mixup.ledger.evidence import Evidence
from mixup.ledger.paper import read_paper
from mixup.ledger.redo import experiments, recipes
from mixup.pages.build import PAPER, write_report
from mixup.run import identity as naming
from mixup.run.compose import CONFIGS, configuration
from mixup.run.config import leaves

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
CHOICES = ("data", "model", "recipe")  # of a sweep's groups, those that are told where a run has another
METHOD = {"method": ("mixup.alpha", "model.dropout"), "experiment/figure5": ("mixup.alpha", "gan.game")}  # what groups set
UNTOLD = {*naming.NOT_HASHED, "seed", "data.seed"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, help="the evidence (default runs/ below --out)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of report.html (default results)")
    parser.add_argument("--allow-dirty", action="store_true", help="also runs of a tree with uncommitted changes")
    options = parser.parse_args()
    try:
        return write_report(
            runs=options.runs or options.out / "runs",
            results=options.out,
            allow_dirty=options.allow_dirty,
            recipes=recipes(read_paper(PAPER)),
            differences=differences,
        )
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


# -- what a run has that its recipe has not ------------------------------------------------------------------------------


def differences(run: Evidence) -> list[tuple[str, str, str]] | None:
    """Setting, here, there: of the recipes that the run's experiment has at the paper's scale, the nearest. What it varies
    is no difference, but data and net are. None where it has none."""
    recipes = sweep_recipes(sweep_of(run)) or plain_recipes(run.settings["data.name"], run.settings["model.name"])
    return min((differing(run.settings, *recipe) for recipe in recipes), key=len, default=None)


def differing(here: dict[str, Any], there: dict[str, Any], varied: Collection[str]) -> list[tuple[str, str, str]]:
    told = [key for key in here if key not in UNTOLD and key not in varied and key.partition(".")[0] not in varied]
    return [(key, shown(here[key]), shown(there.get(key))) for key in told if here[key] != there.get(key)]


def shown(value: Any) -> str:
    return "-" if value is None else str(value)


def sweep_of(run: Evidence) -> str:
    """The file in configs/experiment that the run was asked for by; table 1 has two."""
    words = [word.partition("=") for word in run.record["environment"]["command"]]
    asked = [name for key, _, name in words if key == "experiment" and name in experiments()]
    return asked[-1] if asked else run.file.parent.name.removesuffix(f"-{run.settings['scale']}")


@cache
def sweep_recipes(sweep: str) -> list[tuple[dict[str, Any], Collection[str]]]:
    """The settings of each pair of data and net in a sweep, and what else it varies; none where there is no such sweep."""
    if sweep not in experiments():
        return []
    body = yaml.safe_load((CONFIGS / "experiment" / f"{sweep}.yaml").read_text())
    params = {key: str(values) for key, values in body["hydra"]["sweeper"]["params"].items()}
    chosen = [[f"{group}={value}" for value in params[group].split(",")] for group in CHOICES if group in params]
    varied = [
        *(key for key in params if key not in CHOICES),
        *(key for group in METHOD if group in params for key in METHOD[group]),
    ]
    return [(dict(leaves(configuration([f"experiment={sweep}", *words]))), varied) for words in product(*chosen)]


@cache
def plain_recipes(data: str, model: str) -> list[tuple[dict[str, Any], Collection[str]]]:
    """Of a run outside experiments: how its net is trained on its data, where the configuration still has both."""
    try:
        return [(dict(leaves(configuration([f"data={data}", f"model={model}"]))), ())]
    except (UserError, HydraException, OmegaConfBaseException):
        return []


if __name__ == "__main__":
    sys.exit(main())
