"""YAML as dataclasses: OmegaConf checks names and types, and each error names its place in the file and the remedy."""

from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, ValidationError

from mixup.errors import UserError, suggestion

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Section = TypeVar("Section", bound="DataclassInstance")
schema_of = cache(OmegaConf.structured)


def require(condition: object, message: str) -> None:
    if not condition:
        raise ValueError(message)


class UniqueKeys(yaml.SafeLoader):
    """YAML in which a repeated key is an error; PyYAML takes the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(file: Path) -> dict[str, Any]:
    """UserError for a file that is absent, is no YAML, has a key twice, or is no mapping."""
    try:
        return mapping(yaml.load(file.read_text(), Loader=UniqueKeys), str(file))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error


def mapping(raw: object, place: str) -> dict[str, Any]:
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise UserError(f"{place}: names with values belong here, not {raw!r}")
    return raw


def checked(kind: type[Section], given: dict[str, Any], place: str, held: dict[str, Any]) -> Section:
    """OmegaConf checks names and types. These errors, and ValueErrors of the section's own checks, become UserErrors with
    the place and the remedy. held: the sections in it."""
    types = {item.name: item.type for item in fields(kind)}
    given = {name: value for name, value in given.items() if name not in held}
    try:
        values: Any = OmegaConf.to_container(OmegaConf.merge(schema_of(kind), given), throw_on_missing=True)
        wrong = next((name for name in given if values[name] != given[name]), None)  # OmegaConf reads "2.0" as 2.0
        if wrong is None:
            return kind(**{**values, **held})
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
