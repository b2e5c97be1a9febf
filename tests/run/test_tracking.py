"""W&B mirrors metrics.jsonl, whole and under one id, and can neither harm nor delay a run.

Most tests put a stand-in for the `wandb` package first on the child's path: it writes down every call. The slow ones use
the real package, offline or against an address where no server listens, and read back the file that it writes.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixup.run import compose, tracking
from mixup.run.mirror import chart_name, send_new_lines
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
KEY = "0123456789abcdef0123456789abcdef01234567"
ADDRESS = "https://wandb.example/team/mixup/runs/1"
PATIENCE = 30.0  # seconds until a test gives up waiting for what should happen soon

STAND_IN = """
import fcntl, json, os, sys, time

CALLS = os.environ["STAND_IN_CALLS"]
LOCK = open(CALLS + ".lock", "w")
fcntl.flock(LOCK, fcntl.LOCK_EX)  # let go when this process ends, however it ends

def note(call, **values):
    with open(CALLS, "a") as stream:
        stream.write(json.dumps({"call": call, **values}, default=str) + "\\n")

def hang():
    time.sleep(1000)

class Settings:
    def __init__(self, **values):
        pass

class Run:
    dir = "/somewhere/files"
    url = os.environ.get("STAND_IN_URL")
    offline = url is None
    summary = {}

    def define_metric(self, name, **values):
        note("define_metric", name=name, **values)

    def log(self, values, **options):
        note("log", values=values, **options)

    def finish(self, **options):
        note("finish", summary=self.summary, **options)

def init(**values):
    note("init", torch="torch" in sys.modules, **values)
    return Run()

note("import")
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No account, no server and no process that stays behind."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(tracking, "LAST_SECONDS", PATIENCE)
    children = []
    start_child = tracking.start_child

    def start_and_remember(run_dir: Path) -> subprocess.Popen[bytes]:
        children.append(start_child(run_dir))
        return children[-1]

    monkeypatch.setattr(tracking, "start_child", start_and_remember)
    yield
    for child in children:
        child.kill()
        child.wait()
        if child.stdin is not None:
            child.stdin.close()


