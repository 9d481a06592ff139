"""What may cross between the judge and a submission: numbers, text, arrays and containers of them. No objects.

A message is a JSON text and the bytes of its arrays. Nothing is unpickled, so that a submission, which writes one
end, cannot make the judge, which reads the other, do anything but compare numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

MAX_TEXT = 8 << 20  # bytes of JSON in a message
MAX_ARRAYS = 128 << 20  # bytes of arrays in a message
MAX_DEPTH = 30  # containers inside containers
_KINDS = "biuf"  # booleans, integers, floats


class WireError(ValueError):
    """A message is broken, too large, or holds what may not cross."""


@dataclass(frozen=True)
class Handle:
    """Stands for an object that stays where it is: a network, a generator.

    Attributes
    ----------
    number : int
    kind : str
        Name of its type, for messages.
    """

    number: int
    kind: str


def pack(value: Any, remember: Callable[[Any], Handle] | None = None) -> tuple[Any, list[np.ndarray]]:
    """Take a value apart into what JSON can hold, and arrays.

    Parameters
    ----------
    value : object
        None, numbers, text, arrays, tensors, and lists, tuples and dicts of them.
    remember : callable, optional
        Makes a `Handle` of anything else.

    Raises
    ------
    WireError
        If anything else is in it and there is no `remember`, or it is nested too deeply.

    Examples
    --------
    >>> pack([1, "a"])
    (['list', [['plain', 1], ['plain', 'a']]], [])
    >>> pack(print)
    Traceback (most recent call last):
    mclass_grading.isolation.wire.WireError: builtin_function_or_method cannot be handed over; give numbers, ...
    """
    arrays: list[np.ndarray] = []

    def take(value: Any, depth: int) -> list:
        if depth > MAX_DEPTH:
            raise WireError(f"a value may hold containers inside containers {MAX_DEPTH} deep, no more")
        if value is None or type(value) in (bool, int, float, str):
            return ["plain", value]
        if isinstance(value, np.generic) and value.dtype.kind in _KINDS + "U":
            return ["plain", value.item()]
        if isinstance(value, np.ndarray) and value.dtype.kind in _KINDS:
            arrays.append(np.ascontiguousarray(value).reshape(value.shape))
            return ["array", len(arrays) - 1]
        if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
            tensor = value.detach().cpu()
            tensor = tensor.float() if tensor.is_floating_point() and tensor.itemsize < 4 else tensor
            if not tensor.is_complex():
                arrays.append(np.ascontiguousarray(tensor.numpy()).reshape(tuple(tensor.shape)))
                return ["tensor", len(arrays) - 1, bool(value.requires_grad)]
        if type(value) in (list, tuple):
            return [type(value).__name__, [take(one, depth + 1) for one in value]]
        if isinstance(value, dict):
            return ["dict", [[take(key, depth + 1), take(one, depth + 1)] for key, one in value.items()]]
        if isinstance(value, Handle):
            return ["object", value.number, value.kind]
        if remember is None:
            raise WireError(
                f"{type(value).__name__} cannot be handed over; give numbers, text, arrays, or lists of them"
            )
        handle = remember(value)
        return ["object", handle.number, handle.kind]

    return take(value, 0), arrays


def unpack(
    packed: Any,
    arrays: list[np.ndarray],
    recall: Callable[[Handle], Any] = lambda handle: handle,
    gradients: bool = False,
) -> Any:
    """Undo `pack`; `recall` says what a handle becomes, `gradients` whether tensors that ask for one still do.

    Raises
    ------
    WireError
        If this is not what `pack` makes.

    Examples
    --------
    >>> unpack(*pack({"a": (1, 2.5)}))
    {'a': (1, 2.5)}
    >>> unpack(["code", "1"], [])
    Traceback (most recent call last):
    mclass_grading.isolation.wire.WireError: not a value: ['code', '1']
    """

    def put(packed: Any, depth: int) -> Any:
        try:
            kind, content = packed[0], packed[1]
            if depth > MAX_DEPTH or not isinstance(packed, list):
                raise TypeError
            if kind == "plain" and (content is None or isinstance(content, bool | int | float | str)):
                return content
            if kind == "array":
                return arrays[content]
            if kind == "tensor":
                import torch

                tensor = torch.from_numpy(arrays[content].copy())
                return tensor.requires_grad_() if gradients and packed[2] is True else tensor
            if kind in ("list", "tuple"):
                return {"list": list, "tuple": tuple}[kind](put(one, depth + 1) for one in content)
            if kind == "dict":
                return {put(key, depth + 1): put(one, depth + 1) for key, one in content}
            if kind == "object" and isinstance(content, int) and isinstance(packed[2], str):
                return recall(Handle(content, packed[2][:100]))
        except (TypeError, IndexError, KeyError, ValueError) as error:
            if isinstance(error, WireError):
                raise
        raise WireError(f"not a value: {str(packed)[:100]}")

    return put(packed, 0)


def leaves(value: Any) -> list:
    """The tensors in a value that ask for a gradient, in order."""
    if isinstance(value, list | tuple):
        return [leaf for one in value for leaf in leaves(one)]
    if isinstance(value, dict):
        return leaves(list(value.values()))
    return [value] if getattr(value, "requires_grad", False) is True else []


def write(stream: BinaryIO, message: dict, arrays: list[np.ndarray] = ()) -> None:
    """Send a message: its length, its text, the bytes of its arrays."""
    shapes = [[array.dtype.str, list(array.shape)] for array in arrays]
    text = json.dumps({"message": message, "arrays": shapes}).encode()
    stream.write(len(text).to_bytes(8, "little") + text)
    for array in arrays:
        stream.write(memoryview(array.reshape(-1)).cast("B") if array.size else b"")
    stream.flush()


def read(exactly: Callable[[int], bytes]) -> tuple[dict, list[np.ndarray]]:
    """Receive a message.

    Parameters
    ----------
    exactly : callable
        Returns the next bytes, as many as it is asked for; raises ``EOFError`` if there are no more.

    Raises
    ------
    WireError
        If it is not a message, or larger than one may be.
    """
    length = int.from_bytes(exactly(8), "little")
    if length > MAX_TEXT:
        raise WireError(f"the text of a message has {length} bytes; at most {MAX_TEXT} are read")
    try:
        whole = json.loads(exactly(length))
        message, shapes = whole["message"], whole["arrays"]
        kinds = [(np.dtype(str(kind)), tuple(int(n) for n in shape)) for kind, shape in shapes]
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise WireError(f"not a message: {error}") from None
    if not isinstance(message, dict) or any(
        kind.kind not in _KINDS or min(shape, default=0) < 0 for kind, shape in kinds
    ):
        raise WireError("not a message: an array of something other than numbers, or no message at all")
    total = sum(kind.itemsize * math.prod(shape) for kind, shape in kinds)
    if total > MAX_ARRAYS:
        raise WireError(f"the arrays of a message have {total} bytes; at most {MAX_ARRAYS} are read")
    arrays = [np.frombuffer(exactly(kind.itemsize * math.prod(shape)), kind) for kind, shape in kinds]
    try:
        return message, [array.reshape(shape) for array, (_, shape) in zip(arrays, kinds, strict=True)]
    except (ValueError, OverflowError) as error:  # more dimensions than there are
        raise WireError(f"not a message: {error}") from None
