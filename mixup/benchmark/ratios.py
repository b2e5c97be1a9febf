"""Ratios of our loop to what it is measured against: the bare network, a step without mixing, others' input pipelines.

Each function yields rows: what is divided by what, the ratio of paired turns, and the seconds of both.
"""

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mixup.benchmark import rivals
from mixup.benchmark.throughput import NETWORKS
from mixup.benchmark.turns import SECONDS_A_TURN, Row, Turn, middle_half, ratio, take_turns, turn_of
from mixup.data import Examples, StreamedImages, dataset_info
from mixup.plan import draw_plan
from mixup.run.compose import configuration
from mixup.run.config import TrainConfig
from mixup.run.display import Display
from mixup.run.places import ROOT
from mixup.training import step as training_steps
from mixup.training.device import choose_device, seconds_of
from mixup.training.distributed import Group
from mixup.training.dry_run import generated_run, training_step
from mixup.training.engine import finish_epoch, start_epoch
from mixup.training.setup import Run
from mixup.training.step import Epoch, draw_epoch
from mixup.training.train import train_epoch_of


def rows(times: Mapping[str, list[float]], unit: str, *pairs: tuple[str, str], subject: str = "") -> Iterator[Row]:
    """A row for each pair of contestants: the first over the second."""
    for above, below in pairs:
        seconds = {name: middle_half(times[name])["median"] for name in (above, below)}
        names = {"subject": subject, "above": above, "below": below}
        yield {**names, "ratio": ratio(times[above], times[below]), "unit": unit, "seconds": seconds}


def loop_turn(config: TrainConfig) -> Turn:
    """Our own loop, seconds an image: an epoch with all that training does in it, but for evaluation and files."""
    (step, device), size = training_step(config), config.trainer.batch_size
    turn_of(step, device)  # warms up
    steps = max(2, round(SECONDS_A_TURN / seconds_of(step, device)))
    return epoch_turn(generated_run(config, steps * size), steps)


def epoch_turn(run: Run, steps: int) -> Turn:
    """Seconds an image of an epoch of so many steps."""
    size = run.config.trainer.batch_size
    display = Display(epochs=1, steps_per_epoch=steps, images_per_step=size, silent=True)
    numbers = itertools.count()

    def epoch() -> None:
        number = next(numbers)
        progress = start_epoch(number, steps * size, size, run.device)
        tables = draw_epoch(draw_plan(run.plan, number), run.train, [0.0] * steps, run.step)
        train_epoch_of(run, tables, progress, lambda progress: display.step(progress.epoch, progress.step))
        finish_epoch(progress, tables, run.step)

    return lambda: seconds_of(epoch, run.device) / (steps * size)


def floor(names: list[str], overrides: list[str], rounds: int) -> Iterator[Row]:
    """Our loop over forward, backward and update of the same network on one ready batch."""
    for name in names:
        config = configuration([*NETWORKS[name], *overrides])
        device = choose_device(config.trainer.device, Group())
        size = config.trainer.batch_size
        contestants: dict[str, Callable[[], Turn]] = {
            "our loop": partial(loop_turn, config),
            "the bare network": lambda: turn_of(rivals.floor(config, device), device, units=size),  # noqa: B023
        }
        yield from rows(take_turns(contestants, rounds), "image", ("our loop", "the bare network"), subject=name)


def mixing(names: list[str], overrides: list[str], rounds: int) -> Iterator[Row]:
    """A step at alpha 1 over one at alpha 0, which takes the same path, and over one that never mixes."""
    for name in names:

        def turn(alpha: int, base: tuple[str, ...] = NETWORKS[name]) -> Turn:
            step, device = training_step(configuration([*base, *overrides, f"mixup.alpha={alpha}"]))
            return turn_of(step, device)

        def without_mixing(turn: Callable[[int], Turn] = turn) -> Turn:
            with unmixed():
                plain = turn(0)

            def patched() -> float:
                with unmixed():
                    return plain()

            return patched

        contestants: dict[str, Callable[[], Turn]] = {
            "alpha=1": partial(turn, 1),
            "alpha=0": partial(turn, 0),
            "no mixing code": without_mixing,
        }
        pairs = [("alpha=1", "alpha=0"), ("alpha=1", "no mixing code")]
        yield from rows(take_turns(contestants, rounds), "step", *pairs, subject=name)


def unmixed() -> ExitStack:
    """Inside, a training step is ERM's without the method: no partner is fetched, nothing is mixed, labels are single."""
    stack = ExitStack()
    stack.enter_context(mock.patch.object(training_steps, "fetch", fetch_own))
    stack.enter_context(mock.patch.object(training_steps.mixing, "mix_all", lambda examples, lam: examples[0]))
    stack.enter_context(mock.patch.object(training_steps.mixing, "mixed_cross_entropy", plain_loss))
    return stack


