"""The quick start's picture: of committed evidence, and by `make run` of the runs that are there."""

from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from mixup.errors import UserError
from mixup.figures.curves import ERROR, draw_bars, draw_curves, mean
from mixup.figures.panels import framed
from mixup.figures.sheets import Sheet, caption, sheet_of
from mixup.figures.style import WIDTH, Picture, write_png
from mixup.ledger.collect import evidence_of
from mixup.ledger.evidence import Evidence
from mixup.ledger.metrics import LAST
from mixup.run.compose import planned
from mixup.run.overrides import quoted
from mixup.run.records import read_record

NAME = "quickstart"


def quickstart_picture(sheet: Sheet) -> Picture:
    """For the pages of results."""
    full = replace(sheet, scale="full")  # the paper has no digits
    text = f"Test error of ERM and mixup on digits, with clean and with noisy labels. {caption(full)}."
    *_, noisy = full.panels.values()
    errors = " and ".join(f"{full.name(cell)} ends at {mean(cell, LAST):.1f} %" for cell in noisy)
    says = (
        "mixup should end lower than ERM, most of all where labels are wrong. Of those "
        f"{errors}. ERM learns some of the wrong labels by heart, as the rise of its curve shows."
    )
    return Picture(f"{NAME}-{sheet.scale}", NAME, text, lambda: figure(full), says)


def write_quickstart(runs: Path) -> Path:
    """Draws the finished runs below `runs`, the `runs_dir` of the sweep, beside them. UserError where there are none."""
    file = runs / NAME / f"{NAME}.png"
    sheet = replace(sheet_of(NAME, "paper", finished(runs)), scale="full")
    write_png(lambda: figure(sheet), file)
    return file


def finished(runs: Path) -> list[Evidence]:
    folders = [task.folder for task in planned([f"experiment={NAME}", quoted("runs_dir", str(runs))], multirun=True)]
    found = [evidence_of(folder) for folder in folders if read_record(folder)]
    if not found:
        raise UserError(f"no finished run of the quick start in {runs}: first python train.py -m experiment={NAME}")
    return found


def figure(sheet: Sheet) -> Figure:
    """Bars for each share of replaced labels, and beside them the test error over epochs with the most of them replaced."""
    picture = Figure(figsize=(WIDTH, 3.6))
    axes = picture.subplot_mosaic([[title, "curves"] for title in sheet.panels])
    bars = [axes[title] for title in sheet.panels]
    for place, (title, cells) in zip(bars, sheet.panels.items()):
        draw_bars(place, sheet, cells)
        place.set_title(title or "clean labels")
    room = 1.15 * max(place.get_xlim()[1] for place in bars)  # for the numbers at the right of these narrow panels
    for place in bars:
        place.set_xlim(0, room)
    title, cells = [*sheet.panels.items()][-1]
    draw_curves(axes["curves"], sheet, cells, ERROR)
    axes["curves"].set(title=f"{title or 'clean labels'}: mean and range", ylim=(0, 60))
    legend = [axes["curves"], bars[0]]
    return framed(picture, title="ERM against mixup on handwritten digits", caption=caption(sheet), legend=legend)
