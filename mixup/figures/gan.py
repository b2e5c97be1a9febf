"""Figure 5: what the generators of ERM's and mixup's GANs make, iteration by iteration, and how many modes they cover."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from mixup.figures.ink import COLOURS, PALETTE, band, framed, panels
from mixup.figures.picture import Picture
from mixup.ledger.evidence import Evidence
from mixup.ledger.names import GAMES
from mixup.run.records import Record, read_metrics, read_record

REAL, FAKE = COLOURS["mixup"], "#e07b1a"  # blue and orange, as in the paper
WINDOW = 1.25
MODES = {"ring": 8, "grid": 25}
NAMED = re.compile("(data|game|alpha|seed)=").match  # parts of a label that a panel says in words
DRAWN = 400  # points a panel: more hide each other

Points = Mapping[str, np.ndarray]  # `real` and `fake<iteration>`, each (N, 2)


@dataclass(frozen=True)
class Game:
    """A finished run. curve: columns of its metrics. points: of its snapshots, empty where they were not kept."""

    record: Record
    curve: Mapping[str, Sequence[float | None]]
    points: Points

    @property
    def data(self) -> str:
        return self.record["config"]["data"]["name"]

    @property
    def seed(self) -> int:
        return self.record["seed"]


def games_of(evidence: Sequence[Evidence]) -> list[Game]:
    """Those among the evidence."""
    return in_order([Game(run.record, run.curve, read_points([run.samples])) for run in evidence if run.is_gan])


def games_in(folder: Path) -> list[Game]:
    """The finished runs in a folder of runs."""
    games = []
    for run in sorted(folder.glob("*/")):
        record, lines = read_record(run), read_metrics(run)
        if record:
            curve = {key: [line[key] for line in lines] for key in ("step", "test_modes", "test_good_share")}
            games.append(Game(record, curve, read_points((run / "snapshots").glob("*.npz"))))
    return in_order(games)


def read_points(files: Iterable[Path]) -> Points:
    """Of one file of the evidence, or of a run's files `<iteration>.npz`; empty where there is none."""
    points: dict[str, np.ndarray] = {}
    for file in files:
        if file.exists():
            with np.load(file) as arrays:
                points |= {name + file.stem if name == "fake" else name: arrays[name] for name in arrays.files}
    return points


def in_order(games: Sequence[Game]) -> list[Game]:
    """Ring before grid, then by alpha, game and seed."""

    def place(game: Game) -> tuple[int, float, int, str, int]:
        record = game.record
        order = list(MODES).index(game.data), record["alpha"], list(GAMES).index(record["config"]["gan"]["game"])
        return (*order, record["label"], game.seed)

    return sorted(games, key=place)


def groups(games: Sequence[Game]) -> list[list[Game]]:
    """Games that differ in the seed alone, in order of first appearance."""
    found: dict[str, list[Game]] = {}
    for game in games:
        found.setdefault(game.record["cell"], []).append(game)
    return list(found.values())


def methods(games: Sequence[Game]) -> dict[str, str]:
    """By cell, how the discriminator was trained, and what differs from the defaults but is not the same in all games."""
    labels = {game.record["cell"]: [part for part in game.record["label"].split(",") if not NAMED(part)] for game in games}
    shared = {"", *set.intersection(*(set(parts) for parts in labels.values()))}
    return {
        game.record["cell"]: ", ".join(
            [
                f"mixup {game.record['alpha']:g}, {GAMES[game.record['config']['gan']['game']]}"
                if game.record["alpha"]
                else "ERM",
                *(part for part in labels[game.record["cell"]] if part not in shared),
            ]
        )
        for game in games
    }


# -- pictures ------------------------------------------------------------------------------------------------------------


def gan_pictures(evidence: Sequence[Evidence]) -> list[Picture]:
    """Samples of the first seed at the snapshots, and modes over iterations, for each scale."""
    pictures = []
    games = games_of(evidence)
    for scale in sorted({game.record["config"]["scale"] for game in games}):
        here = [game for game in games if game.record["config"]["scale"] == scale]
        shown = first_seed(here)
        if shown:
            note = samples_note(shown, scale)
            pictures.append(
                Picture(f"figure5_gan-{scale}", "figure5_gan", f"Figure 5. {note}", partial(draw_samples, shown, note))
            )
        note = modes_note(here, scale)
        pictures.append(
            Picture(f"figure5_gan-modes-{scale}", "figure5_gan", f"Figure 5. {note}", partial(draw_modes, here, note))
        )
    return pictures


def first_seed(games: Sequence[Game]) -> list[Game]:
    """The games of the lowest seed of which there are points."""
    kept = [game for game in games if game.points]
    return [game for game in kept if game.seed == min(one.seed for one in kept)]


