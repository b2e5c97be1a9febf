"""The tables that an epoch's steps read, and what a step makes of them: inputs, gradients of ranks, and what it writes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mixup.data import ResidentFeatures, ResidentImages, Split
from mixup.training import step as module
from mixup.training.distributed import Group
from mixup.training.engine import start_epoch
from mixup.training.step import Batch, Epoch, draw_epoch, fetch, mixed_inputs, mixed_layer, start_state, train_step
from mixup.training.train import batches
from tests.training.test_step import CPU, FACTS, images, network, plan, settings, train
from tests.training.test_step_settings import Record


def features(n: int) -> ResidentFeatures:
    inputs, labels = torch.randn(n, 5, generator=torch.Generator().manual_seed(0)), torch.arange(n) % 3
    return ResidentFeatures(Split(inputs, labels, torch.zeros(n, dtype=torch.bool)), device=CPU)


def tables(drawn, data, **changes: object) -> Epoch:
    return draw_epoch(drawn, data, [0.0] * drawn.num_steps, settings(**changes))


# -- tables --------------------------------------------------------------------------------------------------------------


def test_partners_are_taken_from_the_fetched_batch_where_all_of_them_are_in_it():
    """One fetch an example in place of k, for resident images on one process; else a row of the tables for each."""
    data, near = images(40), np.arange(1, 41)[:, None] % 40
    alone, shared = tables(plan(40, ways=3), data), tables(plan(40, ways=3), data, group=Group(0, 0, 2))
    nearest, latent = tables(plan(40, partner="nearest", neighbours=near), data), tables(plan(40), data, layer=nn.Identity())
    assert [epoch.with_batch for epoch in (alone, shared, nearest, latent)] == [True, False, False, False]
    assert [len(epoch.index) for epoch in (alone, shared, nearest, latent)] == [1, 3, 2, 1]
    assert (alone.crop.shape, shared.crop.shape, shared.flip.shape) == ((1, 40, 2), (3, 40, 2), (3, 40))
    assert torch.equal(alone.index[0], alone.plan.order)
    assert torch.equal(shared.index[2], shared.plan.order[shared.plan.partner[:, 1]])
    assert torch.equal(shared.crop[1], shared.plan.crop[shared.plan.partner[:, 0]])
    assert torch.equal(shared.flip[2], shared.plan.flip[shared.plan.partner[:, 1]])
    for part in (slice(0, 16), slice(32, 40)):
        assert torch.equal(torch.stack(list(fetch(data, alone, part))), torch.stack(list(fetch(data, shared, part))))


def test_one_pair_in_two_batches_is_enough_to_fetch_every_partner():
    drawn = plan(40)
    drawn.partner[3, 0] = 20
    assert not tables(drawn, images(40)).with_batch


@pytest.mark.parametrize("ways", [2, 3])
def test_a_few_features_are_mixed_beforehand_and_many_step_by_step_to_the_same_inputs(ways, monkeypatch):
    data, drawn = features(40), plan(40, ways=ways)
    epoch = tables(drawn, data)
    assert (epoch.crop, epoch.flip, epoch.with_batch) == (None, None, False)
    weights, rows = epoch.weights, torch.cat([torch.arange(40)[:, None], drawn.partner], 1)
    expected = torch.einsum("nk,nkf->nf", weights, data.features[drawn.order[rows]])
    assert torch.allclose(epoch.inputs, expected, atol=1e-6)
    monkeypatch.setattr(module, "MIXED_BEFOREHAND", data.features.nbytes - 1)
    later = tables(drawn, data)
    assert later.inputs is None
    for part in (slice(0, 16), slice(32, 40), torch.arange(16, 32)):
        inputs = mixed_inputs(data, epoch, part, None)
        assert torch.equal(inputs, epoch.inputs[part])
        assert torch.equal(inputs, mixed_inputs(data, later, part, None))
    monkeypatch.setattr(module, "MIXED_BEFOREHAND", data.features.nbytes)
    assert torch.equal(tables(drawn, data, layer=nn.Identity()).inputs, data.features[drawn.order]), "not mixed twice"


def test_random_resized_crops_are_the_boxes_of_each_examples_own_seed():
    data, drawn = images(40, padding=0), plan(40, resized_crop=True)
    epoch = tables(drawn, data, group=Group(0, 0, 2))
    boxes = data.boxes(drawn.crop_seed)
    assert epoch.crop.shape == (2, 40, 4)
    assert torch.equal(epoch.crop[0], boxes)
    assert torch.equal(epoch.crop[1], boxes[drawn.partner[:, 0]])


def test_every_table_is_on_the_device_of_the_data():
    """The meta device stands in for a GPU."""
    meta, pixels = torch.device("meta"), torch.zeros(40, 8, 8, 3, dtype=torch.uint8)
    split = Split(pixels, torch.zeros(40, dtype=torch.int64), torch.zeros(40, dtype=torch.bool))
    epoch = tables(plan(40), ResidentImages(split, FACTS, padding=2, device=meta))
    names = ("index", "crop", "flip", "partner", "lam", "targets", "weights", "learning_rates")
    assert {getattr(epoch, name).device for name in names} == {meta}
    assert epoch.plan.order.device == CPU
    assert epoch.learning_rates.dtype == torch.float64


def test_before_its_steps_an_epoch_has_no_losses_and_no_predictions():
    state = start_state(3, CPU)
    assert (state.losses.tolist(), state.predicted.tolist()) == ([0.0] * 3, [-1] * 3)
    assert (state.losses.dtype, state.predicted.dtype, state.learning_rate.dtype) == (
        *(torch.float32, torch.int64, torch.float64),
    )


# -- steps ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eps", [0.0, 0.1])
@pytest.mark.parametrize("lam_per", ["batch", "example"])
def test_an_epoch_of_mixup_is_the_papers_listing(lam_per, eps):
    """Figure 1(a), in dense targets: x = lam * x1 + (1 - lam) * x2, y = lam * y1 + (1 - lam) * y2, and the loss of both."""
    data, drawn, ours, theirs = images(40), plan(40, lam_per=lam_per), network(), network()
    ours[3].p = theirs[3].p = 0.0
    progress = start_epoch(0, 40, 16, CPU)
    train(ours, data, drawn, progress, label_smoothing=eps)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    for first in range(0, 40, 16):
        rows = slice(first, min(first + 16, 40))
        lam, partner = drawn.lam[rows], drawn.partner[rows, 0] - first
        x1 = data.fetch(drawn.order[rows], drawn.crop[rows], drawn.flip[rows])
        y1 = F.one_hot(data.labels[drawn.order[rows]], 3).float()
        x = lam.view(-1, 1, 1, 1) * x1 + (1 - lam.view(-1, 1, 1, 1)) * x1[partner]
        y = lam * y1 + (1 - lam) * y1[partner]
        logits = theirs(x)
        losses = F.cross_entropy(logits, y, reduction="none", label_smoothing=eps)
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
        assert torch.allclose(progress.state.losses[rows], losses, atol=1e-4)
        assert torch.equal(progress.state.predicted[rows], logits.argmax(1))
    for ours_tensor, theirs_tensor in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        assert torch.allclose(ours_tensor, theirs_tensor, atol=1e-5)


def step_once(model: nn.Module, data, drawn, batch: Batch, **changes: object):
    """The state after one step that leaves the weights as they are."""
    state, optimizer = start_state(len(drawn.order), CPU), torch.optim.SGD(model.parameters(), lr=0.0)
    epoch = tables(drawn, data, **changes)
    train_step(model, optimizer, data, epoch=epoch, state=state, batch=batch, settings=settings(**changes))
    return state


@pytest.mark.parametrize(("n", "world_size"), [(7, 2), (7, 3), (2, 3), (1, 3)])
def test_the_mean_of_the_ranks_gradients_is_the_gradient_of_the_batch(n, world_size):
    """What DDP averages, dummies included; each rank counts its own examples alone."""
    torch.manual_seed(0)
    model, data, drawn = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), images(n), plan(n)
    (batch,) = batches(data, drawn, 0, Group())
    state = step_once(model, data, drawn, batch)
    expected, gradients = model[1].weight.grad, []
    losses, predicted = torch.zeros(n), torch.full((n,), -1)
    for rank in range(world_size):
        group = Group(rank, rank, world_size)
        (batch,) = batches(data, drawn, 0, group)
        own = step_once(model, data, drawn, batch, group=group)
        gradients.append(model[1].weight.grad)
        assert batch.is_dummy == (rank >= n)
        assert not batch.is_dummy or not gradients[-1].any()
        losses, predicted = losses + own.losses, predicted.maximum(own.predicted)
    assert torch.allclose(torch.stack(gradients).mean(0), expected, atol=1e-6)
    assert torch.allclose(losses, state.losses, atol=1e-6)
    assert torch.equal(predicted, state.predicted)


def test_examples_from_a_loader_are_mixed_and_where_a_layer_is_mixed_they_are_let_alone():
    drawn, model = plan(16), Record()
    own, partner = torch.randn(2, 8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    batch = Batch(0, slice(4, 12), 16, examples=[own, partner])
    state = step_once(model, images(16), drawn, batch)
    assert (state.predicted >= 0).nonzero()[:, 0].tolist() == list(range(4, 12)), "these and no others are counted"
    lam = drawn.lam[4:12].view(-1, 1, 1, 1)
    assert torch.allclose(model.inputs, lam * own + (1 - lam) * partner, atol=1e-6)
    step_once(model, images(16), drawn, batch, layer=nn.Identity())
    assert torch.equal(model.inputs, own)


@pytest.mark.parametrize("ways", [2, 3])
def test_a_layers_partners_are_rows_of_the_ranks_own_share(ways):
    data, drawn, layer = images(40), plan(40, ways=ways, shards=2), nn.Identity()
    epoch, part = tables(drawn, data, layer=layer, group=Group(1, 1, 2)), drawn.positions(1, rank=1, world_size=2)
    hidden = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    everyone = torch.full((40, 4), torch.nan)
    everyone[part] = hidden
    rows = torch.cat([torch.arange(40)[:, None], drawn.partner], 1)[part]
    expected = torch.einsum("nk,nkf->nf", epoch.weights[part], everyone[rows])
    for positions in (part, torch.arange(part.start, part.stop)):
        with mixed_layer(layer, epoch, positions):
            assert torch.allclose(layer(hidden), expected, atol=1e-6)


@pytest.mark.parametrize("ways", [2, 3])
@pytest.mark.parametrize("partner", ["random", "flip", "roll"])
def test_a_dummy_example_of_a_rank_is_its_own_partner_in_a_layer(ways, partner):
    data, drawn, layer = images(18), plan(18, ways=ways, shards=4, partner=partner), nn.Identity()
    for rank in (2, 3):
        group = Group(rank, rank, 4)
        batch = list(batches(data, drawn, 0, group))[-1]
        assert (batch.is_dummy, batch.positions(16)) == (True, slice(17, 18))
        with mixed_layer(layer, tables(drawn, data, layer=layer, group=group), batch.positions(16)):
            assert layer(torch.full((1, 4), 7.0)).tolist() == [[7.0] * 4]
