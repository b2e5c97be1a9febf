"""The benchmark: its contestants do the work that their names say, turns alternate, and the page is that of the files."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from mixup.benchmark import ratios, rivals
from mixup.benchmark.processes import processes
from mixup.benchmark.throughput import NETWORKS, share_of_peak, throughput
from mixup.benchmark.turns import middle_half, ratio, take_turns
from mixup.commands import benchmark
from mixup.data import dataset_info
from mixup.run.compose import configuration
from mixup.training.step import fetch

CPU = torch.device("cpu")
SMALL = ["trainer.batch_size=8"]


def test_contestants_take_turns_in_both_orders():
    order = []
    times = take_turns({name: lambda name=name: lambda: order.append(name) or 1.0 for name in "ab"}, 3)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab", "one uncounted round, then every other one in reverse"
    assert times == {"a": [1.0] * 3, "b": [1.0] * 3}


def test_a_ratio_is_of_paired_rounds():
    """A machine that is ten times as slow in one round slows both contestants, and leaves the ratio as it is."""
    assert ratio([2.0, 20.0, 2.0], [1.0, 10.0, 1.0]) == {"median": 2.0, "low": 2.0, "high": 2.0, "rounds": 3}
    assert middle_half([1.0, 2.0, 3.0, 4.0, 5.0]) == {"median": 3.0, "low": 2.0, "high": 4.0, "rounds": 5}


@pytest.mark.parametrize("batches", [rivals.torchvision_batches, rivals.timm_batches])
def test_a_rivals_batch_is_mixed_and_its_loss_is_that_of_soft_labels(batches):
    info = dataset_info("cifar10")
    inputs, loss = next(batches(info, 8, 2, 0, CPU)())
    assert inputs.shape == (8, 3, 32, 32)
    targets = loss.keywords["target"]
    torch.testing.assert_close(targets.sum(1), torch.ones(8))
    assert not bool(((targets == 0) | (targets == 1)).all()), "mixed with a lambda that is not 0 or 1"
    logits = torch.randn(8, 10)
    torch.testing.assert_close(loss(logits), -(targets * F.log_softmax(logits, 1)).sum(1).mean())


def test_the_rival_of_a_table_has_two_cross_entropies():
    loss = partial(rivals.two_losses, torch.tensor([0, 1]), torch.tensor([2, 1]), 0.3)
    logits = torch.randn(2, 3)
    log_probs = F.log_softmax(logits, 1)
    expected = -(0.3 * log_probs[0, 0] + 0.7 * log_probs[0, 2] + log_probs[1, 1]) / 2
    torch.testing.assert_close(loss(logits), expected)
    inputs, _ = next(rivals.table_batches(dataset_info("abalone"), 16, 2, 0, CPU)())
    assert inputs.shape[0] == 16


def test_a_rival_trains_its_network(monkeypatch):
    """Forward, backward and update for every batch; the batch before the clock starts is not counted."""
    seen = []
    monkeypatch.setattr(rivals, "SECONDS_A_TURN", 1e-9)
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: seen.append(self.param_groups[0]["params"][0].grad))
    turn = rivals.rival(configuration(["data=iris", "model=mlp", *SMALL]), CPU, rivals.table_batches, 0)
    seen.clear()
    assert turn() > 0
    assert len(seen) == 3
    assert all(gradient.abs().sum() > 0 for gradient in seen)


def test_without_mixing_nothing_is_fetched_but_the_example_itself():
    fetched = []
    with ratios.unmixed():
        for row in ratios.mixing(["LeNet, digits"], SMALL, rounds=2):
            fetched.append(row)
    assert [(row["above"], row["below"]) for row in fetched] == [("alpha=1", "alpha=0"), ("alpha=1", "no mixing code")]
    assert ratios.training_steps.fetch is fetch, "the step is itself again"
    with ratios.unmixed():
        assert ratios.training_steps.fetch is ratios.fetch_own


def test_a_step_has_the_operations_of_the_network_and_fewer_than_its_limit_besides():
    rows = list(ratios.operations(["LeNet, digits"], SMALL))
    assert [row["precision"] for row in rows] == ["float32", "bfloat16"]
    for row in rows:
        assert 0 < row["operations"] - row["bare"] < 40


@pytest.mark.slow
def test_two_processes_take_the_same_turns():
    (row,) = processes(["LeNet, digits"], [], rounds=2)
    assert row["subject"] == "LeNet, digits, 2 processes"
    assert 0.2 < row["ratio"]["median"] < 5
    assert row["ratio"]["rounds"] == 2


def test_counting_leaves_out_views():
    counter = ratios.Counter()
    values = torch.ones(4, 4)
    with counter:
        row = values.t()[:3].unsqueeze(0)
        assert counter.count == 0
        (row + 1).contiguous()
    assert counter.count == 2, "the sum, and the copy in another order"


def test_every_network_is_one_that_can_be_configured():
    for overrides in NETWORKS.values():
        assert configuration([*overrides]).model.name


def test_throughput_names_batch_precision_and_share_of_the_peak():
    settings = {"rounds": 2, "workers": 0, "compiled": [], "only": ""}
    rows = list(throughput(["MLP, Abalone"], ["trainer.batch_size=64"], **settings))
    assert [row["form"] for row in rows] == ["ours, float32", "ours, bfloat16", "plain loop"]
    for row in rows:
        assert row["batch_size"] == 64
        assert share_of_peak(row) > 0
        assert row["gflops_per_image"] == pytest.approx(3 * 2e-9 * (8 * 128 + 128 * 128 + 128 * 28), rel=0.1)


def test_what_was_measured_before_stays_in_the_file(tmp_path, capsys):
    for what in ("operations", "mixing"):
        arguments = [what, *SMALL, "--network", "LeNet, digits", "--rounds", "2", "--out", str(tmp_path)]
        assert benchmark.main(arguments, "") == 0
    (file,) = tmp_path.glob("cpu-*.json")
    content = json.loads(file.read_text())
    assert list(content) == ["machine", "operations", "mixing"]
    assert [row["overrides"] for row in content["mixing"]] == [SMALL, SMALL]
    assert "alpha=1 over no mixing code" in capsys.readouterr().out


def test_a_row_that_is_measured_again_replaces_the_old_alone(tmp_path):
    def measured(network: str) -> list[dict]:
        options = ("--workers", "0", "--only", "ours, float32", "--rounds", "2", "--out", str(tmp_path))
        assert benchmark.main(["throughput", *SMALL, "--network", network, *options], "") == 0
        return json.loads(next(tmp_path.glob("cpu-*.json")).read_text())["throughput"]

    measured("MLP, Abalone")
    before = measured("LeNet, digits")
    assert [row["subject"] for row in before] == ["LeNet, digits", "MLP, Abalone"], "in the order of the networks"
    after = measured("MLP, Abalone")
    assert after[0] == before[0]
    assert after[1]["images_per_second"] != before[1]["images_per_second"]
    assert len(after) == 2


def test_an_unknown_network_is_refused_with_the_nearest(capsys):
    assert benchmark.main(["floor", "--network", "WRN-28"], "") == 2
    assert "did you mean 'WRN-28-10'" in capsys.readouterr().err


def test_the_page_is_that_of_the_files():
    assert (benchmark.ROOT / "docs" / "speed.md").read_text() == benchmark.page(), "python scripts/benchmark.py page"
