"""Runs that are not comparable with a small table: what they are compared with, and which of its claims are looked for."""

import pytest
from small_table import CPU, JPEG, MEDIAN, TOP5, claim, entry, ledger, runs, table, value

from mixup.ledger.cells import cells_of
from mixup.ledger.entries import Entry, Ledger
from mixup.ledger.groups import groups_of
from mixup.ledger.metrics import Measure
from mixup.ledger.paper import Claim
from mixup.ledger.verdicts import build, is_baseline, sole_cells


def at_cpu_scale(*claims: Claim, **errors: list[float]) -> Ledger:
    """Runs at cpu scale."""
    return ledger([run for method, values in errors.items() for run in runs(method, values, CPU)], table(*claims))


def of_groups(found: Ledger) -> list[Entry]:
    return [entry for entry in found.entries if entry.group]


def of_group(found: Ledger, method: str, measure: Measure = MEDIAN) -> Entry:
    return entry(Ledger(found.papers, tuple(of_groups(found))), method, measure)


def test_runs_at_another_scale_have_entries_of_their_own_which_no_rule_judges():
    found = at_cpu_scale(claim("mixup", "erm"), erm=[5.5, 5.6, 5.7], mixup=[4.1, 4.2, 4.35])
    assert [entry.verdict.word for entry in found.entries if not entry.group] == ["not run"] * 6
    assert len(of_groups(found)) == 2 * 2  # cells times measures
    mixup, erm = of_group(found, "mixup"), of_group(found, "erm")
    assert (mixup.verdict.word, mixup.verdict.n) == ("not comparable", 3)
    assert mixup.verdict.reason == mixup.group.title == "CIFAR-10, cpu scale"
    assert (mixup.experiment, mixup.row.id, mixup.paper) == ("figure3_cifar10", "mixup", value(4.2))
    assert mixup.ours == {0: 4.1, 1: 4.2, 2: 4.35}
    assert mixup.baseline is erm.cell
    assert mixup.difference.differences == pytest.approx([-1.4, -1.4, -1.35])
    assert mixup.direction == mixup.difference
    assert (erm.baseline, erm.difference, erm.direction) == (None, None, None)
    top5 = of_group(found, "mixup", TOP5)
    assert (top5.paper, top5.baseline, top5.difference) == (value(0.9, TOP5), None, None)
    assert [one for one in found.claims if one.group] == [], "what an entry's direction says is no claim besides"


def test_a_claim_that_erm_is_better_is_looked_for_the_other_way_round_and_none_is_not_looked_for():
    worse = at_cpu_scale(claim("erm", "mixup"), erm=[5.5, 5.6, 5.7], mixup=[5.9, 6.0, 6.15])
    assert of_group(worse, "mixup").difference.differences == pytest.approx([0.4, 0.4, 0.45])
    assert of_group(worse, "mixup").direction.differences == pytest.approx([-0.4, -0.4, -0.45])
    silent = at_cpu_scale(erm=[5.5, 5.6, 5.7], mixup=[5.9, 6.0, 6.15])
    assert of_group(silent, "mixup").difference is not None
    assert of_group(silent, "mixup").direction is None


def test_the_direction_of_a_cell_is_the_claim_of_the_row_that_it_resembles():
    claims = claim("mixup", "erm"), claim("erm", "strong")
    found = at_cpu_scale(*claims, erm=[5.5, 5.6], mixup=[5.0, 5.0], strong=[6.0, 6.2])
    assert of_group(found, "mixup").direction.differences == pytest.approx([-0.5, -0.6])
    assert of_group(found, "strong").direction.differences == pytest.approx([-0.5, -0.6]), "ERM is claimed to be lower"


def test_of_a_net_that_the_paper_has_not_nothing_is_claimed():
    evidence = [*runs("erm", [5.5, 5.6], CPU, "model=lenet"), *runs("mixup", [5.0, 5.2], CPU, "model=lenet")]
    found = of_groups(ledger(evidence, table(claim("mixup", "erm"), claim("strong", "erm"))))
    assert [(one.row, one.claim, one.direction) for one in found] == [(None, None, None)] * 4


