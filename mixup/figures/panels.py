"""The toolkit of all pictures: panels in a frame with title, legend and caption, and marks that several pictures share."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.typing import CapStyleType

from mixup.figures.style import INK, WIDTH

HANDLE = 0.72  # inches that a legend's entry takes beside its text
BLANK = 0.075  # inches between words, at the size of a caption
MARGIN = 0.1  # inches left and right of title, legend and caption


Row = TypeVar("Row")


@dataclass(frozen=True)
class Line:
    """One method in a panel. name: its label in the legend. runs: what is drawn, an entry a seed. style: matplotlib's."""

    name: str
    colour: str
    runs: Sequence[Any]
    style: str = "-"


def rows_figure(
    rows: Iterable[tuple[str, Row]],
    columns: int,
    draw_row: Callable[[Sequence[Axes], Row], None],
    *,
    title: str,
    caption: str,
    height: float,
    **options: Any,
) -> Figure:
    """A figure with a row of panels for each of `rows`, titled at its first panel. height: of a row, in inches."""
    rows = list(rows)
    figure = Figure(figsize=(WIDTH, height * len(rows)))
    axes = figure.subplots(len(rows), columns, squeeze=False, **options)
    for places, (name, row) in zip(axes, rows):
        draw_row(places, row)
        if name:
            places[0].set_title(name)
    return framed(figure, title=title, caption=caption, legend=axes.ravel())


def framed(figure: Figure, *, title: str, caption: str = "", legend: Iterable[Axes] = ()) -> Figure:
    """The figure with its title above, one legend for the given axes below the title, and the caption at the foot.

    Each has a strip of its own, by which the figure grows: matplotlib's layout does not keep a title and a legend apart.
    """
    lines, entries = wrapped(caption, WIDTH - 2 * MARGIN), dict[str, Any]()
    for axes in legend:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            entries.setdefault(label, handle)  # which several panels may share
    columns = legend_columns(list(entries))
    above = 0.42 + 0.28 * -(-len(entries) // columns)
    below = 0.15 + 0.22 * len(lines)
    inner = figure.get_figheight()
    height = above + inner + below
    figure.set_figheight(height)
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine), "the style asks for it"
    engine.set(rect=(0, below / height, 1, inner / height))
    left = MARGIN / WIDTH
    figure.text(left, 1 - 0.1 / height, title, fontsize=14, fontweight="bold", va="top")
    figure.text(left, (below - 0.1) / height, "\n".join(lines), fontsize=12, va="top", linespacing=1.3)
    if entries:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.0, 1 - 0.36 / height), "borderaxespad": 0.2}
        figure.legend(list(entries.values()), list(entries), ncols=columns, columnspacing=1.5, **place)
    return figure


def wrapped(text: str, width: float) -> list[str]:
    """Lines of at most `width` inches at the size of a caption."""
    lines: list[list[str]] = []
    left = 0.0
    for word in text.split():
        needed = text_width(word) + BLANK
        if needed > left:
            lines.append([])
            left = width
        left -= needed
        lines[-1].append(word)
    return [" ".join(line) for line in lines]


@cache
def text_width(text: str) -> float:
    """Inches, at the size of captions and legends."""
    return TextPath((0, 0), text, size=12).get_extents().width / 72


def legend_columns(labels: Sequence[str]) -> int:
    """The number of columns with the fewest rows, and then the fewest columns; entries run down the columns."""
    for rows in range(1, len(labels)):
        columns = -(-len(labels) // rows)
        parts = [part.tolist() for part in np.array_split(np.array(labels), columns)]
        if sum(HANDLE + max(map(text_width, part)) for part in parts) <= WIDTH - MARGIN:
            return columns
    return 1


def log_scale(axes: Axes) -> None:
    """A logarithmic y axis with numbers as people write them, over less than three decades also at 2 and 5."""
    axes.set_yscale("log", nonpositive="mask")
    low, high = axes.get_ylim()
    decades = np.log10(high / low)
    subs = (1.0,) if decades > 3 else (1.0, 2.0, 5.0) if decades > 0.6 else (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def band(axes: Axes, x: Sequence[float], values: np.ndarray, line: Line, *, spread: bool = True) -> None:
    """The mean over seeds and their range. values: (seeds, len(x)), not a number where there is no value."""
    width = 1.0 if line.style == "--" else 1.8
    axes.plot(x, values.mean(0), line.style if len(x) > 1 else "o", color=line.colour, label=line.name, linewidth=width)
    if len(values) > 1 and spread:
        axes.fill_between(x, values.min(0), values.max(0), color=line.colour, alpha=0.22, linewidth=0)


def seed_bar(axes: Axes, place: float, errors: Sequence[float], line: Line, *, alpha: float) -> None:
    """A bar as long as the mean, with one dot for each seed; the mean is printed at the right edge."""
    axes.barh(place, np.mean(errors), height=0.34, color=line.colour, alpha=alpha, label=line.name or None)
    spread = np.linspace(-0.07, 0.07, len(errors)) if len(errors) > 1 else np.zeros(1)
    axes.plot(errors, place + spread, "o", color=INK, markersize=5.5, markeredgecolor="white")
    edge: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "ha": "right", "va": "center", "fontsize": 12}
    axes.annotate(f"{np.mean(errors):.1f}", (1, place), **edge)


def dots(
    axes: Axes, points: np.ndarray, colour: str, *, size: float, alpha: float = 1.0, cap: CapStyleType = "round"
) -> None:
    """Dots as strokes of no length. points: (n, 2). size: in points."""
    strokes(axes, points, points, colour, width=size, alpha=alpha, capstyle=cap)


def strokes(axes: Axes, starts: np.ndarray, ends: np.ndarray, colour: str, *, width: float = 1.0, **look: Any) -> None:
    """Straight lines as one path: one each, or a marker each, would be ten times as many bytes. starts, ends: (n, 2)."""
    if len(starts):
        places = np.stack([starts, ends], 1).reshape(-1, 2)
        outline = Path(places, [Path.MOVETO, Path.LINETO] * len(starts))
        outline.should_simplify = False
        axes.add_patch(PathPatch(outline, fill=False, edgecolor=colour, linewidth=width, **look))
