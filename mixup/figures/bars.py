"""Label noise (table 2) as bars, and the test error over alpha."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixup.figures.curves import best_of_each
from mixup.figures.groups import Cell, Setting, Sheet, caption
from mixup.figures.ink import COLOURS, INK, PALETTE, framed, panels
from mixup.figures.picture import Picture
from mixup.ledger import paper as papers
from mixup.ledger.paper import Experiment

STATISTICS = {"last": "After the last epoch", "last10_median": "Median of the last ten epochs"}
MOST_BARS = 8  # in a panel; of more cells the best one of each method
FAMILIES = {"ERM": COLOURS["ERM"], "mixup": COLOURS["mixup"], "ERM + dropout": PALETTE[0], "mixup + dropout": PALETTE[1]}


def noise_bars(sheet: Sheet, paper: Mapping[str, Experiment]) -> list[Picture]:
    """Test error after the last epoch and at its best, by method; a panel for each share of replaced labels."""
    noisy = [one for one in sheet.settings if one.cells[0].settings["data.label_noise"] > 0]
    if not noisy:
        return []
    shown = {id(one): one.cells if len(one.cells) <= MOST_BARS else best_of_each(one.cells) for one in noisy}

    def draw() -> Figure:
        count = [len(shown[id(one)]) for one in noisy]
        options = {"sharex": True, "gridspec_kw": {"height_ratios": count}}
        figure, rows = panels(len(noisy), 1, height=0.75 + 0.62 * sum(count) / len(count), **options)
        for setting, (axes,) in zip(noisy, rows):
            for place, cell in enumerate(reversed(shown[id(setting)])):
                draw_pair(axes, place, cell)
                if sheet.scale == "paper" and sheet.experiment in paper:
                    draw_paper_marks(axes, place, cell, paper[sheet.experiment])
            axes.set_yticks(range(len(shown[id(setting)])), [cell.method for cell in reversed(shown[id(setting)])])
            axes.set_title(" and ".join(setting.more) if setting.more else setting.title, loc="left", fontsize=12)
            axes.grid(False, axis="y")
        highest = max(float(cell.errors("last").max()) for one in noisy for cell in shown[id(one)])
        rows[-1][0].set(xlabel="test error (%)", xlim=(0, 1.12 * highest))
        return framed(figure, title="Test error with corrupted training labels", caption=note)

    chosen = ""
    if any(len(shown[id(one)]) < len(one.cells) for one in noisy):
        chosen = " Of each method the best setting of its grid, chosen on test data, as in the paper."
    marks = " Thin lines: the paper's." if sheet.scale == "paper" and sheet.experiment in paper else ""
    note = (
        f"{caption(Sheet(sheet.experiment, sheet.scale, tuple(noisy)))}. Dark bar: after the last epoch; light bar: the "
        f"best epoch, chosen on test data. One dot a seed.{chosen}{marks}"
    )
    return [Picture(f"{sheet.experiment}-bars-{sheet.scale}", sheet.experiment, f"Label noise. {note}", draw)]


def draw_pair(axes: Axes, place: int, cell: Cell) -> None:
    """The last epoch's bar above that of the best, each with one dot a seed and its mean in figures."""
    colour = FAMILIES.get(cell.family, PALETTE[2])
    for statistic, shift, alpha in (("last", 0.19, 0.85), ("best", -0.19, 0.35)):
        errors = cell.errors(statistic)
        axes.barh(place + shift, errors.mean(), height=0.34, color=colour, alpha=alpha)
        spread = np.linspace(-0.07, 0.07, len(errors)) if len(errors) > 1 else np.zeros(1)
        axes.plot(errors, place + shift + spread, "o", color=INK, markersize=5.5, markeredgecolor="white")
        axes.annotate(
            f"{errors.mean():.1f}",
            (errors.max(), place + shift),
            (7, 0),
            textcoords="offset points",
            va="center",
            fontsize=12,
        )


def draw_paper_marks(axes: Axes, place: int, cell: Cell, paper: Experiment) -> None:
    """A thin line across each bar at the paper's number, where it has one for these settings."""
    row = next((row for row in paper.rows if not papers.mismatches(cell.record["config"], row.settings)), None)
    for statistic, shift in (("last", 0.19), ("best", -0.19)):
        value = row.value("test.top1_error", statistic) if row else None
        if value is not None and value.value is not None:
            axes.vlines(value.value, place + shift - 0.22, place + shift + 0.22, color=INK, linewidth=1.5)


# -- alpha ---------------------------------------------------------------------------------------------------------------


def alpha_sweep(sheet: Sheet, paper: Mapping[str, Experiment]) -> list[Picture]:
    """Test error over alpha, a panel for each data set, net and circumstance with three alphas or more; 0 is ERM."""
    swept = {index: plain_cells(setting) for index, setting in enumerate(sheet.settings)}
    swept = {index: cells for index, cells in swept.items() if len(cells) >= 3}
    if not swept:
        return []
    stated = paper[sheet.experiment].statistic if sheet.experiment in paper else ""
    statistic = stated if stated in STATISTICS else "last10_median"
    columns = min(len(swept), 3)

    def draw() -> Figure:
        rows = -(-len(swept) // columns)
        figure, grid = panels(rows, columns, height=3.9)
        for axes in grid.ravel()[len(swept) :]:
            axes.set_visible(False)
        for axes, (index, cells) in zip(grid.ravel(), swept.items()):
            draw_alphas(axes, cells, statistic)
            axes.set(xlabel="α (0: ERM)", ylabel="test error (%)" if axes in grid[:, 0] else "")
            if len(swept) > 1:
                axes.set_title("\n".join(here.apart(sheet.settings[index])), fontsize=12)
        return framed(figure, title="Test error over α", caption=note)

    here = Sheet(sheet.experiment, sheet.scale, tuple(sheet.settings[index] for index in swept))
    note = f"{caption(here)}. {STATISTICS[statistic]}; line and band are the mean and the range over seeds, one dot a seed."
    return [Picture(f"{sheet.experiment}-alpha-{sheet.scale}", sheet.experiment, f"Test error over alpha. {note}", draw)]


def plain_cells(setting: Setting) -> list[Cell]:
    """ERM and mixup without anything added, one for each alpha, rising."""
    return sorted((cell for cell in setting.cells if cell.family in ("ERM", "mixup")), key=lambda cell: cell.alpha)


def draw_alphas(axes: Axes, cells: list[Cell], statistic: str) -> None:
    alphas = [cell.alpha for cell in cells]
    errors = [cell.errors(statistic) for cell in cells]
    colour = COLOURS["mixup"]
    means, low, high = (np.array([of(one) for one in errors]) for of in (np.mean, np.min, np.max))
    axes.plot(alphas, means, "-", color=colour)
    axes.fill_between(alphas, low, high, color=colour, alpha=0.22, linewidth=0)
    for alpha, values in zip(alphas, errors):
        axes.plot(
            [alpha] * len(values), values, "o", color=colour if alpha else COLOURS["ERM"], markersize=5, markeredgewidth=0
        )
    smallest = min(alpha for alpha in alphas if alpha)
    axes.set_xscale("symlog", linthresh=smallest, linscale=0.6)
    axes.set_xticks(alphas, [f"{alpha:g}" for alpha in alphas])
    axes.minorticks_off()
