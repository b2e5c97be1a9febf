"""`dry_run=true`: what a run would do, its network's size and operations, and how long it would take, without its data."""

import dataclasses
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import nn
from torch.utils import flop_counter

from mixup.data import Dataset, DatasetInfo, Split, split_of
from mixup.plan import draw_plan, num_steps
from mixup.run.config import TrainConfig
from mixup.run.conversions import plain
from mixup.run.display import duration
from mixup.training.capture import WARM_UP
from mixup.training.device import choose_device, forgo_compiler, require_precision, seconds_of
from mixup.training.distributed import Group
from mixup.training.network import build
from mixup.training.schedules import learning_rate
from mixup.training.setup import Run, info_of, run_on
from mixup.training.step import Batch, draw_epoch, start_state

TIMED_ON_CPU = 32  # images a step
TIMED_SECONDS = 0.3  # at least, and at least one step
FORWARD_SHARE = 1 / 3  # forward cost / training-step cost, per image


def dry_run(config: TrainConfig) -> None:
    """Prints the resolved recipe, parameters, operations and a time estimate. Writes nothing."""
    info, trainer = info_of(config.data), config.trainer
    require_precision(trainer, choose_device(trainer.device, Group()))
    model = build(config, info)
    parameters, operations = parameter_count(model), flops_per_image(model, info.input_shape)
    recipe = {key: value for key, value in plain(config).items() if key not in ("dry_run", "runs_dir")}
    print(yaml.safe_dump(recipe, sort_keys=False, default_flow_style=None, width=120))
    print("learning rate  " + ", ".join(f"{rate:g} from epoch {epoch}" for epoch, rate in rate_changes(config).items()))
    print(f"parameters     {parameters:,} ({parameters / 1e6:.2f} M)")
    print(f"operations     {operations / 1e9:.2f} GFLOPs per image, forward (two per multiply-add)")
    timed = shrink_batch(config).trainer.batch_size
    print(f"speed          timing steps of {timed} generated images ...", flush=True)
    seconds, device = timed_step(config)
    print(f"               {trainer.batch_size / seconds:,.0f} images/s, {seconds:.3g} s a step on {device}")
    total, train = duration(seconds * step_count(config)), example_counts(config, info)[0]
    print(f"time           about {total} for {trainer.epochs} epochs of {train:,} images, evaluation included")


def timed_step(config: TrainConfig) -> tuple[float, torch.device]:
    """The seconds that one training step takes here, and the device."""
    smaller = shrink_batch(config)
    step, device = training_step(smaller)
    for _ in range(WARM_UP + 1 if device.type == "cuda" else 1):  # the first calls allocate memory, and capture the step
        step()
    return seconds_a_step(step, device) * config.trainer.batch_size / smaller.trainer.batch_size, device


def step_count(config: TrainConfig) -> float:
    """How many training steps a whole run is as long as, evaluation included."""
    train, evaluated = example_counts(config, info_of(config.data))
    size = config.trainer.batch_size
    return config.trainer.epochs * (num_steps(train, size) + FORWARD_SHARE * evaluated / size)


def seconds_a_step(step: Callable[[], object], device: torch.device) -> float:
    """The median of as many as take `TIMED_SECONDS`; on a GPU their mean, without waiting between them."""
    first = seconds_of(step, device)
    count = max(1, int(TIMED_SECONDS / first))
    if device.type == "cuda":
        return seconds_of(lambda: [step() for _ in range(count)], device) / count
    return statistics.median([first, *(seconds_of(step, device) for _ in range(count))])


def shrink_batch(config: TrainConfig) -> TrainConfig:
    """On a CPU a smaller batch, whose time is scaled: 1,024 images of ImageNet need more memory than most machines have."""
    if choose_device(config.trainer.device, Group()).type != "cpu":
        return config
    size = min(config.trainer.batch_size, TIMED_ON_CPU)
    return dataclasses.replace(config, trainer=dataclasses.replace(config.trainer, batch_size=size))


def rate_changes(config: TrainConfig) -> dict[int, float]:
    """The epochs, counted from 0, that start with a new learning rate."""
    rates = [learning_rate(config.optim, epoch) for epoch in range(config.trainer.epochs)]
    return {epoch: rates[epoch] for epoch in range(len(rates)) if epoch == 0 or rates[epoch] != rates[epoch - 1]}


def example_counts(config: TrainConfig, info: DatasetInfo) -> tuple[int, int]:
    """How many examples the run trains on, and how many it evaluates after every epoch."""
    held_out = round(config.data.validation * info.train_count)
    rest = info.train_count - held_out
    train = min(config.data.train_size or rest, rest)
    test = min(config.data.test_size or info.test_count, info.test_count)
    return train, test + info.validation_count + held_out + min(config.trainer.train_eval_size, train)


def parameter_count(model: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def flops_per_image(model: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Floating-point operations of one image's forward pass, two for each multiply-add, of a model that trains no more."""
    model.eval().requires_grad_(False)  # the counter trips over parameters with a gradient
    image = torch.zeros(1, *input_shape, device=next(model.parameters()).device)
    mode = getattr(flop_counter, "_FlopCounterMode", None)  # private: a torch without it just imports its compiler
    forgo_compiler(getattr(mode, "__torch_dispatch__", None))
    with flop_counter.FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    return counter.get_total_flops()


def generated(info: DatasetInfo, count: int) -> Split:
    """Noise with random labels, in the data set's shape."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, info.num_classes, count)
    if not info.mean:
        return split_of(rng.standard_normal((count, *info.input_shape), dtype=np.float32), labels)
    channels, height, width = info.input_shape
    return split_of(rng.integers(0, info.white, (count, height, width, channels), dtype=np.uint8), labels)


def generated_run(config: TrainConfig, examples: int, group: Group = Group()) -> Run:  # noqa: B008
    """A run at its start, on generated examples in memory, even if the data set is streamed; it is tested on the same."""
    info = info_of(config.data)
    split = generated(info, examples)
    return run_on(Dataset(info, split, None, split, "generated", ()), config, Path(), group)


def training_step(config: TrainConfig) -> tuple[Callable[[], None], torch.device]:
    """A run's own training step, as a function to call again and again, and the device it runs on.

    It has one batch, and the learning rate is 0.
    """
    size = config.trainer.batch_size
    run = generated_run(config, size)
    run.model.train()
    epoch, state = draw_epoch(draw_plan(run.plan, 0), run.train, [0.0], run.step), start_state(size, run.device)
    batch = Batch(0, slice(0, size), size)

    def step() -> None:
        run.train_step(run.wrapped, run.optimizer, run.train, epoch=epoch, state=state, batch=batch, settings=run.step)

    return step, run.device
