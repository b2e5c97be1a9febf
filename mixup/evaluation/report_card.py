"""The report card of a finished run: error, likelihood and calibration, corruptions, attacks, and between training points.

Of two runs on one test set every measure is taken on the same examples, with the same noise and the same pairs, so that each
difference has a paired bootstrap interval over the choice of examples. It is for these two networks as they are, and says
nothing of other seeds, whose runs the ledger compares in pairs: two networks of one recipe also differ by such an interval.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from torch import Generator, Tensor

from mixup.evaluation.attacks import CELLS, Cell, attack_errors, errors_on_changed, misses
from mixup.evaluation.between import LAMS, at_pairs
from mixup.evaluation.calibration import bin_of, brier_scores, expected_calibration_error, reliability, scaled_probabilities
from mixup.evaluation.corruptions import CORRUPTIONS, SEVERITIES
from mixup.evaluation.finished_run import FinishedRun, digest
from mixup.evaluation.measurements import Values, place_for, stamp, write_measurement
from mixup.evaluation.settings import ATTACKS, EXAMPLES, PAIRS
from mixup.evaluation.settings import CORRUPTIONS as CORRUPTION_NAMES
from mixup.plan import generator, stream_seed
from mixup.training.metrics import negative_log_likelihood

BINS = 15  # of the calibration error
VALUES_AT_ONCE = 2**22  # resampled values in memory, 8 bytes each, and as many indices


@dataclass(frozen=True)
class Measure:
    """One line of the card.

    title: with its unit, for the table. examples: (N, P) float64 such that `value` is the sum over P of |the mean over N|,
    for the interval of a difference: a mean of values that are not negative has P = 1, the calibration error has its gaps by
    bin. None where there is no such sum.
    """

    title: str
    value: float
    examples: np.ndarray | None = None


Measures = dict[str, Measure]


@dataclass(frozen=True)
class Card:
    """All measures of one run. values: as card.json has them, with the number of test examples, of those for corruptions and
    attacks (`examples`), and of pairs of training examples."""

    run: FinishedRun
    measures: Measures
    values: Values


@dataclass(frozen=True)
class Difference:
    """Mean of b - a, and the ends of its interval, in the units of the values."""

    mean: float
    low: float
    high: float


def mean_of(title: str, values: Tensor | np.ndarray, mean: float | None = None) -> Measure:
    """A mean over examples (N,). mean: the same mean, taken elsewhere, that the card must repeat to the last bit."""
    column = np.asarray(values, np.float64)[:, None]
    return Measure(title, float(column.mean()) if mean is None else mean, column)


def make_card(
    run: FinishedRun, other: FinishedRun | None = None, *, examples: int | None = EXAMPLES, pairs: int = PAIRS
) -> tuple[list[Card], dict[str, Difference], Path]:
    """Measures a run, or two on the same examples, and writes `card.json`, or `card-against-<folder of the other>.json`, in
    the first one's directory. Returns the cards, the difference other - run of each measure, and the file."""
    rows, seed = run.test_rows(examples), run.config.data.seed
    runs = [run] if other is None else [run, other]
    cards = [measure_run(member, rows, seed, pairs, runs) for member in runs]
    values, by_measure = dict(cards[0].values), {}
    file = place_for(run.folder, "card", examples=values["examples"], pairs=pairs)
    if other is not None:
        by_measure, file = differences(*cards), run.folder / f"card-against-{other.folder.resolve().name}.json"
        values["against"] = {"run": stamp(other.folder), **cards[1].values}
        values["differences"] = {name: asdict(difference) for name, difference in by_measure.items()}
    write_measurement(run.folder, file.name, values)
    return cards, by_measure, file


