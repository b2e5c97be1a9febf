"""Training, from a configuration to a record: set up, the epoch loop, evaluate, checkpoint, record."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mixup.data import Examples, StreamedImages
from mixup.plan import EpochPlan, draw_plan, stream_seed
from mixup.run import records, tracking
from mixup.run.config import TrainConfig
from mixup.run.display import Display
from mixup.run.measured import write_measured
from mixup.training.checkpoint import resume, save_state
from mixup.training.device import generator_of, slow_precision
from mixup.training.distributed import Group, barrier, broadcast, broadcast_buffers, join_group, union
from mixup.training.engine import Progress, explained_batchnorm, finish_epoch, start_epoch
from mixup.training.folder import mirrored, occupied
from mixup.training.results import write_results
from mixup.training.schedules import learning_rate
from mixup.training.setup import Run, assemble
from mixup.training.signals import Signals, Stopped, received_signals
from mixup.training.step import Batch, Epoch, StepSettings, draw_epoch, train_step

__all__ = ["Stopped", "train"]


def train(config: TrainConfig, folder: Path, label: str) -> records.Record:
    """Trains from the newest checkpoint in `folder`, or from the start, to the end; returns the record on every rank.

    Raises UserError for what the user can put right, and Stopped after a signal; a checkpoint keeps what was trained.
    """
    environment, group = records.environment(), join_group(config.trainer.device)  # of the code that is about to run
    run = assemble(config, folder, group)  # before the folder, so that a refused configuration leaves no folder behind
    display = Display(
        epochs=config.trainer.epochs,
        steps_per_epoch=run.steps_per_epoch,
        images_per_step=min(config.trainer.batch_size, len(run.train)),
        silent=not group.is_leader,
    )
    with occupied(config, folder, group) as record, display:
        if record is None:
            if run.not_captured:
                display.say(f"the step is not captured as a CUDA graph, because of {run.not_captured}")
            if slow := slow_precision(config.trainer, run.device):
                display.warn(slow)
            if group.is_leader:
                write_measured(folder, run.data.measured)
            progress = resume(run, environment, display)
            with mirrored(config, folder, group, display) as mirror, received_signals(group) as signals:
                progress = train_epochs(run, progress, display, mirror, signals)
                record = write_results(run, label, after_batch=partial(stop_if_signalled, signals, run, progress))
    barrier(group)  # a rank that leaves while another still writes would end the job as failed
    return record


def train_epochs(run: Run, progress: Progress, display: Display, mirror: tracking.Mirror, signals: Signals) -> Progress:
    """All remaining epochs; writes a line of metrics.jsonl after each, and checkpoints as configured."""
    trainer, saved_at = run.config.trainer, time.monotonic()

    def after_step(progress: Progress) -> None:
        display.step(progress.epoch, progress.step)
        stop_if_signalled(signals, run, progress)
        every = trainer.checkpoint_every_steps
        if every and progress.step < run.steps_per_epoch and progress.steps_done % every == 0:
            save_state(run, progress)

    first = progress.epoch
    for number, plan in enumerate(plans(run, first), first):
        rates = learning_rates(run, number)
        epoch = draw_epoch(plan, run.train, rates, run.step)
        progress.start_clock()
        train_epoch_of(run, epoch, progress, after_step)
        means = finish_epoch(progress, epoch, run.step)
        progress.stop_clock()
        due = broadcast(run.group, time.monotonic() - saved_at >= 60 * trainer.checkpoint_every_minutes)
        if due or number + 1 == trainer.epochs:  # before the evaluation, which may take minutes and be cut off
            save_state(run, progress)
            saved_at = time.monotonic()
        line = epoch_line(run, rates[0], means, progress, partial(stop_if_signalled, signals, run, progress))
        if run.group.is_leader:
            records.append_metrics(run.folder, [*step_lines(run, progress, rates), line])
            mirror.check()
        display.epoch(line)
        if line.get("train_unreadable"):
            display.warn(f"{line['train_unreadable']} unreadable training images are left out, with their mixtures")
        progress = start_epoch(number + 1, len(run.train), trainer.batch_size, run.device)
    return progress


def plans(run: Run, first: int) -> Iterator[EpochPlan]:
    """The plan of each epoch from `first` on, drawn while the epoch before it trains."""
    draw, last = partial(draw_plan, run.plan), run.config.trainer.epochs - 1
    if run.streams:  # its loader forks, which a thread would endanger; and drawing takes no time beside decoding
        yield from map(draw, range(first, last + 1))
        return
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(draw, first)
        for number in range(first, last + 1):
            plan = ahead.result()
            if number < last:
                ahead = pool.submit(draw, number + 1)
            yield plan


def train_epoch_of(run: Run, epoch: Epoch, progress: Progress, after_step: Callable[[Progress], None]) -> None:
    """`train_epoch` with the parts of a run."""
    parts = (run.wrapped, run.optimizer, run.train)
    train_epoch(*parts, epoch, progress, settings=run.step, train_step=run.train_step, after_step=after_step)


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Examples,
    epoch: Epoch,
    progress: Progress,
    *,
    settings: StepSettings,
    after_step: Callable[[Progress], None],
    train_step: Callable[..., None] = train_step,
) -> None:
    """Trains from `progress`, which may be in mid-epoch, to the end of its epoch, in place.

    model: as in `train_step`. train_step: that, or captured. after_step: called with the progress after every step. The loop
    never waits for the device.
    """
    model.train()
    with explained_batchnorm():  # a batch with unreadable images may shrink to one example
        for batch in batches(data, epoch.plan, progress.step, settings.group):
            seed_draws(settings, progress)
            train_step(model, optimizer, data, epoch=epoch, state=progress.state, batch=batch, settings=settings)
            progress.step += 1
            after_step(progress)


def batches(data: Examples, plan: EpochPlan, first_step: int, group: Group) -> Iterator[Batch]:
    """Yields this rank's part of each batch from `first_step` on."""
    steps = range(first_step, plan.num_steps)
    parts = [plan.positions(step, rank=group.rank, world_size=group.world_size) for step in steps]
    positions = [part if part.start < part.stop else slice(part.start - 1, part.stop) for part in parts]  # with dummies
    loaded: Iterable[tuple[list[Tensor] | None, Tensor | None]] = itertools.repeat((None, None))
    if isinstance(data, StreamedImages):
        loaded = data.load(plan, positions)
    for step, part, taken, (examples, usable) in zip(steps, parts, positions, loaded):
        first = step * plan.batch_size
        rows = slice(taken.start - first, taken.stop - first)
        kept = rows if usable is None else rows.start + usable
        yield Batch(step, kept, plan.batch_count(step), part.start == part.stop, examples)


