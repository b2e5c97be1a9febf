"""Every command of the README is one that works: it composes, its target exists, its script takes its arguments."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mixup.run.compose import planned

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(
    {line.split("  #")[0].strip() for line in README.splitlines() if re.match(r" {4}(python|torchrun|make) ", line)}
)


@pytest.mark.parametrize("command", [c for c in COMMANDS if "train.py" in c])
def test_training_commands_compose(command):
    words = shlex.split(command)
    arguments = words[words.index("train.py") + 1 :]
    tasks = planned([word for word in arguments if word != "-m"], multirun="-m" in arguments)
    assert len(tasks) > 1 if "-m" in arguments else len(tasks) == 1


def test_the_readme_shows_each_kind_of_command():
    for start in ("make run", "make test", "python train.py -m", "torchrun", "python eval.py run="):
        assert any(command.startswith(start) for command in COMMANDS), start


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {command.split()[1] for command in COMMANDS if command.startswith("make ")} | set(
        re.findall(r"`make ([a-z-]+)`", README)
    )
    assert named
    assert named <= targets


def test_every_path_it_links_or_lists_exists():
    linked = set(re.findall(r"\]\((?!http)([^)#]+)\)", README))
    listed = set(re.findall(r"^ {4}((?:mixup|scripts|configs|results)/[\w./]*)", README, re.M))
    for path in linked | listed:
        assert (ROOT / path).exists(), path


def test_the_run_directory_it_evaluates_is_the_default_runs():
    (task,) = planned([], multirun=False)
    assert f"run='{task.folder}'" in README


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts").glob("*.py")))
def test_scripts_explain_themselves(script):
    done = subprocess.run(
        [sys.executable, f"scripts/{script}", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
