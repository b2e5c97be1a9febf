"""The settings of `eval.py`, and their checks; how they and those of `scripts/export.py` are read. Imports no torch."""

from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, cast

from omegaconf import MISSING, OmegaConf

from mixup.errors import UserError, check, check_choice, check_device, suggestion

Settings = TypeVar("Settings")
ATTACKS = {"fgsm": "FGSM", "ifgsm": "I-FGSM", "pgd": "PGD"}  # names for people
CORRUPTIONS = {"noise": "noise", "blur": "blur", "contrast": "low contrast", "jpeg": "JPEG"}
EXAMPLES = 1000  # test examples for measures of many forward passes, by default
PAIRS = 1000  # by default; the paper does not say. A miss rate of 16 % then has a standard error of 1.2 %


@dataclass
class EvalConfig:
    """The settings of `eval.py`; without `attack` and `between` it measures the report card."""

    run: str = MISSING
    root: str | None = None  # `data.root` here
    device: str = "auto"
    against: str | None = None  # a second run to compare with
    attack: list[str] = field(default_factory=list)
    eps: list[float] = field(default_factory=list)  # bounds of the attacks, in pixels, 0 to 255
    source: str | None = None  # the run that adversarial examples are made on; None for `run` itself
    between: bool = False
    pairs: int = PAIRS  # of training examples, for figure 2
    examples: int | None = EXAMPLES  # of the test set, class-balanced; None for all

    def __post_init__(self) -> None:
        check_device("device", self.device)
        for name in self.attack:
            check_choice("attack", name, list(ATTACKS))
        for eps in self.eps:
            check("eps", eps, 0 <= eps <= 255, "0 to 255, in pixels")
        check("pairs", self.pairs, self.pairs >= 2, "at least 2, for a standard error")
        check("examples", self.examples, self.examples is None or self.examples >= 1, "at least 1, or all")
        for name in ("eps", "source"):
            if getattr(self, name) and not self.attack:
                raise UserError(f"{name} applies to attacks only; add attack=fgsm,ifgsm")
        if self.attack and self.between:
            raise UserError("attack and between cannot be combined: run eval.py once for each")
        if self.attack and self.against:
            raise UserError("against does not apply to attacks; source=DIR names the run that the examples are made on")
        if self.attack and not self.eps:
            self.eps = [4.0]  # the paper's


def eval_config(arguments: list[str]) -> EvalConfig:
    """`run=DIR root=DIR` as a checked EvalConfig. UserError, or OmegaConf's for a value of the wrong type."""
    values: dict[str, Any] = dict(words_of(EvalConfig, arguments))
    for key in ("attack", "eps"):
        if key in values:
            values[key] = [word for word in values[key].split(",") if word]
    if values.get("examples") == "all":
        values["examples"] = None
    return typed(EvalConfig, values)


def words_of(schema: type, arguments: list[str]) -> dict[str, str]:
    """`run=DIR to=DIR` by key. Not Hydra's grammar: a run's name holds commas and equals signs. UserError for a key that the
    schema lacks, and without a run."""
    values: dict[str, str] = {}
    known = [item.name for item in fields(schema)]
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise UserError(f"{argument}: write key=value, as run={argument}")
        if key not in known:
            raise UserError(f"{key}: no such setting{suggestion(key, known)}; there are {', '.join(known)}")
        values[key] = value
    if not values.get("run"):
        raise UserError("run is missing: run=DIR names a directory with a record.json, as runs/<name>/<label>-<hash>")
    return values


def typed(schema: type[Settings], values: dict[str, Any]) -> Settings:
    """Values by key as their dataclass. OmegaConf's error for one of the wrong type."""
    return cast(Settings, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), values)))
