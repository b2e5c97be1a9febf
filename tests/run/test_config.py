"""Configurations: what composes, what is refused and how, and which runs share a directory."""

import dataclasses

import pytest
import yaml
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf.errors import OmegaConfBaseException

from mixup.commands.messages import explain
from mixup.data import DATASETS
from mixup.errors import UserError
from mixup.models import MODELS
from mixup.run.checks import doubts
from mixup.run.compose import CONFIGS, configuration, planned
from mixup.run.config import OWN, POINTS
from mixup.run.conversions import from_dict, leaves, plain, schema_defaults, schema_settings
from mixup.run.identity import config_hash
from mixup.run.sources import Sources


def names(group: str) -> list[str]:
    return sorted(file.stem for file in (CONFIGS / group).glob("*.yaml"))


def defaults_of(data: str) -> list[str | dict[str, str]]:
    return yaml.safe_load((CONFIGS / "data" / f"{data}.yaml").read_text())["defaults"]


LONGER = {"imagenet_200"}  # recipes that no data file names


def test_every_data_set_and_network_has_its_file_and_the_other_way_round():
    assert names("data") == sorted([*DATASETS, *POINTS, *OWN])
    assert names("model") == sorted([*MODELS, "gan"])
    recipes = {default["/recipe"] for data in names("data") for default in defaults_of(data) if isinstance(default, dict)}
    assert set(names("recipe")) == recipes | LONGER


PAIRS = sorted({(data, "lenet") for data in DATASETS} | {("digits", model) for model in MODELS})
PAIRS += [("folder", "lenet"), ("csv", "mlp")]
NAMED = {  # what these cannot be without
    "folder": ["data.root=DIR"],
    "csv": ["data.file=FILE", "data.target=COLUMN"],
    "import": ["model.path=package.module:build"],
}
PAIRS += [(data, "gan") for data in POINTS]


MIXUPS = ("erm", "mixup")  # the presets of other systems are in test_presets
CASES = [(*pair, mixup) for pair in PAIRS for mixup in MIXUPS]
CASES += [("digits", "lenet", name) for name in names("mixup") if name not in MIXUPS]


@pytest.mark.parametrize(("data", "model", "mixup"), CASES)
def test_every_file_composes_to_a_checked_configuration(data, model, mixup):
    config = configuration([f"data={data}", f"model={model}", f"mixup={mixup}", *NAMED.get(data, []), *NAMED.get(model, [])])
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
        *("optim.warmup_epochs=-1", "optim.nesterov=null", "trainer.checkpoint_every_minutes=-5"),
        *("optim.milestones=[0]", "optim.milestones=[-1,2]", "data.seed=-1", "data.workers=5000"),
        *("mixup.ways=1001", "trainer.capture=1", "trainer.capture=1.0", "trainer.capture=null", "name=..", "name=."),
        *(f"name={'a' * 80}/", "runs_dir=''", "data.root=", "data.root=' '", "tracking.project=", "tracking.entity=''"),
        *("model.arch=", "mixup.layer=", "runs_dir=s3://bucket/runs", "data.root=https://host/data", "sweep.slots=1.5"),
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


KINDS = {key: kind for key, kind, _ in schema_settings()}
NUMBERS = [key for key, kind in KINDS.items() if kind in (int, float, int | None, float | None, list[int])]
REALS = [key for key in NUMBERS if KINDS[key] in (float, float | None)]


def of_gan(key: str) -> list[str]:
    return ["data=ring", "model=gan"] if key.startswith("gan.") else []


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400", "-1e400", "-1e39", "1e39", str(10**39), str(-(10**39))])
def test_no_number_is_beyond_what_is_computed_with(key, value):
    words = [f"{key}=[{value}]" if KINDS[key] == list[int] else f"{key}={value}", *of_gan(key)]
    with pytest.raises((UserError, HydraException, OmegaConfBaseException)) as caught:
        configuration(words)
    assert key in explain(caught.value)


@pytest.mark.parametrize("key", [key for key, kind in KINDS.items() if kind in (int, float, str, bool, list[int])])
def test_null_is_refused_where_a_value_is_needed(key):
    with pytest.raises((UserError, HydraException, OmegaConfBaseException)) as caught:
        configuration([f"{key}=null", *of_gan(key)])
    assert key in explain(caught.value)


