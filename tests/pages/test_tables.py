"""From evidence to tables: each verdict by its rule, what stands apart, what is refused, and that nothing else changes."""

import json
import re
import shutil
from functools import partial
from pathlib import Path

import pytest
from ledger_factory import commit_cell, commit_run, composed, config_of, edit, make_game, make_run

from mixup.commands.redo import grid, planned_seeds, recipes
from mixup.errors import UserError
from mixup.evaluation.measurements import write_measurement
from mixup.ledger.cells import SAMPLES, Cell, cells_of
from mixup.ledger.evidence import Evidence, read_evidence
from mixup.ledger.groups import telling_keys
from mixup.ledger.metrics import LAST, metric_of
from mixup.ledger.paper import read_paper
from mixup.ledger.verdicts import build, checked
from mixup.pages import build as building
from mixup.pages import texts
from mixup.pages.build import BEGIN, END, with_block
from mixup.run.identity import config_hash

ROOT = Path(__file__).resolve().parents[2]
PAPER = read_paper(ROOT / "results" / "paper.yaml")
RECIPES = recipes(PAPER)
FIGURE3 = "experiment=figure3_cifar10"
ERM, MIXUP = (FIGURE3, "mixup=erm"), (FIGURE3, "mixup=mixup")
JPEG = {"provenance": "CIFAR-10 (JPEG copy)"}


def pages(folder: Path, *, allow_dirty: bool = False) -> dict[str, str]:
    evidence = checked(read_evidence(folder / "results" / "runs"), allow_dirty=allow_dirty)
    return building.pages(build(PAPER, evidence, RECIPES))


def line(page: str, *words: str) -> list[str]:
    """The cells of the one table line that has all of these, what stands above filled in."""
    found = [row for row in filled(page) if all(word in row for word in words)]
    assert len(found) == 1, (words, found)
    return found[0]


def absent(page: str) -> str:
    """The folded part with the numbers that are not run."""
    return page.partition("<summary>Not run: ")[2].partition("</details>")[0]


def filled(page: str) -> list[list[str]]:
    rows: list[list[str]] = []
    for text in page.splitlines():
        if text.startswith("|") and not text.startswith("|--"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", text)[1:-1]]
            above = rows[-1] if rows else cells
            same = len(above) == len(cells)
            rows.append([cell or (above[place] if same else "") for place, cell in enumerate(cells)])
    return rows


def section(page: str, title: str) -> str:
    """From a heading to the next one of its level or above, or to what is folded."""
    level = title.split()[0]
    return re.split(rf"\n#{{1,{len(level)}}} |\n<details>", page.split(f"\n{title}\n")[1])[0]


# -- verdicts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("erm", "mixup", "verdict", "claim"),
    [
        ([5.5, 5.6, 5.7], [4.15, 4.2, 4.25], "reproduced (n=3)", "direction holds (n=3)"),  # equal
        ([5.5, 5.6, 5.75], [3.0, 3.1, 3.2], "direction holds (n=3)", "direction holds (n=3)"),  # better than the paper's
        ([5.5, 5.6, 5.75], [6.0, 6.1, 6.2], "not reproduced (n=3)", "not reproduced (n=3)"),  # worse than ERM
        ([5.5, 5.6, 5.7], [3.2, 4.2, 5.2], "undecided (n=3)", "undecided (n=3)"),
        ([5.5, 5.6], [4.15, 4.25], "too few seeds (n=2)", "too few seeds (n=2)"),
        ([], [4.15, 4.2, 4.25], "reproduced (n=3)", "not run"),
        ([5.5, 5.6, 5.7], [], "not run", "not run"),
    ],
)
def test_each_verdict_by_its_rule(tmp_path, erm, mixup, verdict, claim):
    commit_cell(tmp_path, *ERM, errors=erm)
    commit_cell(tmp_path, *MIXUP, errors=mixup)
    page = pages(tmp_path)["figure3_cifar10.md"]
    found = line(page if mixup else absent(page), "PreAct ResNet-18", "mixup, alpha 1", "4.2")
    assert found[2] == "4.2"
    if mixup:
        assert (found[5], found[6]) == (verdict, "2.0 h, NVIDIA H100")
    else:
        assert found[3:] == ["4 min", "4.24 hongyi-zhang/mixup, 4.17 tensorpack, 4.47 leehomyc/mixup_pytorch"]
    if claim == "not run":
        assert "## Claims of the paper" not in page
    else:
        assert line(section(page, "## Claims of the paper"), "PreAct ResNet-18, ERM")[-1] == claim
    reason = f"* PreAct ResNet-18, mixup, alpha 1, test error, median of last 10 epochs: {verdict}; "
    assert (reason in page) == bool(mixup)


