"""A run's parts, made from its configuration: data, network and optimizer on this process's device."""

import dataclasses
import json
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mixup.data import Dataset, DatasetInfo, Examples, Split, StreamedImages, nearest, open_dataset, serve
from mixup.data.datasets import dataset_info
from mixup.data.sources.tables import Preparation
from mixup.errors import UserError
from mixup.plan import PlanSettings, generator, num_steps, stream_seed
from mixup.run.config import OWN, DataConfig, TrainConfig
from mixup.run.measured import of_first_start
from mixup.run.processes import cores
from mixup.training.capture import step_function
from mixup.training.device import choose_device, require_precision, set_up_device
from mixup.training.distributed import Group, barrier, broadcast, synchronised, wrap
from mixup.training.engine import evaluate
from mixup.training.network import autocast, build, channels_last, layer_named, place, require_values_for_batchnorm
from mixup.training.schedules import build_optimizer
from mixup.training.step import StepSettings


@dataclasses.dataclass
class Run:
    """One run's parts, made by `assemble`. Splits and networks are on `device`; inputs and weights are float32.

    model: the network itself. wrapped: the same, compiled or for many processes; they share their weights. train_eval: a
    fixed slice of the training set, unmixed and unaugmented, evaluated after every epoch; train_eval_split: its data.
    train_step: `step.train_step`, or that as a CUDA graph. not_captured: why not, where `trainer.capture=auto` would.
    evaluate: `engine.evaluate` of the model; takes a split, and after_batch. segments: one for each start of the run, see
    `checkpoint.segment`.
    """

    config: TrainConfig
    folder: Path
    group: Group
    device: torch.device
    data: Dataset
    fingerprints: dict[str, str | None]
    train: Examples
    train_eval: Examples
    train_eval_split: Split
    test: Examples
    validation: Examples | None
    model: nn.Module
    wrapped: nn.Module
    optimizer: torch.optim.Optimizer
    plan: PlanSettings
    step: StepSettings
    train_step: Callable[..., None]
    not_captured: str | None
    evaluate: Callable[..., tuple[dict[str, float], Tensor]]
    segments: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def steps_per_epoch(self) -> int:
        return num_steps(len(self.train), self.config.trainer.batch_size)

    @property
    def streams(self) -> bool:
        """Whether training images are decoded when a step needs them."""
        return isinstance(self.train, StreamedImages)

    @property
    def mixes_in_shares(self) -> bool:
        """Whether each process mixes its share of a batch by itself, so that mixtures depend on how many there are."""
        return self.config.mixup.alpha > 0 and partners_in_share(self.config, streamed=self.streams)


def partners_in_share(config: TrainConfig, *, streamed: bool) -> bool:
    """Whether streamed images or outputs of a layer are mixed, which have their partners on the same rank."""
    return streamed or config.mixup.layer is not None


def assemble(config: TrainConfig, folder: Path, group: Group) -> Run:
    """Data, network and optimizer on this process's device, as at the start of the run."""
    device = choose_device(config.trainer.device, group)
    require_precision(config.trainer, device)
    wanted = of_first_start(config.data, folder)
    data = load(wanted, device) if group.is_leader else None
    # What is streamed has been listed for all: a million files, listed by every process of a job, bring a file server down.
    is_listed = data is not None and not isinstance(data.train.inputs, Tensor)
    data = broadcast(group, data if is_listed else None, preparing=True) or data
    if group.local_rank != 0:  # the first process of each machine downloads and decodes; then the others read its results
        barrier(group, preparing=True)
    data = data or load(wanted, device)
    neighbours = nearest_neighbours(config, data, device)
    if group.local_rank == 0:
        barrier(group, preparing=True)
    return run_on(data, config, folder, group, neighbours)


def run_on(data: Dataset, config: TrainConfig, folder: Path, group: Group, neighbours: np.ndarray | None = None) -> Run:
    """A run on this data, at its start. neighbours: (n, K), see `plan_settings`."""
    device, trainer = choose_device(config.trainer.device, group), config.trainer
    set_up_device(device, trainer)
    in_share = partners_in_share(config, streamed=not isinstance(data.train.inputs, Tensor))
    shards, labels = group.world_size if in_share else 1, data.train.labels.numpy()
    plan = plan_settings(config, data.info, labels, shards=shards, neighbours=neighbours)
    require_values_for_batchnorm(config, data.info, plan, group)
    rows = generator(config.data.seed, "clean_slice").permutation(len(data.train))[: trainer.train_eval_size]
    train_eval = data.train.select(np.sort(rows))
    options: dict[str, Any] = {"workers": loader_workers(config), "on_error": config.data.on_error}
    torch.manual_seed(stream_seed(config.seed, "init"))
    model = place(config, synchronised(trainer, build(config, data.info), group, device), device)
    options |= {"info": data.info, "device": device, "channels_last": channels_last(config, model, device)}
    step = step_settings(config, data.info, model, device, group)
    train = serve(data.train, padding=plan.crop_padding, **options)
    train_step, not_captured = step_function(config, train, group, device)
    return Run(
        config=config,
        folder=folder,
        group=group,
        device=device,
        data=data,
        fingerprints=data.fingerprints(),
        train=train,
        train_eval=serve(train_eval, **options),
        train_eval_split=train_eval,
        test=serve(data.test, **options),
        validation=serve(data.validation, **options) if data.validation else None,
        model=model,
        wrapped=wrap(trainer, model, group, device),
        optimizer=build_optimizer(config.optim, model),
        plan=plan,
        step=step,
        train_step=train_step,
        not_captured=not_captured,
        evaluate=partial(evaluate, model, batch_size=trainer.eval_batch_size, autocast=step.autocast, group=group),
    )


