"""From a command line to tasks: which runs, which labels and directories, and composing few times as composing each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from mixup.errors import UserError
from mixup.run.compose import CONFIGS, composed, configuration, expanded, label_of, parsed, planned, sweeper_params
from mixup.run.conversions import from_dict

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "overrides",
    [
        ("experiment=table5_ablation", "scale=cpu", "seed=0"),
        ("experiment=figure4_speech", "scale=cpu", "seed=0"),
        ("experiment=figure5_gan", "scale=cpu", "seed=0", "data=ring"),
        ("experiment=table4_uci", "data=iris", "seed=0,1", "++trainer.train_eval_size=7"),
    ],
)
def test_cells_composed_from_shared_files_are_those_that_hydra_composes_one_by_one(overrides):
    given = parsed(overrides)
    for cell in expanded([*parsed(sweeper_params(given)), *given]):
        config = composed(cell)
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            assert config == compose("train", [override.input_line for override in cell])


def test_a_later_override_takes_the_place_of_the_grids_and_the_last_key_varies_fastest():
    cells = expanded(parsed(["mixup=erm,mixup", "seed=0,1", "mixup=glob(k*)", "model.width=4"]))
    words = [[override.input_line for override in cell] for cell in cells]
    assert words == [["mixup=keras", "seed=0", "model.width=4"], ["mixup=keras", "seed=1", "model.width=4"]]


def test_one_cell_of_a_grid_has_the_directory_that_it_has_in_the_grid():
    (alone,) = planned(["experiment=quickstart", "data.label_noise=0.5", "mixup=erm", "seed=1"], multirun=False)
    assert alone.folder in {task.folder for task in planned(["experiment=quickstart"], multirun=True)}
    (long,) = planned(["experiment=table1_imagenet_200", "model=resnet101", "mixup=erm"], multirun=False)
    assert long.config.trainer.epochs == 200, "what the grid has one value of needs no saying"


def test_a_grid_without_m_names_what_is_missing():
    with pytest.raises(UserError, match=r"is a grid over data\.label_noise, seed: add -m"):
        planned(["experiment=quickstart", "mixup=erm"], multirun=False)
    with pytest.raises(UserError, match=r"seed=0,1: several values.*add -m"):
        planned(["seed=0,1"], multirun=False)


def test_every_committed_run_has_the_label_that_its_configuration_gives_today():
    wrong = []
    for file in sorted((ROOT / "results" / "runs").glob("*/*.json")):
        record = json.loads(file.read_text())
        if label_of(from_dict(record["config"])) != record["label"]:
            wrong.append(file.name)
    assert wrong == []


def folder(*overrides: str) -> Path:
    (task,) = planned(overrides, multirun=False)
    return task.folder


def test_the_directory_is_a_function_of_the_resolved_configuration():
    assert folder("mixup=erm").name == folder("mixup.alpha=0").name
    assert folder().name.startswith("alpha=1.0,seed=0-")
    assert folder("trainer.epochs=40") == folder(), "the recipe's own value is no difference"
    assert folder("trainer.epochs=3", "seed=2").name.startswith("epochs=3,alpha=1.0,seed=2-")
    assert folder("optim.milestones=[1,2]").name.startswith("milestones=1-2,alpha=1.0")
    assert folder("data=cifar10", "model=wrn28").parts[:2] == ("runs", "cifar10-wrn28")
    assert folder("data=cifar10", "model=wrn28").name.startswith("alpha=1.0,seed=0-")
    assert folder("data.seed=4").name.startswith("data.seed=4,"), "not to be mistaken for the run's seed"
    assert "/" not in folder("data.root=/a/b").name


def test_in_an_experiment_the_label_names_the_net_and_the_data():
    tasks = planned(["experiment=quickstart", "model=lenet,preact_resnet18", "seed=0"], multirun=True)
    shown = {task.config.model.name: "model=" in task.label for task in tasks}
    assert shown == {"lenet": False, "preact_resnet18": True}, "what is the experiment's own needs no saying"
    spelt_out = planned(["experiment=quickstart", "data=digits", "seed=0"], multirun=True)
    assert {task.folder for task in spelt_out} < {task.folder for task in tasks}


def test_another_recipe_shows_in_the_label():
    assert "lr=0.1,milestones=100-150" in folder("recipe=cifar10").name


def test_an_experiment_and_its_settings_spelt_out_are_one_directory():
    chosen = folder("experiment=quickstart", "mixup=erm", "seed=1", "data.label_noise=0.5")
    assert folder("name=quickstart", "mixup=erm", "seed=1", "data.label_noise=0.5") == chosen
    long = folder("experiment=table1_imagenet_200", "model=resnet101", "mixup=erm", "seed=0")
    assert long.name.startswith("model=resnet101,milestones=60-120-180,epochs=200,alpha=0.0"), "beside the 90 epochs"


def test_a_choice_and_its_values_spelt_out_are_one_directory():
    spelt = ("model.name=preact_resnet18", "model.width=64", "model.dropout=0.0")
    assert configuration(["data=cifar10", *spelt]) == configuration(["data=cifar10", "model=preact_resnet18"])
    assert folder("data=cifar10", *spelt) == folder("data=cifar10", "model=preact_resnet18")
