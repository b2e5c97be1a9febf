"""Figures 1(b) and 2: what a network does around its training examples, and on the way from one to another (section 2).

Figure 1(b) is the decision surface of two classes in the plane. Figure 2 has, at x = lam * x_i + (1 - lam) * x_j, for random
pairs (i, j) of training examples and 21 lambdas, two measures:

* miss: the prediction is neither y_i nor y_j ("% miss");
* gradient norm: the Euclidean norm, over all of an example's inputs, of the gradient of its loss by x.

The paper does not say which label that loss has, nor how many pairs, nor which network. Here the label is the mixed one,

    loss = lam * CE(f(x), y_i) + (1 - lam) * CE(f(x), y_j),

because this is the paper's own loss at that point (equation 1), it is the usual loss at both ends, and it treats i and j
alike, as the paper's symmetric curves do. It also favours mixup, which was trained on this very loss there, and ERM was not.
The alternatives: the label of the nearer example, which jumps at lam = 0.5; the predicted one, whose loss is flat wherever
the network is sure, right or wrong; the label of i alone, whose curve would not be symmetric. Inputs are normalised, so a
norm scales with the data's deviation: compare networks on the same data, by ratios rather than with the figure's axis.
Labels are those trained on, and gradients are taken in the precision that the run was trained in.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mixup.errors import UserError
from mixup.evaluation.finished_run import FinishedRun
from mixup.evaluation.measurements import Values, place_for, tracked, write_measurement
from mixup.evaluation.settings import PAIRS
from mixup.mixing import mix, mixed_cross_entropy
from mixup.plan import generator

Function = Callable[[Tensor], Tensor]

LAMS = tuple(step / 20 for step in range(21))
GRID = 64  # points a side, about as many as figure 1(b) shows
MARGIN = 1.2  # the side of the surface's square, over that of the data's


def draw_pairs(n: int, count: int, rng: np.random.Generator) -> Tensor:
    """Pairs (i, j) of n examples, i != j, drawn uniformly and with replacement: (count, 2) int64. ValueError for n < 2."""
    if n < 2:
        raise ValueError(f"n={n}: a pair needs two examples")
    first, step = rng.integers(n, size=count), rng.integers(1, n, size=count)
    return torch.from_numpy(np.stack([first, (first + step) % n], 1))


def between(
    model: Function, inputs_at: Function, labels: Tensor, batches: Iterable[Tensor], lams: Sequence[float] = LAMS
) -> tuple[Tensor, Tensor]:
    """Misses in percent and gradient norms in nats per unit of normalised input, both (lambdas, P) float64.

    model: in evaluation mode, (B, ...) normalised inputs -> (B, num_classes) logits; its parameters get no gradient.
    inputs_at: (B,) int64, on the device of the labels -> (B, ...) float inputs without augmentation, once for all lambdas.
    labels: (N,) int64. batches: of the P pairs, each (B, 2) int64, i and j, on the device of the labels.
    """
    measured = []
    for pairs in batches:
        ends, targets = [inputs_at(index) for index in pairs.unbind(1)], labels[pairs]
        measured.append(torch.stack([at_lambda(model, ends, targets, lam) for lam in lams]))
    misses, norms = torch.cat(measured, 2).double().unbind(1)
    return 100 * misses, norms


def at_lambda(model: Function, ends: Sequence[Tensor], targets: Tensor, lam: float) -> Tensor:
    """ends: x_i and x_j, each (B, ...). targets: (B, 2). Returns misses, 0 or 1, and gradient norms, (2, B) float32."""
    weights = ends[0].new_tensor([lam, 1 - lam]).expand(len(targets), 2)
    with torch.enable_grad():
        points = mix(ends[0], ends[1], weights[:, 0]).detach().requires_grad_()
        logits = model(points)
        # The sum over examples: in evaluation mode one does not change another's gradient.
        (gradient,) = torch.autograd.grad(mixed_cross_entropy(logits, targets, weights).sum(), points)
    miss = (logits.argmax(1)[:, None] != targets).all(1)
    return torch.stack([miss.float(), gradient.float().flatten(1).norm(dim=1)])


def summary(misses: Tensor, norms: Tensor, lams: Sequence[float] = LAMS) -> Values:
    """Means over pairs at each lambda, of (lambdas, P), with their standard errors, the sample deviation over the root of P.
    ValueError for fewer than two pairs."""
    pairs = misses.shape[1]
    if pairs < 2:
        raise ValueError(f"{pairs} pairs: a standard error needs at least two")
    return {
        "lam": list(lams),
        "miss": misses.mean(1).tolist(),
        "miss_error": (misses.std(1) / pairs**0.5).tolist(),
        "gradient_norm": norms.mean(1).tolist(),
        "gradient_error": (norms.std(1) / pairs**0.5).tolist(),
        "pairs": pairs,
    }


def measure_between(run: FinishedRun, *, pairs: int = PAIRS) -> Values:
    """Writes between.json, the `summary` with the seed of the pairs, and returns it."""
    if len(run.data.train) < 2:
        raise UserError(f"{run.name} was trained on one example: figure 2 needs at least two")
    values = {**summary(*at_pairs(run, pairs)), "seed": run.config.data.seed}
    return write_measurement(run.folder, place_for(run.folder, "between", pairs=values["pairs"]).name, values)


def at_pairs(run: FinishedRun, count: int) -> tuple[Tensor, Tensor]:
    """`between` of random pairs of the run's training examples. `data.seed` decides the pairs, so that runs on the same
    training set are measured at the same points."""
    pairs = draw_pairs(len(run.data.train), count, generator(run.config.data.seed, "between_pairs"))
    chunks = pairs.to(run.device).split(run.gradient_batch)
    batches = tracked(chunks, f"between training points, {run.name}", len(chunks))
    return between(run.of_inputs, partial(training_inputs, run), run.data.train.labels.to(run.device), batches)


def training_inputs(run: FinishedRun, index: Tensor) -> Tensor:
    """(B,) int64 -> the inputs (B, ...) of those training examples, without augmentation."""
    examples = run.served(run.data.train.select(index.cpu().numpy()))
    for readable, inputs in examples.in_order([slice(0, len(index))]):
        if len(readable) == len(index):
            return inputs
    why = next(iter(examples.unreadable.values()), "training images cannot be read")
    raise UserError(f"{why}: restore the file; figure 2 uses every example that is drawn")


def measure_surface(run: FinishedRun) -> Values:
    """Writes surface.json, the probability of class 1 over the plane, and returns it: `x` and `y`, GRID values each,
    `probability`, a row for each y, and the training `points` (N, 2) with their `labels`. UserError for other data."""
    points = run.data.train.inputs
    if not isinstance(points, Tensor) or points.shape[1:] != (2,) or run.data.info.num_classes != 2:
        raise UserError(f"{run.name}: a decision surface needs two classes in the plane, such as data=rings")
    low, high = points.min(0).values, points.max(0).values
    half = MARGIN * float((high - low).max()) / 2
    x, y = (torch.linspace(float(middle) - half, float(middle) + half, GRID) for middle in (low + high) / 2)
    grid = torch.cartesian_prod(y, x).flip(1)  # x runs fastest
    with torch.no_grad():
        probability = torch.softmax(run.of_inputs(grid.to(run.device)), 1)[:, 1].view(GRID, GRID)
    parts = {"x": x, "y": y, "probability": probability, "points": points}
    values = {name: np.round(part.cpu().numpy().astype(np.float64), 6).tolist() for name, part in parts.items()}
    return write_measurement(run.folder, "surface.json", {**values, "labels": run.data.train.labels.tolist()})
