"""Whether a path is a file that can be opened at all, and the one sentence that says why not.

Taught in: 01_representations.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mclass.errors import AudioError

SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64"),
    *(".rf64", ".m4a", ".m4b", ".mp4", ".aac", ".mp2", ".ac3", ".wma", ".webm", ".mka", ".wv", ".ape", ".tta"),
)

_KINDS = {
    stat.S_IFIFO: "a named pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_file(path: Path) -> tuple[int, int]:
    """Size and time of a regular file; anything else is refused before it is opened, which could wait forever.

    Raises
    ------
    AudioError
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        if path.is_symlink():
            raise AudioError(
                f"{path}: is a link to {os.readlink(path)}, no such file. Is its disk connected?"
            ) from None
        raise AudioError(f"{path}: no such file{_guess(path)}. Check the path.") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        if getattr(error, "errno", None) == errno.ELOOP:
            raise AudioError(f"{path}: is a link that leads back to itself. Replace it with the file.") from None
        raise unreadable(path, error) from None
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFDIR:
        raise AudioError(
            f"{path}: is a folder. Give a file in it, or load it with mclass.datasets.load('folder', root=…)."
        )
    if kind != stat.S_IFREG:
        raise AudioError(
            f"{path}: is {_KINDS.get(kind, 'no regular file')}, not a file. Save the audio as a file."
        )
    if not status.st_size:
        raise AudioError(f"{path}: the file is empty (0 bytes). Copy or download it again.")
    return status.st_size, status.st_mtime_ns


def read_head(path: Path) -> bytes:
    """The first 64 bytes of a file that `check_file` passed."""
    try:
        with open(path, "rb") as file:
            return file.read(64)
    except OSError as error:
        raise unreadable(path, error) from None


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say which file it was that the system could not read on: its disk failed, or was taken out."""
    try:
        yield
    except OSError as error:
        raise unreadable(path, error) from None


def looks_like(head: bytes) -> str:
    """A guess at what a file is that is not audio, as words to put into a message."""
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return " (it looks like a web page: the download failed?)"
    if start.startswith(b"version https://git-lfs"):
        return " (it is a Git LFS pointer: run `git lfs pull`)"
    if head.isascii() and not any(byte < 9 for byte in head):
        return " (it looks like text)"
    return ""


def unreadable(path: Path, error: Exception) -> AudioError:
    """What the system says of a file that it cannot read."""
    return AudioError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}.")


def _guess(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (its folder {path.parent} does not exist either; the current folder is {Path.cwd()})"
    try:
        names = [name for name in os.listdir(path.parent) if name.lower().endswith(SUFFIXES)]
    except OSError:  # a folder may be entered and yet not be listed
        names = []
    close = difflib.get_close_matches(path.name, names, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