def test_a_line_in_full(tmp_path):
    commit_cell(tmp_path, *ERM, errors=[5.5, 5.6, 5.7])
    commit_cell(tmp_path, *MIXUP, "trainer.precision=bfloat16", errors=[4.1, 4.2, 4.3, 4.4], world_size=2)
    page = pages(tmp_path)["figure3_cifar10.md"]
    assert line(section(page, "## The paper's numbers and ours"), "PreAct ResNet-18", "mixup, alpha 1") == [
        "PreAct ResNet-18",
        "mixup, alpha 1",
        "4.2",
        "4.25 ± 0.13 (n=4)",
        "-1.40",  # of the three common seeds; equal differences have no interval
        "reproduced (n=4)",
        "2.0 h, 2 x NVIDIA H100, bfloat16",
        "4.24 hongyi-zhang/mixup, 4.17 tensorpack, 4.47 leehomyc/mixup_pytorch",
    ]
    assert line(section(page, "## Claims of the paper"), "PreAct ResNet-18, ERM")[3:6] == [
        "4.2 < 5.6",
        "-1.40",
        "-1.40 -1.40 -1.40",
    ]
    assert "[2](runs/figure3_cifar10/alpha=0.0,seed=2-" in page
    assert "commit 0123456" in page


def test_what_is_missing_unverified_quoted_or_chosen_on_test_data_is_marked(tmp_path):
    found = pages(tmp_path)
    assert line(found["figure3_cifar10.md"], "DenseNet-BC-190", "ERM")[2:] == ["3.7", "3.7 h", "-"]
    assert line(found["table5_ablation.md"], "SC + RP", "0.0001")[3:] == ["5.23 (unverified)", "4 min"]
    table2 = absent(found["table2_label_noise.md"])
    best = "test error, best (chosen on test data)"
    assert line(table2, "20 % corrupted", "ERM", best)[3] == "12.7"
    assert line(table2, "20 % corrupted", "mixup, alpha 4, dropout 0.1", best)[3] == "6.2 (settings unverified)"
    assert line(absent(found["table1_imagenet.md"]), "ResNet-50", "90 epochs", "ERM")[4] == "23.5 (quoted)"
    counts = [
        int(re.search(r"Not run: (\d+) numbers of the paper", text)[1]) for text in found.values() if "Not run:" in text
    ]
    assert sum(counts) == 191


def test_every_table_of_the_paper_has_a_page_and_a_line_in_the_overview(tmp_path):
    found = pages(tmp_path)
    assert found.keys() == {f"{name}.md" for name, paper in PAPER.items() if paper.rows} | {"README.md"}
    assert line(found["README.md"], "[Table 2: CIFAR-10 with corrupted training labels](table2_label_noise.md)")[1] == "48"
    assert line(found["README.md"], "mixup is clearly best")[-2:] == ["20", "20 not run"]
    assert "p(class 1 \\| x)" in found["README.md"]  # a bar would end the cell


def test_a_value_over_epochs_and_a_range(tmp_path):
    """Figure 3(b) reads the DenseNet of figure 3(a); epochs 86 to 99 have a range in place of a number."""
    files = commit_cell(tmp_path, FIGURE3, "model=densenet", "mixup=erm", errors=[3.7, 3.8, 3.9])
    run = read_evidence(tmp_path / "results" / "runs")[0]
    read = partial(metric_of("test.top1_error").read, run, "test.top1_error")
    assert read("epoch_110") == 80.0
    assert read("epochs_180_200") == pytest.approx((11 * 80 + 10 * 3.7) / 21)
    assert read("epochs_190_201") is None  # it has 200
    page = section(pages(tmp_path)["figure3b_curve.md"], "## The paper's numbers and ours")
    assert line(page, "ERM", "test error, median of last 10 epochs")[4] == "-"
    assert line(page, "ERM", "test error, median of last 10 epochs")[5].startswith("reproduced")
    assert line(page, "ERM", "test error, epochs 86 to 99")[2] == "7.5 to 8.5"
    assert len(files) == 3
    assert "## Not comparable" not in page


