"""The device of a process: which one, how it computes, and the generator that it draws from."""

import ctypes
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from mixup.errors import LocalError, UserError
from mixup.run.config import TrainerConfig
from mixup.training.distributed import Group

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt


def choose_device(name: str, group: Group) -> torch.device:
    """The device of a name: `cpu`, `cuda`, `cuda:<n>`, or `auto`, this process's GPU if there is one. Raises UserError."""
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"trainer.device={name}: torch finds no GPU here; use trainer.device=cpu or auto")
    if ":" in name and group.world_size > 1:
        raise UserError(f"trainer.device={name}: each process of a group has a GPU of its own; use trainer.device=cuda")
    if ":" in name and int(name.split(":")[1]) >= torch.cuda.device_count():
        raise UserError(f"trainer.device={name}: there are {torch.cuda.device_count()} GPUs here, counted from 0")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", group.local_rank) if ":" not in name else torch.device(name)
    torch.cuda.set_device(device)  # what takes the current device would open a context on the first
    return device


def device_name(device: torch.device) -> str:
    """The hardware, as a record names it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()})"


def require_precision(trainer: TrainerConfig, device: torch.device) -> None:
    """Raises UserError for a precision that the device does not have."""
    if trainer.precision == "tf32" and device.type != "cuda":
        raise UserError("trainer.precision=tf32: only a GPU computes in it; use trainer.precision=float32")


def slow_precision(trainer: TrainerConfig, device: torch.device) -> str | None:
    """What to say of a precision that the device emulates: a PreAct ResNet-18 of width 16 took twelve times as long."""
    if trainer.precision == "bfloat16" and device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2":
        return (
            "this CPU has no AVX-512, and computes bfloat16 about twelve times as slowly as float32: "
            "trainer.precision=float32 is another recipe, in a folder of its own"
        )
    return None


def set_up_device(device: torch.device, trainer: TrainerConfig) -> None:
    """Sets how a GPU computes, and has a CPU's process keep the memory that it frees.

    A GPU's float32 is float32. With `trainer.deterministic` it takes the kernels that give the same bits each time; without,
    cuDNN measures which are the fastest.

    glibc returns a large freed block to the system at once. A training step frees and allocates the same large blocks every
    time, and the system clears each of their pages again: up to a third of a step of a small network on large inputs.
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = trainer.precision == "tf32"
    torch.backends.cudnn.benchmark = not trainer.deterministic
    if trainer.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # an aid in debugging
    if torch.are_deterministic_algorithms_enabled() != trainer.deterministic:  # this imports torch's compiler
        torch.use_deterministic_algorithms(trainer.deterministic)
    if device.type == "cpu" and sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def memory_of_a_run() -> Iterator[None]:
    """First frees what an earlier run left on the GPU. Raises LocalError in one sentence where memory runs out."""
    if torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise LocalError(
            "out of memory: a smaller trainer.batch_size, trainer.eval_batch_size or network needs less, and so do "
            "trainer.precision=bfloat16 and, of a DenseNet, model.memory_efficient=true; what was trained is kept"
        ) from None


def seconds_of(call: Callable[[], object], device: torch.device) -> float:
    """Of a call and of all the work that it gives to the device."""
    synchronize(device)
    start = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    """Waits for the work that a GPU was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def generator_of(device: torch.device) -> torch.Generator:
    """The generator that dropout draws from. `torch.manual_seed` seeds those of all backends, which takes 0.5 ms."""
    return torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else torch.default_generator


def forgo_compiler(*functions: Callable[..., object] | None) -> None:
    """Spares a process the import of torch's compiler, which takes longer than that of torch.

    Some of torch's functions import it at their first call, only to have it leave them alone. Here they are marked as left
    alone already, which is all that it would do. `trainer.compile` compiles the network, which calls none of them.
    """
    for function in functions:
        plain = getattr(function, "__wrapped__", None)
        if plain is not None:
            setattr(plain, "__dynamo_disable", plain)
