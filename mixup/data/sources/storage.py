"""What the sources share: where a dataset is published and kept, encoded files, and arrays that are computed once."""

import contextlib
import hashlib
import io
import os
import shlex
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from mixup.errors import UserError
from mixup.run.files import remove_leftovers, replacing

if TYPE_CHECKING:
    from PIL import Image

Arrays = dict[str, np.ndarray]


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
        paths = {"root": root, "archive": self.archive(root)}
        quoted = {f"quoted_{name}": shlex.quote(str(path)) for name, path in paths.items()}
        return UserError(
            f"no {self.title} in {root}, and {why}. Any one of these will do:\n"
            f"{self.remedy.format(**vars(self), **paths, **quoted)}\n"
            f"  * another data root: MIXUP_DATA=DIR in the environment, or data.root=DIR\n  * {self.instead}"
        )


def data_root(root: str | None) -> Path:
    """`data.root`, else $MIXUP_DATA, else ~/.cache/mixup-data."""
    return Path(root or os.environ.get("MIXUP_DATA") or Path.home() / ".cache" / "mixup-data").expanduser()


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Inside, a connection that is silent for so long raises TimeoutError. Restores the former limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@dataclass(frozen=True)
class Files:
    """Encoded images or clips on disk: files in folders, or members of tar shards. Compact, for workers to share millions.

    names: (N,) bytes, each a path below `root`, or a member's name inside its shard.
    where: (N, 3) int64, for shards only: the index into `shards`, offset and length in bytes.
    """

    root: Path
    names: np.ndarray
    shards: tuple[str, ...] = ()
    where: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: Tensor | np.ndarray) -> "Files":
        index = np.asarray(rows)
        return replace(self, names=self.names[index], where=None if self.where is None else self.where[index])

    def path(self, row: int) -> str:
        """What to call the example in a message; for files in folders the path to open."""
        name = os.fsdecode(self.names[row])
        return str(self.root / name) if self.where is None else f"{self.root / self.shards[self.where[row, 0]]}: {name}"

    def read(self, row: int) -> bytes:
        """The encoded content. Raises OSError."""
        if self.where is None:
            with open(self.root / os.fsdecode(self.names[row]), "rb") as file:
                return file.read()
        shard, offset, length = self.where[row]
        with open(self.root / self.shards[shard], "rb", buffering=0) as file:
            file.seek(offset)
            return file.read(length)

    def image(self, row: int, size: tuple[int, int] | None = None) -> np.ndarray:
        """The decoded pixels, (H, W, 3) uint8. Raises UserError for a file that is no image, or not of `size`."""
        from PIL import Image

        try:
            with Image.open(io.BytesIO(self.read(row))) as image:
                if size is None or (image.height, image.width) == size:
                    return np.asarray(as_rgb(image))
        except MemoryError:
            raise
        except Exception as error:  # Pillow raises nearly anything for a damaged file
            raise UserError(f"{self.unreadable(row, error)}: restore or remove it") from error
        raise UserError(f"{self.path(row)} is {image.width}x{image.height}, not {size[1]}x{size[0]}")

    def size(self, row: int) -> tuple[int, int]:
        """Height and width by the header alone. Raises UserError for a file that is no image."""
        from PIL import Image

        try:
            with Image.open(self.root / os.fsdecode(self.names[row])) as image:
                return image.height, image.width
        except Exception as error:
            raise UserError(f"{self.unreadable(row, error)}: restore or remove it") from error

    def unreadable(self, row: int, error: Exception) -> str:
        """Which file, and why; Pillow names the buffer that it read from, which says nothing."""
        return f"{self.path(row)} cannot be read as an image ({str(error).split(' <_io')[0]})"


