"""A signal stops a run after the step or the evaluated batch at hand, on all ranks alike, and loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from mixup.run.compose import configuration
from mixup.run.processes import STOPPING
from mixup.training import train as run
from tests.conftest import ROOT
from tests.reliability.test_kills import PATIENCE, RUN, TORCHRUN, newest, weights
from tests.training.test_train import NORMED, SMALL, STEPS, assert_same_run
from tests.waiting import wait_until

SETTINGS = (*SMALL, *NORMED, "data.test_size=60", "trainer.eval_batch_size=10")


def settings():
    return configuration(SETTINGS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    run.train(settings(), folder, "a label")
    return folder


def signalled(monkeypatch, number: int, when) -> list[tuple[int, int]]:
    """Sends this process a signal at the first look for one that `when(epoch, step, looks)` accepts; returns all looks, as
    epoch and step. Training looks after every step and evaluation after every batch."""
    real, looks = run.stop_if_signalled, []

    def stop_if_signalled(signals, assembled, progress):
        looks.append((progress.epoch, progress.step))
        if when(progress.epoch, progress.step, len(looks)):
            os.kill(os.getpid(), number)
        real(signals, assembled, progress)

    monkeypatch.setattr(run, "stop_if_signalled", stop_if_signalled)
    return looks


@pytest.mark.parametrize("number", STOPPING, ids=lambda number: number.name)
def test_every_signal_that_asks_to_stop_saves_the_step_at_hand(monkeypatch, tmp_path, finished, number, capfd):
    with monkeypatch.context() as patch:
        signalled(patch, number, lambda epoch, step, looks: (epoch, step) == (1, 2))
        with pytest.raises(run.Stopped, match=f"{number.name} after step {STEPS + 2}") as stopped:
            run.train(settings(), tmp_path / "run", "")
    assert stopped.value.signal == number
    assert f"{number.name}: stopping after this step; again to stop now" in capfd.readouterr().err
    run.train(settings(), tmp_path / "run", "")
    assert_same_run(finished, tmp_path / "run")


@pytest.mark.parametrize(
    ("evaluating", "steps"),
    [((0, STEPS), STEPS), ((2, STEPS), 3 * STEPS), ((3, 0), 3 * STEPS)],
    ids=["first epoch", "last epoch", "final evaluation"],
)
def test_a_signal_during_an_evaluation_stops_it_at_once_and_loses_no_step(
    monkeypatch, tmp_path, finished, evaluating, steps
):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        looks = signalled(patch, signal.SIGTERM, lambda epoch, step, n: looks.count(evaluating) == 3)
        with pytest.raises(run.Stopped, match=f"after step {steps}:"):
            run.train(settings(), folder, "")
        assert looks.count(evaluating) == 3  # of at least nine batches
    run.train(settings(), folder, "")
    assert_same_run(finished, folder)


def test_a_run_killed_in_its_evaluation_has_the_epoch(monkeypatch, tmp_path, finished):
    """The checkpoint is written before the evaluation, which may take longer than a job manager waits."""

    class Kill(BaseException):
        pass

    def killed(*arguments):
        raise Kill

    folder, config = tmp_path / "run", configuration([*SETTINGS, "trainer.checkpoint_every_minutes=0"])
    with monkeypatch.context() as patch:
        patch.setattr(run, "epoch_line", killed)
        with pytest.raises(Kill):
            run.train(config, folder, "")
    assert [file.name for file in sorted(folder.glob("checkpoint/*.pt"))] == [f"step-{STEPS}.pt"]
    run.train(config, folder, "")
    assert_same_run(finished, folder)


def test_a_signal_that_is_ignored_stays_ignored(monkeypatch, tmp_path):
    """As SIGHUP is under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        signalled(monkeypatch, signal.SIGHUP, lambda epoch, step, looks: step == 1)
        assert run.train(settings(), tmp_path / "run", "")["epochs"] == 3
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_ctrl_c_ends_the_run_at_once(monkeypatch, tmp_path):
    signalled(
        monkeypatch, signal.SIGINT, lambda epoch, step, looks: looks == 1 and os.kill(os.getpid(), signal.SIGINT) is None
    )
    with pytest.raises(KeyboardInterrupt):
        run.train(settings(), tmp_path / "run", "")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_exit_status_names_the_signal_though_the_terminal_is_gone(tmp_path):
    """A closed terminal: SIGHUP, and nobody reads what is printed."""
    process = subprocess.Popen(
        [sys.executable, "train.py", *RUN, "trainer.epochs=600", f"runs_dir={tmp_path}"],
        cwd=ROOT,
        env={**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(lambda: newest(tmp_path) > 0, PATIENCE, process)
        process.stderr.close()
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 128 + signal.SIGHUP
    finally:
        process.kill()
    assert newest(tmp_path) > 0


@pytest.fixture(scope="module")
def together(command, tmp_path_factory) -> bytes:
    """The weights of two ranks that nothing has disturbed."""
    runs = tmp_path_factory.mktemp("together")
    done = command(*TORCHRUN, "train.py", *RUN, f"runs_dir={runs}")
    assert done.returncode == 0, done.stderr
    return weights(runs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "to"),
    [
        (signal.SIGTERM, "one rank"),
        pytest.param(signal.SIGUSR1, "all ranks", marks=pytest.mark.long),
        pytest.param(signal.SIGINT, "the group", marks=pytest.mark.long),
    ],
)
def test_ranks_agree_where_they_stop_and_go_on_alike(command, background, together, tmp_path, number, to):
    arguments, cut = (*TORCHRUN, "train.py", *RUN), tmp_path / "cut"
    with open(tmp_path / "output", "wb") as output:
        process = background(*arguments, f"runs_dir={cut}", output=output)
        wait_until(lambda: newest(cut) >= 8, PATIENCE, process)
        ranks = [pid for pid in children(process.pid) if b"train.py" in command_line(pid)]
        assert len(ranks) == 2
        if to == "the group":
            os.killpg(process.pid, number)
        else:
            for rank in ranks[: 1 if to == "one rank" else 2]:
                os.kill(rank, number)
        process.wait(60)
    said = (tmp_path / "output").read_text()
    assert f"stopped by {number.name} after step {newest(cut)}" in said, said
    assert not list(cut.glob("*/*/record.json"))
    done = command(*arguments, f"runs_dir={cut}")
    assert done.returncode == 0, done.stderr
    assert "resumed at epoch" in done.stdout
    assert weights(cut) == together


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def command_line(pid: int) -> bytes:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()
