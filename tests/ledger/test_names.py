"""One name for a method, whether a run of ours has it or a row of the paper."""

from pathlib import Path

import pytest
from ledger_factory import config_of

from mixup.ledger.names import experiment_title, family, method, setting_phrase, system
from mixup.ledger.paper import read_paper
from mixup.run.conversions import leaves

PAPER = read_paper(Path(__file__).resolve().parents[2] / "results" / "paper.yaml")


@pytest.mark.parametrize(
    ("overrides", "name", "kind", "whose"),
    [
        (("mixup=erm",), "ERM", "ERM", "ERM"),
        (("mixup=erm", "mixup.noise=0.1"), "ERM, noise 0.1", "ERM, noise", None),
        (
            ("mixup.alpha=8", "model=preact_resnet18", "model.dropout=0.3"),
            "mixup, alpha 8, dropout 0.3",
            "mixup, dropout",
            "the paper's",
        ),
        (("mixup.alpha=1", "mixup.ways=3"), "mixup, alpha 1, mixtures of 3", "mixup, mixtures of", None),
        (("mixup=timm",), "mixup, alpha 1, partner flip, smoothing 0.1", "mixup, partner, smoothing", "timm"),
    ],
)
def test_methods(overrides, name, kind, whose):
    settings = dict(
        leaves(config_of("data=digits", *([] if "model=preact_resnet18" in overrides else ["model=lenet"]), *overrides))
    )
    assert (method(settings), family(settings), system(settings)) == (name, kind, whose)


def test_rows_of_the_paper_have_the_same_names():
    assert method(PAPER["table2_label_noise"].row("noise20_mixup").settings) == "mixup, alpha 8"
    assert setting_phrase("data.label_noise", {"data.label_noise": 0.2}) == "20 % of labels replaced"


def test_titles_are_the_papers_or_those_of_the_experiments_files():
    assert experiment_title("figure3_cifar10", PAPER) == "Figure 3(a): CIFAR-10 test errors"
    assert experiment_title("alpha_sweep", PAPER) == "Beside the paper: how much does alpha matter?"
    assert experiment_title("my_own", PAPER) == "Runs of my_own"
