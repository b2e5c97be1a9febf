"""Attacks, figures 1 and 2 of finished runs, and what a sweep measures: the claims that must hold of any of them."""

from __future__ import annotations

import json
import shutil
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from mixup.commands import train as command_line
from mixup.errors import UserError
from mixup.evaluation import figure2
from mixup.evaluation import sweep as evaluation
from mixup.evaluation.attack_errors import CELLS, attack_errors, measure_attacks
from mixup.evaluation.attacks import ATTACKS
from mixup.evaluation.figure2 import at_pairs, measure_between, pairs_of
from mixup.evaluation.finished_run import balanced_rows, open_finished_run
from mixup.evaluation.measurements import read_measurement, write_measurement
from mixup.evaluation.printed import report
from mixup.evaluation.settings import ATTACKS as ATTACK_NAMES
from mixup.evaluation.settings import EvalConfig, eval_config
from mixup.evaluation.sweep import Entry, attacker, evaluate_sweep, measure_surface
from mixup.ledger.paper import read_figure2
from mixup.run import records
from mixup.run.compose import configuration
from mixup.run.identity import run_dir
from mixup.training import train as run

TRAINED = ("trainer.epochs=6", "data.test_size=200", "trainer.clean_slice=0", "tracking.wandb=disabled")


def train(folder: Path, *overrides: str) -> Path:
    """A finished run below a folder, where `train.py` would have put it."""
    config = configuration([*TRAINED, f"runs_dir={folder}", *overrides])
    label = ",".join(override.rpartition("=")[0][-8:] + "=" + override.rpartition("=")[2] for override in overrides)
    run.train(config, run_dir(config, label), label)
    return run_dir(config, label)


