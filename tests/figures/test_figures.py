"""Figures: from evidence alone, the same bytes each time, the evidence's own numbers, readable on light and dark pages."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import made_up
import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

from mixup.errors import UserError
from mixup.figures import WANTED, all_pictures, missing, write_figures
from mixup.figures.panels import text_width, wrapped
from mixup.figures.sheets import sheets
from mixup.figures.style import COLOURS, INK, PALETTE, STYLE, WIDTH, tidy
from mixup.ledger.evidence import read_evidence
from mixup.ledger.names import net
from mixup.ledger.paper import read_paper

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"
PAGES = {"light": "#ffffff", "dark": "#0d1117"}


@pytest.fixture(scope="module")
def paper():
    return read_paper(RESULTS / "paper.yaml")


@pytest.fixture(scope="module")
def evidence():
    return read_evidence(made_up.everything())


@pytest.fixture(scope="module")
def pictures(evidence, paper):
    return {picture.name: picture for picture in all_pictures(evidence, paper)}


@pytest.fixture(scope="module")
def files(pictures):
    return {name: picture.svg() for name, picture in pictures.items()}


def drawn(picture):
    with matplotlib.rc_context(STYLE):
        return picture.draw()


def of(evidence, experiment, **settings):
    """The runs of an experiment with these settings, a dot written as two underscores."""
    wanted = {key.replace("__", "."): value for key, value in settings.items()}
    runs = [run for run in evidence if run.file.parent.name.removesuffix("-cpu") == experiment]
    return [run for run in runs if all(run.settings[key] == value for key, value in wanted.items())]


@pytest.fixture
def results(tmp_path):
    """A folder that is not there yet."""
    return tmp_path / "results"


# -- which ones ----------------------------------------------------------------------------------------------------------


def test_there_is_a_picture_of_everything_that_was_measured(pictures, evidence):
    assert [*missing(list(pictures.values()))] == ["figure3b_curve"], "of the paper's scale alone"
    kinds = {name.rpartition("-")[0] for name in pictures}
    assert {"figure3_cifar10-curves", "figure3_cifar10-differences", "table2_label_noise-curves"} <= kinds
    assert not {"figure1_toy-curves", "figure2_between-curves", "table4_uci-curves"} & kinds, "they say nothing"
    assert {name.rpartition("-")[2] for name in pictures} == {"cpu", "paper"}


def test_without_evidence_nothing_is_drawn_and_each_is_named_with_its_command(tmp_path, results, capsys):
    assert write_figures(runs=tmp_path / "runs", results=results) == 0
    assert list((results / "figures").iterdir()) == []
    output = capsys.readouterr().out
    assert [*missing([])] == [*WANTED]
    for name, command in missing([]).items():
        assert f"missing: {name}: " in output
        assert command in output


@pytest.mark.long  # of the committed evidence test_generated.py asks the same
def test_another_process_draws_the_same_bytes(results, pictures):
    code = (
        "import sys, pathlib, mixup.figures as figures; runs, results = map(pathlib.Path, sys.argv[1:]); "
        "sys.exit(figures.write_figures(runs=runs, results=results))"
    )
    command = [sys.executable, "-c", code, made_up.everything(), results]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=ROOT)
    files = {name: picture.file() for name, picture in pictures.items()}
    assert {file.stem: file.read_text() for file in (results / "figures").iterdir()} == files
    assert done.stdout.splitlines()[: len(files)] == [f"wrote {results / 'figures' / name}.svg" for name in files]


def test_what_the_evidence_no_longer_makes_goes_and_what_is_not_ours_stays(tmp_path, results, capsys):
    runs, out = tmp_path / "runs", results / "figures"
    shutil.copytree(made_up.everything() / "figure5_gan-cpu", runs / "figure5_gan-cpu")
    write_figures(runs=runs, results=results)
    assert sorted(file.name for file in out.iterdir()) == ["figure5_gan-cpu.svg", "figure5_gan-modes-cpu.svg"]
    (out / "of_somebody.svg").write_text("<svg/>")
    shutil.rmtree(runs)
    write_figures(runs=runs, results=results)
    assert f"removed {out / 'figure5_gan-cpu.svg'}" in capsys.readouterr().out
    assert [file.name for file in out.iterdir()] == ["of_somebody.svg"]


def test_evidence_that_was_changed_by_hand_is_refused(tmp_path, results):
    shutil.copytree(made_up.everything() / "figure2_between-cpu", tmp_path / "runs" / "figure2_between-cpu")
    file = sorted(tmp_path.glob("runs/*/*.json"))[0]
    record = json.loads(file.read_text())
    record["test"]["top1_error"]["last"] -= 1
    file.write_text(json.dumps(record))
    with pytest.raises(UserError, match=rf"{re.escape(str(file))}: .*its test top1_error"):
        write_figures(runs=tmp_path / "runs", results=results)
    assert not (results / "figures").exists()


# -- what they show ------------------------------------------------------------------------------------------------------


def test_each_says_in_words_what_to_see_and_what_is_seen(pictures, evidence):
    assert all(picture.says.count(". ") >= 2 for picture in pictures.values())
    misses = [run.evaluations["between"]["miss"][10] for run in of(evidence, "figure2_between", mixup__alpha=0.0)]
    assert f"At λ = 1/2 ERM has {np.mean(misses):.2f} % misses" in pictures["figure2_between-cpu"].says


def test_networks_that_do_not_fit_have_no_learning_curves(tmp_path, paper):
    """They have not come to where curves part."""
    files = made_up.make_runs(tmp_path, "experiment=figure3_cifar10", "scale=cpu", "model=preact_resnet18")
    assert "figure3_cifar10-curves-cpu" in {picture.name for picture in all_pictures(read_evidence(tmp_path), paper)}
    for file in (file.with_suffix(".csv") for file in files):
        header, *rows = csv.reader(file.read_text().splitlines())
        table = [[*header, "train_eval_top1_error"], *([*row, "40.0"] for row in rows)]
        file.write_text("\n".join(map(",".join, table)) + "\n")
    assert not [p for p in all_pictures(read_evidence(tmp_path), paper) if "curves" in p.name]


def test_learning_curves_are_the_mean_over_seeds_of_the_evidences_own(pictures, evidence):
    figure = drawn(pictures["figure3_cifar10-curves-cpu"])
    errors, losses = figure.axes[:2]
    for axes, column in ((errors, "test_top1_error"), (losses, "train_excess_loss")):
        lines = {line.get_label(): line.get_ydata() for line in axes.lines}
        for label, alpha in (("ERM", 0.0), ("mixup, alpha 1", 1.0)):
            runs = of(evidence, "figure3_cifar10", mixup__alpha=alpha, model__name="densenet")
            assert len(runs) == 2
            assert lines[label] == pytest.approx(np.mean([run.curve[column] for run in runs], 0))
    assert losses.get_yscale() == "log"
    falls = [line.get_xdata()[0] for line in errors.lines if line.get_linestyle() == ":"]
    assert falls == of(evidence, "figure3_cifar10", model__name="densenet")[0].settings["optim.milestones"]


def test_figure_2_has_ours_and_the_digitised_values_of_the_paper(pictures, evidence):
    with open(RESULTS / "paper" / "figure2.csv") as stream:
        rows = list(csv.DictReader(stream))
    figure = drawn(pictures["figure2_between-cpu"])
    panels = zip(figure.axes[:2], figure.axes[2:], ("miss", "gradient_norm"), ("miss_pct", "gradnorm"), strict=True)
    for *both, measure, column in panels:
        lines = {line.get_label(): line for axes in both for line in axes.lines}
        ours = [run.evaluations["between"][measure] for run in of(evidence, "figure2_between", mixup__alpha=0.0)]
        assert lines["ERM"].get_ydata() == pytest.approx(np.mean(ours, 0))
        for method, name in (("ERM", "erm"), ("mixup", "mixup")):
            line = lines[f"{method} in the paper"]
            assert line.get_ydata() == pytest.approx([float(row[f"{column}_{name}"]) for row in rows])
            assert line.get_linestyle() == "--"
            assert line.get_linewidth() < lines["ERM"].get_linewidth()


def test_figure_1_has_class_1_inside_in_orange_and_erm_left(pictures):
    figure = drawn(pictures["figure1_toy-paper"])
    assert [axes.get_title("left") for axes in figure.axes[:2]] == ["ERM", "mixup, alpha 1"]
    for axes in figure.axes[:2]:
        places = {to_hex(patch.get_edgecolor()): patch.get_path().vertices for patch in axes.patches}
        radius = {colour: np.hypot(*points.T).mean() for colour, points in places.items()}
        assert radius["#e07b1a"] < 0.5 < radius["#2e8b57"]


def test_noise_bars_are_the_means_with_a_dot_a_seed(pictures, evidence):
    figure = drawn(pictures["table2_label_noise-bars-cpu"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["20 % of labels replaced", "50 % of labels replaced"]
    (axes,) = figure.axes[1:]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["ERM, dropout 0.5", "mixup, alpha 32", "mixup, alpha 8", "ERM"]
    widths = [bar.get_width() for bar in axes.patches[:2]]  # ERM + dropout: last, best
    settings = {"data__label_noise": 0.5, "mixup__alpha": 0.0, "model__dropout": 0.5}
    errors = [run.record["test"]["top1_error"] for run in of(evidence, "table2_label_noise", **settings)]
    assert widths == pytest.approx([np.mean([one[name] for one in errors]) for name in ("last", "best")])
    assert sorted(axes.lines[0].get_xdata()) == sorted(one["last"] for one in errors)
    assert all(len(line.get_xdata()) == 3 for line in axes.lines)


def test_differences_are_of_pairs_of_one_seed(pictures, evidence):
    (axes,) = drawn(pictures["alpha_sweep-differences-cpu"]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mixup, alpha 1", "mixup, alpha 0.2"]

    def errors(alpha):
        runs = of(evidence, "alpha_sweep", mixup__alpha=alpha)
        return {run.seed: run.record["test"]["top1_error"]["last10_median"] for run in runs}

    erm = errors(0.0)
    for y, alpha in enumerate((1.0, 0.2)):
        expected = [value - erm[seed] for seed, value in sorted(errors(alpha).items())]
        lines = {line.get_marker(): line.get_xdata() for line in axes.lines if line.get_ydata()[0] == y}
        assert list(lines["|"]) == expected
        assert list(lines["o"]) == [pytest.approx(np.mean(expected))]


def test_several_nets_of_one_method_are_one_panel_of_their_names(pictures):
    (axes,) = drawn(pictures["figure3_cifar10-differences-cpu"]).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["PreAct ResNet-18 of width 16", "DenseNet-BC-16 (k=12)"]


def test_attacks_keep_the_white_box_and_the_black_box_apart(pictures, evidence):
    figure = drawn(pictures["table3_adversarial-attacks-cpu"])
    panels = {axes.get_title("left"): axes for axes in figure.axes}
    assert list(panels) == [f"{name}, {box} box" for box in ("white", "black") for name in ("FGSM", "I-FGSM", "PGD")]
    runs = of(evidence, "table3_adversarial", mixup__alpha=0.0)
    for box in ("white", "black"):
        measured = [[r for r in run.evaluations["attacks"]["results"] if r["attack"] == "pgd"] for run in runs]
        counted = [[r for r in one if r["source_hash"] != made_up.STRANGER] for one in measured]
        found = [[r["top1_error"] for r in one if (r["source"] == "self") == (box == "white")] for one in counted]
        assert panels[f"PGD, {box} box"].lines[0].get_ydata() == pytest.approx(np.mean(found, 0))


def test_calibration_pools_the_bins_of_all_seeds(pictures, evidence):
    diagram, errors = drawn(pictures["report_card-calibration-cpu"]).axes
    runs = of(evidence, "report_card", mixup__alpha=0.0)
    bins = [run.evaluations["card"]["reliability"] for run in runs]
    count = np.sum([one["count"] for one in bins], 0)
    pooled = sum(one["count"][7] * one["accuracy"][7] for one in bins) / count[7]
    line = next(line for line in diagram.lines if line.get_label() == "ERM")
    assert len(line.get_ydata()) == 14, "the empty bin has no place"
    assert line.get_ydata()[6] == pytest.approx(pooled)
    assert any(isinstance(artist, PathCollection) for artist in diagram.collections)
    assert sorted(errors.lines[0].get_ydata()) == sorted(run.evaluations["card"]["measures"]["ece"] for run in runs)


def test_the_gans_samples_are_of_the_seed_that_has_them_and_its_curves_of_all(pictures, evidence):
    samples = drawn(pictures["figure5_gan-cpu"])
    assert [axes.get_title() for axes in samples.axes[:5]] == [f"iteration {n:,}" for n in (10, 100, 1000, 10_000, 20_000)]
    assert "1 of 8 modes" in {axes.get_xlabel() for axes in samples.axes}
    assert "seed 0" in pictures["figure5_gan-cpu"].description
    modes = drawn(pictures["figure5_gan-modes-cpu"]).axes[0]
    runs = [run for run in evidence if run.config.gan and run.record["alpha"] == 0]
    assert modes.lines[0].get_ydata() == pytest.approx(np.mean([run.curve["test_modes"] for run in runs], 0))


# -- which runs belong together ------------------------------------------------------------------------------------------


def test_seeds_that_draw_their_own_split_are_one_cell(evidence, paper):
    (sheet,) = [sheet for sheet in sheets(evidence, paper) if sheet.experiment == "table4_uci"]
    assert [(sheet.name(cell), len(cell.runs)) for cell in sheet.cells] == [("ERM", 2), ("mixup, alpha 0.2", 2)]


def test_scales_and_provenances_never_share_a_panel(tmp_path, paper):
    made_up.make_runs(tmp_path, "experiment=figure3_cifar10", "model=preact_resnet18", "mixup=erm")
    made_up.make_runs(tmp_path, "experiment=figure3_cifar10", "model=preact_resnet18", "mixup=erm", "scale=cpu")
    official = made_up.make_runs(tmp_path / "other", "experiment=figure3_cifar10", "model=preact_resnet18", "mixup=erm")
    record = json.loads(official[0].read_text())
    record["data"]["provenance"] = "CIFAR-10"
    (tmp_path / "figure3_cifar10" / "other.json").write_text(json.dumps(record))
    shutil.copy(official[0].with_suffix(".csv"), tmp_path / "figure3_cifar10" / "other.csv")
    panels = [(sheet.scale, cells) for sheet in sheets(read_evidence(tmp_path), paper) for cells in sheet.panels.values()]
    assert [len({(cell.provenance, net(cell.settings)) for cell in cells}) for _, cells in panels] == [1, 1, 1]
    assert {(scale, cells[0].provenance, net(cells[0].settings)) for scale, cells in panels} == {
        ("cpu", "CIFAR-10 (JPEG copy)", "PreAct ResNet-18 of width 16"),
        ("paper", "CIFAR-10 (JPEG copy)", "PreAct ResNet-18"),
        ("paper", "CIFAR-10", "PreAct ResNet-18"),
    }


def test_dropout_is_a_method_unless_it_is_the_nets_own(tmp_path, evidence, paper):
    made_up.make_runs(tmp_path, "experiment=figure4_speech", "model=speech_lenet", "mixup.alpha=0,0.1", seeds=1)
    (speech,) = sheets(read_evidence(tmp_path), paper)
    assert [speech.name(cell) for cell in speech.cells] == ["ERM", "mixup, alpha 0.1"], "LeNet has its own dropout"
    (noisy,) = [sheet for sheet in sheets(evidence, paper) if sheet.experiment == "table2_label_noise"]
    assert "ERM, dropout 0.5" in {noisy.name(cell) for cell in noisy.cells}


def test_a_run_at_a_small_scale_that_repeats_one_of_the_papers_is_drawn_once(tmp_path, paper):
    for scale in ("paper", "cpu"):
        made_up.make_runs(tmp_path, "experiment=figure1_toy", f"scale={scale}", measured="surface")
    for file in tmp_path.glob("figure1_toy-cpu/*.json"):
        record, twin = (json.loads(path.read_text()) for path in (file, paper_twin(tmp_path, file)))
        file.write_text(json.dumps({**record, "test": twin["test"]}))
    assert [sheet.scale for sheet in sheets(read_evidence(tmp_path), paper, "surface")] == ["paper"]


def paper_twin(folder, file):
    """The run of the paper's scale with the same method and seed."""
    label = json.loads(file.read_text())["label"]
    (twin,) = [path for path in folder.glob("figure1_toy/*.json") if json.loads(path.read_text())["label"] == label]
    return twin


