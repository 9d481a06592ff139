"""The process in which a submission runs: it obeys the judge, and is not believed.

It reads messages (run this cell; what is `x`; call it with these numbers) and answers them. The judge keeps the
tests, the right answers and the points, so that nothing a submission does to this process can add one.

    python -P -m mclass_grading.isolation.worker SETTINGS      # started by mclass_grading.isolation.process
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from mclass_grading.isolation import wire

MAX_WORDS = 600  # characters of an error that are reported
ENTRIES = 100_000  # of what is iterated over


class OutOfTimeError(BaseException):
    """A cell or a call took too long. No ``Exception``, so that ``except Exception`` does not swallow it."""


class Namespace:
    """Runs cells in one namespace and reaches into it, as IPython does, or plainly where there is no IPython."""

    def __init__(self):
        try:
            from IPython.core.history import HistoryManager
            from IPython.core.interactiveshell import InteractiveShell

            HistoryManager.enabled = False
            self.shell = InteractiveShell.instance(colors="NoColor")
            self.shell.showtraceback = lambda *_, **__: None
            self.shell.enable_gui = lambda *_: None  # %matplotlib inline
            self.names = self.shell.user_ns
        except ImportError:
            self.shell, self.names = None, {"__name__": "__main__"}

    def run(self, source: str) -> None:
        """Run a cell, or raise what it raises."""
        if self.shell is None:
            exec(compile(source, "<cell>", "exec"), self.names)
            return
        result = self.shell.run_cell(source, store_history=False)
        if "matplotlib.pyplot" in sys.modules:
            with contextlib.suppress(Exception):
                sys.modules["matplotlib.pyplot"].close("all")
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            raise error


class Worker:
    """Answers the judge's messages until there are no more."""

    def __init__(self, incoming: int, outgoing: int):
        self.incoming, self.outgoing = os.fdopen(incoming, "rb"), os.fdopen(outgoing, "wb")
        self.space = Namespace()
        self.objects: dict[int, Any] = {}
        self.numbers = itertools.count()

    def remember(self, value: Any) -> wire.Handle:
        """Keep an object, and number it."""
        number = next(self.numbers)
        self.objects[number] = value
        return wire.Handle(number, type(value).__name__[:100])

    def serve(self) -> None:
        """Read, obey, answer."""
        signal_alarm = getattr(signal, "setitimer", None)
        while True:
            try:
                message, arrays = wire.read(self.exactly)
            except EOFError:
                return
            answer: dict[str, Any] = {"error": None}
            back: list = []
            try:
                if signal_alarm:
                    signal.signal(signal.SIGALRM, _out_of_time)
                    signal_alarm(signal.ITIMER_REAL, float(message["seconds"]))
                try:
                    answer["value"], back = wire.pack(self.obey(message, arrays), self.remember)
                finally:
                    if signal_alarm:
                        signal_alarm(signal.ITIMER_REAL, 0)
            except BaseException as error:
                back = []
                answer = {"error": [type(error).__name__, _words(error)]}
            try:
                wire.write(self.outgoing, answer, back)
            except (ValueError, OverflowError) as error:  # a whole number of thousands of digits
                wire.write(self.outgoing, {"error": [type(error).__name__, _words(error)]})

    def exactly(self, count: int) -> bytes:
        """The judge's next bytes."""
        data = self.incoming.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def obey(self, message: dict, arrays: list) -> Any:
        """Do what a message asks for."""
        if message["do"] == "run":
            return self.space.run(message["source"])
        if message["do"] == "has":
            return message["name"] in self.space.names
        target = self.target(message["target"])
        if message["do"] == "get":
            return target
        if message["do"] in ("call", "trace", "backward"):
            arguments, keywords = wire.unpack(
                message["arguments"], arrays, lambda one: self.objects[one.number], True
            )
            if message["do"] == "call":
                return target(*arguments, **keywords)
            return self.trace(target, arguments, keywords) if message["do"] == "trace" else target(*arguments)
        if message["do"] == "iterate":
            return list(itertools.islice(iter(target), ENTRIES))
        raise ValueError(f"unknown message {message['do']!r}")

    def trace(self, function: Any, arguments: list, keywords: dict) -> list:
        """Call a function; returns what it says, and what takes the slope of it to those of the arguments."""
        import torch

        leaves = wire.leaves((arguments, keywords))
        value = function(*arguments, **keywords)

        def backward(slope) -> list:
            if not value.requires_grad:
                raise RuntimeError("what the function returns does not depend on its arguments: was it detached?")
            return list(torch.autograd.grad(value, leaves, slope, allow_unused=True))

        return [value, backward]

    def target(self, path: list) -> Any:
        """The object that a path, such as ``["model", "load_state_dict"]``, leads to."""
        first, *attributes = path
        value = self.space.names[first] if isinstance(first, str) else self.objects[first]
        for name in attributes:
            value = getattr(value, name)
        return value


def _out_of_time(*_) -> None:
    raise OutOfTimeError("it took too long and was stopped")


def _words(error: BaseException) -> str:
    try:
        text = str(error)
    except BaseException:
        text = "an error that cannot be printed"
    return text if len(text) <= MAX_WORDS else text[:MAX_WORDS] + " …"


def limit(memory: int, seconds: float, processes: int | None) -> None:
    """Bound what this process and each of its children may use; the judge watches over their sum."""
    try:
        import resource
    except ImportError:  # Windows
        return

    def at_most(name: str, value: int) -> None:
        which = getattr(resource, name, None)
        if which is None:
            return
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some
            resource.setrlimit(which, (value, value))

    at_most("RLIMIT_DATA", memory)
    at_most("RLIMIT_AS", memory + (32 << 30))  # libraries map far more than they use
    at_most("RLIMIT_CPU", round((os.cpu_count() or 1) * seconds) + 1)
    at_most("RLIMIT_FSIZE", 2 << 30)
    at_most("RLIMIT_CORE", 0)
    if processes:
        at_most("RLIMIT_NPROC", processes)


def main(text: str) -> None:
    """Set limits and serve."""
    settings = json.loads(text)
    limit(settings["memory"], settings["seconds"], settings["processes"])
    home = Path(os.environ["HOME"])
    home.mkdir(exist_ok=True)
    os.chdir(home)
    worker = Worker(settings["incoming"], settings["outgoing"])
    wire.write(worker.outgoing, {})
    worker.serve()


if __name__ == "__main__":
    main(sys.argv[1])
