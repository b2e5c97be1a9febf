"""Claims of the method, against hand calculation, dense soft labels, timm and torchvision."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F

from mixup.mixing import (
    dominant_class,
    dominant_weights,
    lam_accuracy,
    mix,
    mix_all,
    mixed_at,
    mixed_cross_entropy,
    mixture_weights,
    target_entropy,
)


@dataclass
class MixedBatch:
    """inputs: (B, ...). targets, weights: (B, k)."""

    inputs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    label_smoothing: float = 0.0

    def cross_entropy(self, logits: torch.Tensor) -> torch.Tensor:
        return mixed_cross_entropy(logits, self.targets, self.weights, self.label_smoothing)

    def entropy(self, num_classes: int) -> torch.Tensor:
        return target_entropy(self.targets, self.weights, num_classes, self.label_smoothing)


def batch(lam: torch.Tensor | float, *, size: int = 32, classes: int = 10, seed: int = 0) -> tuple[torch.Tensor, MixedBatch]:
    """Random logits (size, classes) that need gradients, and a batch of random labels."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, classes, generator=rng).mul(3).requires_grad_()
    targets = torch.randint(0, classes, (2, size), generator=rng).T
    return logits, pair(targets, lam if isinstance(lam, torch.Tensor) else torch.full((size,), lam))


def pair(targets: torch.Tensor, lam: torch.Tensor, inputs: torch.Tensor | None = None, eps: float = 0.0) -> MixedBatch:
    """A batch of mixtures of two, (B, 2) labels and (B,) lambdas."""
    inputs = torch.zeros(len(targets), 1) if inputs is None else inputs
    return MixedBatch(inputs, targets, mixture_weights(lam[:, None]), eps)


def dense(mixed: MixedBatch, classes: int) -> torch.Tensor:
    """Equation 1, right, with one-hot labels: (B, C)."""
    sharp = (mixed.weights[:, :, None].double() * F.one_hot(mixed.targets, classes)).sum(1)
    return (1 - mixed.label_smoothing) * sharp + mixed.label_smoothing / classes


def test_mix_by_hand():
    inputs, partners = torch.tensor([[0.0, 4.0], [8.0, 8.0]]), torch.tensor([[4.0, 0.0], [0.0, 16.0]])
    assert mix(inputs, partners, torch.tensor([0.25, 1.0])).tolist() == [[3.0, 1.0], [8.0, 8.0]]


def test_lambda_one_gives_the_inputs_bit_for_bit():
    inputs, partners = torch.randn(2, 16, 3, 8, 8) * 1e3
    assert torch.equal(mix(inputs, partners, torch.ones(16)), inputs)
    assert torch.equal(mix(inputs, partners, torch.zeros(16)), partners)


def test_lambda_one_gives_the_loss_and_gradients_of_erm_bit_for_bit():
    logits, mixed = batch(1.0)
    losses = mixed.cross_entropy(logits)
    erm_logits = logits.detach().clone().requires_grad_()
    erm = F.cross_entropy(erm_logits, mixed.targets[:, 0], reduction="none")
    assert torch.equal(losses, erm)
    losses.mean().backward()
    erm.mean().backward()
    assert torch.equal(logits.grad, erm_logits.grad)


@pytest.mark.parametrize("seed", range(3))
def test_loss_is_dense_soft_label_cross_entropy(seed):
    logits, mixed = batch(torch.rand(32, generator=torch.Generator().manual_seed(seed)), seed=seed)
    expected = F.cross_entropy(logits.double(), dense(mixed, 10), reduction="none")
    assert torch.allclose(mixed.cross_entropy(logits).double(), expected, rtol=0, atol=1e-6 * expected.max().item())
    assert torch.equal(mixed_cross_entropy(logits, mixed.targets, mixed.weights), mixed.cross_entropy(logits))
    ours = torch.autograd.grad(mixed.cross_entropy(logits).mean(), logits)[0]
    theirs = torch.autograd.grad(F.cross_entropy(logits, dense(mixed, 10).float()), logits)[0]
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-7)


def test_loss_in_half_precision_logits_is_computed_in_float32():
    logits, mixed = batch(0.3)
    low = logits.detach().bfloat16()
    assert torch.equal(mixed.cross_entropy(low), mixed.cross_entropy(low.float()))


