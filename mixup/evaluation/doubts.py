"""Errors under attack that contradict how attacks work: an error that falls as epsilon grows, a stronger attack that does
less than a weaker one in the white box, examples of another network that do more than the run's own. Beyond the counting
error of so many examples each is a sign of gradients that lead nowhere (Athalye et al. 2018, section 3.1). No torch here."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

WEAKER = {"ifgsm": "fgsm", "pgd": "ifgsm"}  # attack -> what it starts from, or does with fewer steps


def exceeds(a: float, b: float, examples: int) -> bool:
    """Whether an error of a % is above one of b % by more than the 95 % counting error of two independent counts, which is
    more than that of two counts on the same examples."""
    variance = (a * (100 - a) + b * (100 - b)) / max(examples, 1)
    return a - b > 1.96 * math.sqrt(variance)


def doubts(results: Sequence[Mapping[str, Any]], examples: int) -> list[str]:
    """A phrase for each contradiction. results, examples: of attacks.json."""
    errors = {(result["source"], result["attack"], result["eps"]): result["top1_error"] for result in results}
    falling, weak, foreign = [], [], []
    for source, attack in dict.fromkeys(key[:2] for key in errors):
        curve = sorted((eps, error) for (*method, eps), error in errors.items() if method == [source, attack])
        for (eps, error), (larger, less) in pairwise(curve):
            if exceeds(error, less, examples):
                falling.append(f"{box(source)}, {attack}: {error:g} % at epsilon {eps:g}, but {less:g} % at {larger:g}")
    for (source, attack, eps), error in errors.items():
        weaker, own = errors.get(("self", WEAKER.get(attack, ""), eps)), errors.get(("self", attack, eps))
        if source == "self" and weaker is not None and exceeds(weaker, error, examples):
            weak.append(f"white box at epsilon {eps:g}: {attack} {error:g} %, but {WEAKER[attack]} {weaker:g} %")
        if source != "self" and own is not None and exceeds(error, own, examples):
            foreign.append(f"{attack} at epsilon {eps:g}: white box {own:g} %, but {box(source)} {error:g} %")
    return [*falling, *weak, *foreign]


def box(source: str) -> str:
    return "white box" if source == "self" else f"examples of {source}"
