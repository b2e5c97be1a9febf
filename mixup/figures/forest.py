"""All claims of the paper in one picture: its differences, and ours with their intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixup.figures.panels import framed
from mixup.figures.style import COLOURS, INK, WIDTH, Picture
from mixup.ledger.effects import CLARITIES, Effect
from mixup.ledger.metrics import metric_of
from mixup.ledger.names import experiment_title
from mixup.ledger.paper import Experiment

NAME = "forest"
REACH = 15.0  # percentage points to each side; what lies further out is an arrow with its number
LINE, LONGEST = 0.215, 74  # inches of a line; letters of a label


def forest_picture(effects: Sequence[Effect], papers: Mapping[str, Experiment]) -> Picture:
    """One line an effect in percentage points, in the order of clearly as claimed, clearly opposite, cannot tell."""
    fitted = [one for one in effects if one.fitted]
    drawn = [one for one in fitted if metric_of(one.measure.metric).unit == "%"]
    counts = ", ".join(f"{sum(one.clarity == word for one in drawn)} {word}" for word in CLARITIES)
    small = sum(one.group is not None for one in drawn)
    text = (
        f"Each line is a claim of the paper: a hollow mark is the paper's difference, a dot with its 95 % interval is ours. "
        f"Left of 0 is as claimed. Of {len(drawn)} there are {counts}. {small} are of small runs, or of other data than the "
        f"paper's. Left out: {len(fitted) - len(drawn)} in other units, {len(effects) - len(fitted)} of networks that do "
        f"not fit what they train on."
    )
    says = (
        "You should see dots left of 0 if the paper's claims hold in these runs, and near the hollow marks where the recipe "
        f"is the paper's. Of {len(drawn)} claims {counts}. An interval that crosses 0 cannot tell: there is no difference, "
        "or too few seeds to show it."
    )
    return Picture(NAME, NAME, text, lambda: forest_figure(drawn, papers, text), says)


def forest_figure(effects: Sequence[Effect], papers: Mapping[str, Experiment], caption: str) -> Figure:
    groups = {word: [one for one in effects if one.clarity == word] for word in CLARITIES}
    groups = {word: sorted(same, key=lambda one: one.group is not None) for word, same in groups.items() if same}
    lines = sum(len(same) + 1 for same in groups.values())
    figure = Figure(figsize=(WIDTH, LINE * (lines + 2)))
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1)
    place, labels = 0.0, list[tuple[float, str]]()
    for word, same in groups.items():
        labels.append((place, f"{word}: {len(same)}"))
        place += 1
        for one in same:
            draw_effect(axes, place, one)
            labels.append((place, label_of(one, papers)))
            place += 1
    axes.set_yticks([y for y, _ in labels], [text for _, text in labels], fontsize=8)
    for tick, (_, text) in zip(axes.get_yticklabels(), labels):
        if text.partition(":")[0] in CLARITIES:
            tick.set_fontweight("bold")
            tick.set_fontsize(10)
    axes.set_xlim(-REACH, REACH)
    axes.set_ylim(place - 0.4, -0.8)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("difference, percentage points")
    axes.plot([], [], "D", color=INK, markerfacecolor="none", label="the paper's")
    axes.plot([], [], "o", color=COLOURS["mixup"], label="ours, the paper's recipe as far as it is stated")
    axes.plot([], [], "o", color=COLOURS["mixup"], alpha=0.5, label="ours, small or other data")
    return framed(figure, title="What the paper claims, and what we see", caption=caption, legend=[axes])


def draw_effect(axes: Axes, y: float, one: Effect) -> None:
    """The paper's difference, ours and its interval, and n."""
    strength = 1.0 if one.group is None else 0.5
    low, high = (one.ours.mean if end is None else end for end in (one.ours.low, one.ours.high))
    axes.plot(np.clip([low, high], -REACH, REACH), [y, y], color=COLOURS["mixup"], linewidth=1.6, alpha=strength)
    mark(axes, one.ours.mean, y, "o", 0, color=COLOURS["mixup"], markersize=5, alpha=strength)
    if one.paper is not None:
        both = abs(one.ours.mean) > REACH and one.ours.mean * one.paper > 0  # then the paper's stands beside ours
        mark(axes, one.paper, y, "D", both, color=INK, markerfacecolor="none", markersize=4.5)
    axes.annotate(f"n={one.ours.n}", (1.01, y), xycoords=axes.get_yaxis_transform(), va="center", fontsize=8)


def mark(axes: Axes, x: float, y: float, shape: str, place: int, **look: Any) -> None:
    """A mark at x; one that lies out of reach is an arrow at the edge with its number. place: counted from the edge."""
    if abs(x) <= REACH:
        axes.plot(x, y, shape, **look)
        return
    side = 1 if x > 0 else -1
    edge = REACH - 0.3 - 2.6 * place
    axes.plot(side * edge, y, ">" if side > 0 else "<", **look)
    where: dict[str, Any] = {"ha": "right" if side > 0 else "left", "va": "center"}
    axes.annotate(f"{x:+.0f}", (side * (edge - 0.5), y), fontsize=8, color=look["color"], **where)


def label_of(one: Effect, papers: Mapping[str, Experiment]) -> str:
    """`Table 2: mixup, alpha 32 < ERM (last epoch)`. One that is too long lacks its middle, since its ends tell it apart."""
    numbers = {name: experiment_title(name, papers).partition(":")[0] for name in papers}
    title, data = numbers[one.experiment], papers[one.experiment].data
    if data and list(numbers.values()).count(title) > 1:
        title = f"{title}, {data}"
    measures = {claim.measure for claim in papers[one.experiment].claims if claim.better}
    measure = f" ({one.measure.title.removeprefix('test error, ')})" if len(measures) > 1 else ""
    room = LONGEST - len(f"{title}: {measure}")
    what = one.what if len(one.what) <= room else f"{one.what[: room // 2]}…{one.what[room // 2 + 1 - room :]}"
    return f"{title}: {what}{measure}"
