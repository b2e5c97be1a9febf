"""Differences of test errors to ERM's, by pairs of runs of one seed: what table 5 and the sweeps over alpha compare."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mixup.figures.sheets import Sheet, caption
from mixup.figures.style import COLOURS, INK, Picture
from mixup.ledger.cells import Cell, baseline_of, is_erm, overlap
from mixup.ledger.comparable import erm_row
from mixup.ledger.inference import Paired, paired_difference
from mixup.ledger.metrics import Measure
from mixup.ledger.paper import Experiment, mismatches, printed_difference

MEDIAN = "last10_median"
STATISTICS = {"last": "after the last epoch", MEDIAN: "median of the last ten epochs"}
FEWEST, MANY = 2, 6  # lines of a picture; more of a panel than the second are sorted by their differences


@dataclass(frozen=True)
class Line:
    """A cell against the ERM cell of its panel. paper: the printed difference, where it can stand beside."""

    name: str
    pairs: Paired
    paper: float | None


def differences(sheet: Sheet, paper: Experiment | None, statistic: str) -> list[Picture]:
    """A line a cell, a panel for each of the sheet's with several methods; one picture, or none where there is little to
    compare. paper: whose numbers can stand beside these. statistic: over epochs."""
    measure = Measure("test.top1_error", statistic if statistic in STATISTICS else MEDIAN)
    panels = {title: lines for title, cells in sheet.panels.items() if (lines := lines_of(sheet, cells, measure, paper))}
    if panels and max(map(len, panels.values())) == 1:  # of one method: a line names the panel
        panels = {"": [replace(line, name=title or line.name) for title, (line,) in panels.items()]}
    lines = [line for lines in panels.values() for line in lines]
    if len(lines) < FEWEST:
        return []
    base = "ERM's" if any(is_erm(cell.settings) for cell in sheet.cells) else "plain mixup's"
    ends = [line.pairs.interval for line in lines if line.pairs.interval]
    better = sum(ours.high is not None and ours.high < 0 for ours in ends)
    worse = sum(ours.low is not None and ours.low > 0 for ours in ends)
    says = (
        f"Methods that err less than {base[:-2]} lie left of 0. Of {len(lines)} intervals {better} lie left of 0 and "
        f"{worse} right of it. Pairs of one seed share initial weights and the order of examples, so that their difference "
        "scatters less than the runs do."
    )
    diamonds = " Diamonds: the paper." if any(line.paper is not None for line in lines) else ""
    note = (
        f"{caption(sheet)}. Test error, {STATISTICS[measure.statistic]}, minus {base} of the same seed: a dot with its 95 % "
        f"interval, and a small mark a seed.{diamonds}"
    )
    counts = [len(lines) for lines in panels.values()]

    def draw_row(places: Sequence[Axes], lines: Sequence[Line]) -> None:
        draw_lines(places[0], lines)
        places[0].set_xlabel(f"difference to {base}, percentage points")
        places[0].label_outer()

    options: dict[str, Any] = {
        "height": 0.9 + 0.3 * sum(counts) / len(counts),
        "sharex": True,
        "gridspec_kw": {"height_ratios": counts},
    }
    heading = f"Test error beside {base}"
    return [sheet.rows_picture("differences", heading, note, panels.items(), 1, draw_row, says=says, **options)]


def lines_of(sheet: Sheet, cells: Sequence[Cell], measure: Measure, paper: Experiment | None) -> list[Line]:
    lines = []
    for cell in cells:
        if (base := baseline_of(cell, cells)) is None:
            continue
        pairs = paired_difference(cell.values(measure), base.values(measure), overlap=overlap(cell, base))
        if pairs.seeds:
            lines.append(Line(sheet.name(cell), pairs, printed(cell, measure, paper)))
    return sorted(lines, key=lambda line: fmean(line.pairs.differences)) if len(lines) > MANY else lines


def printed(cell: Cell, measure: Measure, paper: Experiment | None) -> float | None:
    """The paper's number of the cell's row minus that of its ERM row."""
    rows = paper.rows if paper else []
    row = next((row for row in rows if not mismatches(cell.settings, row.settings)), None)
    return printed_difference(row, erm_row(row, rows), measure)


def draw_lines(axes: Axes, lines: Sequence[Line]) -> None:
    colour = COLOURS["mixup"]
    axes.axvline(0, color=COLOURS["ERM"], linewidth=1)
    for y, line in enumerate(reversed(lines)):
        ours = line.pairs.interval
        axes.plot(line.pairs.differences, np.full(len(line.pairs.differences), y), "|", color=colour, markersize=8)
        if ours is not None:
            ends = [end for end in (ours.low, ours.high) if end is not None]
            axes.plot(ends, [y] * len(ends), color=colour, linewidth=1.8)
            axes.plot(ours.mean, y, "o", color=colour, markersize=6)
        if line.paper is not None:
            axes.plot(line.paper, y, "D", color=INK, markerfacecolor="none", markersize=5)
    axes.set_yticks(range(len(lines)), [line.name for line in reversed(lines)])
    axes.set_ylim(-0.6, len(lines) - 0.4)
    axes.grid(False, axis="y")
