"""Google Speech Commands (section 3.3): the official archives, their official lists of held-out clips."""

from __future__ import annotations

import hashlib
import http.client
import os
import shlex
import tarfile
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mixup.data.dataset import Dataset, split_of
from mixup.data.datasets import dataset_info
from mixup.data.sources.download import time_limit
from mixup.data.sources.spectrograms import Listing, cached_spectrograms
from mixup.errors import UserError


@dataclass(frozen=True)
class Release:
    """folders: names that it may have below the data root. url, sha256, gigabytes: of its archive, named after the first."""

    title: str
    folders: tuple[str, ...]
    sha256: str
    gigabytes: float

    @property
    def url(self) -> str:
        return f"http://download.tensorflow.org/data/{self.folders[0]}.tar.gz"

    def archive(self, root: Path) -> Path:
        return root / f"{self.folders[0]}.tar.gz"


SHA256_V1 = "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d"
SHA256_V2 = "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"
RELEASES = {
    "speech_commands": Release("Speech Commands v0.01", ("speech_commands_v0.01",), SHA256_V1, gigabytes=1.4),
    "speech_commands_v2": Release(
        "Speech Commands v0.02", ("speech_commands_v0.02", "speech_commands"), SHA256_V2, gigabytes=2.3
    ),
}
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}


def speech_commands(name: str, *, root: Path, download: bool, device: torch.device) -> Dataset:
    """Spectrograms (N, 1, 161, 101) float32 by the official lists, of the words that are there. Computed on `device` once.

    Raises UserError where there is nothing, and for a folder that is not the release or is damaged.
    """
    release, info = RELEASES[name], dataset_info(name)
    folder = find(release, root, download=download)
    clips = list_clips(folder)
    classes = tuple(sorted({word_of(clip) for clip, *_ in clips}))
    if len(classes) > info.num_classes:
        known = f"{release.title} has {info.num_classes}"
        raise UserError(f"{folder} holds {len(classes)} words, and {known}: move away what does not belong there")
    held_out = {part: read_list(folder / file) for part, file in LISTS.items()}
    parts = assign(clips, held_out, folder)
    arrays = cached_spectrograms(root, name, folder, parts, device=device)
    splits = {part: split_of(arrays[part], labels_of(parts[part], classes), arrays[f"{part}_identity"]) for part in parts}
    words = f" ({len(classes)} of {info.num_classes} words)" if len(classes) < info.num_classes else ""
    if not words and len(parts["train"]) != info.train_count:
        words = f" ({len(parts['train']):,} of {info.train_count:,} training clips)"
    return Dataset(
        info=replace(info, num_classes=len(classes)),
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        provenance=f"{release.title}{words}",
        classes=classes,
        absent=count_absent(folder, held_out, parts),
    )


def find(release: Release, root: Path, *, download: bool) -> Path:
    """The folder of clips: as it lies there, else unpacked from the archive that lies there, else from a downloaded one."""
    for name in release.folders:
        if (root / name).is_dir():
            return root / name
    archive = release.archive(root)
    if archive.is_file():
        check_archive(archive, release)
    elif download:
        fetch(release, archive)
    else:
        raise UserError(nothing_found(release, root, "data.download is false"))
    return unpack(archive, root / release.folders[0])


def nothing_found(release: Release, root: Path, why: str) -> str:
    archive, folder = release.archive(root), root / release.folders[0]
    return f"""no {release.title} in {root}, and {why}. Any one of these will do:
  * the official archive ({release.gigabytes} GB), as {archive}; with data.download=true it is fetched, or by
      curl -L -o {shlex.quote(str(archive))} {release.url} --create-dirs
  * its clips, as {folder}/<word>/*.wav, and its lists beside the words, as {folder}/{" and ".join(LISTS.values())}
  * another data root: MIXUP_DATA=DIR in the environment, or data.root=DIR
  * the digits, which need no file: data=digits"""