# -- what stands apart ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "changed", "title"),
    [
        ((), JPEG, "CIFAR-10 (JPEG copy)"),
        (("model.width=32",), {}, "CIFAR-10, another recipe"),  # nothing in paper.yaml has the width
        (("optim.milestones=[50,75]",), {}, "CIFAR-10, another recipe"),
        (("data.train_size=1000",), {}, "CIFAR-10, another recipe"),
        (("scale=cpu",), {}, "CIFAR-10, cpu scale"),
        (("scale=cpu",), JPEG, "CIFAR-10 (JPEG copy), cpu scale"),
        (
            (),
            {"data": {"provenance": "CIFAR-10", "absent": {"test": 3}, "unreadable": {}}},
            "CIFAR-10, files missing",
        ),
    ],
)
def test_what_is_not_comparable_stands_apart(tmp_path, overrides, changed, title):
    commit_cell(tmp_path, *ERM, *overrides, errors=[5.5, 5.6, 5.7], **changed)
    commit_cell(tmp_path, *MIXUP, *overrides, errors=[4.1, 4.2, 4.35], **changed)
    page = pages(tmp_path)["figure3_cifar10.md"]
    assert line(absent(page), "PreAct ResNet-18", "mixup, alpha 1")[2] == "4.2"
    assert "## The paper's numbers and ours" not in page
    assert "## Claims of the paper" not in page
    apart = section(page, f"### {title}")
    found = line(apart, "mixup, alpha 1", "4.22 ± 0.13 (n=3)")
    assert found[3:6] == ["-1.40 -1.40 -1.35", "4.2", "clearly as claimed"]
    assert "reproduced" not in apart.partition("<details>")[0]
    assert "direction holds" not in apart.partition("<details>")[0]


def test_a_claim_that_small_runs_cannot_tell(tmp_path):
    commit_cell(tmp_path, *ERM, "scale=cpu", errors=[5.5, 5.6, 5.7], **JPEG)
    commit_cell(tmp_path, *MIXUP, "scale=cpu", errors=[5.9, 6.0, 5.65], **JPEG)
    page = pages(tmp_path)["figure3_cifar10.md"]
    assert line(page, "mixup, alpha 1", "5.85 ± 0.18 (n=3)")[3:6] == ["+0.40 +0.40 -0.05", "4.2", "cannot tell"]


def test_the_claim_that_mixup_is_worse_is_looked_for_as_such(tmp_path):
    """LeNet on speech: section 3.3 has mixup worse, and VGG-11 better."""
    cpu = ("experiment=figure4_speech", "scale=cpu", "data=speech_commands_v2")
    for model in ("speech_lenet", "vgg11"):
        for alpha, errors in ((0, [10.0, 11.0, 12.0]), (0.1, [11.0, 12.1, 13.0])):
            commit_cell(tmp_path, *cpu, f"model={model}", f"mixup.alpha={alpha}", errors=errors, provenance="ten words")
    page = section(pages(tmp_path)["figure4_speech.md"], "### ten words, cpu scale")
    assert line(page, "LeNet", "mixup, alpha 0.1")[-2] == "clearly as claimed"
    assert line(page, "VGG-11 of width 8", "mixup, alpha 0.1")[-2] == "clearly opposite"
    assert line(page, "VGG-11 of width 8", "mixup, alpha 0.1")[-3] == "3.8 on Speech Commands v0.01"


def test_table_2_apart_has_best_last_and_train_errors_and_its_other_claims(tmp_path):
    cpu = ("experiment=table2_label_noise", "scale=cpu", "data.label_noise=0.5")
    cells = {"erm": ([60, 61, 62], 2.0), "[erm,dropout_0.3]": ([40, 41, 43], 70.0), "mixup_32": ([38, 40, 41], 80.0)}
    for method, (errors, memorised) in cells.items():
        train = {"real_label_error": 3.5, "corrupted_label_error": memorised}
        commit_cell(tmp_path, *cpu, f"experiment/table2={method}", errors=errors, train=train, **JPEG)
    page = section(pages(tmp_path)["table2_label_noise.md"], "### CIFAR-10 (JPEG copy), cpu scale")
    found = line(page, "mixup, alpha 32", "80.00 ± 0.00 (n=3)")
    assert found[:5] == ["mixup, alpha 32", *["39.67 ± 1.53 (n=3)"] * 2, "3.50 ± 0.00 (n=3)", "80.00 ± 0.00 (n=3)"]
    assert found[7] == "12.7"
    assert line(page, "ERM, dropout 0.3", "41.33 ± 1.53 (n=3)")[7] == "15.5 at dropout 0.8"
    assert line(page, "mixup better than dropout", "test error, last epoch")[-1] == "clearly as claimed"
    assert line(page, "ERM memorises more of the corrupted labels than mixup")[-2] == "-78.00"


