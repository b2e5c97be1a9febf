"""Learning rates as a pure function of training progress, so that a restart cannot shift them."""

from __future__ import annotations

from mixup.run.config import OptimConfig


def learning_rate(optim: OptimConfig, epochs_done: float) -> float:
    """`lr` times `decay` for every milestone reached; before `warmup_epochs` a line from `warmup_lr` to `lr` (section 3.1).

    epochs_done: fractional inside an epoch. With milestones 100 and 150 epochs 0 to 99 run at lr, 100 to 149 at lr * decay
    (section 3.2). The authors' released code drops one epoch later; their second code base as here.
    """
    if epochs_done < optim.warmup_epochs:
        start = optim.warmup_lr or 0.0
        return start + (optim.lr - start) * epochs_done / optim.warmup_epochs
    return optim.lr * optim.decay ** sum(epochs_done >= milestone for milestone in optim.milestones)
