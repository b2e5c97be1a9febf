"""Where datasets are published and kept, the message for a missing one, and a time limit for connections."""

import os
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixup.errors import UserError


@dataclass(frozen=True)
class Download:
    """A published dataset.

    folders: names that its folder may have below the data root; the first is that of the unpacked archive.
    url: of its archive. size: of the archive, with its unit. sha256: of the archive, where it is checked here.
    remedy: the ways to provide the dataset, one bullet each. It may name {root}, {archive}, {folders}, {url}, {size} and,
    for shell commands, {quoted_root} and {quoted_archive}. instead: what can be used without any file.
    """

    title: str
    folders: tuple[str, ...]
    url: str
    size: str
    remedy: str
    sha256: str = ""
    instead: str = "the digits, which need no file: data=digits"

    def archive(self, root: Path) -> Path:
        """The path of the archive, below the root."""
        return root / self.url.rpartition("/")[2]

    def missing(self, root: Path, why: str) -> UserError:
        """The error for a root without this dataset: why it is not there, and every way to provide it."""
        archive = self.archive(root)
        remedy = self.remedy.format(
            root=root,
            folders=self.folders,
            archive=archive,
            url=self.url,
            size=self.size,
            quoted_root=shlex.quote(str(root)),
            quoted_archive=shlex.quote(str(archive)),
        )
        return UserError(
            f"no {self.title} in {root}, and {why}. Any one of these will do:\n{remedy}\n"
            f"  * another data root: MIXUP_DATA=DIR in the environment, or data.root=DIR\n  * {self.instead}"
        )


def data_root(root: str | None) -> Path:
    """`data.root`, else $MIXUP_DATA, else ~/.cache/mixup-data."""
    return Path(root or os.environ.get("MIXUP_DATA") or Path.home() / ".cache" / "mixup-data").expanduser()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Inside, a connection that is silent for so long raises TimeoutError. Restores the former limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
