"""What contradicts how attacks work, in a run's errors under them: an error that falls as epsilon grows, a stronger attack
that does less than a weaker one in the white box, examples of another net that do more than the run's own. Each may be
chance where examples are few, or a sign of gradients that lead nowhere (Athalye et al. 2018, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

WEAKER = {"ifgsm": "fgsm", "pgd": "ifgsm"}  # than the attack: what it starts from, or does with fewer steps
Errors = Mapping[tuple[str, str, float], float]  # source, attack, epsilon -> top-1 error in percent


def doubts(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """A phrase each. results: of attacks.json."""
    errors = {(one["source"], one["attack"], one["eps"]): one["top1_error"] for one in results}
    return [*falling(errors), *weak(errors), *strangers(errors)]


def falling(errors: Errors) -> list[str]:
    found = []
    for source, attack in dict.fromkeys(key[:2] for key in errors):
        curve = sorted((eps, error) for (*of, eps), error in errors.items() if of == [source, attack])
        for (eps, error), (more, less) in pairwise(curve):
            if less < error:
                found.append(f"{box(source)}, {attack}: {error:g} % at epsilon {eps:g}, but {less:g} % at {more:g}")
    return found


def weak(errors: Errors) -> list[str]:
    found = []
    for (source, attack, eps), error in errors.items():
        other = errors.get((source, WEAKER.get(attack, ""), eps))
        if source == "self" and other is not None and other > error:
            found.append(f"white box at epsilon {eps:g}: {attack} {error:g} %, but {WEAKER[attack]} {other:g} %")
    return found


def strangers(errors: Errors) -> list[str]:
    found = []
    for (source, attack, eps), error in errors.items():
        own = errors.get(("self", attack, eps))
        if source != "self" and own is not None and error > own:
            found.append(f"{attack} at epsilon {eps:g}: white box {own:g} %, but {box(source)} {error:g} %")
    return found


def box(source: str) -> str:
    return "white box" if source == "self" else f"examples of {source}"
