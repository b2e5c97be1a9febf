"""What `eval.py` is asked for: its settings, and their checks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from omegaconf import MISSING

from mixup.config import check_device
from mixup.errors import UserError, suggestion


@dataclass
class EvalConfig:
    """Everything `eval.py` is asked for: a finished run's directory, and `data.root` and `trainer.device` for it here."""

    run: str = MISSING
    root: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_device("device", self.device)


def eval_config(arguments: list[str]) -> EvalConfig:
    """`run=DIR root=DIR` as a checked EvalConfig. Not Hydra's grammar: a run's name holds commas and equals signs."""
    values = {}
    known = [item.name for item in dataclasses.fields(EvalConfig)]
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise UserError(f"{argument}: write key=value, as run={argument}")
        if key not in known:
            raise UserError(f"{key}: no such setting{suggestion(key, known)}; there are {', '.join(known)}")
        values[key] = value
    if not values.get("run"):
        raise UserError("which run? run=DIR, a directory with a record.json, as runs/<name>/<label>-<hash>")
    return EvalConfig(**values)
