"""From an empty folder to an evaluation: runs on images, a table and a network of the user's, cut off, moved and changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from mixup.commands.export import ExportConfig, export
from mixup.evaluation.finished_run import open_finished_run
from mixup.models.imported import load_function, source_of
from mixup.run.compose import planned
from mixup.run.measured import FILE
from mixup.training import train as training
from mixup.training.folder import compare_data, fingerprints_here

ROOT = Path(__file__).resolve().parents[2]
SHORT = ("trainer.batch_size=8", "trainer.train_eval_size=0", "trainer.checkpoint_every_minutes=0", "trainer.device=cpu")
IMAGES = ("data=folder", "data.root=pets", "optim.lr=0.01", "optim.milestones=[]", "trainer.epochs=2", *SHORT)
TABLE = ("data=csv", "data.file=flowers.csv", "data.target=kind", "model=mlp", "trainer.epochs=2", *SHORT)
NETWORK = ("model=import", "model.path=nets:build")
NET = """from torch import nn


def build(num_classes, input_shape):
    channels, height, width = input_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, num_classes))
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A directory of the user's, where the commands are run."""
    rng = np.random.default_rng(0)
    for number, label in enumerate(("cat", "dog")):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for index in range(10):
            pixels = rng.integers(0, 120 + 120 * number, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / label / f"{index}.png")
    rows = [f"{'red' if row % 2 else 'blue'},{rng.normal(row % 3):.3f},k{row % 3}" for row in range(30)]
    (tmp_path / "flowers.csv").write_text("\n".join(["colour,length,kind", *rows]))
    (tmp_path / "nets.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("MIXUP_DATA", str(tmp_path / "none"))
    yield
    forget()


def forget() -> None:
    """What a process keeps of a network and of data."""
    load_function.cache_clear()
    fingerprints_here.cache_clear()
    sys.modules.pop("nets", None)


def run(*words: str) -> tuple[Path, dict]:
    """Trains in this process; the folder and the record."""
    (task,) = planned(words, multirun=False)
    return task.folder, training.train(task.config, task.folder, task.label)


def reopened(folder: Path, **options: object) -> SimpleNamespace:
    forget()
    again = open_finished_run(folder, device="cpu", **{"root": None, **options})  # type: ignore[arg-type]
    return SimpleNamespace(data=again.data, error=again.tested[0]["top1_error"])


def curve(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("seconds", "images_per_second")} for line in lines]


@pytest.mark.parametrize("words", [(*IMAGES, "model=lenet"), TABLE, (*IMAGES, *NETWORK)], ids=["images", "table", "network"])
def test_a_run_names_its_data_and_comes_out_again(words, capsys):
    folder, record = run(*words)
    again = reopened(folder)
    assert again.error == record["test"]["top1_error"]["last"]
    data = record["data"]
    if words == TABLE:
        assert data["provenance"] == "table flowers.csv, classes of the column kind"
        assert data["classes"] == ["k0", "k1", "k2"]
    else:
        assert data["provenance"] == "images of the folder pets (4 of 20 held out to test)"
        assert data["classes"] == ["cat", "dog"]
        assert (data["mean"], data["std"]) == (list(again.data.info.mean), list(again.data.info.std))
    assert len(data["fingerprint"]) == 64
    assert ("network" in record) == (NETWORK[1] in words)
    assert "warning" not in capsys.readouterr().err
    assert compare_data(planned(words, multirun=False)[0].config, folder, record) == ""


def test_streamed_images_train_the_network_that_images_in_memory_train():
    runs = [run(*IMAGES, "model=lenet", f"data.resident={resident}", "data.workers=0")[0] for resident in ("true", "false")]
    lines = [curve(folder) for folder in runs]
    for one, other in zip(*lines, strict=True):
        assert other.pop("train_unreadable") == 0
        assert one == other
    assert (runs[0] / "weights.safetensors").read_bytes() == (runs[1] / "weights.safetensors").read_bytes()


@pytest.fixture
def measurements(monkeypatch) -> list[object]:
    """What data was measured, each time that it was."""
    from mixup.data.sources import own_images

    calls, measure = [], own_images.measure

    def counted(*arguments: object) -> object:
        calls.append(arguments)
        return measure(*arguments)

    monkeypatch.setattr(own_images, "measure", counted)
    return calls


