"""Adversarial examples (section 3.5), FGSM and I-FGSM as in table 3 and PGD as the stronger check, and test errors on them.

Epsilon is in pixels, 0 to 255, and normalisation is part of the model under attack: a perturbation of 4 is four of 255 grey
levels in every channel, whatever a channel's deviation. The paper writes "epsilon = 4 for each pixel" without a scale; 0 to
255 is the only sensible reading (inference). Its ten steps of I-FGSM are equal, and their size is not stated: epsilon / 10
here, so that ten of them reach the bound. Labels are the true ones; pixels stay valid.

In the white box a network is tested on examples made on itself, in the black box on examples made on another network.
Gradients are taken in the precision that the source was trained in: of a bfloat16 run under autocast.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mixup.evaluation.doubts import doubts
from mixup.evaluation.finished_run import WHITE, FinishedRun
from mixup.evaluation.measurements import Values, place_for, read_measurement, stamp, tracked, write_measurement
from mixup.plan import stream_seed
from mixup.training.metrics import topk_errors

Model = Callable[[Tensor], Tensor]  # of pixels (B, C, H, W)
Random = Generator | None  # on the device of the pixels; FGSM and I-FGSM have no chance
Cell = tuple[str, float]  # an attack and its epsilon, or a corruption and its severity
Change = Callable[[Cell, Tensor, Tensor, int], Tensor]

STEPS = {"fgsm": 1, "ifgsm": 10, "pgd": 20}
EPS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # of a sweep and of the report card; the paper has 4 alone
CELLS: list[Cell] = [(name, eps) for name in STEPS for eps in EPS]


def fgsm(model: Model, pixels: Tensor, labels: Tensor, *, eps: float, rng: Random = None) -> Tensor:
    """One step of `eps` along the sign of the loss's gradient (Goodfellow et al. 2015). Returns (B, C, H, W)."""
    return climb(model, pixels, labels, start=pixels, eps=eps, step=eps, steps=STEPS["fgsm"])


def ifgsm(model: Model, pixels: Tensor, labels: Tensor, *, eps: float, rng: Random = None) -> Tensor:
    """Ten steps of eps / 10 (Kurakin et al. 2017), each from where the last one led."""
    return climb(model, pixels, labels, start=pixels, eps=eps, step=eps / STEPS["ifgsm"], steps=STEPS["ifgsm"])


def pgd(
    model: Model, pixels: Tensor, labels: Tensor, *, eps: float, steps: int = 20, restarts: int = 2, rng: Random = None
) -> Tensor:
    """Steps of 2.5 * eps / steps from random points of the ball, kept inside it (Madry et al. 2018): of all restarts, for
    each image, one that is misclassified, or else the one of the highest loss."""
    strongest, highest = pixels, torch.full((len(pixels),), -torch.inf, device=pixels.device)
    for _ in range(restarts):
        noise = torch.rand(pixels.shape, generator=rng, device=pixels.device)
        start = (pixels + eps * (2 * noise - 1)).clamp(0, WHITE)
        adversarial = climb(model, pixels, labels, start=start, eps=eps, step=2.5 * eps / steps, steps=steps)
        with torch.no_grad():
            logits = model(adversarial)
        loss = advantage(logits, labels)
        loss = torch.where(logits.argmax(1) != labels, torch.inf, loss)
        strongest = torch.where((loss > highest)[:, None, None, None], adversarial, strongest)
        highest = torch.maximum(loss, highest)
    return strongest


def climb(model: Model, pixels: Tensor, labels: Tensor, *, start: Tensor, eps: float, step: float, steps: int) -> Tensor:
    """Signed gradient steps, after each one back into the ball of `eps` around the pixels and into valid pixels."""
    low, high, adversarial = (pixels - eps).clamp(min=0), (pixels + eps).clamp(max=WHITE), start
    for _ in range(steps):
        with torch.enable_grad():
            leaf = adversarial.detach().requires_grad_()
            # The sum over examples: one does not change another's gradient.
            (gradient,) = torch.autograd.grad(advantage(model(leaf), labels).sum(), leaf)
        adversarial = torch.minimum(torch.maximum(adversarial + step * gradient.sign(), low), high)
    return adversarial


def advantage(logits: Tensor, labels: Tensor) -> Tensor:
    """The logsumexp of the other classes' logits, less the true one's. (B, C), (B,) -> (B,).

    Cross-entropy is log(1 + exp(advantage)): it rises with it, and its gradient is this one's times a positive number, which
    underflows for a network that is sure of itself. That network would then look robust because its gradient is 0.
    """
    true = labels[:, None]
    others = logits.float().scatter(1, true, -torch.inf)
    return others.logsumexp(1) - logits.float().gather(1, true)[:, 0]


ATTACKS: dict[str, Callable[..., Tensor]] = {"fgsm": fgsm, "ifgsm": ifgsm, "pgd": pgd}


