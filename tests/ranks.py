"""Runs under torchrun, started by test_distributed.py: what must hold on every rank of a real process group."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from unittest.mock import Mock, patch

import torch
from torch.nn.parallel import DistributedDataParallel

from mixup import mixing
from mixup.commands.train import finished_before
from mixup.run.compose import Task, configuration
from mixup.training.distributed import all_gather, broadcast, broadcast_buffers, join_group, leave_group
from mixup.training.engine import evaluate, start_epoch
from mixup.training.setup import assemble
from tests.training.test_step import images, means_of, mixed, network, plan, train

CPU = torch.device("cpu")


def batches_of_all_ranks_are_one_process_batches(group, n: int) -> None:
    data, drawn = images(n), plan(n)
    for step in range(drawn.num_steps):
        share = drawn.positions(step, rank=group.rank, world_size=group.world_size)
        part, whole = mixed(data, drawn, share, group=group), mixed(data, drawn, drawn.positions(step))
        for name in ("inputs", "targets", "weights"):
            gathered = torch.cat(all_gather(group, getattr(part, name)))
            if group.is_leader:
                assert torch.equal(gathered, getattr(whole, name)), (name, n, step)


def evaluation_is_exact(group, n: int) -> None:
    data, model = images(n, padding=0), network().eval()
    means, logits = evaluate(model, data, batch_size=4, autocast=contextlib.nullcontext, group=group)
    with torch.no_grad():
        expected = model(data.fetch(torch.arange(n)))
    wrong = int((expected.argmax(1) != data.labels).sum())
    assert means["count"] == n
    assert abs(means["top1_error"] - 100 * wrong / n) < 1e-9, (means, wrong, n)
    whole = torch.cat(all_gather(group, logits))
    if group.is_leader:
        assert torch.allclose(whole, expected, atol=1e-5)


def training_equals_one_process(group, n: int) -> None:
    """Without BatchNorm and dropout, which see a rank's share, two ranks follow one process to rounding."""
    data, drawn = images(n), plan(n)

    def fresh() -> torch.nn.Module:
        model = network()
        model[1], model[3] = torch.nn.Identity(), torch.nn.Identity()
        return model

    alone, together = fresh(), fresh()
    alone_progress = start_epoch(0, n, drawn.batch_size, CPU)
    train(alone, data, drawn, alone_progress)
    progress = start_epoch(0, n, drawn.batch_size, CPU)
    train(DistributedDataParallel(together), data, drawn, progress, group=group)
    for a, b in zip(alone.parameters(), together.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5), (n, (a - b).abs().max())
    means = means_of(data, drawn, progress, group)
    if group.is_leader:
        expected = means_of(data, drawn, alone_progress)
        assert torch.equal(progress.state.predicted >= 0, torch.ones(n, dtype=torch.bool))
        assert torch.allclose(progress.step_losses(), alone_progress.step_losses(), atol=1e-5)
        assert all(abs(means[name] - expected[name]) < 1e-3 for name in expected), (means, expected)
    else:
        assert (progress.state.predicted == -1).all()


def gradients_are_one_process_to_rounding(group, n: int) -> None:
    """In float64, where rounding cannot hide a wrong weight: after an epoch of one batch the weights are the same."""

    def loss(logits, targets, weights, label_smoothing=0.0):
        return -(weights * logits.log_softmax(1).gather(1, targets)).sum(1)

    class Double(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = network().double()
            self.layers[1], self.layers[3] = torch.nn.Identity(), torch.nn.Identity()

        def forward(self, inputs):
            return self.layers(inputs.double())

    data, drawn, real = images(n), plan(n), mixing.mixed_cross_entropy
    mixing.mixed_cross_entropy = loss  # ours is in float32
    alone, together = Double(), Double()
    train(alone, data, drawn, start_epoch(0, n, drawn.batch_size, CPU))
    train(DistributedDataParallel(together), data, drawn, start_epoch(0, n, drawn.batch_size, CPU), group=group)
    mixing.mixed_cross_entropy = real
    for a, b in zip(alone.parameters(), together.parameters(), strict=True):
        assert (a - b).abs().max() <= 1e-10, (n, (a - b).abs().max())
        assert a.grad is not None
        assert (a.grad - b.grad).abs().max() <= 1e-10 * (1 + a.grad.abs().max())


def buffers_agree(group) -> None:
    model = network()
    model[1].running_mean.fill_(group.rank)
    broadcast_buffers(group, model)
    assert (model[1].running_mean == 0).all()
    assert broadcast(group, group.rank) == 0


def streamed_files_are_listed_by_the_leader_alone(group, root: Path) -> None:
    settings = (f"data.root={root}", "data=tiny_imagenet", "data.resident=false", "data.workers=0", "trainer.device=cpu")
    with patch("os.scandir", Mock(side_effect=os.scandir)) as scandir:
        run = assemble(configuration(settings), root / "run", group)
    assert all_gather(group, scandir.called) == [rank == 0 for rank in range(group.world_size)]
    assert (len(run.train), len(run.test)) == (4, 2)
    ((_, pixels),) = run.train.in_order([slice(0, 4)])
    assert all(torch.equal(pixels, others) for others in all_gather(group, pixels))
    assert len({str(others) for others in all_gather(group, run.fingerprints)}) == 1


def the_leader_alone_says_whether_a_run_has_finished(group, folder: Path) -> None:
    """Another machine's file system may show a record later, or never."""
    environment = {"commit": None, "dirty": False}
    record = {"data": {"provenance": "digits"}, "device": "a CPU", "environment": environment}
    for finished in (True, False):
        with patch("mixup.run.records.read_record", Mock(return_value=record if finished else None)) as read:
            found, _ = finished_before(Task(configuration(()), "", folder))
        assert read.called == group.is_leader
        assert all_gather(group, found is not None) == [finished] * group.world_size


def main() -> None:
    torch.set_num_threads(1)
    group = join_group("cpu")
    for n in (1, 2, 3, 7, 101):
        batches_of_all_ranks_are_one_process_batches(group, n)
        evaluation_is_exact(group, n)
        training_equals_one_process(group, n)
        gradients_are_one_process_to_rounding(group, n)
    buffers_agree(group)
    root = Path(sys.argv[1])
    streamed_files_are_listed_by_the_leader_alone(group, root)
    the_leader_alone_says_whether_a_run_has_finished(group, root / "run")
    if group.is_leader:
        print(f"all claims hold on {group.world_size} ranks")
    leave_group()


if __name__ == "__main__":
    main()