def test_many_measures_have_a_line_each(tmp_path):
    for mixup, height in (("erm", 20.0), ("mixup", 8.0)):
        for seed in (0, 1):
            run = make_run(tmp_path / "runs", "experiment=figure2_between", "scale=cpu", f"mixup={mixup}", seed=seed, **JPEG)
            lams = [step / 20 for step in range(21)]
            flat = {"lam": lams, "gradient_norm": [0.01] * 21, "pairs": 1000}
            write_measurement(run, "between.json", {**flat, "miss": [height + seed + lam for lam in lams]})
            commit_run(tmp_path / "results" / "runs", run)
    page = section(pages(tmp_path)["figure2_between.md"], "### CIFAR-10 (JPEG copy), cpu scale")
    assert line(page, "mixup, alpha 1", "misses at lambda 1/2")[2:7] == [
        *("9.00 ± 0.71 (n=2)", "-12.00", "-12.00 -12.00", "6.04"),
        "cannot tell",
    ]
    assert line(page, "ERM", "gradient norm at lambda 0")[2] == "0.0100 ± 0.0000 (n=2)"


def test_adversarial_errors_of_both_boxes(tmp_path):
    run = make_run(tmp_path / "runs", "experiment=table3_adversarial", "scale=cpu", "mixup=mixup")
    common = {"attack": "fgsm", "top5_error": 30.0}

    def erm(seed: int) -> str:
        return config_hash(config_of("experiment=table3_adversarial", "scale=cpu", "mixup=erm", seed=seed))

    results = [
        {**common, "eps": 4.0, "source": "self", "top1_error": 90.0},
        {**common, "eps": 8.0, "source": "self", "top1_error": 99.0},
        {**common, "eps": 4.0, "source": "alpha=0.0,seed=0", "source_hash": erm(0), "top1_error": 50.0},  # of the same seed
        {**common, "eps": 4.0, "source": "alpha=0.0,seed=2", "source_hash": erm(2), "top1_error": 55.0},  # of a later seed
        {**common, "eps": 4.0, "source": "alpha=0.0,seed=1", "source_hash": "2" * 8, "top1_error": 2.0},  # a namesake
        {**common, "eps": 4.0, "source": "alpha=0.0,seed=1", "source_hash": erm(1), "top1_error": 60.0},
        {**common, "eps": 4.0, "source": "model=wrn28,alpha=0.0,seed=1", "source_hash": "0" * 8, "top1_error": 1.0},
        {**common, "eps": 4.0, "source": "alpha=0.2,seed=1", "source_hash": "1" * 8, "top1_error": 10.0},  # of no ERM net
        {**common, "eps": 4.0, "source": "self", "top1_error": 95.0, "attack": "ifgsm"},
    ]
    write_measurement(run, "attacks.json", {"examples": 100, "results": results})
    commit_run(tmp_path / "results" / "runs", run)
    page = section(pages(tmp_path)["table3_adversarial.md"], "## Not comparable").partition("<details>")[0]
    assert line(page, "white box, FGSM, top-1")[2] == "90.00 (n=1)"
    assert line(page, "black box, FGSM, top-1")[2] == "60.00 (n=1)", "of the ERM run of the next seed alone"


def test_seeds_that_the_grid_has_and_the_evidence_lacks_are_said(tmp_path):
    commit_cell(tmp_path, "experiment=table4_uci", "data=iris_uci", "mixup=erm", errors=[20.0, 22.0, 24.0, 21.0, 20.5])
    evidence = read_evidence(tmp_path / "results" / "runs")
    page = building.pages(build(PAPER, evidence, RECIPES, planned_seeds))["table4_uci.md"]
    assert "21.50 ± 1.58 (n=5 of 10 planned)" in page
    assert not planned_seeds("my_own", {})