class StandIn:
    """What the stand-in has been called with."""

    def __init__(self, folder: Path) -> None:
        self.module = folder / "wandb" / "__init__.py"
        self.module.parent.mkdir(parents=True)
        self.module.write_text(STAND_IN)
        self.file = folder / "calls"

    def becomes(self, code: str) -> None:
        self.module.write_text(STAND_IN + code)

    def calls(self, name: str) -> list[dict[str, Any]]:
        calls = [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []
        return [call for call in calls if call["call"] == name]

    def logged(self) -> list[int]:
        return [call["step"] for call in self.calls("log")]

    def process_ended(self) -> bool:
        with open(f"{self.file}.lock", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
        return True


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn(tmp_path / "stand_in")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stand_in"))
    monkeypatch.setenv("STAND_IN_CALLS", str(made.file))
    return made


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run that has begun: two epochs of one logged step and its end."""
    folder = tmp_path / "runs" / "digits-lenet" / "alpha=1.0,seed=0-00000000"
    folder.mkdir(parents=True)
    config = {"name": "digits-lenet", "seed": 0, "tracking": {"wandb": "auto", "project": "mixup", "entity": "team"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    write_epochs(folder, 1, 2)
    return folder


def write_epochs(folder: Path, *epochs: int) -> None:
    with open(folder / "metrics.jsonl", "a") as stream:
        for epoch in epochs:
            stream.write(json.dumps({"step": 10 * epoch - 5, "train_step_loss": 2.5, "learning_rate": 0.1}) + "\n")
            stream.write(json.dumps({"epoch": epoch, "step": 10 * epoch, "train_loss": 2.0 / epoch}) + "\n")


def start_mirror(run_dir: Path, warn: Callable[[str], None], mode: str = "offline") -> tracking.Mirror:
    return tracking.Mirror(run_dir, mode=mode, project="mixup", entity=None, warn=warn)


def unexpected(text: str) -> None:
    pytest.fail(f"warned: {text}")


# -- names, mode, address ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "chart"),
    [
        ("train_loss", "train/loss"),
        ("train_excess_loss", "train/excess_loss"),
        ("train_step_loss", "train/step_loss"),
        ("train_eval_top1_error", "train_eval/top1_error"),
        ("test_top1_error", "test/top1_error"),
        ("validation_nll", "validation/nll"),
        ("learning_rate", "learning_rate"),
        ("images_per_second", "images_per_second"),
        ("epoch", "epoch"),
    ],
)
def test_metrics_are_grouped_by_split(key: str, chart: str) -> None:
    assert chart_name(key) == chart


@pytest.mark.parametrize(
    ("asked", "environment", "mode"),
    [
        ("auto", {}, "offline"),
        ("auto", {"WANDB_API_KEY": KEY}, "online"),
        ("auto", {"WANDB_API_KEY": ""}, "offline"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, "offline"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": "disabled"}, "disabled"),
        ("auto", {"WANDB_MODE": "online"}, "online"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_DISABLED": "true"}, "disabled"),
        ("auto", {"WANDB_DISABLED": ""}, "offline"),
        ("online", {"WANDB_DISABLED": "true"}, "online"),
        ("offline", {"WANDB_API_KEY": KEY, "WANDB_MODE": "online"}, "offline"),
        ("disabled", {"WANDB_API_KEY": KEY}, "disabled"),
        ("online", {}, "online"),
    ],
)
def test_auto_follows_the_environment_and_a_stated_mode_does_not(
    asked: str, environment: dict[str, str], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert tracking.resolve_mode(asked) == mode


def test_the_environment_names_project_and_entity_where_the_configuration_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking.resolve_place("mixup", None) == {"project": "mixup", "entity": None}
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    monkeypatch.setenv("WANDB_ENTITY", "team")
    assert tracking.resolve_place("mixup", None) == {"project": "theirs", "entity": "team"}
    assert tracking.resolve_place("ours", "us") == {"project": "ours", "entity": "us"}


def test_an_id_of_one_run_is_not_that_of_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "abc")
    assert tracking.give_each_run_its_own(1) is None
    assert os.environ["WANDB_RUN_ID"] == "abc"
    said = tracking.give_each_run_its_own(4)
    assert said == "WANDB_RUN_ID: of one run, and these are 4; each has its own"
    assert "WANDB_RUN_ID" not in os.environ
    assert tracking.give_each_run_its_own(4) is None


@pytest.mark.parametrize("content", [None, "", "{", '{"id": "ab', "[]", "null", b"\xff"])
def test_an_address_that_cannot_be_read_is_an_empty_one(content: str | bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "wandb.json").write_bytes(content.encode() if isinstance(content, str) else content)
    assert tracking.read_address(tmp_path) == {}


def test_the_id_is_made_once_and_never_seen_half_written(tmp_path: Path) -> None:
    tracking.write_address(tmp_path, mode="offline")
    made = tracking.read_address(tmp_path)["id"]

    def write_often() -> None:
        for number in range(50):
            tracking.write_address(tmp_path, url=f"{number}" * 50)

    writer = threading.Thread(target=write_often)
    writer.start()
    while writer.is_alive():
        assert tracking.read_address(tmp_path)["id"] == made
    assert tracking.read_address(tmp_path) == {"id": made, "mode": "offline", "url": "49" * 50}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["home", "wandb.json"]


# -- what is sent --------------------------------------------------------------------------------------------------------


class Log(list[tuple[int, dict[str, Any]]]):
    def log(self, values: dict[str, Any], *, step: int, commit: bool) -> None:
        assert commit  # else W&B holds an epoch back until the next
        self.append((step, values))


def test_a_line_is_sent_once_and_only_when_whole(tmp_path: Path) -> None:
    file, run = tmp_path / "metrics.jsonl", Log()
    assert send_new_lines(run, file, 0) == 0
    first, second = b'{"step": 3, "epoch": 1, "train_loss": 1.5}\n', b'{"step": 6, "epoch": 2, "test_nll": NaN}\n'
    file.write_bytes(first + second[:20])
    position = send_new_lines(run, file, 0)
    assert position == send_new_lines(run, file, position) == len(first)
    assert run == [(3, {"epoch": 1, "train/loss": 1.5})]
    file.write_bytes(first + second)
    assert send_new_lines(run, file, position) == len(first + second)
    assert [step for step, _ in run] == [3, 6]


def test_a_file_cut_back_by_a_restart_is_not_sent_twice(tmp_path: Path) -> None:
    """A child left behind by a killed run may still look at the file that the next start has cut."""
    file, run = tmp_path / "metrics.jsonl", Log()
    file.write_text('{"step": 1}\n{"step": 2}\n')
    position = send_new_lines(run, file, 0)
    file.write_text('{"step": 1}\n')
    assert send_new_lines(run, file, position) == position
    assert [step for step, _ in run] == [1, 2]


def test_the_child_sends_lines_as_they_come_and_the_record_at_the_end(
    run_dir: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_URL", ADDRESS)
    mirror = start_mirror(run_dir, unexpected)
    wait_until(lambda: stand_in.logged() == [5, 10, 15, 20], PATIENCE)
    mirror.check()
    write_epochs(run_dir, 3)
    wait_until(lambda: stand_in.logged()[4:] == [25, 30], PATIENCE)
    write_epochs(run_dir, 4)  # and at once the end: the last lines are not lost
    (run_dir / "record.json").write_text(json.dumps({"test": {"top1_error": {"last": 4.5}}, "config": {"seed": 0}}))
    mirror.close(PATIENCE)
    assert stand_in.logged() == [5, 10, 15, 20, 25, 30, 35, 40]
    assert stand_in.calls("log")[1]["values"] == {"epoch": 1, "train/loss": 2.0}
    (begun,) = stand_in.calls("init")
    address = tracking.read_address(run_dir)
    assert address["url"] == ADDRESS
    assert (begun["id"], begun["mode"], begun["project"]) == (address["id"], "offline", "mixup")
    assert (begun["name"], begun["group"]) == ("alpha=1.0,seed=0-00000000", "digits-lenet")
    assert begun["config"] == yaml.safe_load((run_dir / "config.yaml").read_text())
    assert begun["resume"] == "allow"
    assert not begun["torch"]  # a second torch would cost the training memory
    (ended,) = stand_in.calls("finish")
    assert ended["exit_code"] == 0
    assert ended["summary"] == {"test": {"top1_error": {"last": 4.5}}}


def test_curves_run_over_epochs_except_for_what_steps_log(run_dir: Path, stand_in: StandIn) -> None:
    mirror = start_mirror(run_dir, unexpected)
    mirror.close(PATIENCE)
    axes = {call["name"]: call.get("step_metric") for call in stand_in.calls("define_metric")}
    assert axes == {"epoch": None, "*": "epoch", "train/step_loss": None, "learning_rate": None}


def test_curves_of_a_gan_run_over_its_iterations(run_dir: Path, stand_in: StandIn) -> None:
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    (run_dir / "config.yaml").write_text(yaml.safe_dump({**config, "gan": {"iterations": 20}}))
    start_mirror(run_dir, unexpected).close(PATIENCE)
    assert stand_in.calls("define_metric") == []
    assert [call["step"] for call in stand_in.calls("log")] == [5, 10, 15, 20]


def test_the_environment_names_the_run_its_group_and_its_folder(
    run_dir: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"ID": "abc", "GROUP": "night"}
    for name, value in {
        "WANDB_NAME": "first",
        "WANDB_DIR": "w",
        **{f"WANDB_RUN_{key}": names[key] for key in names},
    }.items():
        monkeypatch.setenv(name, value)
    start_mirror(run_dir, unexpected).close(PATIENCE)
    (call,) = stand_in.calls("init")
    assert [call[key] for key in ("id", "group", "name", "dir")] == ["abc", "night", "first", str(tmp_path / "w")]
    monkeypatch.setenv("WANDB_RUN_ID", "other")
    start_mirror(run_dir, unexpected).close(PATIENCE)
    assert [call["id"] for call in stand_in.calls("init")] == ["abc", "abc"], "a restart continues the run"


def test_a_run_without_a_record_ends_as_failed(run_dir: Path, stand_in: StandIn) -> None:
    start_mirror(run_dir, unexpected).close(PATIENCE)
    assert [call["exit_code"] for call in stand_in.calls("finish")] == [1]


def test_every_start_repeats_the_file_under_one_id(
    run_dir: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_URL", ADDRESS)
    start_mirror(run_dir, unexpected, mode="online").close(PATIENCE)
    lines = (run_dir / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run_dir / "metrics.jsonl").write_text("".join(lines[:2]))  # as a resumed run cuts it back to its checkpoint
    monkeypatch.delenv("STAND_IN_URL")
    start_mirror(run_dir, unexpected).close(PATIENCE)
    assert stand_in.logged() == [5, 10, 15, 20, 5, 10]
    first, second = stand_in.calls("init")
    assert first["id"] == second["id"]
    assert [first["mode"], second["mode"]] == ["online", "offline"]
    assert tracking.read_address(run_dir)["url"] == ADDRESS  # it still lies there


def test_a_run_with_the_longest_label_has_a_name_that_wandb_takes(tmp_path: Path, run_dir: Path, stand_in: StandIn) -> None:
    long = run_dir.rename(run_dir.with_name("x" * 120 + "-00000000"))
    start_mirror(long, unexpected).close(PATIENCE)
    assert len(stand_in.calls("init")[0]["name"]) == 128


# -- what cannot harm a run ----------------------------------------------------------------------------------------------


def test_disabled_starts_and_writes_nothing(run_dir: Path) -> None:
    before = sorted(run_dir.iterdir())
    mirror = start_mirror(run_dir, unexpected, mode="disabled")
    mirror.check()
    mirror.close(0)
    assert sorted(run_dir.iterdir()) == before


@pytest.mark.parametrize(
    ("broken", "quoted"),
    [
        ('raise ImportError("No module named wandb")', "ImportError: No module named wandb"),
        ('def init(**values): raise RuntimeError("no key\\nuse wandb login")', "RuntimeError: no key use wandb login"),
        ('def log(self, *a, **o): raise OSError("full")\nRun.log = log', "OSError: full"),
        ('def init(**values): sys.exit("no terminal")', "no terminal"),
        ("def init(**values): sys.exit(0)", "its process ended with status 0"),
        ("def init(**values): raise KeyboardInterrupt", "its process ended with status -2"),
        (f'def init(**values): raise OSError("https://me:secret@host {KEY}")', "OSError: https://***@host"),
        ('def init(**values): os.kill(os.getpid(), 9)', "its process ended with status -9"),
    ],
)  # fmt: skip
def test_a_wandb_that_fails_costs_one_warning(broken: str, quoted: str, run_dir: Path, stand_in: StandIn) -> None:
    stand_in.becomes(broken)
    warnings: list[str] = []
    mirror = start_mirror(run_dir, warnings.append)
    child = mirror.child
    assert child is not None
    child.wait(PATIENCE)
    for _ in range(3):
        mirror.check()
    mirror.close(PATIENCE)
    (warning,) = warnings
    assert quoted in warning
    assert f"python -m mixup.run.tracking {run_dir}" in warning


def test_a_failure_after_the_last_epoch_is_warned_of_too(run_dir: Path, stand_in: StandIn) -> None:
    stand_in.becomes('def finish(self, **o): raise OSError("cut off")\nRun.finish = finish')
    warnings: list[str] = []
    start_mirror(run_dir, warnings.append).close(PATIENCE)
    (warning,) = warnings
    assert "OSError: cut off" in warning


def test_exit_handlers_of_a_failed_wandb_do_not_hang(run_dir: Path, stand_in: StandIn) -> None:
    stand_in.becomes('import atexit\natexit.register(hang)\ndef init(**values): raise RuntimeError("outage")')
    mirror = start_mirror(run_dir, lambda text: None)
    assert mirror.child is not None
    assert mirror.child.wait(PATIENCE) == 1


@pytest.mark.parametrize(
    "broken",
    [
        "def init(**values): hang()",
        "Run.finish = lambda self, **o: hang()",
        "Run.log = lambda self, *a, **o: hang()",
        "hang()",
    ],
)
def test_a_wandb_that_hangs_delays_by_the_bounded_wait_and_dies_later(
    broken: str, run_dir: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "LAST_SECONDS", 2.0)
    stand_in.becomes(broken)
    warnings: list[str] = []
    began = time.monotonic()
    mirror = start_mirror(run_dir, warnings.append)
    child = mirror.child
    assert child is not None
    mirror.check()
    assert time.monotonic() - began < 3.0  # neither call has waited for the child
    wait_until(lambda: stand_in.calls("import"), PATIENCE)
    began = time.monotonic()
    mirror.close(0.3)
    assert 0.3 <= time.monotonic() - began < 2.0
    (warning,) = warnings
    assert "not finished after" in warning
    assert child.poll() is None  # left to itself,
    assert child.wait(PATIENCE) == 1  # but not for ever


def test_close_ends_the_child_though_another_process_holds_the_pipe(run_dir: Path, stand_in: StandIn) -> None:
    """A worker forked from the run inherits its end of the pipe, so that the child sees no end of file."""
    mirror = start_mirror(run_dir, unexpected)
    assert mirror.child is not None
    assert mirror.child.stdin is not None
    held = os.dup(mirror.child.stdin.fileno())
    try:
        mirror.close(PATIENCE)
    finally:
        os.close(held)
    assert stand_in.calls("finish")


PARENT = """
import sys, time
from pathlib import Path
from mixup.run import tracking
tracking.LAST_SECONDS = float(sys.argv[2])
mirror = tracking.Mirror(Path(sys.argv[1]), mode="offline", project="mixup", entity=None, warn=print)
time.sleep(1000)
"""


@pytest.mark.parametrize(("broken", "seconds"), [("", PATIENCE), ("def init(**values): hang()", 0.5)])
def test_the_child_of_a_killed_run_ends_by_itself(broken: str, seconds: float, run_dir: Path, stand_in: StandIn) -> None:
    stand_in.becomes(broken)
    with subprocess.Popen([sys.executable, "-c", PARENT, str(run_dir), str(seconds)], cwd=ROOT) as parent:
        try:
            wait_until(lambda: stand_in.calls("import"), PATIENCE)
            write_epochs(run_dir, 3)
            assert not stand_in.process_ended()
        finally:
            parent.kill()
    wait_until(stand_in.process_ended, PATIENCE)
    if not broken:  # what the run had written has been sent
        assert stand_in.logged() == [5, 10, 15, 20, 25, 30]
        assert [call["exit_code"] for call in stand_in.calls("finish")] == [1]


def test_a_child_stopped_by_sigterm_ends_at_once_and_costs_one_warning(run_dir: Path, stand_in: StandIn) -> None:
    warnings: list[str] = []
    mirror = start_mirror(run_dir, warnings.append)
    child = mirror.child
    assert child is not None
    wait_until(lambda: stand_in.calls("init"), PATIENCE)
    child.terminate()
    child.wait(5)
    mirror.check()
    mirror.close(PATIENCE)
    (warning,) = warnings
    assert "ended with status -15" in warning


def test_files_that_cannot_be_written_cost_one_warning(run_dir: Path, tmp_path: Path) -> None:
    for name, folder in [("absent", tmp_path / "nowhere"), ("wandb.json", run_dir), ("wandb.log", run_dir)]:
        if folder == run_dir:
            (folder / name).mkdir()
        warnings: list[str] = []
        mirror = start_mirror(folder, warnings.append)
        mirror.check()
        mirror.close(0)
        assert len(warnings) == 1, name
        if folder == run_dir:
            (folder / name).rmdir()


def test_a_run_directory_that_vanishes_costs_one_warning(run_dir: Path, stand_in: StandIn) -> None:
    warnings: list[str] = []
    stand_in.becomes('def init(**values): raise RuntimeError("outage")')
    mirror = start_mirror(run_dir, warnings.append)
    assert mirror.child is not None
    mirror.child.wait(PATIENCE)
    run_dir.rename(run_dir.with_name("moved"))
    mirror.check()
    mirror.close(0)
    assert len(warnings) == 1


# -- sending it later ----------------------------------------------------------------------------------------------------


def send(*paths: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mixup.run.tracking", *map(str, paths)]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=2 * PATIENCE
    )


@pytest.fixture
def three_runs(run_dir: Path) -> list[Path]:
    """Three finished runs that were never tracked, and the table of their sweep."""
    folders = [run_dir, *(run_dir.with_name(f"alpha=1.0,seed={seed}-0000000{seed}") for seed in (1, 2))]
    for folder in folders[1:]:
        shutil.copytree(run_dir, folder)
    for folder in folders:
        (folder / "record.json").write_text("{}")
    (run_dir.parent / "table.md").touch()
    return folders


def ids_of(folders: Sequence[Path]) -> list[str]:
    ids = [tracking.read_address(folder)["id"] for folder in folders]
    assert len(set(ids)) == len(ids), "each run has its own"
    return ids


def test_a_run_is_sent_again_in_the_mode_of_now(run_dir: Path, stand_in: StandIn) -> None:
    start_mirror(run_dir, unexpected).close(PATIENCE)
    done = send(run_dir, WANDB_API_KEY=KEY, STAND_IN_URL=ADDRESS)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"[1/1] {run_dir} sent: {ADDRESS}\n1 sent\n", "")
    first, second = stand_in.calls("init")
    assert second["id"] == first["id"]
    assert [first["mode"], second["mode"]] == ["offline", "online"]
    assert stand_in.logged() == 2 * [5, 10, 15, 20]
    assert "complete" not in tracking.read_address(run_dir)  # without a record, more may come


def test_runs_are_sent_once_each_under_an_id_of_its_own(three_runs: list[Path], stand_in: StandIn) -> None:
    start_mirror(three_runs[1], unexpected).close(PATIENCE)
    begun = tracking.read_address(three_runs[1])["id"]
    one_id_for_all = {"WANDB_API_KEY": KEY, "STAND_IN_URL": ADDRESS, "WANDB_RUN_ID": "abc"}
    done = send(three_runs[0].parent, **one_id_for_all)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "3 sent"
    assert done.stderr == "warning: WANDB_RUN_ID: of one run, and these are 3; each has its own\n"
    ids = ids_of(three_runs)
    assert ids[1] == begun
    assert [call["id"] for call in stand_in.calls("init")] == [begun, *ids]
    again = send(*three_runs, three_runs[0].parent / "table.md", three_runs[0].parent.parent, **one_id_for_all)
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "3 already complete")
    assert len(stand_in.calls("init")) == 4, "nothing was sent again"
    elsewhere = send(three_runs[0], **one_id_for_all, WANDB_PROJECT="other")
    assert elsewhere.stdout.splitlines()[-1] == "1 sent"
    assert (stand_in.calls("init")[-1]["id"], stand_in.calls("init")[-1]["project"]) == (ids[0], "other")


def test_a_failure_is_of_one_run_and_of_the_exit_status(three_runs: list[Path], tmp_path: Path, stand_in: StandIn) -> None:
    stand_in.becomes(f"""
def log(self, values, **options):
    if {three_runs[1].name!r} == NAME: raise OSError("cut off by https://me:secret@host")
def init(**values):
    global NAME
    NAME = values["name"]
    note("init", **values)
    return Run()
Run.log = log
""")
    (tmp_path / "empty").mkdir()
    (three_runs[2] / "config.yaml").write_text("tracking: [")
    done = send(tmp_path / "empty", tmp_path / "run*", *three_runs, WANDB_API_KEY=KEY, STAND_IN_URL=ADDRESS)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "1 sent, 2 failed"
    for number, what in enumerate(
        [
            f"failed: {tmp_path}/empty has no metrics.jsonl, nor has a folder in it",
            f"failed: {tmp_path}/run* does not exist, or matches no folder",
            f"failed: {three_runs[1]}: OSError: cut off by https://***@host",
            f"failed: {three_runs[2]}: ParserError",
        ]
    ):
        assert done.stderr.splitlines()[number].startswith(what)
    assert done.stderr.count("\n") == 4
    stand_in.becomes("")
    again = send(*three_runs[:2], WANDB_API_KEY=KEY, STAND_IN_URL=ADDRESS)
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "1 already complete, 1 sent")
    first, second, third = (call["id"] for call in stand_in.calls("init"))
    assert first != second == third


def test_a_run_that_would_take_the_place_of_another_is_not_sent(three_runs: list[Path], stand_in: StandIn) -> None:
    tracking.write_address(three_runs[0], mode="offline")
    shutil.copyfile(three_runs[0] / "wandb.json", three_runs[1] / "wandb.json")
    (three_runs[2] / "wandb.json").write_text("{")
    done = send(*three_runs, WANDB_API_KEY=KEY, STAND_IN_URL=ADDRESS)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "1 sent, 2 failed")
    assert f"it has the id of {three_runs[0]}: remove the wandb.json of the one that is a copy" in done.stderr
    assert "its wandb.json, which has its id at W&B, is damaged" in done.stderr
    assert len(stand_in.calls("init")) == 1


@pytest.mark.parametrize(
    ("environment", "what"),
    [
        ({}, "no key of W&B in the environment: set WANDB_API_KEY"),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "disabled"}, "W&B is disabled by WANDB_MODE or WANDB_DISABLED"),
    ],
)
def test_without_a_key_nothing_is_begun(environment: dict[str, str], what: str, run_dir: Path, stand_in: StandIn) -> None:
    done = send(run_dir, **environment)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(what)
    assert not stand_in.file.exists()
    assert not (run_dir / "wandb.json").exists()


def test_a_run_that_was_never_tracked_can_be_sent(run_dir: Path, stand_in: StandIn) -> None:
    done = send(run_dir, WANDB_MODE="offline")
    assert (done.returncode, done.stderr) == (0, "")
    assert "/somewhere, which `wandb sync` uploads\n1 written offline\n" in done.stdout
    (begun,) = stand_in.calls("init")
    assert (begun["mode"], begun["project"], begun["entity"]) == ("offline", "mixup", "team")
    assert begun["id"] == tracking.read_address(run_dir)["id"]


# -- whole runs ----------------------------------------------------------------------------------------------------------


def overrides(runs_dir: Path, *more: str) -> list[str]:
    return [f"runs_dir={runs_dir}", "data.train_size=100", "trainer.epochs=3", "optim.milestones=[2]", *more]


def train(runs_dir: Path, *more: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    command = [sys.executable, "train.py", *overrides(runs_dir, *more)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=2 * PATIENCE)
    (folder,) = runs_dir.glob("*/*")
    return done, folder


def epochs_on_disk(run_dir: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "epoch" in line]


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken",
    ["def init(**values): hang()", "Run.finish = lambda self, **o: hang()", 'Run.log = lambda self, *a, **o: 1 / 0'],
)  # fmt: skip
def test_a_run_with_a_broken_wandb_is_complete_and_on_time(
    broken: str, tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mixup.training import train as run

    monkeypatch.setattr("mixup.training.folder.WANDB_SECONDS", 1.0)
    stand_in.becomes(broken)
    (task,) = compose.planned(overrides(tmp_path / "runs", "tracking.wandb=offline"), multirun=False)
    record = run.train(task.config, task.folder, task.label)
    waited = time.time() - (task.folder / "record.json").stat().st_mtime
    assert 1.0 * ("hang" in broken) <= waited < 4.0  # the bounded wait, and what a busy machine adds
    assert record == json.loads((task.folder / "record.json").read_text())
    assert [line["epoch"] for line in epochs_on_disk(task.folder)] == [1, 2, 3]
    assert capsys.readouterr().err.count("warning:") == 1


@pytest.mark.slow
def test_a_run_without_the_package_warns_once_and_succeeds(tmp_path: Path, stand_in: StandIn) -> None:
    stand_in.becomes('raise ImportError("No module named wandb")')
    done, folder = train(tmp_path / "runs", "tracking.wandb=online")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: no W&B for this run")
    assert "No module named wandb" in line
    assert json.loads((folder / "record.json").read_text())["test"]["count"] == 899
    assert len(epochs_on_disk(folder)) == 3


# -- the real package ----------------------------------------------------------------------------------------------------


def read_back(file: Path) -> Iterator[Any]:
    """The records in a .wandb file: LevelDB's log format, a 7-byte file header and then blocks of 32 KiB."""
    from wandb.proto import wandb_internal_pb2

    messages: Any = wandb_internal_pb2
    content, position, parts = file.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while position + 7 <= len(content):
        left_in_block = 32768 - position % 32768
        if left_in_block < 7:
            position += left_in_block
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = messages.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def items(update: Any) -> dict[str, Any]:
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in update}


def epochs_at_wandb(file: Path) -> list[dict[str, Any]]:
    rows = [items(record.history.item) for record in read_back(file) if record.HasField("history")]
    return [row for row in rows if "epoch" in row]


def offline_files(run_dir: Path) -> list[Path]:
    return sorted(run_dir.glob("wandb/offline-run-*/*.wandb"), key=lambda file: file.stat().st_mtime)


def assert_same_epochs(there: list[dict[str, Any]], here: list[dict[str, Any]]) -> None:
    assert len(there) == len(here)
    for row, line in zip(there, here, strict=True):
        expected = {chart_name(key): value for key, value in line.items() if key != "step"}
        assert {key: row[key] for key in expected} == expected
        assert row["_step"] == line["step"]


def assert_key_is_nowhere(folder: Path) -> None:
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if KEY.encode() in file.read_bytes()]


