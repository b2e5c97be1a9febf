"""Sweeps in the jobs of a SLURM that the test starts, and of Ray; how each ends, and what is refused."""

from __future__ import annotations

import builtins
import contextlib
import importlib.util
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import slurm
from conftest import ROOT

from mixup.commands import clusters, sweep
from mixup.commands.clusters import divided, importable, locally
from mixup.errors import UserError
from mixup.run.compose import configuration, planned
from mixup.run.identity import config_hash, run_label
from tests.waiting import wait_until

PATIENCE = 200  # seconds, for what a cluster starts

DIGITS = ("data.train_size=100", "trainer.train_eval_size=20", "trainer.batch_size=32", "optim.milestones=[]")
IN_JOBS = ("sweep.on=slurm", "sweep.slots=4", "sweep.runs_per_job=20", "sweep.job.partition=gpu", "sweep.job.time=60")


# -- without a cluster ---------------------------------------------------------------------------------------------------


def test_none_of_it_is_part_of_a_run():
    plain, away = configuration([]), configuration(IN_JOBS)
    assert (config_hash(away), run_label(away)) == (config_hash(plain), run_label(plain))
    assert away.sweep.job == {"partition": "gpu", "time": 60}
    (task,) = planned(IN_JOBS, multirun=False)
    assert locally(task).config == configuration(["sweep.slots=4"]), "in its job, so that the files of a run are the same"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("sweep.on=slrum", r"sweep\.on=slrum: use local or slurm or ray; did you mean 'slurm'\?"),
        ("sweep.runs_per_job=0", r"sweep\.runs_per_job=0 is out of range: use at least 1, or null"),
    ],
)
def test_what_is_no_setting_is_refused(setting, message):
    with pytest.raises(UserError, match=message):
        configuration([setting])


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [((), [1] * 5), (("sweep.slots=2",), [2, 2, 1]), (("sweep.slots=2", "sweep.runs_per_job=4"), [4, 1])],
)
def test_how_many_runs_a_job_holds(settings, sizes):
    assert [len(chunk) for chunk in divided(planned(["seed=range(5)", *settings], multirun=True))] == sizes


def test_a_job_takes_no_secrets(monkeypatch):
    """It is kept in a file."""
    for name, value in {"WANDB_API_KEY": "k" * 40, "WANDB_BASE_URL": "https://me:word@host", "MIXUP_DATA": "/data"}.items():
        monkeypatch.setenv(name, value)
    job = clusters.Job((), dict)
    assert job.variables["MIXUP_DATA"] == "/data"
    assert not {"WANDB_API_KEY", "WANDB_BASE_URL"} & job.variables.keys()


def test_a_function_of_a_script_gets_the_name_that_other_processes_find(monkeypatch):
    import train

    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(ROOT / "train.py"), raising=False)
    by_script = type(train.train)(train.train.__code__, {"__name__": "__main__"}, "train")
    assert by_script.__module__ == "__main__"
    assert importable(by_script) is train.train
    assert importable(train.train) is train.train


def test_torchrun_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"sweep\.on=slurm and torchrun do not go together.*start with python"):
        sweep.perform_all(planned(["seed=0,1", "sweep.on=slurm"], multirun=True), dict)


