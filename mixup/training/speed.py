"""The training loop on generated data of a data set's shape, to be timed; the data set itself need not be there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from mixup.data import DatasetInfo, Split, dataset_info, serve, split_of
from mixup.run.config import TrainConfig
from mixup.training.distributed import Group
from mixup.training.engine import start_epoch, train_epoch
from mixup.training.method import crop_padding, epoch_plan, method_of
from mixup.training.setup import autocast, build, build_optimizer, choose_device, place, wrap


def generated(info: DatasetInfo, count: int) -> Split:
    """Noise with random labels, in the data set's shape."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, info.num_classes, count)
    if not info.mean:
        return split_of(rng.standard_normal((count, *info.input_shape), dtype=np.float32), labels)
    channels, height, width = info.input_shape
    return split_of(rng.integers(0, info.white, (count, height, width, channels), dtype=np.uint8), labels)


def training_step(config: TrainConfig) -> tuple[Callable[[], None], torch.device]:
    """One step of the very loop that trains, as a function to call again and again, and the device it runs on.

    One batch is fetched, cropped, flipped, mixed, trained on; it is in memory, even where the data set is streamed. The
    learning rate is 0: noise teaches nothing.
    """
    info, trainer, group = dataset_info(config.data.name), config.trainer, Group()
    device = choose_device(trainer.device, group)
    split = generated(info, trainer.batch_size)
    padding = crop_padding(config, info)
    data = serve(split, info, padding=padding, channels_last=trainer.channels_last, device=device)
    model = place(config, build(config, info), device)
    wrapped = wrap(config, model, group, device)
    optimizer, method = build_optimizer(config, model), method_of(config, info, model, device)
    plan = epoch_plan(config, info, 0, trainer.batch_size, labels=split.labels.numpy()).to(device)

    def step() -> None:
        train_epoch(
            wrapped,
            optimizer,
            data,
            plan,
            start_epoch(0, 1, device),
            learning_rate=lambda epochs_done: 0.0,
            autocast=lambda: autocast(config, device),
            seed=config.seed,
            group=group,
            after_step=lambda progress: None,
            method=method,
        )

    return step, device
