"""The method of the paper: train on convex combinations of examples and of their labels (section 2, equation 1).

    x~ = lam * x_i + (1 - lam) * x_j        y~ = lam * y_i + (1 - lam) * y_j        lam ~ Beta(alpha, alpha)

Choices in which public implementations differ, and ours:

* what is mixed: inputs, and targets by the same lambda, both after augmentation, in float32, on the device; or, for the
  ablation of section 3.8, what a layer puts out (`mixed_at`), or inputs alone (`dominant_weights`);
* targets stay class indices with weights, never a dense one-hot matrix: one `log_softmax`, one gather;
* ERM is lam = 1 on the same path, bit for bit;
* partners, lambdas and their random source are drawn in `plan.py` and handed in, so that everything here is a pure function;
* "train accuracy" under mixing has no single meaning: `lam_accuracy` and `dominant_accuracy` are both named.

More than two examples are mixed one after the other: with lam_1 ~ Beta(alpha, (k - 1) alpha), ..., lam_{k-1} ~ Beta(alpha,
alpha), each the share that an example has of what those before it have left, the weights are Dirichlet(alpha, ..., alpha).

Shapes: B examples, C classes, k examples in a mixture, 2 in equation 1. Per-example results are (B,), on the device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class MixedBatch:
    """inputs: (B, ...) float. targets: (B, k) int64, classes of the examples in each mixture, its own first. weights: (B, k)
    float, rows summing to 1, what each class counts. label_smoothing: share of the target spread evenly over all classes."""

    inputs: Tensor
    targets: Tensor
    weights: Tensor
    label_smoothing: float = 0.0


def mix(examples: Sequence[Tensor], lam: Tensor) -> Tensor:
    """Equation 1, left: `lam * x_i + (1 - lam) * x_j`. k tensors (B, ...), own first, and lam (B, k - 1) -> (B, ...)."""
    *before, mixed = examples
    for inputs, share in zip(reversed(before), reversed(lam.unbind(1))):
        # one pass, and exact at lam = 1
        mixed = torch.lerp(mixed, inputs, share.view(-1, *[1] * (mixed.dim() - 1)))
    return mixed


def mixture_weights(lam: Tensor) -> Tensor:
    """What each example counts in its mixture: lam and 1 - lam for two of them. (B, k - 1) -> (B, k)."""
    weights, left = [], torch.ones_like(lam[:, 0])
    for share in lam.unbind(1):
        weights.append(left * share)
        left = left * (1 - share)
    return torch.stack([*weights, left], 1)


def dominant_weights(weights: Tensor) -> Tensor:
    """1 for the example that counts most, the first of equals, and 0 for the others: the target where inputs alone are
    mixed ("mix inputs only", section 3.8). (B, k) -> (B, k)."""
    return F.one_hot(weights.argmax(1), weights.shape[1]).to(weights.dtype)


@contextlib.contextmanager
def mixed_at(layer: nn.Module, rows: Tensor, lam: Tensor) -> Iterator[None]:
    """Inside, what `layer` puts out is mixed as `mix` mixes inputs ("mix latent representations", section 3.8).

    rows: (B, k - 1) int64, the partners of each example of the batch.
    """

    def mix_output(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        own = output.float()  # in bfloat16 lambda would be rounded, and the targets' is not
        return mix([own, *(own[partner] for partner in rows.unbind(1))], lam).to(output.dtype)

    handle = layer.register_forward_hook(mix_output)
    try:
        yield
    finally:
        handle.remove()


def mixed_cross_entropy(logits: Tensor, batch: MixedBatch) -> Tensor:
    """Cross-entropy against the mixed label y~ of equation 1, smoothed where asked. (B, C) -> (B,), in nats."""
    log_probs = F.log_softmax(logits.float(), dim=1)
    loss = -(batch.weights * log_probs.gather(1, batch.targets)).sum(1)
    if batch.label_smoothing:  # 1 - eps + eps / C for a right class and eps / C for a wrong one
        loss = torch.lerp(loss, -log_probs.mean(1), batch.label_smoothing)
    return loss


def target_entropy(batch: MixedBatch, num_classes: int) -> Tensor:
    """Entropy of the mixed label, in nats: the least value `mixed_cross_entropy` can take. (B,).

    Zero where all classes of a mixture are one. Loss minus this floor compares with the loss of ERM, whose floor is 0.
    """
    same = batch.targets[:, :, None] == batch.targets[:, None, :]
    share = (same * batch.weights[:, None, :]).sum(2).clamp(max=1)  # of each example's class, in the whole mixture
    once = 1 / same.sum(2)  # a class that k examples share is counted k times
    spread = batch.label_smoothing / num_classes
    smoothed = (1 - batch.label_smoothing) * share + spread
    others = num_classes - once.sum(1)
    return (once * torch.special.entr(smoothed)).sum(1) + others * torch.special.entr(torch.full_like(others, spread))


def lam_accuracy(logits: Tensor, batch: MixedBatch) -> Tensor:
    """The weight that the predicted class has in the mixed label: the authors' count. (B,)."""
    return (batch.weights * (logits.argmax(1)[:, None] == batch.targets)).sum(1)


def dominant_accuracy(logits: Tensor, batch: MixedBatch) -> Tensor:
    """1 where the prediction is the class of the example that counts most, the first of equals, else 0. (B,)."""
    dominant = batch.targets.gather(1, batch.weights.argmax(1, keepdim=True))[:, 0]
    return (logits.argmax(1) == dominant).float()
