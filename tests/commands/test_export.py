"""A run as a folder to hand on: what loads it, what the card says, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from mixup.commands.export import ExportConfig, export, main, portable
from mixup.data.datasets import dataset_info
from mixup.errors import UserError
from mixup.evaluation.exported import Classifier, example, program_of, require_onnx
from mixup.evaluation.measurements import write_measurement
from mixup.evaluation.printed import report
from mixup.evaluation.settings import EvalConfig
from mixup.models import build_model
from mixup.run import records
from tests.evaluation.short_runs import opened, train

ROOT = Path(__file__).resolve().parents[2]
FILES = {"README.md", "config.json", "model.pt2", "model.safetensors", "record.json"}
# What the card says, in an environment in which only torch is there to be imported.
ELSEWHERE = """
import importlib.util
import sys
assert importlib.util.find_spec("mixup") is None
sys.modules["timm"] = None
{code}
torch.save([logits, model(images[:1])], "logits.pt")
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """LeNet on digits with two seeds, of which the first has a report card's numbers, and an mlp on a table."""
    folder = tmp_path_factory.mktemp("runs")
    made = {
        "digits": train(folder, "mixup.alpha=1.0"),
        "digits 1": train(folder, "mixup.alpha=1.0", "seed=1"),
        "other": train(folder, "mixup=erm"),
        "table": train(folder, "data=iris", "model=mlp", "data.test_size=60", "trainer.epochs=10"),
    }
    card = {"measures": {"ece": 4.25, "attacks/fgsm/4": 61.5}, "examples": 150, "pairs": 1000}
    write_measurement(made["digits"], "card.json", card)
    return made


@pytest.fixture(scope="module")
def folders(runs, tmp_path_factory) -> dict[str, Path]:
    """The first run and the table's, exported."""
    out = tmp_path_factory.mktemp("exports")
    return {name: export(ExportConfig(str(runs[name]), str(out / name))) for name in ("digits", "table")}


def code_of(folder: Path) -> str:
    return (folder / "README.md").read_text().partition("```python\n")[2].partition("```")[0]


