"""README.md, CONTRIBUTING.md and docs/ against the code: every command works, every path exists, every table is complete."""

import argparse
import dataclasses
import importlib.util
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mixup.data.datasets import DATASETS
from mixup.evaluation.settings import eval_config
from mixup.ledger.paper import read_paper
from mixup.run.compose import configuration, planned
from mixup.run.config import MixupConfig

ROOT = Path(__file__).resolve().parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = {str(file.relative_to(ROOT)): file.read_text() for file in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]}
README = PAGES["README.md"]
TEXT = "\n".join(PAGES.values())


def commands_of(text: str) -> set[str]:
    """Lines of indented blocks, and code spans, which may be broken over two lines."""
    blocks = re.findall(r"^ {4}((?:python|torchrun|make)(?: .*)?)$", text, re.M)
    spans = re.findall(r"`((?:python|torchrun|make) [^`]+)`", text)
    return {" ".join(command.split("  #")[0].split()) for command in [*blocks, *spans]}


KNOWN = {name: info for name, info in DATASETS.items() if name not in ("ring", "grid")}  # these are drawn without an end
COMMANDS = set().union(*map(commands_of, PAGES.values()))
KINDS = {
    "train": r"(python|torchrun( --\S+)+) train\.py ?",
    "eval": r"python eval\.py ",
    "script": r"python (scripts/\w+\.py|-m mixup[\w.]+) ?",
    "make": r"make\b ?",
}


def of_kind(kind: str) -> list[object]:
    return sorted({command for command in COMMANDS if re.match(KINDS[kind], command)})


def test_every_command_is_of_a_kind_that_is_checked():
    for command in COMMANDS:
        assert sum(re.match(pattern, command) is not None for pattern in KINDS.values()) == 1, command
    for start in ("make run", "make test", "python train.py -m", "torchrun", "python eval.py run=", "python scripts/"):
        assert any(command.startswith(start) for command in COMMANDS), start


@pytest.mark.parametrize("command", of_kind("train"))
def test_training_commands_compose(command):
    words = shlex.split(command)
    arguments = words[words.index("train.py") + 1 :]
    overrides = [word for word in arguments if "=" in word]
    assert set(arguments) - set(overrides) <= {"-m", "--help", "--cfg", "job"}
    tasks = planned(overrides, multirun="-m" in arguments)
    assert len(tasks) > 1 if "-m" in arguments else len(tasks) == 1


@pytest.mark.parametrize("command", of_kind("eval"))
def test_evaluations_are_of_settings_that_exist(command):
    arguments = shlex.split(command)[2:]
    assert arguments == ["--help"] or eval_config(arguments).run


class Parsed(Exception):
    """The script has accepted its arguments."""


@pytest.mark.parametrize("command", of_kind("script"))
def test_scripts_take_the_arguments_that_are_shown(command, monkeypatch):
    _, script, *arguments = shlex.split(command)
    if script == "-m":
        found = importlib.util.find_spec(arguments.pop(0))
        assert found is not None
        script = found.origin

    def parse_only(parser, *given, **options):
        parse(parser, *given, **options)
        raise Parsed

    parse = argparse.ArgumentParser.parse_args
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(Parsed):
        runpy.run_path(str(ROOT / script), run_name="__main__")


@pytest.mark.parametrize("command", of_kind("make"))
def test_make_targets_exist(command):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    words = command.split()[1:]
    assert {word for word in words if "=" not in word} <= targets
    settings = dict(word.split("=") for word in words if "=" in word)
    if "TABLE" in settings:
        assert (ROOT / "configs" / "experiment" / f"{settings['TABLE']}.yaml").exists()
    assert settings.get("SCALE", "cpu") in ("cpu", "paper")


def test_the_rows_that_are_redone_are_rows_of_the_paper():
    paper = read_paper(ROOT / "results" / "paper.yaml")
    for name, row in re.findall(r"reproduce (\w+) --row (\w+)", TEXT):
        (experiment,) = [found for key, found in paper.items() if key.startswith(name)]
        assert row in [known.id for known in experiment.rows]


def paths_of(page: str) -> set[str]:
    """What the page links, and names in code spans, from the root; names with a place to fill in are left out."""
    folder = (ROOT / page).parent
    linked = {(folder / path).resolve() for path in re.findall(r"\]\((?!http|#)([^)#]+)(?:#[^)]*)?\)", PAGES[page])}
    named = re.findall(r"`((?:mixup|scripts|configs|results|tests|docs)/[\w./-]*)`", PAGES[page])
    return {str(path.relative_to(ROOT)) for path in linked} | set(named)


