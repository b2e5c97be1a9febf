"""What users type, and what they get: what they asked for, or one message that names the setting and the remedy."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

import train as train_script
from mixup.commands import evaluate
from mixup.errors import UserError
from mixup.run.compose import planned
from mixup.run.sources import CONFIGS, Sources, sources_of

SMALL = ("data.train_size=60", "trainer.epochs=1", "trainer.clean_slice=20", "sweep.slots=1", "optim.milestones=[]")

MINE = """# @package _global_
name: mine
trainer: {epochs: 1}
mixup: {alpha: 0.3}
"""
GRID = """# @package _global_
defaults:
  - override /data: few
hydra: {sweeper: {params: {seed: "0,1", mixup.alpha: "0.3,0.4"}}}
"""
FEW = """# @package _global_
defaults: [/recipe: digits, _self_]
data: {name: digits, train_size: 60}
"""
OTHER = """defaults: [train, _self_]
optim: {lr: 0.02}
"""


@pytest.fixture
def train(monkeypatch, capsys, tmp_path):
    """`train.py ARGUMENTS` in this process: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        status = train_script.main()
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def own(tmp_path) -> Path:
    """A folder of a user's files."""
    folder = tmp_path / "own files"
    for name, text in (("experiment/mine", MINE), ("experiment/mine_grid", GRID), ("data/few", FEW), ("other", OTHER)):
        file = folder / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "searched.yaml").write_text(f"{OTHER}hydra: {{searchpath: ['file://{folder}']}}\n")
    return folder


def one_message(error: str, length: int = 330) -> bool:
    return len(error.strip().splitlines()) == 1 and len(error) < length and "Traceback" not in error


# -- Hydra's flags -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["--config-dir", "-cd", "hydra.searchpath", "searched"])
def test_a_users_experiment_trains_as_it_says(train, own, tmp_path, by):
    words = {
        "hydra.searchpath": [f"hydra.searchpath=['file://{own}']"],
        "searched": ["--config-dir", str(own), "--config-name", "searched"],
    }.get(by, [by, str(own)])
    status, output, error = train(*words, "experiment=mine", *SMALL)
    assert (status, error) == (0, "")
    assert "already finished" not in output
    (file,) = tmp_path.glob("runs/mine/*/record.json")
    config = json.loads(file.read_text())["config"]
    assert (config["mixup"]["alpha"], config["trainer"]["epochs"]) == (0.3, 1)
    assert config["optim"]["lr"] == (0.02 if by == "searched" else 0.05)
    assert (
        train("name=mine", "mixup.alpha=0.3", f"optim.lr={config['optim']['lr']}", *SMALL)[1].count("already finished") == 1
    )


def test_a_users_first_file_is_that_of_every_cell_and_of_the_table(train, own, tmp_path):
    status, output, _ = train("-m", "--config-dir", str(own), "--config-name=other", "seed=0,1", *SMALL)
    assert status == 0
    rates = [json.loads(file.read_text())["config"]["optim"]["lr"] for file in tmp_path.glob("runs/*/*/record.json")]
    assert rates == [0.02, 0.02]
    assert "(n=2)" in output


def test_a_users_grid_needs_m_and_is_run_with_it(own):
    sources = sources_of(str(own), None)
    with pytest.raises(Exception, match=r"experiment=mine_grid is a grid over seed, mixup\.alpha: add -m"):
        planned(["experiment=mine_grid"], multirun=False, sources=sources)
    tasks = planned(["experiment=mine_grid"], multirun=True, sources=sources)
    assert {(task.config.seed, task.config.mixup.alpha) for task in tasks} == {(0, 0.3), (1, 0.3), (0, 0.4), (1, 0.4)}
    assert all(task.label.startswith("train_size=60,") for task in tasks), (
        "a label says what the user's file of data changes"
    )


def test_a_glob_finds_files_of_all_folders(own):
    tasks = planned(["experiment=glob([m*,n*],exclude=[*_grid])"], multirun=True, sources=sources_of(str(own), None))
    assert {task.config.name for task in tasks} == {"mine", "digits-lenet"}, "mine, and none of the project's"


