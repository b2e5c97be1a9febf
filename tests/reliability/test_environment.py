"""Environments that users have: no home, other encodings, closed or full output, half a process group, empty variables."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import train as train_script
from mixup.commands.process import check_ranks, prepare_process
from mixup.errors import UserError, redacted

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("data.train_size=60", "trainer.epochs=1", "trainer.train_eval_size=20", "optim.milestones=[]")
SWEEP = ("-m", "seed=0,1", "sweep.slots=1", *SMALL)
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
Train = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def train(tmp_path) -> Train:
    """`train.py ARGUMENTS` by a shell, with its runs in `runs` here. shell: what follows the command, such as `>&-`.
    variables: those that are None are not set."""

    def run(*arguments: str, shell: str = "", **variables: str | None) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled", **variables}
        done = subprocess.run(
            ["sh", "-c", f'"$@" {shell}', "sh", sys.executable, "train.py", f"runs_dir={tmp_path}/runs", *arguments],
            cwd=ROOT,
            env={name: value for name, value in environ.items() if value is not None},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=240,
        )
        kept = [line for line in done.stderr.splitlines(keepends=True) if not line.startswith("note: ")]  # of the checkout
        done.stderr = "".join(kept)
        return done

    return run


def records(folder: Path) -> int:
    return len(list(folder.glob("runs/*/*/record.json")))


GROUP = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
EMPTY = (*GROUP, "HOME", "MIXUP_DATA", "MIXUP_COMMIT", "WANDB_MODE", "WANDB_PROJECT", "TMPDIR", "CUDA_VISIBLE_DEVICES")
LACKING: dict[str, dict[str, str | None]] = {
    "every variable": dict.fromkeys(set(os.environ) - {"OMP_NUM_THREADS"}),  # as by `env -i`
    "values": dict.fromkeys(EMPTY, ""),
    "a writable home": {"HOME": "/proc/nothing"},
    "a home": {"HOME": None},
    "a terminal": {"TERM": None},
    "a group": {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"},
    "a group, in SLURM": {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "3"},
}


@pytest.mark.parametrize(
    "lacking", [*list(LACKING)[:3], *(pytest.param(name, marks=pytest.mark.slow) for name in list(LACKING)[3:])]
)
def test_a_run_needs_nothing_of_the_environment(train, tmp_path, lacking):
    done = train(*SMALL, "tracking.wandb=disabled", **LACKING[lacking])
    assert (done.returncode, done.stderr, records(tmp_path)) == (0, "", 1)


def test_a_user_whom_the_system_does_not_know_has_a_home_and_a_name(monkeypatch):
    def unknown(user: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setenv("HOME", "")
    monkeypatch.delenv("USER", raising=False)
    prepare_process()
    assert str(os.getuid()) in str(Path.home())
    assert os.environ["USER"]


@pytest.mark.parametrize(
    "variables",
    [ASCII, *(pytest.param({"PYTHONIOENCODING": name}, marks=pytest.mark.slow) for name in ("ascii", "latin-1"))],
)
def test_a_sweeps_table_is_readable_in_every_encoding(train, tmp_path, variables):
    done = train(*SWEEP, **variables)
    assert (done.returncode, done.stderr, records(tmp_path)) == (0, "", 2)
    assert (" +- " in done.stdout) == ("latin" not in str(variables))


@pytest.mark.slow
def test_an_experiments_table_is_readable_in_ascii(train, tmp_path):
    done = train("-m", "experiment=table4_uci", "scale=cpu", "data=iris", "seed=0,1", "trainer.epochs=1", **ASCII)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert "+-" in done.stdout
    assert "±" in next(tmp_path.glob("runs/*/table.md")).read_text(encoding="utf-8")


OUTPUTS = [
    "<&- >&- 2>&-",
    ">/dev/full",
    *(pytest.param(shell, marks=pytest.mark.slow) for shell in (">&-", "2>&-", "2>/dev/full")),
]


@pytest.mark.parametrize("shell", OUTPUTS)
def test_output_that_nobody_takes_ends_no_run(train, tmp_path, shell):
    done = train(*SMALL, shell=shell)
    full = shell == ">/dev/full"
    warning = "warning: output cannot be written (No space left on device): going on without\n" if full else ""
    assert (done.returncode, done.stderr, records(tmp_path)) == (0, warning, 1)


@pytest.mark.slow
@pytest.mark.parametrize("shell", [">&- 2>&-", ">/dev/full 2>&1"])
def test_output_that_nobody_takes_ends_no_sweep(train, tmp_path, shell):
    done = train("-m", "seed=0,1", "sweep.slots=2", *SMALL, shell=shell)
    assert (done.returncode, records(tmp_path)) == (0, 2)


def test_a_mistake_has_its_status_without_output(train):
    for shell in (">&- 2>&-", ">/dev/full 2>&1"):
        assert train("seed=x", shell=shell).returncode == 2


@pytest.fixture
def environ(monkeypatch) -> Callable[..., None]:
    """Sets these variables of a process group, and none of the others."""

    def set_alone(**variables: str) -> None:
        for name in GROUP:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_alone


WHOLE = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


@pytest.mark.parametrize("missing", WHOLE)
def test_a_group_without_one_of_its_variables_is_refused(environ, missing):
    environ(**{name: value for name, value in WHOLE.items() if name != missing})
    with pytest.raises(UserError, match=rf"{missing}\b.* would train alone; start with torchrun"):
        check_ranks()


@pytest.mark.parametrize(
    "alone", [{"LOCAL_RANK": "1"}, {"RANK": "1"}, {"WORLD_SIZE": "4"}, {"RANK": "0", "WORLD_SIZE": "2"}]
)
def test_a_part_of_a_group_is_refused(environ, alone):
    environ(**alone)
    with pytest.raises(UserError, match="start with torchrun"):
        check_ranks()


@pytest.mark.parametrize(
    ("name", "value"),
    [("RANK", "one"), ("RANK", "-1"), ("WORLD_SIZE", "2.0"), ("LOCAL_RANK", " 1"), ("MASTER_PORT", "http"), ("RANK", "2")],
)
def test_a_group_that_is_no_group_is_refused(environ, name, value):
    environ(**{**WHOLE, name: value})
    with pytest.raises(UserError, match=rf"{name}={value}\b.*torchrun"):
        check_ranks()


def test_a_group_and_a_process_alone_pass(environ):
    for variables in (WHOLE, {}, {"WORLD_SIZE": "1"}, {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}):
        environ(**variables)
        check_ranks()


def test_half_a_group_trains_nothing_and_each_process_says_why(train, tmp_path):
    for rank in ("0", "1"):
        done = train(*SMALL, RANK=rank, WORLD_SIZE="2")
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert "LOCAL_RANK" in done.stderr
    assert not (tmp_path / "runs").exists()


# -- secrets -------------------------------------------------------------------------------------------------------------

KEY, PASSWORD = "0123456789abcdef0123456789abcdef01234567", "correct-horse"


@pytest.mark.parametrize(
    "word",
    [
        f"data.root=https://user:{PASSWORD}@host/data",
        f"runs_dir=s3://user:{PASSWORD}@bucket/runs",
        f'tracking.entity="https://user:{PASSWORD}@host"',
        f"tracking.entity={KEY}",
        f"tracking.project={KEY}",
        f"hydra.searchpath=[https://user:{PASSWORD}@host]",
        f"--config-dir=https://user:{PASSWORD}@host",
        f"data.rot=https://user:{PASSWORD}@host",
        f"seed=https://user:{PASSWORD}@host",
        f"trainer.device=https://user:{PASSWORD}@host",
        f"--key=https://user:{PASSWORD}@host",
        f"+wandb_key={KEY}",
    ],
)
def test_a_secret_on_the_command_line_is_refused_and_stands_nowhere(monkeypatch, capsys, tmp_path, word):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(sys, "argv", ["train.py", *SMALL, word])
    assert train_script.main() == 2
    output, error = capsys.readouterr()
    assert (output, len(error.splitlines())) == ("", 1)
    assert not any(secret in error for secret in (PASSWORD, KEY))
    assert list(tmp_path.iterdir()) == []


def test_a_text_is_redacted_where_it_holds_a_secret(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert redacted(f"at https://me:{PASSWORD}@host:80/x with {KEY}") == "at https://***@host:80/x with ***"
    assert redacted("wandb_v1_abcdefghijklmnopqrstuvwxyz, me@host, a://b/c@d") == "***, me@host, a://b/c@d"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_secrets_of_the_environment_stand_in_no_file_of_a_run(train, tmp_path, mode):
    secrets = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": f"http://me:{PASSWORD}@127.0.0.1:9", "HOME": str(tmp_path)}
    done = train(*SMALL, **secrets, WANDB_MODE=mode, https_proxy=f"http://me:{PASSWORD}@127.0.0.1:9")
    assert (done.returncode, records(tmp_path)) == (0, 1)
    texts = {str(file): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert any("wandb" in name for name in texts) == (mode == "offline")
    texts["output"] = (done.stdout + done.stderr).encode()
    assert [name for name, text in texts.items() if KEY.encode() in text or PASSWORD.encode() in text] == []
