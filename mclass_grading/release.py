"""From a master to what students get, and the proof that both are what they should be.

python -m mclass_grading.release homework/*.ipynb --out homework/student [--prove]     # make homework
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections import Counter
from pathlib import Path

from mclass._utils.files import replacing
from mclass_grading.grading import Limits, grade_one, judging
from mclass_grading.held_out import PUBLIC_SEED
from mclass_grading.isolation import sandbox
from mclass_grading.judge import Grade
from mclass_grading.notebooks import (
    HIDDEN,
    SOLUTION,
    Homework,
    NotebookError,
    cells_of,
    for_students,
    load,
    regions,
)


def student_version(homework: Homework) -> dict:
    """The notebook that students get, as JSON has it: stubs, no hidden tests, no outputs, locked cells locked."""
    notebook = copy.deepcopy(homework.notebook)
    for raw, cell in zip(notebook["cells"], homework.cells, strict=True):
        raw["source"] = for_students(cell).splitlines(keepends=True)
        if cell.kind == "code":
            raw["outputs"], raw["execution_count"] = [], None
        if cell.grade_id:
            raw["metadata"]["deletable"] = False
        if cell.locked:
            raw["metadata"]["editable"] = False
        raw["metadata"].pop("mclass", None)
    notebook["metadata"]["mclass"] = {"homework": homework.name, "version": homework.version}
    return notebook


def check(homework: Homework, notebook: dict) -> None:
    """Refuse a student version that lacks a mark or gives something away.

    Raises
    ------
    NotebookError
        If a ``grade_id`` is not there exactly once, a marker is left, or a line of a solution or of a hidden test
        that is nowhere else in the master's visible text can be read.
    """
    cells = cells_of(notebook, homework.path)
    there = Counter(cell.grade_id for cell in cells if cell.grade_id)
    for name in homework.by_id():
        if there[name] != 1:
            raise NotebookError(
                f"{homework.path}: grade_id {name!r} is there {there[name]} times in the student version"
            )
    text = json.dumps(notebook, ensure_ascii=False)
    for marker in (*SOLUTION, *HIDDEN):
        if marker in text:
            raise NotebookError(f"{homework.path}: '{marker}' is left in the student version")
    # Found without `for_students`, which made the student version.
    secret: dict[str, str | None] = {}
    public: Counter[str] = Counter()
    for cell in homework.cells:
        everything = Counter(line.strip() for line in cell.source.splitlines())
        parts = [part for markers in (SOLUTION, HIDDEN) for part in regions(cell.source, markers)]
        inside = everything if cell.is_manual else Counter(line.strip() for part in parts for line in part)
        secret |= dict.fromkeys(inside, cell.grade_id)
        public += everything - inside
    for line in {line.strip() for cell in cells for line in cell.source.splitlines()}:
        if len(line) > 12 and line in secret and line not in public:
            raise NotebookError(f"{homework.path}: a line of {secret[line]} can be read by students: {line!r}")


def release(homework: Homework, folder: Path) -> Path:
    """Write the student version of a master into a folder, checked; returns its path.

    Raises
    ------
    NotebookError
        See `check`.
    """
    notebook = student_version(homework)
    check(homework, notebook)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / homework.path.name
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    check(homework, load(path))
    return path


def prove(homework: Homework, student: Path, seed: int = PUBLIC_SEED, limits: Limits | None = None) -> Grade:
    """Grade the master itself, which must get all points, and the student version, which must get none.

    Without bubblewrap they run as any program of the lecturer's own does.

    Returns
    -------
    Grade
        The master's.

    Raises
    ------
    NotebookError
        If it is otherwise; the message names the tests.
    """
    if sys.platform == "win32":
        sandbox.require("none")
    limits = limits or Limits(isolation="bwrap" if sandbox.unavailable() is None else "none")
    with judging(homework, seed, limits.isolation):
        blank = grade_one(homework, student, "blank", limits)
        solved = grade_one(homework, homework.path, "solved", limits)
    for cell in homework.tests:
        wrong = [
            (one.student, points, one.messages.get(cell.grade_id, ""))
            for one, wanted in ((blank, 0.0), (solved, cell.points))
            if (points := one.points[cell.grade_id]) != wanted
        ]
        for who, points, why in wrong:
            raise NotebookError(
                f"{homework.path}: the {who} version gets {points:g} of {cell.points:g} points in {cell.grade_id} "
                f"({why})"
            )
    for one in (blank, solved):
        if one.remarks:
            raise NotebookError(
                f"{homework.path}: the {one.student} version was graded with a remark: {one.remarks[0]}"
            )
    return solved


def main(arguments: list[str] | None = None) -> int:
    """Release, and prove if asked to; the exit code says whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m mclass_grading.release", description=__doc__.splitlines()[0])
    parser.add_argument("masters", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for the student versions")
    parser.add_argument("--prove", action="store_true", help="grade the solution and the blank version")
    options = parser.parse_args(arguments)
    failed = False
    if options.prove and (why := sandbox.unavailable()):
        print(
            f"The proofs run without a sandbox, which submissions of students would need: {why}", file=sys.stderr
        )
    for path in options.masters:
        try:
            notebook = load(path)
            if not any("nbgrader" in cell.get("metadata", {}) for cell in notebook["cells"]):  # a template
                options.out.mkdir(parents=True, exist_ok=True)
                (options.out / path.name).write_bytes(path.read_bytes())
                print(f"{path.name}: copied; nothing in it is graded by running it")
                continue
            homework = Homework.read(path)
            student = release(homework, options.out)
            total = sum(homework.questions.values())
            said = f"{len(homework.questions)} questions, {total:g} points, {len(homework.tests)} tests"
            if options.prove:
                solved = prove(homework, student)
                said += f"; solution {total:g}, blank version 0 ({solved.seconds:.0f} s for the solution)"
            print(f"{path.name}: {said}", flush=True)
        except (ValueError, OSError) as error:
            print(f"NOT released: {error}", file=sys.stderr, flush=True)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
