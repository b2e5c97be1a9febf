"""What experiments, nets, methods and settings are called, in tables and figures alike."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import yaml

from mixup.ledger.cells import Settings, has_dropout, is_erm
from mixup.ledger.paper import Experiment, Row
from mixup.run.conversions import schema_defaults
from mixup.run.places import CONFIGS

MISSING = "-"
DEFAULTS = dict(schema_defaults())
ERM, PAPER = "ERM", "the paper's"
BY_SYSTEM = ("semantics",)  # experiments that compare systems, whose methods go by the systems' names

# Settings that a table shows wherever they vary: the title of the column, and the words for one value in a longer name.
SETTINGS = {
    "data.name": ("data", "{}"),
    "model.name": ("net", "{}"),
    "trainer.epochs": ("epochs", "{} epochs"),
    "data.label_noise": ("labels replaced", "{:.0%} of labels replaced"),
    "optim.weight_decay": ("weight decay", "weight decay {:g}"),
    "mixup.alpha": ("alpha", "alpha {:g}"),
    "gan.game": ("game", "{}"),
    "model.dropout": ("dropout", "dropout {:g}"),
    "mixup.partner": ("partner", "partner {}"),
    "mixup.within_class": ("same class", "same class"),
    "mixup.targets": ("targets", "inputs only"),
    "mixup.layer": ("mixed at", "at layer {}"),
    "mixup.ways": ("examples mixed", "mixtures of {}"),
    "mixup.label_smoothing": ("smoothing", "smoothing {:g}"),
    "mixup.noise": ("noise on inputs", "noise {:g}"),
    "mixup.lam_per": ("lambda per", "lambda per {}"),
    "mixup.fold": ("folded", "folded lambda"),
}
WITHOUT_ALPHA = ("mixup.label_smoothing", "mixup.noise")  # what has an effect on ERM, too
OF_GAMES = {"mixup.lam_per": "example"}  # what is usual in a game of figure 5
GAMES = {"paper": "the paper's formula", "unmixed": "generator unmixed", "author": "the author's code"}


# -- experiments and nets ------------------------------------------------------------------------------------------------


def experiments() -> list[str]:
    """Those in configs/experiment."""
    return sorted(file.stem for file in (CONFIGS / "experiment").glob("*.yaml") if file.stem != "none")


def has_small_form(experiment: str) -> bool:
    """Whether `scale=cpu` trains something else of it."""
    return (CONFIGS / "scale" / "experiment" / f"cpu_{experiment}.yaml").exists()


def picture_order(name: str) -> tuple[str, bool, str]:
    """Sorts pictures by their experiments, those of the paper's scale before the small ones."""
    return name.partition("-")[0], name.endswith("-cpu"), re.sub("-(paper|cpu)$", "", name)


def experiment_title(name: str, papers: Mapping[str, Experiment]) -> str:
    """The paper's title of it, or what its file in configs/experiment says first, up to a stop or semicolon, or its name."""
    if name in papers:
        return papers[name].title
    file = CONFIGS / "experiment" / f"{name}.yaml"
    header = re.search(r"^# (?!@)([^.;?\n]+\??)", file.read_text(), re.M) if file.exists() else None
    return header[1] if header else f"Runs of {name}"


def net(settings: Settings) -> str:
    """The net as papers name it, with its size where that is not the paper's."""
    name, depth, width = (settings[f"model.{key}"] for key in ("name", "depth", "width"))
    size = "" if width in (None, 64) else f" of width {width}"
    names = {
        "preact_resnet18": f"PreAct ResNet-18{size}",
        "vgg11": f"VGG-11{size}",
        "wrn28": f"WRN-{depth}-{width}",
        "densenet": f"DenseNet-BC-{depth} (k={settings['model.growth']})",
        "mlp": f"MLP {depth} x {width}",
        "lenet": "LeNet",
        "speech_lenet": "LeNet",
        "timm": str(settings["model.arch"]),
        "gan": f"networks {depth} x {width}",
    }
    return names.get(name, name.replace("resnext", "ResNeXt-").replace("resnet", "ResNet-").replace("_", " "))


# -- settings ------------------------------------------------------------------------------------------------------------


def setting_title(key: str) -> str:
    return SETTINGS[key][0] if key in SETTINGS else key.rpartition(".")[2].replace("_", " ")


