"""A folder on disk that is built once, by one process, completely or not at all.

Data sets that are costly to make keep their audio here as one memory-mapped array of 16-bit samples.

Taught in: 02_datasets.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import platformdirs

from mclass._utils.files import user_path, writing
from mclass._utils.schemas import Size, read_json
from mclass.errors import CacheError

_STAMP = "complete.json"
_BLOCK = 1 << 24


def home() -> Path:
    """Where caches live: ``MCLASS_HOME`` if set, else the user's cache folder."""
    chosen = os.environ.get("MCLASS_HOME", "").strip()
    return user_path(chosen) if chosen else Path(platformdirs.user_cache_dir("mclass", appauthor=False))


def build_once(name: str, build: Callable[[Path], None], num_bytes: int) -> Path:
    """The folder ``home() / name``, made by `build` if it is absent or damaged.

    Parameters
    ----------
    name : str
        Path below `home`. It must name everything the content depends on.
    build : callable
        Writes its files into the empty folder it is given. If it raises, nothing remains.
    num_bytes : int
        How much it will write; checked against the free space before it starts.

    Returns
    -------
    Path
        A folder whose files are as they were when `build` returned. It appears in one step, so a killed build
        leaves nothing that looks finished; of two processes that need it at once, one builds and one waits.

    Raises
    ------
    CacheError
        If the folder cannot be written or the disk is too small.
    """
    folder = home() / name
    if is_intact(folder):
        return folder
    with _explained(folder, num_bytes):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with writing(folder, wait=True):
            if is_intact(folder):  # another process built it while this one waited
                return folder
            for leftover in folder.parent.glob(f".{folder.name}.building-*"):
                shutil.rmtree(leftover, ignore_errors=True)  # of a killed build: the lock is ours, so nobody's now
            free = shutil.disk_usage(folder.parent).free
            if free < num_bytes:
                raise OSError(errno.ENOSPC, "disk full")
            building = Path(tempfile.mkdtemp(prefix=f".{folder.name}.building-", dir=folder.parent))
            try:
                build(building)
                _write_stamp(building)
                if folder.exists():  # damaged
                    shutil.rmtree(folder)
                building.rename(folder)
            finally:
                shutil.rmtree(building, ignore_errors=True)
    return folder


def is_intact(folder: Path) -> bool:
    """Whether `folder` was completed and its files are unchanged.

    Sizes and modification times are compared always; where a time differs (a copy, a restored backup), the
    content's checksum decides.
    """
    try:
        stamp = read_json(dict[str, tuple[Size, int, Size]], (folder / _STAMP).read_bytes())
        if not stamp:
            return False
        for name, (size, mtime, checksum) in stamp.items():
            status = (folder / name).stat()
            if status.st_size != size:
                return False
            if status.st_mtime_ns != mtime and _checksum(folder / name) != checksum:
                return False
    except (OSError, ValueError):
        return False
    return True


def _write_stamp(folder: Path) -> None:
    stamp = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        status = path.stat()
        stamp[path.name] = (status.st_size, status.st_mtime_ns, _checksum(path))
    (folder / _STAMP).write_text(json.dumps(stamp))


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            value = zlib.crc32(block, value)
    return value


@contextmanager
def _explained(folder: Path, num_bytes: int):
    """Turn the operating system's errors into ones that say what to do."""
    advice = "Set MCLASS_HOME to a folder on a disk with room that you may write to, or load a smaller data set."
    try:
        yield
    except OSError as error:
        if isinstance(error, CacheError) or error.errno is None:  # not the operating system's
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(_existing(folder)).free
            raise CacheError(
                f"{folder}: {num_bytes / 1e6:.0f} MB are needed in the cache folder, "
                f"{free / 1e6:.0f} MB are free. {advice}"
            ) from error
        raise CacheError(
            f"{folder.parent}: the cache folder cannot be written ({error.strerror or error}). {advice}"
        ) from error


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def open_waveforms(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Memory-map 16-bit samples for reading; nothing is read until it is indexed."""
    return np.memmap(path, dtype="<i2", mode="r", shape=shape)
