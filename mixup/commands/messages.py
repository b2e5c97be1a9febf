"""What a user is told of an error: one short message with the remedy, and an exit status."""

import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mixup.commands.process import prepare_process
from mixup.errors import LocalError, UserError, redacted, suggestion
from mixup.run.conversions import schema_defaults
from mixup.run.overrides import GROUPS

Arguments = ParamSpec("Arguments")
REFUSALS = (UserError, HydraException, OmegaConfBaseException, YAMLError)


def one_message(
    *, stopped: str, remedy: str = "repair it and start again"
) -> Callable[[Callable[Arguments, int]], Callable[Arguments, int]]:
    """Makes a program end in one message instead of a traceback: status 2 for an error that the user can put right, 1 for a
    closed pipe, 130 for Ctrl-C. stopped: what is said after Ctrl-C. remedy: what is said after an error of the system."""

    def decorate(main: Callable[Arguments, int]) -> Callable[Arguments, int]:
        @functools.wraps(main)
        def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
            prepare_process()
            try:
                return main(*args, **kwargs)
            except BrokenPipeError:  # `train.py --help | head`
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return 1
            except KeyboardInterrupt:
                print(stopped, file=sys.stderr)
                return 130
            except REFUSALS as error:  # some of Hydra's are OSErrors, too
                message, is_local = explain(error), isinstance(error, LocalError)
            except OSError as error:
                message, is_local = f"{error}: {remedy}", False
            if os.environ.get("RANK", "0") == "0" or is_local:
                print(redacted(message), file=sys.stderr)
            return 2

        return guarded

    return decorate


def explain(error: BaseException) -> str:
    """One short message with the nearest right name or the range, for an error of ours, of Hydra's or of OmegaConf's."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, YAMLError):
        mark = getattr(error, "problem_mark", None)
        where = f"{mark.name}, line {mark.line + 1}" if mark else getattr(error, "name", "a file")
        return f"{where}: no YAML ({getattr(error, 'problem', None) or getattr(error, 'reason', error)})"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, name = error.missing_cfg_file.rpartition("/")
        others = suggestion(name, error.options) or f"; there are {', '.join(error.options)}"
        return f"{group}={name}: no such file in configs/{group}{others}"
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__ or error.__context__
    if not isinstance(cause, OmegaConfBaseException):
        lines = str(error).splitlines()
        if lines[0].startswith("Ambiguous value"):
            return f"{lines[0]}: to run each of its values, add -m"
        return " ".join(lines[: 2 if "parsing override" in lines[0] else 1])
    where = "".join(line.partition(":")[0] + ": " for line in str(error).splitlines()[:1] if line.startswith("In '"))
    key, what = cause.full_key or "", str(cause).splitlines()[0]
    keys = [name for name, _ in schema_defaults()]
    if "missing mandatory value" in what:
        return f"{key}: no value; give one, as {key}=VALUE; a first file of your own begins with defaults: [train, _self_]"
    if "not in" in what and key in GROUPS:
        return f"{where}write '# @package _global_' into the first line of this file, and below it key: value"
    if "not in" in what and key in keys:
        return f"{where}{key}: a first file of your own begins with defaults: [train, _self_]"
    if "not in" in what:
        return f"{where}{key}: no such setting{suggestion(key, [*keys, *GROUPS])}"
    return f"{where}{key}: {what[0].lower()}{what[1:]}"
