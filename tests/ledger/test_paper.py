"""The paper's numbers: read off PAPER.md once more by hand, their tags, their claims, and the mistakes that are refused."""

import csv
from pathlib import Path

import pytest
import yaml

from mixup.errors import UserError
from mixup.ledger.paper import Value, mismatches, read_paper
from mixup.run.config import MixupConfig
from mixup.run.conversions import schema_defaults

FILE = Path(__file__).resolve().parents[2] / "results" / "paper.yaml"
PAPER = read_paper(FILE)
VALUES = [(name, row, value) for name, paper in PAPER.items() for row in paper.rows for value in row.values]


@pytest.mark.parametrize(
    ("name", "rows", "values", "unverified"),
    [
        ("figure1_toy", 0, 0, 0),
        ("figure2_between", 2, 2 * 6, 0),
        ("table1_imagenet", 15, 15 + 12, 0),  # three of the quoted baselines have no top-5 error
        ("figure3_cifar10", 6, 6, 0),
        ("figure3_cifar100", 6, 6, 0),
        ("figure3b_curve", 2, 2 * 4, 0),
        ("figure4_speech", 6, 12, 0),
        ("table2_label_noise", 12, 48, 6),  # train errors of mixup + dropout
        ("table3_adversarial", 2, 16, 0),
        ("table4_uci", 12, 12, 0),
        ("figure5_gan", 0, 0, 0),
        ("table5_ablation", 44, 44, 40),  # 22 variants at two weight decays; two variants are verified
    ],
)
def test_how_many_numbers_each_table_has(name, rows, values, unverified):
    paper = PAPER[name]
    found = [value for row in paper.rows for value in row.values]
    assert (len(paper.rows), len(found), sum(not value.verified for value in found)) == (rows, values, unverified)
    assert len(PAPER) == 12


TOP1, TOP5 = "test.top1_error", "test.top5_error"
REAL, CORRUPTED = "train.real_label_error", "train.corrupted_label_error"


