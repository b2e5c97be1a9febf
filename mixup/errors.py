"""Errors that the user can put right. Every module may import this one."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the request, or a fault of the machine, with its remedy.

    The entry points print the message alone, without a traceback, and exit with status 2.
    """


class LocalError(UserError):
    """A fault that one of many processes meets alone, such as a damaged file, and must therefore report itself."""


def suggestion(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'alpha'?` for the choice nearest to `word`, or an empty string."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""
