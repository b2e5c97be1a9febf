"""`train.py` with a number that is not finite: `faulty_train.py WHERE VALUE CALL RANK ARGUMENTS...`, started by tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mixup import mixing
from mixup.training import capture
from mixup.training.step import train_step


def spoil(where: str, value: float, call: int) -> Callable[..., None]:
    """`train_step`, whose loss, gradient or weight of one example or number gets this value in that call, counted from 1."""
    calls = 0

    def spoilt(model: nn.Module, *arguments: object, **settings: object) -> None:
        nonlocal calls
        calls += 1
        if calls != call:
            return train_step(model, *arguments, **settings)
        parameter = next(model.parameters())
        if where == "weight":
            with torch.no_grad():
                parameter.view(-1)[0] = value
            return train_step(model, *arguments, **settings)
        if where == "gradient":
            hook = parameter.register_hook(lambda gradient: gradient + value)
            train_step(model, *arguments, **settings)
            return hook.remove()
        real = mixing.mixed_cross_entropy
        mixing.mixed_cross_entropy = lambda *of: real(*of) * torch.where(torch.arange(len(of[0])) == 0, value, 1.0)
        try:
            return train_step(model, *arguments, **settings)
        finally:
            mixing.mixed_cross_entropy = real

    return spoilt


if __name__ == "__main__":
    where, value, call, rank, *arguments = sys.argv[1:]
    if os.environ.get("RANK", "0") == rank:
        capture.train_step = spoil(where, float(value), int(call))
    sys.argv = ["train.py", *arguments]
    from train import main

    sys.exit(main())
