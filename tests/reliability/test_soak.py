"""Short runs in one sweep, two hundred in all: memory, open files, threads and processes do not grow with their number."""

from __future__ import annotations

import json
from statistics import median

import pytest

SWEEP = (
    *("-m", "data.train_size=60", "data.test_size=100", "trainer.batch_size=32", "trainer.epochs=1"),
    *("optim.milestones=[]", "trainer.train_eval_size=20"),
)


@pytest.mark.long
@pytest.mark.parametrize(("slots", "runs_in_all"), [(1, 60), (2, 140)])
def test_runs_leave_nothing_behind(command, tmp_path, slots, runs_in_all):
    usage, runs = tmp_path / "usage", tmp_path / "runs"
    arguments = (*SWEEP, f"seed=range({runs_in_all})", f"sweep.slots={slots}", f"runs_dir={runs}")
    done = command("tests/reliability/soak.py", usage, *arguments, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list(runs.glob("*/*/record.json"))) == runs_in_all
    assert f"(n={runs_in_all})" in done.stdout
    lines = [json.loads(line) for line in usage.read_text().splitlines()]
    processes = {line["process"] for line in lines}
    assert len(processes) == slots
    for process in processes:
        of_process = [line for line in lines if line["process"] == process]
        assert len(of_process) > runs_in_all // slots // 3
        early, late = of_process[len(of_process) // 4 :][:10], of_process[-10:]
        for name, most in (("allocated kB", 500), ("resident kB", 60_000)):
            growth = median(line[name] for line in late) - median(line[name] for line in early)
            assert growth < most, f"{name} grew by {growth} over {len(of_process) * 3 // 4} runs"
        for name in ("threads", "open files", "children"):
            assert max(line[name] for line in late) <= max(line[name] for line in early), (name, early[0], late[-1])
