"""Figures of records and curves: learning curves, figure 3(b), table 2 as bars."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mixup.figures.panels import band, log_scale, seed_bar
from mixup.figures.sheets import Sheet, caption, few, paper_values
from mixup.figures.style import COLOURS, INK, Picture
from mixup.ledger.cells import Cell, is_erm, is_mixup
from mixup.ledger.metrics import LAST, Measure
from mixup.ledger.paper import Experiment, mismatches

MOST_BANDS, MOST_BARS = 6, 8  # cells in a panel
BEST = Measure("test.top1_error", "best")
BARS = (("last", "after the last epoch", 0.19, 0.85), ("best", "the best epoch, chosen on test data", -0.19, 0.35))

# -- over epochs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """A column of a run's curve, as it is drawn. bottom: where the y axis starts."""

    name: str
    label: str
    bottom: float | None = None
    log: bool = False


ERROR = Column("test_top1_error", "test error (%)")
LOSS = Column("train_excess_loss", "excess loss (nats)", log=True)


def learning_curves(sheet: Sheet, title: str) -> Picture:
    """Test error, and the loss above its entropy floor, over epochs; a row for each panel of the sheet."""
    shown, chosen = few(sheet, MOST_BANDS)
    spread = max(map(len, shown.panels.values())) <= MOST_BANDS
    note = (
        f"{caption(sheet)}. {'Mean and range over seeds' if spread else 'Means over seeds'}. Excess loss: the training loss "
        f"above the entropy of its targets, the least it can be; of ERM the loss itself.{chosen}{dotted(shown.cells)}"
    )
    says = (
        "Where ERM's excess loss falls to nothing it knows its examples by heart; mixup's should stay up. In the end "
        f"{ends(shown)}. Mixtures are new each time, which keeps mixup's excess loss up; it may name the examples "
        "themselves rightly."
    )
    return curves_picture(shown, "curves", title, note, [ERROR, LOSS], says=says, spread=spread)


def ends(sheet: Sheet) -> str:
    """`the test error of ERM is 50.1 % and of mixup, alpha 1 is 46.2 % (WRN-28-10)`, of the first panel."""
    title, cells = next(iter(sheet.panels.items()))
    first = (next((cell for cell in cells if test(cell.settings)), None) for test in (is_erm, is_mixup))
    errors = [f"of {sheet.name(cell)} is {mean(cell, LAST):.1f} %" for cell in first if cell]
    return f"the test error {' and '.join(errors)}{f' ({title})' if title else ''}"


def figure3b(sheet: Sheet, paper: Experiment) -> list[Picture]:
    """Test error of the DenseNet over epochs."""
    dense = {title: cells for title, cells in sheet.panels.items() if cells[0].settings["model.name"] == "densenet"}
    if not dense:
        return []
    sheet = replace(sheet, experiment="figure3b_curve", panels=dense)
    note = (
        f"{caption(sheet)}. Mean and range over seeds. Dashed: the end of the paper's curves, read off its drawing."
        f"{dotted(sheet.cells)}"
    )
    says = (
        "mixup's curve should end below ERM's, near the dashed lines. In the end "
        f"{ends(sheet)}. Both fall most where the learning rate does."
    )
    title, column = "Figure 3(b): test error on CIFAR-10 over epochs", replace(ERROR, bottom=0.0)
    return [curves_picture(sheet, "", title, note, [column], says=says, paper=paper)]


def curves_picture(
    sheet: Sheet,
    name: str,
    title: str,
    note: str,
    columns: Sequence[Column],
    *,
    says: str,
    paper: Experiment | None = None,
    **how: Any,
) -> Picture:
    """A row for each panel of the sheet, with a panel for each column. how: of `draw_curves`."""

    def draw_row(places: Sequence[Axes], cells: Sequence[Cell]) -> None:
        for axes, column in zip(places, columns):
            draw_curves(axes, sheet, cells, column, **how)
        for method, value in paper_values(paper, "test.top1_error", "last10_median"):
            label = f"{method} in the paper"
            places[0].axhline(value, color=COLOURS[method], linestyle="--", linewidth=1, label=label)

    return sheet.rows_picture(name, title, note, sheet.panels.items(), len(columns), draw_row, says=says, height=3.1)