def measure_run(run: FinishedRun, rows: np.ndarray, seed: int, pairs: int, runs: Sequence[FinishedRun]) -> Card:
    """One card. rows: test examples for corruptions and attacks. seed: of noise and halves. runs: all that are compared; an
    example that one of them could not read is left out."""
    readable = ~torch.stack([member.tested[1].isnan().any(1) for member in runs]).any(0)
    logits, labels = run.tested[1][readable].double(), run.data.test.labels[readable]
    measures, examples = clean_measures(run, logits, labels, seed), len(rows)
    if run.takes_images:
        attacked = 100 * attack_errors(run, [run], rows, CELLS)[0, :, 0]
        examples = attacked.shape[1]
        measures |= corruption_measures(run, rows, seed)
        for (name, eps), errors in zip(CELLS, attacked):
            title = f"{ATTACKS[name]}, epsilon {eps:g} of 255: top-1 error %"
            measures[f"attacks/{name}/{eps:g}"] = mean_of(title, errors)
    if len(run.data.train) > 1:
        for lam, miss, norm in zip(LAMS, *(values.cpu() for values in at_pairs(run, pairs))):
            title = f"between training points, lambda {lam:g}"
            measures[f"between/miss/{lam:g}"] = mean_of(f"{title}: misses %", miss)
            measures[f"between/gradient_norm/{lam:g}"] = mean_of(f"{title}: gradient norm", norm)
    values = {
        "test_count": len(labels),
        "examples": examples,
        "pairs": pairs,
        "measures": {name: measure.value for name, measure in measures.items()},
        "reliability": reliability(logits.softmax(1), labels, bins=BINS),
    }
    return Card(run, measures, values)


def clean_measures(run: FinishedRun, logits: Tensor, labels: Tensor, seed: int) -> Measures:
    """Of the unchanged test set, (N, C) float64 and (N,). The means are the record's if they are of the same examples.
    After temperature scaling, too, each half of the test set by the temperature of the other. seed: of the halves."""
    means = run.tested[0] if run.tested[0]["count"] == len(labels) else {}
    probabilities, wrong = logits.softmax(1), 100 * misses(logits, labels)
    brier = brier_scores(probabilities, labels)
    measures = {
        "top1_error": mean_of("top-1 error %", wrong[0], means.get("top1_error")),
        "top5_error": mean_of("top-5 error %", wrong[1], means.get("top5_error")),
        "nll": mean_of("negative log-likelihood (nats)", negative_log_likelihood(logits, labels), means.get("nll")),
        "ece": calibration(f"calibration error % (ECE, {BINS} bins)", probabilities, labels),
        "brier": mean_of("Brier score (0 to 2)", brier, float(brier.mean())),
    }
    if run.data.validation:
        error = run.evaluate(run.data.validation)[0]["top1_error"]
        measures["validation_top1_error"] = Measure("validation top-1 error %", error)
    if len(labels) > 1:
        probabilities, temperatures = scaled_probabilities(logits, labels, generator(seed, "temperature_halves"))
        likelihood = -probabilities.gather(1, labels[:, None])[:, 0].clamp(min=1e-300).log()
        measures |= {
            "temperature": Measure("temperature fitted (above 1: too sure)", float(np.mean(temperatures))),
            "nll_scaled": mean_of("negative log-likelihood, temperature scaled", likelihood),
            "ece_scaled": calibration("calibration error %, temperature scaled", probabilities, labels),
        }
    return measures


def calibration(title: str, probabilities: Tensor, labels: Tensor) -> Measure:
    """ECE in percent, with each example's signed gap in its bin of the confidence."""
    confidence, predicted = probabilities.double().max(1)
    gap = 100 * ((predicted == labels).double() - confidence)
    gaps = gap.new_zeros(len(labels), BINS).scatter_(1, bin_of(confidence, BINS)[:, None], gap[:, None])
    return Measure(title, expected_calibration_error(probabilities, labels, bins=BINS), gaps.numpy())


