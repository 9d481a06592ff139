"""Paths as people write them, and files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def user_path(given: str | os.PathLike) -> Path:
    """A path as somebody wrote it, ``~`` and ``~name`` at its start being home folders.

    What exists under the very name that was given wins: a song may be called ``~after hours~.flac``. Where there
    is no such home, the name stays as it was given, as in a shell.

    Examples
    --------
    >>> user_path("~nobody of that name/song.mp3").as_posix()
    '~nobody of that name/song.mp3'
    """
    path = Path(given)
    if os.fspath(given).startswith("~") and not os.path.lexists(path):
        with contextlib.suppress(RuntimeError, ValueError):  # there is no such home
            return path.expanduser()
    return path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to: at the end it takes the place of `path`; after an error it is gone.

    A kill in the middle leaves `path` as it was, and a hidden file that ends in ``.tmp``.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