def opened(folder: Path, **settings):
    return open_finished_run(folder, root=None, device="cpu", **settings)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """LeNet on digits: two seeds of ERM and of mixup, and beside them a table, and ERM on another test set."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        "erm": train(folder, "mixup=erm"),
        "erm 1": train(folder, "mixup=erm", "seed=1"),
        "mixup": train(folder, "mixup.alpha=1.0"),
        "mixup 1": train(folder, "mixup.alpha=1.0", "seed=1"),
        "few": train(folder, "mixup=erm", "data.test_size=100"),
        "table": train(folder, "data=iris", "model=mlp", "data.test_size=60", "mixup=erm"),
    }


@pytest.fixture
def copies(runs, tmp_path) -> dict[str, Path]:
    """The same runs, for tests that write beside them."""
    return {name: Path(shutil.copytree(folder, tmp_path / name)) for name, folder in runs.items()}


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


# -- attacks -------------------------------------------------------------------------------------------------------------


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


def test_eval_attacks_and_draws(copies, capsys):
    assert report(
        EvalConfig(run=str(copies["mixup"]), attack=["fgsm", "ifgsm"], eps=[1, 4], source=str(copies["erm"]), examples=50)
    )
    output = capsys.readouterr().out
    assert "50 of 200 test examples" in output
    assert "black box" in output
    assert "I-FGSM" in output
    assert (copies["mixup"] / "attacks.png").stat().st_size > 10_000
    assert not (copies["erm"] / "attacks.json").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"run": "table", "attack": ["fgsm"]}, "no data set of images"),
        ({"run": "erm", "attack": ["fgsm"], "source": "table"}, "tested on iris"),
        ({"run": "erm", "attack": ["fgsm"], "source": "few"}, "another test set"),
        ({"run": "erm", "attack": ["fgsm"], "source": "nowhere"}, "source=nowhere: no such directory"),
        ({"run": "erm", "against": "few"}, "another test set"),
        ({"run": "erm", "between": True, "against": "table"}, "tested on iris"),
    ],
)
def test_what_cannot_be_measured_together_is_refused(runs, settings, message):
    named = {key: str(runs.get(value, value)) if isinstance(value, str) else value for key, value in settings.items()}
    with pytest.raises(UserError, match=message):
        report(EvalConfig(**named))


def test_settings_are_read_and_checked():
    wanted = eval_config(["run=a,b=1", "attack=fgsm,pgd", "eps=0.5,4", "source=x=2", "examples=all"])
    assert (wanted.run, wanted.attack, wanted.eps) == ("a,b=1", ["fgsm", "pgd"], [0.5, 4.0])
    assert (wanted.source, wanted.examples) == ("x=2", None)
    assert eval_config(["run=a", "attack=fgsm"]).eps == [4.0]
    assert eval_config(["run=a", "between=true", "pairs=7"]).pairs == 7
    for arguments, message in {
        ("atack=fgsm",): "did you mean 'attack'",
        ("attack=fgms",): "did you mean 'fgsm'",
        ("eps=4",): "name them too",
        ("attack=fgsm", "eps=-1"): "0 to 255",
        ("attack=fgsm", "eps=nan"): "finite",
        ("attack=fgsm", "eps=four"): "write a number",
        ("examples=0",): "at least 1, or all",
        ("examples=1.5",): "whole number",
        ("between=yes",): "true or false",
        ("pairs=1",): "at least 2",
        ("between=true", "attack=fgsm"): "one after the other",
        ("attack=fgsm", "against=b"): "source=DIR",
    }.items():
        with pytest.raises(UserError, match=message):
            eval_config(["run=a", *arguments])


def test_examples_are_balanced_as_far_as_there_are_any():
    labels = np.repeat([0, 1, 2], [50, 30, 3])
    rows = balanced_rows(labels, 23, np.random.default_rng(0))
    assert np.bincount(labels[rows]).tolist() == [10, 10, 3]
    assert (np.diff(rows) > 0).all()
    assert len(balanced_rows(labels, 1000, np.random.default_rng(0))) == 83


# -- between training points ---------------------------------------------------------------------------------------------


def test_figure_2_says_what_it_is_of(copies, capsys):
    assert report(EvalConfig(run=str(copies["erm"]), between=True, pairs=30, against=str(copies["mixup"])))
    assert "30 pairs" in capsys.readouterr().out
    for name in ("erm", "mixup"):
        values = json.loads((copies[name] / "between.json").read_text())
        assert values["pairs"] == 30
        assert values["seed"] == 0
        for key in ("lam", "miss", "miss_error", "gradient_norm", "gradient_error"):
            assert len(values[key]) == 21
        net = opened(copies[name])
        misses, norms = at_pairs(net, pairs_of(net, 30))
        assert misses.mean(1).tolist() == pytest.approx(values["miss"])
        assert norms.mean(1).tolist() == pytest.approx(values["gradient_norm"])
    assert (copies["erm"] / "between.png").stat().st_size > 10_000


def test_figure_2_is_of_tables_too(copies):
    assert measure_between(opened(copies["table"]), pairs=5)["pairs"] == 5


def test_the_papers_curves_are_asked_for_where_they_are_absent_or_damaged(tmp_path):
    (tmp_path / "damaged.csv").write_text("lambda,miss_pct_erm\n0.0,1\n")
    for name in ("absent.csv", "damaged.csv"):
        with pytest.raises(UserError, match="restore it from git"):
            read_figure2(tmp_path / name)
    (tmp_path / "whole.csv").write_text(
        "lambda,miss_pct_erm,miss_pct_mixup,gradnorm_erm,gradnorm_mixup\n0.5,16,6,0.2,0.04\n"
    )
    assert read_figure2(tmp_path / "whole.csv")["miss"] == {"ERM": [(0.5, 16.0)], "mixup": [(0.5, 6.0)]}


# -- after a sweep -------------------------------------------------------------------------------------------------------


def entries(*runs: tuple[float, int, str]) -> list[Entry]:
    return [Entry(Path(f"{alpha}-{seed}-{rest}"), "", seed, alpha, rest) for alpha, seed, rest in runs]


def test_erm_and_mixup_of_a_seed_meet_the_examples_of_the_next_erm_run():
    sweep = entries(*((alpha, seed, rest) for rest in ("a", "b") for alpha in (0, 1) for seed in (3, 0, 7)))
    found = {(run.alpha, run.seed, run.settings): attacker(run, sweep) for run in sweep}
    for rest in ("a", "b"):
        assert [found[0, seed, rest].seed for seed in (0, 3, 7)] == [3, 7, 0]
        assert [found[1, seed, rest].seed for seed in (0, 3, 7)] == [3, 7, 0]
    assert all(source.alpha == 0 and source.settings == rest for (_, _, rest), source in found.items())


def test_there_is_no_black_box_without_another_erm_run():
    single = entries((0, 0, "a"), (1, 0, "a"), (1, 1, "a"))
    assert attacker(single[0], single) is None
    assert attacker(single[1], single) is None, "of its own seed is no other network"
    assert attacker(single[2], single) == single[0]


@pytest.fixture
def few_cells(monkeypatch):
    """A sweep's attacks and pairs, fewer."""
    monkeypatch.setattr(evaluation, "CELLS", [("fgsm", 0.0), ("fgsm", 4.0)])
    monkeypatch.setattr(evaluation, "EXAMPLES", 50)
    monkeypatch.setattr(evaluation, "PAIRS", 10)
    monkeypatch.setattr(figure2, "PAIRS", 10)
    monkeypatch.setitem(evaluation.MEASURES, "between", lambda run: measure_between(run, pairs=10))


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


