"""The paper's numbers as data: `results/paper.yaml` and the digitised curves of figure 2, read and checked.

Each value and claim, and each setting that the paper does not state, carries the tag of its source: V1, HZ, ..., see
`results/PAPER.md`. Several tags are joined by commas. MEM means from memory: not verified, and `str(value)` says so.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mixup.errors import UserError, suggestion
from mixup.ledger.typed_yaml import checked, entries, mapping, read_yaml, require

TAGS = ("V1", "FIG", "FB", "HZ", "KR", "ES", "EN", "JS", "AB", "RI", "MEM", "INF")  # and Z:<address>
METHODS = ["erm", "mixup", "dropout", "mixup_dropout", "latent", "inputs_only", "label_smoothing"]
METHODS += ["inputs_label_smoothing", "noise"]
STATISTIC = r"last|best|last10_median|epoch_\d+|epochs_\d+_\d+"
FIGURE2 = Path(__file__).resolve().parents[2] / "results" / "paper" / "figure2.csv"
COLUMNS = {"miss": "miss_pct", "gradient_norm": "gradnorm"}  # of figure2.csv, with _erm and _mixup
INHERITED = ("data", "model", "settings", "recipe", "metric", "statistic", "unit", "decimals")  # from the experiment

Settings = dict[str, Any]
"""Dotted keys of our configuration (mixup/run/config.py) with their values."""


@dataclass(frozen=True, kw_only=True)
class Sourced:
    """source: tags of PAPER.md, joined by commas."""

    source: str

    def __post_init__(self) -> None:
        for tag in self.tags:
            known = tag in TAGS or tag.startswith("Z:")
            require(known, f"source={self.source}: {tag!r} is no tag of PAPER.md; there are {', '.join(TAGS)}, Z:...")

    @property
    def tags(self) -> list[str]:
        return [tag.strip() for tag in self.source.split(",")]

    @property
    def verified(self) -> bool:
        return "MEM" not in self.tags


@dataclass(frozen=True, kw_only=True)
class Value(Sourced):
    """A printed number, or `bounds` [low, high] where a curve gives a range only. decimals: as many as are printed."""

    metric: str
    statistic: str
    unit: str = "%"
    decimals: int = 1
    value: float | None = None
    bounds: list[float] | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        known = re.fullmatch(STATISTIC, self.statistic)
        require(known, f"statistic={self.statistic}: use last, best, last10_median, epoch_N or epochs_N_M")
        require((self.value is None) != (self.bounds is None), "give either value or bounds")
        ordered = self.bounds is None or (len(self.bounds) == 2 and self.bounds[0] < self.bounds[1])
        require(ordered, f"bounds={self.bounds}: use [low, high]")

    def __str__(self) -> str:
        numbers = [self.value] if self.value is not None else self.bounds or []
        text = " to ".join(f"{number:.{self.decimals}f}" for number in numbers)
        return text if self.verified else f"{text} (unverified)"


@dataclass(frozen=True, kw_only=True)
class Row:
    """The numbers of one data set, net and method. settings: configuration keys that identify the row's runs. recipe: more
    keys that a comparable run has. settings_source: the tag of settings that the paper does not state. quoted: the paper
    quotes the numbers from others."""

    id: str
    data: str
    model: str
    method: str
    settings: Settings
    values: list[Value] = field(default_factory=list)
    recipe: Settings = field(default_factory=dict)
    group: str | None = None
    variant: str | None = None
    quoted: bool = False
    settings_source: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        require(self.method in METHODS, f"method={self.method}: use {' or '.join(METHODS)}")
        require(self.values, "values is empty: a row has at least one")
        places = [(value.metric, value.statistic) for value in self.values]
        require(len(set(places)) == len(places), "two values of one metric and statistic: remove one")
        for key, value in [*self.settings.items(), *self.recipe.items()]:
            number = isinstance(value, str) and re.fullmatch(r"[-+.\d]+(e[-+]?\d+)?", value, re.IGNORECASE)
            require(not number, f"{key}={value} is a text in YAML: write the number with a dot, as 1.0e-4")
        _ = self.settings_verified

    def value(self, metric: str, statistic: str) -> Value | None:
        return next((value for value in self.values if (value.metric, value.statistic) == (metric, statistic)), None)

    @property
    def settings_verified(self) -> bool:
        return self.settings_source is None or Sourced(source=self.settings_source).verified


@dataclass(frozen=True, kw_only=True)
class Claim(Sourced):
    """The row `better` has a lower `metric` than the row `worse`. A claim in words alone names no rows."""

    text: str
    better: str | None = None
    worse: str | None = None
    metric: str | None = None
    statistic: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require((self.better is None) == (self.worse is None), "name two rows, better and worse, or none")


@dataclass(frozen=True, kw_only=True)
class Curves(Sourced):
    """Digitised curves: a CSV file, its path relative to the YAML file's folder."""

    file: str


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A table or figure. data to decimals: what its rows, values and claims have if they do not say otherwise."""

    name: str
    title: str
    section: str
    statistic: str
    data: str | None = None
    model: str | None = None
    settings: Settings = field(default_factory=dict)
    recipe: Settings = field(default_factory=dict)
    metric: str | None = None
    unit: str = "%"
    decimals: int = 1
    note: str | None = None
    rows: list[Row] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    curves: Curves | None = None

    def __post_init__(self) -> None:
        in_words = self.statistic == "qualitative"
        require(in_words == (not self.rows), f"statistic={self.statistic}: qualitative is for an experiment without rows")
        require(self.rows or self.claims, "it has neither rows nor claims: remove it")
        ids, settings = [row.id for row in self.rows], [row.settings for row in self.rows]
        for row in reversed(self.rows):
            require(ids.count(row.id) == 1, f"two rows have the id {row.id}: rename one")
            require(settings.count(row.settings) == 1, f"row {row.id} has the settings of another: name the difference")
        for claim in self.claims:
            for id in filter(None, (claim.better, claim.worse)):
                require(id in ids, f"the claim {claim.text!r} names the row {id}, which is not there{suggestion(id, ids)}")
                measured = self.row(id).value(claim.metric or "", claim.statistic or "")
                what = f"{claim.metric} ({claim.statistic})"
                require(measured, f"the claim {claim.text!r} is of {what}, of which row {id} has no value")

    def row(self, id: str) -> Row:
        return next(row for row in self.rows if row.id == id)


def mismatches(config: Mapping[str, Any], settings: Settings) -> list[str]:
    """`trainer.epochs=2, the paper's 200` for each of a row's settings, or of its recipe, that a run does not have.

    config: nested, as the `config` of a record."""
    differences = []
    for key, value in settings.items():
        ours: Any = config
        for part in key.split("."):
            ours = ours.get(part) if isinstance(ours, Mapping) else None
        if ours != value:
            differences.append(f"{key}={ours}, the paper's {value}")
    return differences


def read_paper(file: Path) -> dict[str, Experiment]:
    """The experiments by name, in the file's order. UserError with place and remedy for every mistake in the file."""
    paper = {name: read_experiment(name, raw, f"{file}, {name}") for name, raw in read_yaml(file).items()}
    for name, curves in ((name, experiment.curves) for name, experiment in paper.items()):
        if curves and not (file.parent / curves.file).is_file():
            raise UserError(f"{file}, {name}: curves.file={curves.file} is not in {file.parent}: correct its path")
    return paper