def samples_note(shown: Sequence[Game], scale: str) -> str:
    return (
        f"{nets(shown)}; {scale} scale, seed {shown[0].seed}. Orange: what the generator makes; blue: the data. Below each "
        "panel: modes covered, by 1,000 samples."
    )


def modes_note(games: Sequence[Game], scale: str) -> str:
    counts = [len(group) for group in groups(games)]
    n = f"n={min(counts)}" + (f" to {max(counts)}" if max(counts) > min(counts) else "")
    return (
        f"{nets(games)}; {scale} scale, {n}. Mean and range over seeds, of 1,000 samples. A sample is good within 3 "
        "standard deviations of a mode; a mode is covered by a tenth of an equal share of the samples, all of them good."
    )


def nets(games: Sequence[Game]) -> str:
    config = games[0].record["config"]["model"]
    kinds = {"ring": "a ring of 8 Gaussians", "grid": "a 5 x 5 grid of Gaussians"}
    data = " and ".join(dict.fromkeys(kinds[game.data] for game in games))
    return f"{data[0].upper()}{data[1:]}; nets of {config['depth']} x {config['width']}"


def draw_samples(shown: Sequence[Game], note: str) -> Figure:
    """One row a data set and method, one column a snapshot."""
    steps = sorted({step for game in shown for step in game.record["config"]["gan"]["snapshots"]})
    figure, rows = panels(len(shown), len(steps), height=1.95)
    names = methods(shown)
    for row, game in zip(rows, shown):
        row[0].set_ylabel(textwrap.fill(f"{game.data}, {names[game.record['cell']]}", 16), fontsize=12)
        for step, axes in zip(steps, row):
            if f"fake{step}" in game.points:
                modes = dict(zip(game.curve["step"], game.curve["test_modes"]))[step] or 0
                draw_points(axes, game.points["real"], REAL, size=4, alpha=1.0)
                draw_points(axes, game.points[f"fake{step}"], FAKE, size=2.2, alpha=0.7)
                axes.set_xlabel(f"{modes:.0f} of {game.record['data']['modes']} modes", fontsize=11)
            axes.set(xticks=[], yticks=[], xlim=(-WINDOW, WINDOW), ylim=(-WINDOW, WINDOW), aspect="equal")
            axes.spines[["top", "right"]].set_visible(True)
    for step, axes in zip(steps, rows[0]):
        axes.set_title(f"iteration {step:,}", fontsize=11)
    return framed(figure, title="Figure 5: samples of the generator", caption=note)


def draw_points(axes: Axes, points: np.ndarray, colour: str, *, size: float, alpha: float) -> None:
    """All points that are to be seen as one path of dots: a marker each would be ten times as many bytes."""
    places = points[:DRAWN][(np.abs(points[:DRAWN]) <= WINDOW).all(1)]
    if not len(places):
        return
    outline = Outline(np.repeat(places, 2, 0), [Outline.MOVETO, Outline.LINETO] * len(places))
    outline.should_simplify = False
    dots = PathPatch(outline, fill=False, edgecolor=colour, linewidth=size, alpha=alpha, capstyle="round")
    axes.add_patch(dots)


def draw_modes(games: Sequence[Game], note: str) -> Figure:
    """Modes covered and good samples over the iterations."""
    data_sets, names = list(dict.fromkeys(game.data for game in games)), methods(games)
    figure, rows = panels(len(data_sets), 2, height=3.0)
    for data, row in zip(data_sets, rows):
        here = [group for group in groups(games) if group[0].data == data]
        others = cycle([COLOURS["mixup"], *PALETTE])
        for group in here:
            colour = next(others) if group[0].record["alpha"] else COLOURS["ERM"]
            for axes, key in zip(row, ("test_modes", "test_good_share")):
                draw_range(axes, group, key, colour=colour, label=names[group[0].record["cell"]])
        row[0].set(xlabel="iteration", ylabel=f"modes of the {data}", ylim=(0, 1.03 * MODES[data]))
        row[1].set(xlabel="iteration", ylabel="good samples (%)", ylim=(0, 103))
    return framed(figure, title="Figure 5: modes covered", caption=note, legend=rows[:, 0])


def draw_range(axes: Axes, group: Sequence[Game], key: str, *, colour: str, label: str) -> None:
    lines = [dict(zip(game.curve["step"], game.curve[key])) for game in group]
    steps = sorted(step for step in set.intersection(*map(set, lines)) if step is not None)
    values = np.array([[run[step] for step in steps] for run in lines], float)
    band(axes, steps, values, colour=colour, label=label)