@pytest.mark.parametrize("name", ["digits", "table"])
def test_three_lines_load_it_without_this_project(name, runs, folders, tmp_path):
    """And give the logits that the run was tested with, of the examples as they lie in the data set."""
    run, code = opened(runs[name]), code_of(folders[name])
    assert len(code.splitlines()) == 3
    inputs = run.data.test.inputs
    torch.save(inputs.permute(0, 3, 1, 2) if inputs.ndim == 4 else inputs, tmp_path / "inputs.pt")
    code = code.replace("model.pt2", str(folders[name] / "model.pt2")).replace("features", "images")
    script = ELSEWHERE.format(code=code.replace("import torch\n", "import torch\nimages = torch.load('inputs.pt')\n"))
    done = subprocess.run([sys.executable, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    logits, first = torch.load(tmp_path / "logits.pt")
    torch.testing.assert_close(logits, run.tested[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(first, logits[:1], atol=1e-4, rtol=1e-4)


def test_pixels_that_are_normalised_already_are_refused(folders):
    model = torch.export.load(folders["digits"] / "model.pt2").module()
    with pytest.raises(RuntimeError, match="dtype"):
        model(torch.rand(2, 1, 8, 8))


def test_the_folder_is_complete_and_names_no_folder_of_this_machine(runs, folders):
    for folder in folders.values():
        assert {file.name for file in folder.iterdir()} == FILES
        for file in folder.iterdir():
            content = file.read_bytes()
            assert not any(str(path).encode() in content for path in (ROOT, Path.home(), runs["digits"].parents[1])), file
    weights = [
        load_file(folder / name)
        for folder, name in ((folders["digits"], "model.safetensors"), (runs["digits"], "weights.safetensors"))
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def test_the_record_keeps_what_was_run_and_not_where():
    environment = {"command": ["train.py", "data.root=/home/me", "+runs_dir=/home/me", "seed=1"], "commit": "a"}
    record = {"config": {"runs_dir": "/home/me", "data": {"root": "/home/me", "seed": 0}}, "environment": environment}
    moved = portable(
        {**record, "segments": [{"step": 0, "environment": environment}], "wandb": {"url": "https://wandb.ai/me"}}
    )
    assert "/home" not in json.dumps(moved)
    assert "wandb.ai" not in json.dumps(moved)
    assert moved["environment"] == moved["segments"][0]["environment"] == {"command": ["train.py", "seed=1"], "commit": "a"}


def test_the_card_is_one_that_hubs_read(folders, runs):
    card = ModelCard.load(folders["digits"] / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.pipeline_tag == "image-classification"
    (result,) = card.data.eval_results
    assert result.metric_value == records.read_record(runs["digits"])["test"]["top1_error"]["last"]
    assert ModelCard.load(folders["table"] / "README.md").data.pipeline_tag == "tabular-classification"


def test_the_card_has_what_was_measured(folders):
    """Of the seeds of one recipe with their interval; a median of the last ten epochs from ten epochs on."""
    digits, table = ((folders[name] / "README.md").read_text() for name in ("digits", "table"))
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in digits.splitlines() if line.startswith("| ")}
    assert "(n=2)" in rows["test error, last epoch (%)"][2]
    assert rows["test error, last epoch (%)"][3].startswith("[")
    assert rows["calibration error (%)"][1].strip() == "4.25"
    assert "(n=1)" in rows["calibration error (%)"][2]  # the other seed was not measured
    assert "test top-5 error, last epoch (%)" in rows
    assert "top-5" not in table  # of three classes
    assert "Seeds 0, 1 of one recipe" in digits
    assert "corruptions and attacks of 150" in digits
    assert "median of last 10" not in digits
    assert "median of last 10" in table
    assert "mean ± sd" not in table
    assert "One seed" in table
    assert "each standardised by its mean and deviation over the training rows" in table
    assert "None" not in digits + table


def test_eval_takes_the_folder(folders, capsys):
    assert report(EvalConfig(str(folders["table"]), pairs=2))
    assert "the test error is the record's, exactly" in capsys.readouterr().out
    (folders["table"] / "card.json").unlink()


def test_the_same_run_gives_the_same_bytes(runs, folders, tmp_path):
    again = export(ExportConfig(str(runs["table"]), str(tmp_path / "again")))
    for name in FILES:
        assert (again / name).read_bytes() == (folders["table"] / name).read_bytes(), name


NETWORKS = [
    ("preact_resnet18", "cifar10", {"width": 4}),
    ("wrn28", "cifar10", {"depth": 10, "width": 1}),
    ("densenet", "cifar10", {"depth": 10, "growth": 4}),
    ("vgg11", "speech_commands", {"width": 4}),
    ("timm", "cifar10", {"arch": "test_resnet"}),
]


@pytest.mark.parametrize(("name", "data", "options"), NETWORKS, ids=[name for name, *_ in NETWORKS])
def test_every_network_becomes_a_program_for_any_device(name, data, options):
    info = replace(dataset_info(data), num_classes=3)
    network = build_model(name, num_classes=3, input_shape=info.input_shape, **options)
    program = program_of(Classifier(network, info).eval().requires_grad_(False), info)
    assert program.module().to("meta")(example(info, 5).to("meta")).shape == (5, 3)


class Branching(torch.nn.Module):
    def forward(self, inputs):
        return inputs.flatten(1) if inputs.sum() > 0 else inputs.flatten(1)[:, :3]


def test_a_network_that_cannot_become_a_program_is_refused():
    info = dataset_info("iris")
    with pytest.raises(UserError, match=r"torch.export refuses this network .*: hand on the run's directory"):
        program_of(Classifier(Branching(), info).eval(), info)


# -- requests ------------------------------------------------------------------------------------------------------------


def refusal(capsys, *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return capsys.readouterr().err


def test_nothing_is_overwritten(runs, folders, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    assert "nothing is overwritten: remove it, or name another" in refusal(
        capsys, f"run={runs['table']}", f"to={tmp_path / 'there'}"
    )
    assert [file.name for file in tmp_path.rglob("*")] == ["there", "file"]


def test_a_folder_among_the_runs_is_refused(runs, capsys):
    inside = runs["table"].parent / "export"
    assert "lies among the runs" in refusal(capsys, f"run={runs['table']}", f"to={inside}")


def test_an_exported_folder_is_not_exported_again(folders, tmp_path, capsys):
    assert "an exported folder already" in refusal(capsys, f"run={folders['table']}", f"to={tmp_path / 'x'}")


def test_what_is_no_finished_classifier_is_refused(tmp_path, capsys):
    records.write_record(tmp_path, {"config": {"gan": {"game": "paper"}}, "test": {"modes": {"last": 8}}})
    assert "is a GAN, and only classifiers can be exported" in refusal(capsys, f"run={tmp_path}")
    (begun := tmp_path / "begun").mkdir()
    (begun / "config.yaml").touch()
    assert "this run has not finished; the command that started it resumes it" in refusal(capsys, f"run={begun}")
    assert "no such directory" in refusal(capsys, f"run={tmp_path / 'nowhere'}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "run is missing: run=DIR"),
        (["run=x", "too=y"], "did you mean 'to'"),
        (["x"], "write key=value, as run=x"),
        (["run=x", "onnx=perhaps"], "onnx: "),
    ],
)
def test_mistakes_are_told_with_their_remedy(arguments, message, capsys):
    assert message in refusal(capsys, *arguments)


def test_weights_that_are_damaged_are_refused_and_nothing_is_left(runs, tmp_path, capsys):
    run = Path(shutil.copytree(runs["table"], tmp_path / "runs" / runs["table"].name))
    (run / "weights.safetensors").write_bytes(b"damaged")
    assert "cannot be used" in refusal(capsys, f"run={run}", f"to={tmp_path / 'out' / 'x'}")
    assert not (tmp_path / "out").exists()


def test_a_record_that_lacks_something_is_refused_and_of_another_seed_left_out(runs, tmp_path, capsys):
    copies = [Path(shutil.copytree(runs[name], tmp_path / "runs" / runs[name].name)) for name in ("digits", "digits 1")]
    record = records.read_record(copies[1])
    records.write_record(copies[1], {key: value for key, value in record.items() if key != "config"} | {"config": {}})
    export(ExportConfig(str(copies[0]), str(tmp_path / "x")))
    assert f"left out of the card: {copies[1]}: " in capsys.readouterr().out
    assert "One seed" in (tmp_path / "x" / "README.md").read_text()
    assert f"{copies[1]}: " in refusal(capsys, f"run={copies[1]}", f"to={tmp_path / 'y'}")


def test_the_command_says_how_to_go_on(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([f"run={runs['other']}"]) == 0
    out = capsys.readouterr().out
    (folder,) = (tmp_path / "exports").iterdir()
    assert folder.name.startswith("digits-lenet-")
    assert f'torch.export.load("exports/{folder.name}/model.pt2").module()' in out
    assert f"python eval.py run=exports/{folder.name}" in out


# -- ONNX ----------------------------------------------------------------------------------------------------------------


def test_without_the_packages_of_onnx_the_command_to_install_them_is_told(monkeypatch):
    monkeypatch.setattr("mixup.evaluation.exported.ONNX_PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(UserError, match="python -m pip install onnx no_such_package"):
        require_onnx()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["digits", "table"])
def test_onnx_gives_the_same_logits(name, runs, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs python -m pip install onnx onnxscript onnxruntime")
    pytest.importorskip("onnxscript", reason="needs python -m pip install onnx onnxscript onnxruntime")
    folder = export(ExportConfig(str(runs[name]), str(tmp_path / "x"), onnx=True))
    run, session = opened(runs[name]), onnxruntime.InferenceSession(folder / "model.onnx")
    inputs = run.data.test.inputs
    inputs = inputs.permute(0, 3, 1, 2) if inputs.ndim == 4 else inputs
    for count in (1, len(inputs)):
        (logits,) = session.run(["logits"], {"inputs": inputs[:count].numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), run.tested[1][:count], atol=1e-4, rtol=1e-4)
    assert session.get_inputs()[0].shape[0] == "batch"
    assert str(ROOT).encode() not in (folder / "model.onnx").read_bytes()
    again = export(ExportConfig(str(runs[name]), str(tmp_path / "y"), onnx=True))
    assert (again / "model.onnx").read_bytes() == (folder / "model.onnx").read_bytes()
