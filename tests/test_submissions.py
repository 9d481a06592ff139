"""Whose homework it is: what browsers, file managers and learning platforms make of names."""

import json
import os

import pytest
from classroom import cell, need_sandbox, notebook, submission, write

from mclass_grading import feedback
from mclass_grading.submissions import find

COPIES = (
    "hw1", "Copy of hw1", "Copy of Copy of hw1", "hw1 (1)", "hw1(2)", "hw1-Copy1", "hw1-Copy1-Copy2",
    "Kopie von hw1", "Copie de hw1", "Copia de hw1", "hw1 - Copy", "hw1 - Copy (2)", "hw1 copy",
    "hw1 copy 2", "hw1 - Kopie", "HW1", "hw1_final", "hw1-solution", "my_hw1", "submission", "Untitled3", "hw1_v2",
    "final_submission", "my own title",
)  # fmt: skip


@pytest.mark.parametrize("name", COPIES)
def test_a_folder_for_each_student(tmp_path, name):
    for student in ("ada", "Alan Turing"):
        write(tmp_path / "in" / student / f"{name}.ipynb", "{}")
    assert list(find([tmp_path / "in"], "hw1")) == ["Alan Turing", "ada"]


@pytest.mark.parametrize(
    ("path", "student"),
    [
        ("hw1_ada.ipynb", "ada"),
        ("ada_hw1.ipynb", "ada"),
        ("ada-hw1 (1).ipynb", "ada"),
        ("hw1_ada-Copy1.ipynb", "ada"),
        ("Copy of hw1_ada.ipynb", "ada"),
        ("hw1_ada (1).ipynb", "ada"),
        ("HW1 - Ada Lovelace.ipynb", "Ada Lovelace"),
        ("Ada Lovelace.ipynb", "Ada Lovelace"),
        ("Ada_final_hw1.ipynb", "Ada"),
        ("ada.IPYNB", "ada"),
        ("ada2.ipynb", "ada2"),
        ("Ada Lovelace_12345_assignsubmission_file_/hw1.ipynb", "Ada Lovelace"),
        ("Ada Lovelace_12345_assignsubmission_file/Copy of hw1.ipynb", "Ada Lovelace"),
        ("Ada Lovelace_12345_assignsubmission_file_hw1.ipynb", "Ada Lovelace"),
        ("Ada Lovelace_12345_assignsubmission_file_/inside/notebooks/hw1.ipynb", "Ada Lovelace"),
        ("lovelaceada_123_456_hw1.ipynb", "lovelaceada"),
        ("lovelaceada_LATE_123_456_hw1.ipynb", "lovelaceada"),
        ("lovelaceada_late_123_456_hw1-2.ipynb", "lovelaceada"),
        ("lovelaceada_123_456_Copy of hw1 (1).ipynb", "lovelaceada"),
        ("drive-download-20250301T101010Z-001/hw1_ada.ipynb", "ada"),
        ("drive-download-20250301T101010Z-001/ada/hw1.ipynb", "ada"),
        ("ada/hw1/hw1.ipynb", "ada"),
        ("ada/submission/Copy of hw1.ipynb", "ada"),
        ("hw1/ada/hw1.ipynb", "ada"),
        ("Lovelace, Ada(ada1)/Submission attachment(s)/hw1.ipynb", "Lovelace, Ada(ada1)"),
        ("Zoë/hw1.ipynb", "Zoë"),
        ("Zoe\u0308/hw1.ipynb", "Zoë"),
        ("evil\u202egnp/hw1.ipynb", "evil\\u202egnp"),
        ("a\x1b[2Jb/hw1.ipynb", "a\\x1b[2Jb"),
    ],
)
def test_names(tmp_path, path, student):
    write(tmp_path / "in" / path, "{}")
    write(tmp_path / "in" / "zz" / "hw1.ipynb", "{}")
    assert list(find([tmp_path / "in"], "hw1")) == [student, "zz"]


def test_namesakes_are_told_apart_and_attempts_are_not(tmp_path):
    for one in ("a_1_file", "a_2_file"):
        name, number, _ = one.split("_")
        write(tmp_path / "in" / f"{name}_{number}_assignsubmission_file_" / "hw1.ipynb", "{}")
    for one in ("b_1_7_hw1", "b_2_8_hw1", "c_3_9_hw1"):
        write(tmp_path / "in" / f"{one}.ipynb", "{}")
    for one in ("hw1", "hw1 (1)"):
        write(tmp_path / "in" / "d" / f"{one}.ipynb", "{}")
    (tmp_path / "in" / "e").mkdir()
    write(tmp_path / "in" / "e" / "hw1.zip", "")
    found = find([tmp_path / "in"], "hw1")
    assert {name: len(files) for name, files in found.items()} == {
        "a 1": 1, "a 2": 1, "b 1_7": 1, "b 2_8": 1, "c": 1, "d": 2, "e": 0,
    }  # fmt: skip


def test_a_file_that_is_named_keeps_its_name(tmp_path):
    for name in ("ada.ipynb", "hw1_alan (1).ipynb", "grace/Copy of hw1.ipynb"):
        write(tmp_path / name, "{}")
    paths = [tmp_path / "ada.ipynb", tmp_path / "hw1_alan (1).ipynb", tmp_path / "grace" / "Copy of hw1.ipynb"]
    assert list(find(paths, "hw1")) == ["ada", "alan", "grace"]
    assert list(find([tmp_path / "grace", tmp_path / "grace"], "hw1")) == ["grace"]


def test_several_notebooks_in_a_folder_are_several_students(tmp_path):
    for name in ("ada", "alan", "hw1_grace"):
        write(tmp_path / "in" / "section A" / f"{name}.ipynb", "{}")
    assert list(find([tmp_path / "in"], "hw1")) == ["ada", "alan", "grace"]


