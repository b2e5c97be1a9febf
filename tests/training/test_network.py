"""What is checked of a network before it trains: the layer that is mixed, and the layout that a CPU can compute."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mixup.data import dataset_info
from mixup.errors import UserError
from mixup.models import build_model
from mixup.run import records
from mixup.run.compose import configuration
from mixup.training import device as devices
from mixup.training import network
from mixup.training import train as run
from mixup.training.distributed import Group

SMALL = (
    *("data.train_size=40", "data.test_size=20", "trainer.batch_size=20", "trainer.epochs=1", "optim.milestones=[]"),
    *("trainer.train_eval_size=0", "tracking.wandb=disabled"),
)
DENSENET = ("model=densenet", "model.depth=10", "model.growth=4")


class Branches(nn.Module):
    """Has layers that are called once, twice, and never, and some whose output is no batch of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.twice, self.never = nn.Flatten(), nn.Identity(), nn.Identity()
        self.total, self.pair, self.last = Call(torch.sum), Call(lambda inputs: (inputs, inputs)), nn.Linear(64, 10)
        self.counts = Call(lambda inputs: inputs.argmax(1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        inputs = self.twice(self.twice(self.flat(inputs)))
        self.total(inputs), self.pair(inputs), self.counts(inputs)
        return self.last(inputs)


class Call(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: torch.Tensor) -> object:
        return self.function(inputs)


@pytest.mark.parametrize(
    ("layer", "fault"),
    [
        ("never", "is called 0 times"),
        ("twice", "is called 2 times"),
        ("total", "returns no single tensor"),
        ("pair", "returns no single tensor"),
        ("counts", "returns no single tensor"),
    ],
)
def test_a_layer_whose_output_cannot_be_mixed_is_refused_by_name(monkeypatch, layer, fault):
    monkeypatch.setattr(network, "build", lambda config, info: Branches())
    config, info = configuration(["data=digits"]), dataset_info("digits")
    assert isinstance(network.layer_named("flat", Branches(), config, info), nn.Flatten)
    with pytest.raises(UserError, match=f"mixup.layer={layer}: this module {fault}"):
        network.layer_named(layer, Branches(), config, info)


def test_a_dense_block_that_returns_a_list_is_refused_and_leaves_no_folder(tmp_path):
    with pytest.raises(UserError, match=r"mixup.layer=layers\.0: this module"):
        run.train(configuration([*SMALL, *DENSENET, "mixup.layer=layers.0"]), tmp_path / "run", "")
    assert not (tmp_path / "run").exists()


def test_a_layer_that_is_computed_again_is_refused(tmp_path):
    with pytest.raises(UserError, match="memory_efficient"):
        run.train(
            configuration([*SMALL, *DENSENET, "model.memory_efficient=true", "mixup.layer=layers"]), tmp_path / "run", ""
        )


def test_every_layer_of_lenet_can_be_mixed():
    config, info = configuration(["data=digits"]), dataset_info("digits")
    model = network.build(config, info)
    for name, _ in model.named_modules():
        assert not name or network.layer_named(name, model, config, info) is model.get_submodule(name)


@pytest.mark.parametrize(("width", "device", "last"), [(8, "cpu", False), (16, "cpu", True), (8, "cuda", True)])
def test_only_thin_strided_convolutions_on_a_cpu_keep_the_usual_layout(width, device, last):
    model = build_model("preact_resnet18", num_classes=10, input_shape=(3, 64, 64), width=width)
    config = configuration(["data=digits"])
    config.trainer.channels_last = True
    assert network.channels_last(config, model, torch.device(device)) is last
    config.trainer.channels_last = False
    assert network.channels_last(config, model, torch.device(device)) is False


def test_a_thin_net_learns_the_same_in_both_layouts(tmp_path):
    losses = []
    for layout in ("true", "false"):
        overrides = ("model=preact_resnet18", "model.width=4", "trainer.epochs=2", f"trainer.channels_last={layout}")
        run.train(configuration([*SMALL, *overrides]), tmp_path / layout, "")
        losses.append([line["train_loss"] for line in records.read_metrics(tmp_path / layout)])
    assert np.allclose(*losses, atol=1e-3)


def test_a_gpu_that_is_named_becomes_the_current_one(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert devices.choose_device("cuda:1", Group()) == torch.device("cuda:1")
    assert chosen == [torch.device("cuda:1")]