@pytest.mark.parametrize(
    ("name", "row", "metric", "statistic", "printed", "source"),
    [
        ("table1_imagenet", "resnet50_90_erm", TOP1, "last", "23.5", "V1"),
        ("table1_imagenet", "resnet101_90_mixup", TOP5, "last", "5.6", "V1"),
        ("table1_imagenet", "resnext101_64x4d_100_erm", TOP5, "last", "5.3", "V1"),
        ("table1_imagenet", "resnext101_64x4d_90_mixup", TOP1, "last", "19.8", "V1"),
        ("table1_imagenet", "resnet50_200_erm", TOP5, "last", "7.0", "V1"),
        ("table1_imagenet", "resnext101_32x4d_200_mixup", TOP1, "last", "20.1", "V1"),
        ("figure2_between", "erm", "between.miss_at_half", "last", "16.52", "FIG"),
        ("figure2_between", "mixup", "between.gradient_norm_at_half", "last", "0.0383", "FIG"),
        ("figure2_between", "mixup", "between.gradient_norm_at_0", "last", "0.0115", "FIG"),
        ("figure3_cifar10", "preact_resnet18_erm", TOP1, "last10_median", "5.6", "V1"),
        ("figure3_cifar10", "preact_resnet18_mixup", TOP1, "last10_median", "4.2", "ES"),
        ("figure3_cifar10", "wrn28_mixup", TOP1, "last10_median", "2.7", "V1"),
        ("figure3_cifar10", "densenet_erm", TOP1, "last10_median", "3.7", "V1"),
        ("figure3_cifar100", "preact_resnet18_mixup", TOP1, "last10_median", "21.1", "V1"),
        ("figure3_cifar100", "wrn28_erm", TOP1, "last10_median", "19.4", "V1"),
        ("figure3_cifar100", "densenet_mixup", TOP1, "last10_median", "16.8", "V1"),
        ("figure3b_curve", "erm", TOP1, "last10_median", "3.78", "FIG"),
        ("figure3b_curve", "mixup", TOP1, "best", "2.70", "FIG"),
        ("figure3b_curve", "mixup", TOP1, "epoch_110", "3.4", "FIG"),
        ("figure3b_curve", "erm", TOP1, "epochs_86_99", "7.5 to 8.5", "FIG"),
        ("figure4_speech", "lenet_erm", TOP1, "last", "10.3", "V1"),
        ("figure4_speech", "lenet_mixup_0.2", TOP1, "last", "11.3", "V1"),
        ("figure4_speech", "vgg11_erm", "validation.top1_error", "last", "5.0", "V1"),
        ("figure4_speech", "vgg11_mixup_0.2", "validation.top1_error", "last", "3.9", "V1"),
        ("table2_label_noise", "noise20_dropout", TOP1, "best", "8.8", "V1,JS"),
        ("table2_label_noise", "noise20_mixup", TOP1, "last", "6.4", "V1,JS"),
        ("table2_label_noise", "noise50_erm", TOP1, "last", "44.6", "V1,JS"),
        ("table2_label_noise", "noise50_mixup_dropout", TOP1, "last", "10.9", "JS"),
        ("table2_label_noise", "noise50_mixup_dropout", CORRUPTED, "last", "87.90 (unverified)", "MEM"),
        ("table2_label_noise", "noise80_dropout", REAL, "last", "29.84", "V1,JS"),
        ("table2_label_noise", "noise80_mixup", TOP1, "last", "30.9", "V1,JS"),
        ("table2_label_noise", "noise80_mixup_dropout", TOP1, "best", "24.0", "JS"),
        ("table3_adversarial", "erm", "white_box.fgsm.top1_error", "last", "90.7", "V1"),
        ("table3_adversarial", "mixup", "white_box.ifgsm.top5_error", "last", "95.8", "V1"),
        ("table3_adversarial", "mixup", "black_box.ifgsm.top1_error", "last", "40.9", "V1"),
        ("table3_adversarial", "erm", "black_box.fgsm.top5_error", "last", "24.8", "V1"),
        ("table4_uci", "arcene_mixup", TOP1, "last", "48.0", "V1"),
        ("table4_uci", "htru2_erm", TOP1, "last", "2.0", "V1"),
        ("table4_uci", "iris_erm", TOP1, "last", "21.3", "V1"),
        ("table4_uci", "phishing_mixup", TOP1, "last", "15.2", "V1"),
        ("table5_ablation", "erm_wd5e-4", TOP1, "last10_median", "5.18", "HZ"),
        ("table5_ablation", "mixup_wd1e-4", TOP1, "last10_median", "4.24", "HZ"),
        ("table5_ablation", "mixup_ac_knn_wd5e-4", TOP1, "last10_median", "5.26 (unverified)", "MEM"),
        ("table5_ablation", "latent_4_wd1e-4", TOP1, "last10_median", "5.95 (unverified)", "MEM"),
        ("table5_ablation", "inputs_sc_rp_wd5e-4", TOP1, "last10_median", "5.55 (unverified)", "MEM"),
        ("table5_ablation", "smoothing_0.2_wd1e-4", TOP1, "last10_median", "5.34 (unverified)", "MEM"),
        ("table5_ablation", "inputs_smoothing_0.05_wd5e-4", TOP1, "last10_median", "5.40 (unverified)", "MEM"),
        ("table5_ablation", "noise_0.1_wd5e-4", TOP1, "last10_median", "5.86 (unverified)", "MEM"),
    ],
)
def test_values_read_by_hand(name, row, metric, statistic, printed, source):
    value = PAPER[name].row(row).value(metric, statistic)
    assert (str(value), value.source) == (printed, source)
    assert PAPER[name].row(row).value(metric, "epoch_1") is None


def test_a_tag_with_mem_is_unverified_and_no_other():
    for _, _, value in VALUES:
        assert value.verified == ("MEM" not in value.source)
        assert str(value).endswith("(unverified)") == ("MEM" in value.source)
    common = {"metric": TOP1, "statistic": "last", "unit": "%", "decimals": 1, "value": 1.0}
    tagged = {tags: Value(source=tags, **common).verified for tags in ("MEM", "V1,MEM", "EN, MEM", "V1,JS", "Z:a.b/MEMO")}
    assert tagged == {"MEM": False, "V1,MEM": False, "EN, MEM": False, "V1,JS": True, "Z:a.b/MEMO": True}


def test_settings_that_are_not_verified():
    found = [row.id for row in PAPER["table2_label_noise"].rows if not row.settings_verified]
    assert found == ["noise20_mixup_dropout", "noise50_mixup_dropout", "noise80_mixup_dropout"]
    verified = {row.id.split("_wd")[0] for row in PAPER["table5_ablation"].rows if row.settings_verified}
    assert verified == {"erm", "mixup"}


def test_quoted_baselines():
    found = {row.id: row.note for paper in PAPER.values() for row in paper.rows if row.quoted}
    assert found == {
        "resnet50_90_erm": "quoted by the paper from Goyal et al. 2017",
        "resnet101_90_erm": "quoted by the paper from Goyal et al. 2017",
        "resnext101_32x4d_100_erm": "quoted by the paper from Xie et al. 2016",
        "resnext101_64x4d_100_erm": "quoted by the paper from Xie et al. 2016",
    }