def test_a_search_path_of_the_command_line_takes_the_place_of_that_of_the_first_file(own, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    words = ["experiment=glob(mine)", f"hydra.searchpath=['file://{tmp_path}/elsewhere']"]
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "searched.yaml").write_text((own / "searched.yaml").read_text())
    sources = sources_of(str(beside), "searched.yaml")
    assert len(planned(words[:1], multirun=True, sources=sources)) == 1
    with pytest.raises(Exception, match="no values to run"):
        planned(words, multirun=True, sources=sources)


def test_the_projects_files_are_composed_from_alone_without_flags(own):
    planned(["experiment=mine"], multirun=False, sources=sources_of(str(own), None))
    with pytest.raises(Exception, match="mine"):
        planned(["experiment=mine"], multirun=False)
    assert sources_of(None, None) == Sources(CONFIGS)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("--cfg", "job", "seed=7"), "seed: 7"),
        (("-c", "job", "--package", "optim"), "lr: 0.05"),
        (("--config-dir", "OWN", "experiment=mine", "--cfg", "job", "seed=7"), "name: mine"),
        (("-cd", "OWN", "-cn", "other", "--cfg=job", "--resolve"), "name: digits-lenet"),
        (("seed=3", "--info", "searchpath", "--config-dir", "OWN"), "OWN"),
        (("--info", "defaults"), "data/digits"),
        (("--help",), "train.py trains one network"),
        (("--help", "--config-dir", "OWN"), "mine"),
    ],
)
def test_what_hydra_shows_it_shows_with_a_users_files_too(command, own, words, shown):
    done = command("train.py", *(word.replace("OWN", str(own)) for word in words))  # a process, whose logging Hydra sets up
    assert (done.returncode, done.stderr) == (0, "")
    assert shown.replace("OWN", str(own)) in done.stdout


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("--config-dir", "/nowhere"), "no such folder"),
        (("--config-name", "other"), "--config-dir DIR"),
        (("--config-dir", "OWN", "--config-name", "othre"), "no othre.yaml"),
        (("--config-path", "OWN"), "--config-dir DIR"),
        (("-cp", "OWN", "--cfg", "job"), "--config-dir DIR"),
        (("--experimental-rerun", "config.pickle"), "the same command resumes"),
        (("--package", "optim"), "add --cfg job"),
        (("-m", "--cfg", "job"), "give one of them"),
        (("--cfg", "everything"), "invalid choice"),
        (("--config-dir",), "expected one argument"),
        (("hydra.searchpath=[file:///nowhere]",), "no folder file:///nowhere"),
        (("hydra.searchpath=/nowhere",), "hydra.searchpath"),
        (("hydra.searchpath=[pkg://no.such.package]",), "no folder pkg://no.such.package"),
        (("hydra.job.chdir=true",), "runs_dir=DIR"),
        (("hydra.run.dir=/x",), "runs_dir=DIR"),
        (("-m", "hydra.sweep.dir=/x", "seed=0,1"), "runs_dir=DIR"),
        (("hydra.output_subdir=x",), "runs_dir=DIR"),
        (("hydra/launcher=joblib", "-m"), "sweep.slots=N"),
        (("hydra.launcher.n_jobs=2", "-m"), "sweep.slots=N"),
        (("hydra/sweeper=optuna",), "key=value,value"),
        (("hydra.mode=MULTIRUN",), "-m makes a sweep"),
        (("hydra.verbose=true",), "leave it out"),
        (("--mixup.alpha=0.2",), "${args_no_hyphens}"),
        (("--mixup.alpha", "0.2"), "${args_no_hyphens}"),
        (("--multirn", "seed=0,1"), "no such flag; there are -m"),
    ],
)
def test_a_flag_that_cannot_be_obeyed_says_what_can(train, own, tmp_path, words, remedy):
    status, output, error = train(*(word.replace("OWN", str(own)) for word in words))
    assert (status, output) == (2, "")
    assert remedy in error
    assert one_message(error)
    assert not (tmp_path / "runs").exists()


