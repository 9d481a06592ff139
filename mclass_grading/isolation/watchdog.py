"""Watches a submission's time and memory from outside, in a thread that never waits for the submission."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from mclass_grading.isolation.cgroups import Group

INTERVAL = 0.1  # seconds
_RESERVE = 256 << 20  # bytes of memory that the machine itself must keep


class Watchdog(threading.Thread):
    """Ends a process when its time or its memory is used up.

    Parameters
    ----------
    process : int
    memory : int
        Bytes that it and its descendants may use together.
    group : Group or None
        Counts the memory. Without one it is summed over the processes.
    end : callable
        Is told why, and ends it; called at most once, from this thread.

    Attributes
    ----------
    deadline : float
        Of `time.monotonic`; may be moved.
    """

    def __init__(self, process: int, memory: int, group: Group | None, end: Callable[[str], None]):
        super().__init__(daemon=True, name="watchdog")
        self.process, self.memory, self.group, self.end = process, memory, group, end
        self.deadline = float("inf")
        self._stop_it = threading.Event()

    def run(self) -> None:
        """Look, until it is over."""
        while not self._stop_it.wait(INTERVAL):
            if why := self.reason():
                self.end(why)
                return

    def stop(self) -> None:
        """Look no more."""
        self._stop_it.set()

    def reason(self) -> str | None:
        """Why the process must end now, or None."""
        if time.monotonic() > self.deadline:
            return "it took too long and did not stop when asked to"
        if self.group and self.group.folders:
            return self.too_much() if self.group.ran_out else None
        if psutil.virtual_memory().available < _RESERVE or memory_of(self.process) > self.memory:
            return self.too_much()
        return None

    def too_much(self) -> str:
        """In words."""
        return f"its processes used more than {self.memory / (1 << 30):.1f} GB of memory"


def memory_of(process: int) -> int:
    """Bytes of memory of a process and its descendants: what is shared counts once, files without a name do, too.

    Examples
    --------
    >>> import os
    >>> 1 << 20 < memory_of(os.getpid()) < 1 << 36
    True
    """
    total, nameless = 0, {}
    with contextlib.suppress(psutil.Error):
        one = psutil.Process(process)
        for each in [one, *one.children(recursive=True)]:
            with contextlib.suppress(psutil.Error, OSError):
                used = each.memory_full_info()
                total += getattr(used, "pss", used.uss) + getattr(used, "swap", 0)
            total += _page_tables(each.pid)
            nameless |= _nameless(each.pid)
    return total + sum(nameless.values())


def _page_tables(process: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmPTE:"):
                return 1024 * int(line.split()[1])
    return 0


def _nameless(process: int) -> dict[int, int]:
    """From the number of each file in memory that has no name (memfd) to its size; it need not be mapped."""
    found = {}
    with contextlib.suppress(OSError):
        for one in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(one.readlink()).startswith("/memfd:"):
                    state = one.stat()
                    found[state.st_ino] = 512 * state.st_blocks
    return found
