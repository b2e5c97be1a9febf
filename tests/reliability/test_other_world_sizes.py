"""A run that goes on with another number of processes: with the same batches, or not at all."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from mixup.errors import UserError
from mixup.run import records
from mixup.run.compose import configuration
from mixup.training import train as run
from mixup.training.checkpoint import checkpoints, load_newest, save
from tests.reliability.test_resume import COMMON, KINDS, STEPS, stopped_after
from tests.training.test_distributed import torchrun
from tests.training.test_streamed_runs import root

__all__ = ["root"]  # a fixture

RUN = (
    *("data.train_size=101", "data.test_size=40", "trainer.epochs=3", "trainer.batch_size=32", "optim.milestones=[]"),
    *("trainer.train_eval_size=20", "mixup.lam_per=example", "mixup.noise=0.1"),
)


@pytest.mark.parametrize(
    ("settings", "goes_on"),
    [
        (KINDS["mixup"], True),
        (KINDS["batchnorm and dropout"], True),
        (KINDS["latent"], False),
        (KINDS["streamed"], False),
        ((*KINDS["streamed"], "mixup=erm"), True),
    ],
    ids=["resident", "batchnorm", "latent", "streamed", "streamed ERM"],
)
def test_a_checkpoint_of_two_processes(monkeypatch, tmp_path, root, capsys, settings, goes_on):
    config = configuration([*COMMON, *settings, f"data.root={root}"])
    with monkeypatch.context() as patch:
        stopped_after(STEPS + 1)(patch)
        with pytest.raises(run.Stopped):
            run.train(config, tmp_path / "run", "")
    folder = tmp_path / "run" / "checkpoint"
    state = load_newest(folder, warn=pytest.fail)
    assert state is not None
    save(folder, STEPS + 1, state | {"world_size": 2})
    before = checkpoints(folder)
    if not goes_on:
        with pytest.raises(
            UserError, match=r"with 1 the mixtures would be others\. Go on with torchrun with 2 processes, or"
        ):
            run.train(config, tmp_path / "run", "")
        assert checkpoints(folder) == before
        return
    run.train(config, tmp_path / "run", "")
    assert "resumed with world_size 1 instead of 2: the batches stay the same, but" in capsys.readouterr().err


def batches(folder: Path) -> list[str]:
    return sorted(line for file in folder.iterdir() for line in file.read_text().splitlines())


SCRIPT = "tests/reliability/logged_batches.py"


@pytest.fixture(scope="module")
def of_one_process(command, tmp_path_factory) -> list[str]:
    folder, runs = tmp_path_factory.mktemp("batches"), tmp_path_factory.mktemp("runs")
    done = command(SCRIPT, folder, 0, *RUN, f"runs_dir={runs}")
    assert done.returncode == 0, done.stderr
    return batches(folder)


@pytest.fixture(scope="module")
def stopped(command, tmp_path_factory) -> Path:
    """The batches and runs of two processes that were stopped in mid-epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    (folder / "batches").mkdir()
    done = torchrun(command, 2, SCRIPT, str(folder / "batches"), "6", *RUN, f"runs_dir={folder / 'runs'}")
    assert "stopped by SIGTERM after step" in done.stderr
    return folder


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("processes", [1, 4])
def test_stopped_on_two_processes_it_goes_on_with_the_same_batches(command, of_one_process, stopped, tmp_path, processes):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    log, runs = tmp_path / "batches", tmp_path / "runs"
    assert 0 < len(batches(log)) < len(of_one_process) == 3 * 101
    arguments = (SCRIPT, str(log), "0", *RUN, f"runs_dir={runs}")
    launch = command if processes == 1 else partial(torchrun, command, processes)
    done = launch(*arguments, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"resumed with world_size {processes} instead of 2" in done.stderr
    assert batches(log) == of_one_process
    (folder,) = runs.glob("*/*/")
    record = records.read_record(folder)
    assert [segment["world_size"] for segment in record["segments"]] == [2, processes]