# -- how they look -------------------------------------------------------------------------------------------------------


def test_every_file_is_a_vector_with_title_scale_seeds_and_no_link_to_anywhere(files):
    for name, text in files.items():
        root = ElementTree.fromstring(text)
        title = root.find("{http://www.w3.org/2000/svg}title").text
        assert name.rpartition("-")[2] + " scale" in title, name
        assert re.search(r"\bn=\d|seed \d", title), name
        for word in ("<image", "<metadata", "DOCTYPE", "Matplotlib", "<script", "<style"):
            assert word not in text, name
        assert not re.search(r"(href|src)=\"(?!#)", text), name


def test_ids_are_no_other_figures_so_that_a_page_can_hold_all(files):
    ids = [id for text in files.values() for id in re.findall(r'\bid="([^"]+)"', text)]
    assert len(ids) == len(set(ids))
    for text in files.values():
        used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', text))
        assert used <= set(re.findall(r'\bid="([^"]+)"', text))


def test_backgrounds_are_transparent_and_text_is_in_the_ink(files):
    for name, text in files.items():
        whole = ElementTree.fromstring(text).find(".//{http://www.w3.org/2000/svg}path")
        assert whole.get("style") == "fill: none", name
        for style in re.findall(r'<text [^>]*style="([^"]*)"', text):
            assert f"fill: var(--ink, {INK})" in style, name


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_ink_and_lines_stand_out_from_light_and_dark_pages(page):
    assert contrast(INK, page) >= 4
    for colour in (*COLOURS.values(), *PALETTE):
        assert contrast(colour, page) >= 3, colour


