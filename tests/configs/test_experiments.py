"""Every table and figure: its grid at both scales, its header, and its rows of results/paper.yaml, one cell each."""

from __future__ import annotations

import functools
import re
import shlex
from pathlib import Path

import pytest

from mixup.ledger.paper import Row, mismatches, read_paper
from mixup.run.compose import CONFIGS, Task, configuration, expanded, parsed, planned, sweeper_params
from mixup.run.conversions import leaves

# Runs at the paper's scale and at cpu scale, all seeds.
RUNS = {
    "figure5_gan": (40, 40),
    "alpha_sweep": (8 * 3, 5 * 5),
    "dirichlet": (3 * 3, 3 * 3),
    "figure1_toy": (2 * 3, 2 * 3),
    "figure2_between": (2 * 3, 2 * 5),
    "figure3_cifar10": (3 * 2 * 3, 1 * 2 * 5),
    "figure3_cifar100": (3 * 2 * 3, 1 * 2 * 3),
    "figure4_speech": (2 * 3 * 3, 2 * 3 * 3),
    "report_card": (2 * 3, 2 * 3),
    "semantics": (8 * 3, 8 * 3),
    "table1_imagenet": (4 * 2, 2 * 3),
    "table1_imagenet_200": (3 * 2, 2 * 3),
    "table2_label_noise": (3 * 22 * 3, 5 * 5),
    "table3_adversarial": (2 * 2, 2 * 3),
    "table4_uci": (8 * 2 * 10, 3 * 2 * 10),
    "table5_ablation": (2 * 22 * 3, 22 * 3),
}
SCALES = ("paper", "cpu")
GRIDS = [(name, scale) for name in RUNS for scale in SCALES]
# Where the rows of results/paper.yaml are trained, if not in the experiment of their own name.
TRAINED_IN = {"table1_imagenet": ["table1_imagenet", "table1_imagenet_200"], "figure3b_curve": ["figure3_cifar10"]}
# Of a grid with many cells alike, the ones that are composed.
SAMPLED = {"table2_label_noise": {"data.label_noise": 0.5}}
PAPER = {name: found for name, found in read_paper(CONFIGS.parent / "results" / "paper.yaml").items() if found.rows}
ROWS = [(name, row) for name, experiment in PAPER.items() for row in experiment.rows]


def file_of(name: str, scale: str) -> Path:
    return CONFIGS / (f"experiment/{name}.yaml" if scale == "paper" else f"scale/experiment/cpu_{name}.yaml")


def header(name: str, scale: str) -> str:
    return "\n".join(line for line in file_of(name, scale).read_text().splitlines() if line.startswith("#"))


@functools.cache
def overrides_of(*arguments: str) -> list[list[str]]:
    """The overrides of every cell that `train.py -m ARGUMENTS` runs, without composing them."""
    given = parsed(arguments)
    return [[str(override.input_line) for override in cell] for cell in expanded([*parsed(sweeper_params(given)), *given])]


def arguments_of(name: str, scale: str) -> list[str]:
    return [f"experiment={name}"] + ["scale=cpu"] * (scale == "cpu")


@functools.cache
def tasks_of(name: str, scale: str) -> list[Task]:
    """Every cell at the first seed, as `train.py -m` plans it."""
    sampled = [f"{key}={value}" for key, value in SAMPLED.get(name, {}).items()]
    return planned([*arguments_of(name, scale), *sampled, "seed=0"], multirun=True)


def test_every_experiment_is_known_here_and_has_a_small_form():
    files = {path.stem for path in CONFIGS.glob("experiment/*.yaml")}
    assert files == {*RUNS, "none", "quickstart", "table4_setup"}
    assert {path.stem for path in CONFIGS.glob("scale/experiment/*.yaml")} == {f"cpu_{name}" for name in RUNS}


@pytest.mark.parametrize(("name", "scale"), GRIDS)
def test_a_grid_has_the_runs_that_its_header_states(name, scale):
    cells = overrides_of(*arguments_of(name, scale))
    wanted = RUNS[name][SCALES.index(scale)]
    assert len(cells) == wanted
    assert f"Time: {wanted} runs, " in header(name, scale)
    seeds: dict[tuple[str, ...], list[str]] = {}
    for cell in cells:
        (seed,) = (override for override in cell if override.startswith("seed="))
        seeds.setdefault(tuple(override for override in cell if override != seed), []).append(seed)
    for found in seeds.values():
        assert len(set(found)) == len(found)
        assert found == next(iter(seeds.values())), "seeds are pairs: every arm has the same ones"


@pytest.mark.parametrize(("name", "scale"), GRIDS)
def test_cells_are_of_their_scale_by_name_and_by_record(name, scale):
    tasks = tasks_of(name, scale)
    for task in tasks:
        assert (task.config.scale, task.config.name.endswith("-cpu")) == (scale, scale == "cpu")
        assert len(task.label) < 120, "not cut off"
        assert task.label.endswith(f"alpha={task.config.mixup.alpha},seed=0")


