"""Pictures of finished runs: each method in its colour, and the drawings that figures of evidence have."""

from matplotlib.figure import Figure

from mixup.evaluation.corruptions import CORRUPTIONS
from mixup.figures import pictures
from mixup.figures.evaluations import draw_attack
from mixup.figures.panels import Line
from mixup.figures.style import COLOURS
from mixup.ledger.figure2 import read_figure2

ERM, MIXUP = COLOURS["ERM"], COLOURS["mixup"]


def colours(*alphas):
    return [line.colour for line in pictures.run_lines([("run", alpha, {}) for alpha in alphas])]


def test_each_method_has_its_colour_and_no_two_runs_have_one():
    assert colours(0.0, 1.0) == [ERM, MIXUP]
    assert colours(0.2) == [MIXUP]
    assert len(set(colours(0.0, 0.0))) == 2
    assert len(set(colours(1.0, 0.2))) == 2


def test_every_corruption_has_a_name():
    assert pictures.CORRUPTIONS.keys() == CORRUPTIONS.keys()


def test_runs_that_were_attacked_at_different_strengths_share_no_point():
    common = {"attack": "fgsm", "source": "self", "top1_error": 40.0, "top5_error": 10.0}
    line = Line("ERM", COLOURS["ERM"], [{"results": [{**common, "eps": eps}]} for eps in (1.0, 4.0)])
    axes = Figure().subplots()
    draw_attack(axes, line, "fgsm", "white")
    assert not axes.lines


def test_what_is_measured_becomes_pictures(tmp_path):
    results = [
        {"attack": "fgsm", "eps": eps, "source": source, "top1_error": 40.0 + eps, "top5_error": 10.0 + eps}
        for source in ("self", "alpha=0.0,seed=1")
        for eps in (0.0, 4.0)
    ]
    pictures.draw_attacks(tmp_path / "attacks.png", "runs/a,b=1", results)
    values = {"lam": [0.0, 0.5, 1.0], "miss": [1.0, 5.0, 1.0], "miss_error": [0.1] * 3, "gradient_norm": [1.0, 2.0, 1.0]}
    pictures.draw_between(tmp_path / "between.png", [("a", 0.0, values), ("b", 1.0, values)], read_figure2())
    bins = {"confidence": [None, 60.0, 95.0], "accuracy": [None, 50.0, 90.0], "count": [0, 30, 70]}
    measures = {"attacks/fgsm/0": 20.0, "attacks/fgsm/4": 60.0, "corruptions/noise/3": 40.0, "between/miss/0.5": 12.0}
    cards = [{"reliability": bins, "measures": measures}, {"reliability": bins, "measures": {"nll": 0.3}}]
    for number, card in enumerate(cards):
        pictures.draw_card(tmp_path / f"card{number}.png", [("a", 0.0, card), ("b", 1.0, card)])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["attacks.png", "between.png", "card0.png", "card1.png"]
