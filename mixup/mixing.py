"""The method of the paper: train on convex combinations of examples and of their labels (section 2, equation 1).

    x~ = lam * x_i + (1 - lam) * x_j        y~ = lam * y_i + (1 - lam) * y_j        lam ~ Beta(alpha, alpha)

Choices in which public implementations differ, and ours:

* what is mixed: inputs, and targets by the same lambda, both after augmentation, in float32, on the device;
* targets stay a pair of class indices with a weight, never a dense one-hot matrix: one `log_softmax`, two gathers;
* ERM is lam = 1 on the same path, bit for bit;
* partner, lambda and their random source are drawn in `plan.py` and handed in, so that everything here is a pure function;
* "train accuracy" under mixing has no single meaning: `lam_accuracy` and `dominant_accuracy` are both named.

Shapes: B examples, C classes. All per-example results are (B,), on the device, unreduced.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class MixedBatch:
    """inputs: (B, ...) float, already mixed; targets, partner_targets: (B,) int64; lam: (B,) float, weight of `targets`."""

    inputs: Tensor
    targets: Tensor
    partner_targets: Tensor
    lam: Tensor


def mix(inputs: Tensor, partner_inputs: Tensor, lam: Tensor) -> Tensor:
    """Equation 1, left: `lam * inputs + (1 - lam) * partner_inputs` with one lam an example. (B, ...), (B, ...), (B,)."""
    return torch.lerp(partner_inputs, inputs, lam.view(-1, *[1] * (inputs.dim() - 1)))  # one pass, and exact at lam = 1


def mixed_cross_entropy(logits: Tensor, batch: MixedBatch) -> Tensor:
    """Cross-entropy against the mixed label y~ of equation 1. (B, C) -> (B,), in nats."""
    log_probs = F.log_softmax(logits.float(), dim=1)
    own = log_probs.gather(1, batch.targets[:, None])[:, 0]
    partner = log_probs.gather(1, batch.partner_targets[:, None])[:, 0]
    return -(batch.lam * own + (1 - batch.lam) * partner)


def target_entropy(batch: MixedBatch) -> Tensor:
    """Entropy of the mixed label, in nats: the least value `mixed_cross_entropy` can take. (B,).

    Zero where both labels are the same class. Loss minus this floor compares with the loss of ERM, whose floor is 0.
    """
    entropy = torch.special.entr(batch.lam) + torch.special.entr(1 - batch.lam)
    return torch.where(batch.targets == batch.partner_targets, torch.zeros_like(entropy), entropy)


def lam_accuracy(logits: Tensor, batch: MixedBatch) -> Tensor:
    """lam if the prediction is the example's class, 1 - lam if the partner's, 1 if both: the authors' count. (B,)."""
    predicted = logits.argmax(1)
    return batch.lam * (predicted == batch.targets) + (1 - batch.lam) * (predicted == batch.partner_targets)


def dominant_accuracy(logits: Tensor, batch: MixedBatch) -> Tensor:
    """1 where the prediction is the class with the larger weight, else 0; the example's own class at lam = 0.5. (B,)."""
    dominant = torch.where(batch.lam >= 0.5, batch.targets, batch.partner_targets)
    return (logits.argmax(1) == dominant).float()
