"""Errors that the user can put right. Every module may import this one."""

import difflib
import os
import re
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the request, or a fault of the machine, with its remedy.

    The entry points print the message alone, without a traceback, and exit with `status`.
    """

    status = 2


class LocalError(UserError):
    """A fault that one of many processes meets alone, such as a damaged file, and must therefore report itself."""


class OtherDataError(UserError):
    """A run that has finished, with the same configuration, was trained on other data."""

    status = 3


PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")  # in an address, as https://user:password@host
KEY = re.compile(r"\bwandb_v\d_\w{20,}")  # of W&B; the older ones are 40 hexadecimal digits, as a commit is


def holds_secret(text: str) -> bool:
    """Whether a short text, such as the name of a project, is or holds a password or a key."""
    return redacted(text) != text or re.search(r"\b[0-9a-f]{40}\b", text) is not None


def redacted(text: str) -> str:
    """The text with `***` for passwords in addresses and for keys of W&B, $WANDB_API_KEY among them."""
    key = os.environ.get("WANDB_API_KEY", "")
    text = text.replace(key, "***") if len(key) >= 8 else text
    return KEY.sub("***", PASSWORD.sub("***@", text))


def suggestion(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'alpha'?` for the choice nearest to `word`, or an empty string."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def spelled(value: object) -> str:
    """A value as it is written on the command line."""
    return (
        {None: "null", True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool | None) else str(value)
    )


def check(name: str, value: object, ok: bool, allowed: str) -> None:
    """Raises UserError with the remedy for a setting that is out of range. allowed: words such as `at least 1`."""
    if not ok:
        raise UserError(f"{name}={spelled(value)} is out of range: use {allowed}")


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raises UserError, which suggests the nearest, for a setting that is none of the choices."""
    if value not in choices:
        raise UserError(f"{name}={value}: use {' or '.join(choices)}{suggestion(value, choices)}")


def check_device(name: str, value: str) -> None:
    """UserError for what names no device; whether it is there is not asked."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise UserError(f"{name}={value}: use auto, cpu, cuda or cuda:<n>")
