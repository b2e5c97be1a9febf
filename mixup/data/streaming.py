"""Images that do not fit in memory: loader processes read and crop them; a rank mixes inside its own share of the batch.

A loader process receives up to `PIECE` examples of a batch with their seeds and returns uint8 pixels; joining, normalisation
and mixing happen on the device. Loader processes draw nothing at random, so the images are the same for any number of them,
and a run that resumes in mid-epoch decodes nothing that it skips.
"""

import io
import math
import signal
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mixup.data.crops import centre, cut, random_resized_crop
from mixup.data.dataset import Split
from mixup.data.datasets import DatasetInfo
from mixup.data.resident import Normalise
from mixup.data.sources.storage import Files, as_rgb
from mixup.errors import LocalError
from mixup.plan import EpochPlan
from mixup.run.processes import STOPPING

PIECE = 64  # images of a task for one process: those of a large batch are decoded by all processes, not by one in seconds
SILENT_SECONDS = 600  # of the loader, before the run gives up


class Task(NamedTuple):
    """Examples to decode. rows: (B,) int64 into the files. seeds: (B,) int64 of random resized crops; None for the view at
    test time. flips: (B,) bool; None for no flip. crops: (B, 2) int64, corners in the padded view; None for its centre."""

    rows: np.ndarray
    seeds: np.ndarray | None = None
    flips: np.ndarray | None = None
    crops: np.ndarray | None = None

    def pieces(self) -> list["Task"]:
        parts = [slice(start, start + PIECE) for start in range(0, len(self.rows), PIECE)]
        others = ([None if values is None else values[part] for part in parts] for values in self[1:])
        return [Task(self.rows[part], *rest) for part, *rest in zip(parts, *others)]


class Decoded(NamedTuple):
    """The readable images of a piece of a task. pixels: (K, H, W, C) uint8. readable: (K,) int64, their places in the piece.
    unreadable: example -> why."""

    pixels: Tensor
    readable: Tensor
    unreadable: dict[int, str]


class Decoder(Dataset[Decoded]):
    """Decodes pieces of tasks: the part of the loader that runs in its processes."""

    def __init__(self, files: Files, info: DatasetInfo, tasks: Sequence[Task], padding: int = 0) -> None:
        self.files, self.info, self.tasks, self.padding = files, info, tasks, padding

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, number: int) -> Decoded:
        task, unreadable = self.tasks[number], dict[int, str]()
        _, height, width = self.info.input_shape
        pixels = torch.empty(len(task.rows), height, width, 3, dtype=torch.uint8)
        readable: list[int] = []
        for place, row in enumerate(task.rows.tolist()):
            try:
                view = self.view(row, None if task.seeds is None else task.seeds[place : place + 1])
            except MemoryError:
                raise
            except Exception as error:  # PIL raises nearly any kind for a damaged file
                unreadable[row] = self.files.unreadable(row, error)
                continue
            if task.crops is not None:
                top, left = task.crops[place].tolist()
                view = F.pad(view, [self.padding] * 4)[:, top : top + height, left : left + width]
            flip = task.flips is not None and task.flips[place]
            pixels[len(readable)] = (view.flip(2) if flip else view).permute(1, 2, 0)
            readable.append(place)
        return Decoded(pixels[: len(readable)], torch.tensor(readable, dtype=torch.int64), unreadable)

    def view(self, row: int, seed: np.ndarray | None) -> Tensor:
        """The random resized crop of a seed, (1,) int64, or the view at test time for None. (3, H, W) uint8."""
        from PIL import Image

        size = self.info.input_shape[1], self.info.input_shape[2]
        with Image.open(io.BytesIO(self.files.read(row))) as image:
            rgb = as_rgb(image)
            if seed is not None:
                (box,) = random_resized_crop(seed, np.array([image.height]), np.array([image.width]))
                return cut(rgb, box, size)
            assert self.info.resize is not None
            return centre(rgb, self.info.resize, size)