def test_pages_differ_and_their_names_are_not_too_long():
    students = [
        "ada!",
        "ada?",
        "ada_",
        "Ada",
        "ada",
        "ADA",
        "..",
        "",
        "/",
        "x" * 249,
        "x" * 248,
        "é" * 200,
        "日" * 90,
    ]
    names = feedback.Names()
    pages = [names.of(one) for one in students]
    assert len({one.casefold() for one in pages}) == len(students)
    assert all(0 < len(os.fsencode(one)) < 200 and "/" not in one and one.strip(".") for one in pages)
    assert [names.of(one) for one in students] == pages


def test_what_is_no_notebook_has_a_row_and_the_others_their_points(tmp_path):
    import classroom

    from mclass_grading.grading import Limits, grade

    need_sandbox()
    classroom.master(tmp_path / "masters")
    home = tmp_path / "in"
    good = submission(home / "ada.ipynb").read_text()
    plain = notebook([], mclass={"homework": "hw9"})
    bad = {
        "points of 400 digits": good.replace('"points": 7', f'"points": {"9" * 400}'),
        "a number of 5000 digits": good.replace('"points": 7', f'"points": {"9" * 5000}'),
        "infinite points": good.replace('"points": 7', '"points": Infinity'),
        "half a character": good.replace(
            "return [2 * one for one in x]", "return [2 * one for one in x]  # \\ud800"
        ),
        "half an answer, it says": good.replace("*Your answer here.*", "\\udfff \\u001b[2J \\u202e"),
        "another homework, it says": good.replace('"homework": "hw9"', '"homework": "hw1"'),
        "a path for a homework, it says": good.replace('"homework": "hw9"', '"homework": "../x"'),
        "a list for a homework, it says": good.replace('"homework": "hw9"', '"homework": [[]]'),
        "deep": "[" * 200_000,
        "many": "[" + "1," * 6_000_000 + "1]",
        "cells of other types": str(plain).replace("'", '"').replace("[]", '[1, null, {"cell_type": []}]', 1),
        "cells that are none": '{"cells": {"a": 1}}',
        "a source of numbers": good.replace('"source": "FACTOR = 2"', '"source": [1, 2]'),
        "twice the same mark": good.replace('"q2-solution"', '"q1-solution"'),
        "marks of other types": good.replace('"grade_id": "q2-solution"', '"grade_id": {"a": 1}'),
        "deep code": good.replace("def double", f"x = {'-' * 5000}1\\ndef double"),
        "deep brackets": good.replace("def double", f"x = {'(' * 5000}1\\ndef double"),
        "no text": "\0" * 1000,
        "10,000 cells": json.dumps(notebook([cell("1")] * 10_000)),
        "one long cell": json.dumps(notebook([cell("#" * 3_000_000)])),
        "1,000 times the same mark": json.dumps(notebook([cell("x", "q1-tests", locked=True)] * 1000)),
        "a very long text": good.replace("*Your answer here.*", "x" * 3_000_000),
        "escapes": good.replace("return [2 * one for one in x]", "raise ValueError('\\u001b]0;x\\u0007\\u202e')"),
        "x" * 249: good,
        "ada!": good,
        "ada?": good,
    }
    for name, text in bad.items():
        write(home / f"{name}.ipynb", text)
    os.mkfifo(home / "pipe.ipynb")
    (home / "folder.ipynb").mkdir()
    (home / "loop.ipynb").symlink_to(home / "loop.ipynb")
    (home / "link.ipynb").symlink_to("/etc/passwd")
    (home / "device.ipynb").symlink_to("/dev/zero")
    (home / "empty.ipynb").touch()
    with (home / "large.ipynb").open("wb") as file:
        file.truncate(1 << 30)
    write(home / "zip only" / "hw9.zip", "x")
    write(home / "twice" / "hw9.ipynb", good)
    write(home / "twice" / "hw9 (1).ipynb", good + " ")
    write(home / "two" / "hw9.ipynb", good)
    write(home / "two" / "hw9 (1).ipynb", good.replace("2 * one", "3 * one"))
    limits = Limits(seconds=20, seconds_per_cell=5, memory=2)
    grades = grade(
        tmp_path / "masters" / "hw9.ipynb", [home], tmp_path / "g.csv", held_out_seed=12345, limits=limits
    )
    by_name = {one.student: one for one in grades}
    others = ("pipe", "folder", "loop", "link", "device", "empty", "large", "zip only", "twice", "two", "ada")
    assert set(by_name) == {*bad, *others}
    points = {name: sum(one.points.values()) for name, one in by_name.items()}
    graded = ["ada", "ada!", "ada?", "twice", "infinite points", "points of 400 digits"]
    graded += ["x" * 249, *(name for name in bad if name.endswith("it says"))]
    for name in graded:
        assert points[name] == 13, by_name[name]
    refused = "a number of 5000 digits,one long cell,deep,many,cells that are none,no text,cells of other types"
    for name in (*refused.split(","), *others):
        if name in graded:
            continue
        assert points[name] == 0, by_name[name]
        assert by_name[name].remarks, name
        assert set(by_name[name].messages.values()) == {"not graded"}, name
    assert (
        "hw9.ipynb and two/hw9 (1).ipynb" in " ".join(by_name["two"].remarks)
        or "two/" in by_name["two"].remarks[0]
    )
    assert len(list((tmp_path / "feedback").glob("*.html"))) == len(grades)
    for path in (tmp_path / "g.csv", *(tmp_path / "feedback").glob("*.html")):
        text = path.read_text(encoding="utf-8")
        assert not {one for one in text if not one.isprintable()} - {"\n", "\r", "\t"}, path
