"""The paper's schedules, at the epochs where an off-by-one would show."""

import pytest

from mixup.run.compose import configuration
from mixup.training.schedules import learning_rate


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
