"""Figure 1(b): the decision surface of finished runs."""

import json

import numpy as np
import pytest
import torch

from mixup.errors import UserError
from mixup.evaluation.surface import measure_surface
from tests.evaluation.short_runs import opened, train


def test_a_surface_is_a_probability_over_the_plane_around_the_points(tmp_path, copies):
    folder = train(tmp_path, "data=rings", "model=mlp", "trainer.epochs=30", "mixup=erm")
    measure_surface(opened(folder))
    values = json.loads((folder / "surface.json").read_text())
    probability, points = np.array(values["probability"]), np.array(values["points"])
    assert probability.shape == (64, 64)
    assert 0 <= probability.min() < 0.2 < 0.8 < probability.max() <= 1
    middle = np.abs(values["x"]).argmin(), np.abs(values["y"]).argmin()
    assert probability[middle[1], middle[0]] > 0.8, "class 1 is inside"
    for axis, ticks in enumerate((values["x"], values["y"])):
        assert ticks[0] < points[:, axis].min() < points[:, axis].max() < ticks[-1]
    assert set(values["labels"]) == {0, 1}
    with pytest.raises(UserError, match="two classes in the plane"):
        measure_surface(opened(copies["table"]))


def test_rows_of_a_surface_are_of_y(runs, tmp_path, monkeypatch):
    folder = train(tmp_path, "data=rings", "model=mlp", "trainer.epochs=1")
    net = opened(folder)
    monkeypatch.setattr(type(net), "of_inputs", lambda self, inputs: torch.stack([0 * inputs[:, 0], inputs[:, 1]], 1))
    probability = np.array(measure_surface(net)["probability"])
    assert (np.diff(probability, axis=0) > 0).all()
    assert np.allclose(np.diff(probability, axis=1), 0)
