"""eval.py: numbers, JSON and pictures of finished runs."""

import json

import pytest

from mixup.commands.evaluate import draw_measurements, evaluate
from mixup.evaluation.between import at_pairs, measure_between
from tests.evaluation.short_runs import opened, retrain


def test_eval_attacks_and_draws(copies, capsys):
    named = (f"run={copies['mixup']}", f"source={copies['erm']}")
    assert evaluate([*named, "attack=fgsm,ifgsm", "eps=1,4", "examples=50"], usage="") == 0
    output = capsys.readouterr().out
    assert "50 of 200 test examples" in output
    assert "black box" in output
    assert "I-FGSM" in output
    assert (copies["mixup"] / "attacks.png").stat().st_size > 10_000
    assert f"written: {copies['mixup'] / 'attacks.json'}\nwritten: {copies['mixup'] / 'attacks.png'}\n" in output
    assert not (copies["erm"] / "attacks.json").exists()


def test_figure_2_says_what_it_is_of(copies, capsys):
    assert evaluate([f"run={copies['erm']}", "between=true", "pairs=30", f"against={copies['mixup']}"], usage="") == 0
    assert "30 pairs" in capsys.readouterr().out
    for name in ("erm", "mixup"):
        values = json.loads((copies[name] / "between.json").read_text())
        assert values["pairs"] == 30
        assert values["seed"] == 0
        for key in ("lam", "miss", "miss_error", "gradient_norm", "gradient_error"):
            assert len(values[key]) == 21
        net = opened(copies[name])
        misses, norms = at_pairs(net, 30)
        assert misses.mean(1).tolist() == pytest.approx(values["miss"])
        assert norms.mean(1).tolist() == pytest.approx(values["gradient_norm"])
    assert (copies["erm"] / "between.png").stat().st_size > 10_000


def test_a_picture_is_drawn_again_where_its_measurement_is_newer(copies):
    folder = copies["erm"]
    assert draw_measurements(folder) == []
    for expected in ([folder / "between.png"], []):
        if expected:
            measure_between(opened(folder), pairs=10)
        assert draw_measurements(folder) == expected
    measure_between(opened(folder), pairs=12)
    assert draw_measurements(folder) == [folder / "between.png"]
    measure_between(opened(folder), pairs=10)
    retrain(folder)
    assert draw_measurements(folder) == [], "of other weights"
