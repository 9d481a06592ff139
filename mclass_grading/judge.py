"""From a submission to points.

The submission's cells run in a process of their own (`mclass_grading.isolation.process`). Tests, hidden ones
included, always come from the master and run *here*; only the names that the submission is to define are reached
through the process. So a submission may change, delete or fake what it likes: what counts is what its functions
answer.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import io
import math
import re
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mclass_grading.held_out import Points
from mclass_grading.isolation.process import EndedError, Process
from mclass_grading.notebooks import Cell, Homework, for_students

MAX_WORDS = 600
NOT_SOLVED = "not solved"
_EVASIONS = ("exec", "eval", "__import__", "importlib", "globals", "get_ipython", "sys.modules")


@dataclass
class Grade:
    """What a submission earned.

    Attributes
    ----------
    student : str
    file : Path or None
    points : dict
        From the ``grade_id`` of each test to its points.
    messages : dict
        From the ``grade_id`` of a test to why it was not passed in full, or to its score.
    scores : dict
        From the ``grade_id`` of each test that gives points for a score to that score.
    answers : dict
        From the ``grade_id`` of each answer that somebody must read to its text.
    remarks : list of str
        What the lecturer should know.
    seconds : float
    isolation : str
        How it was run (see `mclass_grading.isolation.sandbox.MODES`); empty if it was not.
    """

    student: str
    file: Path | None = None
    points: dict[str, float] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0
    isolation: str = ""

    def question(self, homework: Homework, name: str) -> float:
        """Points of a question."""
        return sum(self.points.get(cell.grade_id, 0.0) for cell in homework.tests if cell.question == name)

    def total(self, homework: Homework) -> float:
        """Points of all questions that are graded by running them."""
        return sum(self.question(homework, name) for name in homework.questions)


def merge(homework: Homework, cells: Sequence[Cell]) -> tuple[list[Cell], list[str]]:
    """What is to be run: the submission's own cells, and the master's for all that is locked.

    Parameters
    ----------
    homework : Homework
    cells : sequence of Cell
        The submission's.

    Returns
    -------
    steps : list of Cell
        In order. Locked cells that were deleted are back in their places; a test comes after the solution.
    remarks : list of str
    """
    marked, remarks, steps, seen = homework.by_id(), [], [], set()
    for cell in cells:
        master = marked.get(cell.grade_id)
        if master is None or not master.locked:
            if master is not None and cell.grade_id in seen:
                remarks.append(f"cell {cell.grade_id} is there twice; both were run, and the last one counts")
            if cell.kind == "code":  # a solution keeps its mark, nothing else does
                steps.append(Cell("code", cell.source, cell.grade_id if master else None))
        elif cell.grade_id in seen:
            remarks.append(f"locked cell {cell.grade_id} is there twice; the second was left out")
        else:
            if master.kind == "code":
                steps.append(master)
            if cell.source.strip() not in (for_students(master).strip(), master.source.strip()):
                remarks.append(f"locked cell {cell.grade_id} was changed; the original was run")
        if master is not None:
            seen.add(cell.grade_id)
    if not seen:
        remarks.append("the notebook has lost its cells' marks; all of it was run, and then the tests")
        return steps + homework.tests, remarks
    previous = None
    for cell in homework.cells:
        if cell.locked and cell.grade_id and cell.grade_id not in seen:
            remarks.append(f"locked cell {cell.grade_id} was deleted; the original was run")
            places = [i for i, one in enumerate(steps) if one.grade_id and one.grade_id == previous]
            if cell.kind == "code":
                steps.insert(places[-1] + 1 if places else 0, cell)
        if cell.grade_id and any(one.grade_id == cell.grade_id for one in steps):
            previous = cell.grade_id
    for test in homework.tests:  # not before the solution, wherever it was moved to
        place = steps.index(test)
        last = max(
            (i for i, one in enumerate(steps) if not one.is_test and one.question == test.question), default=0
        )
        if last > place:
            steps.insert(last + 1, test)
            steps.pop(place)
    return steps, remarks


def judge(homework: Homework, cells: Sequence[Cell], process: Process, grade: Grade) -> None:
    """Run a submission's cells in order, each test in its place, and write points and reasons into `grade`."""
    start = time.monotonic()
    steps, remarks = merge(homework, cells)
    grade.remarks += remarks
    grade.points = {cell.grade_id: 0.0 for cell in homework.tests}
    manual = {cell.grade_id: cell for cell in homework.manual}
    grade.answers = {cell.grade_id: cell.source for cell in cells if cell.grade_id in manual}
    broken: dict[str | None, str] = {}
    for step in steps:
        try:
            if step.is_test:
                forbidden = _uses(steps, step)
                if forbidden:
                    raise AssertionError(f"the solution uses `{forbidden}`, which this question asks you to write")
                grade.remarks += [
                    f"{step.question} uses `{name}`: is that allowed?" for name in _watched(steps, step)
                ]
                worth = _points(homework, step, process)
                grade.points[step.grade_id] = float(worth)
                if isinstance(worth, Points):
                    grade.scores[step.grade_id] = worth.score
                    earned = f"{worth:g} of {step.points:g} points (all from {worth.enough:g} on)"
                    grade.messages[step.grade_id] = f"score {worth.score:.3f}: {earned}"
            else:
                process.run(step.source)
        except EndedError as error:
            grade.remarks.append(f"stopped at {_place(step)}: {error}; what comes after it has 0 points")
            late = [one for one in steps if one.is_test and one.grade_id not in grade.messages]
            late = [one for one in late if not grade.points[one.grade_id]]
            grade.messages |= {one.grade_id: f"not reached, or stopped: {error}" for one in late}
            break
        except Exception as error:
            words = f"{type(error).__name__}: {error}" if not isinstance(error, AssertionError) else str(error)
            if isinstance(error, NotImplementedError) and not str(error):
                words = NOT_SOLVED
            words = (words or "a check failed")[:MAX_WORDS]
            if not step.is_test:
                broken[step.question] = f"{_place(step)} raised {words}"
                continue
            if isinstance(error, NameError) and step.question in broken:
                why = broken[step.question]
                words = NOT_SOLVED if why.endswith(NOT_SOLVED) else f"{words} ({why})"
            grade.messages[step.grade_id] = words
    grade.seconds = time.monotonic() - start