def test_the_first_versions_number_is_a_note():
    value = PAPER["figure3_cifar10"].row("preact_resnet18_mixup").value(TOP1, "last10_median")
    assert (value.value, "3.9 [V1]" in value.note) == (4.2, True)


def test_every_claim_agrees_with_the_papers_own_numbers():
    count = 0
    for paper in PAPER.values():
        for claim in paper.claims:
            if claim.better is not None:
                a, b = (paper.row(id).value(claim.metric, claim.statistic).value for id in (claim.better, claim.worse))
                assert a < b, claim
                count += 1
    assert count == 4 + 14 + 3 + 3 + 2 + 8 + 21 + 8 + 5 + 24


def test_negative_claims_are_there():
    """Where the paper shows mixup to be worse, or to leave a gain to ERM."""
    found = {
        (name, claim.better, claim.worse, claim.metric)
        for name, paper in PAPER.items()
        for claim in paper.claims
        if claim.better is not None and paper.row(claim.better).method == "erm" and paper.row(claim.worse).method == "mixup"
    }
    lenet = {("figure4_speech", "lenet_erm", f"lenet_mixup_{alpha}", TOP1) for alpha in (0.1, 0.2)}
    assert lenet < found
    assert ("table3_adversarial", "erm", "mixup", "white_box.ifgsm.top5_error") in found
    assert ("figure2_between", "erm", "mixup", "between.gradient_norm_at_0") in found


def test_settings_are_settings_of_ours():
    defaults = dict(schema_defaults())
    for paper in PAPER.values():
        for row in paper.rows:
            wanted = {**row.settings, **row.recipe}
            assert wanted.keys() <= defaults.keys()
            MixupConfig(**{key[6:]: value for key, value in wanted.items() if key.startswith("mixup.")})
            assert (row.settings["mixup.alpha"] == 0) == (row.method in ("erm", "dropout", "label_smoothing", "noise"))


def test_settings_of_the_ablation():
    paper = PAPER["table5_ablation"]
    changed = ["mixup.alpha", "mixup.partner", "mixup.within_class", "mixup.targets", "mixup.layer"]
    changed += ["mixup.label_smoothing", "mixup.noise", "optim.weight_decay"]
    expected = {
        "erm_wd5e-4": (0, "random", False, "mixed", None, 0, 0, 5e-4),
        "mixup_ac_knn_wd1e-4": (1, "nearest", False, "mixed", None, 0, 0, 1e-4),
        "latent_1_wd1e-4": (1, "random", False, "mixed", "stem", 0, 0, 1e-4),
        "latent_5_wd1e-4": (1, "random", False, "mixed", "stages.3", 0, 0, 1e-4),
        "inputs_sc_knn_wd1e-4": (1, "nearest", True, "dominant", None, 0, 0, 1e-4),
        "inputs_ac_rp_wd5e-4": (1, "random", False, "dominant", None, 0, 0, 5e-4),
        "smoothing_0.05_wd1e-4": (0, "random", False, "mixed", None, 0.05, 0, 1e-4),
        "inputs_smoothing_0.4_wd1e-4": (1, "random", False, "dominant", None, 0.4, 0, 1e-4),
        "noise_0.2_wd1e-4": (0, "random", False, "mixed", None, 0, 0.2, 1e-4),
    }
    assert {id: tuple(paper.row(id).settings[key] for key in changed) for id in expected} == expected


def test_mismatches_are_named():
    row = PAPER["figure4_speech"].row("vgg11_mixup_0.1")
    config = {"data.name": "speech_commands", "model.name": "vgg11", "mixup.alpha": 0.1, "mixup.warmup_epochs": 0}
    assert mismatches(config, row.settings) == []
    found = mismatches({**config, "trainer.epochs": 2, "trainer.batch_size": 100}, row.recipe)
    assert found[0] == "trainer.epochs=2, the paper's 30"
    assert "mixup.warmup_epochs=0, the paper's 5" in found
    assert not any(line.startswith("trainer.batch_size") for line in found)


