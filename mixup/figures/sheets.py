"""Cells that stand in one figure and in one panel of it, with their names and colours."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

from mixup.figures.panels import Line, rows_figure
from mixup.figures.style import COLOURS, PALETTE, Picture
from mixup.ledger.cells import Cell, Settings, cells_of, counted, experiment_of, is_erm, is_method, is_mixup, uncropped
from mixup.ledger.evidence import Evidence
from mixup.ledger.groups import group_of
from mixup.ledger.metrics import LAST
from mixup.ledger.names import family, net, setting_phrase
from mixup.ledger.paper import Experiment

BEST = " Of each method the best setting of its grid, chosen on test data, as in the paper."
IMPLIED = ("optim.milestones", "optim.warmup_epochs")  # they follow from settings that have a name


@dataclass(frozen=True)
class Sheet:
    """All cells of an experiment at one scale.

    panels: the cells of one data set and net that differ in the method alone, by a title that tells the panels apart. names:
    of the cells' methods, by the name of a cell's first run. colours: by that of the method."""

    experiment: str
    scale: str
    panels: Mapping[str, Sequence[Cell]]
    names: Mapping[str, str]
    colours: Mapping[str, str]

    @property
    def cells(self) -> list[Cell]:
        return [cell for cells in self.panels.values() for cell in cells]

    def name(self, cell: Cell) -> str:
        return self.names[cell.first.name]

    def line(self, cell: Cell, runs: Sequence[Any] = (), style: str = "-") -> Line:
        return Line(self.name(cell), self.colours[self.name(cell)], runs, style)

    def measured(self, cells: Iterable[Cell], evaluation: str, style: str = "-") -> list[Line]:
        """A line for each cell, of its measurements of this name."""
        return [self.line(cell, cell.measured(evaluation), style) for cell in cells]

    def picture(self, name: str, title: str, note: str, draw: Callable[[], Figure], says: str = "") -> Picture:
        """name: what follows the experiment's in that of the file."""
        file = "-".join(filter(None, [self.experiment, name, self.scale]))
        return Picture(file, self.experiment, f"{title}. {note}", draw, says)

    def rows_picture(
        self, name: str, title: str, note: str, *rows: Any, heading: str = "", says: str = "", **options: Any
    ) -> Picture:
        """A picture drawn by `rows_figure`, which takes rows and options. heading: above the figure, if not the title."""
        draw = partial(rows_figure, *rows, title=heading or title, caption=note, **options)
        return self.picture(name, title, note, draw, says)


def sheets(evidence: Iterable[Evidence], paper: Mapping[str, Experiment], evaluation: str | None = None) -> list[Sheet]:
    """All sheets, by experiment and scale. evaluation: only runs on which this was measured. A run at a small scale whose
    numbers are those of one at the paper's scale, as with toy data, is left out."""
    runs = [run for run in evidence if evaluation is None or evaluation in run.evaluations]
    papers = {numbers(run) for run in runs if run.settings["scale"] == "paper"}
    groups: dict[tuple[str, str], list[Evidence]] = {}
    for run in runs:
        scale = run.settings["scale"]
        if scale == "paper" or numbers(run) not in papers:
            groups.setdefault((experiment_of(run), scale), []).append(run)
    return [sheet_of(*key, group, paper.get(key[0])) for key, group in sorted(groups.items())]


def numbers(run: Evidence) -> str:
    """What a run has in common with its repetition at another scale."""
    return repr((experiment_of(run), run.seed, run.record["alpha"], run.record["data"]["provenance"], run.record["test"]))


def sheet_of(experiment: str, scale: str, runs: Iterable[Evidence], paper: Experiment | None = None) -> Sheet:
    """The sheet of these runs: a panel for each data set, net and whatever varies but the method; names are the tables'."""
    cells = sorted(cells_of(runs), key=order)
    same_net: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        same_net.setdefault((cell.provenance, net(cell.settings)), []).append(cell)
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for key, members in same_net.items():
        keys = circumstances([cell.settings for cell in members])
        for cell in members:
            noise = ["data.label_noise"] if cell.settings["data.label_noise"] and "data.label_noise" not in keys else []
            words = [setting_phrase(setting, cell.settings) for setting in [*noise, *keys]]
            groups.setdefault((*key, *words), []).append(cell)
    telling = [len({key[place] for key in groups}) > 1 for place in range(2)]  # is it the data, the net?
    panels = {
        ", ".join([*(word for word, tells in zip(key, telling) if tells), *key[2:]]): groups[key]
        for key in sorted(groups, key=natural)
    }
    columns = group_of("", list(cells), experiment, paper).columns
    names = columns.get("system") or columns["method"] if "row" not in columns else without_shared(columns["row"])
    return Sheet(experiment, scale, panels, names, colours(cells, names))