@pytest.mark.parametrize("path", sorted(set().union(*map(paths_of, PAGES))))
def test_linked_and_named_paths_exist(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("page", PAGES)
def test_links_within_a_page_lead_to_a_heading(page):
    headings = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", PAGES[page], re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGES[page])) <= headings


# -- the README ----------------------------------------------------------------------------------------------------------


def test_the_readme_is_short_and_leads_to_every_page():
    assert len(README.splitlines()) <= 180
    linked = re.findall(r"\]\(([^)]+)\)", README)
    assert set(PAGES) - {"README.md"} <= set(linked)


def test_the_run_directory_it_evaluates_is_the_default_runs():
    (task,) = planned([], multirun=False)
    assert f"run='{task.folder}'" in README


def layout() -> dict[str, list[str]]:
    """The README's tree: each name at its first column, with the words that follow; those of mixup/ with their folder."""
    block = README.partition("## Layout\n")[2].partition("\n## ")[0]
    found = {}
    for indent, name, words in re.findall(r"^( {4}| {6})(\S+(?: \S+)*)(?: {2,}(.*))?$", block, re.M):
        for path in name.split():
            found[("mixup/" if len(indent) == 6 else "") + path] = re.findall(r"\w+\.py", words)
    return found


def test_the_layout_is_the_package():
    found = {path.removesuffix("/") for path in layout() if path.startswith("mixup/") and path != "mixup/"}
    there = {path.removesuffix("/") for path in layout() if (ROOT / path).exists()}
    assert there == {path.removesuffix("/") for path in layout()}
    files = [path for path in (ROOT / "mixup").iterdir() if path.name not in ("__init__.py", "__pycache__")]
    assert found == {f"mixup/{path.name}" for path in files}


def test_the_layout_names_every_script():
    assert sorted(layout()["scripts/"]) == sorted(path.name for path in (ROOT / "scripts").glob("*.py"))


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts").glob("*.py")))
def test_scripts_explain_themselves(script):
    done = subprocess.run(
        [sys.executable, f"scripts/{script}", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


# -- docs/ ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.md"])
def test_a_page_starts_with_what_it_answers(page):
    title, empty, first = PAGES[page].splitlines()[:3]
    assert title.startswith("# ")
    assert not empty
    assert first.startswith("This page answers: ")


def rows_after(page: str, header: str) -> list[list[str]]:
    """The cells of the table whose header starts so."""
    body = PAGES[page].partition(f"\n| {header}")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines()[2:]]


def test_every_experiment_is_listed_at_both_scales():
    there = {path.stem for path in (ROOT / "configs" / "experiment").glob("*.yaml")} - {"none"} | {"figure5_gan"}
    paper = {row[1].strip("`") for row in rows_after("docs/experiments.md", "paper | experiment |")}
    small = {row[0].strip("`") for row in rows_after("docs/experiments.md", "experiment | data |")}
    assert paper == there
    assert small == there - {"quickstart", "table4_setup"}


def test_the_recipes_are_those_that_are_composed():
    rows = rows_after("docs/experiments.md", "data | optimizer |")
    listed = set()
    for data, optimizer, rate, milestones, decay, *numbers in rows:
        names = [name for name in re.findall(r"`(\w+)`", data) if name in KNOWN]
        listed |= set(names)
        for name in names:
            inputs = KNOWN[name].input_shape
            model = "mlp" if len(inputs) == 1 else "vgg11" if name.startswith("speech") else "preact_resnet18"
            config = configuration([f"data={name}", f"model={model}", *re.findall(r"`(recipe=\w+)`", data)])
            optim, trainer = config.optim, config.trainer
            assert optim.name == optimizer.lower(), name
            assert (optim.lr, optim.weight_decay) == (float(rate), float(decay)), name
            assert optim.decay == 0.1
            assert optim.milestones == [int(epoch) for epoch in re.findall(r"\d+", milestones)], name
            assert [trainer.epochs, trainer.batch_size, config.mixup.alpha] == [float(number) for number in numbers], name
    assert listed == set(KNOWN)


def test_every_choice_of_data_net_and_mixup_is_named():
    text = PAGES["docs/experiments.md"]
    for group in ("data", "model", "mixup"):
        for path in (ROOT / "configs" / group).glob("*.yaml"):
            assert f"`{path.stem}`" in text, path
    for field in dataclasses.fields(MixupConfig):
        assert f"| `mixup.{field.name}` |" in text


def test_the_counts_of_examples_are_those_of_the_code():
    rows = rows_after("docs/data.md", "data | training + validation + test")
    counts = {re.findall(r"\w+", name)[0]: [int(n.replace(",", "")) for n in count.split("+")] for name, count, *_ in rows}
    known = {
        name: [n for n in (info.train_count, info.validation_count, info.test_count) if n] for name, info in KNOWN.items()
    }
    assert counts == known


def test_the_differences_are_numbered_through():
    numbers = [int(number) for number in re.findall(r"^(\d+)\. \*\*", PAGES["docs/differences.md"], re.M)]
    assert numbers == list(range(1, 19))
    assert "all 18 differences" in README
