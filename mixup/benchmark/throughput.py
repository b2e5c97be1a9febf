"""Images a second of the paper's networks, in each precision and form, and of loops written without this project."""

from collections.abc import Callable, Iterator
from functools import partial

import torch

from mixup.benchmark import rivals
from mixup.benchmark.machine import matmul_tflops
from mixup.benchmark.turns import Row, Turn, middle_half, one_by_one, take_turns, turn_of
from mixup.data import dataset_info
from mixup.run.compose import configuration
from mixup.run.config import TrainConfig
from mixup.training.device import choose_device, set_up_device
from mixup.training.distributed import Group
from mixup.training.dry_run import FORWARD_SHARE, flops_per_image, training_step
from mixup.training.network import build

# Batches are the paper's; of ImageNet's a share that one GPU holds.
NETWORKS = {
    "PreAct ResNet-18": ("data=cifar10", "model=preact_resnet18"),
    "WRN-28-10": ("data=cifar10", "model=wrn28"),
    "DenseNet-BC-190": ("data=cifar10", "model=densenet"),
    "ResNet-50": ("data=imagenet", "model=resnet50", "trainer.batch_size=256"),
    "ResNet-101": ("data=imagenet", "model=resnet101", "trainer.batch_size=256"),
    "ResNeXt-101 32x4d": ("data=imagenet", "model=resnext101_32x4d", "trainer.batch_size=256"),
    "ResNeXt-101 64x4d": ("data=imagenet", "model=resnext101_64x4d", "trainer.batch_size=128"),
    "VGG-11, speech": ("data=speech_commands", "model=vgg11"),
    "LeNet, speech": ("data=speech_commands", "model=lenet"),
    "LeNet, digits": ("data=digits", "model=lenet"),
    "MLP, Abalone": ("data=abalone", "model=mlp"),
}
ON_A_CPU = ("PreAct ResNet-18", "LeNet, speech", "LeNet, digits", "MLP, Abalone")  # the others take minutes a step
GPU_FORMS = {
    "eager": ("trainer.capture=false",),
    "captured": ("trainer.capture=true",),
    "captured, compiled": ("trainer.capture=true", "trainer.compile=true"),
}


def throughput(
    names: list[str], overrides: list[str], *, rounds: int, workers: int, compiled: list[str], only: str
) -> Iterator[Row]:
    """Yields a row for each network, precision and form. names: of `NETWORKS`. compiled: those that are compiled, too. only:
    the forms whose name contains it."""
    device = choose_device(configuration(overrides).trainer.device, Group())
    peaks: dict[str, float] = {}
    for name in names:
        base = [*NETWORKS[name], *overrides]
        config = configuration(base)
        info = dataset_info(config.data.name)
        flops = flops_per_image(build(config, info), info.input_shape)
        contestants, facts = contestants_of(base, device, workers, compile=name in compiled)
        contestants = {key: maker for key, maker in contestants.items() if only in key}
        times = one_by_one(contestants, rounds) if device.type == "cuda" else take_turns(contestants, rounds)
        for key, spent in times.items():
            trainer = facts[key].trainer
            if trainer.precision not in peaks:
                peaks[trainer.precision] = matmul_tflops(trainer, device)
            row: Row = {"subject": name, "form": key, "batch_size": trainer.batch_size, "precision": trainer.precision}
            row["gflops_per_image"] = flops / FORWARD_SHARE / 1e9
            row["peak_tflops"] = peaks[trainer.precision]
            row["images_per_second"] = middle_half([1 / seconds for seconds in spent]) if spent else None
            yield row


def share_of_peak(row: Row) -> float:
    """Percent of the machine's fastest matrix product that the network's operations come to."""
    return 100 * row["images_per_second"]["median"] * row["gflops_per_image"] / 1e3 / row["peak_tflops"]


def contestants_of(
    base: list[str], device: torch.device, workers: int, *, compile: bool
) -> tuple[dict[str, Callable[[], Turn]], dict[str, TrainConfig]]:
    """What makes each contestant, and the configuration of each; ours, then its rivals in float32."""
    makers: dict[str, Callable[[], Turn]] = {}
    facts: dict[str, TrainConfig] = {}
    on_gpu = device.type == "cuda"
    for precision in ("bfloat16", "tf32", "float32") if on_gpu else ("float32", "bfloat16"):
        for form, settings in (GPU_FORMS if on_gpu else {"ours": ()}).items():
            if "compiled" in form and not (compile and precision == "bfloat16"):
                continue
            key = f"{form}, {precision}"
            facts[key] = configuration([*base, *settings, f"trainer.precision={precision}"])
            makers[key] = partial(our_turn, facts[key])
    config = configuration(base)
    info = dataset_info(config.data.name)
    loops = {"plain loop, torchvision": rivals.torchvision_batches, "plain loop, timm": rivals.timm_batches}
    if not info.mean:
        loops = {"plain loop": rivals.table_batches}
    elif info.input_shape[1] > 64 or info.input_shape[0] == 1:
        loops = {}
    for key, batches in loops.items():
        facts[key] = config
        makers[key] = partial(their_turn, config, device, batches, workers)
    return makers, facts


def our_turn(config: TrainConfig) -> Turn:
    """Seconds an image of our own step."""
    step, device = training_step(config)
    return turn_of(step, device, units=config.trainer.batch_size)


def their_turn(config: TrainConfig, device: torch.device, batches: Callable[..., rivals.Batches], workers: int) -> Turn:
    set_up_device(device, config.trainer)
    return rivals.rival(config, device, batches, workers)
