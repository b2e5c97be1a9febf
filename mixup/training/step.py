"""One training step, and the device tensors that it reads and writes.

Everything of a batch except its pixels is known when the epoch's plan is drawn: examples, crops, flips, lambdas, targets,
weights and learning rates. `draw_epoch` puts these in tables on the device once an epoch. A step reads its rows of them,
writes what it found of each example into tables of its own, and never waits for the device; `finish_epoch` makes means of
these.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mixup import mixing
from mixup.data import Examples, ResidentFeatures, ResidentImages, StreamedImages
from mixup.plan import EpochPlan
from mixup.training.distributed import Group

MIXED_BEFOREHAND = 2**24  # bytes of features, such as those of the UCI tables


@dataclass(frozen=True)
class StepSettings:
    """What stays the same over the steps of a run.

    autocast: makes the context of the forward pass. dominant: targets are the class of the largest weight alone. noise:
    standard deviation of Gaussian noise on the inputs, (1,) or one a channel (C, 1, 1), in normalised units; None for none.
    layer: the module whose output is mixed instead of the inputs; None mixes inputs (section 3.8).
    """

    seed: int
    num_classes: int
    group: Group
    autocast: Callable[[], contextlib.AbstractContextManager[object]]
    dominant: bool = False
    label_smoothing: float = 0.0
    noise: Tensor | None = None
    layer: nn.Module | None = None


@dataclass(frozen=True)
class Epoch:
    """The tables of an epoch on the device: what steps read. n positions, k examples in a mixture, the own one first.

    plan: the epoch's plan, on the CPU. index: (k, n) int64, crop: (k, n, 2) or (k, n, 4) int64, flip: (k, n) bool: the
    examples to fetch, as `ResidentImages.fetch` takes them; k is 1 here if partners come with the batch or a layer is mixed,
    and features have no crop and flip. with_batch: whether partners are among the images of the same batch. partner:
    (n, k - 1) int64 positions. lam: (n, k - 1) float32. targets: (n, k) int64. weights: (n, k) float32. learning_rates:
    (steps,) float64. inputs: (n, *input_shape) float32, mixed beforehand where the features are few; else None.
    """

    plan: EpochPlan
    index: Tensor
    crop: Tensor | None
    flip: Tensor | None
    with_batch: bool
    partner: Tensor
    lam: Tensor
    targets: Tensor
    weights: Tensor
    learning_rates: Tensor
    inputs: Tensor | None = None


@dataclass
class State:
    """What the steps of an epoch write, on the device.

    learning_rate: (), the optimizer's own. losses: (n,) float32, in nats, by position of the epoch; 0 where no step was.
    predicted: (n,) int64, the class of the largest logit, by position; -1 where no step was. noise: drawn for the whole
    batch.
    """

    learning_rate: Tensor
    losses: Tensor
    predicted: Tensor
    noise: torch.Generator


@dataclass(frozen=True)
class Batch:
    """This rank's part of a batch.

    step: counted in the epoch; (1,) int64 on the device in a captured step. rows: of the batch; (B,) int64 on the device in
    a captured step, and where unreadable examples are left out. count: examples of the batch over all ranks. is_dummy: a
    rank without examples repeats one, whose loss is multiplied by 0, so that every rank joins the all-reduce. examples: k
    tensors (B, *input_shape), own first, from the loader of streamed images; None for resident data.
    """

    step: int | Tensor
    rows: slice | Tensor
    count: int
    is_dummy: bool = False
    examples: Sequence[Tensor] | None = None

    def positions(self, batch_size: int) -> slice | Tensor:
        """Of its rows in the epoch."""
        first = self.step * batch_size
        if isinstance(self.rows, slice):
            return slice(first + self.rows.start, first + self.rows.stop)
        return first + self.rows


def draw_epoch(plan: EpochPlan, data: Examples, learning_rates: Sequence[float], settings: StepSettings) -> Epoch:
    """The tables of an epoch. learning_rates: one for each step."""
    device = data.labels.device
    positions = torch.cat([torch.arange(len(plan.order))[:, None], plan.partner], 1)
    with_batch = (
        settings.layer is None
        and settings.group.world_size == 1
        and isinstance(data, ResidentImages)
        and bool((plan.partner // plan.batch_size == positions[:, :1] // plan.batch_size).all())
    )
    fetched = (positions[:, :1] if with_batch or settings.layer is not None else positions).T
    crop, augments = plan.crop, not isinstance(data, ResidentFeatures)
    if plan.crop_seed is not None and isinstance(data, ResidentImages):
        crop = data.boxes(plan.crop_seed)
    lam = plan.lam.to(device)
    targets, weights = data.labels[plan.order[positions].to(device)], mixing.mixture_weights(lam)
    if settings.dominant:
        weights = mixing.dominant_weights(weights)
    epoch = Epoch(
        plan=plan,
        index=plan.order[fetched].to(device),
        crop=crop[fetched].to(device) if augments else None,
        flip=plan.flip[fetched].to(device) if augments else None,
        with_batch=with_batch,
        partner=plan.partner.to(device),
        lam=lam,
        targets=targets,
        weights=weights,
        learning_rates=torch.tensor(learning_rates, dtype=torch.float64, device=device),
    )
    if isinstance(data, ResidentFeatures) and data.features.nbytes <= MIXED_BEFOREHAND:
        epoch = replace(epoch, inputs=mixed_inputs(data, epoch, slice(0, len(plan.order)), settings.layer))
    return epoch


def start_state(n: int, device: torch.device) -> State:
    """Of an epoch of n examples."""
    return State(
        # CUDA's fused optimizers read float32. On a CPU they compute in float64, as they would with a Python number.
        learning_rate=torch.zeros((), dtype=torch.float32 if device.type == "cuda" else torch.float64, device=device),
        losses=torch.zeros(n, device=device),
        predicted=torch.full((n,), -1, device=device),
        noise=torch.Generator(device),
    )


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Examples,
    *,
    epoch: Epoch,
    state: State,
    batch: Batch,
    settings: StepSettings,
) -> None:
    """One update of the model on this rank's part of a batch. model: inputs (B, *input_shape) -> logits (B, C)."""
    positions, world_size = batch.positions(epoch.plan.batch_size), settings.group.world_size
    state.learning_rate.copy_(epoch.learning_rates[batch.step].view(()))
    for group in optimizer.param_groups:
        group["lr"] = state.learning_rate
        for parameter in group["params"]:
            parameter.grad = None  # as `zero_grad` does, which takes the host longer

    # fetch and mix
    inputs = mixed_inputs(data, epoch, positions, settings.layer, batch.examples)  # lam * x_i + (1 - lam) * x_j
    if settings.noise is not None:  # drawn for the whole batch, so that it is the same on any number of ranks
        noise = torch.randn((batch.count, *inputs.shape[1:]), generator=state.noise, device=inputs.device)
        inputs = inputs + settings.noise * noise[batch.rows]

    # forward
    with settings.autocast(), mixed_layer(settings.layer, epoch, positions):
        logits = model(inputs)
    targets, weights = epoch.targets[positions], epoch.weights[positions]
    losses = mixing.mixed_cross_entropy(logits, targets, weights, settings.label_smoothing)
    loss = losses.sum() * (0 if batch.is_dummy else 1 / batch.count)  # the sum over ranks is the mean over the batch

    # backward and update; DDP averages the gradients of the ranks, and the batch's gradient is their sum
    (loss * world_size if world_size > 1 else loss).backward()
    optimizer.step()

    # count
    if not batch.is_dummy:
        state.losses[positions] = losses.detach()
        state.predicted[positions] = logits.argmax(1)


