"""docs/scale.md is that of the code and the measurements, and its arithmetic is that of a pocket calculator."""

from __future__ import annotations

import pytest
import torch

from mixup.benchmark import scale
from mixup.commands import benchmark
from mixup.data import NORMALISED_BYTES, ResidentImages, dataset_info
from mixup.pages import costs
from mixup.run.compose import planned
from mixup.training.dry_run import generated


def part(title: str, network: str) -> scale.Part:
    return next(part for part in scale.parts() if (part.title, part.network) == (title, network))


def test_the_page_is_that_of_the_files():
    assert (benchmark.ROOT / "docs" / "scale.md").read_text() == benchmark.scale_page(), "python scripts/benchmark.py page"


def test_runs_are_those_of_the_grids():
    runs: dict[str, int] = {}
    for one in scale.parts():
        runs[one.title] = runs.get(one.title, 0) + one.runs
    assert list(runs) == list(scale.EXPERIMENTS.values())
    assert list(runs.values()) == [4 * 2, 3 * 2, 3 * 22 * 3, 2 * 2, 2 * 22 * 3, 3 * 2 * 3, 3 * 2 * 3, 2 * 3 * 3]


@pytest.mark.slow
@pytest.mark.parametrize(("experiment", "title"), scale.EXPERIMENTS.items())
def test_runs_of_a_row_differ_in_nothing_that_costs_time(experiment, title):
    for task in planned([f"experiment={experiment}"], multirun=True):
        first, config = part(title, costs.SUBJECTS[task.config.model.name]).config, task.config
        for key in ("epochs", "batch_size", "train_eval_size"):
            assert getattr(config.trainer, key) == getattr(first.trainer, key)
        assert (config.data.name, config.data.train_size, config.optim.name) == (
            first.data.name, first.data.train_size, first.optim.name
        )  # fmt: skip


def test_a_table_takes_as_many_turns_as_its_runs_need(monkeypatch):
    monkeypatch.setattr(costs, "rates", lambda: {"PreAct ResNet-18": 1000.0})
    table2 = part("Table 2", "PreAct ResNet-18")
    one = 200 * (391 * 128 + (10_000 + 2_000) / 3) / 1000  # a test takes a third as long an image
    assert table2.seconds() == pytest.approx(one)
    for gpus, turns in {1: 198, 8: 25, 64: 4, 200: 1}.items():
        assert table2.seconds(gpus) == pytest.approx(turns * one)
    assert table2.step_seconds(8) == pytest.approx(16 / 1000)
    assert part("Figure 4", "VGG-11, speech").seconds() is None
    assert part("Figure 4", "VGG-11, speech").step_seconds(8) is None


def test_a_ring_sends_nearly_everything_twice():
    assert scale.all_reduce_seconds(450e9, 1) == 0
    assert scale.all_reduce_seconds(450e9, 8) == pytest.approx(1.75)
    assert scale.all_reduce_seconds(50e9, 64) == pytest.approx(2 * 63 / 64)


def test_the_optimizer_keeps_one_number_a_parameter_or_two():
    preact, lenet = part("Table 2", "PreAct ResNet-18"), part("Figure 4", "LeNet, speech")
    assert preact.parameters == 11_171_146
    assert preact.state_bytes == 12 * 11_171_146  # SGD
    assert lenet.state_bytes == 16 * lenet.parameters  # Adam


def test_resident_data_is_what_a_gpu_keeps():
    info, device = dataset_info("cifar10"), torch.device("cpu")
    assert 4 * info.train_count * 3 * 32 * 32 <= NORMALISED_BYTES, "else it would be kept as bytes"
    kept = {
        padding: ResidentImages(generated(info, 2), info, padding=padding, device=device, normalise_once=True).images.nbytes
        for padding in (info.crop_padding, 0)
    }
    cifar = 25_000 * kept[4] + (10_000 + 2_000) // 2 * kept[0]
    assert part("Table 2", "PreAct ResNet-18").resident_bytes == cifar
    assert part("Figure 4", "LeNet, speech").resident_bytes == 4 * 161 * 101 * (51_088 + 6_798 + 6_835 + 2_000)
    assert part("Table 1, 90 epochs", "ResNet-50").resident_bytes == 0


def test_bytes_of_a_streamed_image_are_those_of_its_rows():
    name, label, corrupted, identity = 36, 8, 1, 8
    order, partner, lam, crop, flip, seed = 8, 8, 4, 16, 1, 8
    fetched = 2 * (8 + 16 + 1)  # index, crop and flip of an image and of its partner
    targets, weights, loss, predicted = 2 * 8, 2 * 4, 4, 8
    on_host = name + label + corrupted + identity + order + partner + lam + crop + flip + seed
    on_gpu = label + fetched + partner + lam + targets + weights + loss + predicted
    assert scale.bytes_per_image() == (on_host, on_gpu)


def test_interruptions_are_those_of_16384_gpus_in_54_days():
    assert round(scale.GPU_DAYS_PER_INTERRUPTION) == 2112