def load(data: DataConfig, device: torch.device) -> Dataset:
    """The configured data. Its draws depend on `data.seed`, not on the run's: all runs of a table have the same data.

    device: where spectrograms are computed.
    """
    names = ("root", "download", "train_size", "test_size", "validation", "label_noise", "resident")
    options: dict[str, Any] = {name: getattr(data, name) for name in names}
    options["preparation"] = Preparation(scaling=data.scaling, train_share=data.train_share, split=data.split)
    options["own"] = data if data.name in OWN else None
    dataset = open_dataset(data.name, **options, stream=lambda stream: generator(data.seed, stream), device=device)
    if data.on_error == "skip" and isinstance(dataset.train.inputs, Tensor):
        raise UserError(
            "data.on_error=skip: this data is kept in memory, and read whole before the first step; leave it at raise"
            + (", or use data.resident=false" if dataset.info.resize else "")
        )
    return dataset


def info_of(data: DataConfig) -> DatasetInfo:
    """The facts of the configured data: known without opening it, but of the user's, which is opened once a process."""
    return opened_info(json.dumps(vars(data))) if data.name in OWN else dataset_info(data.name)


@cache
def opened_info(data: str) -> DatasetInfo:
    return load(DataConfig(**json.loads(data)), torch.device("cpu")).info


def nearest_neighbours(config: TrainConfig, data: Dataset, device: torch.device) -> np.ndarray | None:
    """The nearest training examples of each, (n, K); None unless partners are drawn from them (section 3.8)."""
    mixup = config.mixup
    if mixup.partner != "nearest" or mixup.alpha == 0:
        return None
    root = None if config.data.name in OWN else config.data.root  # nothing is written among a user's own images
    return nearest(data.train, mixup.neighbours, within_class=mixup.within_class, root=root, device=device)


def plan_settings(
    config: TrainConfig, info: DatasetInfo, labels: np.ndarray, *, shards: int = 1, neighbours: np.ndarray | None = None
) -> PlanSettings:
    """The configured plan. labels: (n,) of the training set. neighbours: (n, K); without them near partners are random."""
    mixup, augment = config.mixup, config.data.augment
    same: dict[str, Any] = {name: getattr(mixup, name) for name in ("alpha", "lam_per", "warmup_epochs", "ways", "fold")}
    return PlanSettings(
        **same,
        seed=config.seed,
        n=len(labels),
        batch_size=config.trainer.batch_size,
        shuffle=config.trainer.shuffle,
        partner="random" if mixup.partner == "nearest" and neighbours is None else mixup.partner,
        classes=labels if mixup.within_class else None,
        neighbours=neighbours,
        crop_padding=info.crop_padding if augment else 0,
        flip=info.flip and augment,
        resized_crop=info.resized_crop and augment,
        shards=shards,
    )


def step_settings(
    config: TrainConfig, info: DatasetInfo, model: nn.Module, device: torch.device, group: Group
) -> StepSettings:
    """The configured step. `mixup.noise` is on the scale of pixels, 0 to 1."""
    mixup = config.mixup
    per_channel = torch.tensor([1 / std for std in info.std] or [1.0], device=device)
    noise = mixup.noise * per_channel.view(-1, *[1] * (len(info.input_shape) - 1))
    return StepSettings(
        seed=config.seed,
        num_classes=info.num_classes,
        group=group,
        autocast=partial(autocast, config, device),
        dominant=mixup.targets == "dominant",
        label_smoothing=mixup.label_smoothing,
        noise=noise if mixup.noise else None,
        layer=None if mixup.layer is None else layer_named(mixup.layer, model, config, info),
    )


def loader_workers(config: TrainConfig) -> int:
    """Processes that decode images for this rank."""
    if config.data.workers is not None:
        return config.data.workers
    return min(16, max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))