@pytest.mark.slow
def test_an_offline_run_holds_the_numbers_of_the_metrics_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    done, folder = train(tmp_path / "runs", "tracking.wandb=offline", "trainer.log_every_steps=1")
    assert (done.returncode, done.stderr) == (0, "")
    (file,) = offline_files(folder)
    lines = epochs_on_disk(folder)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert all(
        {"train_loss", "train_excess_loss", "train_eval_top1_error", "test_top1_error"} <= line.keys() for line in lines
    )
    assert_same_epochs(epochs_at_wandb(file), lines)
    records = list(read_back(file))
    begun = start_in(file)
    assert begun.run_id == json.loads((folder / "wandb.json").read_text())["id"]
    assert begun.project == "mixup"
    config = items(begun.config.update)
    config.pop("_wandb", None)
    assert config == yaml.safe_load((folder / "config.yaml").read_text())
    steps = [items(record.history.item) for record in records if record.HasField("history")]
    assert [row["_step"] for row in steps] == [1, 2, 3, 4, 5, 6]
    assert all("epoch" not in row for row in steps if "train/step_loss" in row)
    summary = {}
    for record in records:
        summary.update(items(record.summary.update) if record.HasField("summary") else {})
    record = json.loads((folder / "record.json").read_text())
    assert summary["test"] == record["test"]
    assert [item.exit.exit_code for item in records if item.HasField("exit")] == [0]

    again = send(folder, WANDB_MODE="offline")
    assert (again.returncode, again.stderr) == (0, "")
    assert len(offline_files(folder)) == 2
    assert_same_epochs(epochs_at_wandb(offline_files(folder)[1]), lines)
    assert_key_is_nowhere(tmp_path)


