"""Learning rates as pure functions of training progress, set before each step, so that a restart cannot shift them."""

from __future__ import annotations

from collections.abc import Sequence


def step_schedule(
    progress: float,
    *,
    lr: float,
    milestones: Sequence[int],
    decay: float,
    warmup_epochs: int = 0,
    warmup_lr: float = 0.0,
) -> float:
    """`lr` times `decay` for every milestone reached; before `warmup_epochs` a line from `warmup_lr` to `lr` (section 3.1).

    progress: epochs done, fractional inside an epoch. With milestones 100 and 150 epochs 0 to 99 run at lr, 100 to 149
    at lr * decay (section 3.2). The authors' released code drops one epoch later; their second code base as here.
    """
    if progress < warmup_epochs:
        return warmup_lr + (lr - warmup_lr) * progress / warmup_epochs
    return lr * decay ** sum(progress >= milestone for milestone in milestones)
