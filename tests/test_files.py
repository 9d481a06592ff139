"""Files that appear complete or not at all: links, permissions, streams; one writer; names shown to people."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclass._utils import files as _files
from mclass._utils.files import identity, replacing, writing
from mclass._utils.text import one_line, visible
from mclass.errors import BusyError

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX's permissions, links and signals")


def write(path, text):
    with replacing(path) as temporary:
        temporary.write_text(text)


# Replacing


@posix
def test_a_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "data").mkdir()
    target = tmp_path / "data" / "a.csv"
    target.write_text("old")
    (tmp_path / "near").symlink_to("data/a.csv")
    (tmp_path / "far").symlink_to("near")  # a chain
    (tmp_path / "folder").symlink_to("data")
    for number, path in enumerate(("far", "near", "folder/a.csv")):
        write(tmp_path / path, str(number))
        assert target.read_text() == str(number)
    (tmp_path / "dangling").symlink_to("data/b.csv")
    write(tmp_path / "dangling", "new")
    assert (tmp_path / "data" / "b.csv").read_text() == "new"
    assert all((tmp_path / name).is_symlink() for name in ("near", "far", "folder", "dangling"))
    assert sorted(os.listdir(tmp_path / "data")) == ["a.csv", "b.csv"]


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_kept_and_new_files_follow_the_umask(tmp_path, umask):
    old = tmp_path / "old"
    old.touch()
    old.chmod(0o640)
    before = os.umask(umask)
    try:
        write(old, "x")
        write(tmp_path / "new", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~umask


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, who may give files away")
def test_the_owner_is_kept(tmp_path):
    (tmp_path / "a").touch()
    os.chown(tmp_path / "a", 1234, 2345)
    write(tmp_path / "a", "x")
    assert ((tmp_path / "a").stat().st_uid, (tmp_path / "a").stat().st_gid) == (1234, 2345)


PRINTING = """
from mclass._utils.files import *
print("a")
with replacing(Path("/dev/stdout")) as temporary:
    temporary.write_text("b\\n")
