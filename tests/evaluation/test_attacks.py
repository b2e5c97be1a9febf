"""The attacks of section 3.5 against what must hold of any, and against torchattacks where it is installed."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mixup.data import DATASETS
from mixup.evaluation.attacks import ATTACKS, PixelModel, fgsm, ifgsm, pgd

CPU = torch.device("cpu")
FACTS = DATASETS["cifar10"]


@pytest.fixture(scope="module")
def victim() -> tuple[PixelModel, torch.Tensor, torch.Tensor]:
    """A small network that has learnt 200 images: (model, pixels, labels)."""
    torch.manual_seed(0)
    labels = torch.arange(200) % 10
    pixels = (127 + 60 * torch.randn(10, 3, 32, 32)[labels] + 30 * torch.randn(200, 3, 32, 32)).clamp(0, 255).round()
    net = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(392, 10))
    model = PixelModel(net, FACTS, CPU)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(pixels), labels).backward()
        optimizer.step()
    model.eval()
    return model, pixels, labels


def error(model, pixels, labels) -> float:
    with torch.no_grad():
        return float((model(pixels).argmax(1) != labels).float().mean())


@pytest.mark.parametrize("name", ATTACKS)
def test_epsilon_zero_is_the_clean_image(victim, name):
    model, pixels, labels = victim
    assert torch.equal(ATTACKS[name](model, pixels, labels, eps=0.0), pixels)
    assert error(model, pixels, labels) < 0.05


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("eps", [1.0, 4.0, 300.0])
def test_perturbations_stay_in_the_ball_and_pixels_valid(victim, name, eps):
    model, pixels, labels = victim
    found = ATTACKS[name](model, pixels, labels, eps=eps)
    assert (found - pixels).abs().max() <= eps + 1e-4
    assert found.min() >= 0
    assert found.max() <= 255
    assert not torch.equal(found, pixels)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_error_grows_with_epsilon(victim, name):
    model, pixels, labels = victim
    errors = [error(model, ATTACKS[name](model, pixels, labels, eps=eps), labels) for eps in (0.0, 2.0, 6.0, 20.0)]
    assert errors == sorted(errors)
    assert errors[-1] > errors[0] + 0.3


def test_stronger_attacks_are_stronger_in_the_white_box(victim):
    model, pixels, labels = victim
    for eps in (2.0, 6.0):
        errors = [error(model, attack(model, pixels, labels, eps=eps), labels) for attack in (fgsm, ifgsm, pgd)]
        assert errors[0] <= errors[1] + 0.01
        assert errors[1] <= errors[2] + 0.01


def test_fgsm_on_a_linear_model_is_the_closed_form():
    """The loss of a linear two-class model rises along w of the other class minus w of the true one, in pixels."""
    linear = nn.Linear(12, 2)
    model = PixelModel(nn.Sequential(nn.Flatten(), linear), DATASETS["cifar10"], CPU)
    pixels, labels = torch.full((2, 3, 2, 2), 100.0), torch.tensor([0, 1])
    direction = (linear.weight[1] - linear.weight[0]).sign().view(3, 2, 2).detach()
    expected = pixels + 4 * torch.stack([direction, -direction])
    assert torch.equal(fgsm(model, pixels, labels, eps=4), expected)
    torch.testing.assert_close(ifgsm(model, pixels, labels, eps=4), expected)


def test_normalisation_is_part_of_the_model(victim):
    model, pixels, _ = victim
    inputs = (pixels / 255 - torch.tensor(FACTS.mean).view(3, 1, 1)) / torch.tensor(FACTS.std).view(3, 1, 1)
    torch.testing.assert_close(model(pixels), model.model(inputs))
    torch.testing.assert_close(model.pixels(inputs), pixels, atol=1e-3, rtol=0)


def test_an_attack_leaves_no_trace_in_the_model(victim):
    model, pixels, labels = victim
    before = [tensor.clone() for tensor in model.state_dict().values()]
    for attack in ATTACKS.values():
        attack(model, pixels, labels, eps=4.0)
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values()))


def test_restarts_only_help(victim):
    model, pixels, labels = victim
    errors = []
    for restarts in (1, 4):
        source = torch.Generator().manual_seed(0)
        found = pgd(model, pixels, labels, eps=3.0, steps=3, restarts=restarts, source=source)
        errors.append(error(model, found, labels))
    assert errors[0] <= errors[1]


def test_agreement_with_foolbox(victim):
    foolbox = pytest.importorskip("foolbox")
    model, pixels, labels = victim
    theirs = foolbox.PyTorchModel(model, bounds=(0, 255))
    attacks = foolbox.attacks
    single = attacks.LinfFastGradientAttack(random_start=False).run(theirs, pixels, labels, epsilon=4.0)
    torch.testing.assert_close(fgsm(model, pixels, labels, eps=4), single, atol=1e-3, rtol=0)
    iterated = attacks.LinfBasicIterativeAttack(abs_stepsize=0.4, steps=10, random_start=False)
    same = ((ifgsm(model, pixels, labels, eps=4) - iterated.run(theirs, pixels, labels, epsilon=4.0)).abs() < 1e-3).float()
    assert same.mean() > 0.99, "a sign of a gradient near zero may differ"


def test_agreement_with_torchattacks(victim):
    torchattacks = pytest.importorskip("torchattacks")
    model, pixels, labels = victim
    on_unit_scale = nn.Module()
    on_unit_scale.forward = lambda images: model(255 * images)
    theirs = torchattacks.FGSM(on_unit_scale, eps=4 / 255)(pixels / 255, labels)
    torch.testing.assert_close(fgsm(model, pixels, labels, eps=4) / 255, theirs, atol=1e-5, rtol=0)
    theirs = torchattacks.BIM(on_unit_scale, eps=4 / 255, alpha=0.4 / 255, steps=10)(pixels / 255, labels)
    ours = ifgsm(model, pixels, labels, eps=4) / 255
    same = ((ours - theirs).abs() < 1e-5).float().mean()
    assert same > 0.99, "a sign of a gradient near zero may differ"