@pytest.mark.parametrize(("on", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_missing_package_is_named_with_its_remedy(monkeypatch, tmp_path, on, package):
    usual = builtins.__import__

    def without(name, *arguments, **options):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named '{package}'", name=package)
        return usual(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=rf"sweep\.on={on} needs {package}, which is not installed: pip install"):
        sweep.perform_all(planned(["seed=0,1", f"sweep.on={on}", f"runs_dir={tmp_path}"], multirun=True), dict)
    assert not list(tmp_path.iterdir())


def needs(package: str) -> pytest.MarkDecorator:
    there = importlib.util.find_spec(package) is not None
    return pytest.mark.skipif(not there, reason=f"needs {package}: pip install {package}")


@needs("submitit")
def test_a_machine_without_sbatch_is_told_where_to_start(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"sweep\.on=slurm: sbatch is not in PATH; start where jobs are submitted"):
        sweep.perform_all(planned(["seed=0,1", "sweep.on=slurm", f"runs_dir={tmp_path}"], multirun=True), dict)


@needs("submitit")
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("partitoin=gpu", r"sweep\.job: Unavailable parameter\(s\): \['partitoin'\]; .*sweep\.job\.additional_parameters"),
        ("time='1:00:00'", r"sweep\.job\.time=1:00:00 is out of range: use whole minutes"),
        ("nodes=2", r"sweep\.job\.nodes=2 is out of range: use 1"),
    ],
)
def test_what_a_job_cannot_ask_for_is_refused(monkeypatch, tmp_path, setting, message):
    for name in ("sbatch", "srun", "squeue"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ["seed=0,1", "sweep.on=slurm", f"sweep.job.{setting}", f"runs_dir={tmp_path}/runs"]
    with pytest.raises(UserError, match=message):
        sweep.perform_all(planned(words, multirun=True), dict)


# -- SLURM ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[dict[str, str]]:
    """The variables of a process that uses a SLURM of one machine with two cores."""
    if not importlib.util.find_spec("submitit"):
        pytest.skip("needs submitit: pip install submitit")
    if why := slurm.why_not():
        pytest.skip(why)
    with contextlib.ExitStack() as stack:
        try:
            environ = stack.enter_context(slurm.slurm(tmp_path_factory.mktemp("slurm")))
        except RuntimeError as error:
            pytest.skip(str(error))
        yield environ | {"WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def start(cluster, tmp_path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `train.py` in another folder than the checkout, as a user of this SLURM does; ends what remains of it."""
    started: list[subprocess.Popen[str]] = []

    def command(*words: str) -> subprocess.Popen[str]:
        line = [sys.executable, str(ROOT / "train.py"), *words, *DIGITS, "runs_dir=runs"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        started.append(subprocess.Popen(line, cwd=tmp_path, env=cluster, start_new_session=True, **pipes))
        return started[-1]

    yield command
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
    slurm.end_jobs(cluster)


def asked(cluster: dict[str, str], *words: str) -> str:
    return subprocess.run(words, env=cluster, capture_output=True, text=True, check=True).stdout


def weights(runs: Path) -> dict[str, bytes]:
    return {file.parent.name: file.read_bytes() for file in runs.glob("*/*/weights.safetensors")}


@pytest.mark.long
def test_a_run_whose_job_is_preempted_goes_on_to_the_same_bytes(start, cluster, command, tmp_path):
    """Four runs, two in each job and at once. The first job is asked to make room; then nothing is left to do."""
    grid = ("mixup=erm,mixup", "trainer.epochs=60")
    words = ("-m", "seed=0,1", *grid, "sweep.on=slurm", "sweep.slots=2", "sweep.job.time=30")
    process, runs = start(*words), tmp_path / "runs"
    wait_until(lambda: sum(file.stat().st_size > 0 for file in runs.glob("*/*seed=0-*/metrics.jsonl")) == 2, PATIENCE)
    (array,) = {job.partition("_")[0] for job in asked(cluster, "squeue", "--noheader", "--array", "--format=%i").split()}
    asked(cluster, "scancel", "--signal=USR1", f"{array}_0")
    wait_until(lambda: "BeginTime" in asked(cluster, "squeue", "--noheader", "--format=%r"), PATIENCE)
    asked(cluster, "scontrol", "update", f"JobId={array}_0", "StartTime=now")  # SLURM lets it wait for two minutes
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output
    assert f"2 jobs of SLURM: {array}; " in output
    assert output.count("test error") >= 4
    assert "±" in output, "the table"
    logs = {file.parent.name: file.read_text() for file in runs.glob("*/*/output.log")}
    assert {name for name, log in logs.items() if "resumed at" in log} == {name for name in logs if "seed=0-" in name}
    here = command("train.py", "-m", "seed=0", *grid, *DIGITS, "sweep.slots=2", f"runs_dir={tmp_path / 'here'}")
    assert here.returncode == 0, here.stderr
    assert len(weights(runs)) == 4
    assert len(weights(tmp_path / "here")) == 2
    assert weights(tmp_path / "here").items() <= weights(runs).items()
    assert not any("slurm" in file.read_text() for file in runs.glob("*/*/config.yaml"))
    again = start(*words)
    output, _ = again.communicate(timeout=100)
    assert again.returncode == 0
    assert output.count("already finished") == 4
    assert "jobs of SLURM" not in output


@pytest.mark.long
def test_a_command_that_is_stopped_leaves_its_jobs_to_the_same_command(start, cluster, tmp_path):
    """The runs that wait or train are not submitted again. A job that is cancelled is told, and its run has saved."""
    words = ("-m", "seed=0,1,2", "trainer.epochs=100000", "sweep.on=slurm", "sweep.job.time=30")
    first, runs = start(*words), tmp_path / "runs"
    wait_until(lambda: any(file.stat().st_size for file in runs.glob("*/*/metrics.jsonl")), PATIENCE)
    first.send_signal(signal.SIGTERM)
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 143, output
    assert "the jobs go on, and the same command watches them again; scancel " in output
    jobs = asked(cluster, "squeue", "--noheader", "--array", "--format=%i").split()
    assert len(jobs) == 3
    again = start(*words)
    assert again.stdout is not None
    lines = iter(again.stdout.readline, "")
    assert any("3 of 3 runs are in jobs of an earlier start, and stay there" in line for line in lines)
    assert asked(cluster, "squeue", "--noheader", "--array", "--format=%i").split() == jobs
    asked(cluster, "scancel", jobs[0].partition("_")[0])
    output, _ = again.communicate(timeout=200)
    assert again.returncode == 1, output
    assert output.count(" was cancelled, killed, or ran out of memory, see ") == 3
    assert list(runs.glob("*/*/checkpoint/*.pt")), "what was trained"


@pytest.mark.slow
def test_a_partition_that_does_not_exist_is_one_message(start):
    process = start("-m", "seed=0,1", "sweep.on=slurm", "sweep.job.partition=nosuch")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "SLURM refuses the jobs: sbatch: error: invalid partition specified: nosuch" in output
    assert "; sweep.job holds what each asks for" in output
    assert "Traceback" not in output
    assert output.count("nosuch") == 1


# -- Ray -----------------------------------------------------------------------------------------------------------------


@pytest.mark.long
@needs("ray")
def test_ray_trains_the_same_and_a_stopped_sweep_keeps_what_it_has(command, background, tmp_path):
    grid = ("-m", "seed=0,1", *DIGITS, "trainer.epochs=200", "sweep.job.num_cpus=1")
    words = ("train.py", *grid, "sweep.on=ray", f"runs_dir={tmp_path / 'ray'}")
    process = background(*words)
    wait_until(lambda: any(file.stat().st_size for file in tmp_path.glob("ray/*/*/metrics.jsonl")), PATIENCE)
    process.send_signal(signal.SIGTERM)
    assert process.wait(100) == 128 + signal.SIGTERM
    assert list(tmp_path.glob("ray/*/*/checkpoint/*.pt"))
    assert not list(tmp_path.glob("ray/*/*/record.json"))
    done = command(*words, timeout=400)
    assert done.returncode == 0, done.stderr
    assert "2 tasks of Ray" in done.stdout
    assert "±" in done.stdout, "the table"
    assert any("resumed at" in log.read_text() for log in tmp_path.glob("ray/*/*/output.log"))
    here = command("train.py", *grid, "sweep.slots=2", f"runs_dir={tmp_path / 'here'}")
    assert here.returncode == 0, here.stderr
    assert weights(tmp_path / "ray") == weights(tmp_path / "here") != {}
