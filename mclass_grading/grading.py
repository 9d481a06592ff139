"""Grade a class: every submission on its own, a table of points, and a page of feedback for each student.

>>> from mclass_grading import grading
>>> # grading.grade("homework/hw2.ipynb", ["submissions"], "grades.csv", held_out_seed=…)
"""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mclass._utils.files import replacing, scratch, writing
from mclass._utils.text import line, visible
from mclass_grading import feedback as pages_of
from mclass_grading import held_out
from mclass_grading.isolation import sandbox
from mclass_grading.isolation.process import EndedError, Process
from mclass_grading.judge import Grade, judge
from mclass_grading.notebooks import Cell, Homework, NotebookError, cells_of, homework_named, load, version_of
from mclass_grading.submissions import find

MAX_REMARKS, MAX_REMARK, MAX_ANSWER = 30, 1000, 100_000  # how many; characters of one, and of an answer


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Attributes
    ----------
    seconds : float
        In all.
    seconds_per_cell : float
        For a cell, or a call of one of its functions.
    memory : float
        In GB.
    isolation : {"bwrap", "none"}
        In bubblewrap, or, for submissions that you trust as your own programs, without a sandbox.
    """

    seconds: float = 900.0
    seconds_per_cell: float = 300.0
    memory: float = 6.0
    isolation: str = "bwrap"

    def __post_init__(self):
        for name in ("seconds", "seconds_per_cell", "memory"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} must be above 0, got {value!r}")


def grade(
    homework: Homework | Path | str,
    submissions: Sequence[Path | str],
    out: Path | str,
    *,
    feedback: Path | str | None = None,
    held_out_seed: int | None = None,
    limits: Limits | None = None,
    resume: bool = False,
    progress: Callable[[Grade], None] = lambda grade: None,
) -> list[Grade]:
    """Grade submissions, one after the other.

    Parameters
    ----------
    homework : Homework or path
        The master notebook.
    submissions : sequence of path
        See `mclass_grading.submissions.find`.
    out : path
        The table, a CSV file. It is complete, and replaced at once, after every submission.
    feedback : path, optional
        Folder for the students' pages; ``feedback`` beside the table if not given.
    held_out_seed : int, optional
        Of the music that no student has; the environment variable ``MCLASS_HELD_OUT_SEED`` if not given.
    limits : Limits, optional
    resume : bool
        Go on with the table: its rows stay as they are, and who has one is not graded again.
    progress : callable
        Is told of each grade.

    Returns
    -------
    list of Grade

    Raises
    ------
    FileNotFoundError
        If the homework or a submission does not exist.
    NotebookError
        If the homework is no master, there is nothing to grade, or the table to go on with is another homework's
        or no table.
        A submission that is broken, or there more than once, is not an error: it gets 0 points and a remark.
    DatasetError
        If the homework needs a held-out seed and there is none.
    OSError
        If submissions cannot be isolated here (`mclass_grading.isolation.sandbox.SandboxError`), or another
        grading writes the same table.
    """
    homework = homework if isinstance(homework, Homework) else Homework.read(homework)
    limits = limits or Limits()
    sandbox.require(limits.isolation)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with writing(out):
        found = find(submissions, homework.name)
        pages = Path(feedback) if feedback is not None else out.parent / "feedback"
        pages.mkdir(parents=True, exist_ok=True)
        return _grade_all(homework, found, out, pages, held_out_seed, limits, resume, progress)


def _grade_all(homework, found, out, pages, seed, limits, resume, progress) -> list[Grade]:
    rows = read_table(homework, out) if resume and out.exists() else [_header(homework)]
    names, known = pages_of.Names(), {row[0] for row in rows[1:]}
    for student in found:  # before any page is written, so that they do not depend on what is graded
        names.of(student)
    todo = {student: files for student, files in found.items() if _harmless(student) not in known}
    grades: list[Grade] = []
    hidden = [homework.path.parent, out.parent, pages, *{one.parent for files in found.values() for one in files}]
    with _ending_by_signals(), judging(homework, seed, limits.isolation) as private:
        for student, files in todo.items():
            result = grade_one(homework, files, student, limits, _hideable([*hidden, private]))
            grades.append(result)
            rows.append(_row(homework, result))
            pages_of.write(homework, result, pages, names)
            write_table(rows, out)
            progress(result)
    return grades


def grade_one(
    homework: Homework, files: Path | Sequence[Path], student: str, limits: Limits, hidden: Sequence[Path] = ()
) -> Grade:
    """Grade one student's submission; whatever it is and does, there is a grade, of text that can be shown."""
    files = [files] if isinstance(files, Path) else files
    result = Grade(student, next(iter(files), None), {cell.grade_id: 0.0 for cell in homework.tests})
    try:
        result.file, notebook = _the_one(files)
        cells = cells_of(notebook, result.file)
        memory = int(limits.memory * (1 << 30))
        with Process(limits.seconds, memory, limits.seconds_per_cell, hidden, limits.isolation) as process:
            result.isolation = limits.isolation
            if homework_named(notebook) not in (None, homework.name):
                result.remarks.append(f"says that it is a submission to {homework_named(notebook)}")
            elif version_of(notebook) not in (None, homework.version):
                result.remarks.append("made from another version of this homework than the master's")
            judge(homework, cells, process, result)
    except Exception as error:  # of one submission; the others are graded
        known = isinstance(error, NotebookError | EndedError | OSError)
        result.remarks.append(str(error) if known else f"could not be graded ({type(error).__name__}: {error})")
        for cell in homework.tests:
            if not result.points.get(cell.grade_id):
                result.messages[cell.grade_id] = "not graded"
    remarks = list(dict.fromkeys(line(one[:MAX_REMARK]) for one in result.remarks))
    more = [f"and {len(remarks) - MAX_REMARKS} more remarks"] if len(remarks) > MAX_REMARKS else []
    result.remarks = remarks[:MAX_REMARKS] + more
    for texts in (result.messages, result.answers):
        texts |= {name: visible(text[:MAX_ANSWER], "\n\t") for name, text in texts.items()}
    return result


