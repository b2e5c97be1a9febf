"""Test errors on adversarial examples (section 3.5, table 3), made on the tested network or on another one.

Epsilon is in pixels, 0 to 255, and labels are the true ones (`attacks` has the rest). In the white box a network is tested
on examples made on itself, in the black box on examples made on another network. Epsilon 0 is no attack: its error comes
from the network's logits of the unchanged examples, so it is the clean error exactly, whatever rounding does to pixels.
Gradients are taken in the precision that the source was trained in: of a bfloat16 run under autocast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixup.evaluation.attacks import ATTACKS, STEPS
from mixup.evaluation.doubts import doubts
from mixup.evaluation.finished_run import FinishedRun
from mixup.evaluation.measurements import Values, read_measurement, tracked, write_measurement
from mixup.plan import stream_seed
from mixup.training.metrics import topk_errors

Cell = tuple[str, float]  # an attack and its epsilon

FILE = "attacks.json"
EPS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # of a sweep and of the report card; the paper has 4 alone
CELLS: list[Cell] = [(name, eps) for name in STEPS for eps in EPS]


def attack_errors(source: FinishedRun, targets: Sequence[FinishedRun], rows: np.ndarray, cells: Sequence[Cell]) -> Tensor:
    """The top-1 and top-5 errors of each target on adversarial examples made on the source.

    rows: (N,) of the test set, which the runs share. Returns (targets, cells, 2, K) float32 on the CPU: 1 where the true
    label is not the top one, or not among the top five, for the K <= N examples that can be read.
    """
    wrong = torch.full((len(targets), len(cells), 2, len(rows)), float("nan"))
    for row, target in enumerate(targets):
        for column, (_, eps) in enumerate(cells):
            if eps == 0:
                wrong[row, column] = clean_misses(target, rows)
    attacked = [(column, name, eps) for column, (name, eps) in enumerate(cells) if eps]
    steps = ((batch, cell) for batch in pixel_batches(source, rows) for cell in attacked)
    total = len(attacked) * -(-len(rows) // source.gradient_batch)
    for (index, pixels, labels), (column, name, eps) in tracked(steps, f"attacks made on {source.name}", total):
        adversarial = attack(source, pixels, labels, name, eps, first=int(index[0]))
        with torch.no_grad():
            for row, target in enumerate(targets):
                wrong[row, column][:, index.cpu()] = misses(target.of_pixels(adversarial), labels).cpu()
    return wrong[..., ~wrong.isnan().flatten(0, 2).any(0)]


def pixel_batches(run: FinishedRun, rows: np.ndarray) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches of test examples as pixels: indices into `rows` (B,), pixels (B, C, H, W) 0 to 255, labels (B,)."""
    examples, size = run.served(run.data.test.select(rows)), run.gradient_batch
    chunks = [slice(first, min(first + size, len(rows))) for first in range(0, len(rows), size)]
    for index, inputs in examples.in_order(chunks):
        yield index, run.pixel_model.pixels(inputs), examples.labels[index]


def attack(run: FinishedRun, pixels: Tensor, labels: Tensor, name: str, eps: float, *, first: int) -> Tensor:
    """Adversarial pixels (B, C, H, W). first: the batch's first example, which seeds PGD's starting points."""
    seed = stream_seed(run.config.data.seed, name, first)
    source = {"source": torch.Generator(pixels.device).manual_seed(seed)} if name == "pgd" else {}
    return ATTACKS[name](run.of_pixels, pixels, labels, eps=eps, **source)


def misses(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, num_classes), (B,) -> (2, B) float32: top-1 and top-5 errors."""
    return torch.stack([topk_errors(logits, labels, k) for k in (1, 5)])


def clean_misses(run: FinishedRun, rows: np.ndarray) -> Tensor:
    """`misses` (2, N) of the unchanged test examples; not a number for one that cannot be read."""
    logits, labels = run.logits(rows), run.data.test.labels[torch.from_numpy(rows)]
    return torch.where(logits.isnan().any(1), torch.nan, misses(logits, labels))


# -- attacks.json --------------------------------------------------------------------------------------------------------


def results_of(source: FinishedRun, target: FinishedRun, cells: Sequence[Cell], wrong: Tensor) -> list[Values]:
    """One result a cell, errors in percent. wrong: (cells, 2, K) of this target."""
    means = (100 * wrong.double().mean(2)).tolist()
    return [
        {
            "attack": name,
            "eps": eps,
            "steps": STEPS[name],
            "source": "self" if source is target else source.record["label"],
            "source_hash": source.record["hash"],
            "source_weights_sha256": source.stamp["weights_sha256"],
            "top1_error": top1,
            "top5_error": top5,
        }
        for (name, eps), (top1, top5) in zip(cells, means)
    ]


def key(result: Values) -> tuple[Any, ...]:
    """A later result replaces an earlier one with the same key."""
    return tuple(result[name] for name in ("source", "source_hash", "attack", "eps"))


def earlier_results(run: FinishedRun, examples: int) -> list[Values]:
    """The results in attacks.json of the run's present weights, on the same number of examples."""
    values = read_measurement(run.folder, FILE) or {"examples": examples, "results": []}
    if values["examples"] == examples:
        return values["results"]
    print(f"{run.folder / FILE} held errors on {values['examples']:,} examples: replaced by these, on {examples:,}")
    return []


def measure_attacks(
    source: FinishedRun, targets: Sequence[FinishedRun], cells: Sequence[Cell], *, examples: int | None
) -> list[Values]:
    """Attacks the targets with examples made on the source, merges the results into each target's attacks.json, and returns
    the contents of these files."""
    wrong = attack_errors(source, targets, targets[0].test_rows(examples), cells)
    count, contents = wrong.shape[-1], []
    for target, errors in zip(targets, wrong):
        results = [*earlier_results(target, count), *results_of(source, target, cells, errors)]
        merged = {key(result): result for result in results}.values()
        ordered = sorted(merged, key=lambda result: (result["source"] != "self", *key(result)))
        for doubt in doubts(ordered):
            print(f"note on {target.name}, {count:,} examples: {doubt}", flush=True)
        contents.append(write_measurement(target.folder, FILE, {"examples": count, "results": ordered}))
    return contents
