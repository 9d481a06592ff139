"""Control groups: the kernel's count of a submission's memory, of every kind, and of its processes.

What no sum over processes sees is in it: files in memory, nameless ones too, tables of pages, buffers of pipes.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

_PREFIX = "mclass-grading-"
_NUMBERS = itertools.count()


class Group:
    """A control group for one submission.

    Attributes
    ----------
    prefix : list of str
        What to put before a command to start it in the group.
    """

    def __init__(self, prefix: list[str], folders: dict[str, Path] | None = None):
        self.prefix, self.folders = prefix, folders or {}

    @property
    def ran_out(self) -> bool:
        """Whether the kernel has killed a process for its memory."""
        memory = self.folders.get("memory")
        for name in ("memory.oom_control", "memory.events"):
            with contextlib.suppress(OSError, AttributeError):
                lines = (memory / name).read_text().split("\n")
                return any(line.startswith("oom_kill ") and not line.endswith(" 0") for line in lines)
        return False

    def kill(self) -> None:
        """Kill all processes in it, also those that no longer descend from the first."""
        for folder in set(self.folders.values()):
            with contextlib.suppress(OSError, ValueError):
                for process in (folder / "cgroup.procs").read_text().split():
                    os.kill(int(process), signal.SIGKILL)

    def close(self, patience: float = 2.0) -> None:
        """Remove the group, once its last process is gone."""
        until = time.monotonic() + patience
        for folder in set(self.folders.values()):
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError:
                    if time.monotonic() > until:
                        break
                    time.sleep(0.01)


def create(memory: int, processes: int) -> Group | None:
    """A group of its own, or None where this account may not make one.

    Parameters
    ----------
    memory : int
        Bytes.
    processes : int
        With their threads.
    """
    for base, limits in ((_version_1(), _limits_1), (_version_2(), _limits_2)):
        if base:
            try:
                return _make(base, limits(memory, processes))
            except OSError:
                continue
    if _systemd_run():
        limits = [f"MemoryMax={memory}", "MemorySwapMax=0", f"TasksMax={processes}"]
        return Group([*_systemd_run(), *(part for limit in limits for part in ("-p", limit)), "--"])
    return None


def _limits_1(memory: int, processes: int) -> list[tuple[str, str, int, bool]]:
    return [
        ("memory", "memory.limit_in_bytes", memory, True),
        ("memory", "memory.memsw.limit_in_bytes", memory, False),  # where swap is counted
        ("pids", "pids.max", processes, True),
    ]


def _limits_2(memory: int, processes: int) -> list[tuple[str, str, int, bool]]:
    return [
        ("memory", "memory.max", memory, True),
        ("memory", "memory.swap.max", 0, False),
        ("memory", "memory.oom.group", 1, False),
        ("pids", "pids.max", processes, True),
    ]


def _make(base: dict[str, Path], limits: list[tuple[str, str, int, bool]]) -> Group:
    name = f"{_PREFIX}{os.getpid()}-{next(_NUMBERS)}"
    group = Group([], {controller: folder / name for controller, folder in base.items()})
    try:
        for folder in set(group.folders.values()):
            _sweep(folder.parent)
            folder.mkdir()
        for controller, file, value, needed in limits:
            try:
                (group.folders[controller] / file).write_text(str(value))
            except OSError:
                if needed:
                    raise
        # A shell enters the group and then becomes the command, so that nothing of it is ever outside.
        lists = [str(folder / "cgroup.procs") for folder in dict.fromkeys(group.folders.values())]
        trial = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 1; shift; done; shift; exec "$@"'
        group.prefix = ["/bin/sh", "-c", trial, "sh", *lists, "--"]
        subprocess.run([*group.prefix, "true"], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        group.close()
        raise OSError(f"no control group could be made: {error}") from error
    return group


def _sweep(base: Path) -> None:
    """Remove groups of judges that were killed."""
    for old in base.glob(f"{_PREFIX}*"):
        process = old.name.removeprefix(_PREFIX).partition("-")[0]
        if not os.path.exists(f"/proc/{process}"):
            with contextlib.suppress(OSError):
                old.rmdir()


def _version_1() -> dict[str, Path] | None:
    """Where this process is among the groups of version 1, by controller."""
    found = {}
    for controller in ("memory", "pids"):
        for root, mount, kind, options in _mounts():
            if kind == "cgroup" and controller in options.split(","):
                for _, controllers, path in _own():
                    if controller in controllers.split(","):
                        found[controller] = _inside(mount, root, path)
    return found if len(found) == 2 else None


def _version_2() -> dict[str, Path] | None:
    """A group of version 2 below or beside this process's own, in which memory and processes are counted."""
    for root, mount, kind, _ in _mounts():
        for number, _, path in _own():
            if kind == "cgroup2" and number == "0":
                own = _inside(mount, root, path)
                for base in (own, own.parent) if own != Path(mount) else (own,):
                    with contextlib.suppress(OSError):
                        if {"memory", "pids"} <= set((base / "cgroup.subtree_control").read_text().split()):
                            return {"memory": base, "pids": base}
    return None


def _inside(mount: str, root: str, path: str) -> Path:
    relative = os.path.relpath(path, root)
    folder = Path(mount) if relative.startswith("..") else Path(mount, relative)
    return folder if folder.is_dir() else Path(mount)


def _mounts() -> list[tuple[str, str, str, str]]:
    """Root, place, kind and options of each mount."""
    found = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            found.append((*before.split()[3:5], after.split()[0], after.split()[-1]))
    return found


def _own() -> list[list[str]]:
    with contextlib.suppress(OSError):
        return [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    return []


@functools.cache
def _systemd_run() -> list[str] | None:
    """The command that lets systemd make a group, where it does."""
    user = [] if os.geteuid() == 0 else ["--user"]
    command = ["systemd-run", *user, "--scope", "--quiet", "--collect"]
    if shutil.which(command[0]) is None:
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        trial = [*command, "-p", "MemoryMax=1G", "-p", "TasksMax=64", "--", "true"]
        subprocess.run(trial, check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
        return command
    return None