def without_shared(names: Mapping[str, str]) -> dict[str, str]:
    """Names without the parts that all of them have."""
    shared = set.intersection(*(set(name.split(", ")) for name in names.values()))
    return {key: ", ".join(part for part in name.split(", ") if part not in shared) or name for key, name in names.items()}


def circumstances(members: Sequence[Settings]) -> list[str]:
    """The keys whose values vary between these settings, but for those of the method."""
    first, *others = [counted(settings) for settings in members]
    varying = [key for key in first if any(other[key] != first[key] for other in others)]
    return [key for key in sorted(varying) if not is_method(key) and key not in IMPLIED]


def order(cell: Cell) -> tuple[Any, ...]:
    """Sorts ERM first, then mixup by rising alpha, then methods with more to their names."""
    words = family(cell.settings)
    return words.count(","), not words.startswith("ERM"), words, cell.settings["mixup.alpha"], str(counted(cell.settings))


def natural(words: Sequence[str]) -> list[list[tuple[float, str]]]:
    """Sorts the numbers in words as numbers, so that 9 comes before 20."""
    parts = [re.split(r"(\d+\.?\d*)", word) for word in words]
    return [[(float(part), "") if place % 2 else (0.0, part) for place, part in enumerate(word)] for word in parts]


def colours(cells: Iterable[Cell], names: Mapping[str, str]) -> dict[str, str]:
    """A colour for each name. ERM and plain mixup have the same in every picture, other methods theirs in order."""
    others, given = cycle(PALETTE), dict[str, str]()
    for cell in cells:
        name = names[cell.first.name]
        kind = "ERM" if is_erm(cell.settings) else "mixup" if is_mixup(cell.settings) else ""
        if name not in given:
            given[name] = COLOURS[kind] if kind and COLOURS[kind] not in given.values() else next(others)
    return given


def few(sheet: Sheet, most: int) -> tuple[Sheet, str]:
    """The sheet, in which a panel of more than `most` cells keeps the best cell of each method, by the last test error as
    in table 2; and a sentence that says so, empty where all cells are kept."""
    panels = dict(sheet.panels)
    for title, cells in panels.items():
        if len(cells) > most:
            families: dict[str, list[Cell]] = {}
            for cell in cells:
                families.setdefault(family(cell.settings), []).append(cell)
            panels[title] = [min(same, key=lambda cell: fmean(cell.values(LAST).values())) for same in families.values()]
    return replace(sheet, panels=panels), "" if panels == sheet.panels else BEST


def paper_values(paper: Experiment | None, metric: str, statistic: str) -> list[tuple[str, float]]:
    """The number of each row of the paper that has one, with its method, `ERM` or `mixup`."""
    numbers = [(row.method, row.value(metric, statistic)) for row in (paper.rows if paper else ())]
    return [
        ("ERM" if method == "erm" else "mixup", value.value)
        for method, value in numbers
        if value and value.value is not None
    ]


def caption(sheet: Sheet) -> str:
    """What every figure says below: data and its provenance, net, scale, number of seeds."""
    cells = sheet.cells
    sizes = {cell.first.record["data"]["train_count"] for cell in cells}
    examples = f", {min(sizes):,} training examples" if len(sizes) == 1 else ""
    data = list(dict.fromkeys(cell.provenance for cell in cells))
    nets = list(dict.fromkeys(net(cell.settings) for cell in cells))
    first = data[0][0].upper() + data[0][1:] + examples if len(data) == 1 else "Data as named"
    words = [first, *uncropped(cell.settings for cell in cells), *(nets if len(nets) == 1 else [])]
    return f"{'; '.join(words)}; {sheet.scale} scale, {seeds(cells)}"


def seeds(cells: Sequence[Cell]) -> str:
    """`n=3`, or `n=2 to 3`."""
    counts = sorted({len(cell.runs) for cell in cells})
    return "n=" + " to ".join(map(str, dict.fromkeys([counts[0], counts[-1]])))
