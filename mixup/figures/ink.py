"""How the figures look, and SVG that is the same bytes every time.

A figure stands on light and on dark pages, as an image that cannot know which: its background is transparent, and its ink of
a middle tone that reads on both (4.5:1 on white, 4.2:1 on #0d1117). Inlined in a page, `--ink` sets it to what reads best.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

INK = "#767676"
# Of all that is neither ERM nor mixup.
PALETTE = ("#2e8b57", "#8a4fbf", "#b07d12", "#c7457b", "#0f8b8d", "#8b6f4e", "#5d7a1f", "#6b6fd6", "#b0413e", "#7d7d7d")
COLOURS = {"ERM": "#c2571a", "mixup": "#1a6fc2"}  # everywhere in this project
WIDTH = 9.0  # inches, of every figure; shown at half of it the type is still over 8 px high
LINE = 100  # letters of a caption that fit into the width

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "mixup",
    "svg.fonttype": "none",  # text as text: small, searchable, and read aloud
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 13,
    "axes.titlesize": 13,
    "axes.labelsize": 13,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "legend.fontsize": 12,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "legend.facecolor": "none",
    **{f"{name}.color": INK for name in ("text", "xtick", "ytick", "grid")},
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "lines.linewidth": 1.8,
}


def svg(draw: Callable[[], Figure], *, name: str, description: str) -> str:
    """The drawn figure as SVG text. name: no other figure's, so that none has an id of another's; description: what it
    shows, for those who do not see it."""
    with matplotlib.rc_context(STYLE):
        content = io.StringIO()
        draw().savefig(content, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return tidy(content.getvalue(), name, description)


def write_png(figure_of: Callable[[], Figure], file: Path) -> None:
    """The same as pixels on white."""
    with matplotlib.rc_context(STYLE):
        figure_of().savefig(file, dpi=110, facecolor="white")


def tidy(text: str, name: str, description: str) -> str:
    """matplotlib's SVG without what changes with its version, or would be there twice where a page holds two figures.

    Numbers are rounded to a hundredth of a point, and what is referred to is numbered: matplotlib's ids are hashes of
    coordinates to their last bit, which is not the same in every process.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)  # in a page it would be all of it's
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # nothing refers to groups
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"-?\d+\.\d{3,}", short, tag.group()), text)
    for number, id in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]+)"', text)), 1):
        text = re.sub(rf'(\bid="|url\(#|href="#){id}\b', rf"\g<1>{name}-{number}", text)
    text = re.sub(r"(fill|stroke): " + INK, rf"\1: var(--ink, {INK})", text)
    head, rest = text.split(">", 1)
    looks = 'role="img" style="stroke-linejoin: round; stroke-linecap: butt"'
    return f"{head} {looks}>\n <title>{escape(description)}</title>{rest}"


def short(found: re.Match[str]) -> str:
    """At most two decimals, and no more of them than it needs."""
    number = float(found.group())
    return f"{number:.2f}".rstrip("0").rstrip(".").replace("-0", "0" if round(number, 2) == 0 else "-0")


def panels(rows: int, columns: int, *, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """A figure of panels (rows, columns), `height` inches a row."""
    figure = Figure(figsize=(WIDTH, height * rows))
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def framed(figure: Figure, *, title: str, caption: str, legend: Iterable[Axes] = ()) -> Figure:
    """The figure with its title above, below that one legend for these panels, and at the foot what was run.

    Each has a strip of its own, by which the figure grows: matplotlib's layout does not keep a title and a legend apart.
    """
    lines, entries = textwrap.wrap(caption, LINE), legend_entries(legend)
    columns = legend_columns(list(entries))
    above = 0.42 + 0.28 * -(-len(entries) // columns)
    below = 0.15 + 0.22 * len(lines)
    inner = figure.get_figheight()
    whole = above + inner + below
    figure.set_figheight(whole)
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine), "the style asks for it"
    engine.set(rect=(0, below / whole, 1, inner / whole))
    figure.text(0.01, 1 - 0.1 / whole, title, fontsize=14, fontweight="bold", va="top")
    figure.text(0.01, (below - 0.1) / whole, "\n".join(lines), fontsize=12, va="top", linespacing=1.3)
    if entries:
        figure.legend(
            list(entries.values()),
            list(entries),
            loc="upper left",
            bbox_to_anchor=(0.0, 1 - 0.36 / whole),
            borderaxespad=0.2,
            ncols=columns,
        )
    return figure


def log_scale(axes: Axes) -> None:
    """A logarithmic y axis with numbers as people write them, over less than three decades also at 2 and 5."""
    axes.set_yscale("log", nonpositive="mask")
    low, high = axes.get_ylim()
    decades = np.log10(high / low)
    subs = (1.0,) if decades > 3 else (1.0, 2.0, 5.0) if decades > 0.6 else (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def legend_columns(labels: Sequence[str]) -> int:
    """As many as fit into the width; entries run down the columns."""
    for columns in range(len(labels), 1, -1):
        parts = [part.tolist() for part in np.array_split(np.array(labels), columns)]
        if sum(0.75 + 0.1 * max(map(len, part)) for part in parts) <= WIDTH:
            return columns
    return 1


def legend_entries(axes: Iterable[Axes]) -> dict[str, Any]:
    """Each label once, with what it stands for."""
    found: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels()):
            found.setdefault(label, handle)
    return found


def band(
    axes: Axes, x: Sequence[float], runs: np.ndarray, *, colour: str, label: str, line: str = "-", spread: bool = True
) -> None:
    """The mean over seeds and their range. runs: (seeds, len(x)), not a number where there is no value."""
    axes.plot(x, runs.mean(0), line if len(x) > 1 else "o", color=colour, label=label)
    if len(runs) > 1 and spread:
        axes.fill_between(x, runs.min(0), runs.max(0), color=colour, alpha=0.22, linewidth=0)
