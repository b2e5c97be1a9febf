"""Configurations: what composes, what is refused and how, and which runs share a directory."""

import dataclasses
from pathlib import Path

import pytest
from hydra.errors import ConfigCompositionException

from mixup.commands.messages import explain
from mixup.data import DATASETS
from mixup.errors import UserError
from mixup.models import MODELS
from mixup.run.compose import CONFIGS, configuration, planned
from mixup.run.config import POINTS, from_dict, leaves, plain, schema_defaults
from mixup.run.identity import config_hash


def names(group: str) -> list[str]:
    return sorted(file.stem for file in (CONFIGS / group).glob("*.yaml"))


LONGER = {"imagenet_200"}  # recipes that are asked for by name
SHARED = {"uci", "gan"}  # what recipes inherit


def test_every_data_set_and_network_has_its_file_and_the_other_way_round():
    assert names("data") == sorted([*DATASETS, *POINTS])
    assert names("model") == sorted([*MODELS, "gan"])
    assert set(names("recipe")) == set(names("data")) | LONGER | SHARED


PAIRS = sorted({(data, "lenet") for data in DATASETS} | {("digits", model) for model in MODELS})
PAIRS += [(data, "gan") for data in POINTS]


MIXUPS = ("erm", "mixup")  # the presets of other systems are in test_presets
CASES = [(*pair, mixup) for pair in PAIRS for mixup in MIXUPS]
CASES += [("digits", "lenet", name) for name in names("mixup") if name not in MIXUPS]


@pytest.mark.parametrize(("data", "model", "mixup"), CASES)
def test_every_file_composes_to_a_checked_configuration(data, model, mixup):
    config = configuration([f"data={data}", f"model={model}", f"mixup={mixup}"])
    model = "speech_lenet" if data.startswith("speech") else model  # the paper's LeNet, for inputs of that size
    assert (config.data.name, config.model.name, config.name) == (data, model, f"{data}-{model}")
    assert (config.mixup.alpha == 0.0) == (mixup == "erm")


def test_the_quick_start_composes_cell_by_cell_into_directories_of_its_own():  # the paper's: test_experiments
    tasks = planned(["experiment=quickstart"], multirun=True)
    assert len({task.folder for task in tasks}) == len(tasks) == 12
    assert {task.config.name for task in tasks} == {"quickstart"}


def test_every_recipe_for_a_net_belongs_to_a_data_set_and_a_net():
    pairs = {f"{data}_{model}" for data in names("data") for model in names("model")}
    assert set(names("recipe_for")) <= pairs


@pytest.mark.parametrize(
    "override",
    [
        *("mixup.alpha=-1", "mixup.alpha=inf", "mixup.alpha=nan", "mixup.lam_per=bach", "trainer.epochs=0"),
        *("trainer.batch_size=0", "data.label_noise=1.5", "data.validation=1", "data.train_size=0", "optim.lr=0"),
        *("optim.momentum=1", "optim.weight_decay=-1e-4", "optim.milestones=[3,2]", "model.dropout=1", "model.width=0"),
        *("trainer.precision=float16", "trainer.device=tpu", "tracking.wandb=yes", "seed=-1", "name=a/b"),
        *("trainer.checkpoint_every_steps=0", "trainer.log_every_steps=0", "optim.name=adamm", "optim.momentum=null"),
        *("data.workers=-1", "data.on_error=ignore", "model.depth=0", "model.growth=0", "mixup.warmup_epochs=-1"),
        *("optim.warmup_epochs=-1", "optim.nesterov=null"),
    ],
)
def test_a_value_out_of_range_names_field_value_and_remedy(override):
    key = override.partition("=")[0]
    with pytest.raises(UserError) as caught:
        configuration([override])
    message = str(caught.value)
    assert message.startswith(key + "=")
    assert ": use " in message
    assert len(message) < 160


def test_a_misspelt_key_inside_a_file_is_refused(tmp_path, monkeypatch):
    """Hydra alone takes any key in a file; the schema does not."""
    import shutil

    shutil.copytree(CONFIGS, tmp_path / "configs")
    (tmp_path / "configs" / "experiment" / "typo.yaml").write_text("# @package _global_\ntrainer:\n  max_epcohs: 5\n")
    monkeypatch.setattr("mixup.run.compose.CONFIGS", tmp_path / "configs")
    with pytest.raises(ConfigCompositionException) as caught:
        configuration(["experiment=typo"])
    message = explain(caught.value)
    assert message.startswith("In 'experiment/typo'")
    assert "trainer.max_epcohs: no such setting; did you mean 'trainer.epochs'?" in message


def test_a_configuration_survives_its_file():
    config = configuration(["data=cifar10", "model=wrn28", "data.train_size=100"])
    assert from_dict(plain(config)) == config


def test_the_hash_knows_what_changes_numbers_and_nothing_else():
    base = config_hash(configuration([]))
    for same in (
        "runs_dir=elsewhere",
        "trainer.device=cpu",
        "data.root=/data",
        "tracking.wandb=offline",
        "trainer.log_every_steps=7",
        "name=other",
    ):
        assert config_hash(configuration([same])) == base, same
    others = ["seed=1", "mixup=erm", "data.label_noise=0.1", "trainer.epochs=3", "trainer.precision=bfloat16", "model=wrn28"]
    assert len({base, *(config_hash(configuration([other])) for other in others)}) == len(others) + 1


def test_a_setting_added_later_with_a_neutral_default_keeps_old_directories():
    """Defaults of the schema are left out of the hash, so it depends only on what a run sets otherwise."""
    config = configuration([])
    defaults = dict(schema_defaults())
    at_default = [key for key, value in leaves(config) if value == defaults[key]]
    assert "data.label_noise" in at_default
    changed = dataclasses.replace(config, data=dataclasses.replace(config.data, label_noise=0.2))
    assert config_hash(changed) != config_hash(config)


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
