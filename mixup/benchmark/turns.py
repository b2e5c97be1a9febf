"""Contestants take turns, so that a machine that slows down slows all; results are medians with their middle halves."""

import gc
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from mixup.training.device import seconds_of

Turn = Callable[[], float]
"""Does some work and returns its seconds, of a unit such as one image."""
Times = dict[str, list[float]]
Row = dict[str, Any]
"""What is kept and shown of a measurement."""

SECONDS_A_TURN = 0.3


def turn_of(call: Callable[[], object], device: torch.device, *, units: float = 1, warm_up: int = 5) -> Turn:
    """Calls enough of it to fill a turn. units: of work in one call, such as the images of a batch."""
    for _ in range(warm_up if device.type == "cuda" else 1):
        call()
    count = max(1, round(SECONDS_A_TURN / seconds_of(call, device)))

    def turn() -> float:
        return seconds_of(lambda: [call() for _ in range(count)], device) / count / units

    return turn


def take_turns(contestants: Mapping[str, Callable[[], Turn]], rounds: int) -> Times:
    """Makes every contestant, then has them take turns, every other round in reverse. One uncounted round comes first."""
    turns = {name: make() for name, make in contestants.items()}
    for turn in turns.values():
        turn()
    times: Times = {name: [] for name in turns}
    for number in range(rounds):
        print(f"\rround {number + 1}/{rounds}", end="", file=sys.stderr, flush=True)
        for name in list(turns)[:: 1 if number % 2 == 0 else -1]:
            times[name].append(turns[name]())
    print("\r\033[K", end="", file=sys.stderr)
    return times


def one_by_one(contestants: Mapping[str, Callable[[], Turn]], rounds: int) -> Times:
    """One after the other, each freed before the next is made: for a GPU, whose memory holds one at a time and whose clock
    is steady. One that needs more memory than there is has no times."""
    times: Times = {}
    for name, make in contestants.items():
        try:
            turn = make()
            times[name] = [turn() for _ in range(rounds)]
        except torch.OutOfMemoryError:
            times[name] = []
        turn = None  # type: ignore[assignment]
        gc.collect()
        torch.cuda.empty_cache()
    return times


def middle_half(values: Sequence[float]) -> dict[str, Any]:
    """Median and quartiles."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * [values[0]]
    return {"median": median, "low": low, "high": high, "rounds": len(values)}


def ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, Any]:
    """`middle_half` of the ratios of each round."""
    return middle_half([one / other for one, other in zip(above, below, strict=True)])