def test_a_cell_on_other_data_says_which_data_the_papers_number_is_of():
    cifar100 = "data=cifar100", "scale=cpu"
    found = of_groups(ledger(runs("mixup", [30.0], *cifar100, provenance="CIFAR-100"), table()))
    assert [(one.row.id, one.paper.value, one.remark) for one in found if one.measure == MEDIAN] == [
        ("mixup", 4.2, " on CIFAR-10")
    ]


def test_a_claim_about_two_cells_of_which_neither_is_erm_is_looked_for_where_both_are_there():
    claims = claim("strong", "mixup"), claim("mixup", "erm"), claim("mixup", "erm", TOP5), claim(None, None)
    errors = {"mixup": [4.1, 4.2, 4.35], "strong": [3.8, 3.9, 4.0]}
    everything = at_cpu_scale(*claims, erm=[5.5, 5.6, 5.7], **errors).claims
    assert [one.verdict.word for one in everything if not one.group] == ["not run"] * 3
    found = [one for one in everything if one.group]
    assert [(one.rows[0].id, one.rows[1].id, one.measure) for one in found] == [
        ("strong", "mixup", MEDIAN),
        ("mixup", "erm", TOP5),  # the lines of this group compare the median alone
    ]
    assert found[0].difference.differences == pytest.approx([-0.3, -0.3, -0.35])
    assert found[0].verdict is None
    assert [cell.settings["mixup.alpha"] for cell in found[0].cells] == [8.0, 1.0]
    assert found[0].group.title == "CIFAR-10, cpu scale"
    without = [one for one in at_cpu_scale(*claims, **errors).claims if one.group]
    assert [(one.rows[0].id, one.rows[1].id) for one in without] == [("strong", "mixup")]


def test_a_claim_is_not_looked_for_where_a_row_has_two_cells():
    evidence = [
        run
        for epochs in (30, 40)
        for run in runs("strong", [3.8], CPU, f"trainer.epochs={epochs}", label=f"{epochs} epochs")
    ]
    evidence += runs("mixup", [4.1, 4.2], CPU)
    found = ledger(evidence, table(claim("strong", "mixup")))
    assert [one for one in found.claims if one.group] == []
    (group,) = groups_of(cells_of(evidence), "figure3_cifar10", table())
    cells = sole_cells(group)
    assert list(cells) == ["mixup"]
    assert cells["mixup"].runs == tuple(evidence[2:])


def test_a_cell_that_resembles_no_row_is_in_no_claim():
    (group,) = groups_of(cells_of(runs("erm", [5.5], CPU, "model=lenet")), "figure3_cifar10", table())
    assert sole_cells(group) == {}


def test_the_baseline_is_recognised_from_either_side():
    evidence = [*runs("erm", [5.5]), *runs("mixup", [4.2]), *runs("strong", [3.9])]
    erm, mixup, strong = cells_of(evidence)
    cells = (erm, mixup, strong)
    assert is_baseline((erm, mixup), cells)
    assert is_baseline((mixup, erm), cells)
    assert not is_baseline((mixup, strong), cells)


def test_comparable_runs_are_not_among_those_that_stand_apart():
    evidence = [*runs("erm", [5.5, 5.6, 5.7]), *runs("mixup", [4.1, 4.2, 4.3]), *runs("mixup", [4.0], first_seed=3, **JPEG)]
    found = ledger(evidence, table())
    assert [(one.group.title, len(one.cell.runs)) for one in of_groups(found)] == [("CIFAR-10 (JPEG copy)", 1)] * 2


def test_a_figure_made_of_another_experiments_runs_shows_none_of_them_apart():
    paper = table(name="figure3b_curve")
    found = build({paper.name: paper}, runs("erm", [5.5, 5.6, 5.7], CPU), lambda experiment, row: {})
    assert found.entries
    assert of_groups(Ledger(found.papers, tuple(one for one in found.entries if one.experiment == paper.name))) == []
