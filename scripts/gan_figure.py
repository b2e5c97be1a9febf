"""Draws figure 5 from the records of `python scripts/train_gan.py -m`: what ERM's and mixup's generators make, iteration by
iteration, and how many modes they cover, with the spread over seeds; and writes the table."""

from __future__ import annotations

import argparse
import sys
from itertools import cycle
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixup.records import Record, cells, read_metrics, read_record

ROOT = Path(__file__).resolve().parent.parent
REAL, FAKE = "#1f77b4", "#ff7f0e"  # blue and orange, as in the paper
COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860")  # of the curves, ERM's first
WINDOW = 1.25
MODES = {"ring": 8, "grid": 25}
Runs = dict[Path, Record]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "gan", help="the runs' folder (default runs/gan)")
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="where the table and the pictures go")
    parser.add_argument("--scale", default="paper", help="paper (default) or cpu")
    parser.add_argument("--seed", type=int, default=0, help="the seed whose samples are shown (default 0)")
    options = parser.parse_args()
    runs = finished(options.runs, options.scale)
    if not runs:
        print(
            f"no finished run of scale={options.scale} in {options.runs}: first python scripts/train_gan.py -m "
            f"scale={options.scale}",
            file=sys.stderr,
        )
        return 2
    name = "figure5_gan" + ("" if options.scale == "paper" else f"-{options.scale}")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{name}.md").write_text(table(runs, name, options.seed))
    draw_samples(runs, options.out / f"{name}.png", seed=options.seed)
    draw_curves(runs, options.out / f"{name}-modes.png")
    print(f"wrote {options.out / name}.md, .png and -modes.png from {len(runs)} runs")
    return 0


def finished(folder: Path, scale: str) -> Runs:
    """The finished runs of one scale: ring before grid, then by alpha, game and seed."""
    records = {run: read_record(run) for run in sorted(folder.glob("*/"))}
    found = {run: record for run, record in records.items() if record and record["config"]["scale"] == scale}

    def place(item: tuple[Path, Record]) -> tuple[int, float, int, int]:
        _, record = item
        games = ("paper", "unmixed", "author")
        return list(MODES).index(record["config"]["data"]), record["alpha"], games.index(record["game"]), record["seed"]

    return dict(sorted(found.items(), key=place))


def method(record: Record) -> str:
    """How the discriminator was trained, and what differs from the defaults."""
    names = {"paper": "the paper's formula", "unmixed": "generator unmixed", "author": "the author's code"}
    changed = [part for part in record["label"].partition("data=")[0].split(",") if part and not part.startswith("scale=")]
    mixup = f"mixup {record['alpha']:g}, {names[record['game']]}"
    return ", ".join([mixup if record["alpha"] else "ERM", *changed])


def groups(runs: Runs) -> list[Runs]:
    """Runs that differ in the seed alone, in order of first appearance."""
    found: dict[str, Runs] = {}
    for run, record in runs.items():
        found.setdefault(record["cell"], {})[run] = record
    return list(found.values())


# -- the table -----------------------------------------------------------------------------------------------------------


def table(runs: Runs, name: str, seed: int) -> str:
    """Markdown: data x method after the last iteration, mean ± standard deviation over seeds."""
    columns = ("modes", "good_share", "modes_loose", "good_share_loose", "in_window", "slope")
    rows = []
    for group in groups(runs):
        first = next(iter(group.values()))
        data = first["config"]["data"]
        values = [cells(list(group.values()), "last", column)[0] for column in columns]
        each = ", ".join(f"{modes:.0f}" for modes in values[0].errors)
        rows.append(f"| {data} ({MODES[data]}) | {method(first)} | {' | '.join(map(str, values))} | {each} |")
    first = next(iter(runs.values()))
    config = first["config"]
    return "\n".join(
        [
            f"# Figure 5: a GAN trained with ERM and with mixup (scale={config['scale']})",
            "",
            "| data (modes) | method | modes covered | good samples % | modes, loosely | good samples %, loosely "
            "| samples in the picture % | slope of d | modes covered, each seed |",
            "|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"After {config['iterations']:,} iterations, mean ± standard deviation (number of seeds), of 1,000 samples. A "
            "sample is good within 3 standard deviations of a mode, loosely within 10; a mode is covered by a tenth of an "
            "equal share of the samples, all of them good. The slope is the mean norm of the gradient of the "
            "discriminator's logit at the samples. The paper gives a picture and no numbers.",
            "",
            f"![samples]({name}.png)",
            f"![modes covered over the iterations]({name}-modes.png)",
            "",
            f"Samples of seed {seed}. Networks of {config['depth']} x {config['width']}, "
            f"on {first['device']}. Made by `python scripts/gan_figure.py`.",
            "",
        ]
    )


