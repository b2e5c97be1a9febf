"""How far confidence can be believed: the calibration of report cards."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixup.figures.curves import Look, looks
from mixup.figures.groups import Cell, Sheet, caption
from mixup.figures.ink import INK, framed, panels
from mixup.figures.picture import Picture


def calibration(whole: Sheet) -> list[Picture]:
    """Confidence against accuracy, and the calibration error before and after temperature scaling."""
    sheet = whole.having("card")
    if not sheet.cells:
        return []

    def draw() -> Figure:
        figure, rows = panels(len(sheet.settings), 2, height=4.0)
        look = looks([setting.cells for setting in sheet.settings])
        for setting, (diagram, errors) in zip(sheet.settings, rows):
            diagram.plot([0, 100], [0, 100], "--", color=INK, linewidth=1)
            for place, cell in enumerate(setting.cells):
                draw_reliability(diagram, cell, look[cell.method])
                draw_calibration_errors(errors, cell, place, look[cell.method].colour)
            diagram.set(xlabel="confidence (%)", ylabel="accuracy (%)", xlim=(0, 101), ylim=(0, 101))
            diagram.set_title(", ".join(sheet.apart(setting)), loc="left", fontsize=12)
            errors.set(ylabel="calibration error, ECE (%)", ylim=(0, None), xlim=(-0.6, len(setting.cells) - 0.4))
            errors.set_xticks(range(len(setting.cells)), [cell.method for cell in setting.cells])
            errors.grid(False, axis="x")
        return framed(figure, title="Calibration", caption=note, legend=rows.ravel())

    note = (
        f"{caption(sheet)}. Left: predictions of all seeds in 15 bins; below the dashed line a net is too sure. Right: one "
        "mark a seed; after temperature scaling, each half of the test set by the temperature of the other."
    )
    return [Picture(f"{sheet.experiment}-calibration-{sheet.scale}", sheet.experiment, f"Calibration. {note}", draw)]


def draw_reliability(axes: Axes, cell: Cell, look: Look) -> None:
    """Bins pooled over seeds; points as large as their share of the predictions."""
    bins = [one["reliability"] for one in cell.measured("card")]
    count = np.array([one["count"] for one in bins], float)
    found = count.sum(0) > 0
    share = count.sum(0)[found] / count.sum()

    def pooled(name: str) -> np.ndarray:
        values = np.array([[value or 0.0 for value in one[name]] for one in bins])  # null in an empty bin
        return (values * count).sum(0)[found] / count.sum(0)[found]

    axes.plot(pooled("confidence"), pooled("accuracy"), color=look.colour, label=look.name)
    axes.scatter(pooled("confidence"), pooled("accuracy"), s=15 + 250 * share, color=look.colour, alpha=0.6, linewidths=0)


def draw_calibration_errors(axes: Axes, cell: Cell, place: int, colour: str) -> None:
    looks = (("ece", -0.17, "o", "as trained"), ("ece_scaled", 0.17, "^", "temperature scaled"))
    for key, shift, marker, what in looks:
        values = [one["measures"][key] for one in cell.measured("card") if one["measures"].get(key) is not None]
        if not values:
            continue
        label = what if place == 0 else None
        axes.plot([place + shift] * len(values), values, marker, color=colour, alpha=0.8, markeredgewidth=0)
        axes.plot([], [], marker, color=INK, label=label)
        axes.hlines(np.mean(values), place + shift - 0.1, place + shift + 0.1, color=colour)
