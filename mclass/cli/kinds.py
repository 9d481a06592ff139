"""What a file or folder of this package is, for whoever gave it to a command that takes something else.

Taught in: 04_supervised.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from mclass._utils.files import user_path

# kind -> what it is, and what takes it
KINDS = {
    "run": "the folder of a run: mclass tag FILE --model {path}",
    "model": "a model: mclass tag FILE --model {path}",
    "state": "the state of a run, to go on with: mclass train … --out {folder} --resume",
    "index": "an index of embeddings: mclass search FILE --index {path}",
    "prepared": "a folder of prepared data: mclass train --dataset prepared --root {path}",
    "shards": "a folder of shards: mclass train --shards {path}",
    "shard": "a shard: mclass train --shards {path}",
    "table": "a table: mclass train --root FOLDER --labels {path}",
    "recipe": "a recipe: mclass train {path}",
    "notebook": "a notebook: mclass grade {path} --out TABLE.csv",
    "recording": "a recording: mclass tag {path}",
    "held-out labels": "labels of a leaderboard: mclass submit PREDICTIONS.npz --labels {path}",
    "predictions": "predictions for a leaderboard: mclass submit {path} --labels LABELS.npz",
}
_INSIDE = {  # name -> what stands near its beginning, and the kind of folder
    "manifest.json": (b"mclass prepared data", "prepared"),
    "index.json": (b"mclass shards", "shards"),
    "model.pt": (b"", "run"),
    "last.ckpt": (b"", "run"),
}
_SUFFIXES = {
    ".csv": "table",
    ".tsv": "table",
    ".yaml": "recipe",
    ".yml": "recipe",
    ".ipynb": "notebook",
    ".tar": "shard",
    ".parquet": "index",
    ".pt": "model",
    ".pth": "model",
    ".ckpt": "state",
}


def kind_of(path: Path) -> str | None:
    """One of `KINDS`, by the names of files, and of what is in archives; None if it is something else."""
    if path.is_dir():
        return next((kind for name, (mark, kind) in _INSIDE.items() if _starts(path / name, mark)), None)
    if not path.is_file():
        return None
    if path.suffix.lower() == ".npz":
        return _of_arrays(path)
    from mclass.audio import SUFFIXES

    return "recording" if path.name.lower().endswith(SUFFIXES) else _SUFFIXES.get(path.suffix.lower())


def _starts(path: Path, mark: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return mark in file.read(200)
    except OSError:
        return False


def _of_arrays(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    for kind, needed in (("index", {"files", "embeddings"}), ("held-out labels", {"ids", "labels"})):
        if needed <= names:
            return kind
    return "predictions" if {"ids", "scores"} <= names else None


def expect(option: str, given: str | None, *kinds: str) -> None:
    """Refuse a file or folder of this package that is of another kind; what is unknown is for others to judge.

    Raises
    ------
    ValueError
        Which says what it is, and which command takes it.
    """
    if given is None:
        return
    path = user_path(given)
    kind = kind_of(path)
    if kind is not None and kind not in kinds:
        raise ValueError(f"{option} {given} is {KINDS[kind].format(path=given, folder=path.parent)}")
