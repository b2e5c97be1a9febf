"""A configuration as what Hydra composes, as nested plain values, and as dotted keys."""

import copy
import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any, cast, get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf

from mixup.run.config import OLD_NAMES, TrainConfig


def from_omegaconf(config: DictConfig) -> TrainConfig:
    """The composed configuration as plain dataclasses; UserError for a value out of range."""
    return cast(TrainConfig, OmegaConf.to_object(config))


def from_dict(values: dict[str, Any]) -> TrainConfig:
    """The inverse of `dataclasses.asdict`, for the `config.yaml` of a run. Raises an error of OmegaConf's for an unknown key
    or a wrong type, and UserError for a value out of range."""
    given = copy.deepcopy(values)
    for new, old in OLD_NAMES.items():
        key, _, name = old.partition(".")
        section = given.get(key) if isinstance(given, dict) else None
        if isinstance(section, dict) and name in section:
            section[new.partition(".")[2]] = section.pop(name)
    return from_omegaconf(cast(DictConfig, OmegaConf.merge(OmegaConf.structured(TrainConfig), given)))


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key of a configuration with its value."""
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, value


@cache
def schema_settings(schema: type = TrainConfig, prefix: str = "") -> tuple[tuple[str, Any, Any], ...]:
    """Every dotted key of the schema with its type and its default; `???` for one that the YAML files must give."""
    types, settings = get_type_hints(schema), []
    for item in dataclasses.fields(schema):
        sections = [part for part in (types[item.name], *get_args(types[item.name])) if dataclasses.is_dataclass(part)]
        if not sections or item.default is None:
            default = item.default if item.default_factory is dataclasses.MISSING else item.default_factory()
            settings.append((prefix + item.name, types[item.name], default))
        for section in sections:
            settings += schema_settings(cast(type, section), f"{prefix}{item.name}.")
    return tuple(settings)


@cache
def schema_defaults() -> tuple[tuple[str, Any], ...]:
    """Every dotted key of the schema with its default."""
    return tuple((key, default) for key, _, default in schema_settings())


@cache
def text_settings() -> frozenset[str]:
    """The dotted keys whose value is text: names and paths."""
    return frozenset(key for key, kind, _ in schema_settings() if kind in (str, str | None))


def plain(config: TrainConfig) -> dict[str, Any]:
    """As nested plain values, for files. It holds no secret: keys for W&B are read from the environment alone."""
    return dataclasses.asdict(config)
