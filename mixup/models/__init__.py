"""The networks of the paper by name. They know nothing of mixing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from mixup.errors import UserError, suggestion
from mixup.models.lenet import lenet
from mixup.models.preact_resnet import preact_resnet18
from mixup.models.wide_resnet import wide_resnet

MODELS: dict[str, Callable[..., nn.Module]] = {
    "lenet": lenet,
    "preact_resnet18": preact_resnet18,
    "wrn28": wide_resnet,
}


def build_model(name: str, *, num_classes: int, input_shape: tuple[int, int, int], **options: Any) -> nn.Module:
    """A network with fresh weights from torch's global generator, for inputs (B, *input_shape), channels first.

    options: `depth`, `width`, `dropout`, ... as the network's function takes them; None takes its default.
    Raises UserError for an unknown name, or an option that the network does not have.
    """
    if name not in MODELS:
        raise UserError(f"model.name={name}: no such network{suggestion(name, MODELS)}; there are {', '.join(MODELS)}")
    known = inspect.signature(MODELS[name]).parameters.keys() - {"num_classes", "input_shape"}
    chosen = {option: value for option, value in options.items() if value is not None}
    for option in chosen.keys() - known:
        has = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise UserError(f"model.{option}={chosen[option]}: {name} has no such option; {has}")
    return MODELS[name](num_classes=num_classes, input_shape=input_shape, **chosen)
