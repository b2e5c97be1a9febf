"""The optimizer, and its learning rate as a pure function of training progress, so that a restart cannot shift it."""

import inspect
from functools import partial

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from mixup.run.config import OptimConfig
from mixup.training.device import forgo_compiler


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
    forgo_compiler(Optimizer.add_param_group, Optimizer.zero_grad, Optimizer.state_dict, Optimizer.load_state_dict)
    norms = {id(p) for m in model.modules() if isinstance(m, _BatchNorm) for p in m.parameters()}
    undecayed = [p for p in model.parameters() if id(p) in norms and not optim.decay_batchnorm]
    decayed = [p for p in model.parameters() if id(p) not in norms or optim.decay_batchnorm]
    groups = [{"params": decayed, "weight_decay": optim.weight_decay}, {"params": undecayed, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    optimizer: Optimizer
    if optim.name == "adam":
        optimizer = torch.optim.Adam(groups, lr=optim.lr, fused=True)
    else:
        assert optim.momentum is not None
        assert optim.nesterov is not None
        optimizer = torch.optim.SGD(groups, lr=optim.lr, momentum=optim.momentum, nesterov=optim.nesterov, fused=True)
    # Its step without the wrappers for profilers and torch's compiler, which import that compiler and take time each step.
    setattr(optimizer, "step", partial(torch.no_grad()(inspect.unwrap(type(optimizer).step)), optimizer))  # noqa: B010
    return optimizer
