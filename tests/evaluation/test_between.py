"""Figures 1(b) and 2: decision surfaces, gradients of a linear network in closed form, and misses counted by hand."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixup.errors import UserError
from mixup.evaluation.between import LAMS, between, draw_pairs, measure_surface, summary
from tests.evaluation.short_runs import opened, train

N, C, D = 30, 4, 6


@pytest.fixture
def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(D, C)


@pytest.fixture
def examples() -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(1)
    return torch.randn(N, D, generator=source), torch.randint(C, (N,), generator=source)


def measured(model, inputs: Tensor, labels: Tensor, pairs: Tensor, lams=LAMS, batch_size=7) -> SimpleNamespace:
    values = between(model, lambda index: inputs[index], labels, pairs.split(batch_size), lams)
    return SimpleNamespace(**summary(*values, lams))


def by_hand(linear: nn.Linear, inputs: Tensor, labels: Tensor, i: int, j: int, lam: float) -> tuple[bool, float]:
    """Whether a pair is missed, and |W^T (softmax - mixed one-hot label)|, in float64."""
    weight, bias = linear.weight.detach().double(), linear.bias.detach().double()
    logits = weight @ (lam * inputs[i] + (1 - lam) * inputs[j]).double() + bias
    one_hot = F.one_hot(labels, C).double()
    residual = logits.softmax(0) - (lam * one_hot[i] + (1 - lam) * one_hot[j])
    return int(logits.argmax()) not in (int(labels[i]), int(labels[j])), float((weight.T @ residual).norm())


def test_lambdas_are_those_of_the_figure():
    assert len(LAMS) == 21
    assert pytest.approx([0.05 * step for step in range(21)]) == LAMS
    assert (LAMS[0], LAMS[10], LAMS[20]) == (0, 0.5, 1)


def test_a_linear_network_has_the_gradients_and_misses_of_the_closed_form(linear, examples):
    inputs, labels = examples
    pairs = draw_pairs(N, 25, np.random.default_rng(0))
    found = measured(linear, inputs, labels, pairs)
    assert found.lam == list(LAMS)
    assert found.pairs == 25
    for row, lam in enumerate(LAMS):
        expected = [by_hand(linear, inputs, labels, i, j, lam) for i, j in pairs.tolist()]
        miss, norm = np.array([m for m, _ in expected]), np.array([g for _, g in expected])
        assert found.miss[row] == pytest.approx(100 * miss.mean())
        assert found.miss_error[row] == pytest.approx(100 * miss.std(ddof=1) / 5)
        assert found.gradient_norm[row] == pytest.approx(norm.mean(), rel=1e-5)
        assert found.gradient_error[row] == pytest.approx(norm.std(ddof=1) / 5, rel=1e-4)
    assert 0 < min(found.miss) < max(found.miss) < 100, "the case tells something"


def test_misses_counted_by_hand():
    """On a line, class 0 lies at 0, class 1 at 1, class 2 at 2, and the network names the nearest. Between 0 and 2 it says 1
    where lam * 0 + (1 - lam) * 2 is from 0.5 to 1.5; between neighbours it is never wrong."""
    places = torch.tensor([[0.0], [1.0], [2.0]])
    labels = torch.arange(3)

    def nearest(points: Tensor) -> Tensor:
        return -(points - places.T).square()

    pairs = torch.tensor([[0, 2], [0, 1], [2, 0], [1, 2]])
    found = measured(nearest, places, labels, pairs, lams=(0.0, 0.2, 0.3, 0.5, 0.7, 0.8, 1.0))
    assert found.miss == [0, 0, 50, 50, 50, 0, 0]
    assert found.miss_error[0] == 0
    assert found.miss_error[3] == pytest.approx(100 * np.std([1, 0, 1, 0], ddof=1) / 2)


def test_either_label_is_a_hit():
    """A network that always says 1 misses the one pair of three that has no 1 in it, at every lambda."""
    labels = torch.tensor([0, 1, 2, 1])
    found = measured(
        lambda points: torch.cat([0 * points, 1 + 0 * points, 0 * points], 1),
        torch.randn(4, 1),
        labels,
        torch.tensor([[0, 1], [3, 2], [0, 2]]),
    )
    assert found.miss == pytest.approx([100 / 3] * 21)
    assert found.gradient_norm == [0] * 21, "nor does it look at its input"


@pytest.mark.parametrize(("lam", "end"), [(1.0, 0), (0.0, 1)])
def test_at_the_ends_the_network_sees_the_examples_themselves(examples, lam, end):
    inputs, labels = examples
    pairs, seen = draw_pairs(N, 10, np.random.default_rng(2)), []

    def model(points: Tensor) -> Tensor:
        seen.append(points.detach().clone())
        return points[:, :C]

    measured(model, inputs, labels, pairs, lams=(lam,))
    assert torch.equal(torch.cat(seen), inputs[pairs[:, end]])


def test_a_pair_and_its_opposite_have_mirrored_curves(linear, examples):
    inputs, labels = examples
    pairs = draw_pairs(N, 20, np.random.default_rng(3))
    there, back = (measured(linear, inputs, labels, p) for p in (pairs, pairs.flip(1)))
    assert there.miss == back.miss[::-1]
    assert there.gradient_norm == pytest.approx(back.gradient_norm[::-1], rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_batches_change_nothing_and_fetch_each_end_once(linear, examples, batch_size):
    inputs, labels = examples
    pairs, fetched = draw_pairs(N, 12, np.random.default_rng(4)), []

    def inputs_at(index: Tensor) -> Tensor:
        fetched.append(index)
        return inputs[index]

    _, norms = between(linear, inputs_at, labels, pairs.split(batch_size))
    assert norms.mean(1).tolist() == pytest.approx(measured(linear, inputs, labels, pairs).gradient_norm, rel=1e-5)
    assert len(torch.cat(fetched)) == 2 * len(pairs)
    assert max(map(len, fetched)) == min(batch_size, len(pairs))


@pytest.mark.parametrize("no_grad", [True, False])
def test_images_pass_and_the_network_is_left_as_it_was(no_grad):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, C)).eval()
    inputs, labels = torch.randn(N, 3, 8, 8), torch.arange(N) % C
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    kept = inputs.clone()
    with torch.set_grad_enabled(not no_grad):
        found = measured(net, inputs, labels, draw_pairs(N, 9, np.random.default_rng(5)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())
    assert torch.equal(inputs, kept)
    frozen = measured(net.requires_grad_(False), inputs, labels, draw_pairs(N, 9, np.random.default_rng(5)))
    assert frozen == found


def test_the_gradient_of_an_image_is_that_of_finite_differences():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, C)).double()
    net.requires_grad_(False)
    inputs, labels = torch.randn(2, 1, 4, 4, dtype=torch.float64), torch.tensor([0, 3])
    lam, epsilon = 0.35, 1e-5

    def loss(point: Tensor) -> float:
        log_probs = net(point[None]).log_softmax(1)[0]
        return float(-lam * log_probs[0] - (1 - lam) * log_probs[3])

    point = lam * inputs[0] + (1 - lam) * inputs[1]
    steps = epsilon * torch.eye(16, dtype=torch.float64).view(16, 1, 4, 4)
    slopes = [(loss(point + step) - loss(point - step)) / (2 * epsilon) for step in steps]
    found = measured(net, inputs, labels, torch.tensor([[0, 1], [0, 1]]), lams=(lam,))
    assert found.gradient_norm[0] == pytest.approx(np.linalg.norm(slopes), rel=1e-3)
    assert found.gradient_error == [0]


def test_pairs_are_of_two_examples_all_equally_likely():
    pairs = draw_pairs(4, 60_000, np.random.default_rng(0))
    assert pairs.dtype == torch.int64
    kinds, counts = np.unique(pairs.numpy(), axis=0, return_counts=True)
    assert kinds.tolist() == [[i, j] for i in range(4) for j in range(4) if i != j]
    assert counts == pytest.approx(np.full(12, 5000), rel=0.06)
    assert torch.equal(pairs, draw_pairs(4, 60_000, np.random.default_rng(0)))
    assert not torch.equal(pairs, draw_pairs(4, 60_000, np.random.default_rng(1)))


def test_too_few_are_refused(linear, examples):
    with pytest.raises(ValueError, match="two examples"):
        draw_pairs(1, 10, np.random.default_rng(0))
    with pytest.raises(ValueError, match="standard error"):
        measured(linear, *examples, torch.tensor([[0, 1]]))


# -- figure 1(b) ---------------------------------------------------------------------------------------------------------


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
