"""Pictures of what is measured on finished runs, drawn from its JSON alone."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mixup.evaluation.settings import ATTACKS
from mixup.ledger.paper import Figure2

Values = Mapping[str, Any]
Line = Literal["-", "--", ":", "-."]
Shown = tuple[str, float, Values]  # a run's name, its alpha, what was measured

ERM, MIXUP = "#c2571a", "#1a6fc2"
OTHERS = ("#2e8b57", "#8a4fbf")  # of a second run of the same method
ATTACK_COLOURS = ("#4c72b0", "#dd8452", "#55a868")
MARKERS = ("o", "s", "^", "D")
LINES: tuple[Line, ...] = ("-", "--", ":", "-.")
CORRUPTIONS = {"noise": "noise", "blur": "blur", "contrast": "low contrast", "jpeg": "JPEG"}  # what they are called
LETTERS = 90  # of a line in a legend


def colours(alphas: Sequence[float]) -> list[str]:
    """One a run: ERM's or mixup's, and another where a method comes twice."""
    found: list[str] = []
    for alpha in alphas:
        own = MIXUP if alpha else ERM
        found.append(own if own not in found else next(colour for colour in OTHERS if colour not in found))
    return found


def titled(name: str, alpha: float) -> str:
    """The method, and the run's name, broken where it is long."""
    return broken(f"{f'mixup, alpha {alpha:g}' if alpha else 'ERM'}: {name}")


def broken(name: str) -> str:
    return "\n".join(textwrap.wrap(re.sub(r",(?! )", ", ", name), LETTERS))


def plain(axes: Axes, title: str, **settings: Any) -> None:
    """Labels, and no more ink than they need."""
    axes.set_title(title, fontsize=10)
    axes.set(**settings)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.5)


# -- card.png ------------------------------------------------------------------------------------------------------------


def draw_card(file: Path, runs: Sequence[Shown]) -> None:
    """Four panels: reliability, corruptions, attacks, misses between training points; a colour a run. values: of a card."""
    figure = Figure(figsize=(10, 8), layout="constrained")
    (diagram, corruptions), (attacks, between) = figure.subplots(2, 2)
    chosen = colours([alpha for _, alpha, _ in runs])
    handles = [Line2D([], [], color=colour, label=titled(name, alpha)) for colour, (name, alpha, _) in zip(chosen, runs)]
    figure.legend(handles=handles, loc="outside upper center", frameon=False, fontsize=8)
    cards = [(colour, values) for colour, (_, _, values) in zip(chosen, runs)]
    draw_reliability(diagram, cards)
    draw_curves(corruptions, cards, "corruptions", CORRUPTIONS)
    plain(corruptions, "Corrupted test images", xlabel="severity (0: unchanged)", ylabel="top-1 error (%)", xticks=range(4))
    draw_curves(attacks, cards, "attacks", ATTACKS)
    plain(attacks, "Adversarial examples, white box", xlabel="epsilon (grey levels of 255)", ylabel="top-1 error (%)")
    draw_curves(between, cards, "between", {"miss": ""})
    plain(between, "Between training points", xlabel="lambda", ylabel="misses: neither label predicted (%)")
    between.set_ylim(0, 1.05 * between.get_ylim()[1])
    figure.savefig(file, dpi=150)


def draw_reliability(axes: Axes, cards: Sequence[tuple[str, Values]]) -> None:
    """Confidence against accuracy; points as large as their share of the predictions."""
    axes.plot([0, 100], [0, 100], color="grey", linewidth=0.8, linestyle="--", label="confidence = accuracy")
    for colour, card in cards:
        bins = card["reliability"]
        points = [row for row in zip(bins["confidence"], bins["accuracy"], bins["count"]) if row[2]]
        x, y, count = zip(*points)
        axes.plot(x, y, color=colour, linewidth=1)
        axes.scatter(x, y, s=[12 + 250 * n / sum(count) for n in count], color=colour, alpha=0.6)
    limits = {"xlim": (0, 105), "ylim": (0, 105)}
    plain(axes, "Reliability", xlabel="confidence (%)", ylabel="accuracy (%), size: share of predictions", **limits)
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def draw_curves(axes: Axes, cards: Sequence[tuple[str, Values]], group: str, names: Mapping[str, str]) -> None:
    """A line for each kind of a group of measures and each run, over what comes last in the measure's name."""
    drawn = False
    for name, line, marker in zip(names, LINES, MARKERS):
        for colour, card in cards:
            measures, prefix = card["measures"], f"{group}/{name}/"
            points = [(float(key.rpartition("/")[2]), value) for key, value in measures.items() if key.startswith(prefix)]
            if points and group == "corruptions":
                points.insert(0, (0.0, measures["attacks/fgsm/0"]))  # of the same examples
            if points:
                axes.plot(*zip(*sorted(points)), line, marker=marker, markersize=4, linewidth=1.2, color=colour)
                drawn = True
    if not drawn:
        axes.text(0.5, 0.5, "not measured: no images", ha="center", va="center", transform=axes.transAxes, color="grey")
    elif len(names) > 1:
        looks = zip(names.values(), LINES, MARKERS)
        handles = [Line2D([], [], color="grey", linestyle=line, marker=m, markersize=4, label=n) for n, line, m in looks]
        axes.legend(handles=handles, frameon=False, fontsize=8, handlelength=4)


