"""A finished run, opened from its files: configuration, record and weights, with the data that it was trained on."""

import hashlib
import sys
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mixup.data import Dataset, Examples, Split, serve
from mixup.errors import UserError
from mixup.evaluation.measurements import finished_record, run_name, weights_file
from mixup.models.imported import compare_source
from mixup.plan import generator
from mixup.run import records
from mixup.run.config import TrainConfig
from mixup.run.conversions import from_dict
from mixup.run.measured import with_measured
from mixup.training.device import choose_device, set_up_device
from mixup.training.distributed import Group
from mixup.training.engine import evaluate
from mixup.training.network import autocast, build, channels_last, place
from mixup.training.setup import load, loader_workers

WHITE = 255.0  # pixels are grey levels from 0 on


@dataclass(frozen=True)
class FinishedRun:
    """A network in evaluation mode on its device, and its data. Forward passes are in the precision of the training, and so
    are gradients by the input."""

    folder: Path
    config: TrainConfig
    record: records.Record
    data: Dataset
    device: torch.device
    model: nn.Module

    @property
    def name(self) -> str:
        return run_name(self.folder)

    @property
    def gradient_batch(self) -> int:
        """How many examples at once fit in memory with a backward pass: as many as in training."""
        return max(1, min(self.config.trainer.eval_batch_size, self.config.trainer.batch_size // self.record["world_size"]))

    def served(self, split: Split) -> Examples:
        """Part of the data on the device, without augmentation."""
        return serve(
            split,
            self.data.info,
            device=self.device,
            channels_last=channels_last(self.config, self.model, self.device),
            workers=loader_workers(self.config),
            on_error=self.config.data.on_error,
        )

    def of_inputs(self, inputs: Tensor) -> Tensor:
        """(B, *input_shape) normalised inputs -> (B, num_classes) float32 logits, differentiable by the inputs."""
        with autocast(self.config, self.device):
            return self.model(inputs).float()

    @property
    def takes_images(self) -> bool:
        """Whether inputs are pixels: neither a table nor a spectrogram, which come normalised."""
        return bool(self.data.info.mean)

    @cached_property
    def normalisation(self) -> Tensor:
        """Mean and deviation of each channel in grey levels, (2, C, 1, 1). UserError if inputs are not images."""
        if not self.takes_images:
            raise UserError(f"{self.name}: {self.config.data.name} is no data set of images, and has no pixels to change")
        return WHITE * torch.tensor([self.data.info.mean, self.data.info.std], device=self.device)[..., None, None]

    def of_pixels(self, pixels: Tensor) -> Tensor:
        """`of_inputs` of (B, C, H, W) pixels, 0 to 255."""
        mean, std = self.normalisation
        return self.of_inputs((pixels - mean) / std)

    def pixels(self, inputs: Tensor) -> Tensor:
        """The pixels of normalised inputs: the inverse of what `of_pixels` does, valid to rounding."""
        mean, std = self.normalisation
        return (inputs * std + mean).clamp(0, WHITE)

    def evaluate(self, split: Split) -> tuple[dict[str, float], Tensor]:
        """Means and logits (N, num_classes) on the CPU, as training evaluates; logits of unreadable examples are NaN."""
        size, precision = self.config.trainer.eval_batch_size, partial(autocast, self.config, self.device)
        means, logits = evaluate(self.model, self.served(split), batch_size=size, autocast=precision, group=Group())
        return means, logits.cpu()

    @cached_property
    def tested(self) -> tuple[dict[str, float], Tensor]:
        """`evaluate` of the test set."""
        return self.evaluate(self.data.test)

    def logits(self, rows: np.ndarray) -> Tensor:
        """(len(rows), num_classes) on the CPU, of these examples of the test set."""
        if "tested" in self.__dict__ or len(rows) == len(self.data.test):
            return self.tested[1][torch.from_numpy(rows)]
        return self.evaluate(self.data.test.select(rows))[1]

    def test_rows(self, examples: int | None) -> np.ndarray:
        """Indices of test examples, class-balanced, drawn by `data.seed`, in rising order; all of them for None."""
        return balanced_rows(self.data.test.labels.numpy(), examples, generator(self.config.data.seed, "evaluated_examples"))


def open_finished_run(
    folder: Path, *, root: str | None, device: str, like: FinishedRun | None = None, setting: str = "run"
) -> FinishedRun:
    """The run in `folder`, or exported to it, ready to be evaluated. root: `data.root` here; None for that of the training.

    like: another run, whose data is used where both configurations ask for the same, instead of read again.
    setting: the setting that named the folder, for messages.
    Raises UserError with the remedy for a folder without a finished run, other data, or weights that do not load.
    """
    record = classifier_record(folder, setting, "evaluated")
    config = from_dict(record["config"])
    if root and config.data.file:
        config.data.file = Path(config.data.file).name
    config.data.root = root or config.data.root
    config.data = with_measured(config.data, record["data"])
    chosen = choose_device(device, Group())
    set_up_device(chosen, config.trainer)  # as in training: without it a GPU rounds otherwise than it did there
    data = like.data if like is not None and like.config.data == config.data else load(config.data, chosen)
    if not data.is_that_of(record["data"]):
        raise UserError(
            f"the data here is not what {folder} was trained on ({record['data']['provenance']}): name its root by root=DIR"
        )
    if changed := compare_source(record):
        print(f"warning: {folder}: {changed}", file=sys.stderr, flush=True)
    model = place(config, build(config, data.info), chosen)
    load_weights(model, weights_file(folder))
    return FinishedRun(folder, config, record, data, chosen, model.eval().requires_grad_(False))


def classifier_record(folder: Path, setting: str, done: str) -> records.Record:
    """The record of a finished run. done: what is done with classifiers alone. UserError for a GAN and without a record."""
    record = finished_record(folder, f"{setting}=")
    if record["config"].get("gan"):
        raise UserError(
            f"{setting}={folder} is a GAN, and only classifiers can be {done}: its runs are made by "
            "`python train.py -m experiment=figure5_gan`, its pictures by `make figures`"
        )
    return record


def load_weights(model: nn.Module, file: Path) -> None:
    """Takes the weights of a run into its network. UserError where they are damaged or of another network."""
    try:
        model.load_state_dict(load_file(file))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UserError(f"{file} cannot be used ({error}): train the run again") from error


def digest(split: Split) -> str:
    """A SHA-256 over labels, and inputs or their digests."""
    content = split.inputs if split.identity is None else split.identity
    assert isinstance(content, Tensor), "files have an identity"
    return hashlib.sha256(content.contiguous().numpy().tobytes() + split.labels.numpy().tobytes()).hexdigest()


def balanced_rows(labels: np.ndarray, size: int | None, rng: np.random.Generator) -> np.ndarray:
    """Indices of `size` examples in rising order, as many of each class as there are or can be; all of them for None.

    Unlike `data.dataset.balanced_subset` it takes a class that is too small as it is, and it draws other examples from the
    same generator, which the measurements in results/ were made on.
    """
    if size is None or size >= len(labels):
        return np.arange(len(labels))
    order = rng.permutation(len(labels))
    rank = np.empty(len(labels), np.int64)  # 0 for the first example of every class, 1 for the second, ...
    rank[np.argsort(labels[order], kind="stable")] = np.concatenate([np.arange(count) for count in np.bincount(labels)])
    return np.sort(order[np.argsort(rank, kind="stable")[:size]])
