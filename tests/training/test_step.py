"""A training step and the loop of steps: what they do, what they count, and that ranks together do what one process does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mixup.data import DatasetInfo, ResidentImages, Split
from mixup.errors import UserError
from mixup.mixing import mix_all
from mixup.plan import EpochPlan, PlanSettings, draw_plan
from mixup.training.distributed import Group
from mixup.training.engine import Progress, finish_epoch, start_epoch
from mixup.training.step import StepSettings, draw_epoch, fetch
from mixup.training.train import batches, train_epoch

CPU = torch.device("cpu")
FACTS = DatasetInfo(3, (3, 8, 8), (0.5, 0.4, 0.3), (0.2, 0.2, 0.3), train_count=1, test_count=1, crop_padding=2, flip=True)


def images(n: int, *, seed: int = 0, padding: int = 2) -> ResidentImages:
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n, 8, 8, 3), generator=rng, dtype=torch.uint8)
    labels = torch.randint(0, 3, (n,), generator=rng)
    return ResidentImages(Split(pixels, labels, torch.zeros(n, dtype=torch.bool)), FACTS, padding=padding, device=CPU)


def plan(
    n: int, *, epoch: int = 0, alpha: float = 1.0, batch_size: int = 16, lam_per: str = "example", **changes
) -> EpochPlan:
    options = {"batch_size": batch_size, "alpha": alpha, "lam_per": lam_per, "crop_padding": 2, "flip": True}
    return draw_plan(PlanSettings(seed=0, n=n, **options, **changes), epoch)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(144, 3))


def settings(**changes: object) -> StepSettings:
    return StepSettings(**{"seed": 0, "num_classes": 3, "group": Group(), "autocast": contextlib.nullcontext, **changes})


@dataclass
class MixedBatch:
    """inputs: (B, ...). targets, weights: (B, k)."""

    inputs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


def mixed(data: ResidentImages, drawn: EpochPlan, part: slice, **changes: object) -> MixedBatch:
    """The mixed examples at some positions, as a step mixes them."""
    epoch = draw_epoch(drawn, data, [0.0] * drawn.num_steps, settings(**changes))
    positions = torch.arange(part.start, part.stop)
    inputs = mix_all(fetch(data, epoch, positions), epoch.lam[positions])
    return MixedBatch(inputs, epoch.targets[positions], epoch.weights[positions])


def train(
    model: nn.Module,
    data: ResidentImages,
    drawn: EpochPlan,
    progress: Progress,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    rates: list[float] | None = None,
    after_step: Callable[[Progress], None] = lambda progress: None,
    **changes: object,
) -> None:
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=9.0, momentum=0.9)
    step = settings(**changes)
    epoch = draw_epoch(drawn, data, rates or [0.1] * drawn.num_steps, step)
    train_epoch(model, optimizer, data, epoch, progress, settings=step, after_step=after_step)


def means_of(
    data: ResidentImages,
    drawn: EpochPlan,
    progress: Progress,
    group: Group = Group(),  # noqa: B008
) -> dict[str, float]:
    step = settings(group=group)
    return finish_epoch(progress, draw_epoch(drawn, data, [0.0] * drawn.num_steps, step), step)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 101])
@pytest.mark.parametrize("world_size", [2, 3])
def test_the_batches_of_all_ranks_are_the_batch_of_one_process_bit_for_bit(n, world_size):
    data, drawn = images(n), plan(n)
    for step in range(drawn.num_steps):
        whole = mixed(data, drawn, drawn.positions(step))
        parts = [
            mixed(data, drawn, drawn.positions(step, rank=r, world_size=world_size), group=Group(r, r, world_size))
            for r in range(world_size)
        ]
        for name in ("inputs", "targets", "weights"):
            assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name)), (name, step)


def test_a_mixed_example_is_made_of_the_two_augmented_examples():
    data, drawn = images(16), plan(16)
    whole = mixed(data, drawn, slice(0, 16))
    augmented = data.fetch(drawn.order, drawn.crop, drawn.flip)
    for position in range(16):
        partner, lam = drawn.partner[position, 0], drawn.lam[position, 0]
        expected = lam * augmented[position] + (1 - lam) * augmented[partner]
        assert torch.allclose(whole.inputs[position], expected, atol=1e-5)
        assert whole.targets[position, 1] == data.labels[drawn.order[partner]]


def test_erm_is_a_hand_written_loop_bit_for_bit():
    """alpha = 0 against ten lines that know nothing of mixup: equal weights after an epoch with momentum and BatchNorm."""
    data, drawn = images(40), plan(40, alpha=0.0)
    ours, theirs = network(), network()
    ours[3].p = theirs[3].p = 0.0
    train(ours, data, drawn, start_epoch(0, 40, 16, CPU))
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    for first in range(0, 40, 16):
        rows = slice(first, min(first + 16, 40))
        inputs = data.fetch(drawn.order[rows], drawn.crop[rows], drawn.flip[rows])
        losses = F.cross_entropy(theirs(inputs), data.labels[drawn.order[rows]], reduction="none")
        optimizer.zero_grad()
        (losses.sum() * (1 / len(losses))).backward()
        optimizer.step()
    for ours_tensor, theirs_tensor in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        assert torch.equal(ours_tensor, theirs_tensor)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_an_epoch_cut_at_any_step_ends_as_the_uncut_one_bit_for_bit(alpha, stop):
    data, drawn = images(40), plan(40, alpha=alpha)
    whole, cut = network(), network()
    progress = start_epoch(0, 40, 16, CPU)
    train(whole, data, drawn, progress)
    expected = means_of(data, drawn, progress)

    class Cut(Exception):
        pass

    def after_step(progress: Progress) -> None:
        if progress.step == stop:
            raise Cut

    optimizer = torch.optim.SGD(cut.parameters(), lr=0.1, momentum=0.9)
    progress = start_epoch(0, 40, 16, CPU)
    with pytest.raises(Cut):
        train(cut, data, drawn, progress, optimizer=optimizer, after_step=after_step)
    torch.manual_seed(12345)  # whatever a restart leaves in the global generator
    train(cut, data, drawn, progress, optimizer=optimizer)
    assert means_of(data, drawn, progress) == expected
    for a, b in zip(whole.state_dict().values(), cut.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_learning_rate_is_set_before_each_step():
    """Against steps of an optimizer that is told each rate as a number."""
    data, drawn, ours, theirs = images(40), plan(40, alpha=0.0), network(), network()
    ours[3].p = theirs[3].p = 0.0
    rates, used = [0.01, 0.02, 0.03], []
    optimizer = torch.optim.SGD(ours.parameters(), lr=9.0, fused=True)
    after_step = lambda progress: used.append(float(optimizer.param_groups[0]["lr"]))  # noqa: E731
    train(ours, data, drawn, start_epoch(7, 40, 16, CPU), optimizer=optimizer, rates=rates, after_step=after_step)
    assert used == rates
    for step, rate in enumerate(rates):
        inputs, labels = data.fetch(*(t[16 * step : 16 * step + 16] for t in (drawn.order, drawn.crop, drawn.flip))), None
        labels = data.labels[drawn.order[16 * step : 16 * step + 16]]
        optimizer = torch.optim.SGD(theirs.parameters(), lr=rate, fused=True)
        optimizer.zero_grad()
        (F.cross_entropy(theirs(inputs), labels, reduction="none").sum() * (1 / len(labels))).backward()
        optimizer.step()
    for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_last_smaller_batch_weighs_by_its_examples():
    """With weights that stay as they are, the epoch's mean loss is the mean over all examples, not over batches."""
    data, drawn, model = images(20), plan(20, batch_size=16), network()
    model[3].p = 0.0
    progress = start_epoch(0, 20, 16, CPU)
    train(model, data, drawn, progress, rates=[0.0, 0.0])
    means, losses = means_of(data, drawn, progress), progress.step_losses()
    assert means["loss"] == pytest.approx(float(16 * losses[0] + 4 * losses[1]) / 20, rel=1e-6)
    assert (progress.state.predicted >= 0).sum() == 20


