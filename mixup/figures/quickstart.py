"""The quick start's table and picture, from the runs of `experiment=quickstart` that are there."""

from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

from matplotlib.figure import Figure

from mixup.errors import UserError
from mixup.figures.curves import ERROR, draw_bars, draw_curves
from mixup.figures.panels import framed
from mixup.figures.sheets import Sheet, caption, sheet_of
from mixup.figures.style import WIDTH, write_png
from mixup.ledger.cells import Cell
from mixup.ledger.collect import contents
from mixup.ledger.evidence import Evidence, parsed
from mixup.ledger.metrics import Measure
from mixup.run.compose import planned
from mixup.run.records import read_record

PAGE = """\
# Quick start: ERM against mixup on handwritten digits

| labels replaced by noise | method | test error %, last epoch | train error % on the replaced labels |
|---|---|---|---|
{rows}

Mean ± standard deviation (number of seeds). The last column is high where the network did not learn the noise by heart.

{caption}; {epochs} epochs; {examples} test examples. {seconds:.0f} s of training on {device}. \
The paper has no experiment on digits.

Made by `make run`.

![test error of ERM and mixup with clean and with noisy labels](quickstart.png)
"""


def write_quickstart(*, runs: Path, results: Path) -> list[Path]:
    """Writes `quickstart.md` and `quickstart.png`. runs: the `runs_dir` of the sweep. UserError without finished runs."""
    sheet = replace(sheet_of("quickstart", "paper", finished(runs)), scale="full")  # the paper has no digits
    results.mkdir(exist_ok=True)
    page, picture = results / "quickstart.md", results / "quickstart.png"
    page.write_text(table(sheet))
    write_png(lambda: figure(sheet), picture)
    return [page, picture]


def finished(runs: Path) -> list[Evidence]:
    folders = [task.folder for task in planned(["experiment=quickstart", f"runs_dir={runs}"], multirun=True)]
    found = [parsed(folder.with_name(f"{folder.name}.json"), contents(folder)) for folder in folders if read_record(folder)]
    if not found:
        raise UserError(f"no finished run of the quick start in {runs}: first python train.py -m experiment=quickstart")
    return found


def table(sheet: Sheet) -> str:
    """Markdown: label noise x method, mean ± standard deviation over seeds."""
    rows = []
    for cell in sheet.cells:
        noise = cell.settings["data.label_noise"]
        memorised = number(cell, "train.corrupted_label_error") if noise else "-"
        rows.append(f"| {noise:.0%} | {sheet.name(cell)} | {number(cell, 'test.top1_error')} | {memorised} |")
    records = [run.record for cell in sheet.cells for run in cell.runs]
    return PAGE.format(
        rows="\n".join(rows),
        caption=caption(sheet),
        epochs=records[0]["epochs"],
        examples=records[0]["data"]["test_count"],
        seconds=sum(record["train_seconds"] for record in records),
        device=records[0]["device"],
    )


def number(cell: Cell, metric: str) -> str:
    """`4.24 ± 0.05 (n=3)`."""
    values = list(cell.values(Measure(metric, "last")).values())
    spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{fmean(values):.2f}{spread} (n={len(values)})"


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
