"""The optimizer, and its learning rate as a pure function of training progress, so that a restart cannot shift it."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

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


def build_optimizer(optim: OptimConfig, model: nn.Module) -> torch.optim.Optimizer:
    """SGD (sections 3.1, 3.2) or Adam (3.3, 3.6). Weight decay applies to every parameter, BatchNorm and biases included, as
    in both of the authors' codes; for ImageNet not to BatchNorm's (Goyal et al. 2017, section 5.1)."""
    norms = {id(p) for m in model.modules() if isinstance(m, _BatchNorm) for p in m.parameters()}
    undecayed = [p for p in model.parameters() if id(p) in norms and not optim.decay_batchnorm]
    decayed = [p for p in model.parameters() if id(p) not in norms or optim.decay_batchnorm]
    groups = [{"params": decayed, "weight_decay": optim.weight_decay}, {"params": undecayed, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if optim.name == "adam":
        return torch.optim.Adam(groups, lr=optim.lr, fused=True)
    assert optim.momentum is not None
    assert optim.nesterov is not None
    return torch.optim.SGD(groups, lr=optim.lr, momentum=optim.momentum, nesterov=optim.nesterov, fused=True)
