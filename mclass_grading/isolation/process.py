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

import psutil

from mclass_grading.isolation import cgroups, sandbox, wire
from mclass_grading.isolation.watchdog import Watchdog

GRACE = 5.0  # seconds between asking a submission to stop, and ending it
_START = 120.0  # seconds that starting Python may take on a busy machine


class SubmissionError(Exception):
    """What a submission raised, or why it cannot be asked any more."""


class EndedError(SubmissionError):
    """The submission's process is gone: too slow, too large, crashed, or it answered nonsense."""


class Process:
    """Runs a submission's code in a process of its own, in the sandbox of `mclass_grading.isolation.sandbox`.

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
    isolation : {"bwrap", "none"}
        See `mclass_grading.isolation.sandbox.require`, which is not asked here. With ``"none"`` it can do
        what you can.

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
        isolation: str = "bwrap",
    ):
        self.seconds_per_cell = seconds_per_cell or seconds
        self.ended: str | None = None
        self._why: str | None = None  # of the watchdog
        self.folder = Path(tempfile.mkdtemp(prefix="mclass-grading-")) if isolation == "none" else None
        self.group = cgroups.create(memory, sandbox.PROCESSES)
        mine, theirs = os.pipe(), os.pipe()  # (read, write): what we send, what they answer
        settings = {
            "memory": memory,
            "seconds": seconds,
            "processes": sandbox.PROCESSES if isolation == "bwrap" and not self.group else None,
            "incoming": mine[0],
            "outgoing": theirs[1],
        }
        command = [sys.executable, "-P", "-m", "mclass_grading.isolation.worker", json.dumps(settings)]
        if isolation == "bwrap":
            command, home = sandbox.wrapped(command, memory, hidden), sandbox.HOME
        else:
            home = str(self.folder)
            if shutil.which("setpriv"):  # ends with the judge, however that ends
                command = ["setpriv", "--pdeathsig", "KILL", "--", *command]
        try:
            self.child = subprocess.Popen(
                [*(self.group.prefix if self.group else []), *command],
                pass_fds=(mine[0], theirs[1]),
                cwd=self.folder,
                env=sandbox.environment(home),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            os.close(mine[0])
            os.close(theirs[1])
        self.outgoing, self.incoming = mine[1], theirs[0]
        os.set_blocking(self.outgoing, False)
        self.watchdog = Watchdog(self.child.pid, memory, self.group, self._kill)
        self.watchdog.deadline = time.monotonic() + _START
        self.watchdog.start()
        try:
            wire.read(self._exactly)
        except (EOFError, OSError, wire.WireError):
            self.end("it could not be started")
            raise EndedError(self.ended) from None
        except BaseException:
            self.end("it is over")
            raise
        self.deadline = self.watchdog.deadline = time.monotonic() + seconds

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_) -> None:
        self.end("it is over")

    def _kill(self, why: str) -> None:
        """Kill the process and all that it started; of the sandbox, all ends with its first process."""
        self._why = self._why or why
        with contextlib.suppress(psutil.Error):
            for one in psutil.Process(self.child.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    one.kill()
        with contextlib.suppress(OSError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.kill()
        if self.group:
            self.group.kill()

    def end(self, why: str) -> None:
        """Kill the process and all that it started, and remove what it wrote."""
        if self.ended is not None:
            return
        self.watchdog.stop()
        self.watchdog.join()
        if self._why is None and self.watchdog.group and self.group.ran_out:
            why = self.watchdog.too_much()  # the kernel was faster
        self._kill(why)
        self.ended = self._why
        self.child.wait()
        os.close(self.outgoing)
        os.close(self.incoming)
        if self.group:
            self.group.close()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

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
        self.watchdog.deadline = time.monotonic() + seconds + GRACE
        try:
            wire.write(_Writer(self), message, arrays)
            answer, back = wire.read(self._exactly)
            error = answer.get("error")
            if error is None:
                return wire.unpack(
                    answer.get("value"), back, lambda handle: Remote(self, [handle.number], handle.kind)
                )
            name, text = str(error[0])[:100], str(error[1])
        except (EOFError, OSError):
            self.end("its process ended by itself: it crashed, or left with exit()")
        except (wire.WireError, TypeError, IndexError, AttributeError, RecursionError, KeyError) as broken:
            self.end(f"it answered what is no answer ({str(broken)[:200]})")
        except BaseException:  # an interrupt: what comes next would be the answer to this question
            self.end("it was interrupted")
            raise
        finally:
            self.watchdog.deadline = self.deadline + GRACE
        if self.ended is not None:
            raise EndedError(self.ended)
        raise _exception(name, text)

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            self._wait([self.incoming], [])
            part = os.read(self.incoming, min(count - len(parts), 1 << 20))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    def _wait(self, reading: list[int], writing: list[int]) -> None:
        """Until there is something to read or room to write, or the watchdog has ended it."""
        while self._why is None:
            if any(select.select(reading, writing, [], 0.2)):
                return
        raise EOFError


class Remote:
    """An object of the submission's: to be called, iterated over, asked for attributes (which may be remote)."""

    def __init__(self, process: Process, path: list, kind: str):
        self._process, self._path, self._kind = process, path, kind

    def __call__(self, *arguments, **keywords):
        ask = {"do": "call", "target": self._path}
        if leaves := wire.leaves((arguments, keywords)):
            return _differentiable(self._process, ask, (list(arguments), keywords), leaves)
        return self._process._ask(ask, (list(arguments), keywords))

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


def _differentiable(process: Process, ask: dict, arguments: Any, leaves: list) -> Any:
    """Call a function of the submission's so that `backward` works here, as if it had run here."""
    import torch

    class Call(torch.autograd.Function):
        @staticmethod
        def forward(context, *_):
            value, context.graph = process._ask(ask | {"do": "trace"}, arguments)
            if not isinstance(value, torch.Tensor) or not value.is_floating_point():
                raise TypeError(f"a tensor of floating-point numbers was expected, got {type(value).__name__}")
            return value

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, slope):
            question = {"do": "backward", "target": context.graph._path}
            slopes = process._ask(question, ([slope], {}))
            if not isinstance(slopes, list) or len(slopes) != len(leaves):
                raise TypeError("no gradients came back")
            return tuple(slopes)

    return Call.apply(*leaves)


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
