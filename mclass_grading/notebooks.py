"""Homework notebooks: reading them, what their cells are, and what students must not see of them.

The marks are those of nbgrader, so that its tools read these notebooks, too. In a cell's metadata, under
``nbgrader``: ``grade_id``, ``points``, and whether the cell is a ``solution``, is ``grade``-d, is ``locked``. In
its text: ``### BEGIN SOLUTION`` … ``### END SOLUTION`` and ``### BEGIN HIDDEN TESTS`` … ``### END HIDDEN TESTS``.

The part of a ``grade_id`` before its first hyphen is the question: ``q1-tests`` and ``q1-weights`` are of ``q1``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MAX_BYTES = 100 << 20
MAX_VALUES = 5_000_000
MAX_CELLS = 2000
MAX_CODE = 2_000_000  # characters
MAX_POINTS = 1_000_000
SOLUTION = ("### BEGIN SOLUTION", "### END SOLUTION")
HIDDEN = ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")
STUB = "# YOUR CODE HERE\nraise NotImplementedError()"
ANSWER = "*Your answer here.*"


class NotebookError(ValueError):
    """A notebook cannot be read, or a master's marks are wrong."""


@dataclass(frozen=True)
class Cell:
    """A cell, and what is marked about it.

    Attributes
    ----------
    kind : str
        ``"code"``, ``"markdown"`` or ``"raw"``.
    source : str
    grade_id : str or None
    points : float
    graded, solution, locked : bool
    without : tuple of str
        Names that a solution must not use; of a test.
    watch : tuple of str
        What a solution may use but the lecturer should know of, such as ``etude.labels``; of a test.
    """

    kind: str
    source: str
    grade_id: str | None = None
    points: float = 0.0
    graded: bool = False
    solution: bool = False
    locked: bool = False
    without: tuple[str, ...] = ()
    watch: tuple[str, ...] = ()

    @property
    def question(self) -> str | None:
        """The question that the cell belongs to."""
        return self.grade_id.partition("-")[0] if self.grade_id else None

    @property
    def is_test(self) -> bool:
        """Graded by running it."""
        return self.graded and not self.solution and self.kind == "code"

    @property
    def is_manual(self) -> bool:
        """Graded by reading it."""
        return self.graded and self.solution


def load(path: Path) -> dict:
    """A notebook as JSON has it.

    Raises
    ------
    NotebookError
        If the file is not a notebook; the message says what is wrong with it.
    """
    try:
        notebook = json.loads(_text(path))
    except (ValueError, RecursionError) as error:  # of a whole number with thousands of digits, a plain ValueError
        if isinstance(error, NotebookError):
            raise
        raise NotebookError(
            f"{path}: not a notebook, its text is not JSON ({error}). Save it from Jupyter or Colab as .ipynb"
        ) from None
    except OSError as error:
        raise NotebookError(f"{path}: cannot be read ({error.strerror})") from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise NotebookError(
            f"{path}: not a notebook of format 4, it has no list of cells. Save it again from Jupyter"
        )
    if not notebook["cells"]:
        raise NotebookError(f"{path}: the notebook has no cells")
    return notebook


