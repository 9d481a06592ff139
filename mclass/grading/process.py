"""The judge's end of a submission: starts its process, talks to it, ends it.

>>> with Process(seconds=60, memory=4 << 30) as process:
...     process.run("def double(x): return 2 * x")
...     double = process.name("double")
...     double([1, 2])
[1, 2, 1, 2]
"""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mclass.grading import wire

GRACE = 5.0  # seconds between asking a submission to stop, and ending it
_START = 120.0  # seconds that starting Python may take on a busy machine


class SubmissionError(Exception):
    """What a submission raised, or why it cannot be asked any more."""


class EndedError(SubmissionError):
    """The submission's process is gone: too slow, too large, crashed, or it answered nonsense."""


class Process:
    """Runs a submission's code in a process of its own, behind the walls of `mclass.grading.sandbox`.

    Parameters
    ----------
    seconds : float
        In all.
    memory : int
        Bytes.
    seconds_per_cell : float, optional
        For one cell or one call; as many as are left if not given.
    hidden : sequence of path
        Folders that the submission must not read.
    isolate : bool
        Use the kernel's walls where there are any.

    Attributes
    ----------
    isolated : bool
        Whether the kernel isolates it.
    refused : list of str
        What it tried and was not allowed.

    Raises
    ------
    EndedError
        If it cannot be started.
    """

    def __init__(
        self,
        seconds: float,
        memory: int,
        seconds_per_cell: float | None = None,
        hidden: Sequence[os.PathLike | str] = (),
        isolate: bool = True,
    ):
        self.memory, self.seconds_per_cell = memory, seconds_per_cell or seconds
        self.refused: list[str] = []
        self.ended: str | None = None
        self.base = Path(tempfile.mkdtemp(prefix="mclass-grading-")).resolve()
        for name in ("root", "work", "work/home", "work/tmp"):
            (self.base / name).mkdir()
        mine, theirs = os.pipe(), os.pipe()  # (read, write): what we send, what they answer
        settings = {
            "folder": str(self.base / "work"),
            "hidden": [os.path.realpath(one) for one in hidden],
            "memory": memory,
            "seconds": seconds,
            "isolate": isolate,
            "incoming": mine[0],
            "outgoing": theirs[1],
        }
        self.deadline = time.monotonic() + _START
        self.child = subprocess.Popen(
            [sys.executable, "-P", "-m", "mclass.grading.worker", json.dumps(settings)],
            pass_fds=(mine[0], theirs[1]),
            cwd=self.base / "work",
            env=_environment(self.base / "work"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(mine[0])
        os.close(theirs[1])
        self.outgoing, self.incoming = mine[1], theirs[0]
        os.set_blocking(self.outgoing, False)
        try:
            hello = wire.read(self._exactly)[0]
        except (EOFError, wire.WireError):
            self.end("it could not be started")
            raise EndedError(self.ended) from None
        self.isolated = bool(hello.get("isolated"))
        self.deadline = time.monotonic() + seconds

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_) -> None:
        self.end("it is over")

    def end(self, why: str) -> None:
        """Kill the process and all that it started, and remove what it wrote."""
        if self.ended is not None:
            return
        self.ended = why
        started = _descendants(self.child.pid)
        with contextlib.suppress(OSError):
            os.killpg(self.child.pid, signal.SIGKILL)
        for number in started:  # those that left the group
            with contextlib.suppress(OSError):
                os.kill(number, signal.SIGKILL)
        self.child.kill()
        self.child.wait()
        os.close(self.outgoing)
        os.close(self.incoming)
        shutil.rmtree(self.base, ignore_errors=True)

    def run(self, source: str) -> None:
        """Run a cell.

        Raises
        ------
        SubmissionError
            What the cell raised.
        EndedError
            If the process is gone.
        """
        self._ask({"do": "run", "source": source})

    def name(self, name: str) -> Any:
        """What a name stands for: a number or an array itself, or a `Remote` for anything else.

        Raises
        ------
        NameError
            If the submission has not defined it.
        """
        if self._ask({"do": "has", "name": name}) is not True:
            raise NameError(f"`{name}` is not defined. Was the cell that defines it solved, and does it run?")
        return self._ask({"do": "get", "target": [name]})

    # ---- messages

    def _ask(self, message: dict, arguments: Any = None) -> Any:
        if self.ended is not None:
            raise EndedError(self.ended)
        arrays: list = []
        if arguments is not None:
            message["arguments"], arrays = wire.pack(arguments, _handle_of)
        seconds = min(self.seconds_per_cell, self.deadline - time.monotonic())
        if seconds <= 0:
            self.end("its time is used up")
            raise EndedError(self.ended)
        message["seconds"] = seconds
        until, self.deadline = self.deadline, time.monotonic() + seconds + GRACE
        try:
            wire.write(_Writer(self), message, arrays)
            answer, back = wire.read(self._exactly)
            self.refused += [str(what)[:100] for what in (answer.get("refused") or [])[:5]]
            error = answer.get("error")
            if error is None:
                return wire.unpack(
                    answer.get("value"), back, lambda handle: Remote(self, [handle.number], handle.kind)
                )
            name, text = str(error[0])[:100], str(error[1])
        except (EOFError, OSError):
            self.end("its process ended by itself: it crashed, or left with exit()")
        except (wire.WireError, TypeError, IndexError, AttributeError, RecursionError) as broken:
            self.end(f"it answered what is no answer ({str(broken)[:200]})")
        finally:
            self.deadline = until
        if self.ended is not None:
            raise EndedError(self.ended)
        raise _exception(name, text)

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            self._wait([self.incoming], [])
            part = os.read(self.incoming, min(count, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _wait(self, reading: list[int], writing: list[int]) -> None:
        """Until there is something to read or room to write; ends the process when its time or memory is out."""
        while True:
            left = self.deadline - time.monotonic()
            if left <= 0:
                self.end("it took too long and did not stop when asked to")
                raise EndedError(self.ended)
            if any(select.select(reading, writing, [], min(left, 0.5))):
                return
            if (used := _memory_of(self.child.pid)) > 1.5 * self.memory:
                self.end(f"its processes used {used / 1e9:.1f} GB of memory")
                raise EndedError(self.ended)


class Remote:
    """An object of the submission's: to be called, iterated over, asked for attributes (which may be remote)."""

    def __init__(self, process: Process, path: list, kind: str):
        self._process, self._path, self._kind = process, path, kind

    def __call__(self, *arguments, **keywords):
        return self._process._ask({"do": "call", "target": self._path}, (list(arguments), keywords))

    def __iter__(self) -> Iterator:
        entries = self._process._ask({"do": "iterate", "target": self._path})
        if not isinstance(entries, list):
            raise SubmissionError(f"a {self._kind} could not be iterated over")
        return iter(entries)

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise AttributeError(name)
        return self._process._ask({"do": "get", "target": [*self._path, name]})

    def __repr__(self) -> str:
        return f"<a {self._kind} of the submission>"


def _handle_of(value: Any) -> wire.Handle:
    if isinstance(value, Remote) and len(value._path) == 1 and isinstance(value._path[0], int):
        return wire.Handle(value._path[0], value._kind)
    raise wire.WireError(
        f"a test may hand over numbers, text, arrays and what it was given, not {type(value).__name__}"
    )


class _Writer:
    """Writes to the process without being held up by one that does not read."""

    def __init__(self, process: Process):
        self.process = process

    def write(self, data: bytes) -> None:
        data = memoryview(data)
        while data:
            self.process._wait([], [self.process.outgoing])
            data = data[os.write(self.process.outgoing, data[: 1 << 16]) :]

    def flush(self) -> None:
        pass


def _exception(name: str, text: str) -> Exception:
    """A built-in error as itself, so that a test can expect it; any other as what it is."""
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception) and kind not in (StopIteration, StopAsyncIteration):
        with contextlib.suppress(TypeError):
            return kind(text)
    return SubmissionError(f"{name}: {text}")


def _environment(folder: Path) -> dict[str, str]:
    """Little of ours, and no secrets: where the submission finds programs and keeps files."""
    kept = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "MCLASS_PROFILE", "OMP_NUM_THREADS",
            "CUDA_VISIBLE_DEVICES", "SYSTEMROOT", "VIRTUAL_ENV")  # fmt: skip
    home = str(folder / "home")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "HOME": home,
        "IPYTHONDIR": home,
        "MPLCONFIGDIR": home,
        "MCLASS_HOME": home,
        "TMPDIR": str(folder / "tmp"),
        "MPLBACKEND": "Agg",
        "TQDM_DISABLE": "1",
        "PIP_RETRIES": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "CUDA_VISIBLE_DEVICES": "",  # the same for all, and a GPU's memory cannot be limited
    }


def _processes() -> dict[int, tuple[int, int]]:
    """From each process to its parent and the bytes of memory it holds; empty where this cannot be told."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = path.read_text().rpartition(")")[2].split()
            found[int(path.parent.name)] = int(fields[1]), int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return found


def _descendants(process: int, known: dict[int, tuple[int, int]] | None = None) -> list[int]:
    known = _processes() if known is None else known
    found = []
    for number in known:
        one = known[number][0]
        while one in known and one != process:
            one = known[one][0]
        found += [number] if one == process else []
    return found


def _memory_of(process: int) -> int:
    """Bytes of memory that a process and its descendants hold."""
    known = _processes()
    return sum(known[one][1] for one in [process, *_descendants(process, known)] if one in known)
