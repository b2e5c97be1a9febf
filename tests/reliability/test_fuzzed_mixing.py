"""Mixing over every variant at once: weights, labels and images stay convex combinations, and losses finite."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mixup import mixing
from mixup.plan import EpochPlan, PlanSettings, draw_plan

fuzzed = settings(max_examples=150, derandomize=True, deadline=None, database=None)
alphas = st.sampled_from([0.0, 1e-3, 0.2, 1.0, 7.5, 1e3]) | st.floats(1e-3, 1e3)
DTYPES = (torch.float32, torch.float64)
LAYER_DTYPES = (torch.float16, torch.bfloat16, torch.float32)


@st.composite
def plans(draw: st.DrawFn) -> tuple[PlanSettings, EpochPlan, torch.Tensor, int]:
    """Settings, a plan of theirs, the labels of the examples (n,) int64, and the number of classes."""
    n, classes = draw(st.integers(1, 40)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels, ways = rng.integers(0, classes, n), draw(st.integers(2, 5))
    partner = draw(st.sampled_from(["random", "flip", "roll", "nearest"]))
    neighbours = rng.integers(-1, n, (n, draw(st.integers(1, 4))))
    options = PlanSettings(
        seed=draw(st.integers(0, 1000)),
        n=n,
        batch_size=draw(st.integers(1, 48)),
        alpha=draw(alphas),
        lam_per=draw(st.sampled_from(["batch", "example"])),
        warmup_epochs=draw(st.integers(0, 1)),
        ways=ways,
        fold=ways == 2 and draw(st.booleans()),
        partner=partner,
        classes=labels if partner == "random" and draw(st.booleans()) else None,
        neighbours=np.sort(neighbours, 1)[:, ::-1] if partner == "nearest" else None,  # -1 pads at the end
        shards=draw(st.integers(1, 3)) if partner != "nearest" else 1,
    )
    return options, draw_plan(options, 0), torch.from_numpy(labels), classes


def dense(targets: torch.Tensor, weights: torch.Tensor, classes: int) -> torch.Tensor:
    return torch.zeros(len(targets), classes, dtype=torch.float64).scatter_add_(1, targets, weights.double())


def targets_of(plan: EpochPlan, labels: torch.Tensor) -> torch.Tensor:
    own = labels[plan.order]
    return torch.cat([own[:, None], own[plan.partner]], 1)


@fuzzed
@given(plans())
def test_weights_are_shares_and_labels_are_conserved(drawn):
    options, plan, labels, classes = drawn
    weights, targets = mixing.mixture_weights(plan.lam), targets_of(plan, labels)
    assert weights.shape == targets.shape == (options.n, options.ways)
    assert weights.isfinite().all()
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(1), torch.ones(options.n), rtol=0, atol=options.ways * 1e-6)
    if options.alpha == 0 or options.warmup_epochs:
        assert torch.equal(weights, torch.eye(options.ways)[0].expand(options.n, -1)), "ERM, to the bit"
    if options.fold:
        assert weights[:, 0].min() >= 0.5
    if options.classes is not None:
        assert (targets == targets[:, :1]).all()
    assert torch.equal(plan.order.sort().values, torch.arange(options.n))
    label = dense(targets, weights, classes)
    for first in range(0, options.n, options.batch_size):
        batch = slice(first, min(first + options.batch_size, options.n))
        partner = plan.partner[batch]
        if options.partner == "nearest":
            assert partner.min() >= 0
            assert partner.max() < options.n
            continue
        here = torch.arange(batch.start, batch.stop)
        assert all(torch.equal(column.sort().values, here) for column in partner.T), "each example is a partner once"
        if options.lam_per == "batch":
            counts = torch.bincount(targets[batch, 0], minlength=classes).double()
            torch.testing.assert_close(label[batch].sum(0), counts, rtol=1e-5, atol=1e-5)


@fuzzed
@given(plans(), st.sampled_from(DTYPES), st.lists(st.integers(1, 4), max_size=3), st.sampled_from([1.0, 255.0, 1e-30, 1e30]))
def test_mixed_images_are_inside_of_the_convex_hull(drawn, dtype, shape, scale):
    options, plan, _, _ = drawn
    own = scale * torch.randn(options.n, *shape, dtype=dtype, generator=torch.Generator().manual_seed(options.seed))
    examples = torch.stack([own, *(own[rows] for rows in plan.partner.unbind(1))])
    lam = plan.lam.to(dtype)
    mixed = mixing.mix_all(list(examples), lam)
    assert (mixed.dtype, mixed.shape) == (dtype, own.shape)
    slack = 4 * options.ways * torch.finfo(dtype).eps * examples.abs().amax(0)
    assert (mixed >= examples.amin(0) - slack).all()
    assert (mixed <= examples.amax(0) + slack).all()
    weights = mixing.mixture_weights(lam.double()).T.view(options.ways, -1, *[1] * len(shape))
    expected = (weights * examples.double()).sum(0)
    assert ((mixed.double() - expected).abs() <= slack).all(), "equation 1, with the weights of the labels"
    if options.alpha == 0:
        assert torch.equal(mixed, own)


@fuzzed
@given(plans(), st.sampled_from(LAYER_DTYPES))
def test_the_output_of_a_layer_is_mixed_as_images_are(drawn, dtype):
    options, plan, _, _ = drawn
    rows = slice(0, min(options.batch_size, options.n))
    partner = plan.partner[rows].clamp(max=rows.stop - 1)
    own = torch.randn(rows.stop, 3, generator=torch.Generator().manual_seed(options.seed)).to(dtype)
    layer = nn.Identity()
    with mixing.mixed_at(layer, partner, plan.lam[rows]):
        mixed = layer(own)
    assert mixed.dtype == dtype
    examples = [own.float(), *(own.float()[column] for column in partner.unbind(1))]
    assert torch.equal(mixed, mixing.mix_all(examples, plan.lam[rows]).to(dtype))
    assert torch.equal(layer(own), own), "outside of the context nothing is mixed"


@fuzzed
@given(plans(), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.booleans(), st.sampled_from([0.0, 1.0, 100.0, 1e4]))
def test_losses_are_finite_and_not_below_the_entropy_of_their_targets(drawn, smoothing, dominant, scale):
    options, plan, labels, classes = drawn
    weights, targets = mixing.mixture_weights(plan.lam), targets_of(plan, labels)
    if dominant:
        weights = mixing.dominant_weights(weights)
        assert torch.equal(weights.sum(1), torch.ones(options.n))
    logits = scale * torch.randn(options.n, classes, generator=torch.Generator().manual_seed(options.seed))
    logits.requires_grad_()
    loss = mixing.mixed_cross_entropy(logits, targets, weights, smoothing)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert logits.grad.isfinite().all()
    label = (1 - smoothing) * dense(targets, weights, classes) + smoothing / classes
    expected = -(label * logits.detach().double().log_softmax(1)).sum(1)
    torch.testing.assert_close(loss.detach().double(), expected, rtol=1e-4, atol=1e-4)
    floor = mixing.target_entropy(targets, weights, classes, smoothing)
    torch.testing.assert_close(floor.double(), torch.special.entr(label).sum(1), rtol=1e-4, atol=1e-4)
    assert (loss.detach() >= floor - 1e-4 * (1 + loss.detach().abs())).all()
    predicted = logits.argmax(1)
    accuracy = mixing.lam_accuracy(predicted, targets, weights)
    torch.testing.assert_close(accuracy.double(), dense(targets, weights, classes)[torch.arange(options.n), predicted])
    assert (mixing.dominant_class(targets, weights)[:, None] == targets).any(1).all()
