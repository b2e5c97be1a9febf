"""Figures of what is measured on finished runs: attacks (table 3), figures 1(b) and 2, calibration.

Functions that take lines draw the measurements of a run as well as those of evidence.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from mixup.evaluation.settings import ATTACKS
from mixup.figures.panels import Line, band, dots, log_scale, rows_figure
from mixup.figures.sheets import Sheet, caption, paper_values
from mixup.figures.style import COLOURS, INK, Picture
from mixup.ledger.cells import Cell
from mixup.ledger.evidence import Evidence
from mixup.ledger.figure2 import Figure2
from mixup.ledger.metrics import Measure, attack_results
from mixup.ledger.paper import Experiment

# -- adversarial examples ------------------------------------------------------------------------------------------------


def attacks(sheet: Sheet, paper: Experiment | None) -> Picture:
    lines = {
        title: [sheet.line(cell, [{"results": attack_results(run)} for run in cell.runs], "o-") for cell in cells]
        for title, cells in sheet.panels.items()
    }
    examples = sheet.cells[0].first.evaluations["attacks"]["examples"]
    note = (
        f"{caption(sheet)}, {examples:,} test examples. Mean and range over seeds. White box: examples made on the attacked "
        f"net itself; black box: on an ERM net of another seed.{' Diamonds: the paper, top-1.' if paper else ''}"
    )
    says = (
        "In the paper mixup errs less than ERM under FGSM and in the black box; under I-FGSM in the white box both err "
        "nearly always. Here, by FGSM at ε 4, "
        f"{compared(sheet, 'white_box.fgsm.top1_error', '%')} in the white box. The paper's reason: the gradient of the "
        "loss with respect to the input is smaller."
    )
    return sheet.picture("attacks", "Attacks", note, partial(attack_figure, lines, note, paper), says)


def compared(sheet: Sheet, metric: str, unit: str) -> str:
    """`ERM has 16.5 % and mixup, alpha 1 6.0 %`: means over the seeds of the first panel's cells."""
    measure = Measure(metric, "last")
    values = {sheet.name(cell): list(cell.values(measure).values()) for cell in next(iter(sheet.panels.values()))}
    return " and ".join(f"{name} has {np.mean(seen):.{measure.decimals}f} {unit}" for name, seen in values.items() if seen)


def attack_figure(titled: Mapping[str, Sequence[Line]], note: str, paper: Experiment | None = None) -> Figure:
    """Rows for the white and the black box, a column an attack. titled: lines whose runs are each an `attacks.json`."""
    results = [result for lines in titled.values() for line in lines for run in line.runs for result in run["results"]]
    names = [name for name in ATTACKS if any(result["attack"] == name for result in results)]
    boxes = [box for box in ("white", "black") if any(box_of(result) == box for result in results)]

    def draw_row(places: Sequence[Axes], row: tuple[str, str]) -> None:
        title, box = row
        for name, axes in zip(names, places):
            for line in titled[title]:
                draw_attack(axes, line, name, box)
            for method, value in paper_values(paper, f"{box}_box.{name}.top1_error", "last"):
                label = f"{method} in the paper"
                axes.plot(4, value, "D", color=COLOURS[method], markerfacecolor="none", label=label)
            axes.set(title=f"{ATTACKS[name]}, {box} box", xlabel="ε (of 255)", ylabel="test error (%)", ylim=(0, 103))
            axes.label_outer()
        places[0].set_title(", ".join(filter(None, [title, places[0].get_title("left")])))

    rows = [("", (title, box)) for title in titled for box in boxes]
    title = "Test error on adversarial examples"
    return rows_figure(rows, len(names), draw_row, title=title, caption=note, height=3.0, sharex=True, sharey=True)


def box_of(result: Mapping[str, Any]) -> str:
    return "white" if result["source"] == "self" else "black"


def draw_attack(axes: Axes, line: Line, attack: str, box: str) -> None:
    """Top-1 errors with their range over seeds, and dotted the means of the top-5 errors, where they are known."""
    runs = [
        {result["eps"]: result for result in run["results"] if result["attack"] == attack and box_of(result) == box}
        for run in line.runs
    ]
    runs = [run for run in runs if run]
    if not (eps := sorted(set.intersection(*map(set, runs)) if runs else ())):
        return
    for key, part in (("top1_error", line), ("top5_error", Line(f"{line.name}, top-5", line.colour, [], ":"))):
        if key in runs[0][eps[0]]:
            band(axes, eps, np.array([[run[place][key] for place in eps] for run in runs], float), part, spread=part is line)


