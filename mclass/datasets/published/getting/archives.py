"""Unpack an archive from elsewhere: nothing outside the folder, no links, no flood of data, all or nothing.

Taught in: 02_datasets.
"""

from __future__ import annotations

import glob
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, NamedTuple

from mclass.errors import DownloadError

MAX_FILES = 2_000_000
_RATIO, _SMALL = (
    25,
    100 << 20,
)  # audio hardly shrinks, tables do: what an archive may grow to, and what anything may
_BLOCK = 1 << 20
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RuntimeError)


class _Member(NamedTuple):
    name: str
    size: int
    kind: str  # "file", "folder", or what it is instead
    content: IO[bytes] | None


def unpack(archive: Path, folder: Path, max_files: int = MAX_FILES) -> list[str]:
    """Unpack a zip or tar file into `folder`; returns the names of what lies on top.

    Everything is first written to a hidden folder beside its place, so that after an error or a kill nothing looks
    finished. Files of the same name are replaced.

    Parameters
    ----------
    archive : Path
        zip, or tar, plain or compressed with gzip, bzip2 or xz.
    folder : Path
        Made if it is not there.
    max_files : int

    Raises
    ------
    DownloadError
        If a name leads out of the folder (``..``, absolute), if there are links or devices in it, more files or
        more data than an honest archive of its size has, if it is damaged, or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    limit = max(_RATIO * archive.stat().st_size, _SMALL)
    for leftover in folder.glob(
        f".{glob.escape(archive.name)}.unpacking-*"
    ):  # of a kill; `download` holds the lock
        shutil.rmtree(leftover, ignore_errors=True)
    building = Path(tempfile.mkdtemp(prefix=f".{archive.name}.unpacking-", dir=folder))
    try:
        total = count = 0
        for member in _members(archive):
            count, total = count + 1, total + member.size
            if count > max_files:
                raise DownloadError(f"{archive}: refused: holds more than {max_files:,} files")
            if total > limit:
                raise DownloadError(
                    f"{archive}: refused: grows from {archive.stat().st_size:,} to more than {limit:,} bytes. "
                    "Unpack it by hand if you trust it."
                )
            _write(archive, member, building)
        names = sorted(child.name for child in building.iterdir())
        for name in names:
            _move(building / name, folder / name)
        return names
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise DownloadError(
            f"{archive}: is damaged or no archive ({error}). Delete it and download it again"
        ) from None
    except OSError as error:
        if isinstance(error, DownloadError):
            raise
        raise DownloadError(f"{archive}: cannot be unpacked into {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _members(archive: Path) -> Iterator[_Member]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for one in file.infolist():
                mode = one.external_attr >> 16
                kind = "folder" if one.is_dir() else "link" if stat.S_ISLNK(mode) else "file"
                with file.open(one) as content:
                    yield _Member(one.filename, one.file_size, kind, content)
        return
    with tarfile.open(archive, "r|*") as file:  # a stream: an archive of 100 GB is read once
        for one in file:
            link = one.issym() or one.islnk()
            kind = "file" if one.isreg() else "folder" if one.isdir() else "link" if link else "device"
            yield _Member(one.name, one.size, kind, file.extractfile(one) if kind == "file" else None)


def _write(archive: Path, member: _Member, building: Path) -> None:
    path = PurePosixPath(member.name)
    outside = path.is_absolute() or ".." in path.parts or "\\" in member.name or PureWindowsPath(member.name).drive
    if outside or "\0" in member.name:
        raise DownloadError(f"{archive}: refused: {member.name!r} leads out of the folder")
    if member.kind not in ("file", "folder"):
        raise DownloadError(f"{archive}: refused: {member.name!r} is a {member.kind}")
    target = building / path
    if member.kind == "folder":
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    left = member.size
    with target.open("wb") as out:
        while block := member.content.read(min(_BLOCK, left + 1)):
            left -= len(block)
            if left < 0:
                raise DownloadError(f"{archive}: refused: {member.name!r} is larger than it says")
            out.write(block)


def _move(source: Path, target: Path) -> None:
    """Rename; into a folder that is there already, file by file."""
    if not target.exists() and not target.is_symlink():
        source.rename(target)
    elif source.is_dir() and target.is_dir():
        for child in source.iterdir():
            _move(child, target / child.name)
    elif source.is_dir() or target.is_dir():
        raise DownloadError(f"{target} is in the way of what the archive holds; remove or rename it")
    else:
        os.replace(source, target)