def inherited(kind: type, experiment: Settings) -> Settings:
    return {item.name: experiment[item.name] for item in fields(kind) if item.name in INHERITED and item.name in experiment}


def read_experiment(name: str, raw: object, place: str) -> Experiment:
    given = mapping(raw, place) | {"name": name}
    rows = [read_row(row, given, where) for row, where in entries(given, "rows", place)]
    claims = [checked(Claim, inherited(Claim, given) | claim, where) for claim, where in entries(given, "claims", place)]
    curves = checked(Curves, given["curves"], f"{place}, curves") if "curves" in given else None
    return checked(Experiment, given, place, rows=rows, claims=claims, curves=curves)


def read_row(given: Settings, experiment: Settings, place: str) -> Row:
    place = f"{place} ({given.get('id', 'without id')})"
    added = {
        name: mapping(experiment.get(name, {}), place) | mapping(given.get(name, {}), f"{place}, {name}")
        for name in ("settings", "recipe")
    }
    of_values = inherited(Value, experiment)
    values = [checked(Value, of_values | value, where) for value, where in entries(given, "values", place)]
    return checked(Row, inherited(Row, experiment) | given | added, place, values=values)


# -- figure 2 ------------------------------------------------------------------------------------------------------------

Figure2 = Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]
"""Measure (`miss`, in percent; `gradient_norm`, in a unit that the paper does not state) and method -> (lambda, value)."""


def read_figure2(file: Path = FIGURE2) -> Figure2:
    """The digitised curves. UserError where the file is absent or damaged."""

    def curve(lines: Sequence[Mapping[str, str]], column: str) -> list[tuple[float, float]]:
        return [(float(line["lambda"]), float(line[column])) for line in lines]

    try:
        with open(file, newline="") as stream:
            lines = list(csv.DictReader(stream))
        return {
            measure: {method: curve(lines, f"{column}_{method.lower()}") for method in ("ERM", "mixup")}
            for measure, column in COLUMNS.items()
        }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}, the paper's curves, cannot be read ({error!r}): restore it from git") from error
