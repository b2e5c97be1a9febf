"""The loops that README and docs print, run as they stand; what a wheel holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mixup.data.sources.toys import digits

ROOT = Path(__file__).resolve().parent.parent


def blocks(page: str) -> list[str]:
    """The Python of a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.S)


def named(page: str, word: str) -> str:
    (found,) = [block for block in blocks(page) if word in block]
    return found


@pytest.fixture
def learned():
    """What a block is given, and how well its network knows what it was trained on, before and after."""
    torch.manual_seed(0)
    split = digits().splits["train"]
    inputs, classes = split.inputs.permute(0, 3, 1, 2).float() / 16, split.labels
    loader = DataLoader(TensorDataset(inputs, classes), batch_size=64, shuffle=True)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def run(code: str, *, epochs: int) -> float:
        names = {"loader": loader, "model": model, "optimizer": torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)}
        first, loop, body = code.partition("for inputs, classes in loader:\n")
        repeated = f"for epoch in range({epochs}):\n{textwrap.indent(loop + body, '    ')}" if loop else ""
        exec(compile(first + repeated, "a page", "exec"), names)
        trained = names["model"].train()  # a few steps leave running means behind
        with torch.no_grad():
            return float((trained(inputs).argmax(1) == classes).float().mean())

    return run


def test_the_plain_loop_of_the_readme_learns(learned):
    code = named("README.md", "from mixup.mixing import")
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    assert learned(code, epochs=5) > 0.85


@pytest.mark.parametrize(("word", "package", "epochs"), [("import timm", "timm", 2), ("import lightning", "lightning", 1)])
@pytest.mark.filterwarnings("ignore")
def test_the_loops_of_the_docs_learn(word, package, epochs, learned):
    pytest.importorskip(package, reason=f"{package} is not installed")
    code = named("docs/other-loops.md", word)
    assert len([line for line in code.splitlines() if line.strip()]) < 30
    assert learned(code, epochs=epochs) > 0.2, "of ten classes"


@pytest.mark.slow  # builds a wheel, which fetches the build backend
def test_a_wheel_trains_and_measures_from_an_empty_folder(tmp_path):
    build = [ROOT / ".venv" / "bin" / "uv", "build", "--quiet", "--wheel", "--out-dir", tmp_path, ROOT]
    if not build[0].exists() or subprocess.run(build, check=False).returncode:
        pytest.skip("no wheel can be built here: uv, or the registry of packages, is not there")
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (empty := tmp_path / "empty").mkdir()

    def python(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "WANDB_MODE": "disabled"}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=empty, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    assert python("-c", "import mixup; print(mixup.__file__)").startswith(str(tmp_path / "site"))
    assert "test error" in python("-m", "mixup.train", "trainer.epochs=1")
    (run,) = empty.glob("runs/*/*")
    assert python("-m", "mixup.eval", f"run={run}", "examples=20", "pairs=20")  # status 0: the test error is the record's
    assert python("-c", "import sys, mixup; print('torch' in sys.modules)").strip() == "False"
