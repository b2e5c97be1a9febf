"""The networks of the paper by name. They know nothing of mixing."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from mixup.errors import UserError, suggestion
from mixup.models.densenet import DenseNet
from mixup.models.from_timm import imagenet_resnet, timm_model
from mixup.models.imported import imported_model
from mixup.models.lenet import lenet, speech_lenet
from mixup.models.mlp import mlp
from mixup.models.preact_resnet import PreActResNet18
from mixup.models.vgg import vgg11
from mixup.models.wide_resnet import WideResNet

IMAGENET_RESNETS = ("resnet50", "resnet101", "resnext101_32x4d", "resnext101_64x4d")  # of table 1
MODELS: dict[str, Callable[..., nn.Module]] = {
    "lenet": lenet,
    "preact_resnet18": PreActResNet18,
    "wrn28": WideResNet,
    "densenet": DenseNet,
    "vgg11": vgg11,
    "speech_lenet": speech_lenet,
    "mlp": mlp,
    **{arch: partial(imagenet_resnet, arch) for arch in IMAGENET_RESNETS},
    "timm": timm_model,
    "import": imported_model,
}


def build_model(name: str, *, num_classes: int, input_shape: tuple[int, ...], **options: Any) -> nn.Module:
    """A network with fresh weights from torch's global generator, for inputs (B, *input_shape), channels first.

    options: `depth`, `width`, `dropout`, ... as the network takes them; None takes its default.
    Raises UserError for an unknown name, an option that the network does not have, or inputs it cannot take.
    """
    if name not in MODELS:
        raise UserError(f"model.name={name}: no such network{suggestion(name, MODELS)}; there are {', '.join(MODELS)}")
    known = inspect.signature(MODELS[name]).parameters.keys() - {"num_classes", "input_shape"}
    chosen = {option: value for option, value in options.items() if value is not None}
    for option in chosen.keys() - known:
        has = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise UserError(f"model.{option}={chosen[option]}: {name} has no such option; {has}")
    if len(input_shape) != 3 and name not in ("mlp", "import"):
        raise UserError(f"model.name={name} takes images, and one input is of shape {list(input_shape)}: use model=mlp")
    return MODELS[name](num_classes=num_classes, input_shape=input_shape, **chosen)
