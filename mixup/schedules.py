"""Learning rates as pure functions of training progress, set before each step, so that a restart cannot shift them."""

from __future__ import annotations

from collections.abc import Sequence


def step_schedule(progress: float, *, lr: float, milestones: Sequence[int], decay: float) -> float:
    """`lr` times `decay` for every milestone reached.

    progress: epochs done, fractional inside an epoch. With milestones 100 and 150 epochs 0 to 99 run at lr, 100 to 149
    at lr * decay (section 3.2). The authors' released code drops one epoch later; their second code base as here.
    """
    return lr * decay ** sum(progress >= milestone for milestone in milestones)
