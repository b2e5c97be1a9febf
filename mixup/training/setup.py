"""A run's parts, put together from its configuration: data, network and optimizer on this process's device."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from mixup.data import Dataset, DatasetInfo, Examples, Split, StreamedImages, open_dataset, serve
from mixup.errors import UserError
from mixup.models import build_model
from mixup.plan import EpochPlan, generator, num_steps, stream_seed
from mixup.run.config import TrainConfig
from mixup.training.distributed import Group, wait_for_all
from mixup.training.engine import Method, Progress, evaluate
from mixup.training.method import crop_padding, epoch_plan, method_of, nearest_examples
from mixup.training.schedules import step_schedule


@dataclasses.dataclass
class Run:
    """One run's parts, put together by `assemble`.

    model: the network itself. trained: the same wrapped for many processes or compiled; they share their weights.
    clean: a fixed, unmixed slice of the training set, evaluated after every epoch; clean_split is the same as data.
    """

    config: TrainConfig
    folder: Path
    group: Group
    device: torch.device
    data: Dataset
    fingerprint: str
    train: Examples
    clean: Examples
    clean_split: Split
    test: Examples
    validation: Examples | None
    model: nn.Module
    trained: nn.Module
    optimizer: torch.optim.Optimizer
    method: Method
    neighbours: np.ndarray | None

    @property
    def steps_per_epoch(self) -> int:
        return num_steps(len(self.train), self.config.trainer.batch_size)

    @property
    def streams(self) -> bool:
        """Whether training images are decoded as they are needed."""
        return isinstance(self.train, StreamedImages)

    def plan(self, epoch: int) -> EpochPlan:
        """An epoch's plan on the device. A batch is mixed in each process's own share where no process sees another's."""
        apart = self.streams or self.method.layer is not None
        return epoch_plan(
            self.config,
            self.data.info,
            epoch,
            len(self.train),
            shards=self.group.world_size if apart else 1,
            labels=self.data.train.labels.numpy(),
            neighbours=self.neighbours,
        ).to(self.device)

    def steps_done(self, progress: Progress) -> int:
        """Optimizer steps since the start of the run."""
        return progress.epoch * self.steps_per_epoch + progress.step

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        return autocast(self.config, self.device)

    def evaluate(self, data: Examples) -> tuple[dict[str, float], Tensor]:
        size = self.config.trainer.eval_batch_size
        return evaluate(self.model, data, batch_size=size, autocast=self.autocast, group=self.group)


def assemble(config: TrainConfig, folder: Path, group: Group) -> Run:
    """Data, network and optimizer on this process's device, as at the start of the run."""
    device = choose_device(config.trainer.device, group)
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32; for speed there is bfloat16
    # The first process of each machine decodes or downloads, the others then find it done.
    if group.local_rank == 0:
        data = load(config, device)
        neighbours = nearest_examples(config, data, device)
    wait_for_all(group)
    if group.local_rank != 0:
        data = load(config, device)
        neighbours = nearest_examples(config, data, device)
    slice_rows = generator(config.data.seed, "clean_slice").permutation(len(data.train))[: config.trainer.clean_slice]
    clean_split = data.train.select(np.sort(slice_rows))
    padding = crop_padding(config, data.info)

    def served(split: Split, padding: int = 0) -> Examples:
        return serve(
            split,
            data.info,
            device=device,
            padding=padding,
            channels_last=config.trainer.channels_last,
            workers=loader_workers(config),
            on_error=config.data.on_error,
        )

    torch.manual_seed(stream_seed(config.seed, "init"))
    model = place(config, build(config, data.info), device)
    return Run(
        config=config,
        folder=folder,
        group=group,
        device=device,
        data=data,
        fingerprint=data.fingerprint(),
        train=served(data.train, padding),
        clean=served(clean_split),
        clean_split=clean_split,
        test=served(data.test),
        validation=served(data.validation) if data.validation else None,
        model=model,
        trained=wrap(config, model, group, device),
        optimizer=build_optimizer(config, model),
        method=method_of(config, data.info, model, device),
        neighbours=neighbours,
    )


