"""Thousands of small runs as one file: collected with checks, read again, and judged by the scatter of one run."""

import json
from pathlib import Path

import pytest
from ledger_factory import edit, make_run

from mixup.errors import UserError
from mixup.ledger.inference import prediction
from mixup.ledger.setups import COLUMNS, Setup, against_erm, collect_setups, read_setups

CHOICE = ("raw", "0.5", "random", "true", "")
SETUP = ("experiment=table4_setup", "data=iris_uci")


def setup(*errors: float, alpha: float = 0.0, choice: tuple[str, ...] = CHOICE) -> Setup:
    return Setup("iris_uci", choice, alpha, dict(enumerate(errors)), 1.0)


def runs_in(folder: Path) -> list[Path]:
    erm = [make_run(folder, *SETUP, "mixup=erm", "data.scaling=raw", seed=seed, error=20.0 + seed) for seed in range(3)]
    return [*erm, make_run(folder, *SETUP, "mixup=mixup", "data.scaling=raw", seed=0, error=19.0)]


def test_what_is_collected_is_read_again(tmp_path):
    assert collect_setups(runs_in(tmp_path / "runs"), tmp_path) == 4
    header, *lines = (tmp_path / "table4_setup.csv").read_text().splitlines()
    assert header == ",".join(COLUMNS)
    assert lines[0] == "iris_uci,raw,0.5,random,true,,0,0,2000,10000"
    about, found = read_setups(tmp_path)
    assert (about["runs"], about["commit"], about["data"]) == (4, "0123456789", {"iris_uci": "UCI Iris"})
    assert found == [
        Setup("iris_uci", CHOICE, 0.0, {0: 20.0, 1: 21.0, 2: 22.0}, 1.0),
        Setup("iris_uci", CHOICE, 0.2, {0: 19.0}, 1.0),
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"environment__dirty": True}, "uncommitted changes: commit and run it again"),
        ({"environment__commit": "fedcba"}, "differs from the other runs in commit"),
        ({"hash": "0" * 8}, "is no run of experiment=table4_setup, or its configuration was changed"),
    ],
)
def test_a_run_that_cannot_be_believed_is_refused(tmp_path, changed, message):
    runs = runs_in(tmp_path / "runs")
    edit(runs[2] / "record.json", **changed)
    with pytest.raises(UserError, match=message):
        collect_setups(runs, tmp_path)
    assert not (tmp_path / "table4_setup.csv").exists()


def test_a_part_does_not_take_the_place_of_all_unless_it_is_told_to(tmp_path):
    runs = runs_in(tmp_path / "runs")
    collect_setups(runs, tmp_path)
    with pytest.raises(UserError, match=r"is of 4 runs and these are 1: name all, or --replace takes these"):
        collect_setups(runs[:1], tmp_path)
    assert read_setups(tmp_path)[0]["runs"] == 4
    assert collect_setups(runs[:1], tmp_path, replace=True) == 1


def test_a_file_that_was_changed_is_refused(tmp_path):
    collect_setups(runs_in(tmp_path / "runs"), tmp_path)
    file = tmp_path / "table4_setup.csv"
    file.write_text(file.read_text().replace(",2000,", ",1900,"))
    with pytest.raises(UserError, match="was changed after it was collected"):
        read_setups(tmp_path)
    assert read_setups(tmp_path / "elsewhere") == ({}, [])


def test_a_number_fits_within_the_scatter_of_one_run_and_its_rounding():
    one = setup(20.0, 21.0, 22.0)
    high = prediction([20.0, 21.0, 22.0]).high
    assert one.fits(high + 0.04)
    assert not one.fits(high + 0.06)
    same = setup(66.7, 66.7, 66.7)
    assert same.fits(66.74)
    assert not same.fits(66.8)


def test_mixup_is_compared_with_erm_of_its_own_set_up():
    other = ("raw", "0.9", "random", "true", "")
    found = against_erm([setup(20.0, 21.0), setup(19.0, 20.5, alpha=0.2), setup(1.0, 1.0, alpha=0.2, choice=other)])
    assert [(one.alpha, pair.differences, pair.overlap) for one, pair in found] == [(0.2, (-1.0, -0.5), 1.0)]


def test_the_committed_file_has_every_set_up_of_its_experiment():
    results = Path(__file__).resolve().parents[2] / "results"
    about, found = read_setups(results)
    assert about["runs"] == sum(len(one.errors) for one in found)
    assert len(json.loads((results / "table4_setup.json").read_text())["data"]) == 6
    for data in about["data"]:
        assert len({one.choice for one in found if one.data == data and one.alpha == 0}) == 3 * 7 * 2 * 2 * 2, data
