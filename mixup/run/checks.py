"""Checks of several settings together, for configurations that are composed; records are read without them."""

import math
import re
from pathlib import Path

from mixup.errors import UserError, check, holds_secret, redacted, spelled
from mixup.run.config import OWN, POINTS, TrainConfig
from mixup.run.conversions import leaves, schema_defaults

# What a game of figure 5 has of the settings of a classifier, and the values that the schema gives no default for.
GAME_SETTINGS = re.compile(
    r"name|seed|runs_dir|scale|gan\..*|tracking\..*|sweep\..*|data\.(name|root|download)|model\.(name|width|depth)|mixup\.(alpha|lam_per)|"
    r"optim\.(lr|decay)|trainer\.(batch_size|eval_batch_size|device|precision|channels_last|log_every_steps|train_eval_size|"
    r"checkpoint_every_minutes|deterministic)"
)
GAME_VALUES = {
    "optim.name": "adam",
    "optim.weight_decay": 0.0,
    "optim.milestones": [],
    "trainer.epochs": 1,
    "trainer.compile": False,
}


def check_together(config: TrainConfig) -> None:
    """UserError for two settings of a classifier that exclude each other."""
    mixup, optim, trainer, values = config.mixup, config.optim, config.trainer, dict(leaves(config))
    in_order, sgd, on_cpu = mixup.partner in ("flip", "roll"), optim.name == "sgd", trainer.device == "cpu"
    for ok, key, other, remedy in (
        (not (mixup.within_class and in_order), "mixup.within_class", "mixup.partner", "mixup.within_class=false"),
        (mixup.ways == 2 or not in_order, "mixup.ways", "mixup.partner", "mixup.ways=2"),
        (mixup.ways == 2 or not mixup.fold, "mixup.fold", "mixup.ways", "mixup.fold=false"),
        (not (mixup.layer and mixup.partner == "nearest"), "mixup.layer", "mixup.partner", "mixup.layer=null"),
        ((optim.momentum is not None) == sgd, "optim.momentum", "optim.name", "a number with sgd, null with adam"),
        ((optim.nesterov is not None) == sgd, "optim.nesterov", "optim.name", "true or false with sgd, null with adam"),
        (optim.warmup_lr is not None or not optim.warmup_epochs, "optim.warmup_lr", "optim.warmup_epochs", "a number"),
        (len(optim.milestones) * math.log10(optim.decay) <= 38, "optim.decay", "optim.milestones", "a decay below 1"),
        (optim.momentum or not optim.nesterov, "optim.nesterov", "optim.momentum", "optim.nesterov=false"),
        # a compiled network's layers cannot be reached, and a partner that is left out is missing from its batch
        (not (mixup.layer and trainer.compile), "mixup.layer", "trainer.compile", "trainer.compile=false"),
        (not (mixup.layer and config.data.on_error == "skip"), "mixup.layer", "data.on_error", "data.on_error=raise"),
        (not (trainer.capture is True and mixup.noise), "trainer.capture", "mixup.noise", "trainer.capture=auto"),
        (not (trainer.capture is True and on_cpu), "trainer.capture", "trainer.device", "trainer.capture=auto"),
        (
            not (trainer.sync_batchnorm and on_cpu),
            "trainer.sync_batchnorm",
            "trainer.device",
            "trainer.sync_batchnorm=false",
        ),
        (trainer.precision != "tf32" or not on_cpu, "trainer.precision", "trainer.device", "trainer.precision=float32"),
    ):
        if not ok:
            pair = f"{key}={spelled(values[key])} and {other}={spelled(values[other])}"
            raise UserError(f"{pair} do not go together: use {remedy}")


def check_own(config: TrainConfig) -> None:
    """UserError for data or a network of the user's that is not named, and for a setting of these elsewhere."""
    data, name = config.data, config.data.name
    for owner, settings in OWN.items():
        for setting in settings:
            if (value := getattr(data, setting)) is not None and name != owner:
                raise UserError(f"data.{setting}={spelled(value)}: only data={owner} has this setting; leave it out")
    if name == "folder" and data.root is None:
        raise UserError(
            "data=folder: which folder? data.root=DIR, with one folder a class in DIR, or in DIR/train and DIR/test"
        )
    for setting, usual in (("scaling", "standardised"), ("split", "random")):
        if name == "folder" and (value := getattr(data, setting)) != usual:
            raise UserError(f"data.{setting}={value} is of tables, and data=folder is none: leave it out")
    if name == "csv" and (data.file is None or data.target is None):
        raise UserError(
            "data=csv: which table, and which of its columns holds the classes? data.file=FILE data.target=COLUMN"
        )
    if name == "csv" and data.resident is False:
        raise UserError("data.resident=false: a table is always kept in memory; leave data.resident at null")
    if data.resized_crop and data.crop_padding:
        raise UserError(f"data.resized_crop=true and data.crop_padding={data.crop_padding} do not go together: use 0")
    for setting, other, least in (("mean", data.std, 0.0), ("std", data.mean, 1e-6)):
        if (values := getattr(data, setting)) is not None:
            ok = len(values) == 3 and all(least <= value <= 1 for value in values) and other is not None
            check(f"data.{setting}", values, ok, "three numbers from 0 to 1, for red, green and blue, mean and std together")
    path = config.model.path
    if path is not None and config.model.name != "import":
        raise UserError(f"model.path={path}: only model=import has this setting; leave it out")
    if config.model.name == "import" and not re.fullmatch(r"(?!.*\.py:)[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", path or ""):
        raise UserError(
            f"model.path={spelled(path)}: name a module and a function of it, as model.path=package.module:function, or for "
            "a file net.py model.path=net:function; the module is found from the directory where the command is run"
        )


