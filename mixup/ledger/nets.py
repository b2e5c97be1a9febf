"""What a net is called in tables and figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def net_name(settings: Mapping[str, Any]) -> str:
    """The net as papers name it, with its size where that is not the paper's."""
    name, depth, width = (settings[f"model.{key}"] for key in ("name", "depth", "width"))
    usual = {"preact_resnet18": ("PreAct ResNet-18", 64), "vgg11": ("VGG-11", 64)}
    if name in usual:
        return usual[name][0] + ("" if width in (None, usual[name][1]) else f" of width {width}")
    shown = {
        "wrn28": f"WRN-{depth}-{width}",
        "densenet": f"DenseNet-BC-{depth} (k={settings['model.growth']})",
        "mlp": f"MLP {depth} x {width}",
        "lenet": "LeNet",
        "speech_lenet": "LeNet",
        "timm": str(settings["model.arch"]),
    }
    return shown.get(name, name.replace("resnext", "ResNeXt-").replace("resnet", "ResNet-").replace("_", " "))
