"""Measures speed as ratios inside one run: the contestants take turns, so that a machine that slows down slows all of them.

    python scripts/benchmark.py mixing        a training step with mixing, as ERM, and with no mixing code at all
    python scripts/benchmark.py throughput    our loop against the plain loop that a user would write

Both take overrides of train.yaml, as `model.width=16` or `trainer.precision=bfloat16`. Data is generated.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mixup import engine
from mixup.assembly import build
from mixup.command_line import configuration
from mixup.config import TrainConfig
from mixup.cost import synchronize
from mixup.data import ImageFacts, ResidentImages, facts_of
from mixup.mixing import MixedBatch
from mixup.plan import EpochPlan
from mixup.speed import generated_images, training_step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["mixing", "throughput"])
    parser.add_argument("overrides", nargs="*", help="settings of train.yaml")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each contestant (default 15)")
    parser.add_argument("--workers", type=int, default=2, help="DataLoader workers of the plain loop (default 2)")
    options = parser.parse_args()
    base = ["data=cifar10", "model=preact_resnet18", *options.overrides]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    if options.what == "mixing":
        mixing(base, options.rounds)
    else:
        throughput(base, options.rounds, options.workers)


# -- the cost of mixing --------------------------------------------------------------------------------------------------


def mixing(overrides: list[str], rounds: int) -> None:
    """alpha = 1 over alpha = 0 takes the same path by construction; the honest rival is a step that never mixes."""
    mixup, device = training_step(configuration([*overrides, "mixup.alpha=1"]))
    erm, _ = training_step(configuration([*overrides, "mixup.alpha=0"]))
    plain, _ = training_step(configuration([*overrides, "mixup.alpha=0"]))

    def unmixed() -> None:
        with (
            mock.patch.object(engine, "mixed_batch", plain_batch),
            mock.patch.object(engine, "mixed_cross_entropy", plain_loss),
        ):
            plain()

    times = take_turns({"alpha=1": mixup, "alpha=0": erm, "no mixing code": unmixed}, rounds, device)
    report(times, "s a step", ratios=[("alpha=1", "alpha=0"), ("alpha=1", "no mixing code")])


def plain_batch(data: ResidentImages, plan: EpochPlan, positions: slice) -> MixedBatch:
    """ERM as one would write it without the method: fetch, no partner, no sum."""
    index = plan.order[positions]
    inputs = data.fetch(index, plan.crop[positions], plan.flip[positions])
    return MixedBatch(inputs, data.labels[index], data.labels[index], plan.lam[positions])


def plain_loss(logits: Tensor, batch: MixedBatch) -> Tensor:
    return F.cross_entropy(logits.float(), batch.targets, reduction="none")


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


class PilImages(Dataset[tuple[Tensor, int]]):
    """An array of images served one by one through PIL, as torchvision's CIFAR10 does."""

    def __init__(self, facts: ImageFacts, count: int) -> None:
        from torchvision import transforms

        split = generated_images(facts, count)
        self.images, self.labels = split.images.numpy(), split.labels.tolist()
        size = facts.input_shape[1]
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(size, padding=facts.crop_padding),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(facts.mean, facts.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def plain_loop(config: TrainConfig, device: torch.device, workers: int) -> Callable[[], float]:
    """torchvision transforms, DataLoader, v2.MixUp, eager NCHW float32: returns the seconds of BLOCK steps.

    One pass over the loader is BLOCK + 1 batches; the clock starts when the first is done, so that starting the workers
    is not counted, and the workers are idle when the other contestants have their turn.
    """
    from torchvision.transforms import v2

    facts, size = facts_of(config.data.name), config.trainer.batch_size
    loader = DataLoader(
        PilImages(facts, (BLOCK + 1) * size), size, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    mixup = v2.MixUp(num_classes=facts.num_classes, alpha=1.0)
    model = build(config, facts).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9, weight_decay=1e-4)
    criterion = nn.CrossEntropyLoss()

    def block() -> float:
        batches: Iterator[list[Tensor]] = iter(loader)
        start = 0.0
        for step, (images, labels) in enumerate(batches):
            inputs, targets = mixup(images.to(device), labels.to(device))
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step == 0:
                synchronize(device)
                start = time.perf_counter()
        synchronize(device)
        return time.perf_counter() - start

    return block


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
