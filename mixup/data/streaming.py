"""Images that do not fit in memory: read and cut by worker processes, mixed with partners of the same process's batch.

A worker is handed the examples of a batch with their seeds and returns uint8 pixels; everything after that, normalisation
and mixing included, happens on the device. Nothing random happens in a worker, so the images are the same for any number
of them, and a run that goes on in mid-epoch decodes nothing of what it skips.
"""

from __future__ import annotations

import contextlib
import io
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mixup.data.crops import centre, cut, random_resized_crop
from mixup.data.dataset import Split
from mixup.data.datasets import DatasetInfo
from mixup.data.resident import Normalise, Views
from mixup.data.sources.encoded import Files
from mixup.errors import LocalError

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Task:
    """Examples to decode. rows: (B,) int64. seeds: (B,) int64 of their random resized crops, None for the view at test
    time. flips: (B,) bool."""

    rows: np.ndarray
    seeds: np.ndarray | None = None
    flips: np.ndarray | None = None


@dataclass(frozen=True)
class Decoded:
    """pixels: (K, H, W, C) uint8 of those that could be read. kept: (K,) int64, where they stood in the task.
    unreadable: example -> why."""

    pixels: Tensor
    kept: Tensor
    unreadable: dict[int, str]

    def pin_memory(self) -> Decoded:
        """Asked for by the DataLoader."""
        return replace(self, pixels=self.pixels.pin_memory())


class Decoder(Dataset[Decoded]):
    """Decodes tasks: the part of the loader that runs in worker processes."""

    def __init__(self, files: Files, info: DatasetInfo, tasks: Sequence[Task]) -> None:
        self.files, self.info, self.tasks = files, info, tasks

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, number: int) -> Decoded:
        task, unreadable = self.tasks[number], dict[int, str]()
        opened = [self.open(int(row), unreadable) for row in task.rows]  # no more than the headers, for the sizes
        boxes = None
        if task.seeds is not None:
            sizes = np.array([image.size if image else (1, 1) for image in opened])
            boxes = random_resized_crop(task.seeds, sizes[:, 1], sizes[:, 0])
        _, height, width = self.info.input_shape
        pixels = torch.empty(len(task.rows), height, width, 3, dtype=torch.uint8)
        kept: list[int] = []
        for position, image in enumerate(opened):
            if image is None:
                continue
            with self.noting(int(task.rows[position]), unreadable), image:
                rgb = image if image.mode == "RGB" else image.convert("RGB")
                view = self.view(rgb, None if boxes is None else boxes[position])
                flipped = task.flips is not None and task.flips[position]
                pixels[len(kept)] = (view.flip(2) if flipped else view).permute(1, 2, 0)
                kept.append(position)
        return Decoded(pixels[: len(kept)], torch.tensor(kept, dtype=torch.int64), unreadable)

    def open(self, row: int, unreadable: dict[int, str]) -> Image.Image | None:
        from PIL import Image

        with self.noting(row, unreadable):
            return Image.open(io.BytesIO(self.files.read(row)))
        return None

    def view(self, image: Image.Image, box: np.ndarray | None) -> Tensor:
        """The part that is trained on; without a box, the view at test time. (3, H, W) uint8."""
        size = self.info.input_shape[1], self.info.input_shape[2]
        if box is not None:
            return cut(image, box, size)
        assert self.info.resize is not None
        return centre(image, self.info.resize, size)

    @contextlib.contextmanager
    def noting(self, row: int, unreadable: dict[int, str]) -> Iterator[None]:
        """Notes the file of an error and goes on: PIL raises nearly anything for a damaged one."""
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:
            why = str(error).split(" <_io")[0]  # PIL names the buffer that it read from
            unreadable[row] = f"{self.files.path(row)} cannot be read as an image ({why})"


