"""Grading: what honest work earns, and that nothing else earns anything."""

import contextlib
import csv
import json
import os
import subprocess
import sys
import time
import wsgiref
from pathlib import Path

import classroom
import numpy as np
import pytest
from classroom import cell, need_sandbox, notebook, submission, write

from mclass import cli
from mclass.errors import DatasetError
from mclass_grading import held_out, notebooks
from mclass_grading.grading import Limits, _harmless, grade, grade_one
from mclass_grading.isolation import wire
from mclass_grading.isolation.process import EndedError, Process
from mclass_grading.judge import free_names, merge
from mclass_grading.notebooks import Homework, NotebookError
from mclass_grading.release import student_version
from mclass_grading.submissions import find, homework_of, owner

SEED = 123_456
GOOD = "def double(x): return [2 * one for one in x]"


@pytest.fixture
def room(tmp_path):
    classroom.master(tmp_path / "masters")
    (tmp_path / "in").mkdir()
    return tmp_path


@pytest.fixture
def homework(room):
    return Homework.read(room / "masters" / "hw9.ipynb")


def graded(room, path, **limits):
    """The grade of one submission."""
    need_sandbox()
    limits = Limits(**({"seconds": 30, "seconds_per_cell": 3, "memory": 2} | limits))
    return grade(room / "masters" / "hw9.ipynb", [path], room / "out.csv", held_out_seed=SEED, limits=limits)[0]


def earned(room, path, **limits):
    homework = Homework.read(room / "masters" / "hw9.ipynb")
    result = graded(room, path, **limits)
    return [result.question(homework, name) for name in homework.questions]


# ---- honest work


def test_a_solution_gets_all_points_a_weak_one_some_a_blank_one_none(room, homework):
    full = submission(room / "in" / "ada.ipynb", q2="def score(x): return x")
    assert earned(room, full) == [10, 6]
    assert earned(room, submission(room / "in" / "alan.ipynb", q2="def score(x): return 0.6 * x")) == [10, 3]
    assert earned(room, submission(room / "in" / "bob.ipynb", q2="def score(x): return 0.3 * x")) == [10, 0]
    blank = write(room / "in" / "no.ipynb", student_version(homework))
    assert earned(room, blank) == [0, 0]


