"""The two loops, training and evaluation. They know tensors, plans and ranks; nothing of configuration, files or logs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mixup.data import Examples, Visit
from mixup.errors import UserError
from mixup.mixing import (
    MixedBatch,
    dominant_accuracy,
    dominant_weights,
    lam_accuracy,
    mix,
    mixed_at,
    mixed_cross_entropy,
    mixture_weights,
    target_entropy,
)
from mixup.plan import EpochPlan, share, stream_seed
from mixup.training.distributed import Group, sum_over
from mixup.training.metrics import Totals, negative_log_likelihood, topk_errors


@dataclass
class Progress:
    """How far training has come, and what this epoch has summed up so far; with the weights, all that a restart needs.

    losses: (steps of the epoch,) the mean loss of each batch, this rank's part of the sum.
    """

    epoch: int
    step: int  # of the epoch, done
    totals: Totals
    losses: Tensor
    seconds_before: float = 0.0  # of this epoch, spent before a restart
    clock: float = field(default_factory=time.perf_counter)

    def resume_clock(self) -> None:
        self.clock = time.perf_counter()

    def seconds(self) -> float:
        """Spent on this epoch, in this process and before it."""
        return self.seconds_before + time.perf_counter() - self.clock


def start_epoch(epoch: int, num_steps: int, device: torch.device) -> Progress:
    totals = Totals.zero("loss", "entropy_floor", "lam_accuracy", "dominant_accuracy", device=device)
    return Progress(epoch, 0, totals, torch.zeros(num_steps, device=device))


@dataclass(frozen=True)
class Method:
    """What is done to a batch besides the plan (section 3.8). layer: the module whose output is mixed; None mixes inputs.
    dominant: targets are those of the example that counts most. noise: standard deviation of Gaussian noise on the inputs,
    (1,) or one a channel (C, 1, 1), in their normalised units; None for none."""

    layer: nn.Module | None = None
    dominant: bool = False
    label_smoothing: float = 0.0
    noise: Tensor | None = None


def mixed_batch(
    visit: Visit, labels: Tensor, plan: EpochPlan, positions: slice | Tensor, method: Method | None = None
) -> MixedBatch:
    """The mixed examples at some positions of the plan, of what a step can see. labels: (N,) of the whole training set."""
    method = method or Method()
    partners, lam = plan.partner[positions].unbind(1), plan.lam[positions]
    inputs = visit.at(positions)
    if method.layer is None:
        inputs = mix([inputs, *(visit.at(partner) for partner in partners)], lam)
    weights = mixture_weights(lam)
    return MixedBatch(
        inputs=inputs,
        targets=labels[torch.stack([plan.order[positions], *(plan.order[partner] for partner in partners)], 1)],
        weights=dominant_weights(weights) if method.dominant else weights,
        label_smoothing=method.label_smoothing,
    )


def mixed_latent(
    layer: nn.Module | None, plan: EpochPlan, positions: slice | Tensor
) -> contextlib.AbstractContextManager[None]:
    """The context in which a forward pass of these positions mixes what `layer` puts out."""
    if layer is None:
        return contextlib.nullcontext()
    assert isinstance(positions, slice), "no example is skipped where a layer's output is mixed"
    # A rank without examples has a stand-in, whose partner is another rank's: cut to the batch.
    rows = (plan.partner[positions] - positions.start).clamp(0, positions.stop - positions.start - 1)
    return mixed_at(layer, rows, plan.lam[positions])


def noisy(inputs: Tensor, std: Tensor, rows: slice | Tensor, count: int, seed: int) -> Tensor:
    """Inputs plus Gaussian noise, drawn for all `count` examples of the batch, of which these are `rows`: so that it is the
    same on any number of ranks. std: as in `Method`."""
    generator = torch.Generator(inputs.device).manual_seed(seed)
    noise = torch.randn((count, *inputs.shape[1:]), generator=generator, device=inputs.device)
    return inputs + std * noise[rows]


def shares(plan: EpochPlan, first_step: int, group: Group) -> Iterator[tuple[slice, bool]]:
    """A rank's positions in each step from `first_step` on, and whether they are idle: with more ranks than examples it
    takes part with a stand-in, at a loss of weight 0."""
    for step in range(first_step, plan.num_steps):
        mine = plan.positions(step, rank=group.rank, world_size=group.world_size)
        idle = mine.start == mine.stop
        yield slice(mine.start - idle, mine.stop), idle


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Examples,
    plan: EpochPlan,
    progress: Progress,
    *,
    learning_rate: Callable[[float], float],
    autocast: Callable[[], contextlib.AbstractContextManager[object]],
    seed: int,
    group: Group,
    after_step: Callable[[Progress], None],
    method: Method | None = None,
) -> None:
    """Trains from `progress` to the end of its epoch, in place.

    learning_rate: from epochs done, fractional. autocast: the context of the forward pass. after_step: called with the
    progress after every step. No statement of the loop waits for the device.
    """
    model.train()
    method = method or Method()
    mine = list(shares(plan, progress.step, group))
    visits = data.visits(plan, [positions for positions, _ in mine])
    for step, (_, idle), (visit, positions) in zip(range(progress.step, plan.num_steps), mine, visits):
        # Dropout draws from torch's global generator: seeded by position, a restart needs no generator state.
        torch.manual_seed(stream_seed(seed, "dropout", progress.epoch, step, group.rank))
        for parameters in optimizer.param_groups:
            parameters["lr"] = learning_rate(progress.epoch + step / plan.num_steps)

        batch = mixed_batch(visit, data.labels, plan, positions, method)
        inputs = batch.inputs
        if method.noise is not None:
            noise_seed = stream_seed(seed, "noise", progress.epoch, step)
            inputs = noisy(inputs, method.noise, plan.rows(positions, step), plan.batch_count(step), noise_seed)

        # forward
        with autocast(), mixed_latent(method.layer, plan, positions):
            logits = forward(model, inputs)
        losses = mixed_cross_entropy(logits, batch)
        loss = losses.sum() * (0 if idle else 1 / plan.batch_count(step))

        # backward: DDP averages over ranks, and the mean over the global batch is their sum
        optimizer.zero_grad(set_to_none=True)
        (loss * group.world_size).backward()
        optimizer.step()

        # count
        if not idle:
            detached = logits.detach()
            accuracies = lam_accuracy(detached, batch), dominant_accuracy(detached, batch)
            progress.totals.add(losses, target_entropy(batch, logits.shape[1]), *accuracies, count=len(losses))
        progress.losses[step] = loss.detach()
        progress.step = step + 1
        after_step(progress)


def forward(model: nn.Module, inputs: Tensor) -> Tensor:
    """The logits; UserError where BatchNorm is left with a single value to normalise, as torch refuses."""
    try:
        return model(inputs)
    except ValueError as error:
        if "Expected more than 1 value per channel" not in str(error):
            raise
        raise UserError(
            "one process is left with one example whose features are 1x1, and BatchNorm cannot normalise a single value: "
            "change trainer.batch_size, so that the last batch of an epoch holds two examples a process"
        ) from error


def finish_epoch(progress: Progress, group: Group) -> dict[str, float]:
    """Means over the epoch and all ranks, on rank 0. Raises as `reduce_progress` does.

    Under mixup `excess_loss` is what the loss has above the least it can be, and the curve to compare with ERM's, where
    it is the loss itself. Errors in percent, by the two meanings of accuracy in `mixing`.
    """
    reduce_progress(progress, group)
    means = progress.totals.means()
    return {
        "loss": means["loss"],
        "entropy_floor": means["entropy_floor"],
        "excess_loss": means["loss"] - means["entropy_floor"],
        "lam_error": 100 * (1 - means["lam_accuracy"]),
        "dominant_error": 100 * (1 - means["dominant_accuracy"]),
    }


def reduce_progress(progress: Progress, group: Group) -> None:
    """Sums losses and totals over ranks, in place: all of it is rank 0's afterwards, and zero elsewhere.

    Waits for the device. Raises UserError at the first step of the epoch whose loss is not finite, on every rank.
    """
    counts = torch.tensor([progress.totals.count], device=progress.losses.device)
    for tensor in (progress.losses, progress.totals.sums, counts):
        sum_over(group, tensor)
    require_finite(progress)
    if not group.leads:
        for tensor in (progress.losses, progress.totals.sums, counts):
            tensor.zero_()
    progress.totals.count = int(counts)


def require_finite(progress: Progress) -> None:
    bad = (~torch.isfinite(progress.losses[: progress.step])).nonzero()
    if len(bad):
        step = int(bad[0])
        raise UserError(
            f"the loss became {float(progress.losses[step])} at epoch {progress.epoch}, step {step} (both counted from 0); "
            "the last good checkpoint is kept. Try a smaller optim.lr, or trainer.precision=float32"
        )


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    data: Examples,
    *,
    batch_size: int,
    autocast: Callable[[], contextlib.AbstractContextManager[object]],
    group: Group,
) -> tuple[dict[str, float], Tensor]:
    """Errors in percent and negative log-likelihood in nats over every example once, without padding, on every rank.

    Returns the means with `count`, and this rank's share of the logits; those of an unreadable example are not a number.
    """
    model.eval()
    mine = share(len(data), rank=group.rank, world_size=group.world_size)
    chunks = [slice(first, min(first + batch_size, mine.stop)) for first in range(mine.start, mine.stop, batch_size)]
    totals = Totals.zero("top1_error", "top5_error", "nll", device=data.labels.device)
    rows = torch.zeros(0)
    for index, inputs in data.in_order(chunks):
        labels = data.labels[index]
        with autocast():
            logits = model(inputs).float()
        totals.add(
            *(topk_errors(logits, labels, k) for k in (1, 5)), negative_log_likelihood(logits, labels), count=len(index)
        )
        if not len(rows):
            rows = logits.new_full((len(mine), logits.shape[1]), float("nan"))
        rows[index - mine.start] = logits
    counts = torch.tensor([totals.count, len(mine) > 0 and not totals.count], device=data.labels.device)
    totals.count, blind = sum_over(group, counts).tolist()
    if blind:  # on every rank alike
        raise UserError(f"not one of {len(mine):,} examples of a process's share to evaluate can be read: restore the files")
    sum_over(group, totals.sums)
    means = totals.means()
    errors = {name: 100 * means[name] for name in ("top1_error", "top5_error")}
    return {**errors, "nll": means["nll"], "count": totals.count}, rows
