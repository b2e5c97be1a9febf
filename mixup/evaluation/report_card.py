"""The report card of a finished run: error, likelihood and calibration, corruptions, attacks, and between training points.

Of two runs on one test set every measure is taken on the same examples, with the same noise and the same pairs, so that each
difference has a paired bootstrap interval: over examples, for these two networks; seeds are another matter (`compare`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixup.evaluation.attack_errors import CELLS, attack_errors, misses, pixel_batches
from mixup.evaluation.between import LAMS
from mixup.evaluation.calibration import (
    Reliability,
    bin_of,
    brier_score,
    expected_calibration_error,
    reliability,
    scaled_probabilities,
)
from mixup.evaluation.compare import Difference, paired_bootstrap
from mixup.evaluation.corruptions import CORRUPTIONS, SEVERITIES
from mixup.evaluation.figure2 import PAIRS, at_pairs, pairs_of
from mixup.evaluation.finished_run import FinishedRun, digest
from mixup.evaluation.measurements import Values, tracked, write_measurement
from mixup.evaluation.settings import ATTACKS, EXAMPLES
from mixup.figures.pictures import CORRUPTIONS as CALLED
from mixup.figures.pictures import draw_card
from mixup.plan import generator, stream_seed
from mixup.training.metrics import negative_log_likelihood

BINS = 15  # of the calibration error
RESAMPLES = 2000  # of the calibration error


@dataclass(frozen=True)
class Measure:
    """title: with its unit, for the table. examples: (N, P) float64 such that value is the sum over P of |the mean over N|:
    a mean of values that are not negative has P = 1, the calibration error has its gaps by bin; None where there is no such
    sum, and so no interval."""

    title: str
    value: float
    examples: np.ndarray | None = None


Measures = dict[str, Measure]


@dataclass(frozen=True)
class Card:
    """What is measured of one run. examples: of the test set, for corruptions and attacks. pairs: of the
    training set."""

    run: FinishedRun
    measures: Measures
    reliability: Reliability
    test_count: int
    examples: int
    pairs: int

    def values(self) -> Values:
        return {
            "test_count": self.test_count,
            "examples": self.examples,
            "pairs": self.pairs,
            "measures": {name: measure.value for name, measure in self.measures.items()},
            "reliability": asdict(self.reliability),
        }


def mean_of(title: str, values: Tensor | np.ndarray, mean: float | None = None) -> Measure:
    """A mean over examples (N,). mean: the same, where it was taken before and is to agree to the last bit."""
    column = np.asarray(values, np.float64)[:, None]
    return Measure(title, float(column.mean()) if mean is None else mean, column)


def make_card(
    run: FinishedRun, other: FinishedRun | None = None, *, examples: int | None = EXAMPLES, pairs: int = PAIRS
) -> tuple[list[Card], dict[str, Difference], list[Path]]:
    """Measures a run, or two on the same examples; writes `card.json` and `card.png` in the first one's directory, or
    `card-against-<folder of the other>`. Returns the cards, of each measure other - run where there is one, and the files.
    """
    rows, seed = run.test_rows(examples), run.config.data.seed
    runs = [run] if other is None else [run, other]
    cards = [measure_run(one, rows, seed, pairs, runs) for one in runs]
    values, apart, file = cards[0].values(), {}, "card"
    if other is not None:
        apart, file = differences(*cards), f"card-against-{other.folder.resolve().name}"
        values["against"] = {"run": other.stamp, **cards[1].values()}
        values["differences"] = {name: asdict(difference) for name, difference in apart.items()}
    write_measurement(run.folder, f"{file}.json", values)
    draw_card(run.folder / f"{file}.png", [(card.run.name, card.run.config.mixup.alpha, card.values()) for card in cards])
    return cards, apart, [run.folder / f"{file}.json", run.folder / f"{file}.png"]


# -- one run -------------------------------------------------------------------------------------------------------------


def measure_run(run: FinishedRun, rows: np.ndarray, seed: int, pairs: int, runs: Sequence[FinishedRun]) -> Card:
    """The whole card. rows: of the test set, for what is costly. seed: of noise and halves. runs: all that are compared;
    an example that one of them could not read is left out."""
    readable = ~torch.stack([one.tested[1].isnan().any(1) for one in runs]).any(0)
    logits, labels = run.tested[1][readable].double(), run.data.test.labels[readable]
    measures = clean_measures(run, logits, labels) | scaled_measures(logits, labels, seed)
    if run.takes_images:
        measures |= corruption_measures(run, rows, seed) | attack_measures(run, rows)
    if len(run.data.train) > 1:
        measures |= between_measures(run, pairs)
    examples = measures["attacks/fgsm/0"].examples if run.takes_images else None
    diagram = reliability(logits.softmax(1), labels, bins=BINS)
    return Card(run, measures, diagram, len(labels), len(rows) if examples is None else len(examples), pairs)


def clean_measures(run: FinishedRun, logits: Tensor, labels: Tensor) -> Measures:
    """On the whole test set, (N, C) float64 and (N,). The means are the record's, where they are of the same examples."""
    means = run.tested[0] if run.tested[0]["count"] == len(labels) else {}
    probabilities, wrong = logits.softmax(1), 100 * misses(logits, labels)
    likelihood = negative_log_likelihood(logits, labels)
    distance = (probabilities - torch.nn.functional.one_hot(labels, logits.shape[1])).square().sum(1)
    found = {
        "top1_error": mean_of("top-1 error %", wrong[0], means.get("top1_error")),
        "top5_error": mean_of("top-5 error %", wrong[1], means.get("top5_error")),
        "nll": mean_of("negative log-likelihood (nats)", likelihood, means.get("nll")),
        "ece": calibration(f"calibration error % (ECE, {BINS} bins)", probabilities, labels),
        "brier": mean_of("Brier score (0 to 2)", distance, brier_score(probabilities, labels)),
    }
    if run.data.validation:
        error = run.evaluate(run.served(run.data.validation))[0]["top1_error"]
        found["validation_top1_error"] = Measure("validation top-1 error %", error)
    return found