def start_in(file: Path) -> Any:
    """The record in a .wandb file that begins its run."""
    (start,) = [item.run for item in read_back(file) if item.HasField("run") and item.run.start_time.seconds]
    return start


@pytest.mark.slow
def test_offline_runs_of_a_node_are_sent_later_under_their_ids(three_runs: list[Path]) -> None:
    """By the real package, as where a node has no network, and a login node that has none either repeats them."""
    for folder in three_runs[:2]:
        start_mirror(folder, unexpected).close(PATIENCE)
    begun = ids_of(three_runs[:2])
    done = send(three_runs[0].parent, WANDB_MODE="offline")
    assert (done.returncode, done.stderr, done.stdout.splitlines()[-1]) == (0, "", "3 written offline")
    ids = ids_of(three_runs)  # the third has been given its own
    assert ids[:2] == begun
    for folder, own, times in zip(three_runs, ids, (2, 2, 1), strict=True):
        starts = [start_in(file) for file in offline_files(folder)]
        assert [(start.run_id, start.display_name) for start in starts] == times * [(own, folder.name)]
        for file in offline_files(folder):
            assert_same_epochs(epochs_at_wandb(file), epochs_on_disk(folder))


@pytest.mark.slow
def test_a_killed_and_resumed_run_is_one_run_at_wandb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mixup.training.train import train as resume

    more = ["tracking.wandb=offline", "trainer.epochs=12", "trainer.checkpoint_every_minutes=0"]
    command = [sys.executable, "train.py", *overrides(tmp_path / "runs", *more)]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL) as run:
        try:
            wait_until(lambda: list(tmp_path.glob("runs/*/*/checkpoint/step-*.pt")), PATIENCE)
        finally:
            run.kill()
    (folder,) = tmp_path.glob("runs/*/*")
    assert not (folder / "record.json").exists()
    begun = json.loads((folder / "wandb.json").read_text())["id"]
    (task,) = compose.planned(overrides(tmp_path / "runs", *more), multirun=False)
    assert task.folder == folder
    resume(task.config, folder, task.label)
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "resumed at epoch" in shown.out
    assert json.loads((folder / "wandb.json").read_text())["id"] == begun
    killed, resumed = offline_files(folder)
    assert [start_in(file).run_id for file in (killed, resumed)] == [begun, begun]
    lines = epochs_on_disk(folder)
    assert [line["epoch"] for line in lines] == list(range(1, 13))
    assert_same_epochs(epochs_at_wandb(resumed), lines)
    before = epochs_at_wandb(killed)
    for row, line in zip(before, lines, strict=False):  # what the first start sent is what the resumed run has
        assert row["train/loss"] == line["train_loss"]


def processes_of(child: int) -> list[int]:
    """W&B's own process that serves `child`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"wandb-core") and str(child).encode() in words:
            found.append(int(folder.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="lists processes as Linux does")
def test_an_outage_leaves_neither_the_key_nor_a_process(
    tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(tracking, "LAST_SECONDS", 2.0)
    warnings: list[str] = []
    mirror = start_mirror(run_dir, warnings.append, mode=tracking.resolve_mode("auto"))
    child = mirror.child
    assert child is not None
    wait_until(lambda: processes_of(child.pid), PATIENCE)
    mirror.close(1.0)
    assert len(warnings) == 1
    assert tracking.read_address(run_dir)["mode"] == "online"
    assert "url" not in tracking.read_address(run_dir)
    assert child.wait(PATIENCE) == 1
    wait_until(lambda: not processes_of(child.pid), PATIENCE)
    assert_key_is_nowhere(tmp_path)


@pytest.mark.slow
def test_online_without_an_account_warns_once_and_says_why(run_dir: Path) -> None:
    warnings: list[str] = []
    start_mirror(run_dir, warnings.append, mode="online").close(PATIENCE)
    (warning,) = warnings
    assert "No API key configured" in warning