def misses(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, num_classes), (B,) -> (2, B) float32: top-1 and top-5 errors."""
    return torch.stack([topk_errors(logits, labels, k) for k in (1, 5)])


def attack_errors(source: FinishedRun, targets: Sequence[FinishedRun], rows: np.ndarray, cells: Sequence[Cell]) -> Tensor:
    """`errors_on_changed` of each target on adversarial examples made on the source: (targets, cells, 2, K).
    The first example of each batch seeds PGD's starting points."""

    def attack(cell: Cell, pixels: Tensor, labels: Tensor, first: int) -> Tensor:
        name, eps = cell
        rng = Generator(pixels.device).manual_seed(stream_seed(source.config.data.seed, name, first))
        return ATTACKS[name](source.of_pixels, pixels, labels, eps=eps, rng=rng)

    return errors_on_changed(source, targets, rows, cells, attack, f"attacks made on {source.name}")


def errors_on_changed(
    source: FinishedRun, targets: Sequence[FinishedRun], rows: np.ndarray, cells: Sequence[Cell], change: Change, title: str
) -> Tensor:
    """The top-1 and top-5 errors of each target on test examples of the source whose pixels have been changed.

    rows: (N,) of the test set, which the runs share. change: from a cell, pixels (B, C, H, W), labels (B,), and the place of
    the batch's first example in `rows`, to pixels. Strength 0 is no change: its error comes from the logits of the unchanged
    examples, so it is the clean error exactly, whatever rounding does to pixels.
    Returns (targets, cells, 2, K) float32 on the CPU: 1 where the true label is not the top one, or not among the top five,
    for the K <= N examples that can be read.
    """
    wrong = torch.full((len(targets), len(cells), 2, len(rows)), float("nan"))
    changes = [(column, cell) for column, cell in enumerate(cells) if cell[1]]
    if unchanged := [column for column, (_, strength) in enumerate(cells) if not strength]:
        for errors, target in zip(wrong, targets):
            logits, labels = target.logits(rows), target.data.test.labels[rows]
            errors[unchanged] = torch.where(logits.isnan().any(1), torch.nan, misses(logits, labels))
    examples, size = source.served(source.data.test.select(rows)), source.gradient_batch
    chunks = [slice(first, min(first + size, len(rows))) for first in range(0, len(rows), size)]
    batches = ((index, source.pixels(inputs), examples.labels[index]) for index, inputs in examples.in_order(chunks))
    steps = ((batch, numbered) for batch in batches for numbered in changes)
    for (index, pixels, labels), (column, cell) in tracked(steps, title, len(chunks) * len(changes)):
        changed = change(cell, pixels, labels, int(index[0]))
        with torch.no_grad():
            for errors, target in zip(wrong, targets):
                errors[column][:, index.cpu()] = misses(target.of_pixels(changed), labels).cpu()
    return wrong[..., ~wrong.isnan().flatten(0, 2).any(0)]


def measure_attacks(
    source: FinishedRun, targets: Sequence[FinishedRun], cells: Sequence[Cell], *, examples: int | None
) -> list[Values]:
    """Attacks the targets with examples made on the source, merges the results into each target's attacks.json, and returns
    the contents of these files. Earlier results of the target's present weights stay, if they are of as many examples; if of
    more, these have a file of their own (`place_for`)."""
    wrong, contents = attack_errors(source, targets, targets[0].test_rows(examples), cells), []
    weights = stamp(source.folder)["weights_sha256"]
    for target, errors in zip(targets, wrong):
        label, count = "self" if source is target else source.record["label"], errors.shape[-1]
        made_on = {"source": label, "source_hash": source.record["hash"], "source_weights_sha256": weights}
        results = [
            {"attack": name, "eps": eps, "steps": STEPS[name], **made_on, "top1_error": top1, "top5_error": top5}
            for (name, eps), (top1, top5) in zip(cells, (100 * errors.double().mean(2)).tolist())
        ]
        file = place_for(target.folder, "attacks", examples=count)
        earlier = read_measurement(target.folder, file.name) or {"examples": count, "results": []}
        if earlier["examples"] == count:
            results = [*earlier["results"], *results]
        else:
            replaced = f"errors on {earlier['examples']:,} examples: replaced by these, on {count:,}"
            print(f"{file} held {replaced}")
        ordered = sorted({place(result): result for result in results}.values(), key=place)
        for doubt in doubts(ordered, count):
            print(f"note on {target.name}, {count:,} examples: {doubt}", flush=True)
        contents.append(write_measurement(target.folder, file.name, {"examples": count, "results": ordered}))
    return contents


def place(result: Values) -> tuple[Any, ...]:
    """Where a result stands in attacks.json, the white box first; a later result in the same place replaces it."""
    return (result["source"] != "self", *(result[name] for name in ("source", "source_hash", "attack", "eps")))
