"""Learning curves of every experiment, and figure 3(b)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mixup.figures.groups import Cell, Setting, Sheet, caption
from mixup.figures.ink import COLOURS, INK, PALETTE, band, framed, log_scale, panels
from mixup.figures.picture import Picture
from mixup.ledger.names import experiment_title
from mixup.ledger.paper import Experiment

MOST_LINES = 6  # in a panel; of more methods the best setting of each is shown
BEST = "of each method its best setting, chosen on test data"


def learning_curves(sheet: Sheet, paper: Mapping[str, Experiment]) -> list[Picture]:
    """Test error, and the loss above its entropy floor, over epochs; a row for each data set, net and circumstance."""
    shown = [few(setting) for setting in sheet.settings]
    together = [cell for cells in shown for cell in cells]
    spread = max(map(len, shown)) <= MOST_LINES

    def draw() -> Figure:
        figure, rows = panels(len(shown), 2, height=3.1)
        look = looks(shown)
        for setting, cells, (errors, losses) in zip(sheet.settings, shown, rows):
            for axes, column in ((errors, "test_top1_error"), (losses, "train_excess_loss")):
                drops(axes, cells)
                for cell in cells:
                    draw_column(axes, cell, column, look[cell.method], spread=spread)
            errors.set(xlabel="epoch", ylabel="test error (%)", ylim=(max(0, errors.get_ylim()[0]), None))
            losses.set(xlabel="epoch", ylabel="excess loss (nats)")
            whole_epochs(errors, losses)
            log_scale(losses)
            if len(shown) > 1:
                errors.set_title(", ".join(sheet.apart(setting)), loc="left", fontsize=12)
        return framed(figure, title=f"Learning curves: {place(sheet.experiment, paper)}", caption=note, legend=rows[:, 0])

    chosen = f" Shown is {BEST}." if len(together) < len(sheet.cells) else ""
    lines = "Mean and range over seeds" if spread else "Means over seeds"
    note = (
        f"{caption(sheet)}. {lines}. Excess loss: the training loss above the entropy of its targets, the "
        f"least it can be; of ERM the loss itself.{chosen}{dotted(together)}"
    )
    name = f"{sheet.experiment}-curves-{sheet.scale}"
    return [Picture(name, sheet.experiment, f"Learning curves: {place(sheet.experiment, paper)}. {note}", draw)]


def place(experiment: str, paper: Mapping[str, Experiment]) -> str:
    """Where in the paper an experiment is, or what it is about."""
    if experiment in paper:
        return paper[experiment].title.partition(":")[0].lower()
    return experiment_title(experiment, paper).partition(": ")[2] or experiment


def figure3b(sheet: Sheet, paper: Mapping[str, Experiment]) -> list[Picture]:
    """Test error of one net over epochs: DenseNet, or the net at hand that comes nearest to the paper's."""
    if sheet.experiment != "figure3_cifar10":
        return []
    net = next((one.net for one in sheet.settings if one.net.startswith("DenseNet")), sheet.settings[0].net)
    here = Sheet(sheet.experiment, sheet.scale, tuple(one for one in sheet.settings if one.net == net))

    def draw() -> Figure:
        figure, rows = panels(len(here.settings), 1, height=4.2)
        look = looks([setting.cells for setting in here.settings])
        for setting, (axes,) in zip(here.settings, rows):
            drops(axes, setting.cells)
            for cell in setting.cells:
                draw_column(axes, cell, "test_top1_error", look[cell.method])
            if beside:
                draw_paper(axes, paper["figure3b_curve"])
            axes.set(xlabel="epoch", ylabel="test error (%)", ylim=(0, None))
            whole_epochs(axes)
            axes.set_title(", ".join(here.apart(setting)), loc="left", fontsize=12)
        return framed(figure, title="Figure 3(b): test error on CIFAR-10", caption=note, legend=rows.ravel())

    beside = sheet.scale == "paper" and net.startswith("DenseNet")
    of_paper = " Dashed: the end of the paper's curves, read off its drawing." if beside else ""
    note = f"{caption(here)}. Mean and range over seeds.{of_paper}{dotted(here.cells)}"
    return [Picture(f"figure3b_curve-{sheet.scale}", "figure3b_curve", f"Figure 3(b). {note}", draw)]


def draw_paper(axes: Axes, paper: Experiment) -> None:
    """Where the paper's own curves end."""
    for row in paper.rows:
        value = row.value("test.top1_error", "last10_median")
        if value is not None and value.value is not None:
            name = "ERM" if row.method == "erm" else "mixup"
            axes.axhline(value.value, color=COLOURS[name], linestyle="--", linewidth=1, label=f"{name} in the paper")


# -- lines ---------------------------------------------------------------------------------------------------------------


def draw_column(axes: Axes, cell: Cell, column: str, look: Look, *, spread: bool = True) -> None:
    values = cell.column(column)
    if values.size and not np.isnan(values).all():
        band(axes, range(1, values.shape[1] + 1), values, colour=look.colour, label=look.name, spread=spread)


def whole_epochs(*axes: Axes) -> None:
    for one in axes:
        one.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def drops(axes: Axes, cells: Sequence[Cell]) -> None:
    """Thin lines where all the runs' learning rate falls."""
    milestones = {tuple(cell.settings["optim.milestones"]) for cell in cells}
    if len(milestones) == 1:
        for epoch in milestones.pop():
            axes.axvline(epoch, color=INK, linewidth=0.9, linestyle=":")


def dotted(cells: Sequence[Cell]) -> str:
    return " Dotted: the learning rate falls." if any(cell.settings["optim.milestones"] for cell in cells) else ""


def few(setting: Setting) -> list[Cell]:
    """The cells, or of too many the best one of each family: by the last test error, as the paper chooses in table 2."""
    if len(setting.cells) <= MOST_LINES:
        return list(setting.cells)
    return best_of_each(setting.cells)


def best_of_each(cells: Sequence[Cell]) -> list[Cell]:
    families: dict[str, list[Cell]] = {}
    for cell in cells:
        families.setdefault(cell.family, []).append(cell)
    return [min(same, key=lambda cell: float(cell.errors("last").mean())) for same in families.values()]


@dataclass(frozen=True)
class Look:
    """Of a method's line: its name in the legend, and its colour."""

    name: str
    colour: str


def looks(shown: Sequence[Sequence[Cell]]) -> dict[str, Look]:
    """By method, the same in all panels. shown: the cells of each. A family that has one setting a panel, but not the same
    in all, is named without it. ERM and mixup have colours of their own, others theirs by the order of their appearance."""
    settings: dict[str, set[str]] = {}
    for cell in (cell for cells in shown for cell in cells):
        settings.setdefault(cell.family, set()).add(cell.method)
    often = {family for family in settings for cells in shown if sum(cell.family == family for cell in cells) > 1}
    names = {
        method: method if family in often or len(methods) == 1 else family
        for family, methods in settings.items()
        for method in sorted(methods)
    }
    colours: dict[str, str] = {}
    others = cycle(PALETTE)
    for family, methods in settings.items():
        for name in dict.fromkeys(names[method] for method in sorted(methods, key=natural)):
            own = COLOURS.get(family)
            colours[name] = own if own and own not in colours.values() else next(others)
    return {method: Look(name, colours[name]) for method, name in names.items()}


def natural(method: str) -> list[float]:
    """The numbers in a name, so that 32 comes after 8."""
    return [float(number) for number in re.findall(r"[\d.]+", method)]
