"""What a sweep measures of its runs: which run attacks which, and that nothing is measured twice."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import train as train_script
from mixup.evaluation import sweep as evaluation
from mixup.evaluation.between import measure_between
from mixup.evaluation.measurements import read_measurement
from mixup.evaluation.sweep import black_boxes, evaluate_sweep
from mixup.run import records
from mixup.run.compose import configuration
from mixup.run.conversions import plain
from tests.evaluation.short_runs import opened, retrain


def finished(folder: Path, alpha: float, seed: int, *settings: str) -> Path:
    """A run of the sweep as far as its record goes."""
    config = configuration([f"mixup.alpha={alpha}", f"seed={seed}", *settings])
    run = folder / f"{alpha:g}-{seed}-{','.join(settings)}"
    run.mkdir()
    records.write_record(run, {"config": plain(config), "label": run.name, "seed": seed, "alpha": alpha})
    return run


def test_erm_and_mixup_of_a_seed_meet_the_examples_of_the_next_erm_run(tmp_path):
    kinds = ((), ("optim.lr=0.2",))
    runs = {(a, seed, kind): finished(tmp_path, a, seed, *kind) for kind in kinds for a in (0, 1) for seed in (3, 0, 7)}
    victims = black_boxes(list(runs.values()))
    for kind in kinds:
        for seed, following in ((0, 3), (3, 7), (7, 0)):
            assert victims[runs[0, following, kind]] == [runs[0, seed, kind], runs[1, seed, kind]]
            assert victims[runs[1, seed, kind]] == []


def test_there_is_no_black_box_without_another_erm_run(tmp_path, capsys):
    erm, same_seed, other_seed = (finished(tmp_path, alpha, seed) for alpha, seed in ((0, 0), (1, 0), (1, 1)))
    assert black_boxes([erm, same_seed, other_seed]) == {erm: [other_seed], same_seed: [], other_seed: []}
    messages = capsys.readouterr().out.splitlines()
    assert [message.partition(":")[0] for message in messages] == ["no black box for 0-0-", "no black box for 1-0-"]


@pytest.mark.parametrize(
    ("scale", "test", "pairs", "examples"),
    [("paper", 50_000, 25_000, 50_000), ("cpu", 50_000, 1000, 1000), ("cpu", 200, 1000, 200)],
)
def test_at_the_papers_scale_no_test_example_is_left_out(scale, test, pairs, examples, tmp_path):
    data = {"train_count": 50_000, "test_count": test}
    records.write_record(tmp_path, {"config": {"scale": scale}, "data": data})
    assert evaluation.amounts(tmp_path) == (pairs, examples)


@pytest.fixture
def few_cells(monkeypatch):
    """A sweep's attacks and pairs, fewer."""
    monkeypatch.setattr(evaluation, "CELLS", [("fgsm", 0.0), ("fgsm", 4.0)])
    monkeypatch.setattr(evaluation, "amounts", lambda folder: (10, 50))


def sweep(wanted: str, folders) -> int:
    return evaluate_sweep(wanted, list(folders), root=None, device="cpu")


def files(folders, name: str) -> dict[Path, int]:
    return {folder: (folder / name).stat().st_mtime_ns for folder in folders if (folder / name).exists()}


def test_a_sweep_is_attacked_once_and_again_where_weights_change(copies, few_cells, capsys):
    folders = [copies[name] for name in ("erm", "erm 1", "mixup", "mixup 1")]
    assert sweep("attacks", folders) == 0
    assert "[4/4] attacks made on" in capsys.readouterr().out
    hashes = [records.read_record(folder)["hash"] for folder in folders]
    for folder, own, source in zip(folders, hashes, [hashes[1], hashes[0], hashes[1], hashes[0]]):
        results = json.loads((folder / "attacks.json").read_text())["results"]
        assert [(r["source"] == "self", r["source_hash"], r["eps"]) for r in results] == [
            *((True, own, eps) for eps in (0.0, 4.0)),
            *((False, source, eps) for eps in (0.0, 4.0)),
        ]
    before = files(folders, "attacks.json")
    assert sweep("attacks", folders) == 0
    assert files(folders, "attacks.json") == before
    assert capsys.readouterr().out.count("measured before") == 4
    retrain(folders[0])
    assert sweep("attacks", folders) == 0
    changed = [folder for folder in folders if files(folders, "attacks.json")[folder] != before[folder]]
    assert changed == [folders[0], folders[1], folders[3]], "itself, and those that its examples are shown to"
    assert read_measurement(folders[0], "attacks.json") is not None
    before = files(folders, "attacks.json")
    assert sweep("attacks", folders) == 0
    assert files(folders, "attacks.json") == before


def test_a_sweep_is_measured_once_and_again_where_weights_change(copies, few_cells):
    folders = [copies[name] for name in ("erm", "mixup", "table")]
    assert sweep("between", folders) == 0
    before = files(folders, "between.json")
    assert len(before) == 3
    assert sweep("between", folders) == 0
    assert files(folders, "between.json") == before
    retrain(folders[1])
    assert sweep("between", folders) == 0
    assert [files(folders, "between.json")[folder] != before[folder] for folder in folders] == [False, True, False]


def test_one_run_that_fails_loses_no_other(copies, few_cells, capsys):
    folders = [copies[name] for name in ("erm", "table", "erm 1")]
    assert sweep("attacks", folders) == 1
    assert "no data set of images" in capsys.readouterr().err
    assert len(files(folders, "attacks.json")) == 2
    (folders[0] / "weights.safetensors").write_bytes(b"nothing")
    assert sweep("between", folders) == 1
    assert "cannot be used" in capsys.readouterr().err
    assert len(files(folders, "between.json")) == 2


def test_figure_2_is_of_tables_too(copies):
    assert measure_between(opened(copies["table"]), pairs=5)["pairs"] == 5


def test_a_sweep_of_train_ends_with_its_measurements(tmp_path, monkeypatch, capsys, few_cells):
    monkeypatch.chdir(tmp_path)
    small = ("data.train_size=60", "trainer.epochs=1", "trainer.batch_size=32", "data.test_size=50", "seed=0,1")
    arguments = ["train.py", "-m", "sweep.slots=1", "tracking.wandb=disabled", *small, "evaluate=between"]
    for expected in (0, 2):
        monkeypatch.setattr(sys, "argv", list(arguments))
        assert train_script.main() == 0
        assert capsys.readouterr().out.count("measured before") == expected
    assert len(list(tmp_path.glob("runs/*/*/between.json"))) == 2
    assert len(list(tmp_path.glob("runs/*/*/between.png"))) == 2
    monkeypatch.setattr(sys, "argv", [*arguments[:-1], "evaluate=surface"])
    assert train_script.main() == 1


def test_other_ranks_leave_the_measuring_to_the_first(monkeypatch, tmp_path):
    measured = []
    monkeypatch.setattr("mixup.commands.train.measure", lambda tasks: measured.append(tasks) or 0)
    monkeypatch.setattr("mixup.commands.train.summarise", lambda tasks: 0)
    monkeypatch.setattr(train_script, "perform_all", lambda tasks, train: [0 for _ in tasks])
    monkeypatch.chdir(tmp_path)
    for name, value in {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("LOCAL_RANK", rank)
        monkeypatch.setattr(sys, "argv", ["train.py", "-m", "sweep.slots=1", "seed=0,1"])
        assert train_script.main() == 0
    assert len(measured) == 1
