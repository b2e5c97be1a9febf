"""Checks of several settings together, for configurations that are composed; records are read without them."""

import re

from mixup.errors import UserError
from mixup.run.config import POINTS, TrainConfig
from mixup.run.conversions import leaves, schema_defaults

# What a game of figure 5 has of the settings of a classifier, and the values that the schema gives no default for.
GAME_SETTINGS = re.compile(
    r"name|seed|runs_dir|scale|gan\..*|tracking\..*|sweep\..*|data\.(name|root|download)|model\.(name|width|depth)|mixup\.(alpha|lam_per)|"
    r"optim\.(lr|decay)|trainer\.(batch_size|eval_batch_size|device|precision|channels_last|log_every_steps|clean_slice|"
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
    mixup, optim, values = config.mixup, config.optim, dict(leaves(config))
    in_order, sgd = mixup.partner in ("flip", "roll"), optim.name == "sgd"
    for ok, key, other, remedy in (
        (not (mixup.within_class and in_order), "mixup.within_class", "mixup.partner", "mixup.within_class=false"),
        (mixup.ways == 2 or not in_order, "mixup.ways", "mixup.partner", "mixup.ways=2"),
        (mixup.ways == 2 or not mixup.fold, "mixup.fold", "mixup.ways", "mixup.fold=false"),
        (not (mixup.layer and mixup.partner == "nearest"), "mixup.layer", "mixup.partner", "mixup.layer=null"),
        ((optim.momentum is not None) == sgd, "optim.momentum", "optim.name", "a number with sgd, null with adam"),
        ((optim.nesterov is not None) == sgd, "optim.nesterov", "optim.name", "true or false with sgd, null with adam"),
        (optim.warmup_lr is not None or not optim.warmup_epochs, "optim.warmup_lr", "optim.warmup_epochs", "a number"),
    ):
        if not ok:
            raise UserError(f"{key}={values[key]} and {other}={values[other]} do not go together: use {remedy}")


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
            raise UserError(f"{key}={value} and model=gan do not go together: use {defaults[key]}")
    if config.gan and config.gan.game == "author" and config.mixup.alpha > 1:
        raise UserError(
            f"mixup.alpha={config.mixup.alpha} and gan.game=author do not go together: there alpha is the partner's largest "
            "weight, use at most 1"
        )


def doubts(config: TrainConfig) -> list[str]:
    """What a run may ask for and hardly means: settings that its few epochs leave without effect, a sentence each."""
    epochs, optim, mixup = config.trainer.epochs, config.optim, config.mixup
    late = [milestone for milestone in optim.milestones if milestone >= epochs]
    found = [f"optim.milestones: the learning rate does not fall after {late}"] if late else []
    if optim.warmup_epochs > epochs:
        found.append(f"optim.warmup_epochs={optim.warmup_epochs}: the learning rate does not reach optim.lr")
    if mixup.alpha and mixup.warmup_epochs >= epochs:
        found.append(f"mixup.warmup_epochs={mixup.warmup_epochs}: nothing is mixed")
    return [f"{doubt} within trainer.epochs={epochs}" for doubt in found]