class StreamedImages:
    """One split of image files. on_error: `raise` ends the run at a file that cannot be read, naming it; `skip` leaves out
    every pair that it takes part in, and counts it."""

    def __init__(
        self, split: Split, info: DatasetInfo, *, device: torch.device, workers: int, on_error: str, channels_last: bool
    ) -> None:
        assert isinstance(split.inputs, Files)
        self.files, self.info = split.inputs, info
        self.labels = split.labels.to(device)
        self.unreadable: dict[int, str] = {}
        self.workers, self.on_error = workers, on_error
        self.normalise = Normalise(info, device=device, channels_last=channels_last)

    def __len__(self) -> int:
        return len(self.labels)

    def visits(self, plan: Views, steps: Sequence[slice]) -> Iterator[tuple[StreamedVisit, slice | Tensor]]:
        order, flip = plan.order.cpu().numpy(), plan.flip.cpu().numpy()
        seeds = None if plan.crop_seed is None else plan.crop_seed.cpu().numpy()
        tasks = [Task(order[at], None if seeds is None else seeds[at], flip[at]) for at in steps]
        partner = plan.partner.cpu()
        for positions, batch in zip(steps, self.decoded(tasks)):
            inputs, count = self.on_device(batch), positions.stop - positions.start
            if len(batch.kept) == count:
                yield StreamedVisit(inputs, positions, None), positions
                continue
            row = torch.full((count,), -1)
            row[batch.kept] = torch.arange(len(batch.kept))
            beside = within(partner[positions], positions)
            usable = ((row >= 0) & (row[beside] >= 0).all(1)).nonzero()[:, 0] + positions.start
            if not len(usable):
                raise LocalError(
                    f"no pair of a process's whole batch is left: {next(iter(batch.unreadable.values()))}; restore the "
                    "files, or change trainer.batch_size where a batch is as small as that"
                )
            yield StreamedVisit(inputs, positions, row.to(inputs.device)), usable.to(inputs.device)

    def in_order(self, chunks: Sequence[slice]) -> Iterator[tuple[Tensor, Tensor]]:
        tasks = [Task(np.arange(chunk.start, chunk.stop)) for chunk in chunks]
        for chunk, batch in zip(chunks, self.decoded(tasks)):
            if len(batch.kept):
                yield (batch.kept + chunk.start).to(self.labels.device), self.on_device(batch)

    def on_device(self, batch: Decoded) -> Tensor:
        return self.normalise(batch.pixels.to(self.labels.device, non_blocking=True))

    def decoded(self, tasks: Sequence[Task]) -> Iterator[Decoded]:
        """The tasks in their order, decoded ahead by the workers. Raises UserError at an unreadable file unless it is to be
        skipped."""
        from PIL import Image

        Image.preinit()  # its readers, imported here and not by every worker
        loader = DataLoader(
            Decoder(self.files, self.info, tasks),
            batch_size=None,
            num_workers=min(self.workers, len(tasks)),
            pin_memory=self.labels.device.type == "cuda",
            generator=torch.Generator(),  # else torch's global one would be advanced
            worker_init_fn=leave_signals_to_parent,
        )
        for batch in told(iter(loader)):
            if batch.unreadable and self.on_error == "raise":
                raise LocalError(
                    f"{next(iter(batch.unreadable.values()))}: restore the file, or leave such files out and have them "
                    "counted with data.on_error=skip"
                )
            self.unreadable |= batch.unreadable
            yield batch


def leave_signals_to_parent(worker: int) -> None:
    """A signal to the whole group, as a job manager's, stops the run after a step: until then the workers are needed."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def told(batches: Iterator[Decoded]) -> Iterator[Decoded]:
    """The same batches; LocalError where a worker was killed."""
    try:
        yield from batches
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise LocalError(
            f"a process that decodes images was ended from outside ({str(error).splitlines()[0]}): most often memory or "
            "/dev/shm is full; try data.workers=1, or a smaller trainer.batch_size"
        ) from error


@dataclass(frozen=True)
class StreamedVisit:
    """A step can see its own process's batch, those at `mine`. row: (batch,) int64 into `inputs`, -1 for an unreadable one;
    None where all could be read."""

    inputs: Tensor
    mine: slice
    row: Tensor | None

    def at(self, positions: slice | Tensor) -> Tensor:
        if isinstance(positions, slice):
            return self.inputs
        rows = within(positions, self.mine)
        return self.inputs[rows if self.row is None else self.row[rows]]


def within(positions: Tensor, mine: slice) -> Tensor:
    """Positions of the epoch as rows of a batch. A rank without examples takes part with a stand-in at a loss of weight 0,
    whose partner is another rank's: cut to the batch."""
    return (positions - mine.start).clamp(0, mine.stop - mine.start - 1)
