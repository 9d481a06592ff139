"""The cache is built once, whole or not at all, by one process, and again when it is damaged."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from mclass.datasets.storage import cache
from mclass.errors import CacheError


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MCLASS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


class Builder:
    """Writes one file and counts how often it was asked to."""

    def __init__(self, content=b"music" * 1000, error=None):
        self.calls, self.content, self.error = 0, content, error

    def __call__(self, folder):
        self.calls += 1
        (folder / "data").write_bytes(self.content)
        if self.error:
            raise self.error


def test_builds_once(home):
    build = Builder()
    folder = cache.build_once("thing", build, 5000)
    assert folder == home / "thing"
    assert (folder / "data").read_bytes() == build.content
    assert cache.build_once("thing", build, 5000) == folder
    assert build.calls == 1


@pytest.mark.parametrize("damage", ["truncate", "overwrite", "delete", "stamp", "stamp is a list"])
def test_damage_is_repaired(home, damage):
    build = Builder()
    data = cache.build_once("thing", build, 5000) / "data"
    if damage == "truncate":
        data.write_bytes(build.content[:100])
    elif damage == "overwrite":
        data.write_bytes(b"noise" * 1000)
    elif damage == "delete":
        data.unlink()
    else:
        (home / "thing" / "complete.json").write_text("[]" if "list" in damage else '{"data": [1, 2')
    cache.build_once("thing", build, 5000)
    assert data.read_bytes() == build.content
    assert build.calls == 2


def test_a_copy_is_as_good_as_the_original(home):
    build = Builder()
    folder = cache.build_once("thing", build, 5000)
    os.utime(folder / "data", (1, 1))  # what copying does
    cache.build_once("thing", build, 5000)
    assert build.calls == 1


def test_a_failed_build_leaves_nothing(home):
    with pytest.raises(RuntimeError, match="no music today"):
        cache.build_once("thing", Builder(error=RuntimeError("no music today")), 5000)
    assert [path.name for path in home.iterdir() if path.is_dir()] == []


def test_a_full_disk_is_named_before_and_during_the_build(home, monkeypatch):
    during = Builder(error=OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(CacheError, match=r"0 MB are needed.*MB are free.*MCLASS_HOME"):
        cache.build_once("thing", during, 5000)
    assert not (home / "thing").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3_000_000))
    before = Builder()
    with pytest.raises(CacheError, match="9 MB are needed in the cache folder, 3 MB are free"):
        cache.build_once("thing", before, 9_000_000)
    assert before.calls == 0


def test_a_home_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MCLASS_HOME", str(tmp_path / "file"))
    with pytest.raises(CacheError, match=r"cannot be written.*Set MCLASS_HOME"):
        cache.build_once("thing", Builder(), 10)


def test_other_errors_of_the_system_come_with_advice_and_other_errors_as_they_are(home):
    with pytest.raises(CacheError, match=r"File too large.*Set MCLASS_HOME"):
        cache.build_once("thing", Builder(error=OSError(errno.EFBIG, "File too large")), 10)
    with pytest.raises(FileNotFoundError, match="the soundfont"):
        cache.build_once("thing", Builder(error=FileNotFoundError("the soundfont was not found")), 10)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_read_only_home_is_named(tmp_path, monkeypatch):
    tmp_path.chmod(0o500)
    monkeypatch.setenv("MCLASS_HOME", str(tmp_path / "home"))
    with pytest.raises(CacheError, match="cannot be written"):
        cache.build_once("thing", Builder(), 10)


_SLOW = """
import sys, time
from mclass.datasets.storage import cache
def build(folder):
    print("building", flush=True)
    (folder / "data").write_bytes(b"x" * 10)
    time.sleep(float(sys.argv[1]))
cache.build_once("thing", build, 10)
"""


def start(seconds):
    return subprocess.Popen([sys.executable, "-c", _SLOW, str(seconds)], stdout=subprocess.PIPE, text=True)


def test_of_two_processes_one_builds_and_one_waits(home):
    processes = [start(1.0), start(1.0)]
    output = "".join(process.communicate(timeout=60)[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert output.count("building") == 1


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_killed_build_is_begun_anew(home):
    process = start(60)
    assert process.stdout.readline() == "building\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (home / "thing").exists()
    build = Builder()
    cache.build_once("thing", build, 10)
    assert build.calls == 1
    assert [path.name for path in home.iterdir() if path.is_dir()] == ["thing"]
