"""The words after `train.py`: Hydra's flags, and settings."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from mixup.errors import UserError
from mixup.run.conversions import schema_defaults
from mixup.run.sources import Sources, sources_of


@dataclass(frozen=True)
class Request:
    """What a command line asks for: a run, or a sweep, of settings.

    shows: instead of that, the flags by which Hydra itself shows something, such as --cfg job.
    asks_for_help: it is to say what can be chosen; `--help-all`, all of it, is Hydra's.
    """

    settings: list[str]
    sources: Sources
    multirun: bool
    shows: list[str]
    asks_for_help: bool


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"train.py: {message}")


def parser() -> Parser:
    """Hydra's flags. It answers the first group itself."""
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    shows = parser.add_argument_group("shows").add_argument
    for flags in (("--help-all",), ("--hydra-help",), ("--version",), ("-sc", "--shell-completion")):
        shows(*flags, dest="show", action="store_true")
    shows("-c", "--cfg", choices=["job", "hydra", "all"])
    infos = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
    shows("-i", "--info", nargs="?", const="all", choices=infos)
    runs = parser.add_argument_group("runs").add_argument
    runs("-m", "--multirun", action="store_true")
    runs("-r", "--run", action="store_true")
    for flags in (("-cd", "--config-dir"), ("-cn", "--config-name"), ("-cp", "--config-path"), ("-p", "--package")):
        runs(*flags)
    runs("--resolve", action="store_true")
    runs("--experimental-rerun")
    return parser


def request_of(arguments: Sequence[str]) -> Request:
    """UserError for a flag that is unknown, or that does not go with the others."""
    options, settings = parser().parse_known_args(list(arguments))
    for word in settings:
        if word.startswith("-"):
            raise UserError(unknown(word))
    if options.config_path is not None:
        raise UserError(
            f"--config-path {options.config_path}: the project's own files are always read; name the folder of yours with "
            "--config-dir DIR, and with --config-name NAME the file there that is read first"
        )
    if options.experimental_rerun is not None:
        raise UserError("--experimental-rerun: Hydra keeps no file of a run here; the same command resumes or repeats one")
    shows = bool(options.show or options.cfg or options.info)
    if shows and (options.multirun or options.run):
        raise UserError("-m and -r run something, and --cfg, --info and --help-all show something: give one of them")
    if (options.package or options.resolve) and not options.cfg:
        raise UserError("--package and --resolve choose what --cfg shows: add --cfg job")
    flags = [word.replace("--help-all", "--help") for word in arguments if word not in settings] if shows else []
    sources = sources_of(options.config_dir, options.config_name)
    return Request(settings, sources, options.multirun, flags, asks_for_help=options.help and not shows)


def unknown(flag: str) -> str:
    """What is wrong with a flag that is none; W&B's agent writes settings as `--mixup.alpha=0.2`."""
    key, equals, _ = flag.lstrip("-").partition("=")
    if not equals and key not in dict(schema_defaults()):
        return f"{flag}: no such flag; there are -m for a sweep, --config-dir, --config-name, --cfg job, --info and --help"
    written = flag.lstrip("-") if equals else f"{key}=VALUE"
    return f"{flag}: write {written}, without hyphens; in a W&B sweep's command, ${{args_no_hyphens}} instead of ${{args}}"
