"""What runs are measured by. A new metric is one line of LIST, besides the code that computes it."""

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from mixup.errors import UserError, suggestion
from mixup.ledger.evidence import Evidence
from mixup.run.identity import config_hash
from mixup.run.records import MEDIAN_EPOCHS

EPSILON = 4.0  # of table 3
LAMBDAS = {"0": ("0", 0.0), "half": ("1/2", 0.5), "1": ("1", 1.0)}  # of figure 2: name, title, value
STATISTICS = {"last": "last epoch", "best": "best (chosen on test data)", "last10_median": "median of last 10 epochs"}


def of_record(run: Evidence, name: str, statistic: str) -> float | None:
    """From the record; `epoch_N` and `epochs_N_M`, a mean, from the curve if that has all of these epochs. Fewer epochs than
    ten have no median of the last ten."""
    part, _, key = name.partition(".")
    value = (run.record.get(part) or {}).get(key)
    if not isinstance(value, dict):
        return value if statistic == "last" else None
    if statistic == "last10_median" and run.record["epochs"] < MEDIAN_EPOCHS:
        return None
    if statistic in value or not statistic.startswith("epoch"):
        return value.get(statistic)
    first, last = (int(number) for number in (re.findall(r"\d+", statistic) * 2)[:2])
    epochs = zip(run.curve.get("epoch", []), run.curve.get(f"{part}_{key}", []))
    values = [value for epoch, value in epochs if value is not None and first <= (epoch or 0) <= last]
    return statistics.fmean(values) if len(values) == last - first + 1 else None


def of_attacks(run: Evidence, name: str, statistic: str) -> float | None:
    """Table 3's, at epsilon 4."""
    box, attack, error = name.split(".")
    wanted = (box == "white_box", attack, EPSILON)
    found = [one for one in attack_results(run) if (one["source"] == "self", one["attack"], one["eps"]) == wanted]
    return found[0][error] if found else None


def attack_results(run: Evidence) -> list[Mapping[str, Any]]:
    """In the white box, and in the black box where the examples were made on the run of `black_box`."""
    results = run.evaluations.get("attacks", {}).get("results", [])
    source = black_box(run, results)
    return [one for one in results if one["source"] == "self" or (source and one.get("source_hash") == source)]


def black_box(run: Evidence, results: Sequence[Mapping[str, Any]]) -> str | None:
    """The hash of the ERM run whose examples are a run's black box: of the next seed, with its settings but alpha, as in
    `evaluation.sweep`. Its label is no name: other runs have such labels, too."""
    seeds: dict[int, str] = {}
    for label, made_on in {(result["source"], result.get("source_hash")) for result in results}:
        seed = re.search(r"(?:^|,)seed=(\d+)", label)
        if seed and int(seed[1]) != run.seed:
            erm = replace(run.config, seed=int(seed[1]), mixup=replace(run.config.mixup, alpha=0.0))
            if config_hash(erm) == made_on:
                seeds[int(seed[1])] = made_on
    return seeds[min(seeds, key=lambda seed: (seed <= run.seed, seed))] if seeds else None


def of_between(run: Evidence, name: str, statistic: str) -> float | None:
    """Figure 2's, at one lambda."""
    key, _, place = name.removeprefix("between.").partition("_at_")
    values = run.evaluations.get("between")
    return dict(zip(values["lam"], values[key]))[LAMBDAS[place][1]] if values else None


def of_card(run: Evidence, name: str, statistic: str) -> float | None:
    return run.evaluations.get("card", {}).get("measures", {}).get(name.removeprefix("card."))


@dataclass(frozen=True)
class Metric:
    """name: as in `results/paper.yaml`. each_epoch: whether each epoch has a value, so that a title needs the statistic.
    read: a run, the name, a statistic -> the number; None where it was not measured."""

    name: str
    title: str
    unit: str = "%"
    decimals: int = 2
    better: Literal["lower", "higher"] = "lower"
    read: Callable[[Evidence, str, str], float | None] = of_record
    each_epoch: bool = False