def mixed_inputs(
    data: Examples,
    epoch: Epoch,
    positions: slice | Tensor,
    layer: nn.Module | None,
    examples: Sequence[Tensor] | None = None,
) -> Tensor:
    """What the model is given at some positions of the epoch, (B, *input_shape); if a layer is mixed, the own examples."""
    if epoch.inputs is not None:
        return epoch.inputs[positions]
    examples = examples or fetch(data, epoch, positions)
    return mixing.mix_all(examples, epoch.lam[positions]) if layer is None else examples[0]


def fetch(data: Examples, epoch: Epoch, positions: slice | Tensor) -> Sequence[Tensor]:
    """The augmented examples of each mixture, k tensors (B, *input_shape), own first; any partner is resident."""
    assert not isinstance(data, StreamedImages), "streamed images come from their loader"
    index = epoch.index[:, positions]
    if epoch.crop is None or epoch.flip is None:
        return data.fetch(index.flatten()).chunk(len(index))
    crop, flip = epoch.crop[:, positions], epoch.flip[:, positions]
    images = data.fetch(index.flatten(), crop.flatten(0, 1), flip.flatten())
    if epoch.with_batch:
        return [images, *(images[rows] for rows in rows_of_partners(epoch, positions).unbind(1))]
    return images.chunk(len(index))


def rows_of_partners(epoch: Epoch, positions: slice | Tensor) -> Tensor:
    """Where the partners are among contiguous positions, (B, k - 1)."""
    return epoch.partner[positions] - (positions.start if isinstance(positions, slice) else positions[0])


def mixed_layer(
    layer: nn.Module | None, epoch: Epoch, positions: slice | Tensor
) -> contextlib.AbstractContextManager[object]:
    """The context in which the output of a layer is mixed, with partners inside this rank's contiguous positions."""
    if layer is None:
        return contextlib.nullcontext()
    return mixing.mixed_at(layer, rows_of_partners(epoch, positions), epoch.lam[positions])