def test_the_table_and_the_pages(room):
    need_sandbox()
    submission(room / "in" / "hw9_zoe.ipynb", q2="def score(x): return x", **{"q3-answer": "<b>Because</b>"})
    submission(room / "in" / "=evil()" / "hw9.ipynb", q1="def double(x): raise ValueError('<script>')")
    arguments = ["grade", room / "in", "--out", room / "g.csv", "--homework", room / "masters" / "hw9.ipynb"]
    assert cli.main([*map(str, arguments), "--held-out-seed", str(SEED)]) == 0
    rows = list(csv.reader((room / "g.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[0] == [
        "student",
        "q1 (10)",
        "q2 (6)",
        "q3 (by hand, 4)",
        "total (16)",
        "q2 score",
        "isolation",
        "remarks",
    ]
    assert [row[0] for row in rows[1:]] == ["'=evil()", "zoe"]
    assert [row[1:6] for row in rows[1:]] == [["0", "3", "", "3", "0.6000"], ["10", "6", "", "16", "1.0000"]]
    page = (room / "feedback" / "zoe.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;Because&lt;/b&gt;" in page
    assert "16 of 16 points" in page
    assert "score 1.000: 6 of 6 points (all from 0.8 on)" in page
    page = next((room / "feedback").glob("_evil__-*.html")).read_text(encoding="utf-8")
    assert "ValueError: &lt;script&gt;" in page
    assert "<script>" not in page
    assert not list(room.rglob("*.tmp"))


def test_going_on_keeps_the_rows_and_grades_who_has_none(room, capsys):
    need_sandbox()

    def run(*more):
        arguments = [room / "in", "--out", room / "g.csv", "--homework", room / "masters" / "hw9.ipynb"]
        return cli.main(["grade", *map(str, arguments), "--held-out-seed", str(SEED), *more])

    def rows():
        return list(csv.reader((room / "g.csv").read_text(encoding="utf-8").splitlines()))[1:]

    submission(room / "in" / "=ada.ipynb", q2="def score(x): return x")
    assert run("--resume") == 0  # nothing to go on with yet
    text = (room / "g.csv").read_text(encoding="utf-8")
    assert "'=ada,10,6,,16,1.0000," in text
    # The lecturer types points into a spreadsheet, which adds its mark; a late submission comes in.
    (room / "g.csv").write_text(
        text.replace("10,6,,16,1.0000,bwrap,", "10,6,4,20,1.0000,bwrap,late"), encoding="utf-8-sig"
    )
    submission(room / "in" / "=ada.ipynb", q2="1 / 0")
    submission(room / "in" / "zoe.ipynb", q2="1 / 0")
    capsys.readouterr()
    assert run("--resume") == 0
    assert rows() == [
        ["'=ada", "10", "6", "4", "20", "1.0000", "bwrap", "late"],
        ["zoe", "10", "0", "", "10", "", "bwrap", ""],
    ]
    assert capsys.readouterr().out == "zoe: 10 of 16\n"
    assert run() == 0  # all again
    assert [row[2] for row in rows()] == ["0", "0"]
    (room / "g.csv").write_text("student,q1 (9)\n")
    assert run("--resume") == 2
    assert "not those of hw9" in capsys.readouterr().err
    assert (room / "g.csv").read_text() == "student,q1 (9)\n"


def test_a_submission_that_lost_its_marks_is_graded_all_the_same(room):
    bare = [cell("FACTOR = 2"), cell(GOOD), cell("def score(x): return x")]
    result = graded(room, write(room / "in" / "ada.ipynb", notebook(bare)))
    assert sum(result.points.values()) == 16
    assert "lost its cells' marks" in result.remarks[0]


def test_magics_plots_and_broken_cells_do_not_stop_the_rest(room):
    path = submission(
        room / "in" / "ada.ipynb",
        q1="%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()\n" + GOOD,
        given="this is no python",
        q2="1 / 0",
    )
    result = graded(room, path, seconds_per_cell=20)  # the first import of matplotlib on a machine looks for fonts
    assert result.points == {"q1-tests": 7, "q1-corner": 3, "q2-tests": 0}
    assert "ZeroDivisionError" in result.messages["q2-tests"]
    assert any("given was changed" in remark for remark in result.remarks)


def test_a_name_that_must_not_be_used(room):
    def judged(cells):
        return graded(room, submission(room / "in" / "ada.ipynb", q1=f"{cells}\n{GOOD}"))

    for theirs in (
        "from math import fsum as multiply\nmultiply([1])",  # another name in its place
        "multiply = 3",  # names that the solution gives to things of its own
        "def multiply(x, y): return x * y\nmultiply(2, 3)",
        "class One:\n    def __init__(self): self.multiply = 1\nOne().__init__()",
    ):
        assert judged(theirs).points["q1-tests"] == 7, theirs
    for ours in (
        "import numpy\nnumpy.multiply(2, 3)",
        "import numpy\nmultiply = numpy.multiply",
        "from numpy import multiply",
        "from numpy import multiply as m",
    ):
        result = judged(ours)
        assert result.points["q1-tests"] == 0, ours
        assert "`multiply`" in result.messages["q1-tests"]


def test_what_the_lecturer_should_look_at_is_remarked(room):
    for source, watched in (("FACTOR.real\n", True), ("FACTOR.imag\n", False)):
        result = graded(room, submission(room / "in" / "ada.ipynb", q2=source + "def score(x): return x"))
        assert result.points["q2-tests"] == 6
        assert ("q2 uses `FACTOR.real`: is that allowed?" in result.remarks) == watched


def test_another_version_of_the_homework_is_remarked(room):
    path = submission(room / "in" / "ada.ipynb")
    assert not graded(room, path).remarks
    whole = room / "masters" / "hw9.ipynb"
    text = whole.read_text(encoding="utf-8")
    whole.write_text(text.replace("score(1.0)", "score(0.9)"), encoding="utf-8")  # a hidden test
    assert not graded(room, path).remarks
    whole.write_text(text.replace("assert FACTOR == 2", "assert FACTOR > 0"), encoding="utf-8")
    assert any("another version" in remark for remark in graded(room, path).remarks)


def test_a_question_that_nobody_touched(room, homework):
    result = graded(room, write(room / "in" / "ada.ipynb", student_version(homework)))
    assert set(result.messages.values()) == {"not solved"}
    assert "not answered" in (room / "feedback" / "ada.html").read_text(encoding="utf-8")


# ---- cheating


CHEATS = {
    "answers of the visible tests": "def double(x): return {(1, 2): [2, 4]}.get(tuple(x), [])",
    "assert is fooled": "class Yes(list):\n    def __eq__(self, other): return True\n"
    "def double(x): return Yes([1])",
    "mclass is replaced": "import mclass_grading.held_out as h, mclass_grading.judge as j\n"
    "h.rng = lambda name: None\nj._points = lambda *_: 100\nj.judge = print\ndef double(x): return None",
    "builtins are replaced": "import builtins\nbuiltins.AssertionError = Exception\n"
    "builtins.all = lambda x: True\n"
    "def double(x): return 1",
    "points are written": "points = {'q1-tests': 100}\nfrom mclass_grading.held_out import Points\n"
    "def double(x): return Points(7)",
    "the tests' own frames": "import sys\ndef double(x):\n"
    "    frame = sys._getframe()\n    while frame:\n"
    "        if 'numbers' in frame.f_locals: return [2 * n for n in frame.f_locals['numbers']]\n"
    "        frame = frame.f_back\n    return x",
    "the answer channel": "import os\nfor fd in range(3, 30):\n    try: os.write(fd, b'x' * 100)\n"
    "    except OSError: pass\n"
    "def double(x): return 1",
    "a lying channel": "import gc, mclass_grading.isolation.worker as w\n"
    "for one in gc.get_objects():\n    if isinstance(one, w.Worker): one.obey = lambda *_: True\n",
    "a pickle": "import numpy as np\ndef double(x): return np.array([print], dtype=object)",
}


@pytest.mark.parametrize("name", CHEATS)
def test_cheating_earns_nothing(room, name):
    result = graded(room, submission(room / "in" / "eve.ipynb", q1=CHEATS[name], q2="def score(x): return -1"))
    assert result.points["q1-tests"] == 0, result
    assert result.points["q2-tests"] == 0


def test_a_number_returned_is_no_points(room):
    path = submission(room / "in" / "eve.ipynb", q2="def score(x): return 0 if x == 0 else float('nan')")
    assert earned(room, path) == [10, 0]


def test_tests_are_the_masters_whatever_the_submission_holds(room):
    path = submission(
        room / "in" / "eve.ipynb", q1="def double(x): return 1", **{"q1-tests": "pass", "q1-corner": None}
    )
    content = json.loads(path.read_text())
    for one in content["cells"]:
        marks = one["metadata"].get("nbgrader", {})
        if marks.get("grade"):
            marks["points"] = 1000
    result = graded(room, write(path, content))
    assert result.points == {"q1-tests": 0, "q1-corner": 0, "q2-tests": 3}
    assert any("q1-tests was changed" in remark for remark in result.remarks)
    assert any("q1-corner was deleted" in remark for remark in result.remarks)


def test_a_test_never_comes_before_its_solution(homework):
    ids = ["q1-tests", "q2-tests", "q2-solution", "q1-solution", "q1-solution"]
    steps, remarks = merge(homework, [homework.by_id()[one] for one in ids])
    order = [one.grade_id for one in steps]
    assert order == ["given", "q2-solution", "q2-tests", "q1-solution", "q1-solution", "q1-corner", "q1-tests"]
    assert any("q1-solution is there twice" in remark for remark in remarks)
    assert any("given was deleted" in remark for remark in remarks)


# ---- crashing, looping, eating, calling home


def test_what_loops_is_stopped_and_the_rest_is_graded(room):
    path = submission(
        room / "in" / "ada.ipynb", q1="def double(x):\n    while True: pass", q2="def score(x): return x"
    )
    start = time.monotonic()
    result = graded(room, path, seconds_per_cell=1)
    assert result.points == {"q1-tests": 0, "q1-corner": 0, "q2-tests": 6}
    assert "took too long" in result.messages["q1-tests"]
    assert time.monotonic() - start < 20


def test_what_cannot_be_stopped_is_killed_with_all_it_started(room):
    deaf = (
        "import os, signal, time\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
        "pid = os.fork()\nif pid == 0:\n    os.setsid()\n    time.sleep(987)\nwhile True: pass"
    )
    result = graded(room, submission(room / "in" / "eve.ipynb", q2=deaf), seconds_per_cell=1)
    assert result.points == {"q1-tests": 7, "q1-corner": 3, "q2-tests": 0}  # what was earned before stays
    assert "did not stop" in result.remarks[-1]


def test_the_time_of_a_whole_submission_is_limited(room):
    slow = "import time\ndef double(x):\n    time.sleep(1.2)\n    return [2 * one for one in x]"
    start = time.monotonic()
    result = graded(room, submission(room / "in" / "ada.ipynb", q1=slow), seconds=2.5, seconds_per_cell=2)
    assert result.points["q2-tests"] == 0
    assert time.monotonic() - start < 20


def test_memory_is_limited(room):
    hungry = "def double(x):\n    return [2 * one for one in bytearray(60 << 30)]"
    result = graded(room, submission(room / "in" / "eve.ipynb", q1=hungry, q2="def score(x): return x"))
    assert result.points == {"q1-tests": 0, "q1-corner": 0, "q2-tests": 6}
    assert "MemoryError" in result.messages["q1-tests"]


@pytest.mark.parametrize(
    "leave", ["import os\nos._exit(0)", "import ctypes\nctypes.string_at(0)", "exit()\nraise SystemExit"]
)
def test_what_crashes_or_leaves_keeps_what_it_had(room, leave):
    result = graded(room, submission(room / "in" / "eve.ipynb", q2=leave))
    assert result.points["q1-tests"] == 7
    assert result.points["q2-tests"] == 0


def test_there_is_no_network_and_the_homework_cannot_be_read(room, homework):
    spy = f"""
import socket
from pathlib import Path

def attempt(function):
    try:
        return function() or 'done'
    except OSError as error:
        return type(error).__name__ + ' ' + str(error)

tried = [
    attempt(lambda: socket.create_connection(('127.0.0.1', 9), timeout=1)),
    attempt(lambda: Path({str(homework.path)!r}).read_text()),
    attempt(lambda: Path({str(room)!r}, 'new.txt').write_text('x')),
]
def double(x): return tried
"""
    need_sandbox()
    with Process(20, 2 << 30, hidden=[homework.path.parent]) as process:
        process.run(spy)
        tried = process.name("tried")
    assert not (room / "new.txt").exists()
    assert all(one.startswith(("FileNotFoundError", "OSError", "ConnectionRefused")) for one in tried), tried


def test_a_hidden_folder_is_empty_even_where_everything_is_visible(tmp_path):
    folder = os.path.dirname(wsgiref.__file__)  # inside Python's own, which must be visible
    need_sandbox()
    with Process(20, 2 << 30, hidden=[folder]) as process:
        process.run(f"import os\nseen = os.listdir({folder!r})")
        assert process.name("seen") == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("isolation", ["bwrap", "none"])
def test_nothing_outlives_the_grading(isolation):
    if isolation == "bwrap":
        need_sandbox()
    marker = f"zz{os.getpid()}{isolation}"
    with Process(20, 2 << 30, isolation=isolation) as process:
        process.run(
            "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
            f"    import ctypes\n    ctypes.CDLL(None).prctl(15, {marker[:15].encode()!r}, 0, 0, 0)\n"
            "    time.sleep(543)\ntime.sleep(0.5)"
        )
        assert marker[:15] in _running()
    time.sleep(0.5)
    assert marker[:15] not in _running()


def _running():
    """Names of the processes that are alive."""
    names = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, state = path.read_text().partition("(")[2].rpartition(")")[::2]
            names += [name] if state.split()[0] != "Z" else []
    return names


# ---- broken input


def test_broken_notebooks_get_a_remark_and_the_others_a_grade(room):
    need_sandbox()
    submission(room / "in" / "ada.ipynb")
    write(room / "in" / "b.ipynb", "no json {")
    write(room / "in" / "c.ipynb", '{"cells": 3}')
    write(room / "in" / "d.ipynb", notebook([{"cell_type": "code", "source": 7}]))
    write(room / "in" / "e.ipynb", notebook([]))
    (room / "in" / "f.ipynb").write_bytes(b"\xff\xfe\x00")
    write(room / "in" / "g.ipynb", "[" * 100_000)
    grades = grade(room / "masters" / "hw9.ipynb", [room / "in"], room / "g.csv", held_out_seed=SEED)
    assert [one.student for one in grades] == ["ada", *"bcdefg"]
    for one in grades[1:]:
        assert sum(one.points.values()) == 0
        assert len(one.remarks) == 1
        assert one.file.name in one.remarks[0]
    assert sum(grades[0].points.values()) == 13


def test_whose_it_is(room):
    for name in ("hw9_ada.ipynb", "alan_hw9.ipynb", "grace.ipynb", "kurt/hw9.ipynb", ".x/hw9.ipynb"):
        write(room / "in" / name, "{}")
    assert list(find([room / "in"], "hw9")) == ["ada", "alan", "grace", "kurt"]
    write(room / "in" / "ada" / "hw9.ipynb", "{}")
    twice = find([room / "in"], "hw9")["ada"]
    assert [str(one.relative_to(room / "in")) for one in twice] == ["ada/hw9.ipynb", "hw9_ada.ipynb"]
    (room / "empty").mkdir()
    with pytest.raises(NotebookError, match="no notebooks"):
        find([room / "empty"], "hw9")
    with pytest.raises(FileNotFoundError, match="no such file"):
        find([room / "gone"], "hw9")
    with pytest.raises(NotebookError, match="is a notebook"):
        find([write(room / "x.txt", "")], "hw9")
    assert owner(room / "x" / "hw9.ipynb", "hw9").name == "x"


def test_which_homework_it_is(room, homework, monkeypatch, capsys):
    need_sandbox()
    submission(room / "in" / "ada.ipynb")
    assert homework_of([room / "in" / "ada.ipynb"]) == "hw9"
    other = write(room / "b.ipynb", notebook([cell("")], mclass={"homework": "hw8"}))
    with pytest.raises(NotebookError, match="as many of these"):
        homework_of([room / "in" / "ada.ipynb", other])
    assert homework_of([room / "in" / "ada.ipynb", other, submission(room / "in" / "b.ipynb")]) == "hw9"
    (room / "in" / "b.ipynb").unlink()
    assert homework_of([write(room / "c.ipynb", "[]")]) is None
    monkeypatch.chdir(room)
    assert cli.main(["grade", "in", "--out", "g.csv", "--held-out-seed", str(SEED)]) == 2
    assert "--homework" in capsys.readouterr().err
    (room / "masters").rename(room / "homework")
    assert cli.main(["grade", "in", "--out", "g.csv", "--held-out-seed", str(SEED)]) == 0
    assert "ada: 13 of 16" in capsys.readouterr().out


def test_the_seed_is_needed_secret_and_taken_away_afterwards(room, monkeypatch, capsys):
    need_sandbox()
    monkeypatch.delenv(held_out.VARIABLE, raising=False)
    path = submission(room / "in" / "ada.ipynb")
    arguments = [
        "grade",
        str(path),
        "--out",
        str(room / "g.csv"),
        "--homework",
        str(room / "masters" / "hw9.ipynb"),
    ]
    assert cli.main(arguments) == 2
    assert "--held-out-seed" in capsys.readouterr().err
    assert cli.main([*arguments, "--held-out-seed", "7"]) == 2
    for bad in ("abc", "-5", str(1 << 40), "³000"):
        monkeypatch.setenv(held_out.VARIABLE, bad)
        with pytest.raises(DatasetError):
            held_out.seed()
    monkeypatch.delenv(held_out.VARIABLE)
    peek = "import os\nseen = [name for name in os.environ if 'SEED' in name]\ndef double(x): return seen"
    graded(room, submission(room / "in" / "eve.ipynb", q1=peek))
    assert held_out.VARIABLE not in os.environ


def test_a_scale_and_an_answer():
    assert held_out.points(0.5, {0.6: 0, 0.8: 10}) == 0
    assert held_out.points(0.65, {0.6: 0, 0.8: 10}) == 2.5
    assert held_out.points(0.9, {0.6: 0, 0.8: 10}) == 10
    with pytest.raises(ValueError, match="must rise"):
        held_out.points(0.5, {0.8: 0, 0.6: 10})
    sound = np.zeros((5, 10), np.float32)
    for answer, message in (
        (lambda x: "no", "array of numbers"),
        (lambda x: x[0], "was expected"),
        (lambda x: x[:1, :3], "was expected"),
        (lambda x: x[:, :2], "was expected"),
        (lambda x: x[:, :3] + np.nan, "NaN"),
    ):
        with pytest.raises(AssertionError, match=message):
            held_out.ask(answer, sound, 3, batch=2)


# ---- masters


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([cell("x", "a", grade=True, locked=True, points=1), cell("y", "a")], "occurs twice"),
        ([cell("### BEGIN SOLUTION\n1", "a", solution=True)], "pairs"),
        ([cell("### END SOLUTION\n### BEGIN SOLUTION", "a", solution=True)], "pairs"),
        ([cell("### BEGIN SOLUTION\n1\n### END SOLUTION", "a")], "not marked as one"),
        ([cell("### BEGIN HIDDEN TESTS\n1\n### END HIDDEN TESTS", "a", solution=True)], "not marked as a test"),
        ([cell("assert 1", "a", grade=True, locked=True, points=0)], "points above 0"),
        ([cell("assert 1", "a", grade=True, points=2)], "must be locked"),
        ([cell("1")], "no cell is graded"),
    ],
)
def test_masters_with_wrong_marks_are_refused(tmp_path, cells, message):
    with pytest.raises(NotebookError, match=message):
        Homework.read(write(tmp_path / "hw.ipynb", notebook(cells)))


def test_a_master_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such homework"):
        Homework.read(tmp_path / "hw.ipynb")


# ---- the border


def test_what_crosses_comes_back_equal():
    torch = pytest.importorskip("torch")
    value = {
        "a": [1, 2.5, None, True, "é"],
        3: (np.arange(6).reshape(2, 3), np.float32(1.5)),
        "t": torch.ones(2, 2),
    }
    packed, arrays = wire.pack(value)
    back = wire.unpack(json.loads(json.dumps(packed)), arrays)
    assert back["a"] == value["a"]
    np.testing.assert_array_equal(back[3][0], value[3][0])
    assert isinstance(back["t"], torch.Tensor)
    empty, arrays = wire.pack([np.zeros((0, 3)), np.array(5)])
    assert [one.shape for one in wire.unpack(empty, arrays)] == [(0, 3), ()]


@pytest.mark.parametrize(
    "message",
    [["list"], ["array", 5], ["array", "x"], ["plain", [1]], ["dict", [[1]]], ["dict", [[["list", []], 1]]],
     "text", None, 7, [], ["object", "x", 1], ["tensor", -5]],
)  # fmt: skip
def test_nonsense_is_refused(message):
    with pytest.raises(wire.WireError):
        wire.unpack(message, [])


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 8,
        (5).to_bytes(8, "little") + b"hello",
        (2).to_bytes(8, "little") + b"[]",
        *(
            len(text).to_bytes(8, "little") + text
            for text in (
                b'{"message": {}, "arrays": [["|O", [3]]]}',
                b'{"message": {}, "arrays": [["<f8", [99999999999999]]]}',
                b'{"message": {}, "arrays": [["<f8", [-1]]]}',
                b'{"message": {}, "arrays": [["<f8", [1e999]]]}',
                b'{"message": {}, "arrays": [["<f8", [0, 99999999999999999999999]]]}',
                b'{"message": {}, "arrays": [["<f8", [0' + b", 1" * 99 + b"]]]}",
                b'{"message": {}, "arrays": [["<U9", [1]]]}',
                b'{"message": ' + b"9" * 5000 + b', "arrays": []}',
                b'{"message": 3, "arrays": []}',
            )
        ),
    ],
)
def test_broken_messages_are_refused(data):
    left = bytearray(data)

    def exactly(count):
        part = bytes(left[:count])
        del left[:count]
        return part

    with pytest.raises(wire.WireError):
        wire.read(exactly)


