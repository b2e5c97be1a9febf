"""Figure 2: what a network does on the way from one training example to another.

At x = lam * x_i + (1 - lam) * x_j, for random pairs (i, j) of training examples and 21 lambdas, two measures:

* miss: the prediction is neither y_i nor y_j ("% miss");
* gradient norm: the Euclidean norm, over all of an example's inputs, of the gradient of its loss by x.

The paper does not say which label that loss has, nor how many pairs, nor which network. Here the label is the mixed one,

    loss = lam * CE(f(x), y_i) + (1 - lam) * CE(f(x), y_j),

because this is the paper's own loss at that point (equation 1), it is the usual loss at both ends, and it treats i and j
alike, as the paper's symmetric curves do. It also favours mixup, which was trained on this very loss there, and ERM was not.
The alternatives: the label of the nearer example, which jumps at lam = 0.5; the predicted one, whose loss is flat wherever
the network is sure, right or wrong; the label of i alone, whose curve would not be symmetric. Inputs are normalised, so a
norm scales with the data's deviation: compare networks on the same data, by ratios rather than with the figure's axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixup.mixing import mix, mixed_cross_entropy

LAMS = tuple(step / 20 for step in range(21))


@dataclass(frozen=True)
class Between:
    """One value for each lambda, a mean over pairs, and its standard error (of the sample: 0 where no pair differs).

    miss, miss_error: in percent. gradient_norm, gradient_error: in nats per unit of normalised input. pairs: how many.
    """

    lam: tuple[float, ...]
    miss: tuple[float, ...]
    miss_error: tuple[float, ...]
    gradient_norm: tuple[float, ...]
    gradient_error: tuple[float, ...]
    pairs: int


def draw_pairs(n: int, count: int, rng: np.random.Generator) -> Tensor:
    """Pairs (i, j) of two of n examples, i != j, each ordered pair as likely as another, also again. (count, 2) int64.

    Raises ValueError for n < 2.
    """
    if n < 2:
        raise ValueError(f"n={n}: a pair needs two examples")
    first, step = rng.integers(n, size=count), rng.integers(1, n, size=count)
    return torch.from_numpy(np.stack([first, (first + step) % n], 1))


def between(
    model: Callable[[Tensor], Tensor],
    inputs_at: Callable[[Tensor], Tensor],
    labels: Tensor,
    pairs: Tensor,
    *,
    lams: Sequence[float] = LAMS,
    batch_size: int,
) -> Between:
    """Misses and gradient norms at every lambda, over all pairs.

    model: in evaluation mode, (B, ...) normalised inputs -> (B, num_classes) logits; its parameters get no gradient.
    inputs_at: (B,) int64, on the device of the labels -> (B, ...) float inputs without augmentation. labels: (N,) int64.
    pairs: (P, 2) int64, i and j. batch_size: points in a forward pass; inputs are fetched once for all lambdas.
    Raises ValueError for fewer than two pairs, of which there is no standard error.
    """
    if len(pairs) < 2:
        raise ValueError(f"{len(pairs)} pairs: a standard error needs at least two")
    misses, norms = by_pair(model, inputs_at, labels, pairs, lams=lams, batch_size=batch_size)
    miss, miss_error = mean_and_error(misses)
    norm, norm_error = mean_and_error(norms)
    return Between(tuple(lams), miss, miss_error, norm, norm_error, len(pairs))


def by_pair(
    model: Callable[[Tensor], Tensor],
    inputs_at: Callable[[Tensor], Tensor],
    labels: Tensor,
    pairs: Tensor,
    *,
    lams: Sequence[float] = LAMS,
    batch_size: int,
) -> tuple[Tensor, Tensor]:
    """What `between`, whose arguments these are, takes the means of: misses in percent, and gradient norms, at each lambda
    for each pair, both (L, P) float64."""
    misses, norms = [], []
    for chunk in pairs.to(labels.device).split(batch_size):
        ends, targets = [inputs_at(index) for index in chunk.unbind(1)], labels[chunk]
        found = [at_lambda(model, ends, targets, lam) for lam in lams]
        misses.append(torch.stack([miss for miss, _ in found]))
        norms.append(torch.stack([norm for _, norm in found]))
    return 100 * torch.cat(misses, 1).double(), torch.cat(norms, 1).double()


def at_lambda(
    model: Callable[[Tensor], Tensor], ends: Sequence[Tensor], targets: Tensor, lam: float
) -> tuple[Tensor, Tensor]:
    """ends: x_i and x_j, each (B, ...). targets: (B, 2). Returns misses (B,) bool and gradient norms (B,) float."""
    weights = ends[0].new_tensor([lam, 1 - lam]).expand(len(targets), 2)
    with torch.enable_grad():
        points = mix(ends[0], ends[1], weights[:, 0]).detach().requires_grad_()
        logits = model(points)
        # The sum over examples: in evaluation mode one does not change another's gradient.
        loss = mixed_cross_entropy(logits, targets, weights).sum()
        (gradient,) = torch.autograd.grad(loss, points)
    miss = (logits.argmax(1)[:, None] != targets).all(1)
    return miss, gradient.float().flatten(1).norm(dim=1)


def mean_and_error(values: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(L, P) -> for each row the mean and its standard error, the sample deviation over the root of P."""
    error = values.std(1) / values.shape[1] ** 0.5
    return tuple(values.mean(1).tolist()), tuple(error.tolist())