# -- figure 2 ------------------------------------------------------------------------------------------------------------

MEASURES = {"miss": ("misses (%)", "miss_error"), "gradient_norm": ("gradient norm", "gradient_error")}  # standard errors
MEANING = (
    "At λ x_i + (1 - λ) x_j; a miss is a prediction of neither label; the gradient is that of the loss by the input. "
    "Dashed: the paper's curves at its own scale, read off its drawing; it does not state the unit of its gradients."
)


def between(sheet: Sheet, curves: Figure2) -> Picture:
    """curves: the paper's, digitised."""
    lines = {title or "ours": sheet.measured(cells, "between") for title, cells in sheet.panels.items()}
    pairs = sheet.cells[0].first.evaluations["between"]["pairs"]
    note = f"{caption(sheet)}, {pairs:,} pairs each. Mean and range over seeds. {MEANING}"
    name = "" if sheet.experiment == "figure2_between" else "between"
    says = (
        "Between two training points mixup should miss less often than ERM, and change less. At λ = 1/2 "
        f"{compared(sheet, 'between.miss_at_half', '% misses')}. There mixup has been trained, and ERM has not."
    )
    return sheet.picture(name, "Figure 2", note, partial(between_figure, lines, curves, note), says)


def between_figure(titled: Mapping[str, Sequence[Line]], curves: Figure2, note: str) -> Figure:
    """Misses and gradient norms over lambda, a row for each title, and one for the paper, whose scale and unit are others.
    titled: lines whose runs are each a `between.json`."""
    paper = [
        Line(f"{method} in the paper", colour, [dict(zip(("lam", measure), zip(*curves[measure][method])))], "--")
        for measure in MEASURES
        for method, colour in COLOURS.items()
    ]

    def draw_row(places: Sequence[Axes], lines: Sequence[Line]) -> None:
        for axes, (measure, (label, _)) in zip(places, MEASURES.items()):
            for line in lines:
                draw_measure(axes, line, measure)
            axes.set(xlabel="λ", ylabel=label, xlim=(0, 1))
        places[0].set_ylim(0, 1.05 * places[0].get_ylim()[1])
        log_scale(places[1])

    title = "Figure 2: misses and gradients between training points"
    return rows_figure([*titled.items(), ("the paper's", paper)], 2, draw_row, title=title, caption=note, height=2.9)


def draw_measure(axes: Axes, line: Line, measure: str) -> None:
    """The mean over seeds and their range; of a single run its standard error."""
    first, error = line.runs[0], line.runs[0].get(MEASURES[measure][1])
    if measure in first:
        band(axes, first["lam"], np.array([run[measure] for run in line.runs], float), line)
    if len(line.runs) == 1 and error is not None:
        axes.errorbar(first["lam"], first[measure], error, fmt="o", markersize=3, color=line.colour, elinewidth=0.8)


# -- calibration ---------------------------------------------------------------------------------------------------------


def calibration(sheet: Sheet) -> Picture:
    """Confidence against accuracy, and the calibration error before and after temperature scaling."""
    note = (
        f"{caption(sheet)}. Left: predictions of all seeds in 15 bins, points as large as their share; below the dashed "
        "line a net is too sure. Right: one mark a seed; temperature scaled: each half of the test set by the temperature "
        "of the other."
    )

    def draw_row(places: Sequence[Axes], lines: Sequence[Line]) -> None:
        draw_reliability(places[0], lines)
        for place, line in enumerate(lines):
            draw_calibration_errors(places[1], line, place)
        places[1].set(ylabel="calibration error, ECE (%)", ylim=(0, None), xlim=(-0.6, len(lines) - 0.4))
        places[1].set_xticks(range(len(lines)), [line.name for line in lines])
        places[1].grid(False, axis="x")

    rows = [(title, sheet.measured(cells, "card")) for title, cells in sheet.panels.items()]
    heading = "Calibration: confidence against accuracy"
    says = (
        "ERM's points should lie below the dashed line, where a net is too sure of itself, and mixup's nearer to it or "
        f"above. The calibration error: {compared(sheet, 'card.ece', '%')}. A mixed label never asks for full confidence."
    )
    return sheet.rows_picture("calibration", "Calibration", note, rows, 2, draw_row, heading=heading, height=4.0, says=says)


