"""The walls around a submission: time, memory, network, files. Run in the process that is about to run it.

Two layers. `limit` and `watch` work wherever Python does: resource limits, and an audit hook, which Python code
cannot take away again, but which native code can go around. On Linux `isolate` adds the kernel's own walls: no
network at all, no other process in sight, and a file system that holds Python, the package and an empty folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

# Linux's numbers: namespaces, mounts, prctl
_NEWNS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_BIND, _REC, _PRIVATE, _NOSUID, _NODEV, _DETACH = 0x1000, 0x4000, 0x40000, 0x2, 0x4, 0x2
_MOUNT_SETATTR, _PIVOT_ROOT, _AT_RECURSIVE, _ATTR_RDONLY = 442, {"x86_64": 155, "aarch64": 41}, 0x8000, 0x1
_PDEATHSIG, _CAPBSET_DROP, _NO_NEW_PRIVS = 1, 24, 38

_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/dev", "/sys",
    *(f"/etc/{name}" for name in ("alternatives", "fonts", "group", "ld.so.cache", "localtime", "passwd", "ssl")),
)  # fmt: skip


class _Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


class _CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


def isolate(folder: Path, hidden: Sequence[Path] = ()) -> bool:
    """Cut this process off with namespaces; what runs afterwards is a child of the process that called.

    Parameters
    ----------
    folder : Path
        The only place, beside a temporary ``/tmp``, that can be written to. Beside it there must be an empty
        folder ``root``.
    hidden : sequence of Path
        Folders that are to look empty, should they be inside what is visible.

    Returns
    -------
    bool
        Whether the kernel let us. False on other systems than Linux, and where namespaces are forbidden.
    """
    if not sys.platform.startswith("linux") or os.uname().machine not in _PIVOT_ROOT:
        return False
    # Tried in a child first: half a wall could not be taken down again.
    trial = os.fork()
    if trial == 0:
        try:
            _enter(folder, hidden)
            os._exit(0)
        except BaseException:
            os._exit(1)
    if os.waitstatus_to_exitcode(os.waitpid(trial, 0)[1]) != 0:
        return False
    _enter(folder, hidden)
    return True


def visible() -> list[str]:
    """What a submission can read: the system's programs and libraries, Python and its packages, this package.

    Examples
    --------
    >>> import numpy
    >>> any(numpy.__file__.startswith(path) for path in visible())
    True
    """
    package = Path(__file__).resolve().parents[1]
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.realpath(sys.executable)]
    paths = [one for one in sys.path if "site-packages" in one or "dist-packages" in one]
    libraries = [one for one in os.environ.get("LD_LIBRARY_PATH", "").split(":") if one]
    chosen: list[str] = []
    for path in sorted({*_SYSTEM, *python, *paths, *libraries, str(package)}, key=len):
        if os.path.exists(path) and os.path.isabs(path) and path != "/" and not any(
            path.startswith(one + "/") for one in chosen if not os.path.islink(one)
        ):  # fmt: skip
            chosen.append(path)
    return chosen


def _enter(folder: Path, hidden: Sequence[Path]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    root = folder.parent / "root"

    def call(result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def mount(source: str, target: Path | str, kind: str | None, flags: int, options: str | None = None) -> None:
        text = [None if one is None else os.fsencode(one) for one in (source, target, kind, options)]
        call(libc.mount(text[0], text[1], text[2], ctypes.c_ulong(flags), text[3]))

    user, group = os.getuid(), os.getgid()
    call(libc.unshare(_NEWUSER | _NEWNS | _NEWPID | _NEWNET | _NEWIPC))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")

    first = os.fork()  # the first process of the new world; when it ends, all others in it do
    if first:
        code = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
        os._exit(code if code >= 0 else 128 - code)
    libc.prctl(_PDEATHSIG, signal.SIGKILL)

    mount("none", "/", None, _REC | _PRIVATE)
    mount("none", root, "tmpfs", _NOSUID | _NODEV, "size=1m,mode=755")
    for name in ("proc", "tmp"):
        (root / name).mkdir()
    mount("none", root / "tmp", "tmpfs", _NOSUID | _NODEV, "size=1g")  # first: Python may live below it
    for path in visible():
        inside = Path(f"{root}{path}")
        inside.parent.mkdir(parents=True, exist_ok=True)
        if os.path.islink(path):  # /bin is usr/bin on many systems
            inside.symlink_to(os.readlink(path))
            continue
        inside.mkdir() if os.path.isdir(path) else inside.touch()
        mount(path, inside, None, _BIND | _REC)
    for path in hidden:
        if (covered := Path(f"{root}{os.path.realpath(path)}")).is_dir():
            mount("none", covered, "tmpfs", _NOSUID | _NODEV, "size=4k,mode=555")
    read_only = _Attributes(set=_ATTR_RDONLY)
    size = ctypes.c_size_t(ctypes.sizeof(read_only))
    Path(f"{root}{folder}").mkdir(parents=True, exist_ok=True)
    call(libc.syscall(_MOUNT_SETATTR, -100, os.fsencode(root), _AT_RECURSIVE, ctypes.byref(read_only), size))
    writable = _Attributes(clear=_ATTR_RDONLY)
    call(libc.syscall(_MOUNT_SETATTR, -100, os.fsencode(root / "tmp"), 0, ctypes.byref(writable), size))
    mount(os.fspath(folder), f"{root}{folder}", None, _BIND)
    with contextlib.suppress(OSError):  # inside some containers: then there is none
        mount("proc", root / "proc", "proc", _NOSUID | _NODEV)
    if (root / "dev" / "shm").is_dir():
        mount("none", root / "dev" / "shm", "tmpfs", _NOSUID | _NODEV, "size=1g")
    os.chdir(root)
    call(libc.syscall(_PIVOT_ROOT[os.uname().machine], b".", b"."))
    call(libc.umount2(b".", _DETACH))
    os.chdir(folder)

    # Without capabilities, and without a way to get them back, nothing of this can be undone.
    for number in range(64):
        libc.prctl(_CAPBSET_DROP, number, 0, 0, 0)
    call(libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))
    call(libc.capset(ctypes.byref(_CapabilityHeader(0x20080522, 0)), (ctypes.c_uint32 * 6)()))


def limit(memory: int, seconds: float, isolated: bool) -> None:
    """Bound what this process and each of its children may use.

    Parameters
    ----------
    memory : int
        Bytes of data of its own.
    seconds : float
        Of wall time, over which the judge watches; here it bounds what might outlive the judge.
    isolated : bool
        Whether `isolate` succeeded; then processes are counted, too.
    """
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
    if isolated:
        at_most("RLIMIT_NPROC", 512)


_NETWORK = (
    "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendmsg",
    "socket.sendto",
)  # fmt: skip
_PROGRAMS = ("os.exec", "os.posix_spawn", "os.startfile", "os.system", "subprocess.Popen")
_CHANGES = (
    "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink",
    "os.truncate",
    "shutil.rmtree",
)  # fmt: skip


def watch(folder: Path, hidden: Sequence[Path], isolated: bool, report: Callable[[str], None]) -> None:
    """Refuse the network, hidden folders and writing elsewhere, and say so; cannot be taken back.

    Parameters
    ----------
    folder : Path
        Where writing is allowed.
    hidden : sequence of Path
        Folders that may not be read.
    isolated : bool
        Where the kernel does not isolate, starting programs is refused, too: they would not be watched.
    report : callable
        Is told what was refused.
    """
    inside = os.path.realpath(folder) + os.sep
    closed = tuple(os.path.realpath(path) + os.sep for path in hidden)
    realpath, fsdecode, told = os.path.realpath, os.fsdecode, set()

    def refuse(what: str) -> None:
        if what not in told:
            told.add(what)
            report(what)
        raise PermissionError(f"while homework is graded, {what} is not allowed")

    def check_path(event: str, arguments: tuple) -> None:
        path = realpath(fsdecode(arguments[0]))
        if (path + os.sep).startswith(closed):
            refuse("reading the homework's own folders")
        mode, flags = (None, None) if event != "open" else (*arguments[1:3], None, None)[:2]
        writes = event != "open" or (isinstance(mode, str) and any(one in mode for one in "wax+"))
        writes = writes or (isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR)))
        if writes and not isolated and not path.startswith((inside, "/dev/", "/proc/self/")):
            refuse("writing outside its own folder")

    def hook(event: str, arguments: tuple) -> None:
        if event in _NETWORK:
            # A socket between two processes of the submission (multiprocessing) has a path for an address.
            if event != "socket.connect" or not isinstance(arguments[1], str | bytes):
                refuse("the network")
        elif event in _PROGRAMS and not isolated:
            refuse("starting programs")
        elif event == "os.kill" and not isolated and arguments[0] not in (os.getpid(), 0):
            refuse("signalling other processes")
        elif (event == "open" or event in _CHANGES) and isinstance(arguments[0], str | bytes | os.PathLike):
            check_path(event, arguments)

    sys.addaudithook(hook)