def test_a_loss_that_is_not_finite_is_named_by_epoch_and_step():
    data, drawn, model = images(40), plan(40), network()
    progress = start_epoch(4, 40, 16, CPU)

    def poison(progress: Progress) -> None:
        if progress.step == 1:
            with torch.no_grad():
                next(model.parameters()).fill_(float("nan"))

    train(model, data, drawn, progress, after_step=poison)
    with pytest.raises(UserError, match=r"became nan at epoch 4, step 1 .*optim.lr"):
        means_of(data, drawn, progress)


def test_the_step_loop_never_reads_the_device():
    """Tensors that refuse to be read stand in for a GPU, where reading one waits for all queued work."""

    class Unreadable(torch.overrides.TorchFunctionMode):
        forbidden = ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "nonzero", "__index__")

        def __torch_function__(self, function, types, args=(), kwargs=None):
            assert function.__name__ not in self.forbidden, f"{function.__name__} waits for the device"
            return function(*args, **(kwargs or {}))

    data, drawn, model = images(40), plan(40), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, fused=True)
    noise = torch.full((3, 1, 1), 0.1)
    for changes in ({}, {"noise": noise, "label_smoothing": 0.1, "dominant": True}, {"layer": model[2]}):
        for drawn in (plan(40), plan(40, lam_per="batch", ways=3)):
            step, progress = settings(**changes), start_epoch(0, 40, 16, CPU)
            epoch = draw_epoch(drawn, data, [0.1] * 3, step)
            with Unreadable():
                train_epoch(model, optimizer, data, epoch, progress, settings=step, after_step=lambda progress: None)
    with Unreadable(), pytest.raises(AssertionError, match="waits"):
        torch.ones(1).item()


def test_an_epoch_of_batches_is_the_plans_whatever_the_step_begins_with():
    """Rows, counts and dummies of each rank, from the start and in mid-epoch."""
    data, drawn = images(33), plan(33)
    for rank in range(3):
        parts = list(batches(data, drawn, 0, Group(rank, rank, 3)))
        assert [batch.count for batch in parts] == [16, 16, 1]
        assert [batch.is_dummy for batch in parts] == [False, False, rank > 0]
        assert [batch.rows for batch in batches(data, drawn, 1, Group(rank, rank, 3))] == [batch.rows for batch in parts[1:]]
    assert parts[2].rows == slice(0, 1), "the dummy is the batch's only example"


def test_a_batch_of_one_example_that_batchnorm_cannot_normalise_ends_with_the_remedy():
    """As a batch may become when on_error=skip leaves out its other examples."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.BatchNorm1d(16), nn.Linear(16, 3))
    with pytest.raises(UserError, match=r"change trainer\.batch_size"):
        train(model, images(17), plan(17), start_epoch(0, 17, 16, CPU))
