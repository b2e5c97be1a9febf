"""Measures every run of a sweep once all have finished: `evaluate=attacks|between|card|surface`.

Each measurement is a JSON file in the run's directory that names the weights it is of. A complete one of the present weights
is not made again, so the same command continues a killed sweep, and does nothing for a finished one.
"""

import contextlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mixup.errors import UserError
from mixup.evaluation.attacks import CELLS, measure_attacks
from mixup.evaluation.between import measure_between, measure_surface
from mixup.evaluation.finished_run import FinishedRun, open_finished_run
from mixup.evaluation.measurements import finished_record, read_measurement, stamp
from mixup.evaluation.report_card import make_card
from mixup.evaluation.settings import EXAMPLES, PAIRS
from mixup.run.conversions import from_dict
from mixup.run.identity import identity

MEASURES: dict[str, Callable[..., object]] = {"card": make_card, "surface": measure_surface}


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
            targets = [target for target in [folder, *victims.get(folder, [])] if not is_measured(target, kind, folder)]
            if not targets:
                print(f"{place}: measured before", flush=True)
                continue
            print(f"{place}, shown to {len(targets)} runs" if len(targets) > 1 else place, flush=True)
            run = open_finished_run(folder, root=root, device=device, like=run)
            pairs, examples = amounts(folder)
            if kind == "between":
                measure_between(run, pairs=pairs)
            if kind in MEASURES:
                MEASURES[kind](run)
            opened = []
            for target in targets if kind == "attacks" else ():
                with noting(faults, f"attacks on {target}"):
                    opened.append(run if target == folder else open_finished_run(target, root=root, device=device, like=run))
            if opened:
                measure_attacks(run, opened, CELLS, examples=examples)
    return int(bool(faults))


@contextlib.contextmanager
def noting(faults: list[str], task: str) -> Iterator[None]:
    """Prints an error and adds it to the faults instead of raising it. RuntimeError: a GPU out of memory."""
    try:
        yield
    except (UserError, OSError, RuntimeError) as error:
        faults.append(f"{task}: {error}")
        print(f"{task} failed: {error}", file=sys.stderr, flush=True)


def amounts(folder: Path) -> tuple[int, int]:
    """On how many pairs and on how many test examples a sweep measures a run. At the paper's scale half as many pairs as
    training examples, and all test examples: all seeds meet the same ones, so that no interval over seeds has the error of
    a smaller sample."""
    record = finished_record(folder)
    train, test = record["data"]["train_count"], record["data"]["test_count"]
    if record["config"]["scale"] == "paper":
        return max(PAIRS, train // 2), test
    return PAIRS, min(EXAMPLES, test)


def is_measured(folder: Path, kind: str, source: Path) -> bool:
    """Whether the measurement exists, of the present weights and of as many examples or pairs as a sweep takes.

    source: the run whose examples attack it; attacks.json must have every cell of these, of that run's present weights.
    """
    values = read_measurement(folder, f"{kind}.json")
    if values is None or kind == "surface":
        return values is not None
    pairs, examples = amounts(folder)
    if kind == "between":
        return values["pairs"] >= pairs
    # Unreadable examples may be among those drawn. A card takes as many as `eval.py` does.
    wanted = min(EXAMPLES, examples) if kind == "card" else examples
    enough = values["examples"] >= wanted - finished_record(folder)["data"]["unreadable"]["test"]
    if kind == "card" or not enough:
        return enough
    weights = stamp(source)["weights_sha256"]
    return {(r["attack"], r["eps"]) for r in values["results"] if r["source_weights_sha256"] == weights} >= set(CELLS)


def black_boxes(folders: Sequence[Path]) -> dict[Path, list[Path]]:
    """For each run the other runs that its adversarial examples attack (table 3); so examples are made once on each run.

    A run is attacked by the ERM run of the next seed, the first seed following the last, with equal settings but for alpha.
    So ERM and mixup of one seed meet the same examples, as ERM-2 and mixup meet ERM-1's in section 3.5. It is not the ERM
    run of the same seed, which shares initial weights and data order: its examples fit both.
    """
    runs, erm = [], defaultdict[str, dict[int, Path]](dict)  # erm: by settings, then by seed
    for folder in folders:
        record = finished_record(folder)
        values = {**identity(from_dict(record["config"])), "seed": None, "mixup.alpha": None}
        settings = repr(sorted(values.items()))
        runs.append((folder, record["label"], record["seed"], settings))
        if record["alpha"] == 0:
            erm[settings][record["seed"]] = folder
    victims: dict[Path, list[Path]] = {folder: [] for folder in folders}
    for folder, label, seed, settings in runs:
        following = min(erm[settings], key=lambda other: (other <= seed, other), default=seed)
        if following == seed:
            print(f"no black box for {label}: this sweep has no ERM run of another seed and its settings", flush=True)
        else:
            victims[erm[settings][following]].append(folder)
    return victims