def as_rgb(image: "Image.Image") -> "Image.Image":
    """An opened image in 8-bit colours; 16-bit grey is rounded. Raises ValueError where that would lose the picture: for
    floats and 32-bit integers, whose range nobody knows, and for transparent pixels."""
    from PIL import Image, TiffImagePlugin

    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] != 255:
        raise ValueError("some of its pixels are transparent: put it on a background")
    bits = image.tag_v2.get(258) if isinstance(image, TiffImagePlugin.TiffImageFile) else None
    if bits == (12,):  # Pillow leaves them as 0 to 4095, in the mode of 16 bits
        raise ValueError("its pixels have 12 bits: save it with 8 or 16 bits")
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):  # which have no more bits
        return Image.fromarray(((np.asarray(image, np.uint32) + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are of mode {image.mode}, whose range is not known: save it with 8 or 16 bits")
    return image if image.mode == "RGB" else image.convert("RGB")


def files_in(folder: Path, names: Sequence[str]) -> Files:
    """Files by their names below `folder`."""
    return Files(folder, np.array([os.fsencode(name) for name in names], np.bytes_))


def entries_of(folder: Path | str) -> list["os.DirEntry[str]"]:
    """What lies in a folder, by name: one listing, and no request for each entry. Raises UserError."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder} cannot be listed ({error.strerror}): restore or remove it") from error


def is_hidden(name: str) -> bool:
    """Also what systems leave beside the files of a user: ._name and __MACOSX, and @eaDir of network disks."""
    return name.startswith(".") or name in ("__MACOSX", "@eaDir")


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Also a link to one; False for a link that leads nowhere, or round in a circle."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def count_kinds(entries: Iterable["os.DirEntry[str]"]) -> Counter[str]:
    """How many files of each kind: their ending as `.txt`, or `hidden`, `folder`, `no ending`."""
    kinds = Counter[str]()
    for entry in entries:
        ending = Path(entry.name).suffix.lower() or "no ending"
        kinds["hidden" if is_hidden(entry.name) else "folder" if is_folder(entry) else ending] += 1
    return kinds


def remark_left_out(folder: Path, what: str, left_out: Counter[str]) -> tuple[str, ...]:
    """A sentence on the files that are left out as they are no `what`; none if there are none."""
    counts = ", ".join(f"{count:,} {kind}" for kind, count in left_out.most_common(5))
    return (f"{folder}: files that are no {what} are left out: {counts}",) if left_out else ()


def file_states(names: Iterable[str], folder: Path = Path()) -> list[tuple[str, int, int]]:
    """(name, bytes, modification time in ns) of each file: a key that changes when a file does. Raises UserError."""
    states = []
    for name in names:
        try:
            state = (folder / name).stat()
        except OSError as error:
            raise UserError(f"{error.filename} cannot be read ({error.strerror}): restore or remove it") from error
        states.append((name, state.st_size, state.st_mtime_ns))
    return states


def cached_arrays(root: Path, name: str, key: object, compute: Callable[[], Arrays]) -> Arrays:
    """What `compute` returns, from `<root>/.mixup-cache/<name>-<hash of key>.safetensors` if that can be read.

    Memory-mapped, so that gigabytes open at once and processes share them; a write stays its process's own.
    key: changes whenever the arrays would; only its `repr` counts. Nothing is kept if there is no folder `root`.
    """
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
    file = root / ".mixup-cache" / f"{name}-{digest}.safetensors"
    with contextlib.suppress(OSError, SafetensorError), safe_open(file, framework="pt") as tensors:
        return {key: tensors.get_tensor(key).numpy() for key in tensors.keys()}  # noqa: SIM118 (not a dict)
    arrays = compute()
    if root.is_dir():
        write_arrays(file, arrays)
    return arrays


def write_arrays(file: Path, arrays: Arrays) -> None:
    """Atomic. Without permission or space a message says that everything will be computed again next time."""
    try:
        file.parent.mkdir(exist_ok=True)
        remove_leftovers(file.parent, ".tmp??????")  # those of safetensors
        with replacing(file, file.is_file) as partial:  # its name holds the key: whoever wrote it, it is the same
            partial.touch()
            mode = partial.stat().st_mode
            save_file(arrays, partial)
            partial.chmod(mode)  # safetensors lets nobody but the owner read it
    except (OSError, SafetensorError) as error:
        print(f"{file.name} cannot be kept in {file.parent} ({error}); it will be computed again next time", flush=True)
