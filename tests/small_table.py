"""A table of three rows as `results/paper.yaml` might have it, and runs for it that never ran, in memory."""

from __future__ import annotations

from pathlib import Path

from ledger_factory import config_of, curve, label_of, record_of

from mixup.ledger.entries import Entry, Ledger
from mixup.ledger.evidence import Evidence
from mixup.ledger.metrics import Measure
from mixup.ledger.paper import Claim, Experiment, Row, Value
from mixup.ledger.verdicts import build
from mixup.run.identity import config_hash

FIGURE3 = "experiment=figure3_cifar10"
ALPHAS = {"erm": 0.0, "mixup": 1.0, "strong": 8.0}
MEDIAN, TOP5 = Measure("test.top1_error", "last10_median"), Measure("test.top5_error", "last")
CPU, JPEG = "scale=cpu", {"provenance": "CIFAR-10 (JPEG copy)"}


def value(number: float | None, measure: Measure = MEDIAN, **others) -> Value:
    return Value(metric=measure.metric, statistic=measure.statistic, value=number, source="V1", **others)


def row(method: str, number: float, top5: float) -> Row:
    settings = {"data.name": "cifar10", "model.name": "preact_resnet18", "mixup.alpha": ALPHAS[method]}
    kind = "erm" if method == "erm" else "mixup"
    values = [value(number), value(top5, TOP5)]
    return Row(id=method, data="CIFAR-10", model="a net", method=kind, settings=settings, values=values)


def claim(better: str | None, worse: str | None, measure: Measure = MEDIAN) -> Claim:
    return Claim(text="lower", better=better, worse=worse, metric=measure.metric, statistic=measure.statistic, source="V1")


def table(*claims: Claim, name: str = "figure3_cifar10") -> Experiment:
    rows = [row("erm", 5.6, 1.0), row("mixup", 4.2, 0.9), row("strong", 3.9, 0.8)]
    common = {"title": "a table", "section": "3.2", "metric": MEDIAN.metric}
    return Experiment(name=name, statistic=MEDIAN.statistic, rows=rows, claims=list(claims), **common)


def runs(
    method: str, errors: list[float], *overrides: str, first_seed: int = 0, missed: float = 0.0, **changes
) -> list[Evidence]:
    """A run for each error, from `first_seed` on. overrides: of figure 3's settings. missed: of the training examples, in
    percent, in the end."""
    made = []
    for seed, error in enumerate(errors, first_seed):
        config = config_of(FIGURE3, f"mixup.alpha={ALPHAS[method]}", *overrides, seed=seed)
        record = record_of(config, curve(config, error), **changes)
        columns = {"train_eval_top1_error": [90.0, missed]}
        made.append(Evidence(record, {}, columns, Path(config.name) / f"{label_of(config)}-{config_hash(config)}.json"))
    return made


def ledger(evidence: list[Evidence], paper: Experiment) -> Ledger:
    return build({paper.name: paper}, evidence, lambda experiment, row: {})


def entry(found: Ledger, method: str, measure: Measure = MEDIAN) -> Entry:
    """The only one of this row and measure."""
    (one,) = [entry for entry in found.entries if entry.row.id == method and entry.measure == measure]
    return one