def test_a_users_file_that_asks_for_what_hydra_does_elsewhere_is_refused(train, own):
    (own / "chdir.yaml").write_text(f"{OTHER}hydra: {{job: {{chdir: true}}}}\n")
    status, _, error = train("--config-dir", str(own), "--config-name", "chdir")
    assert status == 2
    assert "hydra.job.chdir" in error
    assert one_message(error)


# -- settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("=3",), "write key=value"),
        (("",), "write key=value"),
        (("seed",), "write key=value"),
        (("~data",), "data=VALUE"),
        (("~mixup.alpha",), "mixup.alpha=VALUE"),
        (("data=null",), "data=NAME"),
        (("data=3",), "data=3"),
        (("model=[lenet,mlp]",), "model=NAME,NAME with -m"),
        (("data=cifar10,cifar100",), "add -m"),
        (("experiment=wrong",), "there are alpha_sweep"),
        (("+experiment=quickstart",), "experiment"),
        (("experiment@foo=quickstart",), "experiment@foo"),
        (("foo/bar=baz",), "foo/bar"),
        (("optim=3",), "optim"),
        (("optim=null",), "optim"),
        (("gan={game:paper}",), "model=gan"),
        (("gan.iterations=3",), "model=gan"),
        (("seed=${seed}",), "seed"),
        (("seed=${nothing}",), "seed: interpolation key 'nothing' not found"),
        (("name=${oc.env:NOT_SET_ANYWHERE}",), "NOT_SET_ANYWHERE"),
        (("seed=???",), "seed"),
        (("name=2024_10",), "'name=\"2024_10\"'"),
        (("data.root=/a,b",), "'data.root=\"/a,b\"'"),
        (("runs_dir='/a",), "runs_dir"),
        (("-m", "mixup.alpha=interval(0,1)"), "list them"),
        (("-m", "seed=range(0,0)"), "no values to run"),
        (("-m", "experiment=glob(zz*)"), "no values to run"),
        (("-m", "seed=range(0,1000000000000)"), "too many values"),
        (("-m", "seed=range(0,1000)", "data.seed=range(0,1000)"), "1,000,000 runs"),
        (("-m", "data.root=/a,/b"), "one folder"),
        (("-m", "trainer.log_every_steps=5,6"), "one folder"),
    ],
)
def test_a_mistake_in_a_setting_is_one_message_that_names_it(train, tmp_path, words, remedy):
    status, output, error = train(*words)
    assert (status, output) == (2, "")
    assert remedy in error
    assert one_message(error, 500)
    assert list(tmp_path.iterdir()) == []


PATHS = [
    "~/x",
    '"~/x"',
    "é",
    "a#b",
    "a&b",
    "a(b)",
    "a=b",
    "a b",
    "a[b]",
    "a{b}",
    "a;b",
    "a$b",
    '"a,b"',
    "a!b",
    "日本",
    "a<b>",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_the_folder_that_it_names(monkeypatch, tmp_path, path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (task,) = planned([f"runs_dir={path}", f"data.root={path}"], multirun=False)
    assert task.folder.parent.parent == Path(path.strip('"')).expanduser()
    assert Path(task.config.data.root or "").expanduser() == Path(path.strip('"')).expanduser()


@pytest.mark.parametrize("key", ["runs_dir", "data.root", "tracking.project"])
@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a'b", """'KEY="a'"'"'b"'"""),
        ('a"b', """'KEY="a\\"b"'"""),
        ("a,b", """'KEY="a,b"'"""),
        ("2024_10", """'KEY="2024_10"'"""),
    ],
)
def test_a_text_that_has_to_be_quoted_is_shown_as_a_shell_takes_it(key, value, written):
    with pytest.raises(UserError) as caught:
        planned([f"{key}={value}"], multirun=False)
    written = written.replace("KEY", key)
    assert str(caught.value).startswith(key)
    assert str(caught.value).endswith(written)
    (word,) = shlex.split(written)
    (task,) = planned([word], multirun=False)
    assert value in str(task.config)


def test_hydra_shows_a_path_that_its_grammar_cannot_read(command):
    done = command("train.py", "data.root=~/a(b)", "--cfg", "job")
    assert "root: ~/a(b)" in done.stdout


