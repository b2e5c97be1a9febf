"""The training step on a GPU: captured it is the eager step to the byte, it never waits, and it computes what a CPU does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mixup.data import Dataset, dataset_info
from mixup.plan import draw_plan
from mixup.run.compose import configuration
from mixup.training.capture import CapturedStep
from mixup.training.distributed import Group
from mixup.training.dry_run import generated
from mixup.training.engine import finish_epoch, start_epoch
from mixup.training.setup import Run, run_on
from mixup.training.step import draw_epoch
from mixup.training.train import train_epoch_of

RESNET = ("data=cifar10", "model=preact_resnet18", "model.width=16", "model.dropout=0.2")
MLP = ("data=abalone", "model=mlp")
LENET = ("data=digits",)
THREE_WAYS = ("mixup.ways=3", "mixup.lam_per=example", "mixup.label_smoothing=0.1")


def run_of(*overrides: str, examples: int = 1300) -> Run:
    """A run on generated examples; 1300 are ten batches of 128 and one of 20."""
    config = configuration([*overrides, "trainer.train_eval_size=100"])
    info = dataset_info(config.data.name)
    return run_on(
        Dataset(info, generated(info, examples), None, generated(info, 50), "generated", ()), config, Path(), Group()
    )


def trained(run: Run, epochs: int) -> list[dict[str, float]]:
    """The means of each epoch."""
    means = []
    for number in range(epochs):
        steps = run.steps_per_epoch
        epoch = draw_epoch(draw_plan(run.plan, number), run.train, [0.05 / (1 + number)] * steps, run.step)
        progress = start_epoch(number, len(run.train), run.config.trainer.batch_size, run.device)
        train_epoch_of(run, epoch, progress, lambda _: None)
        means.append(finish_epoch(progress, epoch, run.step))
    return means


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize(
    "overrides",
    [
        RESNET,
        MLP,
        (*LENET, "mixup.layer=3"),
        (*RESNET, "mixup.ways=3", "mixup.lam_per=example", "mixup.label_smoothing=0.1"),
    ],
    ids=["resnet", "mlp with Adam", "latent", "three ways"],
)
def test_captured_is_eager_to_the_byte_over_200_steps(overrides, precision):
    base = [*overrides, f"trainer.precision={precision}", "trainer.batch_size=128", "trainer.deterministic=true"]
    eager, captured = run_of(*base, "trainer.capture=false"), run_of(*base, "trainer.capture=true")
    assert isinstance(captured.train_step, CapturedStep)
    assert trained(captured, 19) == trained(eager, 19)  # 209 steps
    expected = eager.model.state_dict()
    for name, tensor in captured.model.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("capture", ["true", "false"])
def test_the_step_never_waits_for_the_gpu(capture):
    run = run_of(*RESNET, f"trainer.capture={capture}")
    trained(run, 1)  # kernels are chosen and the step is recorded
    epoch = draw_epoch(draw_plan(run.plan, 1), run.train, [0.1] * run.steps_per_epoch, run.step)
    progress = start_epoch(1, len(run.train), run.config.trainer.batch_size, run.device)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_epoch_of(run, epoch, progress, lambda _: None)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("overrides", [RESNET[:3], MLP, LENET], ids=["resnet", "mlp", "lenet"])
def test_a_gpus_first_steps_are_a_cpus_to_rounding(overrides):
    gpu, cpu = run_of(*overrides, examples=320), run_of(*overrides, "trainer.device=cpu", examples=320)
    (on_gpu,), (on_cpu,) = trained(gpu, 1), trained(cpu, 1)
    assert on_gpu["loss"] == pytest.approx(on_cpu["loss"], rel=2e-3)
    assert on_gpu["entropy_floor"] == pytest.approx(on_cpu["entropy_floor"], rel=1e-6)


def test_deterministic_runs_are_equal_to_the_byte():
    base = (*RESNET, "trainer.deterministic=true", "trainer.precision=bfloat16")
    one, two = run_of(*base), run_of(*base)
    assert trained(one, 4) == trained(two, 4)
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, two.model.state_dict()[name]), name


def test_precisions_differ_and_float32_is_float32():
    losses = {}
    for precision in ("float32", "tf32", "bfloat16"):
        run = run_of("data=cifar10", "model=preact_resnet18", f"trainer.precision={precision}", examples=128)
        inputs = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(run.device)
        with torch.no_grad(), run.step.autocast():
            losses[precision] = run.model(inputs).float()
    with torch.no_grad():  # the weights are those of the seed, whatever the precision
        exact = run.model.double()(inputs.double())
    errors = {precision: float((logits - exact).norm() / exact.norm()) for precision, logits in losses.items()}
    assert errors["float32"] < 1e-5 < errors["tf32"] < errors["bfloat16"] < 0.1, errors


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own modules
def test_a_compiled_network_inside_a_captured_step_trains_alike():
    plain, compiled = run_of(*RESNET[:3]), run_of(*RESNET[:3], "trainer.compile=true")
    assert isinstance(compiled.train_step, CapturedStep)
    expected, means = trained(plain, 2), trained(compiled, 2)
    assert means[0]["loss"] == pytest.approx(expected[0]["loss"], rel=0.02)
