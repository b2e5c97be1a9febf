"""Figure 2: misses and gradient norms between training points, ours beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixup.figures.curves import looks
from mixup.figures.groups import Sheet, caption
from mixup.figures.ink import COLOURS, band, framed, log_scale, panels
from mixup.figures.picture import Picture
from mixup.ledger.paper import Experiment, read_figure2

BETWEEN = {"miss": "misses (%)", "gradient_norm": "norm of the gradient by the input"}


def between(whole: Sheet, paper: Mapping[str, Experiment], folder: Path) -> list[Picture]:
    """Figure 2: misses and gradient norms between training points. folder: of the paper's digitised curves."""
    sheet = whole.having("between")
    if not sheet.cells:
        return []
    curves = paper["figure2_between"].curves
    assert curves is not None, "figure 2 has no digitised curves in paper.yaml"
    digitised = read_figure2(folder / curves.file)

    def draw() -> Figure:
        figure, rows = panels(len(sheet.settings), 2, height=4.0)
        look = looks([setting.cells for setting in sheet.settings])
        for setting, row in zip(sheet.settings, rows):
            for axes, (name, label) in zip(row, BETWEEN.items()):
                for cell in setting.cells:
                    found = cell.measured("between")
                    values = np.array([one[name] for one in found], float)
                    band(axes, found[0]["lam"], values, colour=look[cell.method].colour, label=look[cell.method].name)
                draw_digitised(axes, digitised[name])
                axes.set(xlabel="λ", ylabel=label, xlim=(0, 1))
            row[0].set_ylim(0, None)
            log_scale(row[1])
            if len(sheet.settings) > 1:
                row[0].set_title(", ".join(sheet.apart(setting)), loc="left", fontsize=12)
        return framed(figure, title="Figure 2: between training points", caption=note, legend=rows.ravel())

    pairs = sheet.cells[0].measured("between")[0]["pairs"]
    note = (
        f"{caption(sheet)}, {pairs:,} pairs each. Mean and range over seeds at λ x_i + (1 - λ) x_j; a miss is a prediction "
        "of neither label. Dashed: the paper's curves at its own scale, read off its drawing. The unit of its gradients is "
        "not stated: compare shapes and ratios."
    )
    name = "figure2_between" if sheet.experiment == "figure2_between" else f"{sheet.experiment}-between"
    return [Picture(f"{name}-{sheet.scale}", sheet.experiment, f"Figure 2. {note}", draw)]


def draw_digitised(axes: Axes, curves: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    for method, points in curves.items():
        axes.plot(*zip(*points), "--", color=COLOURS[method], linewidth=1, label=f"{method} in the paper")