# -- attacks.png ---------------------------------------------------------------------------------------------------------


def draw_attacks(file: Path, title: str, results: Sequence[Values]) -> None:
    """Top-1 and top-5 error over epsilon: a colour an attack, a kind of line for what the examples are made on. results: of
    attacks.json."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    panels = figure.subplots(1, 2)
    curves: dict[tuple[str, str], list[Values]] = {}
    for result in sorted(results, key=lambda result: result["eps"]):
        curves.setdefault((result["source"], result["attack"]), []).append(result)
    sources = list(dict.fromkeys(source for source, _ in curves))
    for axes, top in zip(panels, (1, 5)):
        for (source, attack), points in curves.items():
            place = list(ATTACKS).index(attack)
            axes.plot(
                [point["eps"] for point in points],
                [point[f"top{top}_error"] for point in points],
                LINES[sources.index(source) % len(LINES)],
                marker=MARKERS[place],
                color=ATTACK_COLOURS[place],
                markersize=4,
            )
        labels = {"xlabel": "epsilon (grey levels of 255)", "ylabel": f"top-{top} test error (%)"}
        plain(axes, f"Top-{top} error", ylim=(0, 102), **labels)
    drawn = {attack for _, attack in curves}
    handles = [
        *(
            Line2D([], [], color=colour, marker=marker, markersize=4, label=ATTACKS[name])
            for name, colour, marker in zip(ATTACKS, ATTACK_COLOURS, MARKERS)
            if name in drawn
        ),
        *(
            Line2D([], [], color="grey", linestyle=line, label="white box" if name == "self" else broken(f"made on {name}"))
            for name, line in zip(sources, cycle(LINES))
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", frameon=False, fontsize=8, ncols=2, handlelength=4)
    figure.suptitle(broken(title), fontsize=9)
    figure.savefig(file, dpi=150)


# -- between.png ---------------------------------------------------------------------------------------------------------


def draw_between(file: Path, runs: Sequence[Shown], paper: Figure2) -> None:
    """Figure 2: misses and gradient norms over lambda, with standard errors, and the paper's as thin dashed lines. Its norms
    are in a unit that it does not state, and have an axis of their own. values: of between.json.
    """
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    panels = figure.subplots(1, 2)
    chosen = colours([alpha for _, alpha, _ in runs])
    what = {
        "miss": ("Prediction is neither label", "misses (%)"),
        "gradient_norm": ("Gradient of the loss by the input", "norm (nats per normalised unit)"),
    }
    for axes, (measure, (title, label)) in zip(panels, what.items()):
        for colour, (name, alpha, values) in zip(chosen, runs):
            error = values["miss_error" if measure == "miss" else "gradient_error"]
            style = {"color": colour, "marker": "o", "markersize": 3, "linewidth": 1.2, "elinewidth": 0.8}
            axes.errorbar(values["lam"], values[measure], error, label=titled(name, alpha), **style)
        plain(axes, title, xlabel="lambda", ylabel=label)
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
        drawn = axes if measure == "miss" else axes.twinx()
        for method, colour in (("ERM", ERM), ("mixup", MIXUP)):
            lam, value = zip(*paper[measure][method])
            drawn.plot(lam, value, "--", color=colour, linewidth=0.8, label=f"{method} in the paper")
        if drawn is not axes:
            drawn.set(ylabel="norm in the paper, dashed (unit not stated)", ylim=(0, None))
            drawn.spines["top"].set_visible(False)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", frameon=False, fontsize=8, ncols=2)
    figure.savefig(file, dpi=150)
