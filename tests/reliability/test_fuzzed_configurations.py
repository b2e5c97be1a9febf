"""Random command lines, right and wrong: each is obeyed, or refused in one message; none ends in a traceback.

Settings are drawn from the schema, with values that fit and values that do not, and so are groups and grids. The examples
are the same in every run of the tests.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import train as train_script
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


def fuzz(examples: int) -> Any:
    """The same examples each time; no shrinking, since the message of a failure shows the command line."""
    health = [HealthCheck.too_slow, HealthCheck.data_too_large]
    phases = [Phase.explicit, Phase.generate]
    return settings(max_examples=examples, derandomize=True, deadline=None, suppress_health_check=health, phases=phases)


def outcome(*words: str) -> tuple[int, str, str, list[Path]]:
    """Status, output and error of `train.py`, and the files that it leaves, in a folder of its own."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, {"WANDB_MODE": "disabled", "HOME": folder, "MIXUP_DATA": folder}),
        mock.patch.object(sys, "argv", ["train.py", *words]),
        contextlib.redirect_stdout(io.StringIO()) as output,
        contextlib.redirect_stderr(io.StringIO()) as error,
    ):
        status = train_script.main()
        files = [file.relative_to(folder) for file in Path(folder).rglob("*") if file.is_file()]
        return status, output.getvalue(), error.getvalue(), files


def refused(status: int, error: str) -> bool:
    lines = [line for line in error.strip().splitlines() if not line.startswith("warning: ")]
    return status == 2 and len(lines) >= 1 and len(lines[-1]) < 2500 and "Traceback" not in error and "secret" not in error


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


@pytest.mark.slow
@fuzz(500)
@given(COMMANDS)
def test_many_random_command_lines_are_obeyed_or_refused_in_one_message(words):
    composed_alone(words)


# What a training of one step may be asked for: mostly right, and small.
ONE_STEP = [
    *("trainer.epochs=1", "data.train_size=30", "data.test_size=30", "trainer.batch_size=30", "trainer.clean_slice=9"),
    *("optim.milestones=[]", "sweep.slots=1", "runs_dir=runs"),
]
SMALL = {
    "data": ["digits", "iris", "wine", "rings"],
    "model": ["lenet", "mlp", "preact_resnet18", "speech_lenet", "vgg11", "timm"],
    "mixup": GROUPS["mixup"],
    "model.width": ["1", "4", "null"],
    "mixup.alpha": ["0", "1e-30", "0.2", "1e30"],
    "mixup.partner": ["random", "flip", "roll", "nearest"],
    "mixup.neighbours": ["1", "5", "30"],
    "mixup.ways": ["2", "3", "40"],
    "mixup.layer": ["null", "0", "stages.0", "net.0"],
    "mixup.within_class": ["true", "false"],
    "mixup.targets": ["mixed", "dominant"],
    "mixup.fold": ["true", "false"],
    "mixup.lam_per": ["batch", "example"],
    "mixup.label_smoothing": ["0.1", "0.9999"],
    "mixup.noise": ["0.5"],
    "mixup.warmup_epochs": ["1", "5"],
    "optim.name": ["sgd", "adam"],
    "optim.lr": ["1e-30", "0.1", "0.5"],
    "optim.momentum": ["0", "0.9", "null"],
    "optim.nesterov": ["true", "false", "null"],
    "optim.weight_decay": ["0.1"],
    "optim.decay_batchnorm": ["false"],
    "optim.warmup_epochs": ["1", "3"],
    "optim.warmup_lr": ["0", "1"],
    "trainer.batch_size": ["1", "7", "29", "10000000"],
    "trainer.eval_batch_size": ["1", "2147483647"],
    "trainer.precision": ["float32", "tf32", "bfloat16"],
    "trainer.capture": ["auto", "true", "false"],
    "trainer.channels_last": ["true", "false"],
    "trainer.deterministic": ["true"],
    "trainer.sync_batchnorm": ["true"],
    "trainer.log_every_steps": ["1"],
    "trainer.checkpoint_every_steps": ["1", "2147483647"],
    "trainer.checkpoint_every_minutes": ["0", "1e30"],
    "trainer.clean_slice": ["0", "2147483647"],
    "data.validation": ["0.2", "0.001", "0.99"],
    "data.label_noise": ["0.5", "1"],
    "data.train_size": ["1", "2", "null", "10000"],
    "data.test_size": ["1", "null"],
    "data.augment": ["false"],
    "data.resident": ["true", "false"],
    "data.on_error": ["skip"],
    "data.workers": ["0", "1024"],
    "data.seed": ["9223372036854775807"],
    "seed": ["9223372036854775807", "0,1"],
    "evaluate": ["card"],
}
STEPS = st.lists(
    st.sampled_from(sorted(SMALL)).flatmap(lambda key: st.sampled_from(SMALL[key]).map(lambda value: f"{key}={value}")),
    max_size=6,
)


def trained_or_refused(words: list[str]) -> None:
    """Where a run is refused before it trains it leaves nothing; one that diverges keeps its folder, and says so."""
    status, _, error, files = outcome(*ONE_STEP, *words)
    folders = {file.parent for file in files if file.name == "config.yaml"}
    finished = {file.parent for file in files if file.name == "record.json"}
    if status == 0:
        assert folders == finished != set()
    else:
        assert refused(status, error), error
        assert folders == finished or "finite" in error or "nan" in error, error


@fuzz(8)
@given(STEPS)
def test_a_random_step_is_trained_or_refused(words):
    trained_or_refused(words)


@pytest.mark.slow
@fuzz(60)
@given(STEPS)
def test_many_random_steps_are_trained_or_refused(words):
    trained_or_refused(words)


@pytest.mark.slow
@fuzz(25)
@given(STEPS)
def test_random_dry_runs_write_nothing(words):
    status, _, error, files = outcome(*ONE_STEP, "dry_run=true", *words)
    assert files == []
    assert status == 0 or refused(status, error), error
