"""Random runs of one step: each is trained or refused in one message; one that is refused leaves nothing."""

from __future__ import annotations

import pytest
from fuzzing import fuzz, outcome, refused
from hypothesis import given
from hypothesis import strategies as st

from mixup.run.compose import CONFIGS

# What a training of one step may be asked for: mostly right, and small.
ONE_STEP = [
    *("trainer.epochs=1", "data.train_size=30", "data.test_size=30", "trainer.batch_size=30", "trainer.train_eval_size=9"),
    *("optim.milestones=[]", "sweep.slots=1", "runs_dir=runs"),
]
SMALL = {
    "data": ["digits", "iris", "wine", "rings"],
    "model": ["lenet", "mlp", "preact_resnet18", "speech_lenet", "vgg11", "timm"],
    "mixup": sorted(file.stem for file in (CONFIGS / "mixup").glob("*.yaml")),
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
    "mixup.noise": ["0.5", "1e30"],
    "mixup.warmup_epochs": ["1", "5"],
    "optim.name": ["sgd", "adam"],
    "optim.lr": ["1e-30", "0.1", "1e30"],
    "optim.momentum": ["0", "0.9", "null"],
    "optim.nesterov": ["true", "false", "null"],
    "optim.weight_decay": ["0.1", "1e30"],
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
    "trainer.train_eval_size": ["0", "2147483647"],
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


@pytest.mark.long
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
