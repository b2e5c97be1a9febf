"""Records without torch: metrics that can be rewound, the statistics of a table, cells over seeds, one writer a run."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from mixup.errors import UserError
from mixup.run import records


def test_metrics_are_read_back_and_a_line_cut_by_a_kill_is_dropped(tmp_path):
    lines = [{"step": step, "train_loss": step / 10} for step in range(1, 6)]
    records.append_metrics(tmp_path, lines[:3])
    records.append_metrics(tmp_path, lines[3:])
    with open(tmp_path / "metrics.jsonl", "a") as stream:
        stream.write('{"step": 6, "train_l')
    assert records.read_metrics(tmp_path) == lines
    records.rewind_metrics(tmp_path, 3)
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == lines[:3]


def test_the_headline_statistics_by_hand():
    errors = [90.0, 50.0, 4.0, *(10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 6.0, 7.0, 8.0, 9.0)]
    assert records.headline(errors) == {"last": 9.0, "best": 4.0, "last10_median": 7.5}
    assert records.headline([3.0]) == {"last": 3.0, "best": 3.0, "last10_median": 3.0}


def record(cell: str, seed: int, error: float) -> records.Record:
    return {"cell": cell, "label": f"alpha={cell},data.seed=1,seed={seed}", "seed": seed, "test": {"top1_error": error}}


def test_a_record_is_absent_present_or_named_as_damaged(tmp_path):
    assert records.read_record(tmp_path) is None
    records.write_record(tmp_path, {"a": 1.5})
    assert records.read_record(tmp_path) == {"a": 1.5}
    (tmp_path / "record.json").write_text("{")
    with pytest.raises(UserError, match="remove the run"):
        records.read_record(tmp_path)
    with pytest.raises(ValueError, match="JSON"):
        records.write_record(tmp_path, {"a": float("nan")})
    assert records.finite({"a": [float("nan"), (-float("inf"), 1.5, "b")]}) == {"a": [None, [None, 1.5, "b"]]}


def test_one_writer_a_directory_and_a_kill_lets_go(tmp_path):
    hold = (
        "import sys; from pathlib import Path; from mixup.run.records import sole_writer\n"
        "with sole_writer(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=f"process {child.pid}"), records.sole_writer(tmp_path):
        pass
    child.kill()
    child.communicate()
    with records.sole_writer(tmp_path):
        pass


def test_a_lock_ends_with_its_process_though_children_live_on(tmp_path):
    """As workers of a loader do for some seconds after their parent was killed."""
    hold = (
        "import os, sys, time; from pathlib import Path; from mixup.run.records import sole_writer\n"
        "with sole_writer(Path(sys.argv[1])):\n"
        "    child = os.fork()\n"
        "    if child == 0: time.sleep(60); os._exit(0)\n"
        "    print(child, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    try:
        with pytest.raises(UserError, match="is being trained by"), records.sole_writer(tmp_path):
            pass
        parent.kill()
        parent.wait()
        os.kill(child, 0)  # it lives
        with records.sole_writer(tmp_path):
            pass
    finally:
        parent.kill()
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_warned_of_and_no_other_process(tmp_path, monkeypatch, capsys, code):
    def refuse(*arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(records.fcntl, "lockf", refuse)
    with records.sole_writer(tmp_path):
        pass
    assert capsys.readouterr().err == (
        f"warning: {tmp_path / 'lock'} cannot be locked ([Errno {code}] {os.strerror(code)}): start no second run there\n"
    )


def test_the_environment_names_commit_versions_and_whether_the_code_was_changed():
    found = records.environment()
    assert {"torch", "torchvision", "timm", "hydra-core"} <= found["packages"].keys()
    assert found["dirty"] in (True, False, None)
    assert found["commit"] is None or len(found["commit"]) == 40


def test_changes_in_results_alone_are_not_dirty(tmp_path, monkeypatch):
    """Tables are rewritten by every `make run`; they cannot change a number."""
    for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True)
    package = tmp_path / "mixup" / "run"
    package.mkdir(parents=True)
    monkeypatch.setattr(records, "ROOT", tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "table.md").write_text("new")
    assert records.environment()["dirty"] is False
    (package / "plan.py").write_text("new")
    assert records.environment()["dirty"] is True


def test_records_import_no_torch():
    code = "import sys; import mixup.run.records, mixup.run.config, mixup.commands.train; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_copy_without_history_names_its_commit(monkeypatch):
    monkeypatch.setenv("MIXUP_COMMIT", "0" * 40)
    found = records.environment()
    assert (found["commit"], found["dirty"]) == ("0" * 40, False)
