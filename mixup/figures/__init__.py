"""Figures from the committed evidence alone: which there are, in `all_pictures`, and which there could be.

`groups` says which runs belong together, `ink` how figures look; the others draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mixup.figures.attacks import attacks
from mixup.figures.bars import alpha_sweep, noise_bars
from mixup.figures.between import between
from mixup.figures.calibration import calibration
from mixup.figures.curves import figure3b, learning_curves
from mixup.figures.gan import gan_pictures
from mixup.figures.groups import Sheet, sheets
from mixup.figures.picture import Picture
from mixup.figures.surface import surfaces
from mixup.ledger.evidence import Evidence
from mixup.ledger.paper import Experiment

__all__ = ["WANTED", "Picture", "all_pictures", "missing"]

TRAIN = "python train.py -m experiment={}"
WANTED = {  # the start of a picture's name -> the command that makes its runs
    "figure1_toy": TRAIN.format("figure1_toy"),
    "figure2_between": TRAIN.format("figure2_between"),
    "figure3b_curve": TRAIN.format("figure3_cifar10"),
    "figure5_gan": TRAIN.format("figure5_gan"),
    "figure5_gan-modes": TRAIN.format("figure5_gan"),
    "table2_label_noise-bars": TRAIN.format("table2_label_noise"),
    "table3_adversarial-attacks": TRAIN.format("table3_adversarial"),
    "alpha_sweep-alpha": TRAIN.format("alpha_sweep"),
    "report_card-calibration": TRAIN.format("report_card"),
}


def all_pictures(evidence: Sequence[Evidence], paper: Mapping[str, Experiment], *, curves: Path) -> list[Picture]:
    """Every figure that the evidence is enough for, by experiment. curves: the folder of the paper's digitised curves."""
    found = []
    for sheet in sheets(evidence):
        found += of_sheet(sheet, paper, curves)
    return [*found, *gan_pictures(evidence)]


def of_sheet(sheet: Sheet, paper: Mapping[str, Experiment], curves: Path) -> list[Picture]:
    return [
        *surfaces(sheet),
        *between(sheet, paper, curves),
        *figure3b(sheet, paper),
        *noise_bars(sheet, paper),
        *alpha_sweep(sheet, paper),
        *attacks(sheet, paper),
        *calibration(sheet),
        *learning_curves(sheet, paper),
    ]


def missing(pictures: Sequence[Picture]) -> dict[str, str]:
    """The wanted ones that are not there, with the command for the runs that they need."""
    stems = {picture.name.rpartition("-")[0] for picture in pictures}
    return {name: command for name, command in WANTED.items() if name not in stems}