def check_game(config: TrainConfig) -> None:
    """UserError for a game of figure 5 with a setting that only a classifier has, and the other way round."""
    parts = (config.data.name in POINTS, config.model.name == "gan", config.gan is not None)
    if not any(parts):
        return
    if not all(parts):
        raise UserError(
            f"data={config.data.name} and model={config.model.name} do not go together with this recipe: a GAN takes "
            f"data={' or data='.join(POINTS)}, model=gan and recipe=gan"
        )
    defaults = {**dict(schema_defaults()), **GAME_VALUES}
    for key, value in leaves(config):
        if not GAME_SETTINGS.fullmatch(key) and value != defaults[key]:
            raise UserError(f"{key}={spelled(value)} and model=gan do not go together: use {spelled(defaults[key])}")
    if config.gan and config.gan.game == "author" and config.mixup.alpha > 1:
        raise UserError(
            f"mixup.alpha={config.mixup.alpha} and gan.game=author do not go together: there alpha is the partner's largest "
            "weight, use at most 1"
        )


def check_values(config: TrainConfig) -> None:
    """UserError for what no setting can be: a number too large to compute with, a text that is empty or of several lines, an
    address where a path is meant, or a secret."""
    values = dict(leaves(config))
    for key, value in values.items():
        for part in value if isinstance(value, list) else [value]:
            if type(part) is int:
                most = {"trainer.batch_size": 10**7, "seed": 2**63 - 1, "data.seed": 2**63 - 1}.get(key, 2**31 - 1)
                check(key, value, abs(part) <= most, f"at most {most}")
            elif isinstance(part, float):
                check(key, value, abs(part) <= 1e38, "a number up to 1e38")
            elif isinstance(part, str):
                ok = part.strip() != "" and not re.search(r"[\x00-\x1f\x7f]", part)
                check(key, repr(value), ok, "a text of one line, which is not empty, or leave it out")
    for key in ("runs_dir", "data.root", "data.file"):
        path = values[key] or ""
        check(key, redacted(path), "://" not in path, "a path on this machine, since nothing is kept at an address")
        try:
            Path(path).expanduser()
        except RuntimeError as error:
            raise UserError(f"{key}={path}: there is no such home; use the full path") from error
    for key in ("tracking.project", "tracking.entity"):
        if holds_secret(values[key] or ""):
            raise UserError(f"{key} holds a key or a password, and would be public: W&B takes its key from $WANDB_API_KEY")


# What mixing has no effect on where nothing is mixed, and the value that asks for nothing.
OF_MIXTURES = {"partner": "random", "ways": 2, "within_class": False, "fold": False, "targets": "mixed", "layer": None}


def doubts(config: TrainConfig) -> list[str]:
    """What a run may ask for and hardly means: settings without effect, a sentence each."""
    epochs, optim, mixup, gan = config.trainer.epochs, config.optim, config.mixup, config.gan
    within = f"within trainer.epochs={epochs}"
    late = [milestone for milestone in optim.milestones if milestone >= epochs]
    idle = [f"mixup.{key}={spelled(value)}" for key, value in vars(mixup).items() if value != OF_MIXTURES.get(key, value)]
    found = []
    if late:
        found.append(f"optim.milestones: the learning rate does not fall after {late} {within}")
    if optim.decay > 1 and optim.milestones:
        found.append(f"optim.decay={optim.decay}: the learning rate rises at optim.milestones")
    if optim.warmup_epochs > epochs:
        found.append(f"optim.warmup_epochs={optim.warmup_epochs}: the learning rate does not reach optim.lr {within}")
    if optim.warmup_epochs and (optim.warmup_lr or 0) > optim.lr:
        found.append(
            f"optim.warmup_lr={optim.warmup_lr} is above optim.lr={optim.lr}: the learning rate falls in the warm-up"
        )
    if mixup.alpha and mixup.warmup_epochs >= epochs:
        found.append(f"mixup.warmup_epochs={mixup.warmup_epochs}: nothing is mixed {within}")
    if idle and not mixup.alpha and not gan:
        found.append(f"{', '.join(idle)}: no effect, since mixup.alpha=0 mixes nothing")
    if mixup.alpha and mixup.partner != "nearest" and mixup.ways > config.trainer.batch_size:
        found.append(
            f"mixup.ways={mixup.ways}: with trainer.batch_size={config.trainer.batch_size} examples mix with themselves"
        )
    if gan and max(gan.snapshots, default=0) > gan.iterations:
        found.append(f"gan.snapshots: none after gan.iterations={gan.iterations}")
    return found
