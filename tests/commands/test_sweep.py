"""Runs of a sweep side by side: how many, that they are those of one after the other, and how each may end."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mixup.commands import slots, sweep
from mixup.commands.overview import Overview, done, failure
from mixup.errors import UserError
from mixup.run.compose import configuration, planned
from tests.waiting import wait_until

DIGITS = ("data.train_size=100", "trainer.train_eval_size=20", "trainer.batch_size=32", "optim.milestones=[]")
CORES = 5


@pytest.fixture(autouse=True)
def five_cores(monkeypatch):
    for module in (sweep, slots):
        monkeypatch.setattr(module, "cores", lambda: CORES)
    monkeypatch.delenv("WORLD_SIZE", raising=False)


@pytest.mark.parametrize(
    ("overrides", "gpus", "count"),
    [
        (["seed=range(9)"], 0, CORES),
        (["seed=range(3)"], 0, 3),
        (["seed=range(9)", "sweep.slots=2"], 0, 2),
        (["seed=range(9)", "dry_run=true"], 0, 1),
        (["seed=range(9)", "data=cifar10", "model=preact_resnet18"], 0, 1),
        (["seed=range(9)", "data=cifar10", "model=preact_resnet18", "scale=cpu"], 0, CORES),
        (["model=lenet,preact_resnet18", "seed=range(9)"], 0, 1),
        (["seed=range(9)", "data=cifar10", "model=preact_resnet18"], 4, 4),
        (["seed=range(9)", "trainer.device=cpu"], 4, CORES),
        (["seed=range(9)", "trainer.device=cuda:1"], 4, 1),
        (["seed=range(9)", "data=ring", "model=gan"], 0, CORES),
    ],
)
def test_how_many_run_at_once(overrides, gpus, count):
    assert sweep.slots_of(planned(overrides, multirun=True), gpus) == count


def test_under_torchrun_there_is_one_slot(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert sweep.slots_of(planned(["seed=0,1"], multirun=True), 4) == 1


@pytest.mark.parametrize("count", ["0", "-1", "many", "1.5", "true"])
def test_slots_are_a_number_or_auto(count):
    with pytest.raises(UserError, match=r"sweep\.slots=.*use auto, or a whole number, at least 1"):
        configuration([f"sweep.slots={count}"])


def test_the_gpus_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-7f")
    assert sweep.gpus() == ["2", "GPU-7f"]
    for none in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        assert sweep.gpus() == []


@pytest.fixture
def started(monkeypatch):
    """What each process that a sweep starts has of the machine; none is started."""
    found = []

    def start(train, device, count):
        found.append(slots.environment(device, count))
        return slots.Slot(None, SimpleNamespace(send=lambda task: None), device)

    monkeypatch.setattr(sweep, "start", start)
    monkeypatch.setattr(sweep.Sweep, "run", lambda self: self.fill(Overview(self.waiting)) or {})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    return found


def test_more_slots_than_gpus_share_them_and_all_share_the_cores(started):
    sweep.perform_all(planned(["seed=range(9)", "sweep.slots=3"], multirun=True), lambda task: {})
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in started] == ["4", "7", "4"]
    assert {(slot["OMP_NUM_THREADS"], slot["LOCAL_WORLD_SIZE"]) for slot in started} == {(str(CORES // 3), "3")}


@pytest.mark.parametrize(("device", "threads"), [("cpu", 1), ("cuda:1", 2)])
def test_a_device_that_is_named_is_found_in_every_slot(started, device, threads):
    """Only the first GPU would be left where CUDA_VISIBLE_DEVICES named one."""
    count = "auto" if device == "cpu" else 2
    sweep.perform_all(planned(["seed=range(9)", f"sweep.slots={count}", f"trainer.device={device}"], multirun=True), dict)
    assert started
    assert {slot["OMP_NUM_THREADS"] for slot in started} == {str(threads)}
    assert not any("CUDA_VISIBLE_DEVICES" in slot for slot in started)


def test_two_runs_of_one_folder_are_one(started):
    tasks = planned(["seed=0,1,0,1", "sweep.slots=4"], multirun=True)
    assert len(tasks) == 4
    sweep.perform_all(tasks, dict)
    assert len(started) == 2


def test_a_failure_is_told_by_its_cause(tmp_path):
    (task,) = planned(["seed=0", f"runs_dir={tmp_path}"], multirun=False)
    log = task.folder / "output.log"
    task.folder.mkdir(parents=True)
    (task.folder / "config.yaml").touch()
    log.write_text("[1/2] a folder\nepoch 7/30\n")
    assert failure(task, -signal.SIGKILL) == f"failed: its process ended by SIGKILL ({log})"
    log.write_text("Traceback\nValueError: a fault\n")
    assert failure(task, 1) == f"failed: ValueError: a fault ({log})"
    (task.folder / "config.yaml").unlink()
    log.write_text("[1/2] a folder\nno CIFAR-10 in /data. Any one of these will do:\n  * the archive\n")
    assert failure(task, 2) == "failed: no CIFAR-10 in /data. Any one of these will do:\n  * the archive"
    assert not task.folder.exists(), "a refused configuration leaves nothing behind"


def test_the_first_run_on_files_prepares_them_alone(tmp_path):
    """The others of that data set wait until it trains; those of another, or of one without files, do not."""
    waiting = planned(["data=cifar10,cifar100", "seed=0,1", f"runs_dir={tmp_path}"], multirun=True)
    first, same, other, _ = waiting
    sweeping = sweep.Sweep(waiting[1:], lambda task: {}, 4, [])
    sweeping.slots = [SimpleNamespace(task=first)]
    assert sweeping.next_task() is other
    first.folder.mkdir(parents=True)
    (first.folder / "metrics.jsonl").touch()
    assert sweeping.next_task() is same
    digits = planned(["data=digits", "seed=0,1", f"runs_dir={tmp_path}"], multirun=True)
    sweeping.waiting, sweeping.slots = digits[1:], [SimpleNamespace(task=digits[0])]
    assert sweeping.next_task() is digits[1]


def test_how_far_a_run_has_come_is_read_from_its_metrics(tmp_path):
    assert done(tmp_path, "epoch") == 0
    lines = [{"step": 3, "train_step_loss": 1.0}, {"epoch": 4, "step": 8}, {"step": 9, "train_step_loss": 1.0}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert done(tmp_path, "epoch") == 4
    assert done(tmp_path, "step") == 9, "of a GAN, which has no epochs"
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 5, "st')
    assert done(tmp_path, "epoch") in (0, 4), "a line that is being written is no error"


@pytest.mark.slow
def test_side_by_side_is_one_after_the_other_to_the_byte(command, tmp_path):
    weights = {}
    for count in (1, 2):
        runs = tmp_path / str(count)
        arguments = ("seed=0,1", "mixup=erm,mixup", *DIGITS, "trainer.epochs=2", f"sweep.slots={count}", f"runs_dir={runs}")
        done = command("train.py", "-m", *arguments)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("test error") >= 4
        assert "mixup" in done.stdout.splitlines()[-2] or "alpha" in done.stdout, "the table"
        weights[count] = {file.parent.name: file.read_bytes() for file in runs.glob("*/*/weights.safetensors")}
    assert len(weights[1]) == 4
    assert weights[1] == weights[2]
    logs = list((tmp_path / "2").glob("*/*/output.log"))
    assert len(logs) == 4
    assert all("epoch   2/2" in log.read_text() for log in logs)


def test_a_run_that_fails_ends_alone(command, tmp_path):
    """A layer that the network lacks is found when the network is built; no folder is left of it."""
    arguments = ("mixup.layer=3,nosuch", *DIGITS, "trainer.epochs=1", "sweep.slots=2", f"runs_dir={tmp_path}")
    done = command("train.py", "-m", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "failed: mixup.layer=nosuch: no such module" in done.stdout
    (record,) = tmp_path.glob("*/*/record.json")
    assert json.loads(record.read_text())["config"]["mixup"]["layer"] == "3"
    assert not list(tmp_path.glob("*/*nosuch*"))


def training(runs: Path) -> list[Path]:
    """The folders of runs that have closed an epoch."""
    return [file.parent for file in runs.glob("*/*/metrics.jsonl") if file.stat().st_size]


def process_of(folder: Path) -> int:
    return int((folder / "lock").read_text().split()[1])


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


PATIENCE = 90  # seconds until a sweep has got as far as a test wants it
LONG = ("train.py", "-m", "seed=0,1", *DIGITS, "trainer.epochs=4000", "sweep.slots=2")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long)]
)
def test_a_stopped_sweep_keeps_what_each_run_has_trained(background, command, tmp_path, number, status):
    process = background(*LONG, f"runs_dir={tmp_path}")
    wait_until(lambda: len(training(tmp_path)) == 2, PATIENCE)
    children = [process_of(folder) for folder in training(tmp_path)]
    process.send_signal(number)
    assert process.wait(60) == status
    assert not any(map(is_alive, children))
    assert len(list(tmp_path.glob("*/*/checkpoint/*.pt"))) >= 2
    again = background(*LONG, f"runs_dir={tmp_path}")
    wait_until(lambda: all("resumed at" in log.read_text() for log in tmp_path.glob("*/*/output.log")), PATIENCE)
    again.send_signal(signal.SIGTERM)
    again.wait(60)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the signal of a parent's death is Linux's")
def test_the_runs_of_a_killed_sweep_save_and_end(background, tmp_path):
    process = background(*LONG, f"runs_dir={tmp_path}")
    wait_until(lambda: len(training(tmp_path)) == 2, PATIENCE)
    children = [process_of(folder) for folder in training(tmp_path)]
    process.kill()
    wait_until(lambda: not any(map(is_alive, children)), PATIENCE)
    assert len({file.parent for file in tmp_path.glob("*/*/checkpoint/*.pt")}) == 2


@pytest.mark.slow
def test_a_killed_run_does_not_end_the_sweep(background, tmp_path):
    arguments = ("train.py", "-m", "seed=0,1,2", *DIGITS, "trainer.epochs=60", "sweep.slots=2", f"runs_dir={tmp_path}")
    with open(tmp_path / "output", "wb") as output:
        process = background(*arguments, output=output)
        wait_until(lambda: len(training(tmp_path)) >= 1, PATIENCE)
        killed = training(tmp_path)[0]
        os.kill(process_of(killed), signal.SIGKILL)
        assert process.wait(120) == 128 + signal.SIGKILL
    assert len(list(tmp_path.glob("*/*/record.json"))) == 2
    assert not (killed / "record.json").exists()
    assert f"({killed}/output.log)" in (tmp_path / "output").read_text()
