"""Networks of the user's: which functions are taken, with which arguments, and which are refused, and how."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mixup.errors import UserError
from mixup.models import build_model
from mixup.models.imported import compare_source, load_function, source_of

NETS = """
from functools import partial
from torch import nn

def linear(num_classes, input_shape):
    channels, height, width = input_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, num_classes))

def any_size(num_classes):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))

def keywords(**options):
    return any_size(**options)

class Net(nn.Module):
    def __init__(self, num_classes, input_shape):
        super().__init__()
        self.layers = linear(num_classes, input_shape)

    def forward(self, x):
        return self.layers(x)

ten = partial(any_size, num_classes=10)
def without(): return any_size(10)
def wants_width(num_classes, width): return any_size(num_classes)
def text(num_classes): return "a network"
def three(): return any_size(3)
def pair():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x
    return Pair()
def broken(num_classes): return 1 / 0
def picky(num_classes): return nn.Linear(5, num_classes)
number = 5
"""


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """A directory with a package of the user's, where the command is run."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work/nets.py").write_text(NETS)
    (tmp_path / "work/exits.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "work/wrong.py").write_text("import torch\n\ndef f(:\n")
    (tmp_path / "work/needs.py").write_text("import surely_not_installed\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    load_function.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "work"]:
        del sys.modules[name]


def build(function: str, module: str = "work.nets") -> nn.Module:
    return build_model("import", num_classes=10, input_shape=(3, 6, 6), path=f"{module}:{function}")


@pytest.mark.parametrize("function", ["linear", "any_size", "keywords", "Net", "ten", "without"])
def test_a_function_gets_the_keywords_that_it_has(function):
    model = build(function)
    assert model.training
    assert model(torch.zeros(2, 3, 6, 6)).shape == (2, 10)


def test_the_weights_are_those_that_the_function_draws():
    torch.manual_seed(3)
    ours = build("linear")
    torch.manual_seed(3)
    theirs = nn.Linear(3 * 6 * 6, 10)
    assert torch.equal(ours[1].weight, theirs.weight)


def test_networks_of_installed_packages_are_taken():
    assert build("resnet18", "torchvision.models")(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(
    ("function", "module", "message"),
    [
        ("linear", "nowhere", r"there is no module nowhere in .*start from the directory that holds it"),
        ("linear", "work.nowhere", r"there is no module work\.nowhere in "),
        ("linear", "needs", r"there is no module needs in "),
        ("linear", "work.needs", r"work\.needs cannot be imported: ModuleNotFoundError: No module named 'surely_not_inst"),
        ("linear", "work.wrong", r"work\.wrong cannot be imported: SyntaxError"),
        ("linear", "work.exits", r"work\.exits cannot be imported: SystemExit: 3 \(.*exits\.py, line 1\)"),
        ("lineer", "work.nets", r"work\.nets has no function lineer; did you mean 'linear'\?"),
        ("number", "work.nets", r"work\.nets has no function number"),
        ("wants_width", "work.nets", r"wants_width\(num_classes=10\) fails: TypeError: .*'width'"),
        (
            "broken",
            "work.nets",
            r"broken\(num_classes=10\) fails: ZeroDivisionError: division by zero \(.*nets\.py, line \d+\)",
        ),
        ("text", "work.nets", r"it returns str, not a torch\.nn\.Module"),
        ("three", "work.nets", r"does not turn inputs of 3x6x6 into 10 logits: ValueError: .*of shape \[1, 3\]"),
        ("pair", "work.nets", r"does not turn inputs of 3x6x6 into 10 logits: ValueError: .*it is a tuple"),
        ("picky", "work.nets", r"does not turn inputs of 3x6x6 into 10 logits: RuntimeError: .*shapes cannot be multiplied"),
    ],
)
def test_what_is_no_network_for_the_data_is_refused_with_the_reason(function, module, message):
    with pytest.raises(UserError, match=message):
        build(function, module)


def test_the_source_is_the_file_that_defines_the_function_and_a_change_of_it_is_seen(tmp_path):
    (tmp_path / "work/again.py").write_text("from work.nets import linear\n")
    for path in ("work.nets:linear", "work.again:linear", "work.nets:Net"):
        assert source_of(path) == {"path": path, "sha256": hashlib.sha256(NETS.encode()).hexdigest()}
    assert source_of(None) == {}
    recorded = {"network": source_of("work.nets:linear")}
    assert compare_source(recorded) == compare_source({}) == ""
    Path("work/nets.py").write_text(NETS + "# changed\n")
    load_function.cache_clear()
    for name in ("work.nets", "work.again"):
        sys.modules.pop(name, None)
    assert "work.nets:linear, has changed since" in compare_source(recorded)
    assert "is not found from here" in compare_source({"network": {"path": "gone:linear", "sha256": ""}})