def test_a_seed_that_is_not_planned_hides_none_that_is():
    test = {"top1_error": {"last": 1.0}}
    cell = Cell(tuple(Evidence({"seed": seed, "test": test}, {}, {}, Path()) for seed in (0, 1, 7)))
    assert texts.measured(cell, LAST, frozenset(range(3))) == "1.00 ± 0.00 (n=3, 2 of 3 planned)"
    assert texts.measured(cell, LAST, frozenset((0, 1, 7))) == "1.00 ± 0.00 (n=3)"
    assert texts.measured(cell, LAST, frozenset((0, 1))) == "1.00 ± 0.00 (n=3)"


@pytest.mark.parametrize(("experiment", "seeds"), [("table1_imagenet_200", {0}), ("table3_adversarial", {0, 1})])
def test_the_plan_of_a_cell_is_found_in_whichever_sweep_has_it(experiment, seeds):
    """Table 1 takes two sweeps."""
    cell = grid(experiment, "paper")[0]
    assert planned_seeds(cell.config.name, cell.settings) == seeds


@pytest.mark.parametrize(("name", "key"), SAMPLES)
def test_runs_of_a_cell_that_are_measured_on_different_numbers_of_examples_are_refused(tmp_path, name, key):
    for seed, count in ((0, 1000), (1, 10)):
        run = make_run(tmp_path / "runs", "experiment=figure2_between", "scale=cpu", "mixup=erm", seed=seed, **JPEG)
        write_measurement(run, f"{name}.json", {key: count})
        commit_run(tmp_path / "results" / "runs", run)
    with pytest.raises(UserError, match=rf"are of one cell, and their {name} of 1000 and 10 {key}: measure both alike"):
        cells_of(read_evidence(tmp_path / "results" / "runs"))


def test_seeds_that_draw_their_own_split_are_pairs(tmp_path):
    uci = ("experiment=table4_uci", "data=iris_uci")
    commit_cell(tmp_path, *uci, "mixup=erm", errors=[20.0, 22.0, 24.0])
    commit_cell(tmp_path, *uci, "mixup=mixup", errors=[17.0, 19.5, 20.0])
    runs = read_evidence(tmp_path / "results" / "runs")
    assert [len(cell.runs) for cell in cells_of(runs)] == [3, 3]
    assert {Cell((run,)).label for run in runs} == {"data=iris_uci,alpha=0.0", "data=iris_uci,alpha=0.2"}
    page = section(pages(tmp_path)["table4_uci.md"], "## The paper's numbers and ours")
    found = line(page, "Iris", "mixup, alpha 0.2")
    assert found[4] == "-3.17 [-5.57, -0.77]", "wider by sqrt(1 + 3 * 10,000 / 50,000)"
    assert found[5] == "recipe not stated"
    claims = section(pages(tmp_path)["table4_uci.md"], "## Claims of the paper")
    assert line(claims, "Iris, mixup, alpha 0.2")[-1] == "recipe not stated"


def test_a_cell_on_a_second_draw_of_the_data_is_a_cell_of_its_own(tmp_path):
    for number in (0, 1):
        commit_cell(tmp_path, "experiment=quickstart", f"data.seed={number}", errors=[5.0, 6.0, 7.0])
    assert [len(cell.runs) for cell in cells_of(read_evidence(tmp_path / "results" / "runs"))] == [3, 3]


def test_columns_are_what_varies(tmp_path):
    for overrides in (("mixup=erm",), ("mixup=mixup",), ("mixup=mixup", "model=wrn28")):
        commit_cell(tmp_path, FIGURE3, "scale=cpu", *overrides, errors=[5.0], **JPEG)
    found = telling_keys(cells_of(read_evidence(tmp_path / "results" / "runs")))
    assert found == ["model.name", "mixup.alpha"]  # not depth, width and milestones, which go with the net


def test_rows_that_say_their_method_name_the_cells(tmp_path):
    """Table 5, at one weight decay: by the paper's names, in its order."""
    ablation = ("experiment=table5_ablation", "scale=cpu")
    mixups = ("{alpha:1,layer:stem}", "{alpha:1}", "{alpha:0}")
    for mixup in mixups:
        commit_cell(tmp_path, *ablation, f"mixup={mixup}", errors=[40.0, 41.0], **JPEG)
    page = section(pages(tmp_path)["table5_ablation.md"], "### CIFAR-10 (JPEG copy), cpu scale")
    names = [row[0] for row in filled(page)][1:4]
    latent = "mix labels and latent representations, layer 1, weight decay 0.0001"
    assert names == ["ERM, weight decay 0.0001", "mixup, AC + RP, weight decay 0.0001", latent]
    assert line(page, "mixup is clearly best")[1:3] == names[1:]


