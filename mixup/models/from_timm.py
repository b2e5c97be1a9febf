"""The ImageNet nets of table 1, and any other net of timm, with fresh weights. timm is imported only to build one."""

import warnings
from typing import Any

import torch
from torch import nn

from mixup.errors import UserError, suggestion


def imagenet_resnet(arch: str, *, num_classes: int, input_shape: tuple[int, int, int], dropout: float = 0.0) -> nn.Module:
    """A ResNet or ResNeXt initialised as by Goyal et al. 2017 (section 3.1); (B, *input_shape) -> (B, num_classes).

    timm makes two of their three choices: He's normal initialisation by fan-out for convolutions, and a zero weight of the
    last BatchNorm of every residual block. The third is made here: a classifier of N(0, 0.01) with zero bias. As in their
    code the 3x3 convolution has the stride. `dropout` is before the classifier.
    """
    model = create(arch, num_classes=num_classes, in_chans=input_shape[0], drop_rate=dropout)
    nn.init.normal_(model.fc.weight, std=0.01)
    nn.init.zeros_(model.fc.bias)
    return model


def timm_model(*, num_classes: int, input_shape: tuple[int, int, int], arch: str | None = None) -> nn.Module:
    """timm's net called `arch`, as timm initialises it; (B, *input_shape) -> (B, num_classes).

    Raises UserError without `arch`, for one that timm does not have, and for one that does not take inputs of this shape.
    """
    if arch is None:
        raise UserError("model.name=timm: which of timm's nets? model.arch=resnet18, for instance")
    timm = import_timm()
    names = timm.list_models()
    if arch not in names:
        raise UserError(f"model.arch={arch}: timm {timm.__version__} has no such net{suggestion(arch, names)}")
    channels, *size = input_shape
    # timm marks nets that are built for one image size, which they then take as an argument.
    fixed = {"img_size": tuple(size)} if timm.get_pretrained_cfg(arch).fixed_input_size else {}
    try:
        model = create(arch, num_classes=num_classes, in_chans=channels, **fixed)
        check_output(model, num_classes, input_shape)
    except Exception as error:  # timm and its nets refuse a size with exceptions of every kind, some of them empty
        images, reason = "x".join(map(str, input_shape)), str(error).rstrip(".") or type(error).__name__
        message = f"model.arch={arch} refuses images of {images} ({reason}); most convolutional nets take any"
        raise UserError(message) from error
    return model


def check_output(model: nn.Module, num_classes: int, input_shape: tuple[int, ...]) -> None:
    """Raises ValueError if one image does not give (1, num_classes) logits."""
    with torch.no_grad():
        logits = model.eval()(torch.zeros(1, *input_shape))
    model.train()
    if not isinstance(logits, torch.Tensor) or logits.shape != (1, num_classes):
        found = f"of shape {list(logits.shape)}" if isinstance(logits, torch.Tensor) else f"a {type(logits).__name__}"
        raise ValueError(f"its output is not one logit for each class: of one example it is {found}")


def create(arch: str, **options: Any) -> Any:
    """`timm.create_model` without pretrained weights; its warnings about its own deprecations are silenced."""
    timm = import_timm()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return timm.create_model(arch, pretrained=False, **options)


def import_timm() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import timm
    except ImportError as error:
        raise UserError(f"this network is timm's, which is not installed ({error}): python -m pip install timm") from error
    return timm
