"""Turns the runs of `python train.py -m experiment=quickstart` into results/quickstart.md and results/quickstart.png."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixup.ledger.cells import Cell, cells_of
from mixup.ledger.names import method
from mixup.pages.sweep_table import evidence_of
from mixup.pages.texts import spread
from mixup.run.compose import planned
from mixup.run.records import read_record

ROOT = Path(__file__).resolve().parent.parent
COLOURS = {"ERM": "#c2571a", "mixup": "#1a6fc2"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="as runs_dir of the sweep (default runs)")
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="where the table and the picture go")
    options = parser.parse_args()
    tasks = planned(["experiment=quickstart", f"runs_dir={options.runs}"], multirun=True)
    cells = cells_of(evidence_of(task.folder) for task in tasks if read_record(task.folder) is not None)
    if not cells:
        print(
            f"no finished run of the quick start in {options.runs}: first python train.py -m experiment=quickstart",
            file=sys.stderr,
        )
        return 2
    options.out.mkdir(exist_ok=True)
    (options.out / "quickstart.md").write_text(table(cells))
    picture(cells, options.out / "quickstart.png")
    print(f"wrote {options.out / 'quickstart.md'} and {options.out / 'quickstart.png'}")
    return 0


def family(cell: Cell) -> str:
    return method(cell.settings).partition(",")[0]


def noise(cell: Cell) -> float:
    return cell.settings["data.label_noise"]


def by_method(cells: list[Cell], share: float) -> dict[str, Cell]:
    """ERM before mixup."""
    there = {family(cell): cell for cell in cells if noise(cell) == share}
    return {name: there[name] for name in COLOURS if name in there}


def table(cells: list[Cell]) -> str:
    """Markdown: label noise x method, mean ± standard deviation over seeds."""
    first, rows = cells[0].first.record, []
    for share in sorted({noise(cell) for cell in cells}):
        for name, cell in by_method(cells, share).items():
            last = spread(cell.values("test.top1_error", "last").values())
            memorised = spread(cell.values("train.corrupted_label_error", "last").values()) if share else "-"
            rows.append(f"| {share:.0%} | {name} | {last} | {memorised} |")
    alphas = sorted({alpha for cell in cells if (alpha := cell.settings["mixup.alpha"])})
    seconds = sum(run.record["train_seconds"] for cell in cells for run in cell.runs)
    return "\n".join(
        [
            "# Quick start: ERM against mixup on handwritten digits",
            "",
            "| labels replaced by noise | method | test error %, last epoch | train error % on the replaced labels |",
            "|---|---|---|---|",
            *rows,
            "",
            "Mean ± standard deviation (number of seeds). The last column is high where the network did not learn the "
            "noise by heart.",
            "",
            f"{first['data']['provenance']}: {first['data']['train_count']} training and {first['data']['test_count']} test "
            f"images; {first['config']['model']['name']}, {first['epochs']} epochs, mixup with alpha "
            f"{', '.join(f'{alpha:g}' for alpha in alphas)}. "
            f"{seconds:.0f} s of training on {first['device']}. "
            "Not a result of the paper: its smallest data set is CIFAR-10.",
            "",
            "Made by `make run`.",
            "",
            "![test error of ERM and mixup with clean and with noisy labels](quickstart.png)",
            "",
        ]
    )


def picture(cells: list[Cell], file: Path) -> None:
    """Bars of the last test error with one dot a seed, and beside them the noisy runs' test error over the epochs."""
    shares = sorted({noise(cell) for cell in cells})
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    bars, curves = figure.subplots(1, 2)
    draw_bars(bars, cells, shares)
    draw_curves(curves, cells, shares[-1])
    figure.savefig(file, dpi=150)


def draw_bars(axes: Axes, cells: list[Cell], shares: list[float]) -> None:
    for offset, name in zip((-0.2, 0.2), COLOURS, strict=True):
        for place, share in enumerate(shares):
            if name not in by_method(cells, share):
                continue
            errors = [*by_method(cells, share)[name].values("test.top1_error", "last").values()]
            mean, label = np.mean(errors), name if place == 0 else None
            axes.bar(place + offset, mean, width=0.36, color=COLOURS[name], label=label, alpha=0.85)
            dots = np.linspace(-0.08, 0.08, len(errors)) if len(errors) > 1 else np.zeros(1)
            axes.plot(place + offset + dots, errors, "o", color="black", markersize=3.5)
            at = (place + offset, max(errors))
            axes.annotate(f"{mean:.1f}", at, (0, 5), textcoords="offset points", ha="center")
    axes.set_xticks(range(len(shares)), [f"{share:.0%} of labels replaced" if share else "clean labels" for share in shares])
    axes.set_ylabel("test error after the last epoch (%)")
    axes.margins(y=0.12)
    axes.set_title("Test error, one dot a seed")
    axes.legend(frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)


def draw_curves(axes: Axes, cells: list[Cell], share: float) -> None:
    for name, cell in by_method(cells, share).items():
        colour, errors = COLOURS[name], cell.column("test_top1_error")
        epochs = np.arange(1, errors.shape[1] + 1)
        axes.plot(epochs, errors.mean(0), color=colour, label=name)
        axes.fill_between(epochs, errors.min(0), errors.max(0), color=colour, alpha=0.2, linewidth=0)
    axes.set_ylim(0, 60)
    axes.set_xlabel("epoch")
    axes.set_ylabel("test error (%)")
    axes.set_title(f"With {share:.0%} replaced: mean and range over seeds" if share else "Mean and range over seeds")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    sys.exit(main())
