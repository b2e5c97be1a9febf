"""Where a configuration is composed from: the project's files and, beside them, those that Hydra's own flags name.

Hydra looks for a file in `configs` first, then in the folder of `--config-dir`, then in those of `hydra.searchpath`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from mixup.errors import UserError
from mixup.run.places import CONFIGS


@dataclass(frozen=True)
class Sources:
    """folder: of `--config-dir`. name: of `--config-name`, the file that names all others."""

    folder: Path | None = None
    name: str = "train"


OURS = Sources()


def sources_of(folder: str | None, name: str | None) -> Sources:
    """By the values of Hydra's flags. UserError for a folder or a file that is not there."""
    users = None if folder is None else Path(folder).expanduser().resolve()
    if users is not None and not users.is_dir():
        raise UserError(f"--config-dir {folder}: no such folder")
    name = (name or "train").removesuffix(".yaml")
    sources = Sources(users, name)
    places = [place for place in (CONFIGS, users) if place is not None]
    if not any((place / f"{name}.yaml").is_file() for place in places):
        beside = "" if users else "; --config-dir DIR names the folder of your own files"
        raise UserError(f"--config-name {name}: no {name}.yaml in {' or '.join(map(str, places))}{beside}")
    return sources


@contextmanager
def opened(sources: Sources) -> Iterator[None]:
    """Inside, Hydra's `compose` reads these files."""
    UsersFolder.path = sources.folder
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            yield
    finally:
        UsersFolder.path = None


class UsersFolder(SearchPathPlugin):
    """Hydra asks it for folders to search besides the main one, whenever it is initialised."""

    path: ClassVar[Path | None] = None

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if self.path is not None:
            search_path.append("command-line", f"file://{self.path}")


Plugins.instance().register(UsersFolder)


@cache
def folders(sources: Sources, searchpath: str | None = None) -> tuple[Path, ...]:
    """Every folder in which Hydra looks for a file, in its order. UserError for a folder that is not there.

    searchpath: `hydra.searchpath` of the command line, a list as text; it takes the place of that of the first file.
    """
    found = [folder for folder in (CONFIGS, sources.folder) if folder is not None]
    first = next(file for folder in found if (file := folder / f"{sources.name}.yaml").is_file())
    values = OmegaConf.load(first)
    if not OmegaConf.is_dict(values):
        raise UserError(f"{first}: this file is a list; write key: value, below 'defaults: [train, _self_]'")
    places = OmegaConf.create(searchpath) if searchpath else OmegaConf.select(values, "hydra.searchpath")
    for place in map(str, places or ()):
        scheme, _, path = place.rpartition("://")
        folder = Path(path) if scheme in ("", "file") else package_folder(path)
        if folder is None or not folder.is_dir():
            raise UserError(f"hydra.searchpath: there is no folder {place}; write 'hydra.searchpath=[file://DIR]'")
        found.append(folder)
    return tuple(found)


def package_folder(name: str) -> Path | None:
    """The folder of a package that can be imported, as Hydra's `pkg://` names it."""
    try:
        return Path(str(files(name.replace("/", "."))))
    except (ModuleNotFoundError, TypeError, ValueError):
        return None
