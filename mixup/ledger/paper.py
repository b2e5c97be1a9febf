"""The paper's numbers as data: `results/paper.yaml`, read and checked.

Each value and claim, and each setting that the paper does not state, carries the tag of its source: V1, HZ, ..., see
`results/PAPER.md`. Several tags are joined by commas. MEM means from memory: not verified, and `str(value)` says so.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from mixup.errors import UserError, suggestion
from mixup.ledger.metrics import Measure
from mixup.ledger.typed_yaml import Section, checked, mapping, read_yaml, require
from mixup.run.places import RESULTS

TAGS = ("V1", "FIG", "FB", "HZ", "KR", "ES", "EN", "JS", "AB", "RI", "MEM", "INF")  # and Z:<address>
METHODS = ["erm", "mixup", "dropout", "mixup_dropout", "latent", "inputs_only", "label_smoothing"]
METHODS += ["inputs_label_smoothing", "noise"]
STATISTIC = r"last|best|last10_median|epoch_\d+|epochs_\d+_\d+"
PAPER = RESULTS / "paper.yaml"
# What rows, values and claims have of their experiment if they do not say otherwise.
INHERITED = ("data", "model", "settings", "settings_source", "recipe", "metric", "statistic", "unit", "decimals")

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
    """A printed number, or `bounds` [low, high] where a curve gives a range only. decimals: as many as are printed. others:
    who published the same number -> theirs."""

    metric: str
    statistic: str
    unit: str = "%"
    decimals: int = 1
    value: float | None = None
    bounds: list[float] | None = None
    note: str | None = None
    others: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        known = re.fullmatch(STATISTIC, self.statistic)
        require(known, f"statistic={self.statistic}: use last, best, last10_median, epoch_N or epochs_N_M")
        require((self.value is None) != (self.bounds is None), "give either value or bounds")
        ordered = self.bounds is None or (len(self.bounds) == 2 and self.bounds[0] < self.bounds[1])
        require(ordered, f"bounds={self.bounds}: use [low, high]")

    @property
    def measure(self) -> Measure:
        return Measure(self.metric, self.statistic)

    def __str__(self) -> str:
        numbers = [self.value] if self.value is not None else self.bounds or []
        text = " to ".join(f"{number:.{self.decimals}f}" for number in numbers)
        return text if self.verified else f"{text} (unverified)"


@dataclass(frozen=True, kw_only=True)
class Row:
    """The numbers of one data set, net and method. settings: configuration keys that identify the row's runs. recipe: more
    keys that a comparable run has. settings_source: the tag of settings that the paper does not state; INF alone says that
    they decide the number and are our choice. quoted: the paper quotes the numbers from others."""

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
        measures = {value.measure for value in self.values}
        require(len(measures) == len(self.values), "two values of one metric and statistic: remove one")
        for key, value in [*self.settings.items(), *self.recipe.items()]:
            number = isinstance(value, str) and re.fullmatch(r"[-+.\d]+(e[-+]?\d+)?", value, re.IGNORECASE)
            require(not number, f"{key}={value} is a text in YAML: write the number with a dot, as 1.0e-4")
        _ = self.settings_verified

    def value(self, metric: str, statistic: str) -> Value | None:
        return next((value for value in self.values if value.measure == Measure(metric, statistic)), None)

    @property
    def settings_verified(self) -> bool:
        return self.settings_source is None or Sourced(source=self.settings_source).verified

    @property
    def is_stated(self) -> bool:
        """Whether the paper states what decides the row's numbers."""
        return self.settings_source != "INF"


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

    @property
    def measure(self) -> Measure:
        return Measure(self.metric or "", self.statistic or "")


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
    settings_source: str | None = None
    recipe: Settings = field(default_factory=dict)
    metric: str | None = None
    unit: str = "%"
    decimals: int = 1
    note: str | None = None
    rows: list[Row] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

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


def printed_difference(lower: Row | None, higher: Row | None, measure: Measure) -> float | None:
    """The first row's printed number minus the second's; None where there is none, or one of them is a range."""
    found = [row.value(measure.metric, measure.statistic) if row else None for row in (lower, higher)]
    first, second = (value.value if value else None for value in found)
    return None if first is None or second is None else first - second


def mismatches(ours: Mapping[str, Any], settings: Settings) -> list[str]:
    """`trainer.epochs=2, the paper's 200` for each of a row's settings, or of its recipe, that a run does not have.

    ours: the run's configuration by dotted key."""
    differing = {key: value for key, value in settings.items() if ours.get(key) != value}
    return [f"{key}={ours.get(key)}, the paper's {value}" for key, value in differing.items()]


# -- reading -------------------------------------------------------------------------------------------------------------

LISTS = {"rows": Row, "claims": Claim, "values": Value}  # fields that are lists of sections


def read_paper(file: Path) -> dict[str, Experiment]:
    """The experiments by name, in the file's order. UserError with place and remedy for every mistake in the file."""
    return dict(experiments_of(file, file.read_bytes() if file.is_file() else b""))


@cache
def experiments_of(file: Path, content: bytes) -> dict[str, Experiment]:
    """Those of `read_paper`. content: the file's, so that only a file that has changed is checked again, for seconds."""
    paper: dict[str, Experiment] = {}
    for name, section in read_yaml(file).items():
        place = f"{file}, {name}"
        paper[name] = build(Experiment, mapping(section, place) | {"name": name}, place, {})
    return paper


def build(kind: type[Section], raw: object, place: str, experiment: Settings) -> Section:
    """A section of the file with the sections that it holds. experiment: what it inherits from its experiment."""
    names = [item.name for item in fields(kind)]
    given = {name: value for name, value in experiment.items() if name in names} | mapping(raw, place)
    if kind is Row:
        place = f"{place} ({given.get('id', 'without id')})"
        for name in ("settings", "recipe"):
            added = mapping(given.get(name, {}), f"{place}, {name}")
            given[name] = mapping(experiment.get(name, {}), place) | added
    if kind is Experiment:
        experiment = {name: given[name] for name in INHERITED if name in given}
    held: dict[str, object] = {}
    for name in [name for name in LISTS if name in names and name in given]:
        if not isinstance(given[name], list):
            raise UserError(f"{place}: {name} should be a list, not {given[name]!r}")
        parts = [(part, f"{place}, {name[:-1]} {number}") for number, part in enumerate(given[name], 1)]
        held[name] = [build(LISTS[name], part, where, experiment) for part, where in parts]
    return checked(kind, given, place, held)