def load(config: TrainConfig, device: torch.device) -> Dataset:
    """The configured data. Its draws depend on `data.seed`, not on the run's: all runs of a table see the same data.

    device: where spectrograms are computed.
    """
    data = config.data
    opened = open_dataset(
        data.name,
        root=data.root,
        download=data.download,
        train_size=data.train_size,
        test_size=data.test_size,
        validation=data.validation,
        label_noise=data.label_noise,
        stream=lambda name: generator(data.seed, name),
        resident=data.resident,
        device=device,
    )
    if data.on_error == "skip" and isinstance(opened.train.inputs, Tensor):
        raise UserError(
            "data.on_error=skip: this data is kept in memory, and read whole before the first step; leave it at raise"
            + (", or use data.resident=false" if opened.info.resize else "")
        )
    return opened


def loader_workers(config: TrainConfig) -> int:
    """Processes that decode images for this rank."""
    if config.data.workers is not None:
        return config.data.workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(16, max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))


def build(config: TrainConfig, info: DatasetInfo) -> nn.Module:
    options = {key: value for key, value in vars(config.model).items() if key != "name"}
    return build_model(config.model.name, num_classes=info.num_classes, input_shape=info.input_shape, **options)


def place(config: TrainConfig, model: nn.Module, device: torch.device) -> nn.Module:
    """The network on the device, in the configured memory layout."""
    layout = torch.channels_last if config.trainer.channels_last else torch.contiguous_format
    return model.to(device).to(memory_format=layout)


def wrap(config: TrainConfig, model: nn.Module, group: Group, device: torch.device) -> nn.Module:
    """The network as the training loop calls it: compiled where configured, its gradients averaged over the group."""
    wrapped: Any = torch.compile(model) if config.trainer.compile else model
    if group.world_size > 1:
        wrapped = DistributedDataParallel(wrapped, device_ids=[device.index] if device.type == "cuda" else None)
    return wrapped


def build_optimizer(config: TrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    """SGD or Adam. Weight decay falls on every parameter, BatchNorm and biases included, as in both of the authors' codes;
    for ImageNet not on BatchNorm's (Goyal et al. 2017, section 5.1)."""
    o = config.optim
    norms = {id(p) for m in model.modules() if isinstance(m, _BatchNorm) for p in m.parameters()}
    spared = [p for p in model.parameters() if id(p) in norms and not o.decay_batchnorm]
    decayed = [p for p in model.parameters() if id(p) not in norms or o.decay_batchnorm]
    groups = [{"params": decayed, "weight_decay": o.weight_decay}, {"params": spared, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if o.name == "adam":
        return torch.optim.Adam(groups, lr=o.lr, fused=True)
    assert o.momentum is not None
    assert o.nesterov is not None
    return torch.optim.SGD(groups, lr=o.lr, momentum=o.momentum, nesterov=o.nesterov, fused=True)


def choose_device(wanted: str, group: Group) -> torch.device:
    """`auto` is this process's GPU where there is one."""
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"trainer.device={wanted}: torch finds no GPU here; use trainer.device=cpu or auto")
    if ":" in wanted and group.world_size > 1:
        raise UserError(f"trainer.device={wanted}: each process of a group has a GPU of its own; use trainer.device=cuda")
    if ":" in wanted and int(wanted.split(":")[1]) >= torch.cuda.device_count():
        raise UserError(f"trainer.device={wanted}: there are {torch.cuda.device_count()} GPUs here, counted from 0")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", group.local_rank) if ":" not in wanted else torch.device(wanted)


def learning_rate(config: TrainConfig, epochs_done: float) -> float:
    """The configured schedule."""
    o = config.optim
    return step_schedule(
        epochs_done,
        lr=o.lr,
        milestones=o.milestones,
        decay=o.decay,
        warmup_epochs=o.warmup_epochs,
        warmup_lr=o.warmup_lr or 0.0,
    )


def autocast(config: TrainConfig, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """bfloat16 in the forward pass where configured; weights, mixing and losses stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=config.trainer.precision == "bfloat16")


def device_name(device: torch.device) -> str:
    """The hardware, as a record names it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()})"