LIST = (
    Metric("test.top1_error", "test error", each_epoch=True),
    Metric("test.top5_error", "test top-5 error", each_epoch=True),
    Metric("validation.top1_error", "validation error", each_epoch=True),
    Metric("train.top1_error", "train error"),
    Metric("train.real_label_error", "train error, real labels"),
    Metric("train.corrupted_label_error", "train error, corrupted labels"),
    *(
        Metric(f"{box}_box.{attack}.top{k}_error", f"{box} box, {title}, top-{k}", read=of_attacks)
        for box in ("white", "black")
        for attack, title in {"fgsm": "FGSM", "ifgsm": "I-FGSM"}.items()
        for k in (1, 5)
    ),
    *(Metric(f"between.miss_at_{lam}", f"misses at lambda {LAMBDAS[lam][0]}", read=of_between) for lam in LAMBDAS),
    *(
        Metric(f"between.gradient_norm_at_{lam}", f"gradient norm at lambda {LAMBDAS[lam][0]}", "", 4, read=of_between)
        for lam in LAMBDAS
    ),
    Metric("card.nll", "NLL (nats)", "", 4, read=of_card),
    Metric("card.brier", "Brier score", "", 4, read=of_card),
    Metric("card.ece", "calibration error", read=of_card),
    Metric("card.nll_scaled", "NLL (nats), temperature scaled", "", 4, read=of_card),
    Metric("card.ece_scaled", "calibration error, temperature scaled", read=of_card),
    Metric("card.corruptions/noise/3", "error, noise of severity 3", read=of_card),
    Metric("card.corruptions/blur/3", "error, blur of severity 3", read=of_card),
    Metric("card.corruptions/contrast/3", "error, low contrast of severity 3", read=of_card),
    Metric("card.corruptions/jpeg/3", "error, JPEG of severity 3", read=of_card),
    Metric("card.corruptions/mean", "error, mean over corrupted images", read=of_card),
    Metric("card.attacks/fgsm/4", "error, FGSM at 4", read=of_card),
    Metric("card.attacks/ifgsm/4", "error, I-FGSM at 4", read=of_card),
    Metric("card.attacks/pgd/4", "error, PGD at 4", read=of_card),
    Metric("card.between/miss/0.5", "misses at lambda 1/2", read=of_card),
    Metric("card.between/gradient_norm/0.5", "gradient norm at lambda 1/2", "", 4, read=of_card),
    Metric("test.modes", "modes covered", "", 1, "higher"),
    Metric("test.modes_loose", "modes covered loosely", "", 1, "higher"),
    Metric("test.good_share", "good samples %", decimals=1, better="higher"),
    Metric("test.in_window", "samples in the picture %", decimals=1, better="higher"),
    Metric("test.slope", "slope of d", "", 1),
)
METRICS = {metric.name: metric for metric in LIST}


def metric_of(name: str) -> Metric:
    """UserError for a name that is not in the list."""
    if name not in METRICS:
        raise UserError(f"metric={name}: no such metric{suggestion(name, METRICS)}; there are {', '.join(METRICS)}")
    return METRICS[name]


@dataclass(frozen=True)
class Measure:
    """What one number of a run is: a metric, and the statistic over its epochs."""

    metric: str
    statistic: str

    def read(self, run: Evidence) -> float | None:
        """None where it was not measured."""
        return metric_of(self.metric).read(run, self.metric, self.statistic)

    @property
    def decimals(self) -> int:
        return metric_of(self.metric).decimals

    @property
    def sign(self) -> int:
        """1 where lower is better, -1 where higher is: sign * (a - b) < 0 says that a is better."""
        return 1 if metric_of(self.metric).better == "lower" else -1

    @property
    def title(self) -> str:
        """`test error, last epoch`."""
        metric = metric_of(self.metric)
        if not metric.each_epoch:
            return metric.title
        statistic = STATISTICS.get(self.statistic) or self.statistic.replace("_", " ", 1).replace("_", " to ")
        return f"{metric.title}, {statistic}"


LAST, LAST10 = Measure("test.top1_error", "last"), Measure("test.top1_error", "last10_median")
MODES = Measure("test.modes", "last")
MEASURES = tuple(
    Measure(metric.name, statistic) for metric in LIST for statistic in (STATISTICS if metric.each_epoch else ("last",))
)
