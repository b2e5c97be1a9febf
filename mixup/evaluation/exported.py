"""A trained classifier as a program that needs torch alone, or an ONNX runtime: pixels in, logits out."""

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from mixup.data import DatasetInfo
from mixup.data.datasets import dataset_info
from mixup.errors import UserError
from mixup.evaluation.finished_run import load_weights
from mixup.evaluation.measurements import weights_file
from mixup.run import records
from mixup.run.config import OWN, TrainConfig
from mixup.training.network import build

ONNX_PACKAGES = ("onnx", "onnxscript")
REMEDY = "hand on the run's directory instead, which eval.py takes in a clone of this project"


class Classifier(nn.Module):
    """A network behind the normalisation of its inputs, by the very numbers of `data.resident.Normalise`."""

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, info: DatasetInfo) -> None:
        super().__init__()
        self.network, self.takes_pixels = network, bool(info.mean)
        if self.takes_pixels:
            mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (info.mean, info.std))
            self.register_buffer("scale", 1 / (info.white * std))
            self.register_buffer("shift", -mean / std)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, C, H, W) uint8 pixels, or (B, *input_shape) float32 of what comes normalised -> (B, num_classes) float32."""
        return self.network(inputs.float() * self.scale + self.shift if self.takes_pixels else inputs)


def trained_classifier(folder: Path, config: TrainConfig, record: records.Record) -> tuple[Classifier, DatasetInfo]:
    """The network of a finished run, in evaluation mode on the CPU, and what it takes; reads no data. UserError for weights
    that do not load."""
    info, file = recorded_info(config, record), weights_file(folder)
    if len(info.input_shape) == 1:  # a table may have other columns than UCI's
        info = replace(info, input_shape=(first_width(file),))
    network = build(config, info)
    load_weights(network, file)
    return Classifier(network, info).eval().requires_grad_(False), info


def recorded_info(config: TrainConfig, record: records.Record) -> DatasetInfo:
    """The facts of the data that a run was trained on, which for data of the user's are in its record."""
    data, stated = record["data"], config.data
    if stated.name not in OWN:
        info = dataset_info(stated.name)
        return replace(info, num_classes=len(data.get("classes") or range(info.num_classes)))
    return DatasetInfo(
        num_classes=len(data["classes"]),
        input_shape=tuple(data.get("input_shape", (1,))),  # of a table by its first layer
        mean=tuple(data.get("mean", ())),
        std=tuple(data.get("std", ())),
        train_count=data["train_count"],
        test_count=data["test_count"],
        crop_padding=stated.crop_padding or 0,
        flip=bool(stated.flip),
        resized_crop=bool(stated.resized_crop),
    )


def first_width(file: Path) -> int:
    """How many features the first layer of an mlp takes."""
    try:
        with safe_open(file, "pt") as weights:
            return weights.get_slice("1.weight").get_shape()[1]
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} cannot be used ({error}): train the run again") from error


def example(info: DatasetInfo, count: int) -> Tensor:
    """(count, *input_shape) inputs of the right kind: all grey levels, or normal numbers."""
    size, generator = (count, *info.input_shape), torch.Generator().manual_seed(0)
    if info.mean:
        return torch.randint(info.white + 1, size, dtype=torch.uint8, generator=generator)
    return torch.randn(size, generator=generator)


def program_of(classifier: Classifier, info: DatasetInfo) -> ExportedProgram:
    """The classifier as torch's program, for batches of any size on any device. UserError for a network that cannot become
    one."""
    try:
        program = torch.export.export(classifier, (example(info, 2),), dynamic_shapes=({0: Dim("batch")},))
    except Exception as error:  # torch.export refuses with exceptions of every kind
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"torch.export refuses this network ({reason}): {REMEDY}") from error
    program.example_inputs = None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names folders of this machine
        if node.target is torch.ops.aten._assert_tensor_metadata.default:
            node.kwargs = {"dtype": node.kwargs["dtype"]}  # and not the device, which may be another one there
    check_program(program, classifier, info)
    return program


def check_program(program: ExportedProgram, classifier: Classifier, info: DatasetInfo) -> None:
    """Raises UserError unless it gives the network's logits, for batches of other sizes than that of the export, too."""
    module = program.module()
    for count in (1, 3):
        inputs = example(info, count)
        difference = (module(inputs) - classifier(inputs)).abs().nan_to_num(0).max()  # a diverged network has no numbers
        if difference > 1e-4:
            raise UserError(f"the exported network differs from the trained one by {difference:.2g} in a logit: {REMEDY}")


def save_program(program: ExportedProgram, file: Path) -> None:
    """The same program in the same bytes, for files of one name."""
    torch.export.save(program, file)


def require_onnx() -> None:
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"onnx=true needs {' and '.join(missing)}: python -m pip install {' '.join(ONNX_PACKAGES)}")


def write_onnx(program: ExportedProgram, info: DatasetInfo, file: Path) -> None:
    """The program as ONNX in one file: `inputs` -> `logits`, with a dimension `batch`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages about each other
        onnx = torch.onnx.export(
            program,
            (example(info, 2),),
            input_names=["inputs"],
            output_names=["logits"],
            dynamic_shapes=({0: "batch"},),
            dynamo=True,
            verbose=False,
        )
    assert onnx is not None
    for node in onnx.model.graph:
        node.metadata_props.clear()  # stack traces, which name folders of this machine
    onnx.save(file, external_data=False)
