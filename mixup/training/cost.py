"""What a network costs: parameters, operations, and seconds a step on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameter_count(model: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def flops_per_image(build: Callable[[], nn.Module], input_shape: tuple[int, ...]) -> int:
    """Floating-point operations of one image's forward pass, two for each multiply-add, without doing any of them."""
    with torch.device("meta"):
        model = build().eval().requires_grad_(False)  # the counter trips over parameters with a gradient
        image = torch.empty(1, *input_shape)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    return counter.get_total_flops()


def seconds_per_step(step: Callable[[], object], device: torch.device, *, steps: int, limit_seconds: float) -> float:
    """The fastest of up to `steps` timed calls, one at least, that end within the limit; after one that is not counted."""
    step()
    fastest, spent = float("inf"), 0.0
    for _ in range(steps):
        synchronize(device)
        start = time.perf_counter()
        step()
        synchronize(device)
        seconds = time.perf_counter() - start
        fastest, spent = min(fastest, seconds), spent + seconds
        if spent > limit_seconds:
            break
    return fastest


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