def draw_reliability(axes: Axes, lines: Sequence[Line]) -> None:
    """Confidence against accuracy in bins pooled over seeds, points as large as their share of the predictions. lines:
    whose runs are each a report card."""
    axes.plot([0, 100], [0, 100], "--", color=INK, linewidth=1)
    for line in lines:
        bins = {  # (seeds, bins); null in an empty bin
            name: np.nan_to_num(np.array([card["reliability"][name] for card in line.runs], float))
            for name in ("confidence", "accuracy", "count")
        }
        filled = bins["count"].sum(0) > 0
        count = bins["count"][:, filled]
        confidence, accuracy = ((bins[name][:, filled] * count).sum(0) / count.sum(0) for name in ("confidence", "accuracy"))
        axes.plot(confidence, accuracy, color=line.colour, label=line.name, linewidth=0.9)
        sizes = 3 + 280 * count.sum(0) / count.sum()
        axes.scatter(confidence, accuracy, s=sizes, color=line.colour, alpha=0.6, linewidths=0)
    axes.set(xlabel="confidence (%)", ylabel="accuracy (%)", xlim=(0, 101), ylim=(0, 101))


def draw_calibration_errors(axes: Axes, line: Line, place: int) -> None:
    """A mark a seed, and a dash at their mean."""
    for key, shift, marker, label in (("ece", -0.17, "o", "as trained"), ("ece_scaled", 0.17, "^", "temperature scaled")):
        values = [card["measures"][key] for card in line.runs if card["measures"].get(key) is not None]
        if values:
            axes.plot([place + shift] * len(values), values, marker, color=line.colour, alpha=0.8, markeredgewidth=0)
            axes.plot([], [], marker, color=INK, label=label)
            axes.hlines(np.mean(values), place + shift - 0.1, place + shift + 0.1, color=line.colour)


# -- figure 1(b) ---------------------------------------------------------------------------------------------------------

INNER, OUTER, SHADE = "#e07b1a", "#2e8b57", COLOURS["mixup"]  # orange, green and blue, as in the paper
LEVELS = 12  # of the shading


def surfaces(sheet: Sheet) -> Picture:
    """p(class 1 | x) in blue, ERM left and mixup right, with the training points."""
    cells = sheet.cells[:2]
    note = (
        f"{caption(sheet)}; shown is seed {cells[0].first.seed}. Blue: the probability of class 1, the inner ring (orange); "
        "class 0 is green. The unit is the outer ring's radius."
    )

    def draw_row(places: Sequence[Axes], row: Sequence[Cell]) -> None:
        for axes, cell in zip(places, row):
            shading = draw_surface(axes, cell.first.evaluations["surface"])
            axes.set_title(sheet.name(cell))
        ticks = [0, 0.25, 0.5, 0.75, 1]
        places[0].figure.colorbar(shading, ax=list(places), label="p(class 1 | x)", ticks=ticks, shrink=0.85)

    heading, rows = "Figure 1(b): the probability of class 1 on two rings", [("", cells)]
    shares = " and ".join(f"{sheet.name(cell)} on {undecided(cell.first):.0f} %" for cell in cells)
    says = (
        "ERM's blue should end at an edge between the rings, and mixup's fade. A probability from 0.1 to 0.9 has "
        f"{shares} of the picture. Between the rings lie mixup's mixtures, whose labels are mixtures, too."
    )
    return sheet.rows_picture("", "Figure 1(b)", note, rows, len(cells), draw_row, heading=heading, height=4.3, says=says)


def undecided(run: Evidence) -> float:
    """The share of the plane, in percent, in which the probability of class 1 lies from 0.1 to 0.9."""
    probability = np.array(run.evaluations["surface"]["probability"])
    return 100 * float(((probability >= 0.1) & (probability <= 0.9)).mean())


def draw_surface(axes: Axes, surface: Mapping[str, Any]) -> Any:
    """From transparent to blue, so that it is right on a page of any colour."""
    shades = [to_rgba(SHADE, 0.9 * step / (LEVELS - 1)) for step in range(LEVELS)]
    edges = np.linspace(0, 1, LEVELS + 1)
    shading = axes.contourf(surface["x"], surface["y"], surface["probability"], levels=edges, colors=shades)
    points, labels = np.array(surface["points"]), np.array(surface["labels"])
    for label, colour in ((0, OUTER), (1, INNER)):
        dots(axes, points[labels == label], "white", size=4.4)
        dots(axes, points[labels == label], colour, size=3.6)
    axes.set(aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    axes.grid(False)
    return shading
