"""From runs to the ledger on a small table: how a number is judged, what it is compared with, what is claimed of it."""

from pathlib import Path

import pytest
from ledger_factory import composed, curve
from small_table import ALPHAS, FIGURE3, MEDIAN, TOP5, claim, entry, ledger, runs, table, value

from mixup.errors import UserError
from mixup.ledger.entries import ClaimEntry
from mixup.ledger.evidence import Evidence
from mixup.ledger.verdicts import build, checked, number_verdict

# -- one number ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "printed", "word", "reason"),
    [
        ([4.15, 4.2, 4.25], value(4.2), "reproduced", "inside 4.2 ± 0.30"),
        ([4.2, 4.25], value(4.2), "too few seeds", "2 of at least 3"),
        ([], value(4.2), "not run", "no run has finished"),
        ([7.7, 7.8, 7.9], value(None, bounds=[7.5, 8.5]), "reproduced", "inside 7.5 to 8.5"),
        ([9.1, 9.2, 9.3], value(None, bounds=[7.5, 8.5]), "not reproduced", "above 7.5 to 8.5"),
        ([8.7, 8.8, 8.9], value(None, bounds=[7.5, 8.5]), "undecided", "where one run is expected in [8.30, 9.30]"),
        ([6.1, 6.11, 6.12], value(None, bounds=[6.0, 10.0]), "reproduced", "inside"),  # 2 from the middle, its margin 0.3
        ([9.9, 9.91, 9.92], value(None, bounds=[6.0, 10.0]), "reproduced", "inside"),
        ([4.45, 4.46, 4.47], value(None, bounds=[4.1, 4.3]), "reproduced", "inside"),  # at least 0.3 around 4.2
        ([3.93, 3.94, 3.95], value(None, bounds=[4.1, 4.3]), "reproduced", "inside"),
        ([4.53, 4.54, 4.55], value(None, bounds=[4.1, 4.3]), "not reproduced", "above"),
        ([40.7, 40.71, 40.72], value(None, bounds=[39.9, 40.1]), "reproduced", "inside"),  # 2 % of 40 is 0.8
        ([7.8, 7.9], value(None, bounds=[7.5, 8.5]), "too few seeds", "2 of at least 3"),
        ([], value(None, bounds=[7.5, 8.5]), "not run", "no run has finished"),
        ([0.83, 0.84, 0.85], value(0.84, unit="nats"), "undecided", "no margin is set for this unit"),
        ([0.83, 0.84], value(0.84, unit="nats"), "too few seeds", "2 of at least 3"),
        ([7.7, 7.8, 7.9], value(None, unit="nats", bounds=[7.5, 8.5]), "reproduced", "inside 7.5 to 8.5"),
    ],
)
def test_a_number_is_judged_by_its_margin_or_range_and_by_none_in_another_unit(ours, printed, word, reason):
    found = number_verdict(ours, printed)
    assert (found.word, found.n) == (word, len(ours))
    assert reason in found.reason


# -- comparable runs -----------------------------------------------------------------------------------------------------


def test_each_printed_number_has_its_runs_its_baseline_and_the_difference_to_it():
    evidence = [*runs("erm", [5.5, 5.6, 5.7], top5=1.0), *runs("mixup", [4.15, 4.2, 4.27], top5=0.9)]
    found = ledger(evidence, table())
    measures = [MEDIAN, TOP5] * 3
    assert [(entry.row.id, entry.measure) for entry in found.entries] == list(zip(sorted([*ALPHAS] * 2), measures))
    erm, mixup, strong = (entry(found, method) for method in ALPHAS)
    assert (mixup.experiment, mixup.paper, mixup.group) == ("figure3_cifar10", value(4.2), None)
    assert mixup.ours == {0: 4.15, 1: 4.2, 2: 4.27}
    assert mixup.cell.runs == tuple(evidence[3:])
    assert mixup.baseline is erm.cell
    assert mixup.difference.differences == pytest.approx([-1.35, -1.4, -1.43])
    assert (erm.baseline, erm.difference) == (None, None)
    assert (strong.cell, strong.baseline, strong.ours, strong.difference) == (None, erm.cell, {}, None)
    assert [one.verdict.word for one in (erm, mixup, strong)] == ["reproduced", "reproduced", "not run"]
    assert entry(found, "mixup", TOP5).ours == {0: 0.9, 1: 0.9, 2: 0.9}
    assert found.claims == ()


def test_without_a_common_seed_there_is_no_difference():
    found = ledger([*runs("erm", [5.5, 5.6]), *runs("mixup", [4.1, 4.2], first_seed=2)], table())
    assert (entry(found, "mixup").difference, entry(found, "mixup").baseline) == (None, entry(found, "erm").cell)


