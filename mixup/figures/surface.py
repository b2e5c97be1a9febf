"""Figure 1(b): the decision surface of two rings in the plane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from mixup.figures.groups import Cell, Setting, Sheet, caption
from mixup.figures.ink import framed, panels
from mixup.figures.picture import Picture

INNER, OUTER, SHADE = "#e07b1a", "#2e8b57", "#1a6fc2"  # orange, green and blue, as in figure 1
LEVELS = 20  # of the shading


def surfaces(whole: Sheet) -> list[Picture]:
    """Figure 1(b): p(class 1 | x) in blue, ERM left and mixup right, with the training points."""
    sheet = whole.having("surface")
    if not sheet.cells:
        return []
    cells = [cells[0] for cells in ends(sheet.settings[0]) if cells]

    def draw() -> Figure:
        figure, (row,) = panels(1, len(cells), height=4.3)
        for axes, cell in zip(row, cells):
            shading = draw_surface(axes, cell.measured("surface")[0])
            axes.set_title(cell.method)
        figure.colorbar(shading, ax=list(row), label="p(class 1 | x)", ticks=[0, 0.25, 0.5, 0.75, 1], shrink=0.85)
        return framed(figure, title="Figure 1(b): a decision surface", caption=note)

    seed = cells[0].runs[0].record["seed"]
    note = (
        f"{caption(sheet)}; shown is seed {seed}. Blue: the probability of class 1, the inner ring (orange); class 0 is "
        "green. The unit is the outer ring's radius."
    )
    return [Picture(f"figure1_toy-{sheet.scale}", sheet.experiment, f"Figure 1(b). {note}", draw)]


def draw_surface(axes: Axes, surface: Mapping[str, Any]) -> Any:
    """From transparent to blue, so that it is right on a page of any colour."""
    shades = [to_rgba(SHADE, 0.9 * step / (LEVELS - 1)) for step in range(LEVELS)]
    edges = np.linspace(0, 1, LEVELS + 1)
    shading = axes.contourf(surface["x"], surface["y"], surface["probability"], levels=edges, colors=shades)
    points, labels = np.array(surface["points"]), np.array(surface["labels"])
    for label, colour in ((0, OUTER), (1, INNER)):
        axes.plot(*points[labels == label].T, ".", color=colour, markersize=4, markeredgewidth=0)
    axes.set(aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    axes.grid(False)
    return shading


def ends(setting: Setting) -> tuple[list[Cell], list[Cell]]:
    """ERM's cells and mixup's."""
    return [cell for cell in setting.cells if not cell.alpha], [cell for cell in setting.cells if cell.alpha]
