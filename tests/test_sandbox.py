"""Where submissions run, and that it is said: in the sandbox, or, if one says so, without."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import classroom
import pytest
from classroom import need_sandbox, submission

from mclass import cli
from mclass_grading import held_out
from mclass_grading.grading import Limits, grade
from mclass_grading.isolation import cgroups, sandbox
from mclass_grading.isolation.process import Process


@pytest.fixture
def room(tmp_path, monkeypatch):
    monkeypatch.delenv(held_out.VARIABLE, raising=False)
    classroom.master(tmp_path / "masters")
    submission(tmp_path / "in" / "ada.ipynb")
    return tmp_path


def graded(room, *more):
    arguments = [room / "in", "--out", room / "g.csv", "--homework", room / "masters" / "hw9.ipynb", *more]
    return cli.main(["grade", *map(str, arguments)])


@pytest.fixture
def without(monkeypatch):
    """No bubblewrap, and an ordinary user."""
    which = sandbox.shutil.which
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None if name == "bwrap" else which(name))
    monkeypatch.setattr(sandbox.os, "geteuid", lambda: 1000)
    sandbox.unavailable.cache_clear()
    yield
    sandbox.unavailable.cache_clear()


def test_without_bubblewrap_nothing_is_run_and_it_is_said_what_to_do(room, without, capsys):
    assert graded(room, "--held-out-seed", "123456") == 2
    said = capsys.readouterr().err
    for part in (
        "bwrap is not installed",
        "apt install bubblewrap",
        "dnf install bubblewrap",
        "--trust-submissions",
    ):
        assert part in said
    assert not (room / "g.csv").exists()


def test_submissions_that_are_trusted_run_without_and_it_is_said_everywhere(room, without, capsys):
    assert graded(room, "--trust-submissions") == 0
    assert "WITHOUT a sandbox" in capsys.readouterr().err
    header, row = csv.reader((room / "g.csv").read_text().splitlines())
    assert row[header.index("isolation")] == "none"
    assert row[1] == "10"
    assert "It was run without a sandbox." in (room / "feedback" / "ada.html").read_text(encoding="utf-8")


def test_nothing_secret_is_in_reach_of_what_runs_without(room, without, monkeypatch, capsys):
    assert graded(room, "--trust-submissions", "--held-out-seed", "8675309") == 2
    assert "could read the held-out seed" in capsys.readouterr().err
    monkeypatch.setenv(held_out.VARIABLE, "8675309")
    assert graded(room, "--trust-submissions") == 2
    assert not (room / "g.csv").exists()


def test_root_runs_nothing_without(room, monkeypatch):
    monkeypatch.setattr(sandbox.os, "geteuid", lambda: 0)
    with pytest.raises(sandbox.SandboxError, match="not run as root"):
        grade(room / "masters" / "hw9.ipynb", [room / "in"], room / "g.csv", limits=Limits(isolation="none"))
    with pytest.raises(ValueError, match="'bwrap', 'none'"):
        sandbox.require("docker")


def test_the_sandbox_is_said_too(room, capsys):
    need_sandbox()
    assert graded(room, "--held-out-seed", "123456") == 0
    assert "isolated, in bubblewrap" in capsys.readouterr().err
    header, row = csv.reader((room / "g.csv").read_text().splitlines())
    assert row[header.index("isolation")] == "bwrap"
    assert "It was run in a sandbox." in (room / "feedback" / "ada.html").read_text(encoding="utf-8")


def test_a_table_of_before_gets_the_column(room):
    need_sandbox()
    assert graded(room, "--held-out-seed", "123456") == 0
    header, row = csv.reader((room / "g.csv").read_text().splitlines())
    place = header.index("isolation")
    with (room / "g.csv").open("w", newline="") as file:
        csv.writer(file).writerows([one[:place] + one[place + 1 :] for one in (header, row)])
    submission(room / "in" / "zoe.ipynb")
    assert graded(room, "--held-out-seed", "123456", "--resume") == 0
    rows = list(csv.reader((room / "g.csv").read_text().splitlines()))
    assert [one[place] for one in rows] == ["isolation", "", "bwrap"]


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"student," + b"x" * 200_000, b""], ids=["bytes", "huge", "empty"]
)
def test_a_table_that_is_none_is_refused_by_name(room, capsys, content):
    need_sandbox()
    (room / "g.csv").write_bytes(content)
    assert graded(room, "--held-out-seed", "123456", "--resume") == 2
    said = capsys.readouterr().err
    assert str(room / "g.csv") in said
    assert "unexpected" not in said
    assert (room / "g.csv").read_bytes() == content


def test_two_gradings_do_not_write_one_table(room, capsys):
    import filelock

    need_sandbox()
    with filelock.FileLock(room / ".g.csv.lock"):
        assert graded(room, "--held-out-seed", "123456") == 2
    assert "is being written by another process" in capsys.readouterr().err


def test_an_environment_that_is_a_link_is_isolated_too(tmp_path):
    need_sandbox()
    if sys.prefix == sys.base_prefix:
        pytest.skip("no virtual environment")
    (tmp_path / "linked").symlink_to(os.path.realpath(sys.prefix))
    code = (
        "import sys\nfrom mclass_grading.isolation.process import Process\n"
        "with Process(60, 1 << 30) as one:\n"
        "    one.run('import sys, os, mclass, numpy; seen = [sys.prefix, os.getppid() < 100]')\n"
        "    print(one.name('seen')[0] == sys.prefix, one.name('seen')[1], sys.prefix)"
    )
    python = tmp_path / "linked" / "bin" / Path(sys.executable).name
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert found == ["True", "True", str(tmp_path / "linked")]


def test_python_below_tmp_is_seen_and_its_neighbours_are_not(tmp_path, monkeypatch):
    need_sandbox()
    for name in ("python", "neighbour", "python/masters"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("text")
    visible = [*sandbox.visible(), str(tmp_path / "python")]
    monkeypatch.setattr(sandbox, "visible", lambda: visible)
    monkeypatch.chdir("/")

    def tried(command):
        command = sandbox.wrapped(["sh", "-c", command], 64 << 20, [tmp_path / "python" / "masters"])
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    os.chmod(tmp_path / "python", 0o755)
    assert tried(f"cat {tmp_path}/python/file") == "text"
    assert tried(f"echo changed > {tmp_path}/python/file; cat {tmp_path}/python/file") == "text"
    assert tried(f"ls {tmp_path}") == "python\n"
    assert (
        tried(f"ls {tmp_path}/python/masters; echo x > {tmp_path}/python/masters/x; ls {tmp_path}/python/masters")
        == ""
    )
    assert (tmp_path / "python" / "file").read_text() == "text"


def test_only_what_is_needed_is_visible():
    shown = sandbox.visible()
    assert all(os.path.isabs(one) for one in shown)
    here = Path(__file__).resolve()
    assert not any(here.is_relative_to(os.path.realpath(one)) for one in shown)
    masters = here.parents[1] / "homework"
    assert not any(masters.is_relative_to(os.path.realpath(one)) for one in shown)
    assert not any(Path.home().is_relative_to(os.path.realpath(one)) for one in shown)


def test_groups_of_version_2_are_found_below_or_beside(tmp_path, monkeypatch):
    own = tmp_path / "user" / "session"
    own.mkdir(parents=True)
    monkeypatch.setattr(cgroups, "_mounts", lambda: [("/", str(tmp_path), "cgroup2", "rw")])
    monkeypatch.setattr(cgroups, "_own", lambda: [["0", "", "/user/session"]])
    assert cgroups._version_2() is None
    (own.parent / "cgroup.subtree_control").write_text("cpu memory pids\n")
    assert cgroups._version_2() == {"memory": own.parent, "pids": own.parent}
    (own / "cgroup.subtree_control").write_text("memory pids\n")
    assert cgroups._version_2()["memory"] == own


def test_a_group_counts_what_was_started_in_it():
    group = cgroups.create(64 << 20, 8)
    if group is None or not group.folders:
        pytest.skip("no control groups here")
    code = "import os\nn = os.memfd_create('x')\nfor _ in range(200): os.write(n, bytes(1 << 20))"
    assert subprocess.run([*group.prefix, sys.executable, "-c", code], check=False).returncode < 0
    assert group.ran_out
    many = "import os, time\nfor _ in range(20):\n    if os.fork() == 0: time.sleep(0.5); os._exit(0)"
    assert (
        subprocess.run([*group.prefix, sys.executable, "-c", many], capture_output=True, check=False).returncode
        == 1
    )
    group.close()
    assert not any(folder.exists() for folder in group.folders.values())


def test_starting_is_quick():
    need_sandbox()
    with Process(60, 1 << 30) as one:
        one.run("x = 1")
        assert one.name("x") == 1
