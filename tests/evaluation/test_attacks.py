"""The attacks of section 3.5 against what must hold of any, and against torchattacks where it is installed; errors under
attack of finished runs, and what attacks.json keeps."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.transforms.v2 import Normalize

from mixup.data import DATASETS
from mixup.evaluation.attacks import ATTACKS, CELLS, advantage, attack_errors, fgsm, ifgsm, measure_attacks, pgd
from mixup.evaluation.settings import ATTACKS as ATTACK_NAMES
from mixup.run import records
from tests.evaluation.short_runs import opened, train

FACTS = DATASETS["cifar10"]


def pixel_model(net: nn.Module) -> nn.Module:
    """The network behind CIFAR-10's normalisation of pixels from 0 to 255."""
    mean, std = ([255 * value for value in values] for values in (FACTS.mean, FACTS.std))
    return nn.Sequential(Normalize(mean, std), net)


@pytest.fixture(scope="module")
def victim() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A small network that has learnt 200 images: (model, pixels, labels)."""
    torch.manual_seed(0)
    labels = torch.arange(200) % 10
    pixels = (127 + 60 * torch.randn(10, 3, 32, 32)[labels] + 30 * torch.randn(200, 3, 32, 32)).clamp(0, 255).round()
    net = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(392, 10))
    model = pixel_model(net)
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


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("factor", [20.0, 200.0, 2000.0])
def test_a_network_that_is_sure_of_itself_does_not_look_robust(victim, name, factor):
    """The same predictions with larger logits, for which the gradient of cross-entropy underflows to 0 in float32."""
    model, pixels, labels = victim

    def attacked(net) -> float:
        adversarial = ATTACKS[name](net, pixels, labels, eps=16.0, rng=torch.Generator().manual_seed(0))
        return error(model, adversarial, labels)

    expected = attacked(model)
    assert 0.1 < expected < 0.95, "an error that could change either way"
    assert attacked(lambda pixels: factor * model(pixels)) > expected - 0.03


@pytest.mark.parametrize("factor", [1.0, 1e4])
def test_the_advantage_climbs_as_cross_entropy_in_float64(factor):
    rng = torch.Generator().manual_seed(0)
    logits = (factor * torch.randn(50, 7, generator=rng)).requires_grad_()
    labels = torch.randint(7, (50,), generator=rng)
    (ours,) = torch.autograd.grad(advantage(logits, labels).sum(), logits)
    (theirs,) = torch.autograd.grad(F.cross_entropy(logits.double(), labels, reduction="sum"), logits)
    wrong = logits.argmax(1) != labels  # in these nothing underflows
    assert torch.equal(ours.sign()[wrong & (factor == 1)], theirs.sign()[wrong & (factor == 1)].float())
    assert (ours.gather(1, labels[:, None]) == -1).all(), "no gradient vanishes"
    torch.testing.assert_close(
        F.softplus(advantage(logits, labels)), F.cross_entropy(logits, labels, reduction="none"), rtol=1e-5, atol=1e-5
    )


def test_fgsm_on_a_linear_model_is_the_closed_form():
    """The loss of a linear two-class model rises along w of the other class minus w of the true one, in pixels."""
    linear = nn.Linear(12, 2)
    model = pixel_model(nn.Sequential(nn.Flatten(), linear))
    pixels, labels = torch.full((2, 3, 2, 2), 100.0), torch.tensor([0, 1])
    direction = (linear.weight[1] - linear.weight[0]).sign().view(3, 2, 2).detach()
    expected = pixels + 4 * torch.stack([direction, -direction])
    assert torch.equal(fgsm(model, pixels, labels, eps=4), expected)
    torch.testing.assert_close(ifgsm(model, pixels, labels, eps=4), expected)


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
        rng = torch.Generator().manual_seed(0)
        found = pgd(model, pixels, labels, eps=3.0, steps=3, restarts=restarts, rng=rng)
        errors.append(error(model, found, labels))
    assert errors[0] <= errors[1]


def test_agreement_with_foolbox(victim):
    foolbox = pytest.importorskip("foolbox")
    model, pixels, labels = victim
    theirs = foolbox.PyTorchModel(model, bounds=(0, 255))
    attacks = foolbox.attacks
    single = attacks.LinfFastGradientAttack(random_start=False).run(theirs, pixels, labels, epsilon=4.0)
    assert ((fgsm(model, pixels, labels, eps=4) - single).abs() < 1e-3).float().mean() > 0.9999, "but for rounded gradients"
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


# -- of finished runs ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def attacked(runs):
    """Errors in percent: white box of ERM, and black box of the other ERM run and of mixup on the same examples."""
    source = opened(runs["erm"])
    targets = [source, *(opened(runs[name], like=source) for name in ("erm 1", "mixup"))]
    wrong = attack_errors(source, targets, source.test_rows(None), CELLS)
    assert wrong.shape == (3, len(CELLS), 2, 200)
    means = 100 * wrong.double().mean(3)
    return {
        name: {cell: errors.tolist() for cell, errors in zip(CELLS, rows)}
        for name, rows in zip(("white", "erm", "mixup"), means)
    }


def test_names_of_attacks_are_those_there_are():
    assert list(ATTACK_NAMES) == list(ATTACKS)


def test_epsilon_zero_is_the_clean_error_exactly(runs, attacked):
    for name, box in (("erm", "white"), ("erm 1", "erm"), ("mixup", "mixup")):
        test = records.read_record(runs[name])["test"]
        for attack in ATTACKS:
            assert attacked[box][attack, 0.0] == pytest.approx([test["top1_error"]["last"], test["top5_error"]], abs=1e-12)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("box", ["white", "erm", "mixup"])
def test_the_error_of_runs_grows_with_epsilon(attacked, attack, box):
    errors = [attacked[box][name, eps][0] for name, eps in CELLS if name == attack]
    assert all(before <= after + 1.5 for before, after in pairwise(errors))
    assert errors[-1] > errors[0]


def test_more_steps_are_stronger_in_the_white_box(attacked):
    for eps in {eps for _, eps in CELLS}:
        fgsm, ifgsm, pgd = (attacked["white"][name, eps][0] for name in ATTACKS)
        assert fgsm <= ifgsm + 1.5
        assert ifgsm <= pgd + 1.5


def test_a_transferred_attack_adds_no_more_error_than_the_white_box(attacked):
    for box in ("erm", "mixup"):
        for name, eps in CELLS:
            added = attacked[box][name, eps][0] - attacked[box][name, 0.0][0]
            assert added <= attacked["white"][name, eps][0] - attacked["white"][name, 0.0][0] + 1.5


def test_bfloat16_runs_are_attacked_in_bfloat16(tmp_path):
    folder = train(tmp_path, "trainer.precision=bfloat16", "trainer.epochs=2", "data.test_size=50")
    net = opened(folder)
    seen = []
    net.model.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    wrong = attack_errors(net, [net], net.test_rows(None), [("fgsm", 0.0), ("fgsm", 8.0)])
    assert set(seen) == {torch.bfloat16}
    assert wrong[0, 1, 0].mean() > wrong[0, 0, 0].mean()


def test_a_repeated_call_replaces_its_own_cells_alone(copies):
    net, other = opened(copies["erm"]), opened(copies["erm 1"])
    measure_attacks(net, [net], [("fgsm", 0.0), ("fgsm", 4.0)], examples=40)
    measure_attacks(other, [net], [("fgsm", 4.0)], examples=40)
    file = copies["erm"] / "attacks.json"
    values = json.loads(file.read_text())
    assert values["examples"] == 40
    assert [(r["attack"], r["eps"], r["source"]) for r in values["results"]] == [
        ("fgsm", 0.0, "self"),
        ("fgsm", 4.0, "self"),
        ("fgsm", 4.0, other.record["label"]),
    ]
    assert values["results"][2]["source_hash"] == other.record["hash"]
    values["results"][0]["top1_error"] = values["results"][1]["top1_error"] = -1.0
    file.write_text(json.dumps(values))
    measure_attacks(net, [net], [("fgsm", 4.0), ("ifgsm", 4.0)], examples=40)
    again = json.loads(file.read_text())["results"]
    assert [r["top1_error"] == -1 for r in again] == [True, False, False, False]
    measure_attacks(net, [net], [("fgsm", 4.0)], examples=60)
    assert len(json.loads(file.read_text())["results"]) == 1, "results of other examples are not set beside each other"


def test_a_quick_look_does_not_replace_a_measurement_on_more_examples(copies):
    net = opened(copies["erm"])
    measure_attacks(net, [net], [("fgsm", 4.0), ("ifgsm", 4.0)], examples=40)
    file, quick = copies["erm"] / "attacks.json", copies["erm"] / "attacks-20-examples.json"
    before = file.read_bytes()
    for attack in ("fgsm", "ifgsm"):
        measure_attacks(net, [net], [(attack, 8.0)], examples=20)
    assert file.read_bytes() == before
    assert [result["attack"] for result in json.loads(quick.read_text())["results"]] == ["fgsm", "ifgsm"]
