"""Errors under attack of finished runs: what must hold of any of them, and what attacks.json keeps."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import torch

from mixup.evaluation.attack_errors import CELLS, attack_errors, measure_attacks
from mixup.evaluation.attacks import ATTACKS
from mixup.evaluation.settings import ATTACKS as ATTACK_NAMES
from mixup.run import records
from tests.evaluation.short_runs import opened, train


@pytest.fixture(scope="module")
def attacked(runs):
    """Errors in percent: white box of ERM, and black box of the other ERM run and of mixup on the same examples."""
    source = opened(runs["erm"])
    targets = [source, *(opened(runs[name], like=source) for name in ("erm 1", "mixup"))]
    wrong = attack_errors(source, targets, source.test_rows(None), CELLS)
    assert wrong.shape == (3, len(CELLS), 2, 200)
    means = 100 * wrong.double().mean(3)
    return {
        name: {cell: errors.tolist() for cell, errors in zip(CELLS, rows)}
        for name, rows in zip(("white", "erm", "mixup"), means)
    }


def test_names_of_attacks_are_those_there_are():
    assert list(ATTACK_NAMES) == list(ATTACKS)


def test_epsilon_zero_is_the_clean_error_exactly(runs, attacked):
    for name, box in (("erm", "white"), ("erm 1", "erm"), ("mixup", "mixup")):
        test = records.read_record(runs[name])["test"]
        for attack in ATTACKS:
            assert attacked[box][attack, 0.0] == pytest.approx([test["top1_error"]["last"], test["top5_error"]], abs=1e-12)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("box", ["white", "erm", "mixup"])
def test_the_error_grows_with_epsilon(attacked, attack, box):
    errors = [attacked[box][name, eps][0] for name, eps in CELLS if name == attack]
    assert all(before <= after + 1.5 for before, after in pairwise(errors))
    assert errors[-1] > errors[0]


def test_more_steps_are_stronger_in_the_white_box(attacked):
    for eps in {eps for _, eps in CELLS}:
        fgsm, ifgsm, pgd = (attacked["white"][name, eps][0] for name in ATTACKS)
        assert fgsm <= ifgsm + 1.5
        assert ifgsm <= pgd + 1.5


def test_a_transferred_attack_adds_no_more_error_than_the_white_box(attacked):
    for box in ("erm", "mixup"):
        for name, eps in CELLS:
            added = attacked[box][name, eps][0] - attacked[box][name, 0.0][0]
            assert added <= attacked["white"][name, eps][0] - attacked["white"][name, 0.0][0] + 1.5


def test_bfloat16_runs_are_attacked_in_bfloat16(tmp_path):
    folder = train(tmp_path, "trainer.precision=bfloat16", "trainer.epochs=2", "data.test_size=50")
    net = opened(folder)
    seen = []
    net.model.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    wrong = attack_errors(net, [net], net.test_rows(None), [("fgsm", 0.0), ("fgsm", 8.0)])
    assert set(seen) == {torch.bfloat16}
    assert wrong[0, 1, 0].mean() > wrong[0, 0, 0].mean()


def test_a_repeated_call_replaces_its_own_cells_alone(copies):
    net, other = opened(copies["erm"]), opened(copies["erm 1"])
    measure_attacks(net, [net], [("fgsm", 0.0), ("fgsm", 4.0)], examples=40)
    measure_attacks(other, [net], [("fgsm", 4.0)], examples=40)
    file = copies["erm"] / "attacks.json"
    values = json.loads(file.read_text())
    assert values["examples"] == 40
    assert [(r["attack"], r["eps"], r["source"]) for r in values["results"]] == [
        ("fgsm", 0.0, "self"),
        ("fgsm", 4.0, "self"),
        ("fgsm", 4.0, other.record["label"]),
    ]
    assert values["results"][2]["source_hash"] == other.record["hash"]
    values["results"][0]["top1_error"] = values["results"][1]["top1_error"] = -1.0
    file.write_text(json.dumps(values))
    measure_attacks(net, [net], [("fgsm", 4.0), ("ifgsm", 4.0)], examples=40)
    again = json.loads(file.read_text())["results"]
    assert [r["top1_error"] == -1 for r in again] == [True, False, False, False]
    measure_attacks(net, [net], [("fgsm", 4.0)], examples=60)
    assert len(json.loads(file.read_text())["results"]) == 1, "results of other examples are not set beside each other"
