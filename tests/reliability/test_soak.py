"""Two hundred short runs in one sweep: memory, open files, threads and processes do not grow with their number."""

from __future__ import annotations

import json
from statistics import median

import pytest

RUNS = 200
SWEEP = (
    *("-m", f"seed=range({RUNS})", "data.train_size=60", "data.test_size=100", "trainer.batch_size=32", "trainer.epochs=1"),
    *("optim.milestones=[]", "trainer.train_eval_size=20"),
)


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 2])
def test_two_hundred_runs(command, tmp_path, slots):
    usage, runs = tmp_path / "usage", tmp_path / "runs"
    arguments = (*SWEEP, f"sweep.slots={slots}", f"runs_dir={runs}")
    done = command("tests/reliability/soak.py", usage, *arguments, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list(runs.glob("*/*/record.json"))) == RUNS
    assert f"(n={RUNS})" in done.stdout
    lines = [json.loads(line) for line in usage.read_text().splitlines()]
    processes = {line["process"] for line in lines}
    assert len(processes) == slots
    for process in processes:
        of_process = [line for line in lines if line["process"] == process]
        assert len(of_process) > RUNS // slots // 3
        early, late = of_process[len(of_process) // 4 :][:10], of_process[-10:]
        for name, most in (("allocated kB", 1_000), ("resident kB", 60_000)):
            growth = median(line[name] for line in late) - median(line[name] for line in early)
            assert growth < most, f"{name} grew by {growth} over {len(of_process) * 3 // 4} runs"
        for name in ("threads", "open files", "children"):
            assert max(line[name] for line in late) <= max(line[name] for line in early), (name, early[0], late[-1])
