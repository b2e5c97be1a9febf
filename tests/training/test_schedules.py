"""The paper's schedules, at the epochs where an off-by-one would show, and its optimizers."""

import dataclasses
import inspect

import pytest
import torch

from mixup.run.compose import configuration
from mixup.training.schedules import build_optimizer, learning_rate


def rate(progress: float, *overrides: str) -> float:
    return learning_rate(configuration(overrides).optim, progress)


@pytest.mark.parametrize("model", ["preact_resnet18"])
@pytest.mark.parametrize("data", ["cifar10", "cifar100"])
def test_cifar_is_divided_by_ten_after_100_and_150_epochs(data, model):
    expected = {0: 0.1, 99: 0.1, 99 + 390 / 391: 0.1, 100: 0.01, 149 + 390 / 391: 0.01, 150: 0.001, 199: 0.001}
    for progress, value in expected.items():
        assert rate(progress, f"data={data}", f"model={model}") == pytest.approx(value, rel=1e-12), progress


@pytest.mark.parametrize("data", ["cifar10", "cifar100"])
def test_wide_resnets_are_divided_after_60_120_and_180_epochs(data):
    expected = {59: 0.1, 60: 0.01, 119: 0.01, 120: 0.001, 179: 0.001, 180: 0.0001}
    for progress, value in expected.items():
        assert rate(progress, f"data={data}", "model=wrn28") == pytest.approx(value, rel=1e-12), progress


def test_no_milestones_is_constant():
    assert {rate(epoch, "optim.lr=0.3", "optim.milestones=[]") for epoch in (0, 1, 250, 499)} == {0.3}


@pytest.mark.parametrize("recipe", ["imagenet", "imagenet_200"])
def test_imagenet_rises_step_by_step_for_five_epochs(recipe):
    """Section 3.1: linearly from 0.1 to 0.4."""
    arguments = ("data=imagenet", "model=resnet50", f"recipe={recipe}")
    for progress in (0, 1 / 1251, 1, 2.5, 4, 5 - 1 / 1251):
        assert rate(progress, *arguments) == pytest.approx(0.1 + 0.3 * progress / 5, rel=1e-12), progress
    assert rate(5, *arguments) == 0.4


def test_without_a_warm_up_the_first_step_has_the_full_rate():
    assert rate(0, "optim.lr=0.3", "optim.milestones=[1]", "optim.warmup_epochs=0", "optim.warmup_lr=0.1") == 0.3


def test_a_warm_up_without_a_first_rate_rises_from_zero():
    optim = dataclasses.replace(configuration([]).optim, lr=0.4, warmup_epochs=5, warmup_lr=None)
    assert [learning_rate(optim, progress) for progress in (0, 2.5, 5)] == [0.0, 0.2, 0.4]


# -- optimizers ----------------------------------------------------------------------------------------------------------

SGD = ("optim.lr=0.3", "optim.momentum=0.8", "optim.weight_decay=0.01")
ADAM = ("data=iris", "model=mlp", "optim.lr=0.02", "optim.weight_decay=0.01")


@pytest.mark.parametrize(
    ("overrides", "build"),
    [
        ((*SGD, "optim.nesterov=true"), lambda p: torch.optim.SGD(p, 0.3, 0.8, weight_decay=0.01, nesterov=True)),
        ((*SGD, "optim.nesterov=false"), lambda p: torch.optim.SGD(p, 0.3, 0.8, weight_decay=0.01)),
        (ADAM, lambda p: torch.optim.Adam(p, 0.02, weight_decay=0.01)),
    ],
    ids=["nesterov", "sgd", "adam"],
)
def test_its_steps_are_torchs_own(overrides, build):
    config, start = configuration(overrides), torch.linspace(-1, 1, 6).reshape(2, 3)
    ours, theirs = torch.nn.Linear(3, 2, bias=False), torch.nn.Linear(3, 2, bias=False)
    for layer, optimizer in ((ours, build_optimizer(config.optim, ours)), (theirs, build(theirs.parameters()))):
        with torch.no_grad():
            layer.weight.copy_(start)
        for _ in range(4):
            optimizer.zero_grad()
            layer.weight.pow(4).sum().backward()
            optimizer.step()
    assert torch.allclose(ours.weight, theirs.weight, rtol=1e-6, atol=0)
    assert not torch.equal(ours.weight, start)


@pytest.mark.parametrize("overrides", [SGD, ADAM], ids=["sgd", "adam"])
def test_an_optimizer_is_fused_and_its_step_has_no_wrapper(overrides):
    """A fused one takes the learning rate as a tensor; wrappers take the host time in each step."""
    optimizer = build_optimizer(configuration(overrides).optim, torch.nn.Linear(3, 2))
    assert all(group["fused"] is True for group in optimizer.param_groups)
    assert optimizer.step.func.__wrapped__ is inspect.unwrap(type(optimizer).step)
