"""Lists, dictionaries, text and arrays out of somebody else's pickle, and nothing that could run code.

Taught in: 02_datasets.
"""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from mclass.errors import DatasetError

_NUMBER = re.compile(r"[biuf][1248]|[?bhilqfd]")  # codes of numpy's types of numbers


class _Number:
    """A type of number, as numpy's dtype is pickled: a code, then its state with the order of bytes."""

    def __init__(self, code: str | bytes, *_: object):
        self.code = _text(code)
        if not _NUMBER.fullmatch(self.code):
            raise pickle.UnpicklingError(f"an array of {self.code!r} is not plain data")

    def __setstate__(self, state: tuple) -> None:
        self.order = _text(state[1])


class _Array:
    """An array of numbers, built here and not by numpy's own function, which would take objects, too."""

    def __init__(self, *_: object):
        pass

    def __setstate__(self, state: tuple) -> None:
        _, shape, number, by_columns, data = state
        values = np.frombuffer(bytes(data), np.dtype(number.code).newbyteorder(number.order))
        self.value = values.reshape(shape, order="F" if by_columns else "C")

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        return self.value


def _text(value: str | bytes) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else value


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in an old protocol."""
    return text.encode("latin-1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): None,  # only named, as what the next one shall make
    ("numpy", "dtype"): _Number,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("_codecs", "encode"): _encode,
}


class _Plain(pickle.Unpickler):
    """Knows numbers, text, containers and arrays of numbers; refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not plain data")
        return _ALLOWED[module, name]


def read(path: Path) -> Any:
    """The content of a pickle of lists, dictionaries, tuples, numbers, text, bytes and arrays of numbers.

    Raises
    ------
    DatasetError
        If the file is missing, damaged, or holds anything else: loading that could run code, so it is refused.
    """
    try:
        data = path.read_bytes()
        return _Plain(io.BytesIO(data), encoding="bytes").load()
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file; the list of the split is not complete") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None
    except pickle.UnpicklingError as error:
        raise DatasetError(
            f"{path}: refused: {error}. A pickle can run code when it is loaded; get the original, or write the "
            "list as CSV, JSON or npz."
        ) from None
    except Exception as error:  # whatever a damaged pickle makes the unpickler raise
        raise DatasetError(f"{path}: is damaged ({type(error).__name__}). Copy or download it again.") from None
