"""Makes results/report.html from the committed evidence: tables, figures and every run, on one page without the network."""

from __future__ import annotations

import argparse
import sys
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from mixup import gan_command_line, gan_config, naming
from mixup.command_line import configuration
from mixup.config import leaves
from mixup.errors import UserError
from mixup.evidence import Evidence, read_evidence
from mixup.figures import all_pictures
from mixup.files import write_atomic
from mixup.overview import generated, ledger
from mixup.page import page
from mixup.paper import read_paper
from mixup.reproduction import SWEEPS, recipes

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
UNTOLD = {*naming.BYSTANDERS, *gan_config.BYSTANDERS, "seed", "data.seed"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=RESULTS / "runs", help="the evidence (default results/runs)")
    parser.add_argument("--out", type=Path, default=RESULTS / "report.html", help="default results/report.html")
    parser.add_argument("--allow-dirty", action="store_true", help="also runs of a tree with uncommitted changes")
    options = parser.parse_args()
    try:
        paper, evidence = read_paper(RESULTS / "paper.yaml"), read_evidence(options.runs)
        tables = generated(ledger(paper, evidence, recipes(paper), allow_dirty=options.allow_dirty))
        pictures = all_pictures(evidence, paper, curves=RESULTS)
        template = (ROOT / "scripts" / "report_template.html").read_text()
        text = page(template, tables=tables, evidence=evidence, pictures=pictures, differences=differences)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(options.out, text.encode())
    print(f"wrote {options.out}: {len(evidence)} runs, {len(pictures)} figures, {len(text) / 1e6:.1f} MB")
    return 0


# -- what a run has that its recipe has not ------------------------------------------------------------------------------


def differences(run: Evidence) -> list[tuple[str, str, str]] | None:
    """Setting, here, there; of the recipes that an experiment has for the run's data and net, the one that is nearest."""
    found = [differing(run.settings, there) for there in papers_scale(*place_of(run))]
    return min(found, key=len, default=None)


def differing(here: dict[str, Any], there: dict[str, Any]) -> list[tuple[str, str, str]]:
    keys = [key for key in here if key not in UNTOLD and here[key] != there.get(key)]
    return [(key, shown(here[key]), shown(there.get(key))) for key in keys]


def shown(value: Any) -> str:
    return "-" if value is None else str(value)


def place_of(run: Evidence) -> tuple[str, str, str]:
    name = run.file.parent.name.removesuffix(f"-{run.settings['scale']}")
    return name, run.settings["data" if run.is_gan else "data.name"], run.settings.get("model.name", "")


@cache
def papers_scale(experiment: str, data: str, model: str) -> list[dict[str, Any]]:
    """The settings of this project's recipes at the paper's scale; none for what the configuration has no longer."""
    if not model:
        (task,) = gan_command_line.planned([f"data={data}"], multirun=False)
        return [dict(leaves(task.config))]
    found = []
    for sweep in SWEEPS.get(experiment, (experiment,)):
        known = (ROOT / "configs" / "experiment" / f"{sweep}.yaml").exists()
        framed = [*([f"experiment={sweep}"] if known else []), f"data={data}", f"model={model}"]
        try:
            found.append(dict(leaves(configuration(framed))))
        except (UserError, HydraException, OmegaConfBaseException):
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
