"""Figure 2 of a finished run: misses and gradient norms between pairs of its training examples (section 2).

Pairs are drawn by `data.seed`, so runs on the same training set are measured at the same points. Labels are those trained
on. Gradients are taken in the precision that the run was trained in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np
from torch import Tensor

from mixup.errors import UserError
from mixup.evaluation.between import between, by_pair, draw_pairs
from mixup.evaluation.finished_run import FinishedRun, Forward
from mixup.evaluation.measurements import Values, tracked, write_measurement
from mixup.plan import generator

PAIRS = 1000  # unless asked otherwise; the paper does not say. A miss rate of 16 % then has a standard error of 1.2 %
FILE = "between.json"


def measure_between(run: FinishedRun, *, pairs: int = PAIRS) -> Values:
    """Writes between.json: every field of `between.Between`, and the seed of the pairs; returns it."""
    if len(run.data.train) < 2:
        raise UserError(f"{run.name} was trained on one example: figure 2 is of pairs")
    drawn, size = pairs_of(run, pairs), run.gradient_batch
    with training_inputs(run, steps=2 * -(-pairs // size)) as inputs_at:
        found = between(run.of_inputs, inputs_at, run.data.train.labels.to(run.device), drawn, batch_size=size)
    return write_measurement(run.folder, FILE, {**asdict(found), "seed": run.config.data.seed})


def at_pairs(run: FinishedRun, pairs: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What `between` takes the means of: misses in percent, and gradient norms, for each pair; both (21, P) float64."""
    size, labels = run.gradient_batch, run.data.train.labels.to(run.device)
    with training_inputs(run, steps=2 * -(-len(pairs) // size)) as inputs_at:
        misses, norms = by_pair(run.of_inputs, inputs_at, labels, pairs, batch_size=size)
    return misses.cpu().numpy(), norms.cpu().numpy()


def pairs_of(run: FinishedRun, count: int) -> Tensor:
    """(count, 2) int64, of the run's training examples."""
    return draw_pairs(len(run.data.train), count, generator(run.config.data.seed, "between_pairs"))


@contextmanager
def training_inputs(run: FinishedRun, *, steps: int) -> Iterator[Forward]:
    """A function from (B,) int64 to the inputs (B, ...) of those training examples, without augmentation. Its calls are
    shown as progress, of so many steps."""
    progress = tracked(range(steps), f"between training points, {run.name}", steps)

    def inputs_at(index: Tensor) -> Tensor:
        next(progress, None)
        examples = run.served(run.data.train.select(index.cpu().numpy()))
        for found, inputs in examples.in_order([slice(0, len(index))]):
            if len(found) == len(index):
                return inputs
        why = next(iter(examples.unreadable.values()), "training images cannot be read")
        raise UserError(f"{why}: restore the file; figure 2 leaves out none")

    try:
        yield inputs_at
    finally:
        progress.close()
