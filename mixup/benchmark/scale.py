"""What the tables of the paper need on many GPUs, computed for docs/scale.md: runs counted in the grids, speeds as measured
on one H100, bandwidths as published."""

import math
from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mixup.data import serve, split_of
from mixup.data.dataset import identities
from mixup.data.datasets import DatasetInfo, dataset_info
from mixup.data.sources.storage import files_in
from mixup.pages import costs
from mixup.plan import draw_plan, num_steps
from mixup.run.compose import configuration, expanded, parsed, sweeper_params
from mixup.run.config import TrainConfig
from mixup.training.distributed import Group
from mixup.training.dry_run import example_counts, parameter_count, step_count
from mixup.training.network import build, sketched
from mixup.training.setup import plan_settings, step_settings
from mixup.training.step import draw_epoch, start_state

EXPERIMENTS = {
    "table1_imagenet": "Table 1, 90 epochs",
    "table1_imagenet_200": "Table 1, 200 epochs",
    "table2_label_noise": "Table 2",
    "table3_adversarial": "Table 3, training",
    "table5_ablation": "Table 5",
    "figure3_cifar10": "Figure 3, CIFAR-10",
    "figure3_cifar100": "Figure 3, CIFAR-100",
    "figure4_speech": "Figure 4",
}
NODE = 8  # GPUs of a machine
NVLINK = 450e9  # bytes/s in each direction, of an H100
INFINIBAND = 400e9 / 8  # bytes/s in each direction, one link a GPU
GPU_DAYS_PER_INTERRUPTION = 54 * 16_384 / 419  # of Llama 3's training


@dataclass(frozen=True)
class Part:
    """The runs of one network in a table or figure. config: of one of them; they differ in nothing that costs time."""

    title: str
    config: TrainConfig
    runs: int

    @property
    def network(self) -> str:
        return costs.SUBJECTS[self.config.model.name]

    @property
    def info(self) -> DatasetInfo:
        return dataset_info(self.config.data.name)

    @property
    def rate(self) -> float | None:
        """Training images a second of one H100."""
        return costs.rates().get(self.network)

    @property
    def batch(self) -> int:
        return self.config.trainer.batch_size

    @property
    def steps_per_epoch(self) -> int:
        return num_steps(example_counts(self.config, self.info)[0], self.batch)

    def seconds(self, gpus: int = 0) -> float | None:
        """Of all runs, one on each GPU; of a single run without `gpus`. None where no rate was measured."""
        turns = math.ceil(self.runs / gpus) if gpus else 1
        return None if self.rate is None else turns * step_count(self.config) * self.batch / self.rate

    def step_seconds(self, gpus: int) -> float | None:
        """Of its share of a step's batch, if it were computed as fast an image as the batch that was measured."""
        return None if self.rate is None else self.batch / gpus / self.rate

    @cached_property
    def parameters(self) -> int:
        with sketched(self.config):
            return parameter_count(build(self.config, self.info))

    @property
    def state_bytes(self) -> int:
        """Weights, gradients, and what the optimizer keeps: momentum, or Adam's two means; all float32."""
        return 4 * self.parameters * (4 if self.config.optim.name == "adam" else 3)

    @property
    def resident_bytes(self) -> int:
        """Of the examples that each GPU keeps: features, or images normalised once and padded to be cropped; float32."""
        if self.info.resized_crop:  # streamed
            return 0
        train, tested = example_counts(self.config, self.info)
        channels, *sides = self.info.input_shape
        padded = math.prod(side + 2 * self.info.crop_padding for side in sides)
        return 4 * channels * (train * padded + tested * math.prod(sides))


@cache
def parts() -> list[Part]:
    """Those of all tables and figures that need a GPU."""
    found = []
    for name, title in EXPERIMENTS.items():
        given = parsed([f"experiment={name}"])
        cells = expanded([*parsed(sweeper_params(given)), *given])
        words = [[override.input_line or "" for override in cell] for cell in cells]
        runs = Counter(next(word for word in cell if word.startswith("model=")) for cell in words)
        for model, count in runs.items():
            found.append(Part(title, configuration(next(cell for cell in words if model in cell)), count))
    return found


def networks() -> dict[str, Part]:
    """The first part of each network, by its name."""
    found: dict[str, Part] = {}
    for part in parts():
        found.setdefault(part.network, part)
    return found


def all_reduce_seconds(size: float, gpus: int) -> float:
    """Of one ring, at the bandwidth of its slowest link. size: bytes on each GPU."""
    return 2 * (gpus - 1) / gpus * size / (NVLINK if gpus <= NODE else INFINIBAND)


@cache
def bytes_per_image() -> tuple[int, int]:
    """Of a streamed training image, in each process: in the machine's memory, for its name, label and plan; and on its GPU,
    for the tables of an epoch. Taken from a small plan of ImageNet, drawn as a run draws it."""
    config, info, count = configuration(["data=imagenet", "model=resnet50"]), dataset_info("imagenet"), 64
    names = ["train/n01440764/n01440764_10026.JPEG"] * count
    split = split_of(files_in(Path(), names), np.zeros(count, np.int64))
    data, device = serve(split, info, device=torch.device("cpu")), torch.device("cpu")
    plan = draw_plan(plan_settings(config, info, split.labels.numpy()), 0)
    epoch = draw_epoch(plan, data, [0.0], step_settings(config, info, nn.Identity(), device, Group()))
    listed = split.files.names.nbytes + tensor_bytes(split) + identities(map(str.encode, names)).nbytes
    on_gpu = tensor_bytes(epoch) + tensor_bytes(start_state(count, device)) + tensor_bytes(data)
    return (listed + tensor_bytes(plan)) // count, on_gpu // count


def tensor_bytes(tables: object) -> int:
    """Of the tensors with a row an example that an object holds."""
    return sum(value.nbytes for value in vars(tables).values() if isinstance(value, Tensor) and value.numel() > 1)
