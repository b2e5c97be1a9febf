"""What missing numbers would cost, and what others published for them."""

from __future__ import annotations

import re

import pytest

from mixup.ledger.paper import PAPER, read_paper
from mixup.pages import costs, texts

PAPERS = read_paper(PAPER)
VALUES = [
    (name, row.id, value) for name, paper in PAPERS.items() for row in paper.rows for value in row.values if value.others
]


def test_a_run_costs_its_epochs_and_their_tests(monkeypatch):
    monkeypatch.setattr(costs, "rates", lambda: {"ResNet-50": 1000.0})
    row = PAPERS["table1_imagenet"].row("resnet50_90_mixup")
    assert costs.seconds(row) == pytest.approx(90 * (1_281_167 + 50_000 / 3) / 1000)
    assert costs.cost(row) == "32 h"


def test_a_rate_that_nobody_measured_is_said(monkeypatch):
    monkeypatch.setattr(costs, "rates", dict)
    assert costs.cost(PAPERS["table1_imagenet"].row("resnext101_64x4d_90_mixup")) == "not measured"


def test_a_row_whose_epochs_the_paper_does_not_state_has_no_cost():
    assert costs.cost(PAPERS["table3_adversarial"].row("erm")) == "-"


def test_every_network_of_the_papers_gpu_rows_has_a_name_in_the_benchmark():
    from mixup.benchmark.throughput import NETWORKS

    named = {row.settings.get("model.name", "") for paper in PAPERS.values() for row in paper.rows} - {"mlp", ""}
    assert named == set(costs.SUBJECTS)
    assert set(costs.SUBJECTS.values()) <= NETWORKS.keys()


@pytest.mark.parametrize(("name", "row", "value"), VALUES, ids=lambda value: value if isinstance(value, str) else "")
def test_what_others_published_stands_in_our_list_of_reproductions(name, row, value):
    """As an error, or as the accuracy that it leaves."""
    text = (PAPER.parent / "PAPER.md").read_text().partition("## 4. Reproductions by others")[2].partition("\n## 5")[0]
    listed = {float(number) for number in re.findall(r"\d+\.\d+", text)}
    for who, number in value.others.items():
        assert {number, round(100 - number, 2)} & listed, f"{name}, {row}: {number} of {who}"


def test_examples_are_those_of_the_datasets():
    from mixup.data.datasets import DATASETS

    infos = {name: DATASETS[name] for name in costs.EXAMPLES}
    counts = {name: (info.train_count, info.validation_count + info.test_count) for name, info in infos.items()}
    assert counts == costs.EXAMPLES


def test_others_are_written_after_their_numbers():
    value = PAPERS["figure3_cifar10"].row("preact_resnet18_mixup").values[0]
    assert texts.others(value).startswith("4.24 hongyi-zhang/mixup, 4.17 tensorpack")
