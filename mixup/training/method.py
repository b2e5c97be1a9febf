"""What the configuration asks of every batch: the epoch's plan, what is mixed, and with which partners (section 3.8)."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from mixup.data import Dataset, DatasetInfo, nearest
from mixup.errors import UserError, suggestion
from mixup.plan import EpochPlan, draw_plan
from mixup.run.config import TrainConfig
from mixup.training.engine import Method


def method_of(config: TrainConfig, info: DatasetInfo, model: nn.Module, device: torch.device) -> Method:
    """What the configuration asks of a batch besides the plan. Noise is given on the scale of pixels, 0 to 1."""
    mixup = config.mixup
    unit = [1 / std for std in info.std] or [1.0]
    noise = mixup.noise * torch.tensor(unit, device=device).view(-1, *[1] * (len(info.input_shape) - 1))
    return Method(
        layer=None if mixup.layer is None else named_module(model, mixup.layer, config),
        dominant=mixup.targets == "dominant",
        label_smoothing=mixup.label_smoothing,
        noise=noise if mixup.noise else None,
    )


def named_module(model: nn.Module, name: str, config: TrainConfig) -> nn.Module:
    """The module whose output is mixed. UserError for one that the network has not, or where its output cannot be mixed."""
    modules = {key: module for key, module in model.named_modules() if key}
    if name not in modules:
        few = ", ".join(key for key in modules if key.count(".") < 2)
        raise UserError(f"mixup.layer={name}: no such module{suggestion(name, modules)}; {config.model.name} has {few}, ...")
    if config.trainer.compile:
        raise UserError("mixup.layer and trainer.compile=true: a compiled network's layers cannot be reached; use false")
    if config.data.on_error == "skip":
        raise UserError("mixup.layer and data.on_error=skip: partners may be missing from a batch; use data.on_error=raise")
    return modules[name]


def nearest_examples(config: TrainConfig, data: Dataset, device: torch.device) -> np.ndarray | None:
    """The nearest training examples of each, where partners are drawn from them (section 3.8)."""
    mixup = config.mixup
    if mixup.partner != "nearest" or mixup.alpha == 0:
        return None
    return nearest(data.train, mixup.neighbours, within_class=mixup.within_class, root=config.data.root, device=device)


def crop_padding(config: TrainConfig, info: DatasetInfo) -> int:
    """Pixels of zeros around a training image; none where augmentation is off."""
    return info.crop_padding if config.data.augment else 0


def epoch_plan(
    config: TrainConfig,
    info: DatasetInfo,
    epoch: int,
    n: int,
    *,
    shards: int = 1,
    labels: np.ndarray | None = None,
    neighbours: np.ndarray | None = None,
) -> EpochPlan:
    """The configured plan of one epoch over n examples, on the CPU. shards: parts of a batch that are mixed apart. labels:
    (n,), needed where partners are of one class. neighbours: (n, K), where they are near; without, random ones."""
    mixup = config.mixup
    return draw_plan(
        config.seed,
        epoch,
        n,
        batch_size=config.trainer.batch_size,
        alpha=0.0 if epoch < mixup.warmup_epochs else mixup.alpha,
        lam_per=mixup.lam_per,
        ways=mixup.ways,
        fold=mixup.fold,
        partner="random" if mixup.partner == "nearest" and neighbours is None else mixup.partner,
        classes=labels if mixup.within_class else None,
        neighbours=neighbours,
        crop_padding=crop_padding(config, info),
        flip=info.flip and config.data.augment,
        resized_crop=info.resized_crop and config.data.augment,
        shards=shards,
    )
