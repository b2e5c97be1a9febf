"""Opening finished runs, and the examples that evaluations take."""

import numpy as np
import pytest
import torch

from mixup.errors import UserError
from mixup.evaluation.finished_run import balanced_rows
from mixup.evaluation.printed import report
from mixup.evaluation.settings import EvalConfig
from mixup.run import records
from tests.evaluation.short_runs import opened


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"run": "table", "attack": ["fgsm"]}, "no data set of images"),
        ({"run": "erm", "attack": ["fgsm"], "source": "table"}, r"another test set \(iris, 60 examples\)"),
        ({"run": "erm", "attack": ["fgsm"], "source": "few"}, "another test set"),
        ({"run": "erm", "attack": ["fgsm"], "source": "nowhere"}, "source=nowhere: no such directory"),
        ({"run": "erm", "against": "few"}, "another test set"),
        ({"run": "erm", "between": True, "against": "table"}, r"another test set \(iris, 60 examples\)"),
    ],
)
def test_what_cannot_be_measured_together_is_refused(runs, settings, message):
    named = {key: str(runs.get(value, value)) if isinstance(value, str) else value for key, value in settings.items()}
    with pytest.raises(UserError, match=message):
        report(EvalConfig(**named))


def test_a_gan_has_no_report_card(tmp_path):
    records.write_record(tmp_path, {"config": {"gan": {"game": "paper"}}, "test": {"modes": {"last": 8}}})
    with pytest.raises(UserError, match=f"^run={tmp_path} is a GAN, and only classifiers") as error:
        report(EvalConfig(run=str(tmp_path)))
    assert "train.py -m experiment=figure5_gan" in str(error.value)


def test_normalisation_is_part_of_the_attacked_network(runs):
    run = opened(runs["erm"])
    pixels = torch.randint(256, (5, *run.data.info.input_shape), generator=torch.Generator().manual_seed(0)).float()
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (run.data.info.mean, run.data.info.std))
    inputs = (pixels / 255 - mean) / std
    torch.testing.assert_close(run.of_pixels(pixels), run.of_inputs(inputs))
    torch.testing.assert_close(run.pixels(inputs), pixels, atol=1e-3, rtol=0)


def test_examples_are_balanced_as_far_as_there_are_any():
    labels = np.repeat([0, 1, 2], [50, 30, 3])
    rows = balanced_rows(labels, 23, np.random.default_rng(0))
    assert np.bincount(labels[rows]).tolist() == [10, 10, 3]
    assert (np.diff(rows) > 0).all()
    assert len(balanced_rows(labels, 1000, np.random.default_rng(0))) == 83
