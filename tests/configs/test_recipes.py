"""Every cell of the paper: its recipe against PAPER.md sections 2.2 to 2.7, its network's size against the literature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from mixup.data import dataset_info
from mixup.plan import draw_plan
from mixup.run.compose import configuration
from mixup.run.config import TrainConfig
from mixup.training.dry_run import flops_per_image, parameter_count
from mixup.training.network import build
from mixup.training.schedules import build_optimizer, learning_rate
from mixup.training.setup import plan_settings


@dataclass(frozen=True)
class Recipe:
    """rates: (epochs done, learning rate), around every change."""

    epochs: int
    batch_size: int
    optimizer: dict[str, object]
    rates: dict[float, float]
    alpha: float
    unmixed_epochs: int = 0


SGD = {"name": "sgd", "momentum": 0.9, "nesterov": False, "weight_decay": 1e-4, "decay_batchnorm": True}
GOYAL = {**SGD, "nesterov": True, "decay_batchnorm": False}
ADAM = {"name": "adam", "momentum": None, "nesterov": None, "weight_decay": 0.0}

CIFAR = Recipe(200, 128, SGD, {0: 0.1, 99.99: 0.1, 100: 0.01, 149.99: 0.01, 150: 0.001, 199: 0.001}, 1.0)
CIFAR_WRN = Recipe(200, 128, SGD, {0: 0.1, 59.99: 0.1, 60: 0.01, 119: 0.01, 120: 1e-3, 179: 1e-3, 180: 1e-4}, 1.0)
RISE = {0: 0.1, 2.5: 0.25, 4.999: 0.39994, 5: 0.4}
IMAGENET = Recipe(90, 1024, GOYAL, {**RISE, 29.99: 0.4, 30: 0.04, 59: 0.04, 60: 0.004, 79: 0.004, 80: 4e-4}, 0.2)
IMAGENET_X = Recipe(90, 1024, GOYAL, IMAGENET.rates, 0.4)
LONG = {**RISE, 59.99: 0.4, 60: 0.04, 119: 0.04, 120: 0.004, 179: 0.004, 180: 4e-4}
SPEECH = Recipe(30, 100, ADAM, {0: 3e-3, 9.99: 3e-3, 10: 3e-4, 19: 3e-4, 20: 3e-5, 29: 3e-5}, 0.1, unmixed_epochs=5)
# Our deviation: the figure's LeNet dies at 3e-3 from the first step, so its rate rises over the first epoch.
SPEECH_LENET = Recipe(30, 100, ADAM, {**SPEECH.rates, 0: 0.0, 0.5: 1.5e-3, 1: 3e-3}, 0.1, unmixed_epochs=5)
UCI = Recipe(10, 16, ADAM, {0: 1e-3, 9: 1e-3}, 0.2)

# Arguments, recipe, millions of parameters. Sizes: kuangliu/pytorch-cifar; Zagoruyko & Komodakis 2016, table 4; Huang et
# al. 2017, table 2; timm's and torchvision's tables for ImageNet. PAPER.md gives none for the others.
CELLS: dict[str, tuple[Recipe, float | None]] = {
    "data=cifar10 model=preact_resnet18": (CIFAR, 11.17),
    "data=cifar10 model=wrn28": (CIFAR_WRN, 36.5),
    "data=cifar10 model=densenet": (CIFAR, 25.6),
    "data=cifar100 model=preact_resnet18": (CIFAR, 11.22),
    "data=cifar100 model=wrn28": (CIFAR_WRN, 36.5),
    "data=cifar100 model=densenet": (CIFAR, 25.8),
    "data=imagenet model=resnet50": (IMAGENET, 25.56),
    "data=imagenet model=resnet101": (IMAGENET, 44.55),
    "data=imagenet model=resnext101_32x4d": (IMAGENET_X, 44.18),
    "data=imagenet model=resnext101_64x4d": (IMAGENET_X, 83.46),
    "data=imagenet model=resnet50 recipe=imagenet_200": (Recipe(200, 1024, GOYAL, LONG, 0.2), 25.56),
    "data=imagenet model=resnet101 recipe=imagenet_200": (Recipe(200, 1024, GOYAL, LONG, 0.2), 44.55),
    "data=imagenet model=resnext101_32x4d recipe=imagenet_200": (Recipe(200, 1024, GOYAL, LONG, 0.4), 44.18),
    "data=speech_commands model=lenet": (SPEECH_LENET, None),
    "data=speech_commands model=vgg11": (SPEECH, None),
    "data=abalone model=mlp": (UCI, None),
    "data=arcene model=mlp": (UCI, None),
    "data=arrhythmia model=mlp": (UCI, None),
    "data=htru2 model=mlp": (UCI, None),
    "data=iris model=mlp": (UCI, None),
    "data=phishing model=mlp": (UCI, None),
}


def meta(config: TrainConfig) -> torch.nn.Module:
    with torch.device("meta"):
        return build(config, dataset_info(config.data.name))


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_is_trained_as_the_paper_says(cell):
    recipe, _ = CELLS[cell]
    config = configuration(cell.split())
    assert (config.trainer.epochs, config.trainer.batch_size) == (recipe.epochs, recipe.batch_size)
    assert {name: getattr(config.optim, name) for name in recipe.optimizer} == recipe.optimizer
    assert {at: pytest.approx(rate) for at, rate in recipe.rates.items()} == {
        at: learning_rate(config.optim, at) for at in recipe.rates
    }
    assert (config.mixup.alpha, config.mixup.lam_per) == (recipe.alpha, "batch")
    assert config.mixup.warmup_epochs == recipe.unmixed_epochs
    assert (config.data.label_noise, config.data.validation, config.data.train_size) == (0.0, 0.0, None)
    assert config.data.augment
    assert config.model.dropout in (None, 0.0) or config.model.name == "speech_lenet"
    assert configuration([*cell.split(), "mixup=erm"]).mixup.alpha == 0, "no recipe overrides ERM"


@pytest.mark.parametrize("cell", CELLS)
def test_a_cells_network_maps_its_data_to_its_classes_and_has_the_size_of_the_literature(cell):
    config = configuration(cell.split())
    info, model = dataset_info(config.data.name), meta(config).eval()
    assert model(torch.empty(2, *info.input_shape, device="meta")).shape == (2, info.num_classes)
    if (millions := CELLS[cell][1]) is not None:
        digits = len(str(millions).split(".")[1])
        assert round(parameter_count(model) / 1e6, digits) == millions


def test_speech_networks_have_the_shapes_of_gcommands():
    """PAPER.md 2.4: the first fully connected layer has 16,280 inputs in LeNet, 7,680 in VGG-11."""
    for model, inputs in (("lenet", 16_280), ("vgg11", 7_680)):
        layers = meta(configuration(["data=speech_commands", f"model={model}"])).modules()
        assert next(layer for layer in layers if isinstance(layer, torch.nn.Linear)).in_features == inputs


def test_the_tabular_network_has_two_hidden_layers_of_128():
    layers = [m for m in meta(configuration(["data=iris", "model=mlp"])).modules() if isinstance(m, torch.nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(4, 128), (128, 128), (128, 3)]


def test_the_first_epochs_of_speech_are_unmixed():
    config = configuration(["data=speech_commands", "model=lenet"])
    plans = [
        draw_plan(plan_settings(config, dataset_info("speech_commands"), np.zeros(1000, int)), epoch) for epoch in range(7)
    ]
    assert [bool((plan.lam == 1).all()) for plan in plans] == [True] * 5 + [False] * 2


def test_weight_decay_spares_batchnorm_on_imagenet_alone():
    for arguments, spared in ((["data=imagenet", "model=resnet50"], True), (["data=cifar10", "model=wrn28"], False)):
        config = configuration(arguments)
        model = meta(config)
        groups = build_optimizer(config.optim, model).param_groups
        norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        undecayed = [p for group in groups if group["weight_decay"] == 0 for p in group["params"]]
        assert len(undecayed) == (2 * len(norms) if spared else 0)
        assert {id(p) for p in undecayed} <= {id(p) for m in norms for p in m.parameters()}
        assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
        assert all(group["weight_decay"] in (0, 1e-4) for group in groups)


def test_adam_has_torchs_other_defaults():
    config = configuration(["data=iris", "model=mlp"])
    (group,) = build_optimizer(config.optim, build(config, dataset_info("iris"))).param_groups
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (1e-3, (0.9, 0.999), 1e-8, 0.0)


def test_the_speech_lenet_is_one_run_by_either_name():
    first, second = (configuration(["data=speech_commands", f"model={name}"]) for name in ("lenet", "speech_lenet"))
    assert first == second


def test_operations_are_counted_where_a_parameter_passes_between_modules():
    """As in several of timm's transformers."""

    class Scaled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.inner = torch.nn.Parameter(torch.ones(3, 4)), Product()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x, self.scale)

    class Product(torch.nn.Module):
        def forward(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            return x @ weight

    assert flops_per_image(Scaled(), (3,)) == 2 * 3 * 4