def fetch_own(data: Examples, epoch: Epoch, positions: slice | Tensor) -> list[Tensor]:
    assert not isinstance(data, StreamedImages)
    own: list[Any] = [None if table is None else table[0, positions] for table in (epoch.index, epoch.crop, epoch.flip)]
    return [data.fetch(*own)]


def plain_loss(logits: Tensor, targets: Tensor, weights: Tensor, label_smoothing: float) -> Tensor:
    return F.cross_entropy(logits.float(), targets[:, 0], reduction="none")


def pipeline(names: list[str], overrides: list[str], rounds: int, workers: int) -> Iterator[Row]:
    """Crop, flip, normalise and mix alone, without a network: theirs over ours."""
    for name in names:
        config = configuration([*NETWORKS[name], *overrides])
        info, size = dataset_info(config.data.name), config.trainer.batch_size
        run = generated_run(config, 20 * size)
        tables = draw_epoch(draw_plan(run.plan, 0), run.train, [0.0] * run.steps_per_epoch, run.step)
        positions = [slice(first, first + size) for first in range(0, 20 * size, size)]

        def ours() -> None:
            for part in positions:  # noqa: B023
                training_steps.mixing.mix_all(training_steps.fetch(run.train, tables, part), tables.lam[part])  # noqa: B023

        def theirs() -> Turn:
            start = rivals.torchvision_batches(info, size, 21, workers, run.device)  # noqa: B023
            return partial(rivals.one_pass, start, lambda inputs, loss: None, run.device)  # noqa: B023

        contestants = {"DataLoader and transforms": theirs, "ours": lambda: turn_of(ours, run.device, units=20 * size)}  # noqa: B023
        times = take_turns(contestants, rounds)
        yield from rows(times, "image", ("DataLoader and transforms", "ours"), subject=name)


def startup(overrides: list[str], rounds: int) -> Iterator[Row]:
    """A dry run of the default over the import of torch alone; each in a process of its own."""

    def turn(*arguments: str) -> Turn:
        def run() -> None:
            subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)

        return partial(seconds_of, run, torch.device("cpu"))

    contestants = {
        "a dry run": lambda: turn("train.py", "dry_run=true", *overrides),
        "import torch": lambda: turn("-c", "import torch"),
    }
    yield from rows(take_turns(contestants, rounds), "process", ("a dry run", "import torch"), subject="digits")


def sweep(overrides: list[str], rounds: int) -> Iterator[Row]:
    """The quick start's twelve runs one after the other, with a thread for each core and with one thread, over two slots."""

    def turn(slots: int, **environment: str) -> Turn:
        def run() -> None:
            with tempfile.TemporaryDirectory() as folder:
                settings = [f"sweep.slots={slots}", "tracking.wandb=disabled", f"runs_dir={folder}", *overrides]
                command = [sys.executable, "train.py", "-m", "experiment=quickstart", *settings]
                subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=True, capture_output=True)

        return partial(seconds_of, run, torch.device("cpu"))

    contestants = {
        "one after the other": lambda: turn(1),
        "one after the other, one thread": lambda: turn(1, OMP_NUM_THREADS="1"),
        "two slots": lambda: turn(2),
    }
    times = take_turns(contestants, rounds)
    yield from rows(times, "sweep", *((name, "two slots") for name in list(times)[:2]), subject="12 runs on digits")


def operations(names: list[str], overrides: list[str]) -> Iterator[Row]:
    """How many operations of the device a step consists of, and how many of them are the network's own; views are none."""
    for name in names:
        for precision in ("float32", "bfloat16"):
            config = configuration([*NETWORKS[name], *overrides, f"trainer.precision={precision}", "trainer.device=cpu"])
            step, device = training_step(config)
            bare = rivals.floor(config, device)
            counts = [count_operations(call) for call in (step, bare)]
            yield {"subject": name, "precision": precision, "operations": counts[0], "bare": counts[1]}


class Counter(TorchDispatchMode):
    """Counts operations that compute something: neither views nor empty tensors."""

    VIEWS = ("view", "expand", "permute", "transpose", "t", "slice", "select", "unsqueeze", "squeeze", "detach", "alias")
    FREE = (*VIEWS, "split", "as_strided", "unbind", "_unsafe_view", "empty", "empty_like", "empty_strided", "new_empty")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        self.count += operation._schema.name.removeprefix("aten::") not in self.FREE
        return operation(*arguments, **(options or {}))


def count_operations(call: Callable[[], object]) -> int:
    """Of the second call: the first one makes the optimizer's state."""
    call()
    with Counter() as counter:
        call()
    return counter.count