@pytest.mark.parametrize("lam", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_the_floor_is_the_least_loss_and_is_reached(lam):
    _, mixed = batch(lam)
    best = dense(mixed, 10).clamp_min(1e-30).log().float()
    assert torch.allclose(mixed.cross_entropy(best), mixed.entropy(10), atol=1e-5)
    for seed in range(5):
        logits, _ = batch(lam, seed=seed)
        assert (mixed.cross_entropy(logits) >= mixed.entropy(10) - 1e-6).all()


def test_the_floor_is_zero_where_both_labels_agree():
    mixed = pair(torch.tensor([[3, 3], [3, 4]]), torch.tensor([0.5, 0.5]))
    assert mixed.entropy(10).tolist() == pytest.approx([0.0, 0.6931472])
    assert target_entropy(mixed.targets, mixed.weights, 10).tolist() == mixed.entropy(10).tolist(), "unless smoothed"


def test_the_floor_of_one_class_is_not_below_zero_where_the_weights_round_to_more_than_one():
    weights = mixture_weights(torch.rand(10_000, 3, generator=torch.Generator().manual_seed(0)))
    floor = target_entropy(torch.full((10_000, 4), 3), weights, 10)
    assert (weights.sum(1) > 1).any()
    assert ((floor >= 0) & (floor < 1e-6)).all()


def test_the_two_accuracies_by_hand():
    logits = torch.eye(3)[[0, 1, 2, 0]]
    mixed = pair(torch.tensor([[0, 1], [0, 1], [0, 1], [0, 0]]), torch.tensor([0.75, 0.75, 0.75, 0.25]))
    assert lam_accuracy(logits.argmax(1), mixed.targets, mixed.weights).tolist() == [0.75, 0.25, 0.0, 1.0]
    assert (logits.argmax(1) == dominant_class(mixed.targets, mixed.weights)).tolist() == [True, False, False, True]
    swapped = MixedBatch(mixed.inputs, mixed.targets.flip(1), mixed.weights.flip(1))
    assert lam_accuracy(logits.argmax(1), swapped.targets, swapped.weights).tolist() == [0.75, 0.25, 0.0, 1.0]


def test_agrees_with_timm_on_the_same_lambda_and_partner():
    timm_mixup = pytest.importorskip("timm.data.mixup")
    images, labels = torch.rand(8, 3, 4, 4), torch.randint(0, 10, (8,))
    lam = 0.3
    theirs = timm_mixup.Mixup(mixup_alpha=1.0, label_smoothing=0.0, num_classes=10)
    theirs._params_per_batch = lambda: (lam, False)
    their_images, their_targets = theirs(images.clone(), labels)
    partner = torch.arange(8).flip(0)  # timm pairs a batch with itself reversed
    lams = torch.full((8,), lam)
    ours = pair(torch.stack([labels, labels[partner]], 1), lams, mix(images, images[partner], lams))
    assert torch.allclose(ours.inputs, their_images, atol=1e-6)
    assert torch.allclose(dense(ours, 10).float(), their_targets, atol=1e-6)


def test_agrees_with_torchvision_on_the_same_lambda_and_partner(monkeypatch):
    v2 = pytest.importorskip("torchvision.transforms.v2")
    images, labels = torch.rand(8, 3, 4, 4), torch.randint(0, 10, (8,))
    theirs = v2.MixUp(alpha=1.0, num_classes=10)
    monkeypatch.setattr(theirs, "make_params", lambda flat_inputs: {"lam": 0.3, "labels": labels, "batch_size": 8})
    their_images, their_targets = theirs(images, labels)
    partner = torch.arange(8).roll(1)  # torchvision pairs each example with the one before it
    lams = torch.full((8,), 0.3)
    ours = pair(torch.stack([labels, labels[partner]], 1), lams, mix(images, images[partner], lams))
    assert torch.allclose(ours.inputs, their_images, atol=1e-6)
    assert torch.allclose(dense(ours, 10).float(), their_targets, atol=1e-6)
    logits = torch.randn(8, 10)
    assert torch.allclose(ours.cross_entropy(logits).mean(), F.cross_entropy(logits, their_targets), atol=1e-6)


# -- section 3.8 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eps", [0.05, 0.1, 0.4])
@pytest.mark.parametrize("lam", [1.0, 0.3])
def test_label_smoothing_is_torchs_on_a_mixed_target(eps, lam):
    logits, mixed = batch(lam)
    smoothed = MixedBatch(mixed.inputs, mixed.targets, mixed.weights, eps)
    sharp = (mixed.weights[:, :, None] * F.one_hot(mixed.targets, 10)).sum(1)
    expected = F.cross_entropy(logits, sharp, label_smoothing=eps, reduction="none")
    assert torch.allclose(smoothed.cross_entropy(logits), expected, atol=1e-5)
    if lam == 1:
        plain = F.cross_entropy(logits, mixed.targets[:, 0], label_smoothing=eps, reduction="none")
        assert torch.allclose(smoothed.cross_entropy(logits), plain, atol=1e-5)
    floor = -(dense(smoothed, 10) * dense(smoothed, 10).log()).sum(1)
    assert torch.allclose(smoothed.entropy(10).double(), floor, atol=1e-5)


@pytest.mark.parametrize("ways", [2, 3, 4, 6])
def test_mixtures_of_more_than_two_are_weighted_sums(ways):
    rng = torch.Generator().manual_seed(ways)
    examples, lam = torch.randn(ways, 16, 3, 4, 4, generator=rng), torch.rand(16, ways - 1, generator=rng)
    weights = mixture_weights(lam)
    assert torch.allclose(weights.sum(1), torch.ones(16))
    expected = torch.einsum("bk,kbchw->bchw", weights, examples)
    assert torch.allclose(mix_all(list(examples), lam), expected, atol=1e-5)
    targets = torch.randint(0, 3, (16, ways), generator=rng)  # few classes, so that mixtures hold one more than once
    mixed, logits = MixedBatch(examples[0], targets, weights), torch.randn(16, 3, generator=rng)
    soft = dense(mixed, 3)
    assert torch.allclose(
        mixed.cross_entropy(logits).double(), F.cross_entropy(logits.double(), soft, reduction="none"), atol=1e-5
    )
    assert torch.allclose(mixed.entropy(3).double(), torch.special.entr(soft).sum(1), atol=1e-5)
    assert torch.allclose(
        lam_accuracy(logits.argmax(1), mixed.targets, mixed.weights).double(),
        soft.gather(1, logits.argmax(1)[:, None])[:, 0],
        atol=1e-6,
    )


def test_the_dominant_example_takes_the_whole_target():
    weights = torch.tensor([[0.3, 0.7], [0.6, 0.4], [0.5, 0.5]])
    dominant = dominant_weights(weights)
    assert (dominant.tolist(), dominant.dtype) == ([[0, 1], [1, 0], [1, 0]], torch.float32)
    assert dominant_weights(weights[1:]).tolist() == [[1, 0], [1, 0]], "no batch leaves out a column"


def test_a_layer_is_mixed_as_its_output_would_be_by_hand_and_is_let_alone_afterwards():
    torch.manual_seed(0)
    first, second = torch.nn.Linear(5, 4), torch.nn.Linear(4, 3)
    model = torch.nn.Sequential(first, torch.nn.ReLU(), second)
    inputs, rows = torch.randn(6, 5), torch.tensor([[1], [2], [0], [5], [3], [4]])
    lam = torch.rand(6, 1)
    with mixed_at(model[1], rows, lam):
        mixed = model(inputs)
    hidden = first(inputs).relu()
    assert torch.allclose(mixed, second(lam * hidden + (1 - lam) * hidden[rows[:, 0]]), atol=1e-6)
    assert torch.equal(model(inputs), second(hidden))
    with mixed_at(model[1], rows, torch.ones(6, 1)):
        assert torch.equal(model(inputs), second(hidden)), "lam = 1 mixes nothing, bit for bit"
    with pytest.raises(RuntimeError), mixed_at(model[1], rows, lam):
        raise RuntimeError
    assert torch.equal(model(inputs), second(hidden)), "also after an error"


def test_a_layers_mixtures_of_three_are_weighted_sums():
    layer, inputs, rows = torch.nn.Identity(), torch.eye(3), torch.tensor([[1, 2], [2, 0], [0, 1]])
    with mixed_at(layer, rows, torch.tensor([[0.5, 0.25]] * 3)):  # weights 0.5, 0.5 * 0.25 and 0.5 * 0.75
        mixed = layer(inputs)
    assert mixed.tolist() == [[0.5, 0.125, 0.375], [0.375, 0.5, 0.125], [0.125, 0.375, 0.5]]


def test_a_layer_in_bfloat16_is_mixed_in_float32():
    layer, inputs, lam = torch.nn.Identity(), torch.randn(4, 3).bfloat16(), torch.full((4, 1), 0.3)
    rows = torch.tensor([[1], [0], [3], [2]])
    with mixed_at(layer, rows, lam):
        mixed = layer(inputs)
    assert torch.equal(mixed, torch.lerp(inputs[rows[:, 0]].float(), inputs.float(), lam).bfloat16())
