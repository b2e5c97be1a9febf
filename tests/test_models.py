"""Parameter counts against the literature, shapes, and what the variants of the nets are."""

import pytest
import torch
from torch import nn

from mixup.errors import UserError
from mixup.models import MODELS, build_model
from mixup.models.preact_resnet import PreActBlock


def build(name: str, classes: int = 10, **options: object) -> nn.Module:
    with torch.device("meta"):
        return build_model(name, num_classes=classes, input_shape=(3, 32, 32), **options)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_parameter_counts_match_the_literature():
    # kuangliu/pytorch-cifar's PreActResNet18; Zagoruyko & Komodakis 2016, table 4: 36.5 M.
    assert parameters(build("preact_resnet18")) == 11_171_146
    assert parameters(build("wrn28")) == 36_479_194
    assert parameters(build("wrn28", classes=100)) == 36_536_884
    # Zagoruyko & Komodakis 2016, table 4: WRN-40-4 has 8.9 M, WRN-16-8 has 11.0 M.
    assert round(parameters(build("wrn28", depth=40, width=4)) / 1e6, 1) == 8.9
    assert round(parameters(build("wrn28", depth=16, width=8)) / 1e6, 1) == 11.0


def small(name: str, **options: object) -> nn.Module:
    widths = {"preact_resnet18": {"width": 8}, "wrn28": {"depth": 10, "width": 1}, "lenet": {}}
    return build_model(name, num_classes=7, input_shape=(3, 32, 32), **{**widths[name], **options})


@pytest.mark.parametrize("name", MODELS)
def test_every_network_maps_images_to_logits_and_every_parameter_learns(name):
    model = small(name)
    logits = model(torch.randn(4, 3, 32, 32))
    assert logits.shape == (4, 7)
    logits.square().sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", MODELS)
def test_memory_layout_does_not_change_the_function(name):
    model, images = small(name).double().eval(), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    expected = model(images)
    last = model.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    assert torch.allclose(last, expected, atol=1e-9)


def test_preact_block_is_the_named_variant():
    """Raw input on an identity shortcut, pre-activated on a projected one: with a zeroed convolution it is all there is."""
    x = torch.randn(2, 4, 6, 6)
    identity = PreActBlock(4, 4, 1, 0.0).eval()
    nn.init.zeros_(identity.conv2.weight)
    assert torch.equal(identity(x), x)
    projected = PreActBlock(4, 8, 2, 0.0).eval()
    nn.init.zeros_(projected.conv2.weight)
    assert torch.equal(projected(x), projected.projection(torch.relu(projected.bn1(x))))


def test_preact_resnet_has_a_plain_stem_and_no_last_batchnorm():
    model = small("preact_resnet18")
    assert isinstance(model.stem, nn.Conv2d)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 2 * 8, "two a block and none beside"


def test_preact_batchnorm_weights_start_as_in_the_authors_framework():
    weights = torch.cat(
        [module.weight for module in small("preact_resnet18").modules() if isinstance(module, nn.BatchNorm2d)]
    )
    assert 0 <= weights.min() < 0.1 < 0.9 < weights.max() <= 1
    assert abs(weights.mean() - 0.5) < 0.05


@pytest.mark.parametrize("name", ["preact_resnet18", "wrn28"])
def test_dropout_lies_between_the_convolutions_of_every_block(name):
    """At drop probability near 1 only the shortcuts of a block are left, in training alone."""
    block = PreActBlock(4, 4, 1, dropout=0.999999)
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(block.train()(x), x)
    assert not torch.equal(block.eval()(x), x)
    rates = [module.p for module in small(name, dropout=0.3).modules() if isinstance(module, nn.Dropout)]
    assert len(rates) == (8 if name == "preact_resnet18" else 3)
    assert set(rates) == {0.3}


def test_wrong_requests_name_the_remedy():
    with pytest.raises(UserError, match="did you mean 'wrn28'"):
        build("wrn29")
    with pytest.raises(UserError, match=r"model.width=3: lenet has no such option"):
        build("lenet", width=3)
    with pytest.raises(UserError, match=r"model.depth=30.*10, 16, 22, 28, 40"):
        build("wrn28", depth=30)
    assert parameters(build("lenet", width=None)) > 0
