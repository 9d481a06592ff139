"""FMA: tracks of the Free Music Archive in four sizes, with genres that form a tree.

Taught in: 02_datasets.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from mclass.datasets.published.reading.audio_files import AudioFiles, find_audio, find_root, multi_hot, one_hot
from mclass.datasets.published.reading.tables import read_columns, read_rows
from mclass.errors import DatasetError, unknown_name

SIZES = {"small": ("small",), "medium": ("small", "medium"), "large": None, "full": None}
_COLUMNS = {
    "split": ("set", "split"),
    "subset": ("set", "subset"),
    "top": ("track", "genre_top"),
    "leaf": ("track", "genres"),
    "all": ("track", "genres_all"),
    "artist": ("artist", "id"),
}
_PARTS = {"training": "train", "validation": "valid", "test": "test"}
_NO_AUDIO, _SHORT = "no audio in fma_small, fma_medium and fma_large", "much shorter than 30 s in these three"


class Genre(NamedTuple):
    """A genre of the tree: its name, its parent's name ("" for a root), and the root it descends from."""

    title: str
    parent: str
    top: str


class FMA(AudioFiles):
    """FMA (Defferrard et al., 2017) with its published split (no artist is in two parts).

    Parameters
    ----------
    root : path
        The folder with ``fma_metadata`` and ``fma_small`` (or another size).
    size : {"small", "medium", "large", "full"}
        8,000 clips of eight balanced genres; 25,000 clips of sixteen; 106,574 clips; the same, whole tracks.
    labels : {"top", "leaf", "all"}, optional
        The root of the tree that a track belongs to (single-label; tracks of several roots are left out); the
        genres its artist gave; or those and all above them. "top" for small and medium, else "all".
    sample_rate : int
        In Hz. The files have 44,100 mostly.
    audio : path, optional
        The folder with the folders 000 to 155, if it is not ``fma_small`` in `root`.
    on_error, missing : {"raise", "skip"}
        As for the other published data sets. Three clips of each trimmed size hold no audio.

    Attributes
    ----------
    genres : dict of str to Genre
        The tree, by name.

    Raises
    ------
    DatasetError
        If the root is another folder, or files are missing or broken.
    """

    KNOWN_FAULTS: ClassVar[dict[str, str]] = {
        "099/099134.mp3": _NO_AUDIO,
        "108/108925.mp3": _NO_AUDIO,
        "133/133297.mp3": _NO_AUDIO,
        "098/098565.mp3": _SHORT,
        "098/098567.mp3": _SHORT,
        "098/098569.mp3": _SHORT,
    }
    PUBLISHED_SIZES: ClassVar[dict[str, int]] = {
        "small": 8_000,
        "medium": 25_000,
        "large": 106_574,
        "full": 106_574,
    }

    def __init__(
        self,
        root: str | os.PathLike,
        size: str = "small",
        labels: str | None = None,
        sample_rate: int = 16_000,
        audio: str | os.PathLike | None = None,
        on_error: str = "raise",
        missing: str = "raise",
    ):
        if size not in SIZES:
            raise ValueError(unknown_name("size", size, SIZES))
        labels = labels or ("top" if SIZES[size] else "all")
        if labels not in ("top", "leaf", "all"):
            raise ValueError(unknown_name("labels", labels, ("top", "leaf", "all")))
        folder = find_root(root, ["tracks.csv"], "FMA", ("fma_metadata", "", "data/fma_metadata"))
        self.genres, titles = _read_genres(folder / "genres.csv")
        tracks = _read_tracks(folder / "tracks.csv")
        wanted = SIZES[size]
        tracks = [one for one in tracks if wanted is None or one["subset"] in wanted]
        if labels == "top":
            tracks = [one for one in tracks if one["top"]]
            rows = [[one["top"]] for one in tracks]
        else:
            rows = [[titles[number] for number in _numbers(one[labels], titles)] for one in tracks]
        tags = sorted({tag for row in rows for tag in row})
        stems = [f"{one['id'][:3]}/{one['id']}" for one in tracks]
        inside = (f"fma_{size}", f"fma_{size}/fma_{size}", "")
        self._set_up(
            f"fma_{size}",
            find_audio(folder.parent if folder.name == "fma_metadata" else folder, audio, inside, stems),
            stems,
            one_hot([row[0] for row in rows], tags) if labels == "top" else multi_hot(rows, tags),
            tags,
            sample_rate=sample_rate,
            multilabel=labels != "top",
            parts=np.array([_PARTS.get(one["split"], "") for one in tracks]),
            tracks=[one["id"] for one in tracks],
            artists=[one["artist"] for one in tracks],
            on_error=on_error,
            missing=missing,
        )

    def ancestors(self, tag: str) -> list[str]:
        """The genres above `tag`, from its parent to its root."""
        if tag not in self.genres:
            raise ValueError(unknown_name("genre", tag, self.genres))
        found: list[str] = []
        while (parent := self.genres[tag].parent) and parent not in found:
            found.append(parent)
            tag = parent
        return found


def _read_genres(table: Path) -> tuple[dict[str, Genre], dict[int, str]]:
    columns = read_columns(table, ["genre_id", "parent", "title", "top_level"])
    try:
        numbers = [int(number) for number in columns["genre_id"]]
        parents, tops = ([int(number) for number in columns[name]] for name in ("parent", "top_level"))
    except ValueError as error:
        raise DatasetError(f"{table}: a genre has no number ({error}). Get the original.") from None
    titles = dict(zip(numbers, columns["title"], strict=True))
    if unknown := ({*parents, *tops} - {0, *titles}):
        raise DatasetError(f"{table}: genre {min(unknown)} is a parent but has no row. Get the original.")
    tree = zip(columns["title"], parents, tops, strict=True)
    return {title: Genre(title, titles.get(parent, ""), titles[top]) for title, parent, top in tree}, titles


def _read_tracks(table: Path) -> list[dict[str, str]]:
    """The columns in use. The table has three rows of headers: groups, names, and the name of the first column."""
    rows = read_rows(table)
    header = [*zip(next(rows, []), next(rows, []), strict=False)]
    missing = [" ".join(pair) for pair in _COLUMNS.values() if pair not in header]
    third = next(rows, [""])
    if missing or third[0].strip() != "track_id":
        what = (
            f"there is no column {missing[0]!r}"
            if missing
            else f"the third begins with {third[0]!r}, not track_id"
        )
        raise DatasetError(
            f"{table}: three rows of headers are expected, and {what}. Was it saved anew? Get the original."
        )
    places = {name: header.index(pair) for name, pair in _COLUMNS.items()}
    tracks = []
    for row in rows:
        if len(row) < len(header) or not row[0].isdigit():
            raise DatasetError(
                f"{table}: the row of track {row[0]!r} is damaged. Was the file cut off? Get it again."
            )
        tracks.append({"id": f"{int(row[0]):06d}", **{name: row[place].strip() for name, place in places.items()}})
    return tracks


def _numbers(cell: str, titles: dict[int, str]) -> list[int]:
    """Genres of a cell such as ``[76, 103]``."""
    try:
        numbers = json.loads(cell or "[]")
        return [number for number in numbers if titles[number]]
    except (ValueError, KeyError, TypeError):
        raise DatasetError(f"tracks.csv: {cell[:60]!r} is no list of genres of genres.csv") from None
