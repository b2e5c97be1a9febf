"""Figure 5: what the generators of ERM's and mixup's GANs make, iteration by iteration, and how many modes they cover."""

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mixup.figures.curves import Column, curves_picture
from mixup.figures.panels import dots
from mixup.figures.sheets import Sheet, seeds
from mixup.figures.style import COLOURS, Picture
from mixup.ledger.evidence import Evidence
from mixup.ledger.metrics import MODES

REAL, FAKE = COLOURS["mixup"], "#e07b1a"  # blue and orange, as in the paper
WINDOW = 1.25
DRAWN = 120  # samples a panel: more hide each other
COVERED = (
    "Mean and range over seeds, of 1,000 samples. A sample is good within 3 standard deviations of a mode; a mode is "
    "covered by a tenth of an equal share of the samples, all of them good."
)


def gan_pictures(sheet: Sheet) -> list[Picture]:
    """Samples, and modes covered and good samples over the iterations, with the short names of the data sets."""
    short = {cells[0].settings["data.name"]: cells for cells in sheet.panels.values()}
    sheet = replace(sheet, panels=short) if len(short) == len(sheet.panels) else sheet
    note = f"{described(sheet)}, {seeds(sheet.cells)}. {COVERED}"
    columns = [Column("test_modes", "modes covered", -0.4), Column("test_good_share", "good samples (%)", -3)]
    title, says = (
        "Figure 5: modes covered over the iterations",
        (
            "mixup's GANs should cover more modes than ERM's, and go on covering them. In the end they cover, as means over "
            f"seeds, {covered(sheet)}. The paper's reason: a smoother discriminator gives the generator steady gradients."
        ),
    )
    return [*gan_samples(sheet), curves_picture(sheet, "modes", title, note, columns, x="step", says=says)]


def covered(sheet: Sheet) -> str:
    """`of the ring's 8 modes: 0.0 (ERM), ...`, what each method covers in the end."""
    words = []
    for title, cells in sheet.panels.items():
        modes = cells[0].first.record["data"]["modes"]
        each = [f"{fmean(cell.values(MODES).values()):.1f} ({sheet.name(cell)})" for cell in cells]
        words.append(f"of the {title}'s {modes} modes {', '.join(each)}")
    return "; ".join(words)


def gan_samples(sheet: Sheet) -> list[Picture]:
    """Samples of the lowest seed that has them: a row a data set and method, a column a snapshot."""
    named = {f"{title}, {sheet.name(cell)}": cell.runs for title, cells in sheet.panels.items() for cell in cells}
    sampled = [(name, run) for name, runs in named.items() for run in runs if run.samples.exists()]
    rows = [("", (name, run)) for name, run in sampled if run.seed == min(run.seed for _, run in sampled)]
    if not rows:
        return []
    steps = sorted({step for _, (_, run) in rows for step in run.settings["gan.snapshots"]})
    note = (
        f"{described(sheet)}, seed {rows[0][1][1].seed}. Orange: what the generator makes; blue: the data's modes. "
        "Below each panel: modes covered, by 1,000 samples."
    )

    def draw_row(places: Sequence[Axes], row: tuple[str, Evidence]) -> None:
        places[0].set_ylabel(textwrap.fill(row[0], 17), fontsize=11)
        draw_snapshots(places, steps, row[1])
        if row == rows[0][1]:
            for step, axes in zip(steps, places):
                axes.set_title(f"iteration {step:,}", fontsize=11, loc="center")

    heading, says = (
        "Figure 5: samples of the generator over the iterations",
        (
            "Orange should come to lie on blue, on all of it, and mixup's sooner than ERM's. Under each panel is what one "
            "seed covers; the picture below has all seeds. ERM's discriminator can tell the two apart perfectly, and then "
            "no longer says which way to go."
        ),
    )
    options: dict[str, Any] = {"heading": heading, "says": says, "height": 1.95}
    return [sheet.rows_picture("", "Figure 5", note, rows, len(steps), draw_row, **options)]


def described(sheet: Sheet) -> str:
    settings = sheet.cells[0].settings
    data = " and ".join(dict.fromkeys(cell.provenance for cell in sheet.cells))
    nets = f"nets of {settings['model.depth']} x {settings['model.width']}"
    return f"{data[0].upper()}{data[1:]}; {nets}; {sheet.scale} scale"


def draw_snapshots(axes: Sequence[Axes], steps: Sequence[int], run: Evidence) -> None:
    """Real and made points at each step of which the run has a snapshot."""
    modes = dict(zip(run.curve["step"], run.curve["test_modes"]))
    with np.load(run.samples) as points:
        modes_at = centres(points["real"])
        for step, place in zip(steps, axes):
            if f"fake{step}" in points:
                made = points[f"fake{step}"][:DRAWN]
                dots(place, modes_at, REAL, size=6)
                dots(place, made[(np.abs(made) <= WINDOW).all(1)], FAKE, size=2.2, alpha=0.7)
                place.set_xlabel(f"{modes[step] or 0:.0f} of {run.record['data']['modes']} modes", fontsize=11)
            place.set(xticks=[], yticks=[], xlim=(-WINDOW, WINDOW), ylim=(-WINDOW, WINDOW), aspect="equal")
            place.spines[["top", "right"]].set_visible(True)


def centres(points: np.ndarray) -> np.ndarray:
    """The modes of real points, (N, 2), as means of what lies together: they are far wider apart than a tenth."""
    _, mode = np.unique(points.round(1) + 0, axis=0, return_inverse=True)  # + 0: no -0
    return np.stack([points[mode.ravel() == one].mean(0) for one in range(mode.max() + 1)])
