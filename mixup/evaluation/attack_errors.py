"""Test errors on adversarial examples (section 3.5, table 3): of networks on examples made on one of them, or on another.

Epsilon is in pixels, 0 to 255, and labels are the true ones (`analysis.attacks` has the rest). In the white box a network is
tested on the examples made on itself, in the black box on those made on another one. Epsilon 0 is no attack: its error is
read off the network's logits of the unchanged examples, so it is the clean error exactly, whatever rounding does to pixels.
Gradients are taken in the precision that the source was trained in: of a bfloat16 run under autocast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixup.evaluation.attacks import ATTACKS
from mixup.evaluation.doubts import doubts
from mixup.evaluation.finished_run import FinishedRun
from mixup.evaluation.measurements import Values, read_measurement, tracked, write_measurement
from mixup.plan import stream_seed
from mixup.training.metrics import topk_errors

Cell = tuple[str, float]  # an attack and its epsilon
Result = dict[str, Any]

FILE = "attacks.json"
EPS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # of a sweep and of the report card; the paper has 4 alone
STEPS = {"fgsm": 1, "ifgsm": 10, "pgd": 20}
RESTARTS = 2  # of PGD
OPTIONS: Mapping[str, dict[str, int]] = {
    "fgsm": {},
    "ifgsm": {"steps": STEPS["ifgsm"]},
    "pgd": {"steps": STEPS["pgd"], "restarts": RESTARTS},
}
CELLS: list[Cell] = [(name, eps) for name in STEPS for eps in EPS]


def attack_errors(source: FinishedRun, targets: Sequence[FinishedRun], rows: np.ndarray, cells: Sequence[Cell]) -> Tensor:
    """Which test examples each target gets wrong, of those made on the source.

    rows: (N,) of the test set, which they all share. Returns (targets, cells, 2, K) float32 on the CPU: 1 where the true
    label is not the top one, or not among the top five, for the K <= N examples that can be read.
    """
    wrong = torch.full((len(targets), len(cells), 2, len(rows)), float("nan"))
    changed = [(column, name, eps) for column, (name, eps) in enumerate(cells) if eps]
    steps = ((batch, cell) for batch in pixel_batches(source, rows) for cell in changed)
    total = len(changed) * -(-len(rows) // source.gradient_batch)
    for (index, pixels, labels), (column, name, eps) in tracked(steps, f"attacks made on {source.name}", total):
        found = adversarial(
            source, pixels, labels, name, eps, seed=stream_seed(source.config.data.seed, name, int(index[0]))
        )
        with torch.no_grad():
            for row, target in enumerate(targets):
                wrong[row, column][:, index.cpu()] = misses(target.of_pixels(found), labels).cpu()
    for row, target in enumerate(targets):
        clean = clean_misses(target, rows)
        for column, (_, eps) in enumerate(cells):
            wrong[row, column] = clean if eps == 0 else wrong[row, column]
    return wrong[..., ~wrong.isnan().any(2).any(1).any(0)]


def pixel_batches(run: FinishedRun, rows: np.ndarray) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Test examples as pixels: which of the rows (B,), their pixels (B, C, H, W) 0 to 255, their labels (B,)."""
    examples, size = run.served(run.data.test.select(rows)), run.gradient_batch
    chunks = [slice(first, min(first + size, len(rows))) for first in range(0, len(rows), size)]
    for index, inputs in examples.in_order(chunks):
        yield index, run.pixel_model.pixels(inputs), examples.labels[index]


def adversarial(run: FinishedRun, pixels: Tensor, labels: Tensor, name: str, eps: float, *, seed: int) -> Tensor:
    """The attacked pixels (B, C, H, W). seed: of the points that PGD starts from."""
    source = {"source": torch.Generator(pixels.device).manual_seed(seed)} if name == "pgd" else {}
    return ATTACKS[name](run.of_pixels, pixels, labels, eps=eps, **OPTIONS[name], **source)


def misses(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, num_classes), (B,) -> (2, B) float32: top one, top five."""
    return torch.stack([topk_errors(logits, labels, k) for k in (1, 5)])


def clean_misses(run: FinishedRun, rows: np.ndarray) -> Tensor:
    """(2, N): the same of the unchanged test examples; not a number for one that cannot be read."""
    logits, labels = run.logits(rows), run.data.test.labels[torch.from_numpy(rows)]
    return torch.where(logits.isnan().any(1), torch.nan, misses(logits, labels))


# -- attacks.json --------------------------------------------------------------------------------------------------------


def results_of(source: FinishedRun, target: FinishedRun, cells: Sequence[Cell], wrong: Tensor) -> list[Result]:
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


def key(result: Result) -> tuple[Any, ...]:
    """What a result is of: a repeated measurement takes the place of those of the same key."""
    return tuple(result[name] for name in ("source", "source_hash", "attack", "eps"))


def kept_results(run: FinishedRun, examples: int) -> list[Result]:
    """What attacks.json says already of the run's present weights, of so many examples."""
    before = read_measurement(run.folder, FILE)
    if before is not None and before["examples"] != examples:
        print(f"{run.folder / FILE} held errors on {before['examples']:,} examples: replaced by these, on {examples:,}")
        return []
    return before["results"] if before is not None else []


def measure_attacks(
    source: FinishedRun, targets: Sequence[FinishedRun], cells: Sequence[Cell], *, examples: int | None
) -> list[Values]:
    """Attacks the targets with examples made on the source, and writes each one's attacks.json: these results, and those of
    other keys that were there already of the same number of examples. Returns what the files hold."""
    rows = targets[0].test_rows(examples)
    wrong = attack_errors(source, targets, rows, cells)
    found = []
    for row, target in enumerate(targets):
        results = [*kept_results(target, wrong.shape[-1]), *results_of(source, target, cells, wrong[row])]
        merged = {key(result): result for result in results}
        ordered = sorted(merged.values(), key=lambda result: (result["source"] != "self", *key(result)))
        for doubt in doubts(ordered):
            print(f"note on {target.name}, {wrong.shape[-1]:,} examples: {doubt}", flush=True)
        found.append(write_measurement(target.folder, FILE, {"examples": wrong.shape[-1], "results": ordered}))
    return found
