"""The training step as one CUDA graph: a single launch in place of the hundreds of a step."""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial

import torch
from torch import Tensor, nn

from mixup.data import Examples, StreamedImages
from mixup.errors import UserError
from mixup.run.config import TrainConfig
from mixup.training.distributed import Group
from mixup.training.step import Batch, Epoch, State, StepSettings, train_step

WARM_UP = 3  # real steps before the recording: cuDNN chooses its kernels, and the optimizer's state comes to be


def step_function(
    config: TrainConfig, data: Examples, group: Group, device: torch.device
) -> tuple[Callable[..., None], str | None]:
    """`train_step`, captured where `trainer.capture` says so; and why not, where `auto` would but something forbids it.

    Raises UserError for `trainer.capture=true` where it cannot be.
    """
    capture = config.trainer.capture
    obstacle = obstacle_to_capture(config, data, group, device)
    if capture is True and obstacle:
        raise UserError(f"trainer.capture=true: a step cannot be captured with {obstacle}; use trainer.capture=auto")
    if capture is False or obstacle:
        return train_step, obstacle if capture == "auto" and device.type == "cuda" else None
    return CapturedStep(), None


def obstacle_to_capture(config: TrainConfig, data: Examples, group: Group, device: torch.device) -> str | None:
    """What a CUDA graph cannot hold, in words; None if a step can be captured."""
    if device.type != "cuda":
        return "trainer.device=cpu"
    if group.world_size > 1:
        return "several processes"
    if isinstance(data, StreamedImages):
        return "streamed images"
    return "mixup.noise" if config.mixup.noise else None


class CapturedStep:
    """`train_step`, recorded once and replayed for every full batch; the kernels are the same, and so are the results.

    A graph reads and writes the same addresses each time. They are those of the first epoch: the tables of a later one are
    copied there, and its state is moved there. The last batch of an epoch, where it is smaller, is not replayed.
    """

    def __init__(self, record: Callable[[Callable[[], None]], Callable[[], None]] | None = None) -> None:
        """record: takes a function, runs nothing, and returns one that does its work; by default as a CUDA graph."""
        self.record = record or record_graph
        self.warm_ups_left = WARM_UP
        self.replay: Callable[[], None] | None = None
        self.first: tuple[Epoch, dict[str, Tensor]] | None = None  # the tables and the tensors of the state that stay
        self.latest: Epoch | None = None
        self.batch: Batch | None = None  # the one that is recorded, with its number in a tensor

    def __call__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        data: Examples,
        *,
        epoch: Epoch,
        state: State,
        batch: Batch,
        settings: StepSettings,
    ) -> None:
        """As `train_step`."""
        tables, is_full = self.keep_addresses(epoch, state), batch.count == epoch.plan.batch_size
        if is_full:
            batch = self.on_device(batch, state.losses.device)
        step = partial(train_step, model, optimizer, data, epoch=tables, state=state, batch=batch, settings=settings)
        if not is_full:
            step()
        elif self.warm_ups_left:
            self.warm_ups_left -= 1
            on_another_stream(step, state.losses.device)
        else:
            if self.replay is None:
                allow_capture(optimizer)
                self.replay = self.record(step)
            self.replay()

    def on_device(self, batch: Batch, device: torch.device) -> Batch:
        """A full batch whose number and rows the device reads, at addresses that stay."""
        if self.batch is None:
            number, rows = torch.zeros(1, dtype=torch.int64, device=device), torch.arange(batch.count, device=device)
            self.batch = replace(batch, step=number, rows=rows)
        assert isinstance(self.batch.step, Tensor)
        self.batch.step.fill_(batch.step)
        return self.batch

    def keep_addresses(self, epoch: Epoch, state: State) -> Epoch:
        """The tables at their lasting addresses, filled with this epoch's; the state is moved to its own, in place."""
        tensors = {item.name: tensor for item in fields(state) if isinstance(tensor := getattr(state, item.name), Tensor)}
        if self.first is None:
            self.first = epoch, tensors
        elif epoch is not self.latest:
            tables, lasting = self.first
            for item in fields(epoch):
                if isinstance(table := getattr(epoch, item.name), Tensor):
                    getattr(tables, item.name).copy_(table)
            for name, tensor in tensors.items():
                setattr(state, name, lasting[name].copy_(tensor))
        self.latest = epoch
        return self.first[0]


def on_another_stream(step: Callable[[], None], device: torch.device) -> None:
    """Runs a step before the recording, outside the default stream, as torch asks for."""
    if device.type != "cuda":
        return step()
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream(device).wait_stream(stream)


def allow_capture(optimizer: torch.optim.Optimizer) -> None:
    """Adam refuses to be captured without `capturable`; its fused kernels are the same with it."""
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True


def record_graph(step: Callable[[], None]) -> Callable[[], None]:
    """The step as a CUDA graph; the result keeps alive what the step holds, since the graph knows addresses alone."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def replay(held: Callable[[], None] = step) -> None:
        graph.replay()

    return replay
