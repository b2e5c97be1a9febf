"""Google Speech Commands (section 3.3): the official archives, their official lists of held-out clips."""

import hashlib
import http.client
import os
import posixpath
import shlex
import tarfile
import tempfile
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mixup.data.dataset import Dataset, Split, split_of
from mixup.data.datasets import dataset_info
from mixup.data.sources import spectrograms
from mixup.data.sources.storage import (
    Download,
    cached_arrays,
    count_kinds,
    entries_of,
    file_states,
    files_in,
    is_folder,
    is_hidden,
    remark_left_out,
    time_limit,
)
from mixup.errors import UserError
from mixup.run.files import remove_leftovers

LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
URL = "http://download.tensorflow.org/data"
REMEDY = f"""  * the official archive ({{size}}), as {{archive}}; with data.download=true it is fetched, or by
      curl -L -o {{quoted_archive}} {{url}} --create-dirs
  * its clips, as {{root}}/{{folders[0]}}/<word>/*.wav, and beside the words its lists,
    {" and ".join(LISTS.values())}"""
SPEECH = {
    "speech_commands": Download(
        "Speech Commands v0.01",
        ("speech_commands_v0.01",),
        f"{URL}/speech_commands_v0.01.tar.gz",
        "1.4 GB",
        REMEDY,
        sha256="743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
    ),
    "speech_commands_v2": Download(
        "Speech Commands v0.02",
        ("speech_commands_v0.02", "speech_commands"),
        f"{URL}/speech_commands_v0.02.tar.gz",
        "2.3 GB",
        REMEDY,
        sha256="af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    ),
}


def speech_data(name: str, *, root: Path, download: bool, device: torch.device) -> Dataset:
    """Spectrograms (N, 1, 161, 101) float32 by the official lists, of the words that are there. Computed on `device` once.

    Raises UserError if nothing is there, and for a folder that is not the release or is damaged.
    """
    source, official = SPEECH[name], dataset_info(name)
    folder = locate_clips(source, root)
    if folder is None:
        folder = unpack(obtain_archive(source, root, download=download), root / source.folders[0])
    data = list_clips(name, folder)
    if len(data.classes) > official.num_classes:
        known = f"{source.title} has {official.num_classes}"
        raise UserError(f"{folder} holds {len(data.classes)} words, and {known}: move away what does not belong there")
    return with_spectrograms(data, name, root, folder, device)


def with_spectrograms(data: Dataset, name: str, root: Path, folder: Path, device: torch.device) -> Dataset:
    """The listed dataset with spectrograms in place of clips, from the cache below the root if they are there."""
    names = {part: [os.fsdecode(clip) for clip in split.files.names] for part, split in data.splits.items()}
    states = {part: file_states(clips, folder) for part, clips in names.items()}

    def compute() -> dict[str, np.ndarray]:
        files = {part: [folder / clip for clip in clips] for part, clips in names.items()}
        return spectrograms.read_spectrograms(files, device=device, title=f"reading the clips of {folder}, once")

    cached = cached_arrays(root, name, (spectrograms.VERSION, states), compute)
    arrays = {key: torch.from_numpy(array) for key, array in cached.items()}
    splits = {
        part: replace(split, inputs=arrays[part], identity=arrays[f"{part}_identity"]) for part, split in data.splits.items()
    }
    return data.with_splits(splits)


def locate_clips(source: Download, root: Path) -> Path | None:
    """The folder of clips below the root, if there is one."""
    return next((root / name for name in source.folders if (root / name).is_dir()), None)


def obtain_archive(source: Download, root: Path, *, download: bool) -> Path:
    """The archive below the root, checked; else the downloaded one, which has its name only once it is complete."""
    archive = source.archive(root)
    if archive.is_file():
        check_archive(archive, source)
        return archive
    if not download:
        raise source.missing(root, "data.download is false")
    print(f"{source.title} is not in {root}: downloading {source.size}", flush=True)
    try:
        root.mkdir(parents=True, exist_ok=True)
        remove_leftovers(root, f"{archive.name}.*.partial")  # torch's
        with time_limit(30):
            torch.hub.download_url_to_file(source.url, str(archive), hash_prefix=source.sha256)
    except (OSError, http.client.HTTPException, RuntimeError) as error:
        raise source.missing(root, f"it cannot be downloaded ({getattr(error, 'reason', error)})") from error
    return archive


def check_archive(archive: Path, source: Download) -> None:
    """Raises UserError unless the archive has the release's checksum."""
    try:
        with open(archive, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{archive} cannot be read ({error})") from error
    if sha256 != source.sha256:
        raise UserError(
            f"{archive} is damaged, incomplete or not {source.title}: its SHA-256 is {sha256}, not {source.sha256}. "
            f"Get it anew: curl -L -o {shlex.quote(str(archive))} {source.url}"
        )


def unpack(archive: Path, folder: Path) -> Path:
    """Into `folder`, which has its name only once it is complete; an unpacking that fails leaves nothing behind."""
    print(f"unpacking {archive}, once", flush=True)
    remove_leftovers(folder.parent, f"{folder.name}.partial-*")
    try:
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}.partial-", dir=folder.parent) as partial:
            with tarfile.open(archive) as packed:
                packed.extractall(Path(partial) / "clips", filter="data")
            (Path(partial) / "clips").rename(folder)
    except (OSError, EOFError, tarfile.TarError) as error:
        if not folder.is_dir():  # else another process was faster
            raise UserError(f"{archive} cannot be unpacked in {folder.parent} ({error}): is there space?") from error
    return folder


def list_clips(name: str, folder: Path) -> Dataset:
    """The clips as files, split by the official lists; clips that no list names are to train on.

    The info and the provenance say which words and clips are there, `absent` how many listed clips of these words are not.
    Raises UserError for a list that is missing or odd, and for a split without clips.
    """
    clips, left_out = names_of_clips(folder)
    words = {word: label for label, word in enumerate(sorted({word_of(clip) for clip in clips}))}
    held_out = {part: read_list(folder / file) for part, file in LISTS.items()}
    part_of_listed = {clip: part for part in ("test", "validation") for clip in held_out[part]}
    plain = {clip: plain_name(clip) for clip in clips}
    part_of = {clip: part_of_listed.get(plain[clip], "train") for clip in clips}
    there, known = set(plain.values()), {word_of(clip) for clip in plain.values()}
    splits, absent, remarks = dict[str, Split](), dict[str, int](), remark_left_out(folder, "clips", left_out)
    for part in ("train", *LISTS):
        listed = held_out.get(part, {})
        missing = [line for clip, line in listed.items() if word_of(clip) in known and clip not in there]
        names = [clip for clip in clips if part_of[clip] == part]
        if not names:
            expected = f"named in {folder / LISTS[part]}" if part in LISTS else "that no list holds out"
            first = f" (which names {next(iter(listed.values()))!r})" if listed else ""
            remedy = "restore them from the official archive, or move the folder away and start again"
            raise UserError(f"{folder} holds no {part} clip: expected <word>/*.wav {expected}{first}; {remedy}")
        splits[part] = split_of(files_in(folder, names), np.array([words[word_of(clip)] for clip in names], np.int64))
        if missing:
            absent[part] = len(missing)
            counts = f"{len(missing):,} of {len(missing) + len(names):,} {part} clips"
            remarks += (f"{folder} lacks {counts} that {LISTS[part]} names, the first {missing[0]}",)
    title, official, train_count = SPEECH[name].title, dataset_info(name), len(splits["train"])
    if len(words) < official.num_classes:
        title += f" ({len(words)} of {official.num_classes} words)"
    elif train_count != official.train_count:
        title += f" ({train_count:,} of {official.train_count:,} training clips)"
    parts, info = (splits["train"], splits["validation"], splits["test"]), replace(official, num_classes=len(words))
    return Dataset(info, *parts, title, tuple(words), absent=absent, left_out=left_out, remarks=remarks)


def names_of_clips(folder: Path) -> tuple[list[str], Counter[str]]:
    """`<word>/<clip>.wav` of all words, in order, and how many other files lie among them, by kind. Folders such as
    _background_noise_ are no words."""
    clips, left_out = [], Counter[str]()
    for word in entries_of(folder):
        if not is_hidden(word.name) and word.name[0] != "_" and is_folder(word):
            files = entries_of(word.path)
            names = {file.name for file in files if file.name.lower().endswith(".wav") and not is_hidden(file.name)}
            clips += [f"{word.name}/{name}" for name in names]
            left_out += count_kinds(file for file in files if file.name not in names)
    return sorted(clips), left_out


def word_of(clip: str) -> str:
    return clip.split("/")[0]


def plain_name(clip: str) -> str:
    """`yes/a.wav` however it is written: as `./yes/a.wav`, `yes\\a.wav` or `yes/a.WAV`, or by a system that decomposes é."""
    return unicodedata.normalize("NFC", posixpath.normpath(clip.replace("\\", "/"))).casefold()


def read_list(file: Path) -> dict[str, str]:
    """The lines, such as `yes/cc592808_nohash_0.wav`, by `plain_name`. Raises UserError."""
    remedy = "restore it from the official archive"
    try:
        lines = file.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError as error:
        why = f"cannot be read ({error.strerror}), and says which clips are held out"
        raise UserError(f"{file} {why}: {remedy}") from error
    names = {plain_name(line): line for line in map(str.strip, lines) if line}
    for name, line in names.items():
        if name.count("/") != 1:  # a clip that is named in another way would be trained on
            raise UserError(f"{file} names {line!r}, where <word>/<clip>.wav is expected: {remedy}")
    return names