def draw_curves(
    axes: Axes, sheet: Sheet, cells: Sequence[Cell], column: Column, *, x: str = "epoch", spread: bool = True
) -> None:
    """Means over seeds and their range, a line a cell; thin dotted lines where the learning rate of all falls."""
    for cell in cells:
        values = cell.column(column.name)
        if values.size and not np.isnan(values).all():
            band(axes, cell.column(x)[0], values, sheet.line(cell), spread=spread)
    milestones = {tuple(cell.settings["optim.milestones"]) for cell in cells}
    for epoch in milestones.pop() if len(milestones) == 1 else ():
        axes.axvline(epoch, color=INK, linewidth=0.9, linestyle=":")
    axes.set(xlabel="iteration" if x == "step" else x, ylabel=column.label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], nbins=6))
    if column.log:
        log_scale(axes)
    else:
        axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]) if column.bottom is None else column.bottom)


def dotted(cells: Sequence[Cell]) -> str:
    return " Dotted: the learning rate falls." if any(cell.settings["optim.milestones"] for cell in cells) else ""


# -- label noise ---------------------------------------------------------------------------------------------------------


def noise_bars(sheet: Sheet, paper: Experiment | None) -> list[Picture]:
    """Test error after the last epoch and at its best, by method; a panel for each share of replaced labels."""
    noisy = {title: cells for title, cells in sheet.panels.items() if cells[0].settings["data.label_noise"] > 0}
    if not noisy:
        return []
    sheet, chosen = few(replace(sheet, panels=noisy), MOST_BARS)
    marks = " Thin lines: the paper's." if paper else ""
    note = f"{caption(sheet)}. Bars: means over seeds, with one dot a seed.{chosen}{marks}"
    count = [len(cells) for cells in sheet.panels.values()]
    height = 0.75 + 0.62 * sum(count) / len(count)

    def draw_row(places: Sequence[Axes], cells: Sequence[Cell]) -> None:
        draw_bars(places[0], sheet, cells, paper)

    where, cells = [*sheet.panels.items()][-1]
    title, erm = "Test error with corrupted training labels", next((c for c in cells if is_erm(c.settings)), None)
    least = min(cells, key=lambda cell: mean(cell, LAST))
    says = (
        "ERM learns wrong labels by heart, so that its last error should lie far above its best; mixup's should not. "
        + (f"With {where} ERM ends {mean(erm, LAST) - mean(erm, BEST):.0f} points above its best epoch. " if erm else "")
        + f"The lowest last error there, {mean(least, LAST):.1f} %, is that of {sheet.name(least)}. The paper's "
        "reason: interpolations of real examples are easier to learn than to know those of random labels by heart."
    )
    options: dict[str, Any] = {"height": height, "sharex": True, "gridspec_kw": {"height_ratios": count}, "says": says}
    return [sheet.rows_picture("bars", title, note, sheet.panels.items(), 1, draw_row, **options)]


def mean(cell: Cell, measure: Measure) -> float:
    return fmean(cell.values(measure).values())


def draw_bars(axes: Axes, sheet: Sheet, cells: Sequence[Cell], paper: Experiment | None = None) -> None:
    """Of each cell the last epoch's bar above that of the best, and thin lines at the paper's numbers."""
    for place, cell in enumerate(reversed(cells)):
        row = next((row for row in paper.rows if not mismatches(cell.settings, row.settings)), None) if paper else None
        for statistic, label, shift, alpha in BARS:
            line = replace(sheet.line(cell), name=label if place == len(cells) - 1 else "")
            seed_bar(
                axes, place + shift, list(cell.values(Measure("test.top1_error", statistic)).values()), line, alpha=alpha
            )
            value = row.value("test.top1_error", statistic) if row else None
            if value is not None and value.value is not None:
                axes.vlines(value.value, place + shift - 0.22, place + shift + 0.22, color=INK, linewidth=1.5)
    axes.set_yticks(range(len(cells)), [sheet.name(cell) for cell in reversed(cells)])
    axes.set_xlim(0, max(axes.get_xlim()[1], 1.12 * max(axes.dataLim.x1, 0)))
    axes.set_xlabel("test error (%)")
    axes.label_outer()
    axes.grid(False, axis="y")
