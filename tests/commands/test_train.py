"""What a person gets back: one message and a status, never a traceback, and no directory left by a mistake."""

import gc
import json
import sys
import weakref

import pytest
import torch

import train as train_script
from mixup.commands import evaluate as evaluate_command
from mixup.training import train as training


@pytest.fixture
def train(monkeypatch, capsys, tmp_path):
    """`train.py ARGUMENTS` in this process: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("MIXUP_COMMIT", "a" * 40)  # without which uncommitted changes are noted

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        status = train_script.main()
        return status, *capsys.readouterr()

    return run


SMALL = ("data.train_size=60", "trainer.epochs=2", "trainer.batch_size=32", "trainer.train_eval_size=20")
ONE_BY_ONE = "sweep.slots=1"  # in this process, which has imported torch already


@pytest.mark.parametrize(
    ("mistake", "remedy"),
    [
        ("mixup.alhpa=1", "mixup.alpha"),
        ("mixup.alpha=-1", "0 for ERM, or a positive number"),
        ("data=cifar11", "cifar10"),
        ("trainer.epochs=ten", "trainer.epochs"),
        ("trainer.epocs=10", "trainer.epochs"),
        ("+mixup.foo=1", "mixup.foo: no such setting"),
        ("+foo=1", "foo: no such setting"),
        ("sede=1", "seed"),
        ("model=wrn29", "wrn28"),
        ("experiment=quikstart", "quickstart"),
        ("seed", "seed"),
        ("seed=null", "seed"),
        ("mixup=erm,mixup", "-m"),
        ("model.width=3", "lenet has no such option"),
        ("data.train_size=5000", "898"),
        ("trainer.device=cuda", "trainer.device=cpu"),
    ],
)
def test_a_mistake_ends_in_one_short_message_with_the_remedy(train, tmp_path, mistake, remedy):
    status, _, error = train(mistake)
    assert status == 2
    assert remedy in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1
    assert len(error) < 250
    assert list(tmp_path.iterdir()) == [], "a mistake leaves nothing behind"


def test_a_mistake_in_the_last_cell_of_a_sweep_stops_it_before_the_first(train, tmp_path):
    status, output, error = train("-m", *SMALL, "mixup.alpha=0,1,-2")
    assert (status, output) == (2, "")
    assert "mixup.alpha=-2" in error
    assert not (tmp_path / "runs").exists()


def test_a_finished_run_is_not_run_again(train, tmp_path):
    status, output, _ = train(*SMALL)
    assert status == 0
    assert "test error" in output
    (record,) = tmp_path.glob("runs/digits-lenet/*/record.json")
    before = record.stat().st_mtime_ns
    status, output, _ = train(*SMALL)
    assert status == 0
    assert "already finished" in output
    assert record.stat().st_mtime_ns == before


def test_a_sweep_says_which_cell_and_ends_with_the_table(train, tmp_path):
    status, output, _ = train("-m", *SMALL, ONE_BY_ONE, "mixup=erm,mixup", "seed=0,1")
    assert status == 0
    for number in range(1, 5):
        assert f"[{number}/4] runs/digits-lenet/" in output
    errors = {}
    for file in tmp_path.glob("runs/digits-lenet/*/record.json"):
        record = json.loads(file.read_text())
        errors.setdefault(record["alpha"], []).append(record["test"]["top1_error"]["last"])
    for pair in errors.values():
        mean, std = sum(pair) / 2, abs(pair[0] - pair[1]) / 2**0.5
        assert f"{mean:.2f} ± {std:.2f} (n=2)" in output
    assert not list(tmp_path.glob("multirun*"))


@pytest.mark.parametrize(
    "error",
    [
        lambda: torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError,
        lambda: RuntimeError("can't allocate memory"),
    ],
    ids=["GPU", "Python", "CPU"],
)
def test_a_run_that_runs_out_of_memory_says_so_in_one_line_and_lets_the_sweep_go_on(train, tmp_path, monkeypatch, error):
    networks: list[weakref.ref] = []
    step = training.train_epoch

    def epoch(model, *arguments, **options):
        gc.collect()
        assert [network() for network in networks] == [None] * len(networks), "the memory of the runs before is free"
        networks.append(weakref.ref(model))
        if len(networks) == 1:
            raise error()
        return step(model, *arguments, **options)

    monkeypatch.setattr(training, "train_epoch", epoch)
    status, output, said = train("-m", "seed=0,1,2", *SMALL, "trainer.epochs=1", "runs_dir=runs", ONE_BY_ONE)
    assert status == 2
    first, last = [line for line in said.splitlines() if not line.startswith("warning: ")]
    assert first.startswith("out of memory: a smaller trainer.batch_size")
    assert last == "1 of 3 runs have no record"
    assert len(networks) == 3
    assert len(list(tmp_path.glob("runs/*/*/record.json"))) == 2
    assert "(n=2)" in output, "the table of the two others"


def test_a_dry_run_needs_no_data_and_writes_nothing(train, tmp_path):
    status, output, _ = train(
        "dry_run=true", "data=cifar100", "model=wrn28", "data.root=/nowhere", "trainer.batch_size=2", "mixup.alpha=1.0"
    )
    assert status == 0
    assert "36,536,884 (36.54 M)" in output
    assert "milestones: [60, 120, 180]" in output or "- 60" in output
    assert "0.1 from epoch 0, 0.01 from epoch 60, 0.001 from epoch 120, 0.0001 from epoch 180" in output
    assert "10.49 GFLOPs per image" in output
    assert "images/s" in output
    assert "200 epochs of 50,000 images" in output
    assert list(tmp_path.iterdir()) == []


def test_a_grid_without_m_says_so(train):
    status, output, error = train("experiment=quickstart", *SMALL)
    assert (status, output) == (2, "")
    assert "grid over data.label_noise, mixup, seed: add -m" in error


def test_flags_that_show_something_are_hydras_and_others_are_refused(train):
    status, output, _ = train("--cfg", "job", "seed=7")
    assert (status, "seed: 7" in output) == (0, True)
    status, _, error = train("--config-dri=elsewhere")
    assert (status, len(error.splitlines())) == (2, 1)


def test_a_damaged_record_is_named(train, tmp_path):
    train(*SMALL)
    (record,) = tmp_path.glob("runs/digits-lenet/*/record.json")
    record.write_text("{")
    status, _, error = train(*SMALL)
    assert status == 2
    assert "record.json is not readable" in error


def evaluate(capsys, *arguments: str) -> tuple[int, str, str]:
    status = evaluate_command.evaluate(list(arguments), usage="usage")
    return status, *capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["rnu=x"], "did you mean 'run'"),
        (["root=x"], "run is missing"),
        (["some/folder"], "run=some/folder"),
        (["run=/nowhere"], "no such directory"),
        (["run=/nowhere", "device=tpu"], "use auto, cpu"),
    ],
)
def test_mistakes_in_an_evaluation_are_answered(capsys, arguments, remedy):
    status, _, error = evaluate(capsys, *arguments)
    assert status == 2
    assert remedy in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "extra", [(), ("mixup=erm", "model=preact_resnet18", "model.width=4", "trainer.precision=bfloat16")]
)
def test_eval_reproduces_the_records_test_error_exactly(train, tmp_path, capsys, extra):
    train(*SMALL, *extra)
    (record,) = tmp_path.glob("runs/*/*/record.json")
    few = ("examples=20", "pairs=4")
    status, output, _ = evaluate(capsys, f"run={record.parent}", *few)
    assert status == 0
    assert "the record's, exactly" in output
    for metric in ("top-1", "top-5", "negative log-likelihood", "ECE", "Brier"):
        assert metric in output
    values = json.loads(record.read_text())
    values["test"]["top1_error"]["last"] += 0.5
    record.write_text(json.dumps(values))
    status, output, _ = evaluate(capsys, f"run={record.parent}", *few)
    assert status == 1
    assert "differs from the record" in output


def test_eval_names_an_unfinished_run_and_damaged_weights(train, tmp_path, capsys):
    train(*SMALL)
    (record,) = tmp_path.glob("runs/*/*/record.json")
    (record.parent / "weights.safetensors").write_bytes(b"nothing")
    assert "cannot be used" in evaluate(capsys, f"run={record.parent}")[2]
    record.unlink()
    assert "has not finished" in evaluate(capsys, f"run={record.parent}")[2]
