"""What a run may vary: the typed schema of `configs/`, and its checks.

A misspelt key or a wrong type is an error on the command line and inside a YAML file alike, because `TrainConfig` is the
first default of `configs/train.yaml`. Facts of a data set (classes, channel statistics, sizes) stand beside its code.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from mixup.errors import check, check_choice, check_device

EVALUATIONS = ("attacks", "between", "card", "surface")
GAMES = ("paper", "unmixed", "author")  # of figure 5; see `mixup/gan/game.py`
OLD_NAMES = {"trainer.train_eval_size": "trainer.clean_slice"}  # of settings, in hashes and in files of earlier versions
POINTS = ("ring", "grid")  # data sets of figure 5
# Data of the user's, with the settings that these alone have.
OWN = {"folder": ("size", "crop_padding", "flip", "resized_crop", "mean", "std"), "csv": ("file", "target")}


@dataclass
class DataConfig:
    """Which examples. Subset, split and noise depend on `seed` here alone: every run of a table sees the same ones."""

    name: str = MISSING
    root: str | None = None  # default: $MIXUP_DATA, else ~/.cache/mixup-data
    download: bool = True  # fetch the official archive where nothing is found
    train_size: int | None = None  # a class-balanced subset of the training set
    test_size: int | None = None  # a class-balanced subset of the test set, where all of it takes too long
    validation: float = 0.0  # share of the training set held out, class-balanced, never trained on
    label_noise: float = 0.0  # share of training labels replaced by a uniform draw over all classes (section 3.4)
    augment: bool = True  # crops and flips, where the data set has them
    scaling: str = "standardised"  # of a table's numbers, by its training part: or min-max, to 0 and 1, or raw (section 3.6)
    train_share: float = 0.5  # of a table's rows, or of a folder's images without a test set; the rest is to test on
    split: str = "random"  # which of a table's rows train: drawn from `seed`, or the first ones of the file (file_order)
    seed: int = 0
    resident: bool | None = None  # images in folders: decoded into memory, or streamed; null goes by their size
    workers: int | None = None  # processes that decode streamed images; null: one a core, shared by this machine's ranks
    on_error: str = "raise"  # at a streamed image that cannot be read; `skip` leaves its pairs out and counts it
    size: int | None = None  # of a folder's images, height and width in pixels; null: their own, where all have the same
    crop_padding: int | None = None  # of a folder's images: pixels around them, from which a crop of `size` is cut
    flip: bool | None = None  # of a folder's images: half of them mirrored, left to right
    resized_crop: bool | None = None  # of a folder's images: crops as ImageNet's, instead of padding
    mean: list[float] | None = None  # of a folder's images, by channel, 0 to 1; null: measured on the training set
    std: list[float] | None = None
    file: str | None = None  # a CSV; a relative path starts at `root`, else where the command is run
    target: str | None = None  # the column of `file` that holds the classes

    def __post_init__(self) -> None:
        check("data.train_size", self.train_size, self.train_size is None or self.train_size >= 1, "at least 1, or null")
        check("data.test_size", self.test_size, self.test_size is None or self.test_size >= 1, "at least 1, or null")
        check("data.validation", self.validation, 0 <= self.validation < 1, "a share in [0, 1)")
        check("data.label_noise", self.label_noise, 0 <= self.label_noise <= 1, "a share in [0, 1]")
        check("data.workers", self.workers, self.workers is None or 0 <= self.workers <= 1024, "0 to 1024, or null")
        check("data.seed", self.seed, self.seed >= 0, "0 or a positive whole number")
        check("data.train_share", self.train_share, 0 < self.train_share < 1, "a share between 0 and 1")
        check_choice("data.scaling", self.scaling, ["standardised", "min-max", "raw"])
        check_choice("data.split", self.split, ["random", "file_order"])
        check_choice("data.on_error", self.on_error, ["raise", "skip"])
        check("data.size", self.size, self.size is None or 4 <= self.size <= 4096, "4 to 4096 pixels, or null")
        check("data.crop_padding", self.crop_padding, 0 <= (self.crop_padding or 0) <= 1024, "0 to 1024 pixels")


@dataclass
class ModelConfig:
    """Which network. An option left at null takes the network's own default; one it does not have is an error."""

    name: str = MISSING
    arch: str | None = None  # which of timm's networks
    path: str | None = None  # of model=import: `package.module:function`
    depth: int | None = None
    width: int | None = None
    growth: int | None = None
    dropout: float | None = None
    memory_efficient: bool | None = None
    init: str | None = None  # of an mlp's weights: null as torch draws them, or glorot, with biases of zero

    def __post_init__(self) -> None:
        for name in ("depth", "width", "growth"):
            value = getattr(self, name)
            check(f"model.{name}", value, value is None or value >= 1, "at least 1")
        if self.init is not None:
            check_choice("model.init", self.init, ["glorot"])
        check("model.dropout", self.dropout, self.dropout is None or 0 <= self.dropout < 1, "a probability in [0, 1)")


