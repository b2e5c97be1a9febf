"""Cells that are not comparable with the paper's numbers, grouped by data and scale, and what is seen in them."""

from collections.abc import Iterable, Sequence
from typing import Any

from mixup.ledger.cells import Cell, counted, is_method
from mixup.ledger.comparable import corresponding, has_gaps, is_papers_data
from mixup.ledger.entries import Group
from mixup.ledger.metrics import LAST, LAST10, MEASURES, Measure, metric_of
from mixup.ledger.names import (
    BY_SYSTEM,
    MISSING,
    SETTINGS,
    method,
    row_name,
    row_parts,
    setting_phrase,
    setting_title,
    setting_value,
    system,
)
from mixup.ledger.paper import Experiment

MEMORISED = Measure("train.corrupted_label_error", "last")


def groups_of(cells: Iterable[Cell], experiment: str, paper: Experiment | None) -> list[Group]:
    """The cells in groups of one data set and scale, in the order of their titles."""
    by_title: dict[str, list[Cell]] = {}
    for cell in cells:
        by_title.setdefault(title_of(cell, paper), []).append(cell)
    return [group_of(title, same, experiment, paper) for title, same in sorted(by_title.items())]


def title_of(cell: Cell, paper: Experiment | None) -> str:
    data, scale = cell.first.record["data"], cell.settings["scale"]
    own = scale == "paper" and paper is not None and any(is_papers_data(row.data, data) for row in paper.rows)
    marks = {"files missing": has_gaps(data), f"{scale} scale": scale != "paper", "another recipe": own}
    return ", ".join([cell.provenance, *(mark for mark, applies in marks.items() if applies)])


def group_of(title: str, cells: list[Cell], experiment: str, paper: Experiment | None) -> Group:
    """The cells, named and ordered by the paper's rows where each resembles one of its own, else by their settings."""
    papers_rows = paper.rows if paper else ()
    keys, rows = telling_keys(cells), corresponding({cell.first.name: cell.settings for cell in cells}, papers_rows)
    unique = len({row.id for row, remark in rows.values() if not remark}) == len(cells)
    if papers_rows and unique and "method" not in row_parts(papers_rows):
        cells.sort(key=lambda cell: papers_rows.index(rows[cell.first.name][0]))
        names = {name: row_name(row, papers_rows) for name, (row, _) in rows.items()}
        columns = {"row": names}
    else:
        cells.sort(key=lambda cell: [order(cell.settings[key]) for key in keys])
        columns, names = columns_of(cells, [key for key in keys if not is_method(key)], experiment)
    measures = [measure for measure in measures_of(cells, paper) if any(cell.values(measure) for cell in cells)] or [LAST]
    headline = Measure(paper.metric or "", paper.statistic) if paper else LAST10
    headline = headline if headline in measures else (*measures, headline)[0]
    return Group(title, experiment, tuple(cells), tuple(measures), headline, rows, columns, names)


def columns_of(
    cells: Sequence[Cell], keys: Sequence[str], experiment: str
) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """The columns of a table, with the text of each cell, and the name of each cell in one phrase. keys: of the settings to
    show besides the method. Both are by the name of a cell's first run."""
    methods = {cell.first.name: method(cell.settings) for cell in cells}
    columns = {setting_title(key): {cell.first.name: setting_value(key, cell.settings) for cell in cells} for key in keys}
    if experiment in BY_SYSTEM:
        columns["system"] = {cell.first.name: system(cell.settings) or MISSING for cell in cells}
    phrases = {cell.first.name: [setting_phrase(key, cell.settings) for key in keys] for cell in cells}
    names = {name: ", ".join([*phrases[name], words]) for name, words in methods.items()}
    return {**columns, "method": methods}, names


def measures_of(cells: Sequence[Cell], paper: Experiment | None) -> list[Measure]:
    """The measures that the paper prints, with the clean error where it prints errors under attack; where it prints none,
    those of the report cards, or else the test error."""
    printed = [value.measure for row in (paper.rows if paper else ()) for value in row.values]
    if printed:
        clean = [LAST] if any(measure.metric.startswith("white_box") for measure in printed) else []
        return list(dict.fromkeys([*clean, *printed]))
    of_cards = [one for one in MEASURES if one.metric.startswith("card.") and any(cell.values(one) for cell in cells)]
    others = [one for one in MEASURES if one.metric.startswith("test.") and not metric_of(one.metric).each_epoch]
    noisy = [MEMORISED] if not paper and any(cell.settings.get("data.label_noise") for cell in cells) else []
    return [*([] if paper else [LAST10]), *(of_cards or [LAST]), *others, *noisy]


def telling_keys(cells: Sequence[Cell]) -> list[str]:
    """The settings that tell every cell apart: those that vary and have a name, and as many others as are needed."""
    keys = counted(cells[0].settings)
    telling: list[str] = []
    parts = {""}  # the values of the telling settings: cells with equal ones are not told apart yet
    for key in dict.fromkeys([*(key for key in SETTINGS if key in keys), *sorted(keys)]):
        finer = {str([cell.settings[one] for one in [*telling, key]]) for cell in cells}
        if len(finer) > len(parts) or (key in SETTINGS and len({str(cell.settings[key]) for cell in cells}) > 1):
            telling, parts = [*telling, key], finer
    return telling


def order(value: Any) -> tuple[bool, float, str]:
    """Sorts numbers as numbers, None first."""
    number = isinstance(value, int | float)
    return value is not None, float(value) if number else 0.0, "" if number else str(value)
