"""Which set-up is behind table 4: every one that was tried, beside the paper's numbers."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import CapStyleType

from mixup.figures.panels import dots, framed, rows_figure, strokes
from mixup.figures.style import INK, PALETTE, WIDTH, Picture
from mixup.ledger.inference import Paired
from mixup.ledger.paper import Experiment
from mixup.ledger.setups import NAME, SCALINGS, Setup, against_erm, printed

SPLITS = {"random": ("o", "drawn rows"), "file_order": ("s", "first rows")}
ALPHAS = ("#9ecae1", "#6baed6", "#2f7fc1", "#0b4a8f")  # from the smallest to the largest


def setup_pictures(setups: Sequence[Setup], paper: Experiment) -> list[Picture]:
    """ERM's errors of every set-up, and mixup's difference to them; nothing without runs."""
    numbers = printed(paper, "erm")
    erm = [one for one in setups if one.alpha == 0 and one.data in numbers]
    if not erm:
        return []
    tables = dict.fromkeys(one.data for one in erm)
    fitting = {name: sum(one.fits(numbers[name][1]) for one in erm if one.data == name) for name in tables}
    tried = max(sum(one.data == name for one in erm) for name in tables)
    words = ", ".join(f"{numbers[name][0]} {count}" for name, count in fitting.items())
    text = (
        "Each dot is the mean of a set-up's seeds, large where the paper's number lies within the scatter of one run; "
        "those of one colour and mark differ in shuffling and initial weights."
    )
    says = (
        f"You should see dots on the dashed line, the paper's number, where a set-up may be the paper's. Of {tried} set-ups "
        f"so many have it within the scatter of one run: {words}. The paper states neither scaling nor shares nor splits, "
        "and they decide the error."
    )
    pictures = [Picture(f"{NAME}-erm", NAME, text, lambda: erm_figure(erm, paper, text), says)]
    if pairs := against_erm(setups):
        clear = [pair for _, pair in pairs if pair.interval and pair.interval.high is not None and pair.interval.high < 0]
        mixed = (
            "Dots are means over seeds, which share split, weights and order with ERM's; intervals are corrected for splits "
            "that overlap, and cut where they are far wider than most."
        )
        says = (
            f"You should see dots below 0 where mixup helps. In {len(clear)} of {len(pairs)} comparisons, each of a table, "
            "a set-up and an alpha, the 95 % interval lies below 0. One reason may be that ten epochs hardly fit these "
            "tables, and leave nothing to hold back."
        )
        pictures.append(Picture(f"{NAME}-mixup", NAME, mixed, lambda: mixup_figure(pairs, paper, mixed), says))
    return pictures


def erm_figure(erm: Sequence[Setup], paper: Experiment, caption: str) -> Figure:
    """A panel a table: test error over the share that is trained on, a dot a set-up."""
    numbers, shares = printed(paper, "erm"), sorted({one.train_share for one in erm})
    tables = [name for name in numbers if any(one.data == name for one in erm)]
    figure = Figure(figsize=(WIDTH, 2.7 * -(-len(tables) // 2)))
    panels = figure.subplots(-(-len(tables) // 2), 2, squeeze=False).ravel()
    for axes, name in zip(panels, tables):
        title, number = numbers[name]
        axes.axhline(number, color=INK, linestyle="--", linewidth=1.2, label="the paper's ERM")
        axes.set_title(f"{title}: the paper has {number:g} %", fontsize=12)
        for place, scaling in enumerate(SCALINGS):
            same = [one for one in erm if (one.data, one.scaling) == (name, scaling)]
            draw_scaling(axes, same, shares, place, number)
        axes.set_xticks(range(len(shares)), [f"{100 * share:g}" for share in shares])
        axes.set_xlim(-0.6, len(shares) - 0.4)
    for axes in panels[-2:]:
        axes.set_xlabel("% of the rows trained on")
    for axes in panels[::2]:
        axes.set_ylabel("test error, %")
    return framed(figure, title="Table 4: ERM's error under every set-up", caption=caption, legend=panels)


def draw_scaling(axes: Axes, setups: Sequence[Setup], shares: Sequence[float], place: int, number: float) -> None:
    """The set-ups of one scaling, side by side at each share. place: of the scaling, 0 to 2. number: the paper's, in
    percent; set-ups that fit it are large."""
    for split, (marker, words) in SPLITS.items():
        same = [one for one in setups if one.choice[2] == split]
        ways = sorted({one.choice[3:] for one in same})
        axes.plot([], [], marker, color=PALETTE[place], markersize=4.5, label=f"{list(SCALINGS.values())[place]}, {words}")
        for fits, size, alpha in ((False, 2.5, 0.5), (True, 5.0, 1.0)):
            steps = [0.28 * (place - 1) + 0.045 * (ways.index(one.choice[3:]) - (len(ways) - 1) / 2) for one in same]
            drawn = [
                (shares.index(one.train_share) + step, one.mean)
                for one, step in zip(same, steps)
                if one.fits(number) == fits
            ]
            cap: CapStyleType = "round" if marker == "o" else "projecting"
            dots(axes, np.array(drawn), PALETTE[place], size=size, alpha=alpha, cap=cap)


def mixup_figure(pairs: Sequence[tuple[Setup, Paired]], paper: Experiment, caption: str) -> Figure:
    """A row a table, a panel a scaling: mixup's error minus ERM's over the share that is trained on, with 95 % intervals."""
    numbers, alphas = printed(paper, "mixup"), sorted({one.alpha for one, _ in pairs})
    shares = sorted({one.train_share for one, _ in pairs})
    tables = [name for name in numbers if any(one.data == name for one, _ in pairs)]

    def draw_panel(axes: Axes, name: str, scaling: str) -> None:
        axes.axhline(0, color=INK, linewidth=1)
        for place, (alpha, colour) in enumerate(zip(alphas, cycle((*ALPHAS, *PALETTE)))):
            chosen = [(one, pair) for one, pair in pairs if (one.data, one.scaling, one.alpha) == (name, scaling, alpha)]
            drawn = [(one.train_share, pair.interval) for one, pair in chosen if pair.interval]
            x = [shares.index(share) + 0.18 * (place - (len(alphas) - 1) / 2) for share, _ in drawn]
            means = np.array([ours.mean for _, ours in drawn])
            halves = np.array([0.0 if ours.high is None else ours.high - ours.mean for _, ours in drawn])
            axes.plot([], [], "o-", color=colour, markersize=3, linewidth=1, label=f"alpha {alpha:g}")
            dots(axes, np.column_stack([x, means]), colour, size=3)
            strokes(axes, np.column_stack([x, means - halves]), np.column_stack([x, means + halves]), colour)
        axes.set_xticks(range(len(shares)), [f"{100 * share:g}" for share in shares])

    def draw_row(panels: Sequence[Axes], name: str) -> None:
        for axes, (scaling, words) in zip(panels, SCALINGS.items()):
            draw_panel(axes, name, scaling)
            if name == tables[0]:
                axes.set_title(words, fontsize=12)
            if name == tables[-1]:
                axes.set_xlabel("% of the rows trained on")
        ends = [
            abs(ours.high) for one, pair in pairs if one.data == name and (ours := pair.interval) and ours.high is not None
        ]
        reach = 1.5 * float(np.quantile(ends or [1.0], 0.75))
        panels[0].set_ylim(-reach, reach)
        panels[0].set_ylabel(f"{numbers[name][0]}\nmixup - ERM, %")

    title, rows = "Table 4: does mixup help under any set-up?", [("", name) for name in tables]
    return rows_figure(rows, len(SCALINGS), draw_row, title=title, caption=caption, height=1.7, sharey="row")