def _the_one(files: Sequence[Path]) -> tuple[Path, dict]:
    """The notebook that counts."""
    if not files:
        raise NotebookError("there is no notebook in the student's folder. An archive must be unpacked first")
    if links := [one for one in files if one.is_symlink()]:
        raise NotebookError(f"{links[0].name}: is a link; a submission is a file of its own")
    notebooks = [load(one) for one in files] if len(files) == 1 else []
    if not notebooks:
        with contextlib.suppress(NotebookError):
            notebooks = [load(one) for one in files]
    if not notebooks or any(one != notebooks[0] for one in notebooks):
        names = " and ".join(os.path.join(one.parent.name, one.name) for one in files[:4])
        raise NotebookError(
            f"{len(files)} notebooks: {names}. Keep the one that counts, remove this row, go on with --resume"
        )
    return files[0], notebooks[0]


@contextlib.contextmanager
def _ending_by_signals() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the grading as an interrupt does: with what it started."""

    def leave(number: int, _) -> None:
        raise SystemExit(128 + number)

    taken = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                taken[number] = signal.signal(number, leave)
    try:
        yield
    finally:
        for number, before in taken.items():
            signal.signal(number, before)


@contextlib.contextmanager
def judging(homework: Homework, seed: int | None, isolation: str = "bwrap") -> Iterator[Path]:
    """The seed, and a cache that only the judge has, for as long as it lasts."""
    if isolation == "none":
        public = (None, "", held_out.PUBLIC_SEED, str(held_out.PUBLIC_SEED))
        if seed not in public or os.environ.get(held_out.VARIABLE) not in public:
            raise ValueError(
                "submissions that run without a sandbox could read the held-out seed. Leave --held-out-seed out "
                f"and unset {held_out.VARIABLE}: music is then of the public seed {held_out.PUBLIC_SEED}"
            )
        seed = held_out.PUBLIC_SEED
    with scratch("mclass-judge-") as private, contextlib.ExitStack() as stack:
        stack.callback(_restore, {"MCLASS_HOME": os.environ.get("MCLASS_HOME")})
        os.environ["MCLASS_HOME"] = str(private)
        stack.enter_context(held_out.using(seed))
        if any("held_out" in cell.source for cell in homework.tests):
            held_out.seed()  # says now, not after the first submission, that it is missing
        yield private


def _restore(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _hideable(folders: Sequence[Path]) -> list[Path]:
    """Those that hold nothing a submission needs: Python, the package, or temporary files."""
    needed = [os.path.realpath(one) + os.sep for one in (*sandbox.visible(), tempfile.gettempdir())]
    resolved = {os.path.realpath(one) for one in folders}
    return [Path(one) for one in sorted(resolved) if not any(path.startswith(one + os.sep) for path in needed)]


def _header(homework: Homework) -> list[str]:
    """A column for each question, for each that is graded by hand, and for each score behind points."""
    questions = homework.questions
    manual = [f"{cell.question} (by hand, {cell.points:g})" for cell in homework.manual]
    header = ["student", *(f"{name} ({points:g})" for name, points in questions.items()), *manual]
    scores = [f"{cell.question} score" for cell in _scored(homework)]
    return [*header, f"total ({sum(questions.values()):g})", *scores, "isolation", "remarks"]


def _scored(homework: Homework) -> list[Cell]:
    """Tests that give points for a score."""
    return [cell for cell in homework.tests if "held_out.points(" in cell.source]


def _row(homework: Homework, one: Grade) -> list[str]:
    points = [f"{one.question(homework, name):g}" for name in homework.questions]
    by_hand = [""] * len(homework.manual)
    known = [one.scores.get(cell.grade_id) for cell in _scored(homework)]
    scores = ["" if score is None else f"{score:.4f}" for score in known]
    cells = [one.student, *points, *by_hand, f"{one.total(homework):g}", "; ".join(one.remarks)]
    cells = [_harmless(cell) for cell in cells]  # a score below 0 is a number, and no formula
    return [*cells[:-1], *scores, one.isolation, cells[-1]]


def write_table(rows: Sequence[Sequence[str]], path: Path) -> None:
    """The header and a row for each student, complete or not at all."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def read_table(homework: Homework, path: Path) -> list[list[str]]:
    """The header and rows that `write_table` wrote, with what a lecturer may have typed into them since.

    Raises
    ------
    NotebookError
        If it is no table, or the columns are not this homework's.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # a spreadsheet may have put its mark in front
            rows = [row for row in csv.reader(file) if row]
    except (csv.Error, UnicodeError) as error:
        raise NotebookError(f"{path}: is not a table in UTF-8 ({error}); give another --out") from None
    header = _header(homework)
    place = header.index("isolation")
    if rows and rows[0] == [*header[:place], *header[place + 1 :]]:  # of a version that had no such column
        rows = [[*row[:place], "" if number else "isolation", *row[place:]] for number, row in enumerate(rows)]
    if not rows or rows[0] != header:
        raise NotebookError(
            f"{path}: cannot go on with this table, whose columns are not those of {homework.name} "
            f"({', '.join(header)}); give another --out"
        )
    return rows


def _harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula; different texts stay different."""
    text = line(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "'")) else text
