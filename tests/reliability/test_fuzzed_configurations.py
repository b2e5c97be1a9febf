"""Random command lines, right and wrong: each is obeyed, or refused in one message; none ends in a traceback.

Settings are drawn from the schema, with values that fit and values that do not, and so are groups and grids. The examples
are the same in every run of the tests.
"""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest
from fuzzing import fuzz, outcome, refused
from hypothesis import given
from hypothesis import strategies as st

from mixup.run.compose import CONFIGS
from mixup.run.conversions import schema_settings

GROUPS = {
    group: sorted(file.stem for file in (CONFIGS / group).glob("*.yaml")) for group in ("data", "model", "mixup", "scale")
}
GROUPS["experiment"] = ["quickstart", "table4_uci", "figure5_gan", "none", "table1_imagenet_200"]
GROUPS["recipe"] = ["digits", "uci", "gan", "cifar10"]
NUMBERS = ["0", "1", "2", "3", "7", "64", "0.5", "1.0", "1e-3", "0.999", "100000"]
WORDS = [
    "sgd",
    "adam",
    "auto",
    "cpu",
    "true",
    "false",
    "nearest",
    "flip",
    "example",
    "dominant",
    "skip",
    "paper",
    "[1,2]",
    "0,1",
]
STRANGE = [
    *(
        "",
        "null",
        "nan",
        "-inf",
        "1e400",
        "-1",
        "1" + "0" * 30,
        "???",
        "${seed}",
        "${nothing}",
        "${oc.env:HOME}",
        "[",
        "]",
        "{",
    ),
    *(
        "{a:1}",
        "[]",
        "[[1]]",
        "'",
        '"',
        "é",
        "~",
        "~/x",
        "a=b",
        "a(b)",
        "choice(1,2)",
        "range(0,3)",
        "range(3,0)",
        "glob(*)",
    ),
    *(
        "interval(0,1)",
        "a b",
        "#",
        "\\",
        "\n",
        "0x10",
        "1_0",
        "yes",
        "s3://me:secret@x",
        "../..",
        "x" * 300,
        "int(3)",
        "\u2028",
    ),
]
KEYS = [key for key, _, _ in schema_settings() if key not in ("runs_dir", "dry_run")]
VALUES = st.sampled_from([*NUMBERS, *WORDS, *STRANGE]) | st.text(max_size=4) | st.integers().map(str) | st.floats().map(str)
SETTING = st.tuples(st.sampled_from(KEYS), VALUES).map("=".join)
GROUP = st.sampled_from(sorted(GROUPS)).flatmap(
    lambda group: st.sampled_from(GROUPS[group]).map(lambda name: f"{group}={name}")
)
WRONG = st.sampled_from(
    [
        *(
            "seed",
            "=",
            "~data",
            "~seed",
            "+seed=1",
            "++seed=1",
            "+foo=1",
            "foo.bar=1",
            "data@x=digits",
            "optim=null",
            "gan={}",
        ),
        *(
            "data=[digits]",
            "data={name:iris}",
            "mixup={alpha:0.5,ways:3}",
            "hydra.job.chdir=true",
            "hydra.searchpath=[x]",
            "--x",
        ),
        *(
            "experiment=glob(table*)",
            "mixup=glob(*)",
            "data=nothing",
            "model=",
            "hydra=x",
            "hydra.x=1",
            "-m",
            "--seed=1",
            "a" * 999,
        ),
        *(
            "hydra/launcher=basic",
            "optim",
            "trainer={epochs:1",
            "data.seed=0,1,1",
            "seed=0,1",
            "mixup=erm,mixup",
            "@",
            ":",
            "{}",
        ),
    ]
)
COMMANDS = st.lists(st.one_of(SETTING, SETTING, GROUP, WRONG), max_size=5).flatmap(
    lambda words: st.booleans().map(lambda many: ["-m", *words] if many else words)
)


def composed_alone(words: list[str]) -> None:
    trained: list[Path] = []
    with mock.patch("train.perform_all", side_effect=lambda tasks, train: trained.extend(tasks) or []):  # noqa: SIM117
        with mock.patch("train.conclude", return_value=[]):
            status, output, error, files = outcome(*words)
    if trained or (status == 0 and not error):
        assert (status, output, files) == (0, "", [])
        assert all(line.startswith("warning: ") for line in error.splitlines())
    else:
        assert (refused(status, error), output, files) == (True, "", []), error


@fuzz(60)
@given(COMMANDS)
def test_a_random_command_line_is_obeyed_or_refused_in_one_message(words):
    composed_alone(words)


@pytest.mark.long
@fuzz(500)
@given(COMMANDS)
def test_many_random_command_lines_are_obeyed_or_refused_in_one_message(words):
    composed_alone(words)