def _text(path: Path) -> str:
    """The text of a file of a bounded size; what is no file, such as a pipe, is not waited for."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    kind = os.fstat(file).st_mode
    if not stat.S_ISREG(kind):
        os.close(file)
        raise NotebookError(
            f"{path}: is a {'folder' if stat.S_ISDIR(kind) else 'pipe or a device'}, not a notebook"
        )
    with os.fdopen(file, "rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise NotebookError(f"{path}: above {MAX_BYTES / 1e6:.0f} MB, which are not read. Clear its outputs")
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:  # which take far more memory than text does
        raise NotebookError(f"{path}: more than {MAX_VALUES:,} values, which are not read. Clear its outputs")
    return data.decode("utf-8-sig")


def homework_named(notebook: dict) -> str | None:
    """The homework that a notebook says it is of."""
    return _own(notebook, "homework")


def _own(notebook: dict, key: str) -> str | None:
    metadata = notebook.get("metadata")
    own = metadata.get("mclass") if isinstance(metadata, dict) else None
    value = own.get(key) if isinstance(own, dict) else None
    return value if isinstance(value, str) else None


def version_of(notebook: dict) -> str | None:
    """Which student version a notebook was made from, as far as it says so."""
    return _own(notebook, "version")


def cells_of(notebook: dict, path: Path) -> list[Cell]:
    """The cells of a notebook, whoever wrote it.

    Raises
    ------
    NotebookError
        If something in it is not a cell, or there is more than anybody writes.
    """
    if len(notebook["cells"]) > MAX_CELLS:
        raise NotebookError(f"{path}: {len(notebook['cells']):,} cells; at most {MAX_CELLS:,} are read")
    cells = [_cell(one, path, number) for number, one in enumerate(notebook["cells"])]
    code = sum(len(cell.source) for cell in cells if cell.kind == "code")
    if code > MAX_CODE:
        raise NotebookError(f"{path}: {code:,} characters of code; at most {MAX_CODE:,} are read")
    return cells


def _cell(raw: object, path: Path, number: int) -> Cell:
    source = raw.get("source") if isinstance(raw, dict) else None
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str) or raw.get("cell_type") not in ("code", "markdown", "raw"):
        raise NotebookError(f"{path}: cell {number + 1} is not a cell of a notebook")
    metadata = raw.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    if not isinstance(marks, dict) or not isinstance(marks.get("grade_id"), str):
        return Cell(raw["cell_type"], source)
    own = metadata.get("mclass")
    lists = [own.get(name) if isinstance(own, dict) else None for name in ("without", "watch")]
    points = marks.get("points")
    return Cell(
        raw["cell_type"],
        source,
        marks["grade_id"],
        _number(points),
        marks.get("grade") is True,
        marks.get("solution") is True,
        marks.get("locked") is True,
        *(tuple(map(str, names)) if isinstance(names, list) else () for names in lists),
    )


def _number(points: object) -> float:
    """Points as somebody wrote them; none if they are no number, or none that there could be."""
    usable = isinstance(points, int | float) and not isinstance(points, bool) and 0 <= points <= MAX_POINTS
    return float(points) if usable else 0.0


@dataclass(frozen=True)
class Homework:
    """A master notebook.

    Attributes
    ----------
    path : Path
    notebook : dict
    cells : list of Cell
    """

    path: Path
    notebook: dict = field(repr=False)
    cells: list[Cell] = field(repr=False)

    @classmethod
    def read(cls, path: Path | str) -> Homework:
        """Read a master and check its marks.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        NotebookError
            If it is no notebook, a ``grade_id`` occurs twice, markers are not in pairs, a test has no points, or
            there is no test at all.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such homework")
        notebook = load(path)
        homework = cls(path, notebook, cells_of(notebook, path))
        homework._check()
        return homework

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def tests(self) -> list[Cell]:
        """Cells that are graded by running them."""
        return [cell for cell in self.cells if cell.is_test]

    @property
    def manual(self) -> list[Cell]:
        """Cells that somebody must read."""
        return [cell for cell in self.cells if cell.is_manual]

    @property
    def questions(self) -> dict[str, float]:
        """Points of each question that is graded by running it, in order."""
        points: dict[str, float] = {}
        for cell in self.tests:
            points[cell.question] = points.get(cell.question, 0.0) + cell.points
        return points

    @property
    def version(self) -> str:
        """Of what students get: changes with any of its text, and not with hidden tests."""
        texts = [(cell.kind, cell.grade_id, for_students(cell)) for cell in self.cells]
        return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:12]

    def by_id(self) -> dict[str, Cell]:
        """The marked cells."""
        return {cell.grade_id: cell for cell in self.cells if cell.grade_id}

    def _check(self) -> None:
        twice = [one for one, count in Counter(c.grade_id for c in self.cells if c.grade_id).items() if count > 1]
        if twice:
            raise NotebookError(f"{self.path}: grade_id {twice[0]!r} occurs twice; each cell needs one of its own")
        for cell in self.cells:
            where = f"{self.path}: cell {cell.grade_id or cell.source[:40]!r}"
            for begin, end in (SOLUTION, HIDDEN):
                found = [line.strip() for line in cell.source.splitlines() if line.strip() in (begin, end)]
                if found != [begin, end] * (len(found) // 2):
                    raise NotebookError(f"{where}: '{begin}' and '{end}' must come in pairs, got {found}")
                if found and begin == SOLUTION[0] and not cell.solution:
                    raise NotebookError(f"{where} holds a solution and is not marked as one")
                if found and begin == HIDDEN[0] and not cell.is_test:
                    raise NotebookError(f"{where} holds hidden tests and is not marked as a test")
            if cell.is_test and not (cell.points > 0 and cell.locked):
                raise NotebookError(f"{where} is a test: it needs points above 0, and must be locked")
        if not self.tests:
            raise NotebookError(
                f"{self.path}: no cell is graded. Is this a master notebook, with nbgrader's metadata?"
            )


def regions(source: str, markers: tuple[str, str]) -> Iterator[list[str]]:
    """The lines between each pair of markers.

    Examples
    --------
    >>> list(regions("a\\n### BEGIN SOLUTION\\nb\\n### END SOLUTION\\nc", SOLUTION))
    [['b']]
    """
    inside: list[str] | None = None
    for line in source.splitlines():
        if line.strip() == markers[0]:
            inside = []
        elif line.strip() == markers[1] and inside is not None:
            yield inside
            inside = None
        elif inside is not None:
            inside.append(line)


def for_students(cell: Cell) -> str:
    """The text of a cell as students get it: a stub for each solution, nothing for hidden tests.

    Examples
    --------
    >>> text = "def f(x):\\n    ### BEGIN SOLUTION\\n    return x\\n    ### END SOLUTION"
    >>> print(for_students(Cell("code", text, "q1", solution=True)))
    def f(x):
        # YOUR CODE HERE
        raise NotImplementedError()
    """
    if cell.is_manual and cell.kind == "markdown":
        return ANSWER
    kept, skipping = [], False
    for line in cell.source.splitlines():
        mark = line.strip()
        if mark in (SOLUTION[0], HIDDEN[0]):
            skipping = True
            indent = re.match(r"\s*", line)[0]
            kept += [indent + one for one in STUB.splitlines()] if mark == SOLUTION[0] else []
        elif mark in (SOLUTION[1], HIDDEN[1]):
            skipping = False
        elif not skipping:
            kept.append(line)
    return "\n".join(kept).rstrip()
