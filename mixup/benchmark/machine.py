"""What a machine can do at best, measured: matrix products and copies."""

import platform
from collections.abc import Callable
from typing import Any

import torch

from mixup.run import records
from mixup.run.config import TrainerConfig
from mixup.run.processes import cores
from mixup.training.device import device_name, seconds_of, set_up_device

SECONDS = 0.5  # of tries, at least one after the first


def describe(device: torch.device) -> dict[str, Any]:
    """Device, cores and versions."""
    environment = records.environment()
    return {
        "device": device_name(device),
        "cores": cores(),
        "processor": platform.processor() or platform.machine(),
        "python": environment["python"],
        "torch": environment["packages"]["torch"],
        "commit": environment["commit"],
        "dirty": environment["dirty"],
    }


def matmul_tflops(trainer: TrainerConfig, device: torch.device) -> float:
    """The fastest of some square matrix products in the trainer's precision, TFLOP/s."""
    set_up_device(device, trainer)
    size = 8192 if device.type == "cuda" else 1024
    dtype = torch.bfloat16 if trainer.precision == "bfloat16" else torch.float32
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2e-12 * size**3 / fastest(lambda: left @ right, device)


def copy_gigabytes(device: torch.device) -> float:
    """The fastest of some large copies, GB/s, bytes read and bytes written."""
    source = torch.ones(2**28 if device.type == "cuda" else 2**26, device=device)
    target = torch.empty_like(source)
    return 2e-9 * source.nbytes / fastest(lambda: target.copy_(source), device)


def fastest(call: Callable[[], object], device: torch.device) -> float:
    """Seconds."""
    seconds_of(call, device)
    tries = [seconds_of(call, device)]
    while sum(tries) < SECONDS:
        tries.append(seconds_of(call, device))
    return min(tries)
