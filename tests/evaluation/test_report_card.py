"""The report card: its numbers against the record's, its intervals against made differences, and what it leaves out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mixup.commands.evaluate import draw_measurements, evaluate
from mixup.errors import UserError
from mixup.evaluation import report_card as card_module
from mixup.evaluation.calibration import brier_scores, expected_calibration_error
from mixup.evaluation.corruptions import CORRUPTIONS
from mixup.evaluation.printed import report
from mixup.evaluation.report_card import (
    Card,
    Measure,
    binned_bootstrap,
    calibration,
    differences,
    make_card,
    mean_of,
    measure_run,
)
from mixup.evaluation.settings import CORRUPTIONS as CORRUPTION_NAMES
from mixup.evaluation.settings import EvalConfig
from mixup.run import records
from tests.evaluation.short_runs import opened, train

CELLS = [(name, eps) for name in ("fgsm", "ifgsm", "pgd") for eps in (0.0, 4.0)]
FEW = {"examples": 40, "pairs": 10}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {
        "erm": train(folder, "mixup=erm", "data.validation=0.1"),
        "mixup": train(folder, "mixup.alpha=1.0"),
        "table": train(folder, "data=iris", "model=mlp", "mixup=erm", "data.test_size=60"),
    }


@pytest.fixture
def runs(trained, tmp_path, monkeypatch) -> dict[str, Path]:
    """Copies, measured at fewer epsilons."""
    monkeypatch.setattr(card_module, "CELLS", CELLS)
    return {name: Path(shutil.copytree(folder, tmp_path / name)) for name, folder in trained.items()}


def test_the_clean_numbers_are_the_records(runs):
    make_card(opened(runs["erm"]), **FEW)
    values = json.loads((runs["erm"] / "card.json").read_text(), parse_constant=pytest.fail)
    record = records.read_record(runs["erm"])
    measures = values["measures"]
    assert measures["top1_error"] == record["test"]["top1_error"]["last"]
    assert measures["top5_error"] == record["test"]["top5_error"]
    assert measures["nll"] == record["test"]["nll"]
    assert measures["validation_top1_error"] == record["validation"]["top1_error"]["last"]
    with np.load(runs["erm"] / "predictions.npz") as predictions:
        logits, labels = (torch.from_numpy(predictions[name]) for name in ("logits", "labels"))
    probabilities = logits.double().softmax(1)
    assert measures["ece"] == pytest.approx(expected_calibration_error(probabilities, labels))
    assert measures["brier"] == pytest.approx(float(brier_scores(probabilities, labels).mean()))
    assert sum(values["reliability"]["count"]) == values["test_count"] == 200
    assert (values["examples"], values["pairs"]) == (40, 10)
    assert values["run"]["hash"] == record["hash"]
    assert draw_measurements(runs["erm"]) == [runs["erm"] / "card.png"]
    assert (runs["erm"] / "card.png").stat().st_size > 20_000


def test_no_attack_is_the_clean_error_of_the_same_examples(runs):
    net = opened(runs["erm"])
    (card,), _, _ = make_card(net, examples=None, pairs=10)
    for name in ("fgsm", "ifgsm", "pgd"):
        assert card.measures[f"attacks/{name}/0"].value == card.measures["top1_error"].value
        assert card.measures[f"attacks/{name}/4"].value > card.measures["top1_error"].value
    corrupted = [card.measures[f"corruptions/{name}/{severity}"].value for name in CORRUPTIONS for severity in (1, 2, 3)]
    assert card.measures["corruptions/mean"].value == pytest.approx(np.mean(corrupted))


def test_temperature_scaling_lowers_the_likelihood_of_an_overconfident_network(runs):
    net = opened(runs["mixup"])
    means, logits = net.tested
    net.__dict__["tested"] = means, 5 * logits
    measures = measure_run(net, net.test_rows(20), 0, 4, [net]).measures
    assert measures["temperature"].value > 2
    assert measures["nll_scaled"].value < float(np.mean(measures["nll"].examples))


def test_against_itself_every_difference_is_zero(runs):
    net = opened(runs["mixup"])
    cards, apart, _ = make_card(net, net, **FEW)
    assert apart.keys() == {name for name, measure in cards[0].measures.items() if measure.examples is not None}
    assert len(apart) > 50
    assert {name: d for name, d in apart.items() if (d.mean, d.low, d.high) != (0, 0, 0)} == {}


def test_two_runs_stand_side_by_side(runs, capsys):
    named = (f"run={runs['erm']}", f"against={runs['mixup']}")
    assert evaluate([*named, "device=cpu", "examples=40", "pairs=10"], usage="") == 0
    output = capsys.readouterr().out
    for text in ("B - A", "95 % interval", "the record's, exactly", "40 of the test examples", "JPEG, severity 3", "I-FGSM"):
        assert text in output
    file = runs["erm"] / f"card-against-{runs['mixup'].name}.json"
    values = json.loads(file.read_text(), parse_constant=pytest.fail)
    assert file.with_suffix(".png").stat().st_size > 20_000
    assert not (runs["erm"] / "card.json").exists()
    ours, theirs = values["measures"], values["against"]["measures"]
    assert values["against"]["run"]["label"] == records.read_record(runs["mixup"])["label"]
    for name, apart in values["differences"].items():
        assert apart["mean"] == pytest.approx(theirs[name] - ours[name], abs=1e-9)
        assert apart["low"] <= apart["mean"] <= apart["high"]
    assert "between/miss/0.5" not in values["differences"], "a validation split has been held out of one: other pairs"
    assert "between/miss/0.5" in theirs
    assert "validation_top1_error" in ours
    assert "validation_top1_error" not in theirs


def test_what_needs_images_is_left_out_of_a_table_and_said(runs, capsys):
    assert report(EvalConfig(run=str(runs["table"]), device="cpu", **FEW))
    assert "need images, which iris has not" in capsys.readouterr().out
    measures = json.loads((runs["table"] / "card.json").read_text())["measures"]
    assert not [name for name in measures if name.startswith(("corruptions/", "attacks/"))]
    assert "between/miss/0.5" in measures
    assert draw_measurements(runs["table"]) == [runs["table"] / "card.png"]


def test_runs_on_other_test_sets_are_not_compared(runs):
    with pytest.raises(UserError, match="name two runs with equal"):
        report(EvalConfig(run=str(runs["erm"]), against=str(runs["table"]), device="cpu"))


# -- differences ---------------------------------------------------------------------------------------------------------


def of(net, **measures: Measure) -> Card:
    return Card(net, measures, {})


def test_the_interval_of_a_made_difference(runs):
    net, rng = opened(runs["erm"]), np.random.default_rng(0)
    errors = 100.0 * (rng.random(400) < 0.3)
    better = np.where(rng.random(400) < 0.5, 0.0, errors)
    made = {"same": errors, "shifted": errors + 2, "better": better}
    apart = differences(
        of(net, **{name: mean_of(name, errors) for name in made}),
        of(net, **{name: mean_of(name, b) for name, b in made.items()}),
    )
    assert (apart["same"].mean, apart["same"].low, apart["same"].high) == (0, 0, 0)
    assert (apart["shifted"].low, apart["shifted"].high) == pytest.approx((2, 2))
    middle, spread = (better - errors).mean(), (better - errors).std() / 20
    assert apart["better"].mean == pytest.approx(middle)
    assert (apart["better"].low, apart["better"].high) == pytest.approx(
        (middle - 1.96 * spread, middle + 1.96 * spread), abs=0.5
    )


def test_measures_of_other_examples_have_no_interval(runs):
    net = opened(runs["erm"])
    card = of(net, a=mean_of("", np.zeros(4)), b=Measure("", 1.0), c=mean_of("", np.zeros(4)))
    other = of(net, a=mean_of("", np.ones(5)), b=Measure("", 2.0))
    assert differences(card, other) == {}


def test_the_gaps_of_a_measure_sum_to_the_calibration_error():
    rng = torch.Generator().manual_seed(0)
    logits, labels = 3 * torch.randn(300, 5, generator=rng), torch.randint(5, (300,), generator=rng)
    measure = calibration("", logits.double().softmax(1), labels)
    assert np.abs(measure.examples.mean(0)).sum() == pytest.approx(measure.value)


def test_the_interval_of_a_calibration_error_covers_what_it_should():
    """Two networks sure at 80 %, right in 80 % and in 60 % of cases: a difference of 20 points."""
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        a, b = (100 * ((rng.random(300) < right) - 0.8)[:, None] for right in (0.8, 0.6))
        found = binned_bootstrap(a, b, rng)
        assert found.low < found.mean < found.high
        covered += found.low - 2 < 20 < found.high + 2  # of the first, whose error is not 0 by chance, up to 2
    assert covered >= 35


def test_every_corruption_has_a_name_for_people():
    assert CORRUPTION_NAMES.keys() == CORRUPTIONS.keys()