print("c")
"""


@posix
def test_streams_are_written_to_and_stay_what_they_are(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    heard = []
    reader = threading.Thread(target=lambda: heard.append((tmp_path / "pipe").read_text()))
    reader.start()
    write(tmp_path / "pipe", "through")
    reader.join()
    assert heard == ["through"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    write(_files.Path(os.devnull), "nothing")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    with (tmp_path / "file").open("w") as file:
        subprocess.run([sys.executable, "-c", PRINTING], stdout=file, check=True)
    assert (tmp_path / "file").read_text() == "a\nb\nc\n"


@posix
def test_an_error_leaves_what_was_there(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "a").write_text("old")
    for path, error in (("a", ZeroDivisionError), ("loop", OSError)):
        with pytest.raises(error), replacing(tmp_path / path) as temporary:  # noqa: PT012
            temporary.write_text("new")
            if path == "a":
                raise ZeroDivisionError
    assert (tmp_path / "a").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["a", "loop"]


def test_names_as_long_as_they_may_be_and_many_at_once(tmp_path):
    path = tmp_path / ("ä" * 120 + ".csv")  # 244 bytes
    with writing(path):
        write(path, "x")

    def again(text):
        for _ in range(50):
            write(path, text * 10_000)

    threads = [threading.Thread(target=again, args=(text,)) for text in "abc"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert len(set(path.read_text())) == 1  # whole, at any moment
    assert os.listdir(tmp_path) == [path.name]


# One writer

HOLD = """
import sys, time
from mclass._utils.files import *
with writing(Path(sys.argv[1]), *map(Path, sys.argv[2:])):
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other():
    """Start another process that writes a file; it is killed at the end."""
    started = []

    def hold(*paths):
        command = [sys.executable, "-c", HOLD, *map(str, paths)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@posix
def test_another_process_is_named_and_a_kill_frees_its_lock(other, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    process = other(tmp_path / "folder" / "a.npz")
    began = time.strftime("%Y-%m-%d")
    for path in (tmp_path / "folder" / "a.npz", tmp_path / "link" / "a.npz"):
        with pytest.raises(BusyError) as error, writing(path):
            pass
        assert f"{path} is being written by process {process.pid} of this machine since {began}" in str(
            error.value
        )
        assert str(error.value).endswith("; wait until it has finished, or choose another --out")
    (tmp_path / "folder" / ".a.npz.99.tmp").touch()
    (tmp_path / "folder" / ".b.npz.99.tmp").touch()
    process.send_signal(signal.SIGKILL)
    process.wait()
    with writing(tmp_path / "folder" / "a.npz"), writing(tmp_path / "folder" / "a.npz"):  # nested, as commands do
        pass
    assert os.listdir(tmp_path / "folder") == [".b.npz.99.tmp"]  # of another file, whose writer may be alive


def test_threads_take_turns_and_nothing_is_lost(tmp_path):
    path = tmp_path / "list.json"
    path.write_text("[]")

    def add(number):
        for i in range(20):
            with writing(path, wait=True):
                known = json.loads(path.read_text())
                write(path, json.dumps([*known, 20 * number + i]))

    threads = [threading.Thread(target=add, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(json.loads(path.read_text())) == list(range(60))
    assert os.listdir(tmp_path) == ["list.json"]


@posix
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks(tmp_path, monkeypatch, number):
    import fcntl

    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.warns(UserWarning, match="knows no locks"), writing(tmp_path / "a"):
        write(tmp_path / "a", "x")
    assert os.listdir(tmp_path) == ["a"]
    monkeypatch.setattr(_files.tempfile, "tempdir", str(tmp_path))
    (tmp_path / "mclass-test-1").mkdir()  # may be alive
    with pytest.warns(UserWarning, match="knows no locks"), _files.scratch("mclass-test-"):
        assert (tmp_path / "mclass-test-1").exists()


def test_what_needs_no_lock(tmp_path):
    with writing(None), writing(_files.Path(os.devnull)):
        pass


def test_a_lock_of_another_user(tmp_path, monkeypatch):
    import filelock

    def acquire(*_, **__):
        raise PermissionError(errno.EACCES, "denied")

    (tmp_path / ".a.lock").write_text('{"process": 7, "machine": "other", "since": "2026-01-01 00:00:00"}')
    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with (
        pytest.raises(BusyError, match="process 7 of the machine other since 2026-01-01"),
        writing(tmp_path / "a"),
    ):
        pass
    with pytest.raises(PermissionError), writing(tmp_path / "b"):
        pass


SCRATCH = """
import time
from mclass._utils.files import *
with scratch("mclass-test-") as folder:
    (folder / "inside").touch()
    print(folder, flush=True)
    time.sleep(60)
"""


@posix
def test_temporary_folders_of_killed_processes_are_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(_files.tempfile, "tempdir", str(tmp_path))
    options = {"stdout": subprocess.PIPE, "text": True, "env": os.environ | {"TMPDIR": str(tmp_path)}}
    killed, alive = (subprocess.Popen([sys.executable, "-c", SCRATCH], **options) for _ in range(2))
    folders = [_files.Path(process.stdout.readline().strip()) for process in (killed, alive)]
    killed.kill()
    killed.wait()
    (tmp_path / "mclass-other-1").mkdir()
    with _files.scratch("mclass-test-") as folder:
        assert sorted(tmp_path.glob("mclass-*")) == sorted([folders[1], folder, tmp_path / "mclass-other-1"])
        assert (folders[1] / "inside").exists()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    alive.terminate()
    alive.wait()
    for process in (killed, alive):
        process.stdout.close()


# One file, however it is written


@pytest.mark.skipif(sys.platform != "linux", reason="case and Unicode forms are names of their own there")
def test_spellings_of_one_file(tmp_path, monkeypatch):
    (tmp_path / "music").mkdir()
    files = ["a.wav", "A.wav", "cafe\u0301.wav", "caf\u00e9.wav", "hard.wav", "twin.wav"]
    for name in files[:-1]:
        (tmp_path / "music" / name).touch()
    os.link(tmp_path / "music" / "hard.wav", tmp_path / "music" / "twin.wav")
    (tmp_path / "link").symlink_to("music")
    monkeypatch.chdir(tmp_path / "music")
    spellings = ["a.wav", "./a.wav", "../music/a.wav", "../link/a.wav", str(tmp_path / "music" / "a.wav")]
    assert len({identity(path) for path in spellings}) == 1
    assert len({identity(path) for path in [*files, "absent.wav"]}) == 7


# Text for people


ACTING = [*map(chr, [*range(32), *range(127, 160), 0xAD, 0x200E, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])]


@given(st.text(st.sampled_from([*ACTING, "\u2028", "\udce9", "a", "é", "♪", "\U0001f3b5", "\\", '"'])))
def test_nothing_acts_on_a_terminal_and_machines_get_it_all(text):
    for shown in (visible(text), one_line(text)):
        assert not set(shown) & {*ACTING, "\u2028", "\udce9"}
        shown.encode("utf-8")
    assert json.loads(one_line({"name": text})) == {"name": text}
    if not set(text) & {*ACTING, "\u2028", "\udce9"}:
        assert visible(text) == text
