"""Errors under attack that contradict how attacks work: an error that falls as epsilon grows, a stronger attack that does
less than a weaker one in the white box, examples of another network that do more than the run's own. Each may be chance
where examples are few, or a sign of gradients that lead nowhere (Athalye et al. 2018, section 3.1). Imports no torch."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

WEAKER = {"ifgsm": "fgsm", "pgd": "ifgsm"}  # attack -> what it starts from, or does with fewer steps


def doubts(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """A phrase for each contradiction. results: of attacks.json."""
    errors = {(result["source"], result["attack"], result["eps"]): result["top1_error"] for result in results}
    falling, weak, foreign = [], [], []
    for source, attack in dict.fromkeys(key[:2] for key in errors):
        curve = sorted((eps, error) for (*method, eps), error in errors.items() if method == [source, attack])
        for (eps, error), (larger, less) in pairwise(curve):
            if less < error:
                falling.append(f"{box(source)}, {attack}: {error:g} % at epsilon {eps:g}, but {less:g} % at {larger:g}")
    for (source, attack, eps), error in errors.items():
        weaker, own = errors.get(("self", WEAKER.get(attack, ""), eps)), errors.get(("self", attack, eps))
        if source == "self" and weaker is not None and weaker > error:
            weak.append(f"white box at epsilon {eps:g}: {attack} {error:g} %, but {WEAKER[attack]} {weaker:g} %")
        if source != "self" and own is not None and error > own:
            foreign.append(f"{attack} at epsilon {eps:g}: white box {own:g} %, but {box(source)} {error:g} %")
    return [*falling, *weak, *foreign]


def box(source: str) -> str:
    return "white box" if source == "self" else f"examples of {source}"
