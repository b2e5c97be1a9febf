"""What a number of the paper that is not run would cost: hours of an H100, by rates that were measured there."""

import json
from collections.abc import Iterable
from functools import cache

from mixup.ledger.entries import Entry
from mixup.ledger.names import MISSING
from mixup.ledger.paper import Row
from mixup.run.display import duration
from mixup.run.places import RESULTS

MEASURED = RESULTS / "benchmarks" / "nvidia-h100-80gb-hbm3.json"
FORM = "captured, bfloat16"
SUBJECTS = {  # model.name -> the benchmark's name of the network at the paper's size
    "preact_resnet18": "PreAct ResNet-18",
    "wrn28": "WRN-28-10",
    "densenet": "DenseNet-BC-190",
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "resnext101_32x4d": "ResNeXt-101 32x4d",
    "resnext101_64x4d": "ResNeXt-101 64x4d",
    "speech_lenet": "LeNet, speech",
    "vgg11": "VGG-11, speech",
}

EXAMPLES = {  # data.name -> what an epoch trains on, and what is tested after it; the datasets' own module needs torch
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "imagenet": (1_281_167, 50_000),
    "speech_commands": (51_088, 13_633),
}


@cache
def rates() -> dict[str, float]:
    """Training images a second by the benchmark's name of a network."""
    rows = json.loads(MEASURED.read_text())["throughput"] if MEASURED.exists() else []
    return {row["subject"]: row["images_per_second"]["median"] for row in rows if row["form"] == FORM}


def seconds(row: Row) -> float | None:
    """Of one run of the row's recipe: its epochs, each with a test, which takes a third as long an image. None where the
    paper does not say how many epochs, or no rate was measured."""
    settings = row.recipe | row.settings
    rate = rates().get(SUBJECTS.get(settings.get("model.name", ""), ""))
    epochs, examples = settings.get("trainer.epochs"), EXAMPLES.get(settings.get("data.name", ""))
    if rate is None or epochs is None or examples is None:
        return None
    return float(epochs * (examples[0] + examples[1] / 3) / rate)


def cost(row: Row) -> str:
    """`8.8 h`; `not measured` for a network whose rate is not known."""
    if (time := seconds(row)) is not None:
        return duration(time)
    return MISSING if "trainer.epochs" not in row.recipe | row.settings else "not measured"


def total(entries: Iterable[Entry]) -> str:
    """Of one run of each row; empty where none is known."""
    rows = {(entry.experiment, entry.row.id): entry.row for entry in entries if entry.row}
    times = [time for row in rows.values() if (time := seconds(row)) is not None]
    return duration(sum(times)) if times else ""
