"""Hydra's flags: a user's own files are composed as Hydra's command line does, and what has no effect is refused."""

from __future__ import annotations

import json

import pytest

from mixup.run.compose import planned
from mixup.run.sources import Sources, sources_of

OTHER = "defaults: [train, _self_]\noptim: {lr: 0.02}\n"
SMALL = ("data.train_size=60", "trainer.epochs=1", "trainer.train_eval_size=20", "sweep.slots=1", "optim.milestones=[]")


def one_message(error: str, length: int = 330) -> bool:
    return len(error.strip().splitlines()) == 1 and len(error) < length and "Traceback" not in error


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
    assert sources_of(None, None) == Sources()


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("--cfg", "job", "seed=7"), "seed: 7"),
        (("-c", "job", "--package", "optim"), "lr: 0.05"),
        (("--config-dir", "OWN", "experiment=mine", "--cfg", "job", "seed=7"), "name: mine"),
        (("-cd", "OWN", "-cn", "other", "--cfg=job", "--resolve"), "name: digits-lenet"),
        (("seed=3", "--info", "searchpath", "--config-dir", "OWN"), "OWN"),
        (("--info", "defaults"), "data/digits"),
        (("--help-all",), "memory_efficient: null"),
        (("--help-all", "--config-dir", "OWN"), "mine"),
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