@pytest.mark.parametrize("key", [key for key, kind in KINDS.items() if kind in (int, float, bool, int | None, float | None)])
@pytest.mark.parametrize("value", ["maybe", "[]", "{}", "''"])
def test_another_type_is_refused(key, value):
    with pytest.raises((UserError, HydraException, OmegaConfBaseException)) as caught:
        configuration([f"{key}={value}", *of_gan(key)])
    assert key in explain(caught.value)


def test_a_misspelt_key_inside_a_file_is_refused(tmp_path):
    """Hydra alone takes any key in a file; the schema does not."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "typo.yaml").write_text("# @package _global_\ntrainer:\n  max_epcohs: 5\n")
    with pytest.raises(ConfigCompositionException) as caught:
        planned(["experiment=typo"], multirun=False, sources=Sources(tmp_path))
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


@pytest.mark.parametrize(
    ("overrides", "both"),
    [
        (("mixup.within_class=true", "mixup.partner=flip"), ("mixup.within_class=true", "mixup.partner=flip")),
        (("mixup.ways=3", "mixup.partner=roll"), ("mixup.ways=3", "mixup.partner=roll")),
        (("mixup.fold=true", "mixup.ways=3"), ("mixup.fold=true", "mixup.ways=3")),
        (("mixup.layer=stem", "mixup.partner=nearest"), ("mixup.layer=stem", "mixup.partner=nearest")),
        (("optim.name=adam",), ("optim.momentum=0.9", "optim.name=adam")),
        (("optim.warmup_epochs=2",), ("optim.warmup_lr=null", "optim.warmup_epochs=2")),
        (("optim.decay=1e20", "optim.milestones=[1,2]"), ("optim.decay=1e+20", "optim.milestones=[1, 2]")),
        (("optim.nesterov=true", "optim.momentum=0"), ("optim.nesterov=true", "optim.momentum=0.0")),
        (("mixup.layer=0", "trainer.compile=true"), ("mixup.layer=0", "trainer.compile=true")),
        (("mixup.layer=0", "data.on_error=skip"), ("mixup.layer=0", "data.on_error=skip")),
        (("trainer.capture=true", "mixup.noise=0.1"), ("trainer.capture=true", "mixup.noise=0.1")),
        (("trainer.capture=true", "trainer.device=cpu"), ("trainer.capture=true", "trainer.device=cpu")),
        (("trainer.sync_batchnorm=true", "trainer.device=cpu"), ("trainer.sync_batchnorm=true", "trainer.device=cpu")),
        (("trainer.precision=tf32", "trainer.device=cpu"), ("trainer.precision=tf32", "trainer.device=cpu")),
    ],
)
def test_settings_that_exclude_each_other_are_both_named(overrides, both):
    with pytest.raises(UserError, match="do not go together: use ") as caught:
        configuration(overrides)
    assert all(setting in str(caught.value) for setting in both)


def test_settings_without_effect_in_few_epochs_are_remarked_on_and_trained():
    assert doubts(configuration([])) == []
    few = (
        "trainer.epochs=3",
        "mixup.warmup_epochs=3",
        "optim.milestones=[2,20]",
        "optim.warmup_epochs=4",
        "optim.warmup_lr=0",
    )
    late, rise, unmixed = doubts(configuration(few))
    assert late == "optim.milestones: the learning rate does not fall after [20] within trainer.epochs=3"
    assert "does not reach optim.lr" in rise
    assert "nothing is mixed" in unmixed


@pytest.mark.parametrize(
    ("overrides", "doubt"),
    [
        (("mixup=erm", "mixup.layer=0", "mixup.fold=true"), "mixup.fold=true, mixup.layer=0: no effect"),
        (("optim.decay=10",), "the learning rate rises"),
        (("optim.warmup_epochs=2", "optim.warmup_lr=0.5"), "the learning rate falls in the warm-up"),
        (("mixup.ways=9", "trainer.batch_size=8"), "examples mix with themselves"),
        (("data=ring", "model=gan", "gan.iterations=500"), "gan.snapshots: none after gan.iterations=500"),
    ],
)
def test_settings_without_effect_are_remarked_on(overrides, doubt):
    (found,) = doubts(configuration(overrides))
    assert doubt in found
