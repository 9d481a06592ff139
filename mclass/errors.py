"""Errors that say what was given, what is allowed and what to do.

Every class is also one of Python's own (``ValueError``, ``OSError``, …), so ``except ValueError`` keeps
working for callers who do not know this module.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable


class AudioError(ValueError):
    """An audio file or array cannot be used: missing, empty, truncated, not audio, not finite."""


class DatasetError(ValueError):
    """A data set's files, labels or options do not fit together."""


class ModelError(ValueError):
    """A model, a checkpoint or a run folder cannot be used."""


class CacheError(OSError):
    """The cache folder cannot be written, is full, or holds something that is not ours."""


class DownloadError(OSError):
    """A file cannot be fetched, or is not the one that was expected."""


class BusyError(OSError):
    """Another process is writing to the same place."""


def shortened(value: object) -> str:
    """How a value looks, in a line that somebody reads: long ones without their middle.

    Examples
    --------
    >>> shortened([1, 2]), shortened(list(range(1000)))
    ('[1, 2]', '[0, 1, 2, 3, 4, 5, ...]')
    """
    short = reprlib.Repr()
    short.maxstring = short.maxother = 200
    try:
        return short.repr(value)
    except ValueError:  # a whole number of more digits than Python writes
        return "a number of thousands of digits"


def unknown_name(kind: str, given: object, allowed: Iterable[str]) -> str:
    """Say that a name is unknown, list what exists and guess what was meant.

    Parameters
    ----------
    kind : str
        What the name is a name of, as the reader knows it ("data set", "model").
    given : object
        What was given.
    allowed : iterable of str
        What exists.

    Examples
    --------
    >>> unknown_name("model", "cnn2d", ["cnn_1d", "cnn_2d"])
    "unknown model 'cnn2d' (did you mean 'cnn_2d'?); available: cnn_1d, cnn_2d"
    """
    allowed = list(allowed)
    close = difflib.get_close_matches(given, allowed, n=1) if isinstance(given, str) and len(given) < 100 else []
    guess = f" (did you mean {close[0]!r}?)" if close else ""
    return f"unknown {kind} {shortened(given)}{guess}; available: {', '.join(allowed)}"
