"""Test error over epsilon on adversarial examples (table 3)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixup.evaluation.settings import ATTACKS
from mixup.figures.curves import looks
from mixup.figures.groups import Cell, Sheet, caption
from mixup.figures.ink import COLOURS, band, framed, panels
from mixup.figures.picture import Picture
from mixup.ledger.paper import Experiment


def attacks(whole: Sheet, paper: Mapping[str, Experiment]) -> list[Picture]:
    """Test error over epsilon: a row the white and the black box, a column an attack; one picture a data set and net."""
    sheet = whole.having("attacks")
    return [attack_picture(sheet, number, paper) for number in range(len(sheet.settings))]


def attack_picture(whole: Sheet, number: int, paper: Mapping[str, Experiment]) -> Picture:
    setting = whole.settings[number]
    sheet = Sheet(whole.experiment, whole.scale, (setting,))
    results = [one for cell in setting.cells for found in cell.measured("attacks") for one in found["results"]]
    names = [name for name in ATTACKS if any(one["attack"] == name for one in results)]
    boxes = ["white", *(["black"] if any(one["source"] != "self" for one in results) else [])]

    def draw() -> Figure:
        figure, rows = panels(len(boxes), len(names), height=3.0, sharex=True, sharey=True)
        look = looks([setting.cells])
        for box, row in zip(boxes, rows):
            for name, axes in zip(names, row):
                for cell in setting.cells:
                    draw_attack(axes, cell, name, box, look[cell.method].colour)
                if sheet.scale == "paper" and sheet.experiment in paper:
                    draw_paper_attacks(axes, paper[sheet.experiment], name, box)
                axes.set(ylim=(0, 103))
                axes.set_title(f"{ATTACKS[name]}, {box} box", fontsize=12)
            row[0].set_ylabel("test error (%)")
        for axes in rows[-1]:
            axes.set_xlabel("ε (of 255)")
        return framed(figure, title="Adversarial examples", caption=note, legend=rows.ravel())

    examples = setting.cells[0].measured("attacks")[0]["examples"]
    marks = " Diamonds: the paper's top-1 errors." if sheet.scale == "paper" and sheet.experiment in paper else ""
    note = (
        f"{caption(sheet)}, {examples:,} test examples. Mean and range over seeds. White box: examples made on the attacked "
        f"net itself; black box: on an ERM net of another seed.{marks}"
    )
    more = "" if len(whole.settings) == 1 else f"-{number + 1}"
    return Picture(f"{sheet.experiment}-attacks{more}-{sheet.scale}", sheet.experiment, f"Attacks. {note}", draw)


def draw_attack(axes: Axes, cell: Cell, name: str, box: str, colour: str) -> None:
    """Top-1 errors with their range, and thin the top-5 ones."""
    runs = []
    for found in cell.measured("attacks"):
        mine = [one for one in found["results"] if one["attack"] == name and (one["source"] == "self") == (box == "white")]
        runs.append({one["eps"]: one for one in mine})
    runs = [run for run in runs if run]
    if not runs:
        return
    eps = sorted(set.intersection(*map(set, runs)))
    for key, line, label in (("top1_error", "o-", ""), ("top5_error", ":", ", top-5")):
        values = np.array([[run[one][key] for one in eps] for run in runs], float)
        if key == "top1_error":
            band(axes, eps, values, colour=colour, label=cell.method, line=line)
        else:
            axes.plot(eps, values.mean(0), line, color=colour, label=f"{cell.method}{label}")


def draw_paper_attacks(axes: Axes, paper: Experiment, name: str, box: str) -> None:
    for row in paper.rows:
        value = row.value(f"{box}_box.{name}.top1_error", "last")
        if value is not None and value.value is not None:
            method = "ERM" if row.method == "erm" else "mixup"
            axes.plot(4, value.value, "D", color=COLOURS[method], markerfacecolor="none", label=f"{method} in the paper")