def test_beside_the_paper(tmp_path):
    for mixup in ("erm", "mixup", "timm"):
        commit_cell(tmp_path, "experiment=semantics", f"mixup={mixup}", errors=[5.0, 5.5], **JPEG)
    commit_cell(tmp_path, "experiment=dirichlet", "mixup.ways=2", errors=[5.0, 5.5], **JPEG)
    commit_cell(tmp_path, "experiment=dirichlet", "mixup.ways=3", errors=[4.0, 5.0], **JPEG)
    commit_cell(tmp_path, "name=my_own", errors=[5.0])
    commit_cell(tmp_path, "experiment=quickstart", errors=[5.0])
    found = pages(tmp_path)
    assert {"semantics.md", "dirichlet.md", "my_own.md"} <= found.keys()
    assert "quickstart.md" in found
    assert [row[0] for row in filled(found["semantics.md"])] == ["system", "ERM", "timm", "the paper's"]
    assert line(found["dirichlet.md"], "mixup, alpha 1, mixtures of 3")[1:5] == [
        "4.50 ± 0.71 (n=2)",
        *["4.50 ± 0.71 (n=2)"],
        "-0.75 [-3.93, +2.43]",
        "-1.00 -0.50",
    ]
    assert "difference to mixup" in found["dirichlet.md"]
    assert "verdict" not in found["semantics.md"]
    assert "[what other systems call mixup](semantics.md)" in found["README.md"]


def test_gans_by_modes(tmp_path):
    for alpha in (0, 0.2):
        for seed in (0, 1, 2):
            run = make_game(tmp_path / "runs", "scale=cpu", f"mixup.alpha={alpha}", seed=seed, modes=seed + int(20 * alpha))
            commit_run(tmp_path / "results" / "runs", run)
    page = pages(tmp_path)["figure5_gan.md"]
    found = line(section(page, "## What was measured"), "mixup, alpha 0.2, the paper's formula")
    assert found[1] == "5.0 ± 1.0 (n=3)"
    assert found[4:6] == ["+4.0", "+4.0 +4.0 +4.0"]


# -- refusals ------------------------------------------------------------------------------------------------------------


def test_evidence_edited_by_hand_is_refused(tmp_path):
    files = commit_cell(tmp_path, *ERM, errors=[5.5, 5.6])
    edit(files[1], test__top1_error__last=4.0)
    with pytest.raises(UserError, match=rf"{files[1].name}: its test top1_error .* is not that of its curve"):
        pages(tmp_path)


def test_evidence_of_a_dirty_tree_is_refused_and_else_marked(tmp_path):
    commit_cell(tmp_path, *ERM, errors=[5.5, 5.6], dirty=True)
    with pytest.raises(UserError, match=r"uncommitted changes .* add --allow-dirty"):
        pages(tmp_path)
    assert "commit 0123456 (changed)" in pages(tmp_path, allow_dirty=True)["figure3_cifar10.md"]


def test_two_recipes_in_one_mean_are_refused(tmp_path):
    commit_cell(tmp_path, *ERM, errors=[5.5, 5.6])
    commit_cell(tmp_path, *ERM, "trainer.precision=bfloat16", errors=[5.5])
    with pytest.raises(UserError, match=r"stand for one cell and differ in trainer\.precision: .*remove those of the other"):
        pages(tmp_path)


def test_two_recipes_under_one_label_are_refused(tmp_path):
    runs = [
        make_run(tmp_path / "runs", *ERM, "scale=cpu", seed=0),
        make_run(tmp_path / "runs", *ERM, "scale=cpu", "optim.lr=0.2", seed=1),
    ]
    edit(runs[1] / "record.json", label="alpha=0.0,seed=1")
    for run in runs:
        commit_run(tmp_path / "results" / "runs", run)
    with pytest.raises(UserError, match=r"differ in optim\.lr: 0\.1 and 0\.2"):
        pages(tmp_path)


