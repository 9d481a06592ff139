"""Paths as people write them; files that appear complete or not at all, and that one process at a time writes."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import itertools
import json
import os
import platform
import secrets
import shutil
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mclass._utils.text import visible
from mclass.errors import BusyError

if TYPE_CHECKING:
    import filelock

_COUNT = itertools.count()  # threads of one process may write the same file
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}


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

    A link stays a link, and the file it leads to is replaced. A file that is there keeps its permissions. What is
    no file (``/dev/stdout``, a pipe) is written to. A kill in the middle leaves `path` as it was, and a hidden
    file that ends in ``.tmp``.
    """
    if is_stream(path):
        with scratch("mclass-stream-") as folder:
            yield (temporary := folder / "written")
            with temporary.open("rb") as source, _stream(path) as sink:
                shutil.copyfileobj(source, sink)
        return
    place = resolved(path)
    temporary = place.with_name(f".{_short(place.name)}.{os.getpid()}-{next(_COUNT)}.tmp")
    try:
        yield temporary
        with contextlib.suppress(FileNotFoundError):
            _take_over(temporary, place.stat())
        os.replace(temporary, place)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(
    path: Path | None, lock: Path | None = None, *, wait: bool = False, advice: str = "choose another --out"
) -> Iterator[None]:
    """Keep other processes from writing `path` meanwhile; the lock goes with the process, however that ends.

    Parameters
    ----------
    path : Path or None
        A file or folder. Streams, and None, need no lock.
    lock : Path, optional
        The lock's hidden file, ``.NAME.lock`` beside `path` if not given. It is removed at the end; a kill leaves
        it, and it then locks nothing.
    wait : bool
        Wait for the other process instead of refusing.
    advice : str
        What to do other than to wait.

    Raises
    ------
    BusyError
        If another process holds it.

    Warns
    -----
    UserWarning
        If the file system knows no locks. The work goes on.
    """
    if path is None or is_stream(path):
        yield
        return
    import filelock

    place = resolved(path)
    lock = resolved(lock.parent) / lock.name if lock else place.with_name(f".{_short(place.name)}.lock")
    held = filelock.FileLock(lock, timeout=0, is_singleton=True)
    if held.is_locked:  # a function that this thread's command has called
        yield
        return
    if not _acquire(held, path, lock, wait, advice):
        warnings.warn(
            f"{path}: this file system knows no locks; make sure that no other process writes there", stacklevel=3
        )
        yield
        return
    try:
        with contextlib.suppress(OSError):  # Windows keeps others from reading it anyway
            about = {
                "process": os.getpid(),
                "machine": platform.node(),
                "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            }
            lock.write_text(json.dumps(about))
        sweep(place.parent, f".{_short(place.name)}.")
        yield
    finally:
        with contextlib.suppress(OSError):  # filelock looks whether what it locked still has its name
            lock.unlink(missing_ok=True)
        held.release()
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                lock.unlink(missing_ok=True)


def _acquire(held: filelock.BaseFileLock, path: Path, lock: Path, wait: bool, advice: str) -> bool:
    """Whether the lock is ours now; not where the file system knows no locks."""
    from filelock import SoftFileLock, Timeout

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a soft lock
            try:
                held.acquire()
            except Timeout:
                busy = f"{path} is being written by {_holder(lock)}"
                if not wait:
                    raise BusyError(f"{busy}; wait until it has finished, or {advice}") from None
                print(f"{visible(busy)}; waiting", file=sys.stderr)
                held.acquire(timeout=-1)
    except PermissionError:
        if not lock.exists():
            raise
        raise BusyError(
            f"{path} is locked by {_holder(lock)}, of another user; wait until it has finished, {advice}, or "
            f"remove {lock} if there is no such process"
        ) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, BusyError) or getattr(error, "errno", errno.ENOSYS) not in _NO_LOCKS:
            raise
        with contextlib.suppress(OSError):
            lock.unlink(missing_ok=True)
        return False
    if isinstance(held, SoftFileLock):  # filelock's substitute, which a kill would leave locked
        held.release()
        return False
    return True


@contextlib.contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A temporary folder. Those of the same prefix whose processes were killed are removed first.

    >>> with scratch("mclass-example-") as folder:
    ...     (folder / "a").touch()
    >>> folder.exists()
    False
    """
    base = resolved(tempfile.gettempdir())
    for leftover in base.glob(f"{glob.escape(prefix)}*"):
        with contextlib.suppress(OSError, UserWarning), warnings.catch_warnings():
            warnings.simplefilter("error")  # without locks, it may be alive
            with writing(leftover):  # else it is, or is another user's
                shutil.rmtree(leftover)
    folder = base / f"{prefix}{secrets.token_hex(8)}"
    with writing(folder):  # before the folder is there, and could be swept
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path, prefix: str = ".") -> None:
    """Remove what killed processes were writing below a folder; only where no other process writes now."""
    for leftover in folder.glob(f"{glob.escape(prefix)}*.tmp"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def resolved(path: str | os.PathLike) -> Path:
    """Where a path leads, through all links; absolute."""
    return Path(os.path.realpath(path))


def identity(path: str | os.PathLike) -> object:
    """What two spellings of one file have in common: links, ``..``, and case and Unicode forms that are one there.

    >>> identity("setup.py") == identity("./setup.py")
    True
    """
    with contextlib.suppress(OSError, ValueError):
        status = os.stat(path)
        if status.st_nlink == 1 and status.st_ino:  # hard links are two files to their owner
            return status.st_dev, status.st_ino
    return os.path.realpath(path)


def is_stream(path: str | os.PathLike) -> bool:
    """Whether a path is there and is neither file nor folder: a device, a pipe, ``/dev/stdout``."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or str(path).startswith(
        ("/dev/std", "/dev/fd/", "/proc/")
    )


@contextlib.contextmanager
def _stream(path: Path) -> Iterator[BinaryIO]:
    """To write after what was printed so far, where the path is standard output itself."""
    ours = None
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # captured, closed
            if os.path.samestat(os.fstat(stream.fileno()), os.stat(path)):
                ours = stream
    if ours is None:
        with open(path, "ab") as sink:
            yield sink
        return
    ours.flush()
    yield ours.buffer
    ours.buffer.flush()


def _take_over(temporary: Path, old: os.stat_result) -> None:
    """Give a new file the owner and permissions of the one that it replaces, as far as this user may."""
    with contextlib.suppress(OSError, AttributeError):  # Windows has no owners
        if (os.geteuid(), temporary.stat().st_gid) != (old.st_uid, old.st_gid):
            os.chown(temporary, old.st_uid, old.st_gid)
    with contextlib.suppress(OSError):
        os.chmod(temporary, stat.S_IMODE(old.st_mode))


def _short(name: str) -> str:
    """A name that leaves room for what is added to it."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= 200 else hashlib.sha256(encoded).hexdigest()[:32]


def _holder(lock: Path) -> str:
    try:
        about = json.loads(lock.read_text())
        here = "this machine" if about["machine"] == platform.node() else f"the machine {about['machine']}"
        return f"process {int(about['process'])} of {here} since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # just being written, or Windows
        return "another process"