def test_letters_are_seven_pixels_high_at_half_the_usual_width(files):
    """Shown 427 px wide, half of what a README has for it: 1 px is 1.5 of the drawing's points."""
    shown = 427 / (72 * WIDTH)
    for name, text in files.items():
        sizes = [float(size) for size in re.findall(r"font(?:-size)?: (?:[a-z0-9]+ )*([\d.]+)px", text)]
        assert sizes, name
        assert min(sizes) * shown >= 5, name
        assert np.median(sizes) * shown >= 7, name


def test_captions_are_wrapped_by_width():
    text = "WWWWWWWW iiiiiiii " * 20
    lines = wrapped(text, 4.0)
    assert " ".join(lines) == text.strip()
    assert all(text_width(line) <= 4.0 for line in lines)
    assert all(text_width(f"{line} {following.split()[0]}") > 3.9 for line, following in pairwise(lines))


def test_tidy_rounds_coordinates_and_no_words():
    before = '<?xml?>\n<svg width="1"><g id="x"><path id="m1" d="M -0.0012345 1.00501 L 10.123456 -2.5"/><use href="#m1"/>'
    text = tidy(before + "<text>0.0001</text></g></svg>", "name", "a <b>")
    assert '<path id="name-1" d="M 0 1.01 L 10.1 -2.5"/><use href="#name-1"/>' in text
    assert "<text>0.0001</text>" in text
    assert "<title>a &lt;b&gt;</title>" in text
    assert "<g>" not in text, "a group without attributes changes nothing"


def test_a_dot_is_short_and_groups_that_clip_stay():
    path = '<path id="a" d="M 1 2 \nL 1 2 \nM 3 4 \nL 3 5 \n"/>'
    text = tidy(f'<?xml?>\n<svg width="1"><g clip-path="url(#a)"><g>{path}</g></g><g/></svg>', "name", "a")
    assert 'd="M1 2h0\nM 3 4\n3 5\n"' in text
    assert text.count("<g") == 2
    assert text.count("</g>") == 1


def test_neither_torch_nor_pyplot_is_needed():
    code = "import sys, mixup.figures, mixup.pages.build; assert not {'torch', 'matplotlib.pyplot'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
