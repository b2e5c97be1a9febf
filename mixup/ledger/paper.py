"""The paper's numbers as data: `results/paper.yaml`, read and checked.

An experiment is a table or figure; a row is one data set, net, method and setting of it, with a value for each metric and
statistic that the paper prints. Numbers are in the unit of their value: percent, unless it says otherwise.

Each value and claim, and each setting that the paper does not state, carries the tag of where it was read: V1, HZ, ..., see
`results/PAPER.md`; several are joined by commas. MEM is from memory: not verified, and `str(value)` says so.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from mixup.errors import UserError, suggestion

TAGS = ("V1", "FIG", "FB", "HZ", "KR", "ES", "EN", "JS", "AB", "RI", "MEM", "INF")  # and Z:<address>
METHODS = ["erm", "mixup", "dropout", "mixup_dropout", "latent", "inputs_only", "label_smoothing"]
METHODS += ["inputs_label_smoothing", "noise"]
STATISTIC = r"last|best|last10_median|epoch_\d+|epochs_\d+_\d+"
SHARED = ("data", "model", "settings", "recipe")  # what rows inherit from their experiment

Settings = Mapping[str, Any]  # dotted keys of our configuration, as in mixup/run/config.py
Built = TypeVar("Built")


@dataclass(frozen=True, kw_only=True)
class Sourced:
    """source: tags of PAPER.md, joined by commas."""

    source: str

    def __post_init__(self) -> None:
        for tag in self.source.split(","):
            good = tag.strip() in TAGS or tag.strip().startswith("Z:")
            require(good, f"source={self.source}: {tag.strip()!r} is no tag of PAPER.md; there are {', '.join(TAGS)}, Z:...")

    @property
    def verified(self) -> bool:
        return "MEM" not in [tag.strip() for tag in self.source.split(",")]


@dataclass(frozen=True, kw_only=True)
class Value(Sourced):
    """A printed number, or `bounds` (low, high) where a curve shows no more. decimals: as many as are printed."""

    metric: str
    statistic: str
    unit: str
    decimals: int
    value: float | None = None
    bounds: Sequence[float] | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        known = re.fullmatch(STATISTIC, self.statistic)
        require(known, f"statistic={self.statistic}: use last, best, last10_median, epoch_N or epochs_N_M")
        require((self.value is None) != (self.bounds is None), "give either value or bounds")
        ordered = self.bounds is None or (len(self.bounds) == 2 and self.bounds[0] < self.bounds[1])
        require(ordered, f"bounds={self.bounds}: use [low, high]")

    @property
    def on_test_data(self) -> bool:
        """Whether the statistic selects on test data, to be said wherever it is printed."""
        return self.statistic == "best" and self.metric.startswith("test.")

    def __str__(self) -> str:
        numbers = [self.value] if self.value is not None else self.bounds or []
        text = " to ".join(f"{number:.{self.decimals}f}" for number in numbers)
        return text if self.verified else f"{text} (unverified)"


@dataclass(frozen=True, kw_only=True)
class Row:
    """settings: what tells the row's runs from others; recipe: what else a run must have to stand beside it.

    settings_source: the tag of settings that the paper does not state. quoted: the paper has the numbers from others.
    """

    id: str
    data: str
    model: str
    method: str
    settings: Settings
    values: tuple[Value, ...]
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
    """A table or figure. statistic, metric, unit, decimals: of every value that does not say otherwise."""

    name: str
    title: str
    section: str
    statistic: str
    metric: str | None = None
    unit: str = "%"
    decimals: int = 1
    note: str | None = None
    rows: tuple[Row, ...] = ()
    claims: tuple[Claim, ...] = ()
    curves: Curves | None = None

    def __post_init__(self) -> None:
        in_words = self.statistic == "qualitative"
        require(in_words == (not self.rows), f"statistic={self.statistic}: qualitative is for an experiment without rows")
        require(self.rows or self.claims, "it has neither rows nor claims: remove it")
        check_rows(self.rows)
        for claim in self.claims:
            check_claim(claim, {row.id: row for row in self.rows})

    def row(self, id: str) -> Row:
        return next(row for row in self.rows if row.id == id)

    @property
    def verified(self) -> bool:
        return all(value.verified for row in self.rows for value in row.values)


def check_rows(rows: Sequence[Row]) -> None:
    ids: list[str] = []
    settings: list[Settings] = []
    for row in rows:
        require(row.id not in ids, f"two rows have the id {row.id}: rename one")
        require(row.settings not in settings, f"row {row.id} has the settings of another: say what tells them apart")
        ids.append(row.id)
        settings.append(row.settings)


def check_claim(claim: Claim, rows: Mapping[str, Row]) -> None:
    for id in (claim.better, claim.worse):
        if id is None:
            continue
        require(id in rows, f"the claim {claim.text!r} names the row {id}, which is not there{suggestion(id, rows)}")
        found = rows[id].value(claim.metric or "", claim.statistic or "")
        require(found, f"the claim {claim.text!r} is of {claim.metric} ({claim.statistic}), of which row {id} has no value")


def mismatches(config: Mapping[str, Any], wanted: Settings) -> list[str]:
    """`trainer.epochs=2, the paper's 200`, for each key of `wanted` (a row's settings or recipe) in which a run differs.

    config: nested, as the `config` of a record.
    """
    found = []
    for key, value in wanted.items():
        ours: Any = config
        for part in key.split("."):
            ours = ours.get(part) if isinstance(ours, Mapping) else None
        if ours != value:
            found.append(f"{key}={ours}, the paper's {value}")
    return found


# -- reading -------------------------------------------------------------------------------------------------------------


class UniqueKeys(yaml.SafeLoader):
    """YAML in which a key given twice is an error, and not the last one's."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_paper(file: Path) -> dict[str, Experiment]:
    """The experiments by name, in the file's order. UserError with place and remedy for what is not as it should be."""
    try:
        whole = yaml.load(file.read_text(), Loader=UniqueKeys)
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error
    return {name: read_experiment(file, name, raw) for name, raw in mapping(whole, str(file)).items()}


def read_experiment(file: Path, name: str, raw: object) -> Experiment:
    place = f"{file}, {name}"
    fields = {"unit": "%", "decimals": 1, **mapping(raw, place), "name": name}
    shared = {key: fields.pop(key) for key in SHARED if key in fields}
    of_values: Settings = {key: fields[key] for key in ("metric", "statistic", "unit", "decimals") if key in fields}
    of_claims: Settings = {key: fields[key] for key in ("metric", "statistic") if key in fields}
    rows = [read_row(row, shared, of_values, where) for row, where in items(fields, "rows", place)]
    claims = [
        build(Claim, {**of_claims, **claim} if "better" in claim else claim, where)
        for claim, where in items(fields, "claims", place)
    ]
    if "curves" in fields:
        fields["curves"] = build(Curves, mapping(fields["curves"], f"{place}, curves"), f"{place}, curves")
        if not (file.parent / fields["curves"].file).is_file():
            raise UserError(f"{place}: curves.file={fields['curves'].file} is not in {file.parent}: correct its path")
    return build(Experiment, {**fields, "rows": tuple(rows), "claims": tuple(claims)}, place)


def read_row(row: dict[str, Any], shared: Settings, of_values: Settings, place: str) -> Row:
    place = f"{place} ({row.get('id', 'without id')})"
    fields: dict[str, Any] = {**shared, **row}
    for name in ("settings", "recipe"):
        fields[name] = {**mapping(shared.get(name, {}), place), **mapping(row.get(name, {}), f"{place}, {name}")}
    values = [build(Value, {**of_values, **value}, where) for value, where in items(row, "values", place)]
    return build(Row, {**fields, "values": tuple(values)}, place)


def items(fields: Settings, name: str, place: str) -> list[tuple[dict[str, Any], str]]:
    """The mappings of a list, each with its place: `..., row 3`."""
    found = fields.get(name, [])
    if not isinstance(found, list):
        raise UserError(f"{place}: {name} should be a list, not {found!r}")
    places = [f"{place}, {name[:-1]} {number}" for number in range(1, len(found) + 1)]
    return [(mapping(item, where), where) for item, where in zip(found, places)]


def mapping(raw: object, place: str) -> dict[str, Any]:
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise UserError(f"{place}: names with values belong here, not {raw!r}")
    return raw


KINDS: dict[str, type | tuple[type, ...]] = {"str": str, "float": (int, float), "int": int, "bool": bool}
KINDS |= {"Sequence[float]": list, "Settings": dict}


def build(kind: type[Built], values: Mapping[str, Any], place: str) -> Built:
    """A dataclass from what YAML holds, with the names and kinds of its fields checked."""
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in fields:
            raise UserError(f"{place}: no such field {name!r}{suggestion(name, fields)}; there are {', '.join(fields)}")
        wanted = str(fields[name].type)
        expected = KINDS.get(wanted.removesuffix(" | None"))
        if expected and not isinstance(value, expected) and not (value is None and wanted.endswith("None")):
            raise UserError(f"{place}: {name}={value!r} should be of type {wanted}; mind the quotes")
    for name, item in fields.items():
        if name not in values and item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            remedy = "give the tag of PAPER.md, MEM if from memory" if name == "source" else "add it"
            raise UserError(f"{place}: the field {name!r} is missing: {remedy}")
    try:
        return kind(**values)
    except ValueError as error:
        raise UserError(f"{place}: {error}") from error


def require(condition: object, message: str) -> None:
    if not condition:
        raise ValueError(message)
