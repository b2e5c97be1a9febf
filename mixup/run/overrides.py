"""Words of the command line as overrides. What Hydra's grammar cannot read is quoted, or refused in one sentence."""

import shlex
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from mixup.errors import UserError
from mixup.run.conversions import text_settings

GROUPS = ("data", "model", "recipe", "mixup", "experiment", "scale")  # one file of each is chosen by its name

# What would be done by Hydra in another program, and what does it in this one.
NOT_HYDRAS = {
    "job": "runs_dir=DIR says where the folders of the runs are made",
    "run": "runs_dir=DIR says where the folders of the runs are made",
    "sweep": "runs_dir=DIR says where the folders of the runs are made",
    "output_subdir": "runs_dir=DIR says where the folders of the runs are made",
    "launcher": "sweep.slots=N trains N runs of a sweep at once, on this machine, and sweep.on=slurm or ray on others",
    "sweeper": "-m with key=value,value runs every combination",
    "mode": "-m makes a sweep",
}


def parsed(words: Sequence[str]) -> list[Override]:
    """UserError for a word that is no override, that holds several settings, or that sets what Hydra does elsewhere."""
    return [read(word) for word in words]


def read(word: str) -> Override:
    key, equals, value = word.partition("=")
    is_text = key.lstrip("+") in text_settings()
    if (not equals and not word.startswith("~")) or not key.strip("+~"):
        raise UserError(f"{word}: write key=value, as seed=0")
    try:
        override = parse(word)
    except HydraException as error:
        if is_text and not set(value) & set(",'\"\\\n"):
            return parse(quoted(key, value))  # ~, é, #, (, = and the like can mean nothing else
        raise UserError(f"{key}: Hydra cannot read {value}; if it is one text, write {for_shell(key, value)}") from error
    if is_text and isinstance(override.value(), bool | int | float) and str(override.value()) != value:
        raise UserError(f"{key}: Hydra reads {value} as {override.value()}; for the text write {for_shell(key, value)}")
    if override.is_delete():
        raise UserError(f"{word}: every run has this setting; give it another value, as {key[1:]}=VALUE")
    if key in GROUPS and not override.is_sweep_override() and not isinstance(override.value(), str | int | float | dict):
        raise UserError(f"{word}: choose one, as {key}=NAME; to run several, {key}=NAME,NAME with -m")
    refuse_hydras(override)
    return override


def parse(word: str) -> Override:
    return OverridesParser.create().parse_override(word)


def quoted(key: str, value: str) -> str:
    """An override whose value is this text, whatever characters it has."""
    escaped = value.replace('"', '\\"')
    return f'{key}="{escaped}"'


def for_shell(key: str, value: str) -> str:
    return shlex.quote(quoted(key, value.strip("\"'")))


def refuse_hydras(override: Override) -> None:
    """UserError for a setting of Hydra's own that has no effect in this program."""
    section, _, setting = override.key_or_group.replace("/", ".").partition(".")
    if section != "hydra" or setting == "searchpath" or setting.startswith(("sweeper.params", "help.")):
        return
    remedy = NOT_HYDRAS.get(setting.partition(".")[0], "leave it out")
    raise UserError(f"{override.input_line}: this setting of Hydra's has no effect here; {remedy}")
