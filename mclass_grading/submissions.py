"""Whose homework is this? Finds the submissions among files and folders."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mclass._utils.text import line
from mclass_grading.notebooks import NotebookError, homework_named, load

# What browsers, file managers, Colab, Jupyter and learning platforms put around a name, in any letters.
_COPY = re.compile(
    r"^(copy|kopie|copie|c[oó]pia|kopia|copy \(\d+\)) (of|von|de|di|del) |^(copy|kopie|kopia) |"
    r"[ _-]*\(\d+\)$|[ _]*-?[ _]*(copy|kopie|copie|c[oó]pia|kopia)[ _]*\d*$|-checkpoint$",
    re.IGNORECASE,
)
_MOODLE = re.compile(
    r"^(?P<name>.+?)_(?P<number>\d+)_assignsubmission_(file|onlinetext)_?(?P<rest>.*)$", re.DOTALL
)
_CANVAS = re.compile(r"^(?P<name>[^\W_]+)_(late_)?(?P<number>\d+_\d+)_(?P<rest>.+?)(-\d+)?$", re.IGNORECASE)
_NO_NAME = (
    r"(answers?|assignment|attachments?|attempt[ _-]?\d*|drive-download-.*|exercises?|files?|"
    r"final|finished|homework[ _-]?\d*|late|my|new|notebooks?|s?olutions?|solved|"
    r"submission attachment\(s\)|submissions?|submitted|untitled\d*|v\d+|version[ _-]?\d+)"
)


@dataclass(frozen=True)
class Owner:
    """Whose a notebook seems to be.

    Attributes
    ----------
    name : str
    number : str
        What a learning platform tells namesakes apart by; empty if it does not.
    """

    name: str
    number: str = ""


def find(paths: Sequence[Path | str], homework: str) -> dict[str, list[Path]]:
    """The notebooks of each student.

    Parameters
    ----------
    paths : sequence of path
        Notebooks, or folders with a notebook or a folder for each student.
    homework : str
        Name of the homework; it is no part of a student's name.

    Returns
    -------
    dict
        From names, sorted, to notebooks. More than one is more than one attempt: who grades must refuse to choose.
        None at all is a folder without a notebook. ``hw2_ada.ipynb``, ``ada_hw2 (1).ipynb``, ``ada.ipynb`` and
        ``ada/Copy of hw2.ipynb`` are all Ada's, as is what Moodle and Canvas make of them.

    Raises
    ------
    FileNotFoundError
        If a path leads nowhere.
    NotebookError
        If there is nothing to grade.

    Examples
    --------
    >>> find([], "hw2")
    Traceback (most recent call last):
    mclass_grading.notebooks.NotebookError: no submissions were given: name notebooks, or folders with notebooks
    """
    notebooks, empty = _notebooks(paths)
    alone = Counter(path.parent for path in {_original(path): path for path, _ in notebooks}.values())
    owners: dict[Owner, list[Path]] = {}
    seen: set[str] = set()
    for path, root in notebooks:
        if (where := os.path.realpath(path.parent) + os.sep + path.name) not in seen:
            seen.add(where)
            owners.setdefault(owner(path, homework, root, alone[path.parent] == 1), []).append(path)
    for folder in empty:
        owners.setdefault(Owner(_folder_name(folder, homework)), [])
    numbers = Counter(one.name for one in owners)
    found: dict[str, list[Path]] = {}
    for one, files in owners.items():
        name = f"{one.name} {one.number}".strip() if numbers[one.name] > 1 else one.name
        found.setdefault(name, []).extend(files)
    return dict(sorted(found.items()))


def owner(path: Path, homework: str, root: Path | None = None, alone: bool = False) -> Owner:
    """Whose a notebook is, by the name of the file, or of the folder that it is in.

    Parameters
    ----------
    path : Path
    homework : str
    root : Path, optional
        The folder that was given; its own name is a student's only if there is nothing better.
    alone : bool
        Whether it is the only notebook in its folder: the folder is then the student's, unless the file's name has
        the homework's name in it and somebody's, too.

    Examples
    --------
    >>> owner(Path("hw2_ada.ipynb"), "hw2").name, owner(Path("ada/Copy of hw2 (1).ipynb"), "hw2").name
    ('ada', 'ada')
    >>> owner(Path("Ada Lovelace_123_assignsubmission_file_/hw2.ipynb"), "hw2")
    Owner(name='Ada Lovelace', number='123')
    >>> owner(Path("lovelaceada_LATE_17_42_hw2-1.ipynb"), "hw2")
    Owner(name='lovelaceada', number='17_42')
    """
    stem = unicodedata.normalize("NFC", _without_copies(path.stem))
    for platform in (_MOODLE, _CANVAS):
        if match := platform.match(stem):
            return Owner(_shown(match["name"]), match["number"])
    rest, named = _without(stem, homework)
    folders = [] if root is None else [one.name for one in path.parents if root in one.parents]
    folders = folders if root is not None else [path.absolute().parent.name]
    folders = [unicodedata.normalize("NFC", one) for one in folders]
    for match in filter(None, map(_MOODLE.match, folders)):
        return Owner(_shown(match["name"]), match["number"])
    for folder in folders:
        if (alone and root is not None and not named) or not rest:
            name = _without(_without_copies(folder), homework)[0]
            if name:
                return Owner(_shown(name))
    if not rest and root is not None:
        rest = root.absolute().name
    return Owner(_shown(rest) or _shown(path.stem) or "?")


def homework_of(paths: Sequence[Path]) -> str | None:
    """The homework that most of these notebooks say they are of; None if none says so.

    Raises
    ------
    NotebookError
        If as many are of another.
    """
    names: Counter[str] = Counter()
    for path in paths:
        try:
            name = homework_named(load(path))
        except NotebookError:
            continue
        if name is not None and re.fullmatch(r"[\w-]+", name):
            names[name] += 1
    ranks = names.most_common(2)
    if len(ranks) > 1 and ranks[0][1] == ranks[1][1]:
        raise NotebookError(
            f"as many of these are submissions to {ranks[0][0]} as to {ranks[1][0]}; name the homework with "
            "--homework, or grade one after the other"
        )
    return ranks[0][0] if ranks else None


def _notebooks(paths: Sequence[Path | str]) -> tuple[list[tuple[Path, Path | None]], list[Path]]:
    """Each notebook and the folder it was found in, and the students' folders that have none."""
    if not paths:
        raise NotebookError("no submissions were given: name notebooks, or folders with notebooks")
    found: list[tuple[Path, Path | None]] = []
    empty: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = _below(path)
            if not inside and path.suffix.lower() != ".ipynb":
                zips = " There are archives in it: unpack them first." if _archives(path) else ""
                raise NotebookError(f"{path}: there are no notebooks in this folder or below it.{zips}")
            found += [(one, path) for one in inside] or [(path, None)]
            for folder in sorted(path.iterdir()):
                if not folder.is_dir() or folder.is_symlink() or _is_hidden(folder.name):
                    continue
                if not any(folder in one.parents or one == folder for one in inside) and _has_files(folder):
                    empty.append(folder)
        elif not os.path.lexists(path):
            raise FileNotFoundError(f"{path}: there is no such file or folder")
        elif path.suffix.lower() != ".ipynb":
            raise NotebookError(f"{path}: a submission is a notebook (.ipynb), or a folder of them")
        else:
            found.append((path, None))
    return found, empty


