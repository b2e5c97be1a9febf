"""Measures speed as ratios inside one run: the contestants take turns, so that a machine that slows down slows all of them.

    python scripts/benchmark.py mixing        a training step with mixing, as ERM, and with no mixing code at all
    python scripts/benchmark.py throughput    our loop against the plain loop that a user would write
    python scripts/benchmark.py loader        images in files to normalised batches on the device, against timm's loader

They take overrides of train.yaml, as `model.width=16` or `trainer.precision=bfloat16`. Data is generated, but for `loader`,
which reads data=tiny_imagenet as it is and enlarged to the size of ImageNet's files.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from mixup.data import Dataset, DatasetInfo, Examples, StreamedImages, dataset_info, serve, split_of
from mixup.data.sources.storage import Files
from mixup.plan import PlanSettings, draw_plan
from mixup.run.compose import configuration
from mixup.run.config import TrainConfig
from mixup.training import step
from mixup.training.device import choose_device
from mixup.training.distributed import Group
from mixup.training.dry_run import generated, training_step
from mixup.training.setup import build, load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["mixing", "throughput", "loader"])
    parser.add_argument("overrides", nargs="*", help="settings of train.yaml")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each contestant (default 15)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of plain loop and loaders (default 2)")
    options = parser.parse_args()
    base = ["data=cifar10", "model=preact_resnet18", *options.overrides]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    if options.what == "mixing":
        mixing(base, options.rounds)
    elif options.what == "throughput":
        throughput(base, options.rounds, options.workers)
    else:
        loader(["data=tiny_imagenet", "data.resident=false", *options.overrides], options.rounds, options.workers)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


# -- the cost of mixing --------------------------------------------------------------------------------------------------


def mixing(overrides: list[str], rounds: int) -> None:
    """alpha = 1 over alpha = 0 takes the same path by construction; the honest rival is a step that never mixes."""
    mixup, device = training_step(configuration([*overrides, "mixup.alpha=1"]))
    erm, _ = training_step(configuration([*overrides, "mixup.alpha=0"]))
    plain, _ = training_step(configuration([*overrides, "mixup.alpha=0"]))

    def unmixed() -> None:
        with (
            mock.patch.object(step, "fetch", fetch_own),
            mock.patch.object(step.mixing, "mix_all", lambda examples, lam: examples[0]),
            mock.patch.object(step.mixing, "mixed_cross_entropy", plain_loss),
        ):
            plain()

    times = take_turns({"alpha=1": mixup, "alpha=0": erm, "no mixing code": unmixed}, rounds, device)
    report(times, "s a step", ratios=[("alpha=1", "alpha=0"), ("alpha=1", "no mixing code")])


def fetch_own(data: Examples, epoch: step.Epoch, positions: Tensor) -> list[Tensor]:
    """ERM without the method: no partner is fetched."""
    assert not isinstance(data, StreamedImages)
    rows = [None if table is None else table[0, positions] for table in (epoch.index, epoch.crop, epoch.flip)]
    return [data.fetch(*rows)]


def plain_loss(logits: Tensor, targets: Tensor, weights: Tensor, label_smoothing: float) -> Tensor:
    return F.cross_entropy(logits.float(), targets[:, 0], reduction="none")


# -- against the plain loop ----------------------------------------------------------------------------------------------

BLOCK = 4  # steps a turn


def throughput(overrides: list[str], rounds: int, workers: int) -> None:
    config = configuration(overrides)
    half = configuration([*overrides, "trainer.precision=bfloat16"])
    ours, device = training_step(config)
    ours_half, _ = training_step(half)
    theirs = plain_loop(config, device, workers)
    contestants: dict[str, Callable[[], object]] = {
        f"ours, {config.trainer.precision}": lambda: [ours() for _ in range(BLOCK)],
        "ours, bfloat16": lambda: [ours_half() for _ in range(BLOCK)],
    }
    times = take_turns(contestants, rounds, device, also=("plain loop, float32", theirs))
    per_image = {name: [seconds / BLOCK / config.trainer.batch_size for seconds in spent] for name, spent in times.items()}
    report(per_image, "s an image", ratios=[("plain loop, float32", name) for name in contestants])
    for name, spent in per_image.items():
        print(f"{name:<22} {1 / statistics.median(spent):8.1f} images/s (median)")


class PilImages(TorchDataset[tuple[Tensor, int]]):
    """An array of images served one by one through PIL, as torchvision's CIFAR10 does."""

    def __init__(self, info: DatasetInfo, count: int) -> None:
        from torchvision import transforms

        split = generated(info, count)
        self.images, self.labels = split.inputs.numpy(), split.labels.tolist()
        size = info.input_shape[1]
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(size, padding=info.crop_padding),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(info.mean, info.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def plain_loop(config: TrainConfig, device: torch.device, workers: int) -> Callable[[], float]:
    """torchvision transforms, DataLoader, v2.MixUp, eager NCHW float32: returns the seconds of BLOCK steps.

    One pass over the loader is BLOCK + 1 batches; the clock starts when the first is done, so that starting the workers
    is not counted, and the workers are idle when the other contestants have their turn.
    """
    from torchvision.transforms import v2

    info, size = dataset_info(config.data.name), config.trainer.batch_size
    loader = DataLoader(
        PilImages(info, (BLOCK + 1) * size), size, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    mixup = v2.MixUp(num_classes=info.num_classes, alpha=1.0)
    model = build(config, info).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9, weight_decay=1e-4)
    criterion = nn.CrossEntropyLoss()

    def block() -> float:
        batches: Iterator[list[Tensor]] = iter(loader)
        start = 0.0
        for number, (images, labels) in enumerate(batches):
            inputs, targets = mixup(images.to(device), labels.to(device))
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if number == 0:
                synchronize(device)
                start = time.perf_counter()
        synchronize(device)
        return time.perf_counter() - start

    return block


# -- reading files -------------------------------------------------------------------------------------------------------


def loader(overrides: list[str], rounds: int, workers: int) -> None:
    """Whole passes over the training images, ours and timm's, at the size they have and at ImageNet's."""
    config = configuration(overrides)
    device = choose_device(config.trainer.device, Group())
    small = load(config, device)
    assert isinstance(small.train.inputs, Files)
    with tempfile.TemporaryDirectory() as folder:
        large = enlarged(small, Path(folder))
        for name, data in (("64x64 files", small), ("500x375 files to 224x224", large)):
            print(f"\n{name}: {len(data.train):,} images, batch 128, {workers} workers, to {device}")
            ours, theirs = our_pass(config, data, device, workers), timm_pass(data, device, workers)
            times = take_turns({"ours": ours, "timm": theirs}, rounds, device)
            images = {"ours": len(data.train), "timm": len(data.train) // 128 * 128}  # timm drops the last part of a batch
            per_image = {who: [seconds / images[who] for seconds in spent] for who, spent in times.items()}
            report(per_image, "s an image", ratios=[("timm", "ours")])
            decode = decode_seconds(data.train.inputs)
            for who, spent in per_image.items():
                each = statistics.median(spent)
                cores = min(workers, len(os.sched_getaffinity(0))) or 1
                print(f"{who}: {1 / each:,.0f} images/s; decoding alone is {100 * decode / cores / each:.0f} % of it")


def enlarged(small: Dataset, folder: Path, count: int = 4000) -> Dataset:
    """Photos of the usual size of ImageNet's, as JPEG at quality 90: some of the small ones, enlarged."""
    files = small.train.inputs
    assert isinstance(files, Files)
    rows = np.linspace(0, len(files) - 1, count).astype(int)
    names = []
    for row in rows:
        with Image.open(io.BytesIO(files.read(row))) as image:
            names.append(f"{row}.jpg")
            image.convert("RGB").resize((500, 375), Image.Resampling.BICUBIC).save(folder / names[-1], quality=90)
    split = split_of(Files(folder, np.array([name.encode() for name in names])), np.zeros(count, np.int64))
    return replace(small, info=dataset_info("imagenet"), train=split)


def our_pass(config: TrainConfig, data: Dataset, device: torch.device, workers: int) -> Callable[[], None]:
    examples = serve(data.train, data.info, device=device, workers=workers)
    assert isinstance(examples, StreamedImages)
    options = {"batch_size": 128, "alpha": 1.0, "lam_per": "batch", "flip": True, "resized_crop": True}
    plan = draw_plan(PlanSettings(seed=0, n=len(data.train), **options), 0)
    batches = [plan.positions(number) for number in range(plan.num_steps)]

    def run() -> None:
        for _ in examples.load(plan, batches):
            pass

    return run


def timm_pass(data: Dataset, device: torch.device, workers: int) -> Callable[[], None]:
    """timm's loader with its prefetcher: bytes to the device, normalisation there. Same files, augmentation and batch."""
    from timm.data import create_loader

    files, size = data.train.inputs, data.info.input_shape
    assert isinstance(files, Files)

    class Photos(TorchDataset[tuple[object, int]]):
        transform: Callable[[object], object] | None = None

        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, row: int) -> tuple[object, int]:
            image: object = Image.open(files.path(row)).convert("RGB")  # as timm's own ImageDataset does
            return (self.transform(image) if self.transform else image), 0

    batches = create_loader(
        Photos(),
        input_size=size,
        batch_size=128,
        is_training=True,
        color_jitter=None,
        interpolation="bilinear",
        mean=data.info.mean,
        std=data.info.std,
        num_workers=workers,
        device=device,
        pin_memory=device.type == "cuda",
        persistent_workers=True,
    )

    def run() -> None:
        for _ in batches:
            pass

    return run


def decode_seconds(files: Files, count: int = 1000) -> float:
    """Of one image: opening and decoding it, nothing else, in one process."""
    rows = np.linspace(0, len(files) - 1, count).astype(int)
    start = time.perf_counter()
    for row in rows:
        with Image.open(io.BytesIO(files.read(row))) as image:
            image.load()
    return (time.perf_counter() - start) / count


# -- taking turns --------------------------------------------------------------------------------------------------------


def take_turns(
    contestants: dict[str, Callable[[], object]],
    rounds: int,
    device: torch.device,
    also: tuple[str, Callable[[], float]] | None = None,
) -> dict[str, list[float]]:
    """Seconds of each call, after one uncounted call each. `also` is a contestant that times itself."""

    def timed(call: Callable[[], object]) -> float:
        synchronize(device)
        start = time.perf_counter()
        call()
        synchronize(device)
        return time.perf_counter() - start

    turns = {name: (lambda call=call: timed(call)) for name, call in contestants.items()}
    if also is not None:
        turns[also[0]] = also[1]
    for turn in turns.values():
        turn()
    times: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds):
        print(f"\rround {number + 1}/{rounds}", end="", file=sys.stderr, flush=True)
        names = list(turns) if number % 2 == 0 else list(turns)[::-1]
        for name in names:
            times[name].append(turns[name]())
    print(file=sys.stderr)
    return times


def report(times: dict[str, list[float]], unit: str, ratios: list[tuple[str, str]]) -> None:
    for name, spent in times.items():
        print(f"{name:<22} median {statistics.median(spent):.5f} {unit}, {min(spent):.5f} to {max(spent):.5f}")
    for above, below in ratios:
        pairs = [a / b for a, b in zip(times[above], times[below], strict=True)]
        low, middle, high = statistics.quantiles(pairs, n=4)
        print(f"{above} over {below}: median of paired ratios {middle:.3f}, middle half {low:.3f} to {high:.3f}")


if __name__ == "__main__":
    main()
