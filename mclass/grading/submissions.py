"""Whose homework is this? Finds the submissions among files and folders."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from mclass.grading.notebooks import NotebookError


def find(paths: Sequence[Path | str], homework: str) -> dict[str, Path]:
    """The notebook of each student.

    Parameters
    ----------
    paths : sequence of path
        Notebooks, or folders with a notebook or a folder for each student.
    homework : str
        Name of the homework; it is no part of a student's name.

    Returns
    -------
    dict
        From names to notebooks, sorted. ``hw2_ada.ipynb``, ``ada_hw2.ipynb``, ``ada.ipynb`` and
        ``ada/hw2.ipynb`` are all Ada's.

    Raises
    ------
    FileNotFoundError
        If a path leads nowhere.
    NotebookError
        If a folder is empty, or two notebooks are one student's.

    Examples
    --------
    >>> find([], "hw2")
    Traceback (most recent call last):
    mclass.grading.notebooks.NotebookError: no submissions were given: name notebooks, or folders with notebooks
    """
    if not paths:
        raise NotebookError("no submissions were given: name notebooks, or folders with notebooks")
    found: dict[str, Path] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file or folder")
        if path.is_dir():
            inside = [one for one in sorted(path.rglob("*.ipynb")) if not _is_hidden(one.relative_to(path))]
            if not inside:
                zips = " There are archives in it: unpack them first." if any(path.rglob("*.zip")) else ""
                raise NotebookError(f"{path}: there are no notebooks in this folder or below it.{zips}")
        else:
            if path.suffix != ".ipynb":
                raise NotebookError(f"{path}: a submission is a notebook (.ipynb), or a folder of them")
            inside = [path]
        for one in inside:
            name = student(one, homework)
            if name in found and found[name].resolve() != one.resolve():
                raise NotebookError(
                    f"two notebooks are {name}'s: {found[name]} and {one}. Keep the one that counts, start again"
                )
            found[name] = one
    return dict(sorted(found.items()))


def student(path: Path, homework: str) -> str:
    """A student's name from the name of a file, or of the folder that it is in.

    Examples
    --------
    >>> student(Path("hw2_ada.ipynb"), "hw2"), student(Path("ada/hw2.ipynb"), "hw2")
    ('ada', 'ada')
    """
    name = re.sub(rf"^{re.escape(homework)}[ _-]+|[ _-]+{re.escape(homework)}$", "", path.stem)
    if name == homework:
        name = path.absolute().parent.name
    return " ".join("".join(one if one.isprintable() else " " for one in name).split()) or path.stem


def homework_of(paths: Sequence[Path]) -> str | None:
    """The homework that these notebooks say they are of, if they agree; None if none says so.

    Raises
    ------
    NotebookError
        If they are of several.
    """
    names: dict[str, Path] = {}
    for path in paths:
        try:
            name = json.loads(path.read_text(encoding="utf-8"))["metadata"]["mclass"]["homework"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        if isinstance(name, str) and re.fullmatch(r"[\w-]+", name):
            names.setdefault(name, path)
    if len(names) > 1:
        some = " and ".join(f"{name} ({path.name})" for name, path in list(names.items())[:2])
        raise NotebookError(f"these are submissions to several homeworks, {some}; grade one after the other")
    return next(iter(names), None)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)
