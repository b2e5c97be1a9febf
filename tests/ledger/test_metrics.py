"""The list of metrics: complete for what the paper prints, and read from where a run has them."""

from pathlib import Path

import pytest

from mixup.errors import UserError
from mixup.ledger.evidence import Evidence
from mixup.ledger.metrics import LAST10, METRICS, Measure, metric_of
from mixup.ledger.paper import read_paper

PAPER = read_paper(Path(__file__).resolve().parents[2] / "results" / "paper.yaml")
CURVE = {"epoch": [1.0, 2.0, 3.0], "test_top1_error": [30.0, 20.0, None]}
ATTACKS = {"results": [{"attack": "fgsm", "eps": 4.0, "source": "self", "top1_error": 90.0, "top5_error": 50.0}]}
RUN = Evidence(
    {"test": {"top1_error": {"last": 9.0}, "modes": {"last": 8}}, "validation": None}, {"attacks": ATTACKS}, CURVE, Path()
)


def test_every_metric_of_the_paper_is_in_the_list():
    printed = {value.metric for paper in PAPER.values() for row in paper.rows for value in row.values}
    assert printed <= METRICS.keys()
    with pytest.raises(UserError, match=r"no such metric; did you mean 'test\.top1_error'"):
        metric_of("test.top1_eror")


@pytest.mark.parametrize(
    ("metric", "statistic", "expected"),
    [
        ("test.top1_error", "last", 9.0),
        ("test.top1_error", "best", None),
        ("test.top1_error", "epochs_1_2", 25.0),
        ("test.top1_error", "epochs_2_3", None),  # the third epoch has no value
        ("test.modes", "last", 8),
        ("validation.top1_error", "last", None),
        ("white_box.fgsm.top5_error", "last", 50.0),
        ("black_box.fgsm.top5_error", "last", None),
        ("between.miss_at_half", "last", None),
        ("card.ece", "last", None),
    ],
)
def test_a_number_is_read_from_where_the_run_has_it(metric, statistic, expected):
    assert metric_of(metric).read(RUN, metric, statistic) == expected


@pytest.mark.parametrize(("epochs", "expected"), [(9, None), (10, 8.5)])
def test_fewer_than_ten_epochs_have_no_median_of_the_last_ten(epochs, expected):
    record = {"epochs": epochs, "test": {"top1_error": {"last": 9.0, "last10_median": 8.5}}}
    assert LAST10.read(Evidence(record, {}, {}, Path())) == expected


def test_titles_and_signs():
    assert Measure("test.top1_error", "epochs_86_99").title == "test error, epochs 86 to 99"
    assert Measure("white_box.ifgsm.top1_error", "last").title == "white box, I-FGSM, top-1"
    assert (Measure("test.modes", "last").sign, Measure("test.slope", "last").sign) == (-1, 1)