def corruption_measures(run: FinishedRun, rows: np.ndarray, seed: int) -> Measures:
    """Top-1 error under every corruption and severity, and over all of them."""
    # One stream of noise a cell, whatever the batches: two runs see the same.
    cells = [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES]
    streams: dict[Cell, Generator] = {cell: Generator().manual_seed(stream_seed(seed, *cell)) for cell in cells}

    def corrupt(cell: Cell, pixels: Tensor, labels: Tensor, first: int) -> Tensor:
        return CORRUPTIONS[cell[0]](pixels, int(cell[1]), streams[cell])

    errors = 100 * errors_on_changed(run, [run], rows, cells, corrupt, f"corruptions, {run.name}")[0, :, 0]
    measures = {
        f"corruptions/{name}/{severity}": mean_of(f"{CORRUPTION_NAMES[name]}, severity {severity}: top-1 error %", row)
        for (name, severity), row in zip(cells, errors)
    }
    return measures | {"corruptions/mean": mean_of("mean over corruptions: top-1 error %", errors.mean(0))}


def differences(card: Card, other: Card) -> dict[str, Difference]:
    """other - card, with its 95 % interval, of every measure that is of the same examples in both."""
    same_pairs = digest(card.run.data.train) == digest(other.run.data.train)
    by_measure = {}
    for name in [name for name in card.measures if name in other.measures]:
        a, b = card.measures[name].examples, other.measures[name].examples
        if a is None or b is None or a.shape != b.shape or (name.startswith("between/") and not same_pairs):
            continue
        rng = generator(card.run.config.data.seed, f"bootstrap/{name}")
        by_measure[name] = paired_bootstrap(a[:, 0], b[:, 0], rng) if a.shape[1] == 1 else binned_bootstrap(a, b, rng)
    return by_measure


def paired_bootstrap(
    a: np.ndarray, b: np.ndarray, rng: np.random.Generator, *, resamples: int = 10_000, level: float = 0.95
) -> Difference:
    """Mean of b - a with its percentile bootstrap interval, examples resampled in pairs (Efron & Tibshirani 1993, ch. 13).

    a, b: (N,), one value for each example, such as 0/1 errors, losses, or Brier scores; the same examples in both.
    Where all differences are equal the interval is that one value. For N below about 30 it is a little too narrow.
    Raises ValueError for other shapes, N = 0, values that are not finite, or a level outside (0, 1).
    """
    a, b = (np.asarray(values, dtype=np.float64) for values in (a, b))
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        raise ValueError(f"shapes {a.shape} and {b.shape}: give one value for each example, of the same examples")
    differences = b - a
    if not np.isfinite(differences).all():
        raise ValueError("values that are not finite: leave out those examples in both")
    if not 0 < level < 1:
        raise ValueError(f"level={level}: give a share between 0 and 1, such as 0.95")
    mean = float(differences.mean())
    if np.ptp(differences) == 0:
        return Difference(mean, mean, mean)
    # The mean's difference is the differences' mean, so one sample is enough. The percentile method rather than BCa, which
    # costs N^2 and is no better at the size of a test set: at N = 100 both cover 93 to 96 % of the time.
    interval = stats.bootstrap(
        (differences,),
        np.mean,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, VALUES_AT_ONCE // len(differences)),
        confidence_level=level,
        method="percentile",
        random_state=rng,  # the name that scipy before 1.15 knows
    ).confidence_interval
    return Difference(mean, float(interval.low), float(interval.high))


def binned_bootstrap(a: np.ndarray, b: np.ndarray, rng: np.random.Generator, *, resamples: int = 2000) -> Difference:
    """`paired_bootstrap` of sums over bins of |mean over examples|, such as calibration errors. a, b: (N, bins).

    Resampling makes every gap wider, in a and b unequally: the interval is moved by what that does to the mean.
    """

    def total(gaps: np.ndarray) -> np.ndarray:
        return np.abs(gaps).sum(-1)

    count, resampled = len(a), []
    for _ in range(resamples):
        times = np.bincount(rng.integers(count, size=count), minlength=count)  # how often each example is drawn
        resampled.append(total(times @ b / count) - total(times @ a / count))
    mean = float(total(b.mean(0)) - total(a.mean(0)))
    low, high = np.quantile(resampled, [0.025, 0.975]) - np.mean(resampled) + mean
    return Difference(mean, float(low), float(high))
