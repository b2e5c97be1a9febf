"""`ledger.py reproduce --within 8m`: the missing runs of the paper's rows that fit a time, the most valuable first."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixup.commands.redo import Command, cells_by_row, chosen, commands_after
from mixup.errors import UserError
from mixup.ledger.cells import counted, runs_of
from mixup.ledger.evidence import Evidence
from mixup.ledger.paper import Experiment
from mixup.run import records
from mixup.run.compose import Task, planned
from mixup.run.config import TrainConfig
from mixup.run.conversions import leaves
from mixup.run.display import duration
from mixup.run.places import ROOT

UNITS = {"s": 1, "m": 60, "h": 3600}
STARTING = 10.0  # seconds until a run trains: imports, and data from its cache
TIMED: dict[str, float] = {}  # seconds of a step, by the kind of step


@dataclass(frozen=True)
class Missing:
    """A run that is not among the evidence. worth: how many of the paper's numbers it is a part of, divided by the seeds
    that make them. seconds: what is left of it on this machine, estimated."""

    command: Command
    task: Task
    worth: float
    seconds: float


def seconds_of(text: str) -> float:
    """Of `90s`, `8m`, `2h` or `1h30m`. UserError for another text."""
    if not re.fullmatch(r"(\d+(\.\d+)?[smh])+", text):
        raise UserError(f"--within {text}: give a time as 90s, 8m, 2h or 1h30m")
    return sum(float(number) * UNITS[unit] for number, _, unit in re.findall(r"(\d+(\.\d+)?)([smh])", text))


def reproduce_within(budget: float, papers: Mapping[str, Experiment], scale: str, evidence: Sequence[Evidence]) -> int:
    """Runs what is missing of these experiments, as much as fits `budget` seconds, and says what it left. A run that the
    time cuts off saves a checkpoint, from which the same command goes on. Returns the worst exit status."""
    deadline = time.monotonic() + budget
    waiting = [run for paper in papers.values() for run in missing(paper, scale, evidence)]
    waiting.sort(key=lambda run: run.seconds / run.worth)
    print(
        f"{len(waiting)} runs are missing; about {duration(sum(run.seconds for run in waiting))} of this machine", flush=True
    )
    done, worst = list[Missing](), 0
    for run in list(waiting):
        left = deadline - time.monotonic()
        if run.seconds > left:
            continue
        print(f"$ {shlex.join(run.command)}  (about {duration(run.seconds)}; {duration(left)} left)", flush=True)
        status = run_until(run.command, left)
        if status is None:
            print("the time is up: the same command goes on from its checkpoint")
            break
        if status == 0:
            done.append(run)
            waiting.remove(run)
        worst = max(worst, abs(status))
    print(f"{len(done)} runs done, {len(waiting)} left{summary(waiting)}")
    if done:
        steps = commands_after(*(run.task.config.name for run in done))
        print("as evidence, from a clean tree:", *(shlex.join(step) for step in steps), sep="\n  ")
    return worst


def missing(paper: Experiment, scale: str, evidence: Sequence[Evidence]) -> list[Missing]:
    """The runs of the experiment's rows that are not among the evidence and have not finished either."""
    rows = cells_by_row(paper, scale)
    cells = {(cell.experiment, cell.overrides): cell for cell in rows.values()}
    present, runs = [(run.seed, counted(run.settings)) for run in runs_of(paper.name, evidence)], []
    for key, cell in cells.items():
        numbers = sum(len(paper.row(id).values) for id, one in rows.items() if (one.experiment, one.overrides) == key)
        there = {seed for seed, settings in present if settings == counted(cell.settings)}
        words = [*chosen(cell.experiment, scale), *cell.overrides]
        tasks = planned([*words, f"seed={cell.seeds}"], multirun=True)
        for task in tasks:
            if task.config.seed not in there and records.read_record(ROOT / task.folder) is None:
                command = ["python", "train.py", "-m", *words, f"seed={task.config.seed}"]
                runs.append(Missing(command, task, numbers / len(tasks), estimate(task)))
    return runs


def estimate(task: Task) -> float:
    """Seconds that are left of a run here, by a timed training step and by the epochs that it has done."""
    from mixup.training.dry_run import step_count

    lines = [line for line in records.read_metrics(ROOT / task.folder) if "epoch" in line]
    done = len(lines) / task.config.trainer.epochs
    return STARTING + (1 - done) * step_count(task.config) * timed(task.config)


def timed(config: TrainConfig) -> float:
    """Seconds of a step, timed once for all runs whose steps are of one kind."""
    from mixup.training.dry_run import timed_step

    kind = [[key, value] for key, value in leaves(config) if key.partition(".")[0] in ("model", "trainer")]
    kind += [["data", config.data.name], ["mixes", config.mixup.alpha > 0]]
    if (key := json.dumps(kind)) not in TIMED:
        TIMED[key] = timed_step(config)[0]
    return TIMED[key]


def run_until(command: Command, seconds: float) -> int | None:
    """The exit status; None where the time was up, and the run has been asked to save and end."""
    process = subprocess.Popen([sys.executable, *command[1:]], cwd=ROOT)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        process.wait()
        return None


def summary(waiting: Sequence[Missing]) -> str:
    """What was left, by experiment, and how long it takes here."""
    by_name: dict[str, list[float]] = {}
    for run in waiting:
        by_name.setdefault(run.task.config.name, []).append(run.seconds)
    words = [f"{len(times)} of {name}, {duration(sum(times))}" for name, times in by_name.items()]
    return f": {'; '.join(words)}" if words else ""
