"""What a sweep measures of each of its runs once all have finished: `evaluate=attacks|between|card|surface`.

Each measurement is a JSON file in the run's directory that says which weights it is of. One that is there, whole and of the
present weights, is not made again: a killed sweep goes on where it was, and a finished one does nothing.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mixup.errors import UserError
from mixup.evaluation.attack_errors import CELLS, measure_attacks
from mixup.evaluation.attack_errors import FILE as ATTACKS_FILE
from mixup.evaluation.figure2 import PAIRS, measure_between
from mixup.evaluation.finished_run import FinishedRun, open_finished_run
from mixup.evaluation.measurements import Values, read_measurement, stamp, write_measurement
from mixup.evaluation.report_card import make_card
from mixup.evaluation.settings import EXAMPLES
from mixup.run import records
from mixup.run.config import from_dict
from mixup.run.identity import identity

GRID = 64  # points a side, about as many as figure 1(b) shows
MARGIN = 1.2  # the side of the square that is shown, over that of the data's


def evaluate_sweep(wanted: str, folders: Sequence[Path], *, root: str | None, device: str) -> int:
    """Measures every finished run of a sweep; what fails for one is said and does not end the others.

    root, device: `data.root` and `trainer.device` here. Returns the exit status, 1 where something could not be measured.
    """
    if wanted == "attacks":
        return int(bool(attack_sweep(folders, root=root, device=device)))
    faults: list[str] = []
    like: FinishedRun | None = None
    for number, folder in enumerate(folders, 1):
        place = f"[{number}/{len(folders)}] {wanted} of {folder}"
        with noting(faults, place):
            if is_done(folder, wanted):
                print(f"{place}: measured before", flush=True)
                continue
            print(place, flush=True)
            like = open_finished_run(folder, root=root, device=device, like=like)
            MEASURES[wanted](like)
    return int(bool(faults))


@contextlib.contextmanager
def noting(faults: list[str], what: str) -> Iterator[None]:
    """Says what went wrong, notes it and goes on. RuntimeError: a GPU without memory left."""
    try:
        yield
    except (UserError, OSError, RuntimeError) as error:
        faults.append(f"{what}: {error}")
        print(f"{what} failed: {error}", file=sys.stderr, flush=True)


def is_done(folder: Path, wanted: str) -> bool:
    """Whether the measurement is there, of the present weights and of as many examples or pairs as a sweep takes."""
    values = read_measurement(folder, f"{wanted}.json")
    if values is None:
        return False
    if wanted == "between":
        return values["pairs"] >= PAIRS
    return wanted == "surface" or values["examples"] >= usual_examples(folder)


def usual_examples(folder: Path) -> int:
    """How many test examples a measurement of a sweep is of, at least: what cannot be read may be among those drawn."""
    data = (records.read_record(folder) or {})["data"]
    return min(EXAMPLES, data["test_count"]) - data["unreadable"]["test"]


# -- figure 1 ------------------------------------------------------------------------------------------------------------


def measure_surface(run: FinishedRun) -> Values:
    """The probability of class 1 over the plane, as figure 1(b) shades it: surface.json with `x` and `y`, GRID values each,
    `probability`, a row for each y, and the training `points` (N, 2) with their `labels`. UserError for other data."""
    points = run.data.train.inputs
    if not isinstance(points, torch.Tensor) or points.shape[1:] != (2,) or run.data.info.num_classes != 2:
        raise UserError(f"{run.name}: a decision surface is of two classes in the plane, such as data=rings")
    low, high = points.min(0).values, points.max(0).values
    half = MARGIN * float((high - low).max()) / 2
    x, y = (torch.linspace(float(middle) - half, float(middle) + half, GRID) for middle in (low + high) / 2)
    grid = torch.cartesian_prod(y, x).flip(1)  # x runs fastest
    with torch.no_grad():
        probability = torch.softmax(run.of_inputs(grid.to(run.device)), 1)[:, 1].view(GRID, GRID)
    parts = {"x": x, "y": y, "probability": probability, "points": points}
    values = {name: np.round(part.cpu().numpy().astype(np.float64), 6).tolist() for name, part in parts.items()}
    return write_measurement(run.folder, "surface.json", {**values, "labels": run.data.train.labels.tolist()})


MEASURES: dict[str, Callable[[FinishedRun], object]] = {
    "between": measure_between,
    "card": make_card,
    "surface": measure_surface,
}


# -- table 3 -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A run of the sweep: what decides which run attacks which. settings: all that can change numbers but seed and alpha."""

    folder: Path
    label: str
    seed: int
    alpha: float
    settings: str

    @classmethod
    def of(cls, folder: Path) -> Entry:
        record = records.read_record(folder)
        if record is None:
            raise UserError(f"{folder}: this run has not finished")
        settings = identity(from_dict(record["config"]))
        rest = {name: value for name, value in sorted(settings.items()) if name not in ("seed", "mixup.alpha")}
        return cls(folder, record["label"], record["seed"], record["alpha"], repr(rest))


def attacker(run: Entry, runs: Sequence[Entry]) -> Entry | None:
    """Whose examples a run meets in the black box: those of the ERM run of the next seed, the first one coming after the
    last; None without. So ERM and mixup of one seed meet the same examples, as ERM-2 and mixup meet ERM-1's in section 3.5.
    Not those of its own seed: these two share initial weights and data order, and what is made on one fits the other."""
    erm = {other.seed: other for other in runs if other.alpha == 0 and other.settings == run.settings}
    following = min(erm, key=lambda seed: (seed <= run.seed, seed), default=run.seed)
    return None if following == run.seed else erm[following]


def attack_sweep(folders: Sequence[Path], *, root: str | None, device: str) -> list[str]:
    """White box of every run, black box by `attacker`. Examples are made once on each run, and shown to all they are for."""
    runs = [Entry.of(folder) for folder in folders]
    attackers = {run.folder: attacker(run, runs) for run in runs}
    for run in runs:
        if attackers[run.folder] is None:
            print(f"no black box for {run.label}: this sweep has no ERM run of another seed and its settings", flush=True)
    faults: list[str] = []
    like: FinishedRun | None = None
    for number, run in enumerate(runs, 1):
        victims = [run, *(other for other in runs if attackers[other.folder] == run)]
        place = f"[{number}/{len(runs)}] attacks made on {run.folder}"
        with noting(faults, place):
            left = [victim for victim in victims if not is_attacked(victim.folder, run.folder)]
            if not left:
                print(f"{place}: measured before", flush=True)
                continue
            print(f"{place}, shown to {len(left)} runs" if len(left) > 1 else place, flush=True)
            source = like = open_finished_run(run.folder, root=root, device=device, like=like)
            targets = [source] if run in left else []
            for victim in left:
                if victim != run:
                    with noting(faults, f"attacks on {victim.folder}"):
                        targets.append(open_finished_run(victim.folder, root=root, device=device, like=source))
            if targets:
                measure_attacks(source, targets, CELLS, examples=EXAMPLES)
    return faults


def is_attacked(folder: Path, source: Path) -> bool:
    """Whether the run's attacks.json has every cell of those made on the source, of both runs' present weights."""
    values = read_measurement(folder, ATTACKS_FILE)
    if values is None or values["examples"] < usual_examples(folder):
        return False
    weights = stamp(source)["weights_sha256"]
    found = {(r["attack"], r["eps"]) for r in values["results"] if r["source_weights_sha256"] == weights}
    return found >= set(CELLS)
