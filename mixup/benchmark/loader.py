"""Images in files to normalised batches on the device: our loader against timm's, at the files' size and at ImageNet's."""

import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset as TorchDataset

from mixup.benchmark.ratios import rows
from mixup.benchmark.rivals import timm_loader
from mixup.benchmark.turns import Row, Turn, take_turns
from mixup.data import Dataset, StreamedImages, dataset_info, serve, split_of
from mixup.data.sources.storage import Files
from mixup.plan import PlanSettings, draw_plan
from mixup.run.compose import configuration
from mixup.run.processes import cores
from mixup.training.device import choose_device, seconds_of
from mixup.training.distributed import Group
from mixup.training.setup import load

BATCH = 128
ENLARGED = 4000  # images


def loader(overrides: list[str], rounds: int, workers: int) -> Iterator[Row]:
    """Whole passes over the training images, timm's over ours; and the share of ours that decoding alone takes."""
    config = configuration(["data=tiny_imagenet", "data.resident=false", *overrides])
    device = choose_device(config.trainer.device, Group())
    small = load(config.data, device)
    with tempfile.TemporaryDirectory() as folder:
        for subject, data in (("64x64 files", small), ("500x375 files to 224x224", enlarged(small, Path(folder)))):
            contestants: dict[str, Callable[[], Turn]] = {
                "timm's loader": partial(timm_turn, data, device, workers),
                "ours": partial(our_turn, data, device, workers),
            }
            times = take_turns(contestants, rounds)
            decoding = decode_seconds(data.train.files) / min(workers or 1, cores())
            (row,) = rows(times, "image", ("timm's loader", "ours"), subject=f"{subject}, {workers} workers")
            yield {**row, "decoding_share": decoding / statistics.median(times["ours"])}


def enlarged(small: Dataset, folder: Path) -> Dataset:
    """Photos of the usual size of ImageNet's, as JPEG at quality 90: some of the small ones, enlarged."""
    files, names = small.train.files, []
    for row in np.linspace(0, len(files) - 1, ENLARGED).astype(int):
        with Image.open(io.BytesIO(files.read(row))) as image:
            names.append(f"{row}.jpg")
            image.convert("RGB").resize((500, 375), Image.Resampling.BICUBIC).save(folder / names[-1], quality=90)
    split = split_of(Files(folder, np.array([name.encode() for name in names])), np.zeros(len(names), np.int64))
    return replace(small, info=dataset_info("imagenet"), train=split)


def our_turn(data: Dataset, device: torch.device, workers: int) -> Turn:
    examples = serve(data.train, data.info, device=device, workers=workers)
    assert isinstance(examples, StreamedImages)
    options: dict[str, Any] = {"batch_size": BATCH, "alpha": 1.0, "lam_per": "batch", "flip": True, "resized_crop": True}
    plan = draw_plan(PlanSettings(seed=0, n=len(data.train), **options), 0)
    batches = [plan.positions(number) for number in range(plan.num_steps)]
    return lambda: seconds_of(lambda: [None for _ in examples.load(plan, batches)], device) / len(data.train)


class Photos(TorchDataset[tuple[Any, int]]):
    """Files as timm's own ImageDataset reads them."""

    transform: Callable[[Any], Any] | None = None

    def __init__(self, files: Files) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        image: Any = Image.open(self.files.path(row)).convert("RGB")
        return (self.transform(image) if self.transform else image), 0


def timm_turn(data: Dataset, device: torch.device, workers: int) -> Turn:
    """timm's loader on the same files, with the same augmentation and batch."""
    batches = timm_loader(Photos(data.train.files), data.info, BATCH, workers, device)
    images = len(data.train) // BATCH * BATCH  # timm drops the last part of a batch
    return lambda: seconds_of(lambda: [None for _ in batches], device) / images


def decode_seconds(files: Files, count: int = 1000) -> float:
    """Of one image: opening and decoding it, nothing else, in one process."""
    numbers = np.linspace(0, len(files) - 1, count).astype(int)
    start = time.perf_counter()
    for row in numbers:
        with Image.open(io.BytesIO(files.read(row))) as image:
            image.load()
    return (time.perf_counter() - start) / count
