"""Claims of the method, against hand calculation, dense soft labels, timm and torchvision."""

import pytest
import torch
import torch.nn.functional as F

from mixup.mixing import MixedBatch, dominant_accuracy, lam_accuracy, mix, mixed_cross_entropy, target_entropy


def batch(lam: torch.Tensor | float, *, size: int = 32, classes: int = 10, seed: int = 0) -> tuple[torch.Tensor, MixedBatch]:
    """Random logits (size, classes) that need gradients, and a batch of random labels."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, classes, generator=rng).mul(3).requires_grad_()
    targets, partners = torch.randint(0, classes, (2, size), generator=rng)
    weights = lam if isinstance(lam, torch.Tensor) else torch.full((size,), lam)
    return logits, MixedBatch(torch.zeros(size, 1), targets, partners, weights)


def dense(mixed: MixedBatch, classes: int) -> torch.Tensor:
    """Equation 1, right, with one-hot labels: (B, C)."""
    own, partner = F.one_hot(mixed.targets, classes).double(), F.one_hot(mixed.partner_targets, classes).double()
    return mixed.lam[:, None] * own + (1 - mixed.lam[:, None]) * partner


def test_mix_by_hand():
    inputs, partners = torch.tensor([[0.0, 4.0], [8.0, 8.0]]), torch.tensor([[4.0, 0.0], [0.0, 16.0]])
    assert mix(inputs, partners, torch.tensor([0.25, 1.0])).tolist() == [[3.0, 1.0], [8.0, 8.0]]


def test_lambda_one_gives_the_inputs_bit_for_bit():
    inputs, partners = torch.randn(2, 16, 3, 8, 8) * 1e3
    assert torch.equal(mix(inputs, partners, torch.ones(16)), inputs)
    assert torch.equal(mix(inputs, partners, torch.zeros(16)), partners)


def test_lambda_one_gives_the_loss_and_gradients_of_erm_bit_for_bit():
    logits, mixed = batch(1.0)
    losses = mixed_cross_entropy(logits, mixed)
    erm_logits = logits.detach().clone().requires_grad_()
    erm = F.cross_entropy(erm_logits, mixed.targets, reduction="none")
    assert torch.equal(losses, erm)
    losses.mean().backward()
    erm.mean().backward()
    assert torch.equal(logits.grad, erm_logits.grad)


@pytest.mark.parametrize("seed", range(3))
def test_loss_is_dense_soft_label_cross_entropy(seed):
    logits, mixed = batch(torch.rand(32, generator=torch.Generator().manual_seed(seed)), seed=seed)
    expected = F.cross_entropy(logits.double(), dense(mixed, 10), reduction="none")
    assert torch.allclose(mixed_cross_entropy(logits, mixed).double(), expected, rtol=0, atol=1e-6 * expected.max().item())
    ours = torch.autograd.grad(mixed_cross_entropy(logits, mixed).mean(), logits)[0]
    theirs = torch.autograd.grad(F.cross_entropy(logits, dense(mixed, 10).float()), logits)[0]
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-7)


def test_loss_in_half_precision_logits_is_computed_in_float32():
    logits, mixed = batch(0.3)
    low = logits.detach().bfloat16()
    assert torch.equal(mixed_cross_entropy(low, mixed), mixed_cross_entropy(low.float(), mixed))


@pytest.mark.parametrize("lam", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_the_floor_is_the_least_loss_and_is_reached(lam):
    _, mixed = batch(lam)
    best = dense(mixed, 10).clamp_min(1e-30).log().float()
    assert torch.allclose(mixed_cross_entropy(best, mixed), target_entropy(mixed), atol=1e-5)
    for seed in range(5):
        logits, _ = batch(lam, seed=seed)
        assert (mixed_cross_entropy(logits, mixed) >= target_entropy(mixed) - 1e-6).all()


def test_the_floor_is_zero_where_both_labels_agree():
    mixed = MixedBatch(torch.zeros(2, 1), torch.tensor([3, 3]), torch.tensor([3, 4]), torch.tensor([0.5, 0.5]))
    assert target_entropy(mixed).tolist() == pytest.approx([0.0, 0.6931472])


def test_the_two_accuracies_by_hand():
    logits = torch.eye(3)[[0, 1, 2, 0]]
    mixed = MixedBatch(
        torch.zeros(4, 1), torch.tensor([0, 0, 0, 0]), torch.tensor([1, 1, 1, 0]), torch.tensor([0.75, 0.75, 0.75, 0.25])
    )
    assert lam_accuracy(logits, mixed).tolist() == [0.75, 0.25, 0.0, 1.0]
    assert dominant_accuracy(logits, mixed).tolist() == [1.0, 0.0, 0.0, 1.0]
    swapped = MixedBatch(mixed.inputs, mixed.partner_targets, mixed.targets, 1 - mixed.lam)
    assert lam_accuracy(logits, swapped).tolist() == [0.75, 0.25, 0.0, 1.0]


def test_agrees_with_timm_on_the_same_lambda_and_partner():
    timm_mixup = pytest.importorskip("timm.data.mixup")
    images, labels = torch.rand(8, 3, 4, 4), torch.randint(0, 10, (8,))
    lam = 0.3
    theirs = timm_mixup.Mixup(mixup_alpha=1.0, label_smoothing=0.0, num_classes=10)
    theirs._params_per_batch = lambda: (lam, False)
    their_images, their_targets = theirs(images.clone(), labels)
    partner = torch.arange(8).flip(0)  # timm pairs a batch with itself reversed
    ours = MixedBatch(mix(images, images[partner], torch.full((8,), lam)), labels, labels[partner], torch.full((8,), lam))
    assert torch.allclose(ours.inputs, their_images, atol=1e-6)
    assert torch.allclose(dense(ours, 10).float(), their_targets, atol=1e-6)


def test_agrees_with_torchvision_on_the_same_lambda_and_partner(monkeypatch):
    v2 = pytest.importorskip("torchvision.transforms.v2")
    images, labels = torch.rand(8, 3, 4, 4), torch.randint(0, 10, (8,))
    theirs = v2.MixUp(alpha=1.0, num_classes=10)
    monkeypatch.setattr(theirs, "make_params", lambda flat_inputs: {"lam": 0.3, "labels": labels, "batch_size": 8})
    their_images, their_targets = theirs(images, labels)
    partner = torch.arange(8).roll(1)  # torchvision pairs each example with the one before it
    ours = MixedBatch(mix(images, images[partner], torch.full((8,), 0.3)), labels, labels[partner], torch.full((8,), 0.3))
    assert torch.allclose(ours.inputs, their_images, atol=1e-6)
    assert torch.allclose(dense(ours, 10).float(), their_targets, atol=1e-6)
    logits = torch.randn(8, 10)
    assert torch.allclose(mixed_cross_entropy(logits, ours).mean(), F.cross_entropy(logits, their_targets), atol=1e-6)
