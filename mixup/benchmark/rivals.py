"""Training loops that one would write without this project: with torchvision's transforms and MixUp, and with timm's."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from mixup.benchmark.turns import SECONDS_A_TURN, Turn
from mixup.data import DatasetInfo, dataset_info
from mixup.run.config import TrainConfig
from mixup.training.device import synchronize
from mixup.training.dry_run import generated
from mixup.training.network import autocast, build, place
from mixup.training.schedules import build_optimizer


class PilImages(Dataset[tuple[Any, int]]):
    """Generated images as PIL gives them. transform: of one image."""

    def __init__(self, info: DatasetInfo, count: int, transform: Callable[[Any], Any] | None = None) -> None:
        split = generated(info, count)
        assert isinstance(split.inputs, Tensor)
        self.images, self.labels, self.transform = split.inputs.numpy(), split.labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        pixels = self.images[index]
        image = Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0])
        return (self.transform(image) if self.transform else image), self.labels[index]


def transforms_of(info: DatasetInfo) -> Callable[[Any], Any]:
    """What the authors' code does to an image of CIFAR."""
    from torchvision import transforms

    crop = [transforms.RandomCrop(info.input_shape[1], padding=info.crop_padding)] if info.crop_padding else []
    flip = [transforms.RandomHorizontalFlip()] if info.flip else []
    return transforms.Compose([*crop, *flip, transforms.ToTensor(), transforms.Normalize(info.mean, info.std)])


Loss = Callable[[Tensor], Tensor]
Batches = Callable[[], Iterator[tuple[Tensor, Loss]]]
"""Starts a pass over the data: batches of inputs, mixed and on the device, and their loss as a function of the logits."""


def torchvision_batches(info: DatasetInfo, batch_size: int, count: int, workers: int, device: torch.device) -> Batches:
    """`DataLoader`, torchvision's transforms and its `v2.MixUp`."""
    from torchvision.transforms import v2

    images = PilImages(info, count * batch_size, transforms_of(info))
    options: dict[str, Any] = {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "pin_memory": device.type == "cuda",
    }
    loader = DataLoader(images, batch_size, shuffle=True, **options)
    mixup = v2.MixUp(num_classes=info.num_classes, alpha=1.0)

    def start() -> Iterator[tuple[Tensor, Loss]]:
        for inputs, labels in loader:
            inputs, targets = mixup(inputs.to(device, non_blocking=True), labels.to(device, non_blocking=True))
            yield inputs, partial(F.cross_entropy, target=targets)

    return start


def timm_batches(info: DatasetInfo, batch_size: int, count: int, workers: int, device: torch.device) -> Batches:
    """timm's loader, with its prefetcher, and its `Mixup`."""
    from timm.data import Mixup

    images = PilImages(info, count * batch_size)
    loader = timm_loader(images, info, batch_size, workers, device, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    mixup = Mixup(mixup_alpha=1.0, label_smoothing=0.0, num_classes=info.num_classes)

    def start() -> Iterator[tuple[Tensor, Loss]]:
        for inputs, labels in loader:
            inputs, targets = mixup(inputs.to(device), labels.to(device))
            yield inputs, partial(F.cross_entropy, target=targets)

    return start


def timm_loader(images: Any, info: DatasetInfo, batch_size: int, workers: int, device: torch.device, **options: Any) -> Any:
    """timm's loader of training images with its prefetcher: bytes to the device, normalisation there."""
    from timm import data as timm_data

    create: Any = timm_data.create_loader  # its annotations are narrower than what it takes
    return create(
        images,
        input_size=info.input_shape,
        batch_size=batch_size,
        is_training=True,
        color_jitter=None,
        interpolation="bilinear",
        mean=info.mean,
        std=info.std,
        num_workers=workers,
        device=device,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
        **options,
    )


def table_batches(info: DatasetInfo, batch_size: int, count: int, workers: int, device: torch.device) -> Batches:
    """Features: `DataLoader` over a `TensorDataset`, mixed by hand; two cross-entropies, as in the authors' code."""
    split = generated(info, count * batch_size)
    assert isinstance(split.inputs, Tensor)
    loader = DataLoader(TensorDataset(split.inputs, split.labels), batch_size, shuffle=True)

    def start() -> Iterator[tuple[Tensor, Loss]]:
        for inputs, labels in loader:
            inputs, labels = inputs.to(device), labels.to(device)
            lam, partner = np.random.beta(1.0, 1.0), torch.randperm(len(inputs), device=device)
            yield lam * inputs + (1 - lam) * inputs[partner], partial(two_losses, labels, labels[partner], lam)

    return start


def two_losses(own: Tensor, partner: Tensor, lam: float, logits: Tensor) -> Tensor:
    return lam * F.cross_entropy(logits, own) + (1 - lam) * F.cross_entropy(logits, partner)


def rival(config: TrainConfig, device: torch.device, batches: Callable[..., Batches], workers: int) -> Turn:
    """A plain loop over these batches, eager, channels first, in float32: seconds an image.

    One pass over the loader is a turn; the clock starts when its first batch is done, so that starting the workers is not
    counted, and the workers are idle when the other contestants have their turn.
    """
    info, size = dataset_info(config.data.name), config.trainer.batch_size
    model = build(config, info).to(device)
    optimizer: torch.optim.Optimizer
    if config.optim.name == "adam":
        optimizer = torch.optim.Adam(model.parameters(), lr=0.0)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9, weight_decay=1e-4)

    def step(inputs: Tensor, loss: Loss) -> None:
        optimizer.zero_grad()
        loss(model(inputs)).backward()
        optimizer.step()

    seconds = size * one_pass(batches(info, size, 3, workers, device), step, device)
    steps = 1 + max(2, round(SECONDS_A_TURN / seconds))
    return partial(one_pass, batches(info, size, steps, workers, device), step, device)


def one_pass(start: Batches, step: Callable[[Tensor, Loss], None], device: torch.device) -> float:
    """Seconds an image of a pass over the batches, from the end of the first on."""
    examples, began = 0, 0.0
    for number, (inputs, loss) in enumerate(start()):
        step(inputs, loss)
        examples += len(inputs)
        if number == 0:
            synchronize(device)
            began, examples = time.perf_counter(), 0
    synchronize(device)
    return (time.perf_counter() - began) / examples


def floor(
    config: TrainConfig, device: torch.device, *, share: int = 1, wrap: Callable[[nn.Module], nn.Module] | None = None
) -> Callable[[], None]:
    """The least that any loop does in a step: forward, backward and update of the same network on one ready batch.

    share: processes that share the batch. wrap: the network in what averages their gradients.
    """
    info = dataset_info(config.data.name)
    model = place(config, build(config, info), device).train()
    optimizer = build_optimizer(config.optim, model)
    called = wrap(model) if wrap else model
    inputs = torch.randn(config.trainer.batch_size // share, *info.input_shape, device=device)
    if inputs.dim() == 4 and config.trainer.channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, info.num_classes, (len(inputs),), device=device)

    def step() -> None:
        with autocast(config, device):
            logits = called(inputs)
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step