def fetch(release: Release, archive: Path) -> None:
    """Downloads the archive: under its name only once it is whole."""
    print(f"{release.title} is not in {archive.parent}: downloading {release.gigabytes} GB", flush=True)
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with time_limit(30):
            torch.hub.download_url_to_file(release.url, str(archive), hash_prefix=release.sha256)
    except (OSError, http.client.HTTPException, RuntimeError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(nothing_found(release, archive.parent, f"it cannot be downloaded ({reason})")) from error


def check_archive(archive: Path, release: Release) -> None:
    try:
        with open(archive, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{archive} cannot be read ({error})") from error
    if sha256 != release.sha256:
        raise UserError(
            f"{archive} is damaged, incomplete or not {release.title}: its SHA-256 is {sha256}, not {release.sha256}. "
            f"Get it anew: curl -L -o {shlex.quote(str(archive))} {release.url}"
        )


def unpack(archive: Path, folder: Path) -> Path:
    """Into `folder`, which has its name only once it is whole; nothing is left of an unpacking that fails."""
    print(f"unpacking {archive}, once", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}.partial-", dir=folder.parent) as partial:
            with tarfile.open(archive) as packed:
                packed.extractall(Path(partial) / "clips", filter="data")
            (Path(partial) / "clips").rename(folder)
    except (OSError, EOFError, tarfile.TarError) as error:
        if not folder.is_dir():  # else another process was faster
            raise UserError(f"{archive} cannot be unpacked in {folder.parent} ({error}): is there space?") from error
    return folder


def list_clips(folder: Path) -> Listing:
    """Of all words, in the order of their names. Folders such as _background_noise_ are no words."""
    clips: Listing = []
    try:
        for word in os.scandir(folder):
            if word.is_dir() and not word.name.startswith(("_", ".")):
                files = [file for file in os.scandir(word.path) if file.name.endswith(".wav") and file.name[0] != "."]
                clips += [(f"{word.name}/{file.name}", file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except OSError as error:
        raise UserError(f"{folder} cannot be listed ({error}): restore or remove what is named there") from error
    return sorted(clips)


def word_of(clip: str) -> str:
    return clip.split("/")[0]


def labels_of(listing: Listing, classes: tuple[str, ...]) -> np.ndarray:
    index = {word: label for label, word in enumerate(classes)}
    return np.array([index[word_of(clip)] for clip, *_ in listing], np.int64)


def read_list(file: Path) -> set[str]:
    """Names such as `yes/cc592808_nohash_0.wav`, one a line."""
    try:
        return set(file.read_text(errors="replace").split())
    except OSError as error:
        why = f"cannot be read ({error.strerror}), and says which clips are held out"
        raise UserError(f"{file} {why}: restore it from the official archive") from error


def assign(clips: Listing, held_out: dict[str, set[str]], folder: Path) -> dict[str, Listing]:
    """Clips by split. What no list names is to train on. Raises UserError where a split gets none."""
    parts: dict[str, Listing] = {"train": [], **{part: [] for part in held_out}}
    for clip in clips:
        parts[next((part for part, names in held_out.items() if clip[0] in names), "train")].append(clip)
    for part, listing in parts.items():
        if not listing:
            which = f"named in {folder / LISTS[part]}" if part in LISTS else "that no list holds out"
            remedy = "restore them from the official archive, or move the folder away and start again"
            raise UserError(f"{folder} holds no {part} clip: expected <word>/*.wav {which}; {remedy}")
    return parts


def count_absent(folder: Path, held_out: dict[str, set[str]], parts: dict[str, Listing]) -> dict[str, int]:
    """Listed clips that are not there, by split; said. Words left out altogether do not count: the provenance has those."""
    words = {word_of(clip) for listing in parts.values() for clip, *_ in listing}
    listed = {part: sum(word_of(name) in words for name in names) for part, names in held_out.items()}
    absent = {part: listed[part] - len(parts[part]) for part in held_out if listed[part] > len(parts[part])}
    if absent:
        counts = " and ".join(f"{count:,} of {listed[part]:,} {part} clips" for part, count in absent.items())
        print(f"{folder} lacks {counts} that the official lists name", flush=True)
    return absent