def seed_draws(settings: StepSettings, progress: Progress) -> None:
    """Seeds dropout and noise by position, so that a restart needs no generator state."""
    position, dropout = (progress.epoch, progress.step), generator_of(progress.state.losses.device)
    dropout.manual_seed(stream_seed(settings.seed, "dropout", *position, settings.group.rank))
    if settings.noise is not None:
        progress.state.noise.manual_seed(stream_seed(settings.seed, "noise", *position))


def stop_if_signalled(signals: Signals, run: Run, progress: Progress) -> None:
    """Saves a checkpoint and raises Stopped, on every rank, if one has received a signal."""
    if number := signals.agreed():
        save_state(run, progress)
        raise Stopped(number, progress.steps_done)


def learning_rates(run: Run, epoch: int) -> list[float]:
    """The learning rate of each step of an epoch."""
    steps = run.steps_per_epoch
    return [learning_rate(run.config.optim, epoch + step / steps) for step in range(steps)]


def epoch_line(
    run: Run, rate: float, train_means: dict[str, float], progress: Progress, after_batch: Callable[[], None]
) -> dict[str, Any]:
    """The line of metrics.jsonl that closes an epoch: `epoch` counts epochs done, `step` optimizer steps done; means of
    training, and of the evaluation of each split, whose name is their prefix (`train_eval`: of `Run.train_eval`)."""
    broadcast_buffers(run.group, run.model)
    splits = {"train_eval": run.train_eval, "test": run.test, "validation": run.validation}
    present = {name: split for name, split in splits.items() if split is not None and len(split)}
    evaluated = {name: run.evaluate(split, after_batch=after_batch)[0] for name, split in present.items()}
    seconds = progress.seconds()
    return {
        "epoch": progress.epoch + 1,
        "step": progress.steps_done,
        "learning_rate": rate,
        **{f"train_{name}": value for name, value in train_means.items()},
        **{f"{split}_{name}": value for split, means in evaluated.items() for name, value in means.items()},
        "seconds": seconds,
        "images_per_second": len(run.train) / seconds,
        **({"train_unreadable": len(union(run.group, run.train.unreadable))} if run.streams else {}),
    }


def step_lines(run: Run, progress: Progress, rates: list[float]) -> list[dict[str, Any]]:
    """Loss and learning rate of every so many steps of a finished epoch, but its last; waits once for the device."""
    lines, every = [], run.config.trainer.log_every_steps
    for step, loss in enumerate(progress.step_losses().tolist()[:-1]):
        done = progress.epoch * run.steps_per_epoch + step + 1
        if done % every == 0:
            lines.append({"step": done, "train_step_loss": loss, "learning_rate": rates[step]})
    return lines