# -- files ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path, command):
    """A results folder with evidence, and a README beside it; and the script, run on them."""
    commit_cell(tmp_path, *ERM, errors=[5.5, 5.6, 5.7])
    commit_cell(tmp_path, *MIXUP, errors=[4.15, 4.2, 4.25])
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")

    def make(*arguments: str):
        return command("scripts/ledger.py", "tables", "--out", tmp_path / "results", *arguments)

    return make


@pytest.mark.slow
def test_made_again_nothing_changes(tmp_path, made):
    checked = made("--check")
    assert checked.returncode == 1
    assert f"would change {tmp_path / 'results' / 'figure3_cifar10.md'}" in checked.stdout
    assert not (tmp_path / "results" / "figure3_cifar10.md").exists()
    first = made()
    assert (first.returncode, first.stderr) == (0, "")
    content = {file: file.read_bytes() for file in tmp_path.glob("**/*.md")}
    readme = (tmp_path / "README.md").read_text()
    assert readme.startswith(f"before\n{BEGIN}\n## Results\n")
    assert readme.endswith(f"{END}\nafter\n")
    assert "2 reproduced" in readme
    assert made("--check").returncode == 0
    for file in (tmp_path / "results").glob("*.md"):
        file.unlink()
    shutil.copytree(tmp_path / "results" / "runs", tmp_path / "copy")
    assert made("--runs", str(tmp_path / "copy")).returncode == 0
    assert {file: file.read_bytes() for file in tmp_path.glob("**/*.md")} == content


@pytest.mark.slow
def test_a_page_without_evidence_is_removed_and_others_are_left_alone(tmp_path, made):
    commit_cell(tmp_path, "name=my_own", errors=[5.0])
    own = tmp_path / "results" / "NOTES.md"
    own.write_text("mine")
    assert made().returncode == 0
    assert (tmp_path / "results" / "my_own.md").exists()
    shutil.rmtree(tmp_path / "results" / "runs" / "my_own")
    done = made()
    assert f"removed {tmp_path / 'results' / 'my_own.md'}" in done.stdout
    assert (own.read_text(), (tmp_path / "results" / "my_own.md").exists()) == ("mine", False)


def test_a_mistake_is_one_line_and_status_2(tmp_path, made):
    file = next((tmp_path / "results" / "runs").glob("*/*.json"))
    edit(file, test__top5_error=0.0)
    done = made()
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "edited after it was collected; restore it from git, or collect the run again" in done.stderr


def test_a_readme_without_markers_is_refused():
    found = build(PAPER, [], RECIPES)
    for text in ("nothing", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}"):
        with pytest.raises(UserError, match="put the lines"):
            with_block(text, found)


def test_tables_need_no_torch(tmp_path, command):
    commit_cell(tmp_path, *ERM, errors=[5.5])
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['ledger.py', 'tables', '--out', {str(tmp_path / 'results')!r}]\n"
        "try:\n    runpy.run_path('scripts/ledger.py', run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 0, end.code\n"
        "sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    done = command("-c", code)
    assert done.returncode == 0, done.stdout + done.stderr


# -- from training to a table ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_from_two_real_runs_to_a_table(tmp_path, command):
    runs = tmp_path / "runs"
    arguments = ("name=tiny", "data.train_size=100", "trainer.epochs=2", "mixup=erm,mixup", f"runs_dir={runs}")
    trained = command("train.py", "-m", *arguments, "tracking.wandb=disabled", "trainer.device=cpu")
    assert trained.returncode == 0, trained.stderr
    collected = command(
        "scripts/ledger.py", "collect", runs / "tiny", "--out", tmp_path / "results" / "runs", "--allow-dirty"
    )
    assert (collected.returncode, collected.stderr) == (0, "")
    made = command("scripts/ledger.py", "tables", "--out", tmp_path / "results", "--allow-dirty")
    assert (made.returncode, made.stderr) == (0, "")
    page = (tmp_path / "results" / "tiny.md").read_text()
    records = [json.loads(file.read_text()) for file in runs.glob("tiny/*/record.json")]
    assert len(records) == 2
    for record in records:
        method = f"mixup, alpha {record['alpha']:g}" if record["alpha"] else "ERM"
        assert line(page, method, f"{record['test']['top1_error']['last']:.2f} (n=1)")
    assert composed(()).trainer.epochs != 2
