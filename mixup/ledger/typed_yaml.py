"""YAML as dataclasses: OmegaConf checks names and types, and each error names its place in the file and the remedy."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, ValidationError

from mixup.errors import UserError, suggestion

Mapping = dict[str, Any]
Kind = TypeVar("Kind")

schema_of = cache(OmegaConf.structured)


class UniqueKeys(yaml.SafeLoader):
    """YAML in which a repeated key is an error; PyYAML takes the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(file: Path) -> Mapping:
    """UserError for a file that is absent, is no YAML, has a key twice, or is no mapping."""
    try:
        return mapping(yaml.load(file.read_text(), Loader=UniqueKeys), str(file))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error


def mapping(raw: object, place: str) -> Mapping:
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise UserError(f"{place}: names with values belong here, not {raw!r}")
    return raw


def entries(given: Mapping, name: str, place: str) -> list[tuple[Mapping, str]]:
    """The mappings of a list, each with its place: `..., row 3`."""
    values = given.get(name, [])
    if not isinstance(values, list):
        raise UserError(f"{place}: {name} should be a list, not {values!r}")
    places = [f"{place}, {name[:-1]} {number}" for number in range(1, len(values) + 1)]
    return [(mapping(value, where), where) for value, where in zip(values, places)]


def require(condition: object, message: str) -> None:
    if not condition:
        raise ValueError(message)


def checked(kind: type[Kind], raw: object, place: str, **built: object) -> Kind:
    """A dataclass of YAML's values and of the dataclasses that it holds, `built` before. ValueErrors of its own checks, too,
    become UserErrors with the place."""
    types = {item.name: item.type for item in fields(cast(Any, kind))}
    given = {name: value for name, value in mapping(raw, place).items() if name not in built}
    try:
        values = cast(
            Mapping, OmegaConf.to_container(OmegaConf.merge(schema_of(cast(Any, kind)), given), throw_on_missing=True)
        )
        wrong = next((name for name in given if values[name] != given[name]), None)  # OmegaConf reads "2.0" as 2.0
        if wrong is None:
            return kind(**{**values, **built})
    except ConfigKeyError as error:
        nearest = suggestion(str(error.key), types) or f"; there are {', '.join(types)}"
        raise UserError(f"{place}: no such field {error.key!r}{nearest}") from error
    except MissingMandatoryValue as error:
        remedy = "give the tag of PAPER.md, MEM if from memory" if error.key == "source" else "add it"
        raise UserError(f"{place}: the field {error.key!r} is missing: {remedy}") from error
    except ValidationError as error:
        wrong = str(error.full_key).partition("[")[0]
    except ValueError as error:
        raise UserError(f"{place}: {error}") from error
    raise UserError(f"{place}: {wrong}={given.get(wrong)!r} should be of type {types.get(wrong)}; mind the quotes")
