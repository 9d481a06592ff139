# ruff: noqa: B017, E501, PT011 (attacks are one line each; what they raise is their own)
"""What submissions must not do, tried: each attack is a cell of a notebook, and says `DONE` or what it has found."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from classroom import need_sandbox

import mclass
from mclass_grading.held_out import VARIABLE
from mclass_grading.isolation import cgroups, process
from mclass_grading.isolation.process import EndedError, Process, SubmissionError

SECRET = "90417263"
PACKAGE = mclass.__file__

# ---- what is outside of the sandbox: {secret} is a file, {judge} a process, {port} a server of the judge's

REACH = {
    "open": "return open('{secret}').read()",
    "list a folder": "return os.listdir(os.path.dirname('{secret}'))",
    "through the root of the first process": "return open('/proc/1/root{secret}').read()",
    "through every process's root": "return [open(f'/proc/{{n}}/root{secret}').read() for n in range(1, 99)]",
    "up from its own folder": "return open('/proc/self/cwd/' + '../' * 20 + '{secret}').read()",
    "through descriptors": "return any_of(lambda n: os.open('../' * 20 + '{secret}'[1:], 0, dir_fd=n), range(200))",
    "through descriptors of folders": "return any_of(lambda n: os.listdir(n), range(3, 200))",
    "descriptors of processes": "return all_of(lambda n: os.read(os.open(f'/proc/1/fd/{{n}}', 2048), 99), range(200))",
    "folders of processes": "return all_of(lambda n: open(f'/proc/1/fd/{{n}}{secret}').read(), range(200))",
    "a hard link": "os.link('{secret}', 'x'); return open('x').read()",
    "a symbolic link": "os.symlink('{secret}', 'y'); return open('y').read()",
    "replace it": "open('z', 'w').close(); os.replace('z', '{secret}'); return 'DONE'",
    "sqlite": "sqlite3.connect('{secret}').execute('create table x (y)'); return 'DONE'",
    "a shared tensor": "import torch; torch.from_file('{secret}', True, 8, dtype=torch.uint8)[:] = 1; return 'DONE'",
    "a memory map": "import numpy; numpy.memmap('{secret}', mode='r+')[:] = 1; return 'DONE'",
    "a program": "return subprocess.check_output(['cat', '{secret}']).decode()",
    "a C function": "n = libc.open('{secret}'.encode(), 0); return os.read(n, 99).decode()",
    "by handle": "n = libc.syscall(304, os.open('/', 0), b'\\x08\\0\\0\\0\\1\\0\\0\\0\\2' + bytes(40), 0); "
    "return os.listdir(n) and must(n)",
    "chroot": "os.chroot('/proc/1/root'); os.chdir('../' * 20); return open('.{secret}').read()",
    "masters": "return any_of(lambda n: open(n).read(), ['{homework}/hw2.ipynb', '../' * 20 + '{homework}/hw2.ipynb'])",
    "passwords": "return open('/etc/shadow').read() or 'DONE'",
    "users": "return open('/etc/passwd').read() and 'DONE'",
    "shared memory of others": "return open('/dev/shm/{shm}').read()",
    "the judge's environment": "return open('/proc/{judge}/environ').read() and 'DONE'",
    "all environments": "return [open(f'/proc/{{n}}/environ').read() for n in os.listdir('/proc') if n.isdigit()]",
    "all command lines": "return [open(f'/proc/{{n}}/cmdline').read() for n in os.listdir('/proc') if n.isdigit()]",
    "its own environment": "return dict(os.environ)",
    "its own memory": "return [v for v in map(repr, gc.get_objects()[:20000]) if '{number}' in v and 'SECRETS' not in v]",
    "the judge's memory": "return open('/proc/{judge}/mem', 'rb') and 'DONE'",
    "the judge's maps": "return open('/proc/{judge}/maps').read() and 'DONE'",
    "memory by a system call": "there = ctypes.byref((ctypes.c_void_p * 2)(id(os), 8)); "
    "return must(libc.syscall(310, {judge}, there, 1, there, 1, 0))",
    "trace the judge": "return must(libc.ptrace(16, {judge}, 0, 0))",
    "signal the judge": "os.kill({judge}, 0); return 'DONE'",
    "signal others": "return any_of(lambda n: os.kill(n, 0), range(2000, 70_000))",
    "see other processes": "return [n for n in os.listdir('/proc') if n.isdigit() and int(n) > 1000 and 'DONE'][:1]",
    "kernel keys": "return must(libc.syscall(250, 11, -3, ctypes.create_string_buffer(99), 99, 0) - 1)",
    "TCP": "return socket.create_connection(('127.0.0.1', {port}), 1) and 'DONE'",
    "TCP, version 6": "return socket.create_connection(('::1', {port}), 1) and 'DONE'",
    "TCP to the outside": "return socket.create_connection(('192.0.2.1', 80), 1) and 'DONE'",
    "UDP": "return socket.socket(2, 2).sendto(b'x', ('192.0.2.1', 53)) and 'DONE'",
    "names": "return socket.getaddrinfo('example.org', 80) and 'DONE'",
    "an abstract socket": "s = socket.socket(1); s.connect('\\0{abstract}'); return 'DONE'",
    "a socket that is a file": "s = socket.socket(1); s.connect('{socket}'); return 'DONE'",
    "raw sockets": "return socket.socket(2, 3, 1) and 'DONE'",
    "packets": "return socket.socket(17, 3, 3) and 'DONE'",
    "the machine around": "s = socket.socket(40, 1); s.settimeout(1); s.connect((2, {port})); return 'DONE'",
    "a program that loads": "subprocess.check_call(['curl', '-m', '1', 'http://127.0.0.1:{port}']); return 'DONE'",
    "the terminal": "fcntl.ioctl(os.open('/dev/tty', 2), 0x5412, b'x'); return 'DONE'",
    "kernel messages": "return must(libc.klogctl(3, ctypes.create_string_buffer(9), 9) - 1)",
    "devices": "return any_of(lambda n: os.open('/dev/' + n, 0), ['kmsg', 'mem', 'sda', 'vda', 'kvm', 'fuse', 'port'])",
    "a device of its own": "os.mknod('d', 0o60666, os.makedev(254, 0)); os.open('d', 0); return 'DONE'",
}  # fmt: skip

CHANGE = {
    "the package": "open('{package}', 'a').write('x'); return 'DONE'",
    "the package's mode": "os.chmod('{package}', 0o777); return 'DONE'",
    "the package's owner": "os.chown('{package}', 65534, 65534); return 'DONE'",
    "the package's time": "os.utime('{package}', (1, 1)); return 'DONE'",
    "remove the package": "os.unlink('{package}'); return 'DONE'",
    "packages": "open(os.path.join(os.path.dirname(os.__file__), 'x.pth'), 'w').write('x'); return 'DONE'",
    "programs": "open(os.path.join(sys.prefix, 'bin', 'x'), 'w').write('x'); return 'DONE'",
    "the system": "return any_of(lambda n: open(n + '/x', 'w'), ['/usr', '/usr/bin', '/etc', '/', '/dev', '/sys'])",
    "a mount": "return must(libc.mount(b'none', b'/usr', b'tmpfs', 0, None))",
    "a mount that can be written": "return must(libc.mount(None, b'/usr', None, 0x1020, None))",
    "uncover": "return any_of(lambda n: must(libc.umount2(n, 2)), [b'/tmp', b'/usr', b'/proc', b'/proc/sys', b'/'])",
    "a user namespace": "must(libc.unshare(0x10020000)); must(libc.mount(None, '{package}'.encode(), None, 0x1020, None)); "
    "open('{package}', 'a').write('x'); return 'DONE'",
    "the first process's namespace": "return must(libc.setns(os.open('/proc/1/ns/mnt', 0), 0))",
    "host name": "socket.sethostname('x'); return 'DONE'",
    "host name, in C": "return must(libc.sethostname(b'x', 1))",
    "host name, in a user namespace": "must(libc.unshare(0x10000000)); socket.sethostname('x'); return ''",
    "domain name": "return must(libc.setdomainname(b'x', 1))",
    "host name, by a file": "put('/proc/sys/kernel/hostname', 'x'); return 'DONE'",
    "core pattern": "put('/proc/sys/kernel/core_pattern', '|/tmp/x'); return 'DONE'",
    "settings of the kernel": "return any_of(lambda n: put('/proc/sys/' + n, '1'), "
    "['vm/drop_caches', 'kernel/panic', 'kernel/ns_last_pid', 'kernel/randomize_va_space', 'fs/suid_dumpable'])",
    "sysrq": "put('/proc/sysrq-trigger', 'h'); return 'DONE'",
    "the clock": "time.clock_settime(time.CLOCK_REALTIME, time.time()); return 'DONE'",
    "restart": "return must(libc.reboot(0))",
    "swap": "return must(libc.swapoff(b'/dev/x') if ctypes.get_errno() == 22 else -1)",
    "a kernel module": "return must(libc.syscall(175, 0, 0, b''))",
    "programs in the kernel": "return must(libc.syscall(321, 5, ctypes.create_string_buffer(128), 128))",
    "become root": "os.setuid(0); return 'DONE'",
    "become root, in C": "return must(libc.setresuid(0, 0, 0))",
    "root's group": "os.setgid(0); return 'DONE'",
    "other groups": "os.setgroups([0]); return 'DONE'",
    "a program that is root": "return subprocess.check_output(['su', '-c', 'id'], timeout=2, input=b'') and 'DONE'",
    "sudo": "return subprocess.check_output(['sudo', '-n', 'id'], timeout=2) and 'DONE'",
    "privileges": "s = open('/proc/self/status').read(); "
    "return '' if 'CapEff:\\t0000000000000000' in s and 'CapPrm:\\t0000000000000000' in s else 'DONE'",
    "new privileges": "return '' if 'NoNewPrivs:\\t1' in open('/proc/self/status').read() else 'DONE'",
    "root": "return 'DONE' if 0 in (os.getuid(), os.geteuid(), os.getgid(), *os.getgroups()) else ''",
    "its limits": "import resource; resource.setrlimit(resource.RLIMIT_DATA, (-1, -1)); return 'DONE'",
    "its group": "return any_of(os.listdir, ['/sys/fs/cgroup', '/sys/fs'])",
    "priority": "os.nice(-10); return 'DONE'",
    "who is killed for memory": "put('/proc/self/oom_score_adj', '-1000'); return 'DONE'",
    "kernel hardware": "return must(libc.iopl(3))",
}  # fmt: skip

TOOLS = """
import ctypes, fcntl, gc, os, signal, socket, sqlite3, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def must(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return 'DONE'
def put(path, text):
    os.write(os.open(path, os.O_WRONLY), text.encode())
def any_of(function, values):
    for one in values:
        try:
            function(one)
            return 'DONE'
        except OSError:
            pass
def all_of(function, values):
    found = []
    for one in values:
        try:
            found.append(function(one))
        except OSError:
            pass
    return found
def run(attack):
    if (child := os.fork()) == 0:  # what it breaks is its own
        try:
            said = repr(attack())
        except BaseException as error:
            said = type(error).__name__
        open('said', 'w').write(said)
        os._exit(0)
    for _ in range(100):
        if os.waitpid(child, os.WNOHANG)[0]:
            return open('said').read() if os.path.exists('said') else 'died'
        time.sleep(0.05)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return 'endless'
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each attack said, and what has changed."""
    need_sandbox()
    folder = tmp_path_factory.mktemp("outside")
    secret = folder / "secret.txt"
    secret.write_text(SECRET)
    shm = Path("/dev/shm") / f"mclass-test-{os.getpid()}"
    before = state(secret)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0mclass-test-{os.getpid()}")
        abstract.listen()
        named = stack.enter_context(socket.socket(socket.AF_UNIX))
        named.bind(str(folder / "socket"))
        named.listen()
        stack.callback(os.close, os.open(folder, os.O_RDONLY))
        shm.write_text(SECRET)
        stack.callback(shm.unlink)
        victim = subprocess.Popen(["sleep", "60"])
        stack.callback(victim.wait)
        stack.callback(victim.kill)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv(VARIABLE, SECRET)
        names = {
            "secret": secret, "judge": os.getpid(), "port": server.getsockname()[1], "package": PACKAGE,
            "number": SECRET, "abstract": f"mclass-test-{os.getpid()}", "socket": folder / "socket", "shm": shm.name,
            "homework": Path(__file__).parents[1] / "homework",
        }  # fmt: skip
        said = {}
        with Process(120, 2 << 30, hidden=[folder]) as one:
            one.run(TOOLS)
            for kind, attacks in (("reach", REACH), ("change", CHANGE)):
                for name, source in attacks.items():
                    one.run("def attack():\n    " + source.format(**names).replace("; ", "\n    "))
                    one.run("said = run(attack)\nif os.path.exists('said'): os.unlink('said')")
                    said[kind, name] = one.name("said")
            one.run("said = run(lambda: 'DONE')")
            said["control"] = one.name("said")  # an attack that succeeds is seen
        server.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            server.accept()
            said["reach", "TCP"] = "DONE: a connection came"
        assert victim.poll() is None
    assert state(secret) == before
    return said


def state(secret):
    """What an attack might change on the machine."""
    kernel = [Path("/proc/sys/kernel", name).read_text() for name in ("hostname", "domainname", "core_pattern")]
    package = Path(PACKAGE)
    return [
        socket.gethostname(), *kernel, secret.read_text(), sorted(os.listdir(secret.parent))[:1], package.read_bytes(),
        package.stat().st_mtime_ns, package.stat().st_mode, package.stat().st_uid, sorted(os.listdir(package.parent)),
        os.path.exists("/etc/x"), os.path.exists("/usr/x"),
    ]  # fmt: skip


ATTACKS = [*(("reach", name) for name in REACH), *(("change", name) for name in CHANGE)]


@pytest.mark.parametrize("attack", ATTACKS, ids=map(": ".join, ATTACKS))
def test_an_attack_finds_and_changes_nothing(found, attack):
    assert "DONE" in found["control"]
    assert "DONE" not in found[attack]
    assert SECRET not in found[attack]
    assert found[attack] not in ("SyntaxError", "NameError", "TypeError", "AttributeError"), "the attack is broken"


# ---- what it may use

HUNGER = {
    "lists": "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "shared maps": "import mmap\nx = []\nwhile True:\n    x.append(mmap.mmap(-1, 1 << 24))\n    x[-1].write(bytes(1 << 24))",
    "nameless files": "import os\nn = os.memfd_create('x')\nwhile True: os.write(n, bytes(1 << 20))",
    "many nameless files": "import os\nwhile True: os.write(os.memfd_create('x'), bytes(1 << 20))",
    "files": "n = open('/tmp/x', 'wb')\nwhile True: n.write(bytes(1 << 20))",
    "files in shared memory": "n = open('/dev/shm/x', 'wb')\nwhile True: n.write(bytes(1 << 20))",
    "files in both": "import os\na, b = open('/tmp/x', 'wb'), open('/dev/shm/x', 'wb')\n"
    "x = []\nwhile True:\n    for one in (a, b):\n        try: one.write(bytes(1 << 20))\n        except OSError: x.append(bytearray(1 << 20))",
    "many small files": "i = 0\nwhile True:\n    i += 1\n    open(f'/tmp/{i}', 'w').write('x' * 20_000)",
    "shared memory of System V": "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.shmat.restype = ctypes.c_void_p\n"
    "while True:\n    n = libc.shmget(0, 1 << 24, 0o1600)\n    assert n >= 0\n"
    "    ctypes.memset(libc.shmat(n, None, 0), 1, 1 << 24)",
    "processes that eat": "import os, time\nfor _ in range(40):\n    if os.fork() == 0:\n"
    "        x = bytearray(os.urandom(1 << 20) * 64)\n        time.sleep(60)\ntime.sleep(60)",
    "a child that eats, with a parent that waits": "import os, time\nif os.fork() == 0:\n    x = []\n"
    "    while True: x.append(os.memfd_create('x')); os.write(x[-1], bytes(1 << 20))\ntime.sleep(60)",
    "pipes": "import os\nos.nice(0)\nwhile True:\n    n = os.pipe()[1]\n    os.set_blocking(n, False)\n    os.write(n, bytes(1 << 16))",
    "tables of pages": "import mmap\nx = mmap.mmap(-1, 1 << 40)\nfor i in range(0, 1 << 40, 1 << 21): x[i] = 1",
}  # fmt: skip


@pytest.mark.parametrize("counted", [True, False], ids=["control groups", "sum"])
@pytest.mark.parametrize("name", HUNGER)
def test_memory_of_every_kind_is_bounded(name, counted, monkeypatch):
    need_sandbox()
    if not counted:
        if name in ("shared memory of System V", "pipes", "many small files"):
            pytest.skip("counted by control groups only")
        monkeypatch.setattr(cgroups, "create", lambda *_: None)
    memory, largest = 300 << 20, [0]
    with Process(20, memory, 12) as one:
        if counted and one.group is None:
            pytest.skip("no control groups here")
        over = threading.Event()

        def look():
            while not over.wait(0.02):
                with contextlib.suppress(psutil.Error):
                    tree = [psutil.Process(one.child.pid), *psutil.Process(one.child.pid).children(recursive=True)]
                    largest[0] = max(largest[0], sum(each.memory_info().rss for each in tree[-1:]))

        thread = threading.Thread(target=look)
        thread.start()
        start = time.monotonic()
        try:
            with pytest.raises(Exception) as caught:
                one.run(HUNGER[name])
        finally:
            over.set()
            thread.join()
        assert time.monotonic() - start < 11, "it was its time that ended it, not its memory"
        what = str(caught.value) + type(caught.value).__name__
        assert any(part in what for part in ("of memory", "MemoryError", "OSError", "emory", "resource")), what
    assert largest[0] < 2.5 * memory


BOMBS = {
    "processes": "import os\nwhile True: os.fork()",
    "threads": "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()",
    "a loop": "while True: pass",
    "a loop that is deaf": "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
    "a loop in C": "import re\nre.match('(a*)*b', 'a' * 60)",
    "sleep": "import time, signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\ntime.sleep(60)",
    "stopped": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
    "an answer that never comes": "import os, signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nos.read(os.pipe()[0], 1)",
    "printing": "while True: print('x' * 100_000)",
    "half an answer": "import os, signal, time\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
    "for n in range(3, 30):\n    try: os.write(n, (100).to_bytes(8, 'little') + b'{')\n    except OSError: pass\ntime.sleep(60)",
    "a flood of answers": "import os\nwhile True:\n    for n in range(3, 30):\n        try: os.write(n, b'x' * 65536)\n        except OSError: pass",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_time_and_processes_are_bounded(name, monkeypatch):
    need_sandbox()
    monkeypatch.setattr(process, "GRACE", 0.5)
    start = time.monotonic()
    with Process(4, 1 << 30, 1) as one, pytest.raises(Exception):
        one.run(BOMBS[name])
    assert time.monotonic() - start < 20
    assert one.child.poll() is not None
    assert not one.group or not any(folder.exists() for folder in one.group.folders.values())


def test_a_slow_answer_does_not_keep_the_judge_from_looking(monkeypatch):
    need_sandbox()
    for create in (cgroups.create, lambda *_: None):
        monkeypatch.setattr(cgroups, "create", create)
        with Process(60, 300 << 20) as one:
            one.run(
                "import os, time\ndef slow():\n    n = os.memfd_create('x')\n"
                "    while True: os.write(n, bytes(1 << 20)); time.sleep(0.001)"
            )
            start = time.monotonic()
            with pytest.raises(EndedError, match="GB of memory"):
                one.name("slow")()
            assert time.monotonic() - start < 20


def test_answers_that_are_too_large_or_none_are_not_believed():
    need_sandbox()
    with Process(60, 2 << 30) as one:
        one.run("import numpy as np\ndef f(n): return [np.zeros(1 << 30, np.uint8), 10**5000, '\\ud800'][n]")
        assert one.name("f")(2) == "\ud800"
        with pytest.raises(Exception, match="digits"):
            one.name("f")(1)
        with pytest.raises(SubmissionError):
            np.sum(one.name("f")(0))


# ---- signals


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_submissions_end_with_the_judge(how):
    import signal

    need_sandbox()
    marker = f"mark{os.getpid()}{how[3:6]}"
    code = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored, nohup the other
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from mclass_grading.grading import _ending_by_signals
from mclass_grading.isolation.process import Process
with _ending_by_signals(), Process(100, 1 << 30) as one:
    print("ready", flush=True)
    one.run('''
import ctypes, os, signal
for one in range(1, 64):
    try: signal.signal(one, signal.SIG_IGN)
    except (OSError, ValueError): pass
os.fork()
os.setsid()
ctypes.CDLL(None).prctl(15, b"{marker}", 0, 0, 0)
while True: pass
''')
"""
    judge = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert judge.stdout.readline() == b"ready\n"
    assert wait_for(lambda: marker in names_of_processes())
    judge.send_signal(getattr(signal, how))
    assert judge.wait(10) != 0
    judge.stdout.close()
    assert wait_for(lambda: marker not in names_of_processes())


def names_of_processes():
    return {one.info["name"] for one in psutil.process_iter(["name"])}


def wait_for(condition, seconds=5.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_the_process_s_walls_are_bubblewrap_s():
    assert "ctypes" not in Path(process.__file__).read_text()
