"""Pictures of what `eval.py` measures on one or two finished runs, drawn from its JSON alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixup.evaluation.settings import ATTACKS
from mixup.figures.evaluations import (
    MEANING,
    MEASURES,
    attack_figure,
    between_figure,
    draw_reliability,
)
from mixup.figures.panels import Line, band, framed
from mixup.figures.style import COLOURS, INK, PALETTE, WIDTH, write_png
from mixup.ledger.figure2 import Figure2

Values = Mapping[str, Any]
Run = tuple[str, float, Values]  # its name, its alpha, what was measured

CORRUPTIONS = {"noise": "noise", "blur": "blur", "contrast": "low contrast", "jpeg": "JPEG"}  # in words
STYLES = ("o-", "s--", "^:", "D-.")  # of lines that share a colour


def run_lines(runs: Sequence[Run]) -> list[Line]:
    """A line a run, in its method's colour; a second run of a method has another."""
    lines: list[Line] = []
    for _, alpha, values in runs:
        name, colour = (f"mixup, alpha {alpha:g}", COLOURS["mixup"]) if alpha else ("ERM", COLOURS["ERM"])
        again = " (second run)" if name in [line.name for line in lines] else ""
        lines.append(Line(name + again, PALETTE[0] if colour in [line.colour for line in lines] else colour, [values]))
    return lines


def names_of(runs: Iterable[Run], lines: Iterable[Line]) -> str:
    """A caption that says which run each line is, with blanks where a long name may be broken."""
    return " ".join(f"{line.name}: {run[0].replace(',', ', ')}." for run, line in zip(runs, lines))


def draw_card(file: Path, runs: Sequence[Run]) -> None:
    """Four panels: reliability, corruptions, attacks, misses between training points; a colour a run. Values: of a card."""
    lines = run_lines(runs)

    def draw() -> Figure:
        figure = Figure(figsize=(WIDTH, 7.6))
        (diagram, corruptions), (attacks, between) = figure.subplots(2, 2)
        draw_reliability(diagram, lines)
        diagram.set_title("Reliability (size: share of predictions)")
        for line in lines:
            draw_card_line(corruptions, attacks, between, line)
        corruptions.set(title="Corrupted images", xlabel="severity (0: unchanged)", ylabel="test error (%)")
        attacks.set(title="Adversarial examples, white box", xlabel="ε (of 255)", ylabel="test error (%)")
        between.set(title="Between training points", xlabel="λ", ylabel=MEASURES["miss"][0])
        between.set_ylim(0, 1.05 * between.get_ylim()[1])
        for axes, names in ((corruptions, CORRUPTIONS), (attacks, ATTACKS)):
            name_styles(axes, list(names.values()))
        return framed(figure, title="Report card", caption=names_of(runs, lines), legend=[diagram])

    write_png(draw, file)


def draw_card_line(corruptions: Axes, attacks: Axes, between: Axes, line: Line) -> None:
    """One run's measures over severity, epsilon and lambda."""
    measures = line.runs[0]["measures"]

    def points(prefix: str) -> list[tuple[float, float]]:
        return sorted((float(key.rpartition("/")[2]), value) for key, value in measures.items() if key.startswith(prefix))

    for name, style in zip(CORRUPTIONS, STYLES):
        if places := points(f"corruptions/{name}/"):
            x, errors = zip((0.0, measures["attacks/fgsm/0"]), *places)  # without corruption, of the same examples
            band(corruptions, x, np.array([errors]), replace(line, style=style))
    for name, style in zip(ATTACKS, STYLES):
        if places := points(f"attacks/{name}/"):
            eps, errors = zip(*places)
            band(attacks, eps, np.array([errors]), replace(line, style=style))
    if places := points("between/miss/"):
        lam, misses = zip(*places)
        band(between, lam, np.array([misses]), line)


def name_styles(axes: Axes, names: Sequence[str]) -> None:
    """A legend of line styles, or the reason why there are no lines."""
    if not axes.lines:
        axes.text(0.5, 0.5, "not measured: no images", ha="center", va="center", transform=axes.transAxes)
        return
    handles = [axes.plot([], [], style, color=INK, label=name)[0] for name, style in zip(names, STYLES)]
    axes.legend(handles=handles, handlelength=3)


def draw_attacks(file: Path, title: str, results: Sequence[Values]) -> None:
    """Test errors over epsilon, a colour for each source of the adversarial examples. title: the run's name. results: of
    attacks.json."""
    by_source: dict[str, list[Values]] = {}
    for result in results:
        by_source.setdefault("on the net itself" if result["source"] == "self" else f"on {result['source']}", []).append(
            result
        )
    lines = [Line(name, colour, [{"results": same}]) for (name, same), colour in zip(by_source.items(), cycle(PALETTE))]
    note = f"{title.replace(',', ', ')}. In the legend: the net that the adversarial examples are made on."
    write_png(lambda: attack_figure({"": lines}, note), file)


def draw_between(file: Path, runs: Sequence[Run], paper: Figure2) -> None:
    """Figure 2: misses and gradient norms over lambda, with standard errors, and the paper's. Values: of between.json."""
    lines = run_lines(runs)
    note = f"{names_of(runs, lines)} Bars: standard errors over pairs. {MEANING}"
    write_png(lambda: between_figure({"ours": lines}, paper, note), file)
