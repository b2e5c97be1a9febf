"""Turns the runs of `python train.py -m experiment=quickstart` into results/quickstart.md and results/quickstart.png."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixup.run.compose import planned
from mixup.run.records import Cell, Record, cells, read_metrics, read_record

ROOT = Path(__file__).resolve().parent.parent
COLOURS = {"ERM": "#c2571a", "mixup": "#1a6fc2"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="as runs_dir of the sweep (default runs)")
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="where the table and the picture go")
    options = parser.parse_args()
    tasks = planned(["experiment=quickstart", f"runs_dir={options.runs}"], multirun=True)
    found = {task.folder: read_record(task.folder) for task in tasks}
    records = {folder: record for folder, record in found.items() if record is not None}
    if not records:
        print(
            f"no finished run of the quick start in {options.runs}: first python train.py -m experiment=quickstart",
            file=sys.stderr,
        )
        return 2
    options.out.mkdir(exist_ok=True)
    (options.out / "quickstart.md").write_text(table(list(records.values())))
    picture(records, options.out / "quickstart.png")
    print(f"wrote {options.out / 'quickstart.md'} and {options.out / 'quickstart.png'}")
    return 0


def method(record: Record) -> str:
    return "mixup" if record["alpha"] else "ERM"


def noise(record: Record) -> float:
    return record["config"]["data"]["label_noise"]


def pick(records: list[Record], share: float, name: str) -> list[Record]:
    return [record for record in records if noise(record) == share and method(record) == name]


def single(records: list[Record], *keys: str) -> Cell:
    """The one cell that these records belong to."""
    (cell,) = cells(records, *keys)
    return cell


def table(records: list[Record]) -> str:
    """Markdown: label noise x method, mean ± standard deviation over seeds."""
    first = records[0]
    rows = []
    for share in sorted({noise(record) for record in records}):
        for name in COLOURS:
            group = pick(records, share, name)
            if group:
                last = single(group, "test", "top1_error", "last")
                memorised = str(single(group, "train", "corrupted_label_error")) if share else "-"
                rows.append(f"| {share:.0%} | {name} | {last} | {memorised} |")
    alphas = sorted({record["alpha"] for record in records if record["alpha"]})
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
            f"{sum(record['train_seconds'] for record in records):.0f} s of training on {first['device']}. "
            "Not a result of the paper: its smallest data set is CIFAR-10.",
            "",
            "Made by `make run`.",
            "",
            "![test error of ERM and mixup with clean and with noisy labels](quickstart.png)",
            "",
        ]
    )


def picture(records: dict[Path, Record], file: Path) -> None:
    """Bars of the last test error with one dot a seed, and beside them the noisy runs' test error over the epochs."""
    shares = sorted({noise(record) for record in records.values()})
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    bars, curves = figure.subplots(1, 2)
    draw_bars(bars, list(records.values()), shares)
    draw_curves(curves, records, shares[-1])
    figure.savefig(file, dpi=150)


def draw_bars(axes: Axes, records: list[Record], shares: list[float]) -> None:
    for offset, name in zip((-0.2, 0.2), COLOURS, strict=True):
        for place, share in enumerate(shares):
            group = pick(records, share, name)
            if not group:
                continue
            cell = single(group, "test", "top1_error", "last")
            axes.bar(
                place + offset, cell.mean, width=0.36, color=COLOURS[name], label=name if place == 0 else None, alpha=0.85
            )
            spread = np.linspace(-0.08, 0.08, len(cell.errors)) if len(cell.errors) > 1 else [0.0]
            axes.plot(place + offset + spread, cell.errors, "o", color="black", markersize=3.5)
            axes.annotate(
                f"{cell.mean:.1f}", (place + offset, max(cell.errors)), (0, 5), textcoords="offset points", ha="center"
            )
    axes.set_xticks(range(len(shares)), [f"{share:.0%} of labels replaced" if share else "clean labels" for share in shares])
    axes.set_ylabel("test error after the last epoch (%)")
    axes.margins(y=0.12)
    axes.set_title("Test error, one dot a seed")
    axes.legend(frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)


def draw_curves(axes: Axes, records: dict[Path, Record], share: float) -> None:
    for name, colour in COLOURS.items():
        folders = [folder for folder, record in records.items() if noise(record) == share and method(record) == name]
        if not folders:
            continue
        runs = [[line["test_top1_error"] for line in read_metrics(folder) if "epoch" in line] for folder in folders]
        errors = np.array(runs)
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
