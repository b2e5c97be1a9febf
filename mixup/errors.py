"""Errors that the user can put right. Every module may import this one."""

import difflib
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


def suggestion(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'alpha'?` for the choice nearest to `word`, or an empty string."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def check(name: str, value: object, ok: bool, allowed: str) -> None:
    """Raises UserError with the remedy for a setting that is out of range. allowed: words such as `at least 1`."""
    if not ok:
        raise UserError(f"{name}={value} is out of range: use {allowed}")


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raises UserError, which suggests the nearest, for a setting that is none of the choices."""
    if value not in choices:
        raise UserError(f"{name}={value}: use {' or '.join(choices)}{suggestion(value, choices)}")


def check_device(name: str, value: str) -> None:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise UserError(f"{name}={value}: use auto, cpu, cuda or cuda:<n>")