def _below(folder: Path) -> list[Path]:
    """What is called a notebook below a folder, whatever it is, sorted; links to folders are not followed."""
    found = []
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if not _is_hidden(one))
        found += [Path(where, one) for one in files if one.lower().endswith(".ipynb") and not _is_hidden(one)]
    named = [Path(where, one) for where, folders, _ in os.walk(folder) for one in folders]
    named = [one for one in named if one.suffix.lower() == ".ipynb" and not _is_hidden(one.name)]
    return sorted(found + [one for one in named if not any(one in file.parents for file in found)])


def _archives(folder: Path) -> bool:
    return any(one.suffix.lower() in (".zip", ".rar", ".7z", ".gz", ".tar") for one in folder.rglob("*"))


def _has_files(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:  # whose folder cannot be read gets a row that says so
        return True


def _folder_name(folder: Path, homework: str) -> str:
    match = _MOODLE.match(folder.name)
    return _shown(match["name"] if match else _without(_without_copies(folder.name), homework)[0] or folder.name)


def _original(path: Path) -> Path:
    """The path that a copy was made of."""
    return path.with_name(_without_copies(path.stem) or path.stem)


def _without_copies(name: str) -> str:
    while (shorter := _COPY.sub("", name).strip()) != name and shorter:
        name = shorter
    return name


def _without(name: str, homework: str) -> tuple[str, bool]:
    """A name without the homework's at its ends, nor words that are nobody's; and whether the first was there."""
    own, named = re.escape(homework) or "(?!)", False
    while True:
        shorter = re.sub(rf"^{own}([ _.-]+|$)|(^|[ _.-]+){own}$", "", name, count=1, flags=re.IGNORECASE).strip(
            " _-"
        )
        if shorter != name:
            named = named or shorter != name.strip(" _-")
        else:
            shorter = re.sub(
                rf"^{_NO_NAME}([ _.-]+|$)|(^|[ _.-]+){_NO_NAME}$", "", name, count=1, flags=re.IGNORECASE
            )
            shorter = _without_copies(shorter.strip(" _-"))
        if shorter == name:
            return name, named
        name = shorter


def _shown(name: str) -> str:
    return line(name)


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))