def retrain(folder: Path) -> None:
    """Other weights, as a run that was removed and trained again on another machine has."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "weights.safetensors")
    save_file({name: value * 1.01 for name, value in weights.items()}, folder / "weights.safetensors")


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


def test_a_surface_is_a_probability_over_the_plane_around_the_points(tmp_path, copies):
    folder = train(tmp_path, "data=rings", "model=mlp", "trainer.epochs=30", "mixup=erm")
    measure_surface(opened(folder))
    values = json.loads((folder / "surface.json").read_text())
    probability, points = np.array(values["probability"]), np.array(values["points"])
    assert probability.shape == (64, 64)
    assert 0 <= probability.min() < 0.2 < 0.8 < probability.max() <= 1
    middle = np.abs(values["x"]).argmin(), np.abs(values["y"]).argmin()
    assert probability[middle[1], middle[0]] > 0.8, "class 1 is inside"
    for axis, ticks in enumerate((values["x"], values["y"])):
        assert ticks[0] < points[:, axis].min() < points[:, axis].max() < ticks[-1]
    assert set(values["labels"]) == {0, 1}
    with pytest.raises(UserError, match="two classes in the plane"):
        measure_surface(opened(copies["table"]))


def test_rows_of_a_surface_are_of_y(runs, tmp_path, monkeypatch):
    folder = train(tmp_path, "data=rings", "model=mlp", "trainer.epochs=1")
    net = opened(folder)
    monkeypatch.setattr(type(net), "of_inputs", lambda self, inputs: torch.stack([0 * inputs[:, 0], inputs[:, 1]], 1))
    probability = np.array(measure_surface(net)["probability"])
    assert (np.diff(probability, axis=0) > 0).all()
    assert np.allclose(np.diff(probability, axis=1), 0)


def test_a_sweep_of_train_ends_with_its_measurements(tmp_path, monkeypatch, capsys, few_cells):
    monkeypatch.chdir(tmp_path)
    small = ("data.train_size=60", "trainer.epochs=1", "trainer.batch_size=32", "data.test_size=50", "seed=0,1")
    arguments = ["train.py", "-m", "tracking.wandb=disabled", *small, "evaluate=between"]
    for expected in (0, 2):
        monkeypatch.setattr(sys, "argv", list(arguments))
        assert command_line.main() == 0
        assert capsys.readouterr().out.count("measured before") == expected
    assert len(list(tmp_path.glob("runs/*/*/between.json"))) == 2
    monkeypatch.setattr(sys, "argv", [*arguments[:-1], "evaluate=surface"])
    assert command_line.main() == 1


def test_other_ranks_leave_the_measuring_to_the_first(monkeypatch, tmp_path):
    measured = []
    monkeypatch.setattr(command_line, "measure", lambda tasks: measured.append(tasks) or 0)
    monkeypatch.setattr(command_line, "perform", lambda task, **place: 0)
    monkeypatch.setattr(command_line, "summarise", lambda tasks: 0)
    monkeypatch.chdir(tmp_path)
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setattr(sys, "argv", ["train.py", "-m", "seed=0,1"])
        assert command_line.main() == 0
    assert len(measured) == 1


# -- files ---------------------------------------------------------------------------------------------------------------


def test_a_measurement_is_of_the_present_weights_and_has_no_nan(copies):
    folder = copies["erm"]
    write_measurement(folder, "x.json", {"values": [1.0, float("nan"), {"a": float("inf")}]})
    text = (folder / "x.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["values"] == [1.0, None, {"a": None}]
    assert read_measurement(folder, "x.json")["run"]["label"] == records.read_record(folder)["label"]
    (folder / "x.json").write_text(text[:20])
    assert read_measurement(folder, "x.json") is None
    (folder / "x.json").write_text(text)
    retrain(folder)
    assert read_measurement(folder, "x.json") is None