@pytest.mark.parametrize("setting", ["runs_dir", "data.root"])
def test_the_home_of_nobody_is_no_folder(setting):
    with pytest.raises(UserError, match=f"{setting}=~nobody-here/x: there is no such home"):
        planned([f"{setting}=~nobody-here/x"], multirun=False)


PACKAGE = "# @package _global_\n"
BAD_FILES = [
    (f"{PACKAGE}name: [a\nseed: 3\n", "bad.yaml, line 3: no YAML"),
    (f"{PACKAGE}\tname: x\n", "bad.yaml, line 2: no YAML"),
    (f"{PACKAGE}seed: 1\nseed: 2\n", "bad.yaml, line 3: no YAML (found duplicate key seed)"),
    (f"{PACKAGE}seed: \x07\n", "bad.yaml"),
    ("trainer: {epochs: 1}\n", "write '# @package _global_'"),
    ("- a\n", "write '# @package _global_'"),
    (f"{PACKAGE}trainer: {{epochs: ten}}\n", "In 'experiment/bad': trainer.epochs"),
    (f"{PACKAGE}trainer: {{epcohs: 1}}\n", "did you mean 'trainer.epochs'?"),
    (f"{PACKAGE}defaults: [nothing]\n", "nothing"),
    (f"{PACKAGE}defaults:\n  - override /data: nothing\n", "data=nothing: no such file"),
    (f"{PACKAGE}defaults: 3\n", "defaults must be a list"),
    (f"{PACKAGE}defaults: [/experiment: bad]\n", "experiment=bad"),
    (f"{PACKAGE}hydra: {{sweeper: {{params: 3}}}}\n", "hydra.sweeper.params"),
    (f"{PACKAGE}hydra: {{sweeper: {{params: {{seed: [0, 1]}}}}}}\n", "seed"),
    (f"{PACKAGE}hydra: {{job: {{chdir: true}}}}\n", "hydra.job.chdir"),
    (f"{PACKAGE}seed: ${{oc.env:NOT_SET_ANYWHERE}}\n", "NOT_SET_ANYWHERE"),
    (f'{PACKAGE}seed: "${{"\n', "seed"),
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES)
def test_a_mistake_in_a_users_file_is_one_message_that_names_it(train, own, tmp_path, text, message):
    (own / "experiment" / "bad.yaml").write_text(text)
    status, output, error = train("--config-dir", str(own), "experiment=bad")
    assert (status, output) == (2, "")
    assert message in error
    assert one_message(error, 500)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\n", "begins with defaults: [train, _self_]"),
        ("defaults: [train, _self_]\nfoo: 1\n", "foo: no such setting"),
        ("seed: [\n", "first.yaml, line 2: no YAML"),
        ("- 1\n", "first.yaml: this file is a list"),
        ("", "begins with defaults: [train, _self_]"),
    ],
)
def test_a_mistake_in_a_users_first_file_is_one_message(train, own, text, message):
    (own / "first.yaml").write_text(text)
    status, output, error = train("--config-dir", str(own), "--config-name", "first")
    assert (status, output) == (2, "")
    assert message in error
    assert one_message(error)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["--run=x"], "without hyphens, as run=x"),
        (["--help-me"], "without hyphens"),
        (["run=~nobody-here/x"], "no such directory"),
        (["run=${x}"], "run"),
        (["run=x", "pairs=1000000000000000000000"], "at most a billion"),
        (["run=x", "pairs=nan"], "pairs"),
        (["run=x", "eps=nan", "attack=fgsm"], "eps"),
        (["run=x", "between=maybe"], "between"),
    ],
)
def test_a_mistake_in_an_evaluation_is_one_message(capsys, words, remedy):
    assert evaluate.evaluate(words, usage="usage") == 2
    error = capsys.readouterr().err
    assert remedy in error
    assert one_message(error)


def test_an_evaluation_takes_the_home(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    evaluate.evaluate(["run=~/runs/x"], usage="usage")
    assert f"run={tmp_path}/runs/x: no such directory" in capsys.readouterr().err


def test_a_measure_that_only_sweeps_take_is_remarked_on(train):
    _, _, error = train("evaluate=card", "dry_run=true")
    assert "for this run there is eval.py" in error