# -- the pictures --------------------------------------------------------------------------------------------------------


def draw_samples(runs: Runs, file: Path, *, seed: int) -> None:
    """One row a data set and method, one column a snapshot: generated points in orange over real ones in blue."""
    shown = {run: record for run, record in runs.items() if record["seed"] == seed}
    if not shown:
        raise SystemExit(f"no run of seed {seed} is there: --seed takes another")
    steps = sorted({int(step) for record in shown.values() for step in record["snapshots"]})
    figure = Figure(figsize=(1.9 * len(steps) + 0.3, 2.1 * len(shown) + 0.2), layout="constrained")
    panels = figure.subplots(len(shown), len(steps), squeeze=False)
    for row, (run, record) in zip(panels, shown.items()):
        row[0].set_ylabel(method(record).replace(", ", "\n"), fontsize=9)
        for step, axes in zip(steps, row):
            values = record["snapshots"].get(str(step))
            if values:
                draw_points(axes, run / "snapshots" / f"{step}.npz")
                axes.set_xlabel(f"{values['modes']} of {record['data']['modes']} modes", fontsize=8)
            axes.set(xticks=[], yticks=[], xlim=(-WINDOW, WINDOW), ylim=(-WINDOW, WINDOW), aspect="equal")
    for step, axes in zip(steps, panels[0]):
        axes.set_title(f"iteration {step:,}", fontsize=10)
    figure.savefig(file, dpi=150)


def draw_points(axes: Axes, file: Path) -> None:
    with np.load(file) as points:
        axes.plot(*points["real"].T, ".", color=REAL, markersize=4)
        axes.plot(*points["fake"].T, ".", color=FAKE, markersize=2, alpha=0.5)


def draw_curves(runs: Runs, file: Path) -> None:
    """Modes covered and good samples over the iterations: the mean over seeds, and their range."""
    names = list(dict.fromkeys(record["config"]["data"] for record in runs.values()))
    figure = Figure(figsize=(9, 3 * len(names)), layout="constrained")
    panels = figure.subplots(len(names), 2, squeeze=False)
    for data, row in zip(names, panels):
        here = [group for group in groups(runs) if next(iter(group.values()))["config"]["data"] == data]
        for colour, group in zip(cycle(COLOURS), here):
            what = f"{method(next(iter(group.values())))} (n={len(group)})"
            draw_range(row[0], group, "test_modes", colour=colour, label=what)
            draw_range(row[1], group, "test_good_share", colour=colour, label=what)
        row[0].set(title=data, xlabel="iteration", ylabel="modes covered", ylim=(0, MODES[data]))
        row[1].set(title=data, xlabel="iteration", ylabel="good samples (%)", ylim=(0, 100))
        row[1].legend(frameon=False, fontsize=8)
    figure.savefig(file, dpi=150)


def draw_range(axes: Axes, group: Runs, key: str, *, colour: str, label: str) -> None:
    lines = [{line["step"]: line[key] for line in read_metrics(run)} for run in group]
    steps = sorted(set.intersection(*map(set, lines)))
    values = np.array([[run[step] for step in steps] for run in lines])
    axes.plot(steps, values.mean(0), color=colour, label=label)
    axes.fill_between(steps, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    sys.exit(main())