def test_figure_2s_curves():
    with open(FILE.parent / "paper" / "figure2.csv") as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == 21
    assert [float(line["lambda"]) for line in lines] == pytest.approx([number / 20 for number in range(21)])
    for place, index in (("0", 0), ("half", 10), ("1", 20)):
        for method in ("erm", "mixup"):
            row, line = PAPER["figure2_between"].row(method), lines[index]
            assert row.value(f"between.miss_at_{place}", "last").value == float(line[f"miss_pct_{method}"])
            assert row.value(f"between.gradient_norm_at_{place}", "last").value == float(line[f"gradnorm_{method}"])
    assert lines[4] == dict(zip(lines[0], ["0.2", "3.55", "1.82", "0.043", "0.0204"]))


# -- mistakes ------------------------------------------------------------------------------------------------------------

SOUND = """
table:
  title: A table
  section: "3"
  statistic: last
  metric: test.top1_error
  data: digits
  model: LeNet
  rows:
    - {id: erm, method: erm, settings: {mixup.alpha: 0.0}, values: [{value: 2.0, source: V1}]}
    - {id: mixup, method: mixup, settings: {mixup.alpha: 1.0}, values: [{value: 1.0, source: MEM}]}
  claims:
    - {better: mixup, worse: erm, text: mixup better, source: V1}
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "paper.yaml"
    file.write_text(text)
    return file


def test_a_sound_file(tmp_path):
    table = read_paper(written(tmp_path, SOUND))["table"]
    assert [str(row.values[0]) for row in table.rows] == ["2.0", "1.0 (unverified)"]
    assert (table.rows[0].data, table.claims[0].metric, table.claims[0].statistic) == ("digits", "test.top1_error", "last")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{value: 2.0,", "{valeu: 2.0,", r"table, row 1 \(erm\), value 1: no such field 'valeu'; did you mean 'value'"),
        ("{value: 2.0, source: V1}", "{value: 2.0}", r"row 1 \(erm\), value 1: the field 'source' is missing: give the tag"),
        ("better, source: V1}", "better}", "table, claim 1: the field 'source' is missing"),
        ("2.0, source: V1", "2.0, source: V3", "'V3' is no tag of PAPER.md; there are V1,"),
        ("2.0, source: V1", "2.0, source: 'V1,'", "'' is no tag"),
        ("value: 2.0", "value: '2.0'", r"value='2.0' should be of type float \| None; mind the quotes"),
        ("value: 2.0", "value: 2.0, bounds: [1.0, 3.0]", "either value or bounds"),
        ("value: 2.0", "bounds: [3.0, 1.0]", r"use \[low, high\]"),
        ("statistic: last", "statistic: lats", "statistic=lats: use last, best"),
        ("statistic: last", "statistic: qualitative", "statistic=qualitative"),
        ("id: mixup", "id: erm", "two rows have the id erm"),
        ("id: mixup, ", "", r"row 2 \(without id\): the field 'id' is missing: add it"),
        ("mixup.alpha: 1.0", "mixup.alpha: 0.0", "row mixup has the settings of another: name the difference"),
        ("mixup.alpha: 1.0", "optim.weight_decay: 1e-4", "write the number with a dot, as 1.0e-4"),
        ("method: mixup", "method: mixpu", "method=mixpu: use erm or"),
        ("better: mixup", "better: mixpu", "names the row mixpu, which is not there; did you mean 'mixup'"),
        ("worse: erm, ", "", "name two rows, better and worse, or none"),
        ("worse: erm", "worse: erm, metric: test.top5_error", "of which row mixup has no value"),
        ("values: [{value: 2.0, source: V1}]", "values: []", "a row has at least one"),
        ("2.0, source: V1}", "2.0, source: V1}, {value: 2.1, source: V1}", "two values of one metric and statistic"),
        ("  title: A table", "  title: A table\n  title: Another", "the key title is given twice"),
        ("  title: A table\n", "", "table: the field 'title' is missing"),
        ("settings: {mixup.alpha: 0.0}", "settings: 3", "names with values belong here, not 3"),
        ("  claims:\n    - {better: mixup", "  claims:\n    {better: mixup", "claims should be a list"),
        ("A table", "{", "cannot be read"),
    ],
)
def test_mistakes_are_refused_with_place_and_remedy(tmp_path, old, new, message):
    assert SOUND.count(old) >= 1
    with pytest.raises(UserError, match=message) as error:
        read_paper(written(tmp_path, SOUND.replace(old, new, 1)))
    assert str(error.value).startswith(str(tmp_path / "paper.yaml"))


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_paper(tmp_path / "paper.yaml")


def test_numbers_need_no_reader_of_ours():
    """Plain YAML: another program reads the same numbers."""
    plain = yaml.safe_load(FILE.read_text())
    assert plain["table5_ablation"]["rows"][2]["values"][0]["value"] == 4.24