def test_objects_stay_where_they_are():
    need_sandbox()
    with Process(30, 4 << 30) as process:
        process.run(
            "class Box:\n    def __init__(self, n): self.n = n\n    def grow(self, by=1): return Box(self.n + by)"
        )
        process.run("def size(box): return box.n\ndef fail(): raise KeyError('lost')\ndef odd(): raise OSError(5)")
        box = process.name("Box")(3).grow(by=4)
        assert (box.n, process.name("size")(box)) == (7, 7)
        with pytest.raises(KeyError, match="lost"):
            process.name("fail")()
        with pytest.raises(AttributeError):
            box.weight  # noqa: B018
        with pytest.raises(AttributeError):
            box._process_of  # noqa: B018
        with pytest.raises(NameError, match="`nothing` is not defined"):
            process.name("nothing")
        with pytest.raises(wire.WireError, match="may hand over"):
            process.name("size")(object())
        with pytest.raises(TypeError, match="not iterable"):
            list(box)
    with pytest.raises(EndedError):
        process.run("1")


def test_cells_run_without_ipython_too(monkeypatch):
    from mclass_grading.isolation.worker import Namespace

    monkeypatch.setitem(sys.modules, "IPython.core.history", None)
    space = Namespace()
    space.run("x = 3\ndef f(y): return x * y")
    assert space.names["f"](2) == 6
    with pytest.raises(ZeroDivisionError):
        space.run("1 / 0")


def test_names_of_a_test_that_the_submission_must_define():
    import ast

    source = "import numpy as np\nfrom a import b\nx = f(np.zeros(3))\nfor i in g(x): print(h.k, i)\n"
    source += "try: 1\nexcept E as e: e"
    assert sorted(free_names(ast.parse(source))) == ["E", "f", "g", "h"]


def test_no_formula_in_the_table():
    assert _harmless("=1+1") == "'=1+1"
    assert _harmless("a\nb") == "a b"


def test_grading_is_not_loaded_with_the_package():
    code = "import sys, mclass; print([name for name in sys.modules if name.startswith('mclass_grading')])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "[]"
    )


def test_a_link_is_no_submission(room, homework):
    target = submission(room / "in" / "ada.ipynb")
    link = room / "in" / "eve.ipynb"
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("no links here")
    assert "link" in grade_one(homework, link, "eve", Limits()).remarks[0]


def test_limits_are_checked():
    with pytest.raises(ValueError, match="memory must be above 0"):
        Limits(memory=0)


def test_markers_in_a_solution_leave_a_stub():
    assert (
        notebooks.for_students(notebooks.Cell("markdown", "secret", "q", graded=True, solution=True))
        == notebooks.ANSWER
    )
