"""A network of the user's: what a function of the user's returns, found from the directory where the command is run."""

import hashlib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from mixup.errors import UserError, suggestion
from mixup.models.from_timm import check_output

FAULTS = (Exception, SystemExit)  # of the user's code, which may do anything


def imported_model(*, num_classes: int, input_shape: tuple[int, ...], path: str | None = None) -> nn.Module:
    """What the function at `path`, `package.module:function`, returns; (B, *input_shape) -> (B, num_classes).

    It gets `num_classes` and `input_shape` by keyword, each where it has such a parameter. Raises UserError for a path that
    leads to no function, a function that fails, and a network that does not give one logit for each class.
    """
    if path is None:
        raise UserError("model.name=import: which function? model.path=package.module:function")
    function, _ = load_function(path)
    parameters = inspect.signature(function).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    given: dict[str, Any] = {"num_classes": num_classes, "input_shape": input_shape}
    chosen = {name: value for name, value in given.items() if name in parameters or (takes_any and name == "num_classes")}
    try:
        model = function(**chosen)
    except FAULTS as error:
        called = f"{path.partition(':')[2]}({', '.join(f'{name}={value}' for name, value in chosen.items())})"
        raise UserError(f"model.path={path}: {called} fails: {described(error)}") from error
    if not isinstance(model, nn.Module):
        raise UserError(f"model.path={path}: it returns {type(model).__name__}, not a torch.nn.Module")
    try:
        check_output(model, num_classes, input_shape)
    except FAULTS as error:
        shape = "x".join(map(str, input_shape))
        raise UserError(
            f"model.path={path}: its network does not turn inputs of {shape} into {num_classes} logits: {described(error)}"
        ) from error
    return model


@cache
def load_function(path: str) -> tuple[Callable[..., Any], str]:
    """The function, and the SHA-256 of the file that defines it, as it is when it is imported. Raises UserError."""
    name, _, attribute = path.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(name)
    except FAULTS as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise UserError(
                f"model.path={path}: there is no module {error.name} in {os.getcwd()}, nor among what is installed; start "
                "from the directory that holds it"
            ) from error
        raise UserError(f"model.path={path}: {name} cannot be imported: {described(error)}") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        names = [key for key, value in vars(module).items() if callable(value)]
        raise UserError(f"model.path={path}: {name} has no function {attribute}{suggestion(attribute, names)}")
    try:
        file = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:  # a partial, say
        file = None
    file = file or module.__file__
    return function, hashlib.sha256(Path(file).read_bytes() if file else b"").hexdigest()


def source_of(path: str | None) -> dict[str, str]:
    """The function of `model.path` and the SHA-256 of its file, for records and checkpoints; empty for None."""
    return {} if path is None else {"path": path, "sha256": load_function(path)[1]}


def compare_source(recorded: dict[str, Any]) -> str:
    """Whether the network of a record is the user's and its source has changed since, in words; else nothing."""
    if not (source := recorded.get("network")):
        return ""
    try:
        same = source_of(source["path"]) == source
    except UserError:
        return f"the module of its network, {source['path']}, is not found from here"
    return "" if same else f"the file that defines its network, {source['path']}, has changed since"


def described(error: BaseException) -> str:
    """What went wrong, and the last line of code that is not torch's."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames and frames[-1].filename != __file__ else ""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}{where}"
