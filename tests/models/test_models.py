"""Parameter counts against the literature, shapes, other people's code, and what the variants of the nets are."""

import sys

import pytest
import torch
from torch import nn

from mixup.errors import UserError
from mixup.models import MODELS, build_model
from mixup.models.densenet import DenseLayer, PointwiseConv, Transition
from mixup.models.preact_resnet import PreActBlock

IMAGENET = ["resnet50", "resnet101", "resnext101_32x4d", "resnext101_64x4d"]
SPECTROGRAM = (1, 161, 101)


def build(name: str, classes: int = 10, shape: tuple[int, ...] = (3, 32, 32), **options: object) -> nn.Module:
    with torch.device("meta"):
        return build_model(name, num_classes=classes, input_shape=shape, **options)


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


@pytest.mark.parametrize(
    ("depth", "growth", "millions"),
    [(190, 40, 25.6), (100, 12, 0.8), (250, 24, 15.3)],  # Huang et al. 2017, table 2
)
def test_densenet_parameter_counts_match_the_literature(depth, growth, millions):
    assert round(parameters(build("densenet", depth=depth, growth=growth)) / 1e6, 1) == millions


@pytest.mark.parametrize(("name", "millions"), [*zip(IMAGENET, [25.56, 44.55, 44.18, 83.46])])
def test_imagenet_parameter_counts_match_the_literature(name, millions):
    assert round(parameters(build(name, classes=1000, shape=(3, 224, 224))) / 1e6, 2) == millions


@pytest.mark.parametrize(("name", "inputs", "units"), [("vgg11", 7680, 512), ("speech_lenet", 16280, 1000)])
def test_speech_networks_have_the_shapes_of_their_source(name, inputs, units):
    """GCommandsPytorch's, for a second of sound as 161 frequencies and 101 frames."""
    model = build(name, classes=30, shape=SPECTROGRAM)
    first, last = [module for module in model if isinstance(module, nn.Linear)]
    assert (first.in_features, first.out_features, last.in_features, last.out_features) == (inputs, units, units, 30)
    assert model(torch.empty(2, *SPECTROGRAM, device="meta")).shape == (2, 30)


def test_default_mlp_is_the_papers():
    model = build("mlp", classes=3, shape=(4,))
    assert [type(module).__name__ for module in model] == ["Flatten", "Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert parameters(model) == 4 * 128 + 128 + 128 * 128 + 128 + 128 * 3 + 3
    assert len(build("mlp", depth=4)) == 10


SMALL: dict[str, dict[str, object]] = {
    "lenet": {},
    "preact_resnet18": {"width": 8},
    "wrn28": {"depth": 10, "width": 1},
    "densenet": {"depth": 10, "growth": 4},
    "vgg11": {"width": 4},
    "speech_lenet": {},
    "mlp": {"width": 16},
    "resnet50": {},
    "timm": {"arch": "test_resnet"},
}


def small(name: str, **options: object) -> nn.Module:
    return build_model(name, num_classes=7, input_shape=(3, 32, 32), **{**SMALL[name], **options})


def test_every_network_is_tested():
    assert {*SMALL, *IMAGENET, "import"} == MODELS.keys()  # a user's own: test_imported


@pytest.mark.parametrize("name", SMALL)
def test_every_network_maps_images_to_logits_and_every_parameter_learns(name):
    model = small(name)
    for parameter_name, parameter in model.named_parameters():
        if parameter.eq(0).all() and parameter_name.endswith("weight"):
            nn.init.ones_(parameter)  # a residual block with a zero weight at its end learns nothing else in the first step
    logits = model(torch.randn(4, 3, 32, 32))
    assert logits.shape == (4, 7)
    logits.square().sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", SMALL)
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


def copy_in_order(source: nn.Module, target: nn.Module) -> None:
    """Weights of the same architecture under other names; a difference in order or shapes is an error."""
    names, values = target.state_dict().keys(), source.state_dict().values()
    assert len(names) == len(values)
    target.load_state_dict(dict(zip(names, values)))


def assert_same_function(ours: nn.Module, theirs: nn.Module, images: torch.Tensor) -> None:
    """Outputs and gradients in training, outputs in evaluation."""
    outputs = [model.train()(images) for model in (ours, theirs)]
    assert torch.allclose(*outputs, atol=1e-9)
    for output in outputs:
        output.square().sum().backward()
    for mine, other in zip(ours.parameters(), theirs.parameters()):
        assert torch.allclose(mine.grad, other.grad, atol=1e-9)
    assert torch.allclose(ours.eval()(images), theirs.eval()(images), atol=1e-9)


def test_densenet_is_torchvisions_behind_another_stem():
    from torchvision.models import DenseNet

    ours = small("densenet", depth=16, growth=4).double()
    theirs = DenseNet(growth_rate=4, block_config=(2, 2, 2), num_init_features=8, bn_size=4, num_classes=7).double()
    theirs.features.conv0 = nn.Conv2d(3, 8, kernel_size=3, padding=1, bias=False).double()
    theirs.features.norm0 = theirs.features.relu0 = theirs.features.pool0 = nn.Identity()
    copy_in_order(ours, theirs)
    assert_same_function(ours, theirs, torch.randn(3, 3, 16, 24, dtype=torch.float64))


def test_vgg_convolutions_are_torchvisions_without_biases():
    from torchvision.models import vgg

    theirs = vgg.make_layers(vgg.cfgs["A"], batch_norm=True).double()
    for module in theirs:
        if isinstance(module, nn.Conv2d):
            module.register_parameter("bias", None)
    ours = build_model("vgg11", num_classes=7, input_shape=(3, 32, 70)).double()
    assert [type(module).__name__ for module in ours[len(theirs) :]] == ["Flatten", "Linear", "Linear"]
    ours = ours[: len(theirs)]
    copy_in_order(ours, theirs)
    assert_same_function(ours, theirs, torch.randn(3, 3, 32, 70, dtype=torch.float64))


def test_resnet_is_torchvisions():
    """The same names and shapes of weights, the stride in the 3x3 convolutions: the same function."""
    from torchvision.models import resnet50, resnet101, resnext101_64x4d

    ours, theirs = small("resnet50").double(), resnet50(num_classes=7).double()
    for parameter in ours.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter)
    theirs.load_state_dict(ours.state_dict())
    assert_same_function(ours, theirs, torch.randn(3, 3, 40, 64, dtype=torch.float64))
    for other in (resnet101, resnext101_64x4d):
        with torch.device("meta"):
            expected = other().state_dict()
        found = build(other.__name__, classes=1000).state_dict()
        assert {name: value.shape for name, value in found.items()} == {
            name: value.shape for name, value in expected.items()
        }


