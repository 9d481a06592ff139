"""A small homework, and notebooks of students who solve it, fail, or cheat."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

DOUBLE = "def double(x):\n    ### BEGIN SOLUTION\n    return [2 * one for one in x]\n    ### END SOLUTION"
TESTS = """assert double([1, 2]) == [2, 4], "twice as much was expected"
### BEGIN HIDDEN TESTS
from mclass_grading import held_out

for length in range(5):
    numbers = [int(one) for one in held_out.rng("classroom").integers(100, 999, size=length)]
    assert double(numbers) == [a + a for a in numbers], f"wrong for a list of {length}"
### END HIDDEN TESTS"""
SCORE = """### BEGIN SOLUTION
model = 0.9
### END SOLUTION


def score(x):
    ### BEGIN SOLUTION
    return model * x
    ### END SOLUTION"""
SCALED = """assert score(0) == 0
### BEGIN HIDDEN TESTS
from mclass_grading import held_out

held_out.points(score(1.0), {0.4: 0, 0.8: 6})
### END HIDDEN TESTS"""


def need_sandbox() -> None:
    """Skip a test of submissions where they cannot be isolated."""
    from mclass_grading.isolation import sandbox

    if why := sandbox.unavailable():
        pytest.skip(f"no sandbox: {why}")


def cell(source: str, grade_id: str | None = None, kind: str = "code", without=(), watch=(), **marks) -> dict:
    """A cell of a notebook; `marks` are nbgrader's."""
    metadata = {}
    if grade_id:
        plain = {"grade": False, "solution": False, "locked": False, "schema_version": 3, "task": False}
        metadata["nbgrader"] = plain | {"grade_id": grade_id} | marks
    if own := {name: list(names) for name, names in (("without", without), ("watch", watch)) if names}:
        metadata["mclass"] = own
    content = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "id": grade_id or "x", "metadata": metadata, "source": source} | content


def notebook(cells: list[dict], **metadata) -> dict:
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def write(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def master(folder: Path) -> Path:
    """``hw9.ipynb``: 10 points in two tests of question 1, 6 in question 2, 4 by hand."""
    cells = [
        cell("# Homework 9", kind="markdown"),
        cell("FACTOR = 2", "given", locked=True),
        cell(DOUBLE, "q1-solution", solution=True),
        cell(TESTS, "q1-tests", grade=True, locked=True, points=7, without=("multiply",)),
        cell(
            "assert double([]) == [], 'nothing'\nassert FACTOR == 2",
            "q1-corner",
            grade=True,
            locked=True,
            points=3,
        ),
        cell(SCORE, "q2-solution", solution=True),
        cell(SCALED, "q2-tests", grade=True, locked=True, points=6, watch=("FACTOR.real",)),
        cell("Because of this secret reason.", "q3-answer", "markdown", grade=True, solution=True, points=4),
    ]
    return write(folder / "hw9.ipynb", notebook(cells))


def submission(
    path: Path, q1: str = "def double(x): return [2 * one for one in x]", q2: str | None = None, **more
) -> Path:
    """A student's notebook: the solutions, and ``more``: sources to replace, by grade_id, or None to delete."""
    from mclass_grading.notebooks import Homework
    from mclass_grading.release import student_version

    home = path.parent
    while not (home / "masters").exists():
        home = home.parent
    content = student_version(Homework.read(home / "masters" / "hw9.ipynb"))
    sources = {"q1-solution": q1, "q2-solution": q2 or "def score(x): return 0.6 * x", **more}
    kept = []
    for one in content["cells"]:
        grade_id = one["metadata"].get("nbgrader", {}).get("grade_id")
        if grade_id in sources:
            if sources[grade_id] is None:
                continue
            one["source"] = sources[grade_id]
        kept.append(one)
    return write(path, notebook(kept, **content["metadata"]))