def free_names(tree: ast.AST) -> list[str]:
    """Names that a test uses and does not define: those of the submission.

    Examples
    --------
    >>> free_names(ast.parse("import math; assert area(2) == math.pi * sum(x for x in [4])"))
    ['area']
    """
    used = {
        node.id: True for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    bound = bound_names(tree)
    return [name for name in used if name not in bound and not hasattr(builtins, name)]


def bound_names(tree: ast.AST) -> set[str]:
    """Names that code gives to something, anywhere in it."""
    bound = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler):
            bound.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(one.asname or one.name).partition(".")[0] for one in node.names}
    return bound


def defined_names(tree: ast.Module) -> set[str]:
    """Names that are there after a cell was run: not those inside its functions.

    Examples
    --------
    >>> sorted(defined_names(ast.parse("import a.b; z = [f(x) for x in a]")))
    ['a', 'x', 'z']
    """
    inside = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    names = {one.name for one in tree.body if isinstance(one, inside)}
    return names.union(*(bound_names(one) for one in tree.body if not isinstance(one, inside)))


def helpers_of(homework: Homework, test: Cell) -> list[Cell]:
    """The locked cells that define names which a test uses, directly or through others, in the master's order."""
    wanted, chosen = set(free_names(ast.parse(test.source))), []
    for cell in reversed(homework.cells[: homework.cells.index(test)]):
        if cell.locked and not cell.graded and cell.kind == "code":
            tree = _parsed(cell.source)
            if tree is not None and wanted & defined_names(tree):
                wanted |= set(free_names(tree))
                chosen.append(cell)
    return chosen[::-1]


