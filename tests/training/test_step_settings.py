"""Section 3.8 in whole runs: what each setting does to a step, on one process and on several, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mixup.data import dataset_info
from mixup.errors import UserError
from mixup.plan import draw_plan, stream_seed
from mixup.run.compose import configuration
from mixup.training import train as run
from mixup.training.distributed import Group
from mixup.training.engine import start_epoch
from mixup.training.setup import assemble, plan_settings
from tests.training.test_step import CPU, images, mixed, network, plan, train

SMALL = ["data.train_size=100", "trainer.epochs=2", "tracking.wandb=disabled", "trainer.device=cpu"]


def trained(tmp_path: Path, name: str, *overrides: str) -> torch.Tensor:
    """The logits of a short run on digits."""
    config = configuration([*SMALL, f"runs_dir={tmp_path}", *overrides])
    run.train(config, tmp_path / name, name)
    return torch.from_numpy(np.load(tmp_path / name / "predictions.npz")["logits"])


@pytest.mark.parametrize(
    "setting",
    [
        "mixup.ways=3",
        "mixup.partner=nearest",
        "mixup.within_class=true",
        "mixup.partner=flip",
        "mixup.partner=roll",
        "mixup.fold=true",
        "mixup.targets=dominant",
        "mixup.layer='2'",
        "mixup.label_smoothing=0.1",
        "mixup.noise=0.1",
        "mixup.lam_per=example",
    ],
)
def test_every_setting_changes_what_is_learnt_and_a_second_run_repeats_it(tmp_path, setting):
    extra = ["mixup.neighbours=5"] if "nearest" in setting else []
    first = trained(tmp_path, "first", setting, *extra)
    assert torch.isfinite(first).all()
    assert not torch.equal(first, trained(tmp_path, "plain"))
    assert torch.equal(first, trained(tmp_path, "again", setting, *extra))


@pytest.mark.parametrize("setting", ["mixup.ways=3", "mixup.partner=nearest", "mixup.layer='2'", "mixup.targets=dominant"])
def test_with_alpha_zero_every_setting_is_erm_bit_for_bit(tmp_path, setting):
    assert torch.equal(trained(tmp_path, "this", setting, "mixup.alpha=0"), trained(tmp_path, "erm", "mixup=erm"))


def test_a_run_stopped_in_mid_epoch_goes_on_with_noise_layers_and_neighbours_alike(tmp_path, monkeypatch):
    settings = ["mixup.noise=0.1", "mixup.layer='2'", "mixup.ways=3", "trainer.batch_size=16"]
    expected = trained(tmp_path, "whole", *settings)
    config = configuration([*SMALL, *settings, f"runs_dir={tmp_path}"])
    stop_if_signalled = run.stop_if_signalled

    def stop_once(signals, assembled, progress):
        if (progress.epoch, progress.step) == (1, 3):
            signals.received = 15
        stop_if_signalled(signals, assembled, progress)

    monkeypatch.setattr(run, "stop_if_signalled", stop_once)
    with pytest.raises(run.Stopped, match="SIGTERM after step 10"):
        run.train(config, tmp_path / "cut", "cut")
    monkeypatch.undo()
    run.train(config, tmp_path / "cut", "cut")
    assert torch.equal(torch.from_numpy(np.load(tmp_path / "cut" / "predictions.npz")["logits"]), expected)


class Record(torch.nn.Module):
    """A network that keeps its inputs and ignores them."""

    def __init__(self) -> None:
        super().__init__()
        self.bias, self.inputs = torch.nn.Parameter(torch.zeros(3)), torch.zeros(0)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.inputs = inputs
        return self.bias.expand(len(inputs), 3)


@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_noise_is_the_same_on_any_number_of_ranks_and_of_the_given_size(world_size):
    data, drawn, std = images(7), plan(7, batch_size=7, alpha=0.0), torch.tensor([0.5, 1.0, 2.0]).view(3, 1, 1)

    def seen(group: Group, noise: torch.Tensor | None, epoch: int = 0) -> torch.Tensor:
        model, progress = Record(), start_epoch(epoch, 7, 7, CPU)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        train(model, data, drawn, progress, optimizer=optimizer, noise=noise, group=group)
        return model.inputs

    plain, noisy = seen(Group(), None), seen(Group(), std)
    parts = [seen(Group(rank, rank, world_size), std) for rank in range(world_size)]
    assert torch.equal(torch.cat(parts), noisy)
    assert torch.allclose((noisy - plain).std((0, 2, 3)), std.flatten(), rtol=0.1)
    assert not torch.equal(seen(Group(), std, epoch=1), noisy)


def test_noise_is_given_on_the_scale_of_pixels(tmp_path):
    """0.1 of white is 0.1 / std of a normalised input, in each channel."""
    config = configuration([*SMALL, "mixup.noise=0.1"])
    assembled = assemble(config, tmp_path, Group())
    assert assembled.step.noise.flatten().tolist() == pytest.approx([0.1 / dataset_info("digits").std[0]])


def test_a_latent_mixture_is_the_hand_written_one_for_a_whole_epoch():
    """Mixing after the ReLU against a loop that cuts the network in two there."""
    data, drawn = images(40), plan(40, batch_size=20)
    ours, theirs = network(), network()
    ours[3].p = theirs[3].p = 0.0
    train(ours, data, drawn, start_epoch(0, 40, 20, CPU), layer=ours[2])
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    for first in range(0, 40, 20):
        rows = slice(first, first + 20)
        lam, partner = drawn.lam[rows], drawn.partner[rows, 0] - first
        hidden = theirs[:3](data.fetch(drawn.order[rows], drawn.crop[rows], drawn.flip[rows]))
        shape = (-1, 1, 1, 1)
        logits = theirs[3:](lam.view(shape) * hidden + (1 - lam.view(shape)) * hidden[partner])
        one_hot = F.one_hot(data.labels[drawn.order[rows]], 3).float()
        optimizer.zero_grad()
        F.cross_entropy(logits, lam * one_hot + (1 - lam) * one_hot[partner]).backward()
        optimizer.step()
    for ours_tensor, theirs_tensor in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        assert torch.allclose(ours_tensor, theirs_tensor, atol=1e-5)


def test_inputs_alone_are_mixed_with_the_target_of_the_closer_example():
    data, drawn = images(16), plan(16)
    both, inputs_alone = (mixed(data, drawn, slice(0, 16), dominant=flag) for flag in (False, True))
    assert torch.equal(both.inputs, inputs_alone.inputs)
    assert torch.equal(inputs_alone.weights[:, 0] == 1, drawn.lam[:, 0] >= 0.5)
    assert torch.equal(inputs_alone.weights.sum(1), torch.ones(16))


def test_smote_pairs_are_of_one_class_and_near(tmp_path):
    settings = ["mixup.partner=nearest", "mixup.within_class=true", "mixup.neighbours=7", "data.label_noise=0.3"]
    assembled = assemble(configuration([*SMALL, *settings]), tmp_path, Group())
    drawn, labels = draw_plan(assembled.plan, 0), assembled.data.train.labels
    assert torch.equal(labels[drawn.order], labels[drawn.order[drawn.partner[:, 0]]]), "the labels that are trained on"
    beyond = drawn.partner[:, 0] // 64 != torch.arange(100) // 64
    assert beyond.any(), "neighbours are not looked for in the batch alone"


def test_partners_of_a_layer_stay_in_each_ranks_share():
    config = configuration(["mixup.layer='2'"])
    drawn = draw_plan(plan_settings(config, dataset_info("digits"), np.zeros(50, int), shards=2), 0)
    for rank in range(2):
        mine = drawn.positions(0, rank=rank, world_size=2)
        assert sorted(drawn.partner[mine, 0].tolist()) == list(range(mine.start, mine.stop))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["mixup.layer=stages.9"], r"mixup\.layer=stages\.9: no such module.*lenet has 0, 1"),
        (["mixup.layer='2'", "trainer.compile=true"], r"trainer\.compile=true"),
        (["mixup.partner=nearest"], r"mixup\.neighbours=200: there are 99 other"),
        (["mixup.partner=nearest", "data=iris", "model=mlp", "data.train_size=null"], "images in memory"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy_and_leaves_nothing(tmp_path, overrides, message):
    with pytest.raises(UserError, match=message):
        run.train(configuration([*SMALL, *overrides]), tmp_path / "run", "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "override",
    [
        "mixup.partner=neighbour",
        "mixup.ways=1",
        "mixup.targets=both",
        "mixup.label_smoothing=1",
        "mixup.noise=-0.1",
        "mixup.neighbours=0",
        "data.test_size=0",
        "scale=gpu",
        "evaluate=everything",
    ],
)
def test_values_out_of_range_are_refused_by_name(override):
    with pytest.raises(Exception, match=override.split("=")[0].split(".")[-1]):
        configuration([override])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("mixup.partner=flip", "mixup.within_class=true"),
        ("mixup.partner=roll", "mixup.ways=3"),
        ("mixup.fold=true", "mixup.ways=3"),
        ("mixup.layer=stem", "mixup.partner=nearest"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(first, second):
    with pytest.raises(UserError, match=r"mixup\."):
        configuration([first, second])


def test_test_size_takes_a_balanced_subset_that_the_record_counts(tmp_path):
    config = configuration([*SMALL, "data.test_size=50"])
    record = run.train(config, tmp_path / "run", "run")
    assert record["test"]["count"] == record["data"]["test_count"] == 50
    labels = np.load(tmp_path / "run" / "predictions.npz")["labels"]
    assert np.bincount(labels).tolist() == [5] * 10
    assert stream_seed(0, "subset") != stream_seed(0, "test_subset")