def test_no_two_cells_share_a_directory_or_in_one_folder_a_label():
    tasks = [task for name, scale in GRIDS for task in tasks_of(name, scale)]
    for found in ([task.folder for task in tasks], [(task.config.name, task.label) for task in tasks]):
        assert len(set(found)) == len(found)


@pytest.mark.parametrize(("name", "scale"), GRIDS)
def test_erm_is_alpha_0_whatever_the_recipe_says_and_nothing_else_is(name, scale):
    kept = {"seed=0", *(f"{key}={value}" for key, value in SAMPLED.get(name, {}).items())}
    cells = [cell for cell in overrides_of(*arguments_of(name, scale)) if kept <= set(cell)]
    arms = []
    for cell, task in zip(cells, tasks_of(name, scale), strict=True):
        erm = any(
            re.fullmatch(r"mixup=erm|mixup\.alpha=0|experiment/(table2|figure5)=(erm|\[erm,.*)|mixup={alpha:0\b.*", part)
            for part in cell
        )
        assert (task.config.mixup.alpha == 0) == erm, cell
        arms.append(erm)
    assert set(arms) == ({False} if name == "dirichlet" else {False, True})


@pytest.mark.parametrize("name", RUNS)
def test_one_run_of_an_experiment_has_data_network_and_recipe_of_its_grid(name):
    """Without -m, as `torchrun train.py experiment=...` does it."""
    one = configuration([f"experiment={name}", *(["recipe=imagenet_200"] if name == "table1_imagenet_200" else [])])
    assert any(
        (one.name, one.data.name, one.model, one.optim, one.trainer)
        == (cell.name, cell.data.name, cell.model, cell.optim, cell.trainer)
        for cell in (task.config for task in tasks_of(name, "paper"))
    )


# -- the paper's rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[f"{name}-{row.id}" for name, row in ROWS])
def test_a_row_of_the_paper_is_one_cell_trained_by_its_recipe(name: str, row: Row):
    grid = [task.config for trained in TRAINED_IN.get(name, [name]) for task in tasks_of(trained, "paper")]
    settings = {**row.settings, **SAMPLED.get(name, {})}
    found = [config for config in grid if not mismatches(dict(leaves(config)), settings)]
    assert len(found) == 1 or (row.quoted and not found), f"{len(found)} cells have {settings}"
    for config in found:
        assert mismatches(dict(leaves(config)), row.recipe) == []


def test_every_cell_of_table_5_is_a_row_of_it():
    rows = PAPER["table5_ablation"].rows
    for task in tasks_of("table5_ablation", "paper"):
        assert sum(not mismatches(dict(leaves(task.config)), row.settings) for row in rows) == 1, task.label


def test_every_set_up_of_table_4_is_tried_once():
    erm, mixed = (command.split() for command in re.findall(r"train\.py -m (.*)", header("table4_setup", "paper")))
    assert (len(overrides_of(*erm)), len(overrides_of(*mixed))) == (6 * 3 * 7 * 2 * 2 * 2 * 5, 6 * 3 * 7 * 4 * 5)
    tasks = planned([*erm, "seed=3", "data=abalone"], multirun=True)
    tasks += planned([*mixed, "seed=3", "data=abalone"], multirun=True)
    assert len({task.folder for task in tasks}) == len(tasks)
    assert {(task.config.seed, task.config.data.seed, task.config.name) for task in tasks} == {(3, 3, "table4_setup")}


def test_table_4_draws_a_split_for_each_seed():
    for seed in (0, 7):
        config = configuration(["experiment=table4_uci", f"seed={seed}"])
        assert (config.seed, config.data.seed) == (seed, seed)


# -- headers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "scale"), GRIDS)
def test_the_commands_of_a_header_are_ones_that_work(name, scale):
    lines = re.findall(r"((?:python|torchrun .*) ?train\.py .*?)(?:   .*)?$", header(name, scale), re.M)
    commands = [shlex.split(line.partition("train.py")[2]) for line in lines]
    if scale == "paper":
        assert commands[0] == ["-m", f"experiment={name}"]
    for command in commands:
        arguments = [word for word in command if word != "-m"]
        if command[0] != "-m":
            assert configuration(arguments).name == tasks_of(name, scale)[0].config.name
        elif arguments != arguments_of(name, scale):  # the whole grid is planned above
            assert 1 < len(overrides_of(*arguments)) < RUNS[name][SCALES.index(scale)]
            assert configuration(overrides_of(*arguments)[-1]).name == tasks_of(name, scale)[0].config.name


def test_the_small_forms_together_take_under_eight_hours():
    """By their headers, shared runs counted once: those whose networks fit what they train on under six hours together, each
    other one under half an hour."""
    last = {name: re.findall(r"(?:about|or) (\d+) (?:minute|where)", header(name, "cpu"))[-1] for name in RUNS}
    minutes = {name: int(found) for name, found in last.items()}
    fitted = [minutes.pop(name) for name in ("figure3_cifar10", "figure2_between", "alpha_sweep", "table2_label_noise")]
    assert sum(fitted) < 360
    assert max(minutes.values()) < 30
    assert sum([*fitted, *minutes.values()]) < 480
