"""The sandbox that submissions run in: bubblewrap, a maintained program, with nothing of yours inside.

In it there are Python, its packages and the system's libraries, all read-only, and an empty folder in memory.
There is no network, no other process, no host name to change, no capability, and the user is nobody.
`mclass_grading.isolation.cgroups` and `mclass_grading.isolation.watchdog` bound what it uses.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import mclass

_PACKAGES = (Path(mclass.__file__).parent, Path(__file__).parents[1])

MODES = ("bwrap", "none")
PROCESSES = 512
HOME = "/tmp/home"
_NOBODY = "65534"
_MAX_SCRATCH = 2 << 30  # bytes of files, in memory; half of what a submission may use if that is less
_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/sys/devices/system/cpu",
    *(f"/etc/{name}" for name in ("alternatives", "fonts", "ld.so.cache", "localtime")),
)  # fmt: skip


class SandboxError(OSError):
    """Submissions cannot be run here as they should be."""


def require(mode: str) -> None:
    """Refuse a way to run submissions that is not to be had here, or that nobody should take.

    Parameters
    ----------
    mode : {"bwrap", "none"}

    Raises
    ------
    ValueError
        If there is no such mode.
    SandboxError
        If bubblewrap does not work here; or, without a sandbox, if this is root or Windows.
    """
    if mode not in MODES:
        raise ValueError(f"isolation must be one of {', '.join(map(repr, MODES))}, got {mode!r}")
    if sys.platform == "win32":
        raise SandboxError("grading needs a system with POSIX processes; on Windows, run it in WSL")
    if mode == "none" and os.geteuid() == 0:
        raise SandboxError(
            "without a sandbox, submissions are not run as root: they could change the whole machine. Install "
            "bubblewrap, or grade under an account that has nothing to lose"
        )
    if mode == "bwrap" and (why := unavailable()):
        raise SandboxError(
            f"submissions cannot be isolated here: {why} (for submissions that you trust as your own programs: "
            "--trust-submissions, which protects from nothing)"
        )


@functools.cache
def unavailable() -> str | None:
    """Why bubblewrap does not work here, and what to do; None if it does. Tried once, by starting Python in it."""
    if not sys.platform.startswith("linux"):
        return "bubblewrap runs on Linux only; use WSL on Windows, a Linux virtual machine or container elsewhere"
    needed = ("bwrap", "setpriv") if os.geteuid() == 0 else ("bwrap",)
    for program, package in zip(needed, ("bubblewrap", "util-linux"), strict=False):
        if shutil.which(program) is None:
            return (
                f"{program} is not installed; install it with: apt install {package} (Debian, Ubuntu) or "
                f"dnf install {package} (Fedora)"
            )
    command = wrapped([sys.executable, "-P", "-c", "import encodings"], memory=64 << 20)
    try:
        tried = subprocess.run(
            command, env=environment(), capture_output=True, text=True, errors="replace", timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bwrap could not be started ({error})"
    if tried.returncode == 0:
        return None
    said = " ".join((tried.stderr.strip() or f"exit code {tried.returncode}").splitlines()[-1].split())[:200]
    if "Unknown option" in said:
        return f"bubblewrap 0.8 or newer is needed ({said})"
    if "Permission denied" in said:
        return f"other users cannot read the course's Python, {sys.prefix} or {sys.base_prefix} ({said})"
    return f"bwrap does not work ({said}). Inside a container it needs user namespaces, or root with CAP_SYS_ADMIN"


def wrapped(command: Sequence[str], memory: int, hidden: Iterable[os.PathLike | str] = ()) -> list[str]:
    """The command line that runs a command in the sandbox.

    Parameters
    ----------
    command : sequence of str
    memory : int
        Bytes that it may use. Half of them, at most, can be files.
    hidden : iterable of path
        Folders that look empty, should they be inside what is visible.
    """
    root = os.geteuid() == 0
    scratch = str(min(_MAX_SCRATCH, memory // 2))
    arguments = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
                 "--hostname", "sandbox", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]  # fmt: skip
    if root:
        # Not a user namespace: in it the submission would still be the owner of root's files. Instead bwrap keeps
        # the two capabilities that setpriv needs to become nobody, and loses by it.
        arguments += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        nobody = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--"]
    else:
        arguments += ["--unshare-user", "--disable-userns", "--uid", _NOBODY, "--gid", _NOBODY]
        nobody = []

    def memory_folder(path: str, size: str, mode: str) -> list[str]:
        return ["--perms", mode, "--size", size, "--tmpfs", path]

    arguments += memory_folder("/tmp", scratch, "1777")  # first: Python may live below it
    shown = visible()
    made = {"/", "/tmp"}
    for path in shown:
        # Parents are named because bwrap makes those of root's folders readable for root alone.
        for parent in reversed(Path(path).parents):
            if str(parent) not in made and not any(_within(str(parent), one) for one in shown if one != path):
                arguments += ["--dir", str(parent)]
                made.add(str(parent))
        if path in _SYSTEM and os.path.islink(path):  # /bin is usr/bin on many systems
            arguments += ["--symlink", os.readlink(path), path]
        else:
            arguments += ["--ro-bind", path, path]
    for folder in sorted({os.path.realpath(one) for one in hidden}, key=len):
        for path in shown:
            real = os.path.realpath(path)
            if os.path.isdir(folder) and folder != real and _within(folder, real):
                place = path + folder[len(real) :]  # by whichever name it is visible
                arguments += [*memory_folder(place, "4096", "0755"), "--remount-ro", place]
    arguments += ["--proc", "/proc", "--dev", "/dev", *memory_folder("/dev/shm", scratch, "1777")]
    arguments += ["--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]
    return ["bwrap", *arguments, "--", *nobody, *command]


def visible() -> list[str]:
    """What a submission can read: the system's programs and libraries, Python and its packages, the course's two.

    Examples
    --------
    >>> import numpy
    >>> any(numpy.__file__.startswith(path) for path in visible())
    True
    """
    wanted = [*_SYSTEM, *map(str, _PACKAGES)]
    for prefix in {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}:
        # Not the folder itself: who has an environment in his home has other things in it, too.
        wanted += [os.path.join(prefix, name) for name in ("bin", "lib", "lib64", "pyvenv.cfg")]
    wanted += [one for one in sys.path if one.endswith(("site-packages", "dist-packages")) or one.endswith(".zip")]
    wanted += _path_files([one for one in sys.path if os.path.isdir(one)])
    wanted += _steps(sys.executable)
    wanted += [one for one in os.environ.get("LD_LIBRARY_PATH", "").split(":") if one]
    wanted += [os.path.realpath(one) for one in wanted if one not in _SYSTEM]
    chosen: list[str] = []
    for path in sorted({os.path.normpath(one) for one in wanted}, key=len):
        if os.path.isabs(path) and os.path.exists(path) and path != "/" and not any(
            _within(path, one) for one in chosen if not os.path.islink(one)
        ):  # fmt: skip
            chosen.append(path)
    return chosen


def environment(home: str = HOME) -> dict[str, str]:
    """Little of ours, and no secrets: where the submission finds programs and keeps files."""
    kept = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "MCLASS_PROFILE", "OMP_NUM_THREADS", "VIRTUAL_ENV")
    found = {name: os.environ[name] for name in kept if name in os.environ}
    roots = {str(one.parent): one.parent.name for one in _PACKAGES}
    checkouts = [root for root, name in roots.items() if name not in ("site-packages", "dist-packages")]
    if checkouts:  # installed or not
        found["PYTHONPATH"] = os.pathsep.join(checkouts)
    return found | {
        "HOME": home,
        "USER": "nobody",
        "LOGNAME": "nobody",
        "IPYTHONDIR": home,
        "MPLCONFIGDIR": home,
        "MCLASS_HOME": home,
        "MPLBACKEND": "Agg",
        "TQDM_DISABLE": "1",
        "PIP_RETRIES": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "CUDA_VISIBLE_DEVICES": "",  # the same for all, and a GPU's memory cannot be limited
    }


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _path_files(folders: Sequence[str]) -> list[str]:
    """Folders that ``.pth`` files add: packages installed for editing. Of the course, its packages alone."""
    checkouts = {one.parent for one in _PACKAGES}
    found = []
    for folder in folders:
        for file in Path(folder).glob("*.pth"):
            with contextlib.suppress(OSError, ValueError):
                lines = file.read_text(encoding="utf-8").splitlines()
                found += [one for one in lines if os.path.isabs(one) and Path(one) not in checkouts]
    return found


def _steps(program: str) -> list[str]:
    """The folders of the links between a program's name and the program."""
    found = []
    for _ in range(40):
        found.append(os.path.dirname(program))
        if not os.path.islink(program):
            break
        program = os.path.join(os.path.dirname(program), os.readlink(program))
    return found