def test_a_claim_counts_for_the_row_that_it_names_as_better_in_its_own_measure():
    """Mixup is better than ERM and worse than its number: the direction holds. The other claims are of something else."""
    evidence = [*runs("erm", [5.5, 5.6, 5.75]), *runs("mixup", [4.9, 5.0, 5.1])]
    claims = [claim(None, None), claim("mixup", "erm"), claim("mixup", "erm", TOP5), claim("strong", "mixup")]
    found = ledger(evidence, table(*claims))
    words = {(one.row.id, one.measure): one.verdict.word for one in found.entries}
    assert words == {
        ("erm", MEDIAN): "reproduced",
        ("mixup", MEDIAN): "direction holds",
        ("strong", MEDIAN): "not run",
        **{(method, TOP5): "not run" if method == "strong" else "undecided" for method in ALPHAS},  # no spread
    }
    judged = [(one.rows[0].id, one.rows[1].id, one.measure, one.verdict.word) for one in found.claims]
    assert judged == [
        ("mixup", "erm", MEDIAN, "direction holds"),
        ("mixup", "erm", TOP5, "undecided"),
        ("strong", "mixup", MEDIAN, "not run"),
    ]
    assert found.claims[0].difference.differences == pytest.approx([-0.6, -0.6, -0.65])
    assert (found.claims[0].experiment, found.claims[0].claim) == ("figure3_cifar10", claims[1])
    assert (found.claims[0].group, found.claims[0].cells) == (None, ())


def test_a_run_is_comparable_by_the_recipe_of_its_experiment_and_row_alone():
    recipes = {("figure3_cifar10", "erm"): {"optim.lr": 0.1}, ("figure3_cifar10", "mixup"): {"optim.lr": 0.2}}
    evidence = [run for method in ALPHAS for run in runs(method, [5.5, 5.6])]
    paper = table()
    found = build({paper.name: paper}, evidence, lambda experiment, row: recipes.get((experiment, row)))
    assert [one.row.id for one in found.entries if one.cell and not one.group] == ["erm", "erm"]
    assert {one.row.id for one in found.entries if one.group} == {"mixup", "strong"}


def test_two_recipes_for_one_row_are_refused():
    with pytest.raises(UserError, match=r"differ in optim\.weight_decay"):
        ledger([*runs("erm", [5.5]), *runs("erm", [5.5], "optim.weight_decay=0.0003")], table())


def test_a_run_that_cannot_be_believed_is_refused_with_the_remedy_and_else_all_are_returned():
    clean, dirty = runs("erm", [5.5, 5.6]), runs("mixup", [4.2], dirty=True)
    curves = {"epoch": [float(epoch) for epoch in range(1, 201)], "test_top1_error": curve(composed((FIGURE3,)), 4.2)}
    dirty = [Evidence(one.record, one.evaluations, curves, one.file) for one in dirty]
    with pytest.raises(UserError, match=r"uncommitted changes.* add --allow-dirty$"):
        checked(dirty, allow_dirty=False)
    assert checked(dirty, allow_dirty=True) == dirty
    with pytest.raises(UserError, match=r"alpha=0\.0,seed=0.*\.json: .*; restore it from git, or collect the run again$"):
        checked([*dirty, *clean], allow_dirty=True)  # these have no curve


# -- other experiments ---------------------------------------------------------------------------------------------------


def test_runs_of_other_experiments_follow_by_name():
    evidence = [
        Evidence(run.record, run.evaluations, run.curve, Path(name) / run.file.name)
        for name in ("zebra", "apple-cpu", "figure3_cifar10")
        for run in [*runs("erm", [5.5, 5.6]), *runs("mixup", [5.0, 5.2])]
    ]
    found = ledger(evidence, table(claim("mixup", "erm")))
    assert list(dict.fromkeys(one.experiment for one in found.entries)) == ["figure3_cifar10", "apple", "zebra"]
    assert found.papers.keys() == {"figure3_cifar10"}
    assert [one.experiment for one in found.claims] == ["figure3_cifar10"]
    zebra = [one for one in found.entries if one.experiment == "zebra" and one.measure == MEDIAN]
    assert [(one.row, one.paper, one.verdict.word) for one in zebra] == [(None, None, "not comparable")] * 2
    assert zebra[1].difference.differences == pytest.approx([-0.5, -0.4])
    assert (zebra[1].baseline, zebra[1].direction) == (zebra[0].cell, None)


def test_the_ledger_of_a_paper_without_runs_is_all_of_its_numbers():
    papers = {name: table(claim("mixup", "erm"), name=name) for name in ("figure3_cifar10", "figure3_cifar100")}
    found = build(papers, [], lambda experiment, row: None)
    assert found.papers == papers
    assert [one.experiment for one in found.entries] == ["figure3_cifar10"] * 6 + ["figure3_cifar100"] * 6
    assert {one.verdict.word for one in found.entries} == {"not run"}
    assert [(one.experiment, one.verdict.word) for one in found.claims] == [(name, "not run") for name in papers]
    assert all(isinstance(one, ClaimEntry) for one in found.claims)
