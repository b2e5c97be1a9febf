"""How far an epoch of training has come, and evaluation. Both know tensors and ranks, no configuration, files or logs."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixup import mixing
from mixup.data import Examples
from mixup.errors import LocalError, UserError
from mixup.plan import num_steps, share
from mixup.training.distributed import Group, all_reduce
from mixup.training.metrics import float64_sums, negative_log_likelihood, sums_by_batch, topk_errors
from mixup.training.step import Epoch, State, StepSettings, start_state

DIVERGED = "the last good checkpoint is kept. Try a smaller optim.lr, or trainer.precision=float32"


@dataclass
class Progress:
    """How far training has come; with weights and optimizer, all that a restart needs.

    epoch: epochs done. step: steps done in this epoch. batch_size: of a full batch, over all ranks.
    """

    epoch: int
    step: int
    batch_size: int
    state: State
    seconds_before: float = 0.0  # of this epoch, before the clock was started
    clock: float | None = None  # when it was started, if it runs

    @property
    def steps_done(self) -> int:
        """Optimizer steps since the start of the run."""
        return self.epoch * num_steps(len(self.state.losses), self.batch_size) + self.step

    def step_losses(self) -> Tensor:
        """The mean loss of each batch, (steps,) float64, on rank 0 after `reduce_progress`; 0 for those to come."""
        counts = sums_by_batch(torch.ones_like(self.state.losses), self.batch_size)
        return sums_by_batch(self.state.losses, self.batch_size) / counts

    def start_clock(self) -> None:
        self.clock = time.perf_counter()

    def stop_clock(self) -> None:
        self.seconds_before, self.clock = self.seconds(), None

    def seconds(self) -> float:
        """Duration of this epoch's training so far, in this process and before a restart."""
        return self.seconds_before + (0.0 if self.clock is None else time.perf_counter() - self.clock)


def start_epoch(epoch: int, n: int, batch_size: int, device: torch.device) -> Progress:
    """The start of an epoch of n examples."""
    return Progress(epoch, 0, batch_size, start_state(n, device))


def finish_epoch(progress: Progress, epoch: Epoch, settings: StepSettings) -> dict[str, float]:
    """Means over the epoch and all ranks, on rank 0; not a number elsewhere. Raises as `reduce_progress` does.

    Under mixup `excess_loss`, the loss above its entropy floor, is the curve to compare with ERM's loss. Errors are in
    percent, by the two meanings of accuracy in `mixing`.
    """
    reduce_progress(progress, settings.group)
    state, targets, weights = progress.state, epoch.targets, epoch.weights
    seen = state.predicted >= 0
    values = {
        "loss": state.losses,
        "entropy_floor": seen * mixing.target_entropy(targets, weights, settings.num_classes, settings.label_smoothing),
        "lam_accuracy": mixing.lam_accuracy(state.predicted, targets, weights),
        "dominant_accuracy": (state.predicted == mixing.dominant_class(targets, weights)).float(),
    }
    # One batch after the other, so that an epoch that is trained again has the same numbers to the last bit.
    sums = sums_by_batch(torch.stack(list(values.values())), progress.batch_size).cumsum(1)[:, -1]
    means = means_of(tuple(values), sums, int(seen.sum()))
    return {
        "loss": means["loss"],
        "entropy_floor": means["entropy_floor"],
        "excess_loss": means["loss"] - means["entropy_floor"],
        "lam_error": 100 * (1 - means["lam_accuracy"]),
        "dominant_error": 100 * (1 - means["dominant_accuracy"]),
    }


def reduce_progress(progress: Progress, group: Group) -> None:
    """Puts together what the ranks found, in place: rank 0 holds all of it afterwards, the others none.

    Waits for the device. Raises UserError at the first step of the epoch whose loss is not finite, on every rank.
    """
    state = progress.state
    all_reduce(group, state.losses)
    all_reduce(group, state.predicted, largest=True)
    losses = progress.step_losses()
    bad = (~torch.isfinite(losses)).nonzero()
    if len(bad):
        step = int(bad[0])
        place = f"epoch {progress.epoch}, step {step} (both counted from 0)"
        raise UserError(f"the loss became {float(losses[step])} at {place}; {DIVERGED}")
    if not group.is_leader:
        state.losses.zero_()
        state.predicted.fill_(-1)


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    data: Examples,
    *,
    batch_size: int,
    autocast: Callable[[], contextlib.AbstractContextManager[object]],
    group: Group,
    after_batch: Callable[[], None] = lambda: None,
) -> tuple[dict[str, float], Tensor]:
    """Errors and loss over every example once, without padding, on every rank. after_batch: called equally often on each.

    Returns `top1_error` and `top5_error` in percent, `nll` in nats and `count`, the number of readable examples, over all
    ranks; and this rank's share of the logits (n, C) float32, not a number in the rows of unreadable examples.
    """
    model.eval()
    part = share(len(data), rank=group.rank, world_size=group.world_size)
    chunks = [slice(first, min(first + batch_size, part.stop)) for first in range(part.start, part.stop, batch_size)]
    most = len(range(0, len(share(len(data), rank=0, world_size=group.world_size)), batch_size))  # batches of any rank
    names, count, rows = ("top1_error", "top5_error", "nll"), 0, torch.zeros(0)
    sums = torch.zeros(len(names), dtype=torch.float64, device=data.labels.device)
    for index, inputs in data.in_order(chunks):
        labels = data.labels[index]
        with autocast():
            logits = model(inputs).float()
        top1, top5 = (topk_errors(logits, labels, k) for k in (1, 5))
        sums += float64_sums(top1, top5, negative_log_likelihood(logits, labels))
        count += len(index)
        if not len(rows):
            rows = logits.new_full((len(part), logits.shape[1]), float("nan"))
        rows[index - part.start] = logits
        after_batch()
        most -= 1
    for _ in range(most):  # a rank may have one batch less, and one of unreadable images alone is left out
        after_batch()
    counts = torch.tensor([count, len(part) > 0 and count == 0], device=data.labels.device)
    count, ranks_without_examples = all_reduce(group, counts).tolist()
    if ranks_without_examples:  # on every rank alike
        raise UserError(f"not one of {len(part):,} examples of a process's share to evaluate can be read: restore the files")
    means = means_of(names, all_reduce(group, sums), count)
    return {**{name: 100 * means[name] for name in names[:2]}, "nll": means["nll"], "count": count}, rows


def means_of(names: tuple[str, ...], sums: Tensor, count: int) -> dict[str, float]:
    """Each sum over the count; not a number if nothing was counted. Waits for the device."""
    return {name: value / count if count else float("nan") for name, value in zip(names, sums.tolist(), strict=True)}


@contextlib.contextmanager
def explained_batchnorm(error_class: type[UserError] = LocalError) -> Iterator[None]:
    """Raises the UserError for torch's refusal to normalise one value a channel. By default this rank alone meets it."""
    try:
        yield
    except ValueError as error:
        if "Expected more than 1 value per channel" not in str(error):
            raise
        raise error_class(
            "one process is left with one example whose features are 1x1, and BatchNorm cannot normalise one value: "
            "change trainer.batch_size, so that the last batch of an epoch holds two examples a process"
        ) from error
