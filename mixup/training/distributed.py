"""One process or many under torchrun, with the same code, and its device; a group of one has nothing to communicate."""

import gc
import os
import warnings
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mixup.errors import LocalError, UserError
from mixup.run.config import TrainerConfig

PREPARATION = timedelta(days=2)
preparations: list[Any] = []  # the same ranks again, as a group with that time limit
exchanges: list[Any] = []  # and once more, through the CPU


@dataclass(frozen=True)
class Group:
    """This process among `world_size`; `local_rank` counts on its machine. Rank 0, the leader, alone writes and prints."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1

    @property
    def is_leader(self) -> bool:
        return self.rank == 0


def join_group(device: str) -> Group:
    """The group that torchrun's environment describes, joined on first call: NCCL on GPUs, gloo on CPUs. Raises UserError
    where a process has no GPU or does not reach the others."""
    world_size = int(os.environ.get("WORLD_SIZE", 1)) if "LOCAL_RANK" in os.environ else 1
    if world_size == 1:
        return Group()
    group = Group(int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"]), world_size)
    if not dist.is_initialized():
        on_gpu = device != "cpu" and torch.cuda.is_available()
        if on_gpu:
            if group.local_rank >= torch.cuda.device_count():
                raise UserError(
                    f"{torch.cuda.device_count()} GPUs here, and a process for GPU {group.local_rank}: start torchrun with "
                    f"--nproc-per-node={torch.cuda.device_count()}, or with trainer.device=cpu"
                )
            torch.cuda.set_device(group.local_rank)
        device_id = torch.device("cuda", group.local_rank) if on_gpu else None
        try:
            dist.init_process_group("nccl" if on_gpu else "gloo", device_id=device_id)
            preparations.append(dist.new_group(backend="gloo", timeout=PREPARATION))
            exchanges.append(dist.new_group(backend="gloo"))
        except RuntimeError as error:
            raise LocalError(
                f"the processes of this run do not reach one another ({error}). Where they are on several machines, set "
                "GLOO_SOCKET_IFNAME on each, and NCCL_SOCKET_IFNAME for GPUs, to the network interface towards the others"
            ) from error
    return group


def leave_group() -> None:
    """Closes the group at the end of the program; without it torch warns of leaked resources."""
    if dist.is_available() and dist.is_initialized():
        preparations.clear()
        exchanges.clear()
        gc.collect()  # a DistributedDataParallel that outlives its group aborts the process now and then
        dist.destroy_process_group()


def all_reduce(group: Group, tensor: Tensor, *, largest: bool = False) -> Tensor:
    """The sum of every rank's tensor, or the largest of each element, on every rank, in place."""
    if group.world_size > 1:
        dist.all_reduce(tensor, dist.ReduceOp.MAX if largest else dist.ReduceOp.SUM)
    return tensor


def largest_of_all(values: Tensor) -> Any:
    """Starts to put the largest of every rank's values in their place, on the CPU; `wait` of the result waits for that."""
    return dist.all_reduce(values, dist.ReduceOp.MAX, group=exchanges[0], async_op=True)


def broadcast(group: Group, value: Any, *, preparing: bool = False) -> Any:
    """Rank 0's value on every rank; any picklable value. preparing: as for `barrier`."""
    if group.world_size == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, group=preparations[-1] if preparing else None)
    return box[0]


def broadcast_buffers(group: Group, module: nn.Module) -> None:
    """Rank 0's BatchNorm statistics on every rank, so that all evaluate the same network."""
    if group.world_size > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


def all_gather(group: Group, value: Any) -> list[Any]:
    """Every rank's value, in rank order, on every rank; any picklable value."""
    if group.world_size == 1:
        return [value]
    values: list[Any] = [None] * group.world_size
    dist.all_gather_object(values, value)
    return values


def union(group: Group, values: dict[int, str]) -> dict[int, str]:
    """The dictionaries of all ranks as one, on every rank."""
    return {key: value for part in all_gather(group, values) for key, value in part.items()}


def barrier(group: Group, *, preparing: bool = False) -> None:
    """Returns after every rank has called it. preparing: also where one downloads or decodes for hours, of which NCCL would
    allow ten minutes, and gloo thirty."""
    if group.world_size > 1:
        dist.barrier(preparations[-1] if preparing else None)


def synchronised(trainer: TrainerConfig, model: nn.Module, group: Group, device: torch.device) -> nn.Module:
    """The network with BatchNorm over the whole batch instead of each process's part, if configured. Raises UserError."""
    if not trainer.sync_batchnorm:
        return model
    if device.type != "cuda":
        raise UserError("trainer.sync_batchnorm=true: torch has it for GPUs alone; use trainer.sync_batchnorm=false")
    return nn.SyncBatchNorm.convert_sync_batchnorm(model) if group.world_size > 1 else model


def wrap(trainer: TrainerConfig, model: nn.Module, group: Group, device: torch.device) -> nn.Module:
    """The network as a step calls it: its gradients averaged over the group, and compiled if configured."""
    wrapped: Any = model
    if group.world_size > 1:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)  # its successor is new
            wrapped = DistributedDataParallel(
                model,
                device_ids=[device.index] if device.type == "cuda" else None,
                broadcast_buffers=False,  # `broadcast_buffers` does that once an epoch, before the evaluation
                gradient_as_bucket_view=True,
                static_graph=not trainer.compile,  # a compiler cuts the graph itself
            )
    # Outside: it then splits the backward pass at the buckets of gradients, which are sent while the rest is computed.
    if trainer.compile:
        wrapped = torch.compile(wrapped)
    return wrapped
