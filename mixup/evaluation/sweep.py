"""Measures every run of a sweep once all have finished: `evaluate=attacks|between|card|surface`.

Each measurement is a JSON file in the run's directory that names the weights it is of. A complete one of the present weights
is not made again, so the same command continues a killed sweep, and does nothing for a finished one.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixup.errors import UserError
from mixup.evaluation.attack_errors import CELLS, measure_attacks
from mixup.evaluation.attack_errors import FILE as ATTACKS_FILE
from mixup.evaluation.between import PAIRS, measure_between
from mixup.evaluation.finished_run import FinishedRun, open_finished_run
from mixup.evaluation.measurements import read_measurement, stamp
from mixup.evaluation.report_card import make_card
from mixup.evaluation.settings import EXAMPLES
from mixup.evaluation.surface import measure_surface
from mixup.run import records
from mixup.run.config import from_dict
from mixup.run.identity import identity

MEASURES: dict[str, Callable[[FinishedRun], object]] = {
    "between": measure_between,
    "card": make_card,
    "surface": measure_surface,
}


def evaluate_sweep(kind: str, folders: Sequence[Path], *, root: str | None, device: str) -> int:
    """Measures every finished run of a sweep; a failure for one run is printed and does not end the others.

    kind: `attacks`, `between`, `card` or `surface`. root, device: `data.root` and `trainer.device` here.
    Returns the exit status, 1 if something could not be measured.
    """
    faults: list[str] = []
    victims = black_boxes(folders) if kind == "attacks" else {}
    title = "attacks made on" if kind == "attacks" else f"{kind} of"
    run: FinishedRun | None = None
    for number, folder in enumerate(folders, 1):
        place = f"[{number}/{len(folders)}] {title} {folder}"
        with noting(faults, place):
            if kind == "attacks":
                targets = [target for target in [folder, *victims[folder]] if not is_attacked(target, folder)]
            else:
                targets = [] if is_measured(folder, kind) else [folder]
            if not targets:
                print(f"{place}: measured before", flush=True)
                continue
            print(f"{place}, shown to {len(targets)} runs" if len(targets) > 1 else place, flush=True)
            run = open_finished_run(folder, root=root, device=device, like=run)
            if kind != "attacks":
                MEASURES[kind](run)
                continue
            opened = [run] if folder in targets else []
            for target in targets:
                if target != folder:
                    with noting(faults, f"attacks on {target}"):
                        opened.append(open_finished_run(target, root=root, device=device, like=run))
            if opened:
                measure_attacks(run, opened, CELLS, examples=EXAMPLES)
    return int(bool(faults))


@contextlib.contextmanager
def noting(faults: list[str], task: str) -> Iterator[None]:
    """Prints an error and adds it to the faults instead of raising it. RuntimeError: a GPU out of memory."""
    try:
        yield
    except (UserError, OSError, RuntimeError) as error:
        faults.append(f"{task}: {error}")
        print(f"{task} failed: {error}", file=sys.stderr, flush=True)


def is_measured(folder: Path, kind: str) -> bool:
    """Whether the measurement exists, of the present weights and of as many examples or pairs as a sweep takes."""
    values = read_measurement(folder, f"{kind}.json")
    if values is None:
        return False
    if kind == "between":
        return values["pairs"] >= PAIRS
    return kind == "surface" or values["examples"] >= default_examples(folder)


def default_examples(folder: Path) -> int:
    """The number of test examples in a sweep's measurement, less the unreadable ones, which may be among those drawn."""
    data = (records.read_record(folder) or {})["data"]
    return min(EXAMPLES, data["test_count"]) - data["unreadable"]["test"]


# -- table 3 -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A run of the sweep, as far as it decides which run attacks which. settings: all that can change numbers except seed
    and alpha."""

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
        shared = {name: value for name, value in sorted(settings.items()) if name not in ("seed", "mixup.alpha")}
        return cls(folder, record["label"], record["seed"], record["alpha"], repr(shared))


def attacker(run: Entry, runs: Sequence[Entry]) -> Entry | None:
    """The run whose examples attack `run` in the black box: the ERM run of the next seed, the first seed following the last;
    None if there is none. So ERM and mixup of one seed meet the same examples, as ERM-2 and mixup meet ERM-1's in section
    3.5. It is not the ERM run of the same seed, which shares initial weights and data order: its examples fit both."""
    erm = {other.seed: other for other in runs if other.alpha == 0 and other.settings == run.settings}
    following = min(erm, key=lambda seed: (seed <= run.seed, seed), default=run.seed)
    return None if following == run.seed else erm[following]


def black_boxes(folders: Sequence[Path]) -> dict[Path, list[Path]]:
    """For each run the other runs that its adversarial examples attack; so examples are made once on each run."""
    runs = [Entry.of(folder) for folder in folders]
    victims: dict[Path, list[Path]] = {folder: [] for folder in folders}
    for run in runs:
        source = attacker(run, runs)
        if source is None:
            print(f"no black box for {run.label}: this sweep has no ERM run of another seed and its settings", flush=True)
        else:
            victims[source.folder].append(run.folder)
    return victims


def is_attacked(folder: Path, source: Path) -> bool:
    """Whether the run's attacks.json has every cell of those made on the source, of both runs' present weights."""
    values = read_measurement(folder, ATTACKS_FILE)
    if values is None or values["examples"] < default_examples(folder):
        return False
    weights = stamp(source)["weights_sha256"]
    measured = {(r["attack"], r["eps"]) for r in values["results"] if r["source_weights_sha256"] == weights}
    return measured >= set(CELLS)