@pytest.mark.parametrize("name", IMAGENET)
def test_imagenet_networks_begin_as_in_goyal_et_al(name):
    model = build_model(name, num_classes=1000, input_shape=(3, 224, 224))
    norms = {name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    blocks = [name for name in norms if name.endswith("bn3")]
    assert len(blocks) == {"resnet50": 16}.get(name, 33)
    for norm_name, norm in norms.items():
        assert norm.weight.eq(0 if norm_name in blocks else 1).all(), norm_name
        assert norm.bias.eq(0).all(), norm_name
    assert abs(model.fc.weight.std() / 0.01 - 1) < 0.01
    assert model.fc.bias.eq(0).all()
    for conv in (module for module in model.modules() if isinstance(module, nn.Conv2d)):
        he = (2 / (conv.kernel_size[0] ** 2 * conv.out_channels)) ** 0.5  # over all groups, as in both papers' code
        assert abs(conv.weight.std() / he - 1) < 0.1


def test_densenet_initialisation_and_dropout():
    model = small("densenet", depth=16, growth=12, dropout=0.3)
    weight = model.layers[3].conv.weight
    assert abs(weight.std() / (2 / (9 * 12)) ** 0.5 - 1) < 0.1
    assert model.classifier.bias.eq(0).all()
    kinds = [type(layer) for layer in model.layers]
    assert kinds == [DenseLayer, DenseLayer, Transition] * 2 + [DenseLayer] * 2
    rates = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]
    assert rates == [0.3] * (2 * 6 + 2), "after each of two convolutions a layer, and in two transitions"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_memory_efficient_densenet_trains_bit_for_bit_as_the_plain_one(precision):
    """Outputs, gradients, running statistics and counts, with dropout, over three steps."""

    def train(memory_efficient: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = small("densenet", depth=16, dropout=0.2, memory_efficient=memory_efficient)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        seen = []
        for _ in range(3):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                logits = model(torch.randn(4, 3, 16, 16))
            logits.float().logsumexp(1).sum().backward()
            optimizer.step()
            gradients = [parameter.grad.clone() for parameter in model.parameters()]
            seen += [logits.detach(), *gradients, *(value.clone() for value in model.state_dict().values())]
        counts = [module.num_batches_tracked for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        assert all(count == 3 for count in counts)
        return [*seen, model.eval()(torch.ones(1, 3, 16, 16))]

    plain, efficient = train(False), train(True)
    assert all(torch.equal(*pair) for pair in zip(plain, efficient, strict=True))


def test_memory_efficient_densenet_computes_again_in_training_alone(monkeypatch):
    calls = []
    monkeypatch.setattr(PointwiseConv, "convolve_twice", lambda self, *args: calls.append(1) or self.convolve(*args))
    model, images = small("densenet", memory_efficient=True), torch.randn(2, 3, 16, 16, requires_grad=True)
    with torch.no_grad():
        model(images)
    model.eval()(images).sum().backward()  # as an attack does
    assert calls == []
    model.train()(images)
    assert len(calls) == 3 + 2, "three layers and two transitions"


def bytes_saved_for_backward(model: nn.Module, images: torch.Tensor) -> int:
    """Of one forward pass, parameters and images aside."""
    kept = {tensor.untyped_storage().data_ptr(): tensor for tensor in (*model.parameters(), images)}
    others = len(kept)

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(images)
    return sum(tensor.untyped_storage().nbytes() for tensor in list(kept.values())[others:])


def test_memory_efficient_densenet_keeps_less():
    images = torch.randn(2, 3, 16, 16)
    plain, efficient = (
        bytes_saved_for_backward(small("densenet", depth=40, growth=8, memory_efficient=flag), images)
        for flag in (False, True)
    )
    assert plain > 2 * efficient > 0


def test_memory_efficient_densenet_compiles():
    torch.manual_seed(0)
    model, images = small("densenet", memory_efficient=True), torch.randn(2, 3, 8, 8)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    compiled(images).sum().backward()
    gradient = model.stem.weight.grad.clone()
    model.zero_grad()
    model(images).sum().backward()
    assert torch.allclose(model.stem.weight.grad, gradient, atol=1e-5)


def test_speech_lenet_drops_channels_and_then_units():
    rates = {module.p for module in small("speech_lenet", dropout=0.2) if isinstance(module, nn.Dropout | nn.Dropout2d)}
    assert rates == {0.2}
    kinds = [type(module).__name__ for module in small("speech_lenet") if "Dropout" in type(module).__name__]
    assert kinds == ["Dropout2d", "Dropout"]


def test_timm_gives_other_networks_of_any_size_they_take():
    for arch, shape in [("test_vit", (3, 64, 64)), ("test_resnet", (1, 48, 40)), ("vit_tiny_patch16_224", (3, 64, 64))]:
        model = build_model("timm", num_classes=5, input_shape=shape, arch=arch)
        assert model.training
        assert model(torch.randn(2, *shape)).shape == (2, 5)


def test_networks_of_the_paper_need_neither_timm_nor_torchvision(command):
    code = """
import sys
from mixup.models import build_model
for name, options in {"lenet": {}, "wrn28": {"depth": 10, "width": 1}, "densenet": {"depth": 10, "growth": 2}}.items():
    build_model(name, num_classes=2, input_shape=(3, 32, 32), **options)
assert not {"timm", "torchvision"} & sys.modules.keys()
"""
    result = command("-c", code)
    assert result.returncode == 0, result.stderr


def test_wrong_requests_name_the_remedy():
    with pytest.raises(UserError, match="did you mean 'wrn28'"):
        build("wrn29")
    with pytest.raises(UserError, match=r"model.width=3: lenet has no such option"):
        build("lenet", width=3)
    with pytest.raises(UserError, match=r"model.depth=30.*10, 16, 22, 28, 40"):
        build("wrn28", depth=30)
    assert parameters(build("lenet", width=None)) > 0


def test_unknown_and_unfit_timm_networks_name_the_remedy():
    with pytest.raises(UserError, match=r"model.arch=resnet18, for instance"):
        build("timm")
    with pytest.raises(UserError, match="did you mean 'resnet18'"):
        build("timm", arch="resnet_18")
    with pytest.raises(UserError, match="did you mean 'resnet18'"):
        build("timm", arch="resnet18.a1_in1k")  # a tag of pretrained weights
    with pytest.raises(UserError, match=r"crossvit_9_240 .* 3x64x64"):
        build("timm", arch="crossvit_9_240", shape=(3, 64, 64))
    with pytest.raises(UserError, match=r"model.width=3: resnet50 has no such option; it has dropout"):
        build("resnet50", width=3)


def test_without_timm_its_networks_say_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    for name, options in [("resnet50", {}), ("timm", {"arch": "resnet18"})]:
        with pytest.raises(UserError, match="python -m pip install timm"):
            build(name, **options)


def test_inputs_that_do_not_fit_name_the_remedy():
    with pytest.raises(UserError, match=r"wrn28 takes images.*\[4\].*model=mlp"):
        build("wrn28", shape=(4,))
    with pytest.raises(UserError, match=r"vgg11.*32x32 or more, not 31x101.*use lenet"):
        build("vgg11", shape=(1, 31, 101))
    with pytest.raises(UserError, match=r"speech_lenet.*16x16 or more, not 16x15.*use lenet"):
        build("speech_lenet", shape=(1, 16, 15))
    assert build("speech_lenet", shape=(1, 16, 16))(torch.empty(1, 1, 16, 16, device="meta")).shape == (1, 10)
    assert build("vgg11", shape=(1, 32, 32))(torch.empty(2, 1, 32, 32, device="meta")).shape == (2, 10)
    for depth in (4, 8, 101):
        with pytest.raises(UserError, match=rf"model.depth={depth}: .*40, 100, 190, 250"):
            build("densenet", depth=depth)
    with pytest.raises(UserError, match=r"model.depth=0: .*1 hidden layer"):
        build("mlp", depth=0)