def _points(homework: Homework, test: Cell, process: Process) -> float | Points:
    """Run a test: all points, or `Points`, which know their score, if its last line is `held_out.points(…)`.

    Helpers run here, too, so that a submission which defines them again changes nothing.
    """
    tree = ast.parse(test.source)
    cells = [_parsed(cell.source) for cell in helpers_of(homework, test)]
    tree.body = [one for cell in cells for one in cell.body] + tree.body
    names = {name: process.name(name) for name in free_names(tree)}
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    value = None
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        space = {"__name__": "tests", **names}
        exec(compile(tree, f"<{test.grade_id}>", "exec"), space)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), f"<{test.grade_id}>", "eval"), space)
    if not isinstance(value, Points):  # a number of the submission's own must not become points
        return test.points
    within = min(max(float(value), 0.0), test.points) if math.isfinite(value) else 0.0
    return Points(within, value.score, value.enough)


def _solutions(steps: Sequence[Cell], test: Cell) -> list[ast.AST]:
    """The student's own cells that a test's question rests on, parsed; those that do not parse do not run either.

    They are the question's, and any other that defines a name which these use.
    """
    own = [one for one in steps if not one.is_test and not one.locked]
    parsed = [(one, tree) for one in own if (tree := _parsed(one.source)) is not None]
    chosen = [tree for one, tree in parsed if one.question == test.question]
    rest = [tree for one, tree in parsed if one.question != test.question]
    wanted = {name for tree in chosen for name in free_names(tree)}
    while found := [tree for tree in rest if wanted & defined_names(tree)]:
        rest = [tree for tree in rest if tree not in found]
        chosen += found
        wanted |= {name for tree in found for name in free_names(tree)}
    return chosen


@functools.lru_cache(maxsize=256)
def _parsed(source: str) -> ast.AST | None:
    """A cell without what only IPython understands."""
    lines = [
        "pass" if re.match(r"\s*[%!?]", one) else one for one in source.splitlines() if not one.startswith("%%")
    ]
    with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse("\n".join(lines))
        ast.unparse(tree)  # a tree that is too deep for one is too deep for all
        return tree
    return None


def _uses(steps: Sequence[Cell], test: Cell) -> str | None:
    """The first name in the question's solution that it must do without.

    A name that the solution gives to something of its own is its own: `losses`, or an attribute `self.models`.
    """
    for tree in _solutions(steps, test) if test.without else ():
        own = {
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        own |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        named = ast.FunctionDef | ast.ClassDef | ast.ExceptHandler
        own |= {node.name for node in ast.walk(tree) if isinstance(node, named)}
        own |= {node.asname for node in ast.walk(tree) if isinstance(node, ast.alias)}
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Name) and node.id not in own:
                names = [node.id]
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) != "self":
                names = [node.attr]
            elif isinstance(node, ast.Import | ast.ImportFrom):
                parts = [part for one in node.names for part in one.name.split(".")]
                names = [*parts, *(getattr(node, "module", None) or "").split(".")]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names = node.value.split(".")  # getattr(losses, "…"), import_module("…")
            for name in names:
                if name in test.without:
                    return name
    return None


def _watched(steps: Sequence[Cell], test: Cell) -> list[str]:
    """What the lecturer should look at in the question's solution: `etude.labels`, or what runs text as code."""
    watched = [*test.watch, *(_EVASIONS if test.without else ())]
    found = {
        ast.unparse(node)
        for tree in (_solutions(steps, test) if watched else ())
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name)
    }
    return [name for name in watched if name in found]


def _place(step: Cell) -> str:
    first = next((line.strip() for line in step.source.splitlines() if line.strip()), "an empty cell")
    return f"cell {step.grade_id}" if step.grade_id else f"the cell that begins with `{first[:60]}`"
