"""The words and numbers of the generated tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from mixup.ledger.cells import Cell
from mixup.ledger.evidence import Evidence
from mixup.ledger.inference import Paired, interval
from mixup.ledger.paper import Row, Value
from mixup.run.display import duration

MADE = "<!-- Made by scripts/make_tables.py from results/paper.yaml and results/runs: do not edit. -->"
MISSING = "-"
SOURCES = "Where the numbers come from"  # the title of a page's last part

CARD = {  # of the report card
    "card.nll": "NLL (nats)",
    "card.brier": "Brier score",
    "card.ece": "calibration error",
    "card.nll_scaled": "NLL (nats), temperature scaled",
    "card.ece_scaled": "calibration error, temperature scaled",
    "card.corruptions/noise/3": "error, noise of severity 3",
    "card.corruptions/blur/3": "error, blur of severity 3",
    "card.corruptions/contrast/3": "error, low contrast of severity 3",
    "card.corruptions/jpeg/3": "error, JPEG of severity 3",
    "card.corruptions/mean": "error, mean over corrupted images",
    "card.attacks/fgsm/4": "error, FGSM at 4",
    "card.attacks/ifgsm/4": "error, I-FGSM at 4",
    "card.attacks/pgd/4": "error, PGD at 4",
    "card.between/miss/0.5": "misses at lambda 1/2",
    "card.between/gradient_norm/0.5": "gradient norm at lambda 1/2",
}
METRICS = {
    "test.top1_error": "test error",
    "test.top5_error": "test top-5 error",
    "validation.top1_error": "validation error",
    "train.real_label_error": "train error, real labels",
    "train.corrupted_label_error": "train error, corrupted labels",
    **CARD,
}
STATISTICS = {"last": "last epoch", "best": "best (chosen on test data)", "last10_median": "median of last 10 epochs"}
ATTACKS = {"fgsm": "FGSM", "ifgsm": "I-FGSM"}
PLACES = {"0": "0", "half": "1/2", "1": "1"}
METHODS = {
    "erm": "ERM",
    "mixup": "mixup, alpha {alpha:g}",
    "dropout": "dropout {dropout:g}",
    "mixup_dropout": "mixup, alpha {alpha:g}, dropout {dropout:g}",
    "latent": "latent mixup",
    "inputs_only": "inputs mixed",
    "label_smoothing": "label smoothing",
    "inputs_label_smoothing": "inputs mixed, label smoothing",
    "noise": "noise",
}


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, words: int, grouped: int = 0) -> list[str]:
    """Lines of a Markdown table, padded to be read as text too. words: how many first columns are aligned left; so are those
    whose title ends in a blank. grouped: in how many first columns what stands above is not said again."""
    left = [place < words or title.endswith(" ") for place, title in enumerate(header)]
    body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    said = [list(row) for row in body]
    for above, row, whole in zip(body, body[1:], said[1:]):
        for place in range(grouped):
            if above[: place + 1] == row[: place + 1]:
                whole[place] = ""
    lines = [[title.strip() for title in header], *said]
    widths = [max(3, *(len(line[place]) for line in lines)) for place in range(len(header))]

    def joined(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.ljust(w) if to_left else c.rjust(w) for c, w, to_left in zip(cells, widths, left)) + " |"

    rule = "|" + "|".join("-" * (w + 2) if to_left else "-" * (w + 1) + ":" for w, to_left in zip(widths, left)) + "|"
    return [joined(lines[0]), rule, *map(joined, said)]


def counted(count: int, noun: str) -> str:
    """`1 run`, `1,234 runs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


# -- numbers -------------------------------------------------------------------------------------------------------------


def spread(values: Sequence[float], decimals: int = 2) -> str:
    """`4.24 ± 0.05 (n=3)`, the standard deviation over seeds with n - 1."""
    if not values:
        return MISSING
    mean, n = sum(values) / len(values), len(values)
    std = (sum((value - mean) ** 2 for value in values) / (n - 1)) ** 0.5 if n > 1 else None
    return f"{mean:.{decimals}f}" + ("" if std is None else f" ± {std:.{decimals}f}") + f" (n={n})"


def paired(pairs: Paired | None, decimals: int = 2) -> str:
    """`-1.29 [-1.51, -1.07]`, the mean difference and its interval."""
    if pairs is None or not pairs.differences:
        return MISSING
    found = interval(pairs.differences)
    ends = f" [{found.low:+.{decimals}f}, {found.high:+.{decimals}f}]" if found.low is not None else ""
    return f"{found.mean:+.{decimals}f}{ends}"


def probability(p: float) -> str:
    return f"{p:.3f}" if p >= 0.0005 else "<0.001"


def places_of(metric: str) -> int:
    """Decimals: two of percent, four of a gradient's norm."""
    return 4 if "gradient_norm" in metric or metric in ("card.nll", "card.nll_scaled", "card.brier") else 2


# -- words ---------------------------------------------------------------------------------------------------------------


def measure(metric: str, statistic: str) -> str:
    """`test error, last epoch`."""
    kind, _, name = metric.partition(".")
    if kind in ("white_box", "black_box"):
        attack, _, error = name.partition(".")
        return f"{kind.replace('_', ' ')}, {ATTACKS.get(attack, attack)}, {error[:3]}-{error[3:4]}"
    if kind == "between":
        what, _, place = name.partition("_at_")
        return f"{'misses' if what == 'miss' else 'gradient norm'} at lambda {PLACES[place]}"
    title = METRICS.get(metric, name)
    return title if kind in ("card", "train") else f"{title}, {statistic_name(statistic)}"


def statistic_name(statistic: str) -> str:
    epochs = re.findall(r"\d+", statistic) if statistic.startswith("epoch") else []
    return f"epoch{'s' if len(epochs) > 1 else ''} {' to '.join(epochs)}" if epochs else STATISTICS[statistic]


def method(row: Row) -> str:
    return METHODS[row.method].format(alpha=row.settings.get("mixup.alpha", 0), dropout=row.settings.get("model.dropout", 0))


ROW_NAMES: dict[str, Callable[[Row], str]] = {
    "group": lambda row: row.group or "",
    "data": lambda row: row.data,
    "net": lambda row: row.model,
    "variant": lambda row: row.variant or "",
    "weight decay": lambda row: f"{row.settings.get('optim.weight_decay', 0):g}",
    "method": method,
}


def telling(rows: Sequence[Row]) -> list[str]:
    """Which names tell rows apart; the method only where its group does not say it."""
    varying = [name for name, of in ROW_NAMES.items() if len({of(row) for row in rows}) > 1]
    others = [name for name in varying if name != "method"]
    apart = len({tuple(ROW_NAMES[name](row) for name in others) for row in rows}) == len(rows)
    return others if apart and "group" in others else varying


def row_name(row: Row, rows: Sequence[Row]) -> str:
    """A row in one phrase, as far as its table's others make it needed."""
    parts = [(name, ROW_NAMES[name](row)) for name in telling(rows)]
    return ", ".join(f"{name} {text}" if name == "weight decay" else text for name, text in parts if text)


def paper_number(row: Row, value: Value) -> str:
    """As printed, and marked where it is unverified, or quoted by the paper from others."""
    marks = [] if row.settings_verified or not value.verified else ["settings unverified"]
    marks += ["quoted"] if row.quoted else []
    return str(value) + "".join(f" ({mark})" for mark in marks)


def shown(key: str, value: Any) -> str:
    """A setting's value."""
    if value is None:
        return "input" if key == "mixup.layer" else MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def cost(cell: Cell | None) -> str:
    """`2.1 h, NVIDIA H100`: of one run."""
    return MISSING if cell is None else f"{duration(cell.seconds)}, {'; '.join(cell.devices)}"


# -- where it comes from -------------------------------------------------------------------------------------------------


Link = Callable[[Evidence], str]
"""A run -> the address of its record, from where the table lies."""


def from_results(run: Evidence) -> str:
    """From a page of `results/`."""
    return f"runs/{run.file.parent.name}/{run.file.name}"


def sources(cells: Sequence[Cell], link: Link) -> list[str]:
    """Every run with its record, a line a cell."""
    lines = []
    for cell in sorted(cells, key=lambda cell: cell.first.name):
        seeds = " ".join(f"[{run.seed}]({link(run)})" for run in cell.runs)
        commits = ", ".join(sorted({commit(run) for run in cell.runs}))
        where = f"{cell.first.file.parent.name}, {cell.provenance}, {'; '.join(cell.devices)}, commit {commits}"
        lines.append(f"* `{without_seed(cell)}` ({where}): seed {seeds}")
    return lines


def without_seed(cell: Cell) -> str:
    return ",".join(part for part in cell.first.record["label"].split(",") if part != f"seed={cell.first.seed}")


def commit(run: Evidence) -> str:
    environment = run.record["environment"]
    name = (environment["commit"] or "none")[:7]
    return name if environment["dirty"] is False else f"{name} (changed)"
