"""The method of the paper: train on convex combinations of examples and of their labels (section 2, equation 1).

    x~ = lam * x_i + (1 - lam) * x_j        y~ = lam * y_i + (1 - lam) * y_j        lam ~ Beta(alpha, alpha)

Public implementations differ in these choices; ours are:

* what is mixed: inputs, and targets by the same lambda, both after augmentation, in float32, on the device; for the ablation
  of section 3.8 the output of a layer (`mixed_at`), or inputs alone (`dominant_weights`);
* targets stay class indices with weights, never a dense one-hot matrix: one `log_softmax`, one gather;
* ERM is lam = 1 on the same path, bit for bit;
* `plan.py` draws partners and lambdas and names their random source, so every function here is pure;
* "train accuracy" under mixing has no single meaning: it is the weight of the predicted class (`lam_accuracy`), or the share
  of predictions that are the `dominant_class`; each has a name of its own.

k > 2 examples are mixed by stick-breaking: v_i ~ Beta(alpha, (k - i) alpha), w_i = v_i * prod_{j<i} (1 - v_j) gives
w ~ Dirichlet(alpha, ..., alpha) (Sethuraman 1994; Connor and Mosimann 1969). For k = 2 that is equation 1, v_1 = lam.

Shapes: B examples, C classes, k examples in a mixture. targets: (B, k) int64, the classes of a mixture's examples, its own
first. weights: (B, k) float32, rows summing to 1, the share of each class in y~. Per-example results are (B,).
"""

import contextlib
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mix(own: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    """Equation 1, left: x~ = lam * x_i + (1 - lam) * x_j. own, partner: (B, ...); lam: (B,). Returns (B, ...)."""
    return torch.lerp(partner, own, lam.view(-1, *[1] * (own.dim() - 1)))  # one pass, and exact at lam = 1


def mix_all(examples: Sequence[Tensor], fractions: Tensor) -> Tensor:
    """`mix` of k >= 2 examples: each takes its fraction of what the examples before it left over, the last takes the rest.

    examples: k tensors (B, ...), own first. fractions: (B, k - 1), v above. Returns (B, ...).
    """
    mixed = examples[-1]
    for i in reversed(range(len(examples) - 1)):
        mixed = mix(examples[i], mixed, fractions[:, i])
    return mixed


def mixture_weights(fractions: Tensor) -> Tensor:
    """The weight of each example in `mix_all`: lam and 1 - lam for two. (B, k - 1) -> (B, k)."""
    weights, rest = [], torch.ones_like(fractions[:, 0])
    for fraction in fractions.unbind(1):
        weights.append(rest * fraction)
        rest = rest * (1 - fraction)
    return torch.stack([*weights, rest], 1)


def dominant_weights(weights: Tensor) -> Tensor:
    """1 for the example of the largest weight, the first of equals, and 0 for the others: the target where inputs alone are
    mixed ("mix inputs only", section 3.8). (B, k) -> (B, k)."""
    return F.one_hot(weights.argmax(1), weights.shape[1]).to(weights.dtype)


@contextlib.contextmanager
def mixed_at(layer: nn.Module, partners: Tensor, fractions: Tensor) -> Iterator[None]:
    """Inside the context, the output of `layer` is mixed by `mix_all` ("mix latent representations", section 3.8).

    The layer must return one tensor, (B, ...), its rows in the order of the batch. partners: (B, k - 1) int64, rows of the
    batch. fractions: (B, k - 1).
    """

    def mix_output(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        own = output.float()  # bfloat16 would round lambda, and the weights of the targets are float32
        return mix_all([own, *(own[rows] for rows in partners.unbind(1))], fractions).to(output.dtype)

    handle = layer.register_forward_hook(mix_output)
    try:
        yield
    finally:
        handle.remove()


def mixed_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy against the mixed label y~ of equation 1. (B, C) -> (B,), in nats.

    label_smoothing: eps, the share of y~ that is spread evenly over all classes.
    """
    log_probs = F.log_softmax(logits.float(), dim=1)
    loss = -(weights * log_probs.gather(1, targets)).sum(1)
    if label_smoothing:
        loss = torch.lerp(loss, -log_probs.mean(1), label_smoothing)
    return loss


def target_entropy(targets: Tensor, weights: Tensor, num_classes: int, label_smoothing: float = 0.0) -> Tensor:
    """Entropy of the mixed label y~ in nats, the floor of `mixed_cross_entropy`: H(y~, p) = H(y~) + KL(y~ | p). (B,).

    The floor is 0 where a mixture holds one class. Loss minus floor, KL(y~ | p), compares with the loss of ERM.
    """
    same_class = targets[:, :, None] == targets[:, None, :]
    share = (same_class * weights[:, None, :]).sum(2).clamp(max=1)  # of each example's class in the mixture
    once = 1 / same_class.sum(2)  # m examples of one class count 1 / m each, so that their class counts once
    spread = label_smoothing / num_classes
    present = (once * torch.special.entr((1 - label_smoothing) * share + spread)).sum(1)
    absent_classes = num_classes - once.sum(1)
    return present + absent_classes * torch.special.entr(torch.full_like(absent_classes, spread))


def lam_accuracy(predicted: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The weight of the predicted class in the mixed label, as the authors' code counts. predicted: (B,). Returns (B,)."""
    return (weights * (predicted[:, None] == targets)).sum(1)


def dominant_class(targets: Tensor, weights: Tensor) -> Tensor:
    """The class of the example of the largest weight, the first of equals. (B, k) -> (B,)."""
    return targets.gather(1, weights.argmax(1, keepdim=True))[:, 0]