def setting_value(key: str, settings: Settings) -> str:
    """For the cell of a table."""
    value = settings[key]
    if key == "model.name":
        return net(settings)
    if value is None or isinstance(value, bool):
        return MISSING if value is None else "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def setting_phrase(key: str, settings: Settings) -> str:
    """For a longer name: `weight decay 0.0005`, `50 % of labels replaced`."""
    if key == "model.name":
        return net(settings)
    if key not in SETTINGS or settings[key] is None:
        return f"{setting_title(key)} {setting_value(key, settings)}"
    value = GAMES.get(settings[key], settings[key]) if key == "gan.game" else settings[key]
    return SETTINGS[key][1].format(value).replace("%", " %")


# -- methods -------------------------------------------------------------------------------------------------------------


def method_parts(settings: Settings) -> list[str]:
    """The keys of the settings that make the method. settings: all of a run's, or those that a row of the paper has."""
    alpha = settings.get("mixup.alpha", 0)
    keys, usual = ["mixup.alpha"] if alpha else [], {**DEFAULTS, **(OF_GAMES if settings.get("gan.game") else {})}
    for key in SETTINGS:
        if key == "model.dropout":
            keys += [key] if has_dropout({"model.name": "", **settings}) else []
        elif key == "gan.game":
            keys += [key] if alpha and settings.get(key) else []
        elif key in WITHOUT_ALPHA or (alpha and key.startswith("mixup.") and key != "mixup.alpha"):
            keys += [key] if settings.get(key, usual[key]) != usual[key] else []
    return keys


def method(settings: Settings) -> str:
    """`ERM`, `mixup, alpha 8, dropout 0.3`."""
    words = [setting_phrase(key, settings) for key in method_parts(settings)]
    return ", ".join(["mixup" if settings.get("mixup.alpha") else ERM, *words])


def family(settings: Settings) -> str:
    """The method without its numbers: `mixup, dropout`."""
    words = [SETTINGS[key][1].partition(" {")[0] for key in method_parts(settings) if key != "mixup.alpha"]
    return ", ".join(["mixup" if settings.get("mixup.alpha") else ERM, *words])


def system(settings: Settings) -> str | None:
    """Whose mixup it is, by the files in configs/mixup: `timm`, ERM, PAPER; None where no file has these settings."""
    if is_erm(settings):
        return ERM
    return next((name for name, preset in presets().items() if all(settings[key] == preset[key] for key in preset)), None)


@cache
def presets() -> dict[str, dict[str, Any]]:
    """Every setting but alpha of each file in configs/mixup, by name. The paper's comes first, since others may equal it."""
    usual = {key: value for key, value in DEFAULTS.items() if key.startswith("mixup.") and key != "mixup.alpha"}
    by_name = {PAPER: usual}
    for file in sorted((CONFIGS / "mixup").glob("*.yaml")):
        values = yaml.safe_load(file.read_text()) or {}  # mixup.yaml leaves everything to the schema
        changes = {f"mixup.{key}": values[key] for key in values if key not in ("defaults", "alpha")}
        by_name.setdefault(file.stem, {**usual, **changes})
    return by_name


# -- rows of the paper ---------------------------------------------------------------------------------------------------

ROW_PARTS: dict[str, Callable[[Row], str]] = {
    "group": lambda row: row.group or "",
    "data": lambda row: row.data,
    "net": lambda row: row.model,
    "variant": lambda row: row.variant or "",
    "weight decay": lambda row: f"{row.settings.get('optim.weight_decay', 0):g}",
    "method": lambda row: method(row.settings),
}


def row_parts(rows: Sequence[Row]) -> list[str]:
    """The parts that tell rows apart; the method only if their groups do not say it."""
    varying = [name for name, text in ROW_PARTS.items() if len({text(row) for row in rows}) > 1]
    others = [name for name in varying if name != "method"]
    unique = len({tuple(ROW_PARTS[name](row) for name in others) for row in rows}) == len(rows)
    return others if unique and "group" in others else varying


def row_name(row: Row, rows: Sequence[Row]) -> str:
    """A row in one phrase, as long as it takes to tell it from the other rows of its table."""
    parts = [(name, ROW_PARTS[name](row)) for name in row_parts(rows)]
    return ", ".join(f"{name} {text}" if name == "weight decay" else text for name, text in parts if text)