class Cut(Exception):
    """The run is cut off here."""


def cut_off(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """A run that ends after the checkpoint of its first epoch."""

    def cut(*arguments: object, **options: object) -> None:
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(training, "epoch_line", cut)
        with pytest.raises(Cut):
            run(*words)


def test_an_interrupted_run_goes_on_with_the_numbers_of_its_first_start(measurements, monkeypatch):
    words = (*IMAGES, "model=lenet")
    undisturbed, _ = run(*words, "runs_dir=others")
    assert len(measurements) == 1

    cut_off(monkeypatch, *words)
    folder, record = run(*words)
    assert len(measurements) == 2, "once a run"
    assert [segment["step"] for segment in record["segments"]] == [0, 2]
    assert curve(folder) == curve(undisturbed)
    numbers = json.loads((folder / FILE).read_text())
    assert {key: record["data"][key] for key in numbers} == numbers
    reopened(folder)
    assert len(measurements) == 2


def test_other_images_under_the_same_names_are_refused():
    folder, record = run(*IMAGES, "model=lenet")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save("pets/cat/0.png")
    with pytest.raises(Exception, match=r"the data here is not what .* was trained on .images of the folder pets"):
        reopened(folder)
    with pytest.raises(Exception, match="on other data than lies here now"):
        compare_data(planned([*IMAGES, "model=lenet"], multirun=False)[0].config, folder, record)


def test_data_that_has_moved_is_found_by_its_root():
    folder, record = run(*TABLE)
    Path("elsewhere").mkdir()
    Path("flowers.csv").rename("elsewhere/flowers.csv")
    with pytest.raises(Exception, match=r"data\.file=flowers\.csv: no such file"):
        reopened(folder)
    assert reopened(folder, root="elsewhere").error == record["test"]["top1_error"]["last"]


def test_a_network_whose_file_has_changed_is_warned_of(capsys):
    folder, record = run(*IMAGES, *NETWORK)
    Path("nets.py").write_text(NET + "\n# another\n")
    assert reopened(folder).error == record["test"]["top1_error"]["last"]
    assert "warning: runs/folder-import/" in (words := capsys.readouterr().err)
    assert "nets:build, has changed since" in words


def test_a_run_that_goes_on_with_another_source_warns_and_records_both(monkeypatch, capsys):
    cut_off(monkeypatch, *IMAGES, *NETWORK)
    before = source_of("nets:build")["sha256"]
    Path("nets.py").write_text(NET + "\n# another\n")
    forget()
    _, record = run(*IMAGES, *NETWORK)
    after = record["network"]["sha256"]
    assert [segment["network_sha256"] for segment in record["segments"]] == [before, after]
    assert before != after
    output = capsys.readouterr()
    assert f"resumed with network_sha256 {after} instead of {before}" in output.out + output.err


def train_py(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(ROOT / "train.py"), *words], capture_output=True, text=True, check=False)


def test_mistakes_end_in_one_message_and_leave_no_run():
    for words, message in (
        (("data=folder", "data.root=nowhere"), "data.root=nowhere: no such folder"),
        (("data=digits", "model=import", "model.path=nets:biuld"), "nets has no function biuld; did you mean 'build'?"),
    ):
        done = train_py(*words, *SHORT)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert not list(Path().glob("runs/*/*"))


@pytest.mark.parametrize("words", [(*IMAGES, *NETWORK), TABLE], ids=["images", "table"])
def test_what_was_trained_on_data_of_ones_own_can_be_handed_on(words, tmp_path):
    folder, record = run(*words)
    out = export(ExportConfig(str(folder), str(tmp_path / "out")))
    own = reopened(folder)
    program = torch.export.load(out / "model.pt2").module()
    inputs = own.data.test.inputs
    images = inputs.permute(0, 3, 1, 2) if inputs.dtype == torch.uint8 else inputs
    wrong = (program(images).argmax(1) != own.data.test.labels).float().mean()
    assert 100 * float(wrong) == pytest.approx(record["test"]["top1_error"]["last"])
    assert record["data"]["provenance"] in (out / "README.md").read_text()
