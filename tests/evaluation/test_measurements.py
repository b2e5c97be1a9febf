"""Measurements on disk."""

import json

import pytest

from mixup.evaluation.measurements import read_measurement, write_measurement
from mixup.run import records
from tests.evaluation.short_runs import retrain


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
