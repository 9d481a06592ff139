"""Options that come as text, from a command line or a file, checked by the type hints of what takes them.

What a number may be is for the functions themselves to say; here it is seen to that it is a number at all.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError

from mclass.errors import shortened, unknown_name

_CONFIG = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
_LARGEST = 2**63  # of whole numbers; no size, count or seed is larger


def parameters(function: Callable) -> dict[str, inspect.Parameter]:
    """What a function or class takes, by name; of a class also what it hands on to the class above it.

    ``"**"`` is among the names if it takes others, too.

    Examples
    --------
    >>> list(parameters(parameters))
    ['function']
    """
    found: dict[str, inspect.Parameter] = {}
    for one in function.__mro__ if inspect.isclass(function) else [function]:
        if "__init__" not in vars(one) and inspect.isclass(one):
            continue
        open_ended = None
        for name, parameter in _signature(one).items():
            if parameter.kind is parameter.VAR_KEYWORD:
                open_ended = parameter
            elif name != "self":
                found.setdefault(name, parameter)
        if open_ended is None or not inspect.isclass(one):
            return found | ({"**": open_ended} if open_ended else {})
    return found


def _signature(function: Callable) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function, eval_str=True).parameters
    except NameError:  # a hint of what is imported for type checkers only
        return inspect.signature(function).parameters


def checked(
    function: Callable, options: Mapping[str, Any], where: str, without: Collection[str] = ()
) -> dict[str, Any]:
    """`options` as `function` takes them: each known, and of its type; lists become tuples where these are asked.

    Parameters
    ----------
    function : callable
    options : mapping
        By name. Text is not taken for a number, nor True for 1.
    where : str
        For messages: what the options are of.
    without : collection of str
        What `function` takes, and is not to be had from `options`.

    Raises
    ------
    ValueError
        If an option is unknown or of another type; the message says what is allowed.

    Examples
    --------
    >>> def crop(seconds: float, channels: tuple[int, int] = (1, 2)): ...
    >>> checked(crop, {"seconds": 3, "channels": [4, 8]}, "crop")
    {'seconds': 3.0, 'channels': (4, 8)}
    >>> checked(crop, {"seconds": "long"}, "crop")
    Traceback (most recent call last):
    ValueError: crop: seconds must be a number, got 'long'
    """
    allowed = {name: one for name, one in parameters(function).items() if name not in without}
    others = allowed.pop("**", None)
    found = {}
    for name, value in options.items():
        parameter = allowed.get(name, others if isinstance(name, str) and name not in without else None)
        if parameter is None:
            raise ValueError(f"{where}: {unknown_name('option', name, allowed)}")
        try:
            found[name] = _converted(value, parameter)
        except ValidationError as error:
            usual = parameter.default
            example = f", such as {str(usual).lower()}" if isinstance(usual, bool | int | float) else ""
            raise ValueError(f"{where}: {explained(error, name)}{example}, got {shortened(value)}") from None
    return found


def explained(error: ValidationError, *outer: str) -> str:
    """What pydantic found: the first place that is wrong, below `outer`, and what belongs there."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    place = [*outer, *(str(one) for one in errors[0]["loc"])]
    branches = ("str", "int", "float", "bool")  # of a union
    place = [one for one in place if one not in branches and "[" not in one]
    first, *others = dict.fromkeys(_plainly(one["msg"]) for one in errors)
    text = " or ".join([first, *(one.removeprefix("must be ") for one in others)])
    return f"{'.'.join(place)} {text}".lstrip()


def _plainly(message: str) -> str:
    for theirs, ours in (
        ("Value error, ", ""),
        ("Field required", "is missing"),
        ("Input should be", "must be"),
        ("valid array", "list"),
        ("valid integer", "whole number"),
        ("a valid boolean", "true or false"),
        ("an object", "a mapping"),
        ("valid dictionary", "mapping"),
        ("a valid string", "text"),
        ("valid number", "number"),
    ):
        message = message.replace(theirs, ours, 1)
    return message


def _converted(value: Any, parameter: inspect.Parameter) -> Any:
    hint = parameter.annotation
    if (value is None and parameter.default is None) or hint is parameter.empty or isinstance(hint, str):
        hint = Any
    adapter = TypeAdapter(Annotated[hint, AfterValidator(_not_huge)], config=_CONFIG)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        try:
            return adapter.validate_json(
                json.dumps(value, default=_plain)
            )  # as JSON has it, a list may be a tuple
        except ValidationError as other:
            raise error if "isinstance" in str(other) else other from None
        except (TypeError, ValueError):  # it has no form in JSON
            raise error from None


def _not_huge(value: Any) -> Any:
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        raise ValueError("whole numbers are less than 2^63")
    if isinstance(value, list | tuple | dict):
        for one in value.values() if isinstance(value, dict) else value:
            _not_huge(one)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return os.fspath(value)  # a TypeError if it is no path