def scaled_measures(logits: Tensor, labels: Tensor, seed: int) -> Measures:
    """After temperature scaling, each half of the test set by the temperature of the other; none for fewer than two."""
    if len(labels) < 2:
        return {}
    probabilities, temperatures = scaled_probabilities(logits, labels, generator(seed, "temperature_halves"))
    likelihood = -probabilities.gather(1, labels[:, None])[:, 0].clamp(min=1e-300).log()
    return {
        "temperature": Measure("temperature fitted (above 1: too sure)", float(np.mean(temperatures))),
        "nll_scaled": mean_of("negative log-likelihood, temperature scaled", likelihood),
        "ece_scaled": calibration("calibration error %, temperature scaled", probabilities, labels),
    }


def calibration(title: str, probabilities: Tensor, labels: Tensor) -> Measure:
    """ECE in percent, with each example's signed gap in its bin of the confidence."""
    confidence, predicted = probabilities.double().max(1)
    index = bin_of(confidence, BINS)
    gap = 100 * ((predicted == labels).double() - confidence)
    gaps = torch.zeros(len(labels), BINS, dtype=torch.float64).scatter_(1, index[:, None], gap[:, None])
    return Measure(title, expected_calibration_error(probabilities, labels, bins=BINS), gaps.numpy())


def corruption_measures(run: FinishedRun, rows: np.ndarray, seed: int) -> Measures:
    """Top-1 error under every corruption and severity, and over all of them."""
    cells = [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES]
    # One stream of noise a cell, whatever the batches: two runs see the same.
    sources = {cell: torch.Generator().manual_seed(stream_seed(seed, *cell)) for cell in cells}
    wrong: dict[tuple[str, int], list[Tensor]] = {cell: [] for cell in cells}
    steps = ((batch, cell) for batch in pixel_batches(run, rows) for cell in cells)
    total = len(cells) * -(-len(rows) // run.gradient_batch)
    for (_, pixels, labels), cell in tracked(steps, f"corruptions, {run.name}", total):
        name, severity = cell
        with torch.no_grad():
            logits = run.of_pixels(CORRUPTIONS[name](pixels, severity, sources[cell]))
        wrong[cell].append(100 * misses(logits, labels)[0].cpu())
    whole = {cell: torch.cat(parts) for cell, parts in wrong.items()}
    return {
        **{
            f"corruptions/{n}/{s}": mean_of(f"{CALLED[n]}, severity {s}: top-1 error %", errors)
            for (n, s), errors in whole.items()
        },
        "corruptions/mean": mean_of("mean over corruptions: top-1 error %", torch.stack(list(whole.values())).mean(0)),
    }


def attack_measures(run: FinishedRun, rows: np.ndarray) -> Measures:
    """Top-1 error on examples made on the run itself."""
    wrong = 100 * attack_errors(run, [run], rows, CELLS)[0, :, 0]
    return {
        f"attacks/{name}/{eps:g}": mean_of(f"{ATTACKS[name]}, epsilon {eps:g} of 255: top-1 error %", errors)
        for (name, eps), errors in zip(CELLS, wrong)
    }


def between_measures(run: FinishedRun, pairs: int) -> Measures:
    """Figure 2 at every lambda, and over all of them."""
    rows = zip(LAMS, *at_pairs(run, pairs_of(run, pairs)))
    found: Measures = {}
    for lam, misses_at, norms_at in rows:
        found[f"between/miss/{lam:g}"] = mean_of(f"between training points, lambda {lam:g}: misses %", misses_at)
        found[f"between/gradient_norm/{lam:g}"] = mean_of(
            f"between training points, lambda {lam:g}: gradient norm", norms_at
        )
    return found


# -- two runs ------------------------------------------------------------------------------------------------------------


def differences(card: Card, other: Card) -> dict[str, Difference]:
    """other - card, with its 95 % interval, of every measure that is of the same examples in both."""
    seed = card.run.config.data.seed
    same_pairs = digest(card.run.data.train) == digest(other.run.data.train)
    found = {}
    for name, measure in card.measures.items():
        a, beside = measure.examples, other.measures.get(name)
        b = beside.examples if beside is not None else None
        if a is None or b is None or a.shape != b.shape or (name.startswith("between/") and not same_pairs):
            continue
        rng = generator(seed, f"bootstrap/{name}")
        found[name] = paired_bootstrap(a[:, 0], b[:, 0], rng) if a.shape[1] == 1 else binned_bootstrap(a, b, rng)
    return found


def binned_bootstrap(a: np.ndarray, b: np.ndarray, rng: np.random.Generator) -> Difference:
    """`paired_bootstrap` of a sum over bins of |mean over examples|, b's minus a's, each (N, bins): examples are resampled
    in pairs. Resampling makes every gap wider, in a and b not alike: the interval is moved by what that does to the mean."""

    def total(gaps: np.ndarray) -> np.ndarray:
        return np.abs(gaps).sum(-1)

    count, found = len(a), []
    for _ in range(RESAMPLES):
        times = np.bincount(rng.integers(count, size=count), minlength=count)  # how often each example is drawn
        found.append(total(times @ b / count) - total(times @ a / count))
    mean = float(total(b.mean(0)) - total(a.mean(0)))
    low, high = np.quantile(found, [0.025, 0.975]) - np.mean(found) + mean
    return Difference(mean, float(low), float(high))
