"""`dry_run=true`: what a run would do and how long it would take, without its data being there."""

from __future__ import annotations

import dataclasses

import yaml

from mixup.data import DatasetInfo, dataset_info
from mixup.plan import num_steps
from mixup.run.config import TrainConfig, plain
from mixup.run.display import duration
from mixup.training.cost import flops_per_image, parameter_count, seconds_per_step
from mixup.training.distributed import Group
from mixup.training.setup import build, choose_device, learning_rate
from mixup.training.speed import training_step

TIMED_STEPS = 5
TIMED_ON_CPU = 32  # images a step
TIMED_SECONDS = 20.0
EVALUATION = 1 / 3  # of a training step's cost an image: a forward pass without its backward pass


def dry_run(config: TrainConfig) -> None:
    """Prints the resolved recipe, parameters, operations and a time estimate. Writes nothing."""
    info, trainer = dataset_info(config.data.name), config.trainer
    model = build(config, info)
    shown = {key: value for key, value in plain(config).items() if key not in ("dry_run", "runs_dir")}
    print(yaml.safe_dump(shown, sort_keys=False, default_flow_style=None, width=120))
    print("learning rate  " + ", ".join(f"{learning_rate(config, e):g} from epoch {e}" for e in changes(config)))
    operations = flops_per_image(lambda: build(config, info), info.input_shape)
    print(f"parameters     {parameter_count(model):,} ({parameter_count(model) / 1e6:.2f} M)")
    print(f"operations     {operations / 1e9:.2f} GFLOPs per image, forward (two per multiply-add)")
    fit = fitting(config)
    timed = fit.trainer.batch_size
    print(f"speed          timing steps of {timed} generated images ...", flush=True)
    step, device = training_step(fit)
    seconds = seconds_per_step(step, device, steps=TIMED_STEPS, limit_seconds=TIMED_SECONDS) * trainer.batch_size / timed
    print(f"               {trainer.batch_size / seconds:,.0f} images/s, {seconds:.3g} s a step on {device}")
    count, _ = counts(config, info)
    whole = run_seconds(config, info, seconds)
    print(f"time           about {duration(whole)} for {trainer.epochs} epochs of {count:,} images, evaluation included")


def fitting(config: TrainConfig) -> TrainConfig:
    """On a CPU a smaller batch, whose time is scaled: 1,024 images of ImageNet need more memory than most machines have."""
    if choose_device(config.trainer.device, Group()).type != "cpu":
        return config
    size = min(config.trainer.batch_size, TIMED_ON_CPU)
    return dataclasses.replace(config, trainer=dataclasses.replace(config.trainer, batch_size=size))


def changes(config: TrainConfig) -> list[int]:
    """The epochs, counted from 0, from which a new learning rate holds."""
    rates = [learning_rate(config, epoch) for epoch in range(config.trainer.epochs)]
    return [epoch for epoch in range(len(rates)) if epoch == 0 or rates[epoch] != rates[epoch - 1]]


def counts(config: TrainConfig, info: DatasetInfo) -> tuple[int, int]:
    """How many examples the run trains on, and how many it evaluates after every epoch."""
    held_out = round(config.data.validation * info.train_count)
    left = info.train_count - held_out
    train = min(config.data.train_size or left, left)
    test = min(config.data.test_size or info.test_count, info.test_count)
    return train, test + info.validation_count + held_out + min(config.trainer.clean_slice, train)


def run_seconds(config: TrainConfig, info: DatasetInfo, step_seconds: float) -> float:
    """The whole run's time from one step's."""
    trainer, (train, evaluated) = config.trainer, counts(config, info)
    steps = num_steps(train, trainer.batch_size) + EVALUATION * evaluated / trainer.batch_size
    return trainer.epochs * steps * step_seconds
