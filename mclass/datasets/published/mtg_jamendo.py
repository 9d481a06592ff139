"""MTG-Jamendo: 55,000 whole tracks under Creative Commons licences, with genre, instrument and mood tags.

Taught in: 02_datasets.
"""

from __future__ import annotations

import os

import numpy as np

from mclass.datasets.published.reading.audio_files import PARTS, AudioFiles, find_audio, find_root, multi_hot
from mclass.datasets.published.reading.tables import read_rows
from mclass.errors import DatasetError, unknown_name

SUBSETS = {
    "top50": "_top50tags",
    "genre": "_genre",
    "instrument": "_instrument",
    "moodtheme": "_moodtheme",
    "all": "",
}
_FILES = {"train": "train", "valid": "validation", "test": "test"}
_AUDIO = ("audio", "audio-low", "raw_30s/audio", "raw_30s/audio-low", "autotagging_moodtheme/audio", "")


class MTGJamendo(AudioFiles):
    """MTG-Jamendo (Bogdanov et al., 2019), multi-label, with its official splits (no artist is in two parts).

    Parameters
    ----------
    root : path
        The copy of the data set's repository, with ``data/splits``.
    subset : {"top50", "genre", "instrument", "moodtheme", "all"}
        Which tags. Their names begin with their kind: "mood/theme---happy".
    split : int
        0 to 4. Papers report split 0, or the mean of the five.
    sample_rate : int
        In Hz. The files have 44,100 mostly.
    audio : path, optional
        The folder with the folders 00 to 99, if it is not ``audio`` or ``audio-low`` in `root`. Both file names
        occur, ``NN/ID.mp3`` and, in the small version, ``NN/ID.low.mp3``.
    on_error, missing : {"raise", "skip"}
        As for the other published data sets.

    Raises
    ------
    DatasetError
        If the root is another folder, or files are missing or broken.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        subset: str = "top50",
        split: int = 0,
        sample_rate: int = 16_000,
        audio: str | os.PathLike | None = None,
        on_error: str = "raise",
        missing: str = "raise",
    ):
        subset = {"mood/theme": "moodtheme", "mood": "moodtheme", "top50tags": "top50"}.get(subset, subset)
        if subset not in SUBSETS:
            raise ValueError(unknown_name("subset", subset, SUBSETS))
        if split not in range(5):
            raise ValueError(f"split={split!r}; the five official splits are 0 to 4")
        folder = find_root(root, ["splits/split-0"], "the MTG-Jamendo repository", ("", "data"))
        rows, parts = [], []
        for part in PARTS:
            found = read_split(folder / f"splits/split-{split}/autotagging{SUBSETS[subset]}-{_FILES[part]}.tsv")
            rows += found
            parts += [part] * len(found)
        names = sorted({tag for row in rows for tag in row[5:]})
        stems = [(path := os.path.splitext(row[3])[0], f"{path}.low") for row in rows]
        base = folder.parent if folder.name == "data" else folder
        self._set_up(
            "mtg_jamendo",
            find_audio(base, audio, (*_AUDIO, *(f"data/{one}" for one in _AUDIO)), stems),
            stems,
            multi_hot([row[5:] for row in rows], names),
            names,
            sample_rate=sample_rate,
            multilabel=True,
            parts=np.array(parts),
            tracks=[row[0] for row in rows],
            artists=[row[1] for row in rows],
            on_error=on_error,
            missing=missing,
        )


def read_split(path: os.PathLike) -> list[list[str]]:
    """Rows of one of the tables: track, artist, album, path, seconds, and from the sixth cell on its tags.

    The header names six columns whatever the number of tags, which readers of ordinary tables refuse.
    """
    rows = [[cell.strip() for cell in row] for row in read_rows(path, delimiter="\t", quoted=False)]
    if not rows or rows[0][:4] != ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH"]:
        raise DatasetError(f"{path}: does not begin with TRACK_ID, ARTIST_ID, ALBUM_ID, PATH between tabs")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) < 6 or any("---" not in tag for tag in row[5:] if tag):
            raise DatasetError(
                f"{path}, row {number}: no tags (kind---tag) from the sixth cell on. Was it cut off?"
            )
    return [[*row[:5], *filter(None, row[5:])] for row in rows[1:]]