class StreamedImages:
    """One split of image files. on_error: `raise` ends the run at an unreadable file and names it; `skip` leaves out every
    mixture with such a file, and counts the files. padding: pixels of zeros around the view that a crop is cut from."""

    def __init__(
        self,
        split: Split,
        info: DatasetInfo,
        *,
        device: torch.device,
        workers: int,
        on_error: str,
        channels_last: bool,
        padding: int = 0,
    ) -> None:
        assert isinstance(split.inputs, Files)
        self.files, self.info = split.inputs, info
        self.labels = split.labels.to(device)
        self.unreadable: dict[int, str] = {}
        self.workers, self.on_error, self.padding = workers, on_error, padding
        self.normalise = Normalise(info, device=device, channels_last=channels_last)

    def __len__(self) -> int:
        return len(self.labels)

    def load(self, plan: EpochPlan, shares: Sequence[slice]) -> Iterator[tuple[list[Tensor], Tensor | None]]:
        """For each share of a batch, the k augmented examples of each mixture, own first, (B, C, H, W) float32 each.

        shares: positions of the plan. Also yields the rows of the share whose examples are all readable, (B,) int64 on the
        device; None for every row.
        """
        order, flip = plan.order.numpy(), plan.flip.numpy()
        seeds = None if plan.crop_seed is None else plan.crop_seed.numpy()
        crops = plan.crop.numpy() if self.padding else None
        others = [[None if values is None else values[share] for share in shares] for values in (seeds, flip, crops)]
        tasks = [Task(order[share], *rest) for share, *rest in zip(shares, *others)]
        for share, (pixels, readable) in zip(shares, self.decoded(tasks)):
            images, count = self.normalise(pixels), share.stop - share.start
            partner = rows_of_share(plan.partner[share], share)
            if len(readable) == count:
                partner = partner.to(images.device)
                yield [images, *(images[rows] for rows in partner.unbind(1))], None
                continue
            place = torch.full((count,), -1)  # of each row of the share in `images`
            place[readable] = torch.arange(len(readable))
            usable = ((place >= 0) & (place[partner] >= 0).all(1)).nonzero()[:, 0]
            if not len(usable):
                unreadable = next(self.unreadable[row] for row in order[share] if row in self.unreadable)
                raise LocalError(
                    f"no mixture of a process's whole batch is readable: {unreadable}; restore the files, or change "
                    "trainer.batch_size where a batch is as small as that"
                )
            places = torch.cat([place[usable, None], place[partner[usable]]], 1).to(images.device)
            yield [images[rows] for rows in places.unbind(1)], usable.to(images.device)

    def in_order(self, chunks: Sequence[slice]) -> Iterator[tuple[Tensor, Tensor]]:
        tasks = [Task(np.arange(chunk.start, chunk.stop)) for chunk in chunks]
        for chunk, (pixels, readable) in zip(chunks, self.decoded(tasks)):
            if len(readable):
                yield (readable + chunk.start).to(self.labels.device), self.normalise(pixels)

    def decoded(self, tasks: Sequence[Task]) -> Iterator[tuple[Tensor, Tensor]]:
        """For each task in turn its readable images, (K, H, W, C) uint8 on the device, and their places in it, (K,) int64.

        Decoded ahead by the loader's processes. Raises LocalError at an unreadable file, unless `on_error` is `skip`, and if
        a loader process was killed or hangs.
        """
        from PIL import Image

        Image.preinit()  # imports PIL's readers once, instead of in every process
        pieces = [task.pieces() for task in tasks]
        workers = min(self.workers, sum(map(len, pieces)))
        loader = DataLoader(
            Decoder(self.files, self.info, [piece for parts in pieces for piece in parts], self.padding),
            batch_size=None,
            num_workers=workers,
            # Two batches: what is ready when a step ends is all that the next one does not wait for.
            prefetch_factor=max(2, math.ceil(2 * len(pieces[0]) / workers)) if workers else None,
            pin_memory=self.labels.device.type == "cuda",
            timeout=SILENT_SECONDS if workers else 0,
            generator=torch.Generator(),  # without it the loader would draw from torch's global generator
        )
        try:
            lengths, parts = iter(map(len, pieces)), list[Decoded]()
            length = next(lengths)
            for part in start_processes(loader):
                parts.append(part)
                if len(parts) == length:
                    yield self.joined(parts)
                    parts, length = [], next(lengths, 0)
        except RuntimeError as error:
            if "timed out" in str(error):
                raise LocalError(
                    f"no image came in {SILENT_SECONDS / 60:.0f} minutes: their disk or share does not answer; start "
                    "again when it does, and the run resumes"
                ) from error
            if "DataLoader worker" not in str(error):
                raise
            raise LocalError(
                f"a process that decodes images was ended from outside ({str(error).splitlines()[0]}): most often memory or "
                "/dev/shm is full; try data.workers=1, or a smaller trainer.batch_size"
            ) from error

    def joined(self, pieces: Sequence[Decoded]) -> tuple[Tensor, Tensor]:
        """A task's images on the device, and their places in the task. Raises LocalError, see `decoded`."""
        for piece in pieces:
            if piece.unreadable and self.on_error == "raise":
                raise LocalError(
                    f"{next(iter(piece.unreadable.values()))}: restore the file, or leave such files out and have them "
                    "counted with data.on_error=skip"
                )
            self.unreadable |= piece.unreadable
        pixels = torch.cat([piece.pixels.to(self.labels.device, non_blocking=True) for piece in pieces])
        return pixels, torch.cat([piece.readable + number * PIECE for number, piece in enumerate(pieces)])


def start_processes(loader: DataLoader[Decoded]) -> Iterator[Decoded]:
    """Starts the loader's processes, which never receive the signals of `STOPPING`, and returns its batches.

    SLURM signals the whole process group. The parent stops after the current step and still needs its loader processes. The
    processes inherit the blocked signals; whoever iterates must drop the batches, since SIGTERM does not end them either.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def rows_of_share(positions: Tensor, share: slice) -> Tensor:
    """Positions of the epoch as rows of a rank's share. The partner of a dummy example is in another rank's share: the clamp
    makes the dummy its own partner, at a loss weight of 0."""
    return (positions - share.start).clamp(0, share.stop - share.start - 1)