@dataclass
class MixupConfig:
    """lambda ~ Beta(alpha, alpha); alpha 0 is lambda = 1, which is ERM (section 2). The rest is of the ablation (3.8)
    and of what other systems do by the same name."""

    alpha: float = MISSING
    lam_per: str = "batch"  # one lambda a minibatch (figure 1a), or one an example
    warmup_epochs: int = 0  # first epochs on unmixed examples (section 3.3)
    ways: int = 2  # examples in a mixture, with Dirichlet(alpha, ..., alpha) weights
    partner: str = "random"  # a random permutation of the batch, its reverse (flip), the example before (roll), or nearest
    within_class: bool = False  # partners of the example's own class alone
    neighbours: int = 200  # of partner=nearest: one of so many nearest training examples
    fold: bool = False  # the example itself has the larger weight: max(lambda, 1 - lambda)
    targets: str = "mixed"  # or `dominant`: inputs alone are mixed, the target is that of the larger weight
    layer: str | None = None  # a module of the network whose output is mixed instead of the input, such as stages.0
    label_smoothing: float = 0.0  # share of the target that is spread evenly over all classes
    noise: float = 0.0  # standard deviation of Gaussian noise on the inputs; of images on the scale 0 to 1

    def __post_init__(self) -> None:
        check("mixup.alpha", self.alpha, 0 <= self.alpha < math.inf, "0 for ERM, or a positive number such as 0.2 or 1")
        check_choice("mixup.lam_per", self.lam_per, ["batch", "example"])
        check("mixup.warmup_epochs", self.warmup_epochs, self.warmup_epochs >= 0, "0 or a number of epochs")
        check("mixup.ways", self.ways, 2 <= self.ways <= 1000, "2 to 1000 examples")
        check_choice("mixup.partner", self.partner, ["random", "flip", "roll", "nearest"])
        check("mixup.neighbours", self.neighbours, self.neighbours >= 1, "at least 1")
        check_choice("mixup.targets", self.targets, ["mixed", "dominant"])
        check("mixup.layer", self.layer, self.layer != "", "a module's name such as stages.0, or null")
        check("mixup.label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "a share in [0, 1)")
        check("mixup.noise", self.noise, 0 <= self.noise < math.inf, "0 or a positive number")


@dataclass
class OptimConfig:
    """SGD (sections 3.1, 3.2) or Adam at torch's other defaults (3.3, 3.6), with a step schedule."""

    name: str = MISSING
    lr: float = MISSING
    momentum: float | None = None  # of SGD
    nesterov: bool | None = None
    weight_decay: float = MISSING
    decay_batchnorm: bool = True  # weight decay on BatchNorm's weights and biases too
    milestones: list[int] = MISSING  # epochs after which the learning rate is multiplied by `decay`
    decay: float = MISSING
    warmup_epochs: int = 0  # a linear rise from `warmup_lr` to `lr`, step by step
    warmup_lr: float | None = None

    def __post_init__(self) -> None:
        check_choice("optim.name", self.name, ["sgd", "adam"])
        check("optim.lr", self.lr, 0 < self.lr < math.inf, "a positive number")
        check("optim.momentum", self.momentum, 0 <= (self.momentum or 0) < 1, "a number in [0, 1)")
        check("optim.warmup_epochs", self.warmup_epochs, self.warmup_epochs >= 0, "0 or a number of epochs")
        check("optim.warmup_lr", self.warmup_lr, 0 <= (self.warmup_lr or 0) < math.inf, "0 or a positive number")
        check("optim.weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "0 or a positive number")
        check("optim.decay", self.decay, 0 < self.decay < math.inf, "a positive number such as 0.1")
        rising = sorted(set(self.milestones)) == self.milestones and min(self.milestones, default=1) >= 1
        check("optim.milestones", self.milestones, rising, "rising epochs, from 1")


@dataclass
class TrainerConfig:
    """How long, in which batches, on what."""

    epochs: int = MISSING
    batch_size: int = MISSING  # of one optimizer step, over all processes together
    shuffle: bool = True  # every epoch anew; false: examples in their order, the same batches every epoch
    eval_batch_size: int = MISSING
    device: str = MISSING
    precision: str = MISSING
    channels_last: bool = MISSING
    deterministic: bool = False
    capture: Any = "auto"
    sync_batchnorm: bool = False
    compile: bool = MISSING
    log_every_steps: int = MISSING
    checkpoint_every_minutes: float = MISSING
    checkpoint_every_steps: int | None = None
    train_eval_size: int = MISSING

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "eval_batch_size", "log_every_steps"):
            check(f"trainer.{name}", getattr(self, name), getattr(self, name) >= 1, "a whole number, at least 1")
        minutes, every = self.checkpoint_every_minutes, self.checkpoint_every_steps
        check("trainer.checkpoint_every_minutes", minutes, 0 <= minutes < math.inf, "0 for every epoch, or some minutes")
        check("trainer.checkpoint_every_steps", every, every is None or every >= 1, "at least 1, or null")
        check("trainer.train_eval_size", self.train_eval_size, self.train_eval_size >= 0, "0 or a number of examples")
        check_choice("trainer.precision", self.precision, ["float32", "tf32", "bfloat16"])
        check("trainer.capture", self.capture, self.capture == "auto" or type(self.capture) is bool, "auto, true or false")
        check_device("trainer.device", self.device)


@dataclass
class TrackingConfig:
    """Weights & Biases, which mirrors the run's `metrics.jsonl`."""

    wandb: str = "auto"
    project: str = "mixup"
    entity: str | None = None

    def __post_init__(self) -> None:
        check_choice("tracking.wandb", self.wandb, ["auto", "disabled", "offline", "online"])


@dataclass
class SweepConfig:
    """How a sweep (`-m`) uses this machine, or a cluster."""

    on: str = "local"  # this machine, or the jobs of a cluster: slurm or ray
    slots: Any = "auto"  # runs at once, of a cluster in each job; auto: one a GPU, or of small networks one a core
    runs_per_job: int | None = None  # null: as many as train at once, where `slots` says it, or one
    job: dict[str, Any] = field(default_factory=dict)  # what each asks for, in the words of the cluster

    def __post_init__(self) -> None:
        check_choice("sweep.on", self.on, ["local", "slurm", "ray"])
        slots, runs = self.slots == "auto" or (type(self.slots) is int and self.slots >= 1), self.runs_per_job
        check("sweep.slots", self.slots, slots, "auto, or a whole number, at least 1")
        check("sweep.runs_per_job", runs, runs is None or runs >= 1, "at least 1, or null")


@dataclass
class GanConfig:
    """A game of figure 5 (section 3.7), without which a run trains a classifier. `mixup/gan/game.py` has the games."""

    game: str = MISSING
    iterations: int = MISSING  # steps of the generator
    discriminator_steps: int = MISSING  # to one of the generator
    snapshots: list[int] = MISSING  # iterations after which points of the generator are kept

    def __post_init__(self) -> None:
        check_choice("gan.game", self.game, list(GAMES))
        for name in ("iterations", "discriminator_steps"):
            check(f"gan.{name}", getattr(self, name), getattr(self, name) >= 1, "a whole number, at least 1")
        rising = sorted(set(self.snapshots)) == self.snapshots and min(self.snapshots, default=1) >= 1
        check("gan.snapshots", self.snapshots, rising, "rising iterations, from 1")


@dataclass
class TrainConfig:
    """Everything one run of `train.py` is asked for."""

    name: str = MISSING
    seed: int = MISSING
    runs_dir: str = MISSING
    dry_run: bool = False
    scale: str = "paper"  # or cpu, what `configs/scale/cpu.yaml` has shrunk: the two never stand in one table
    evaluate: str | None = None  # what a sweep measures of each run once all have finished; see `evaluation`
    data: DataConfig = MISSING
    model: ModelConfig = MISSING
    mixup: MixupConfig = MISSING
    optim: OptimConfig = MISSING
    trainer: TrainerConfig = MISSING
    tracking: TrackingConfig = MISSING
    sweep: SweepConfig = field(default_factory=SweepConfig)
    gan: GanConfig | None = None

    def __post_init__(self) -> None:
        check("seed", self.seed, self.seed >= 0, "0 or a positive whole number")
        check_choice("scale", self.scale, ["paper", "cpu"])
        if self.evaluate is not None:
            check_choice("evaluate", self.evaluate, list(EVALUATIONS))
        ok = re.fullmatch(r"[\w.+-]{1,100}", self.name) is not None and set(self.name) != {"."}
        check("name", self.name, ok, "up to 100 letters, digits, '-', '_', '.', '+'")
