"""GTZAN: 1,000 half-minute clips of ten genres, and the split that leaves its known faults out.

Taught in: 02_datasets.
"""

from __future__ import annotations

import os
from typing import ClassVar

import numpy as np

from mclass.datasets.published.reading.audio_files import AudioFiles, find_root, one_hot

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")

# Numbers of the clips in the fault-filtered split (Kereliuk et al., 2015), as torchaudio ships them.
_FILTERED = {
    "train": {
        "blues": "29-49 73-97",
        "classical": "30-33 43-48 50-67 80-99",
        "country": "19-26 28-29 65-99",
        "disco": "5 15-20 22-37 39-45 47 49 53-54 56-57 59 61 70 73-74 89",
        "hiphop": "2-25 28-29 31-38 41-42 55-61 77-80",
        "jazz": "0-1 11-24 41 47-72",
        "metal": "2-3 5 21 24 35 46-57 59-66 69 71-72 79-80 84 86 89-99",
        "pop": "2-9 11-12 16-20 23-29 31-36 38-42 44 46 49-50 80 97-99",
        "reggae": "0-2 4 6 9 11-12 14-32 42-45 49-51 54-60 63 69",
        "rock": "0-9 16-26 57-70 91-99",
    },
    "valid": {
        "blues": "0-11 50-60",
        "classical": "0-10 68-76",
        "country": "0-7 9-18 27 41-42 45 49",
        "disco": "0 2-4 6-14 46 48 52 67-68 72 75 90 95",
        "hiphop": "81-98",
        "jazz": "2-10 25-32",
        "metal": "0-1 6-11 16-20 36-37 68 76-77 81-82",
        "pop": "10 53 55 58-62 81 83-86",
        "reggae": "61-62 70 72 74 76-78 85 92-99",
        "rock": "38 49-56 71-85",
    },
    "test": {
        "blues": "12-28 61-72 98-99",
        "classical": "11-29 34-41 49 77-79",
        "country": "30-40 43-44 46-48 50-51 53-64",
        "disco": "1 21 58 62-66 69 76-88 91-94 96-97 99",
        "hiphop": "0 26-27 30 40 43-45 51-54 62-75 99",
        "jazz": "73-99",
        "metal": "12-15 22-23 25-33 38-39 67 70 73-75 78 83 85 87-88",
        "pop": "0-1 13-14 43 63-66 69-79 82 88-96",
        "reggae": "34-40 46-48 52-53 64-68 71 79 82-84 87-90",
        "rock": "10-15 27-37 39-48 86-90",
    },
}


def filtered_split() -> dict[str, str]:
    """Part ("train", "valid", "test") of each clip of the fault-filtered split, as in "blues.00029".

    Examples
    --------
    >>> parts = filtered_split()
    >>> len(parts), parts["blues.00029"], "blues.00030" in parts
    (930, 'train', True)
    """
    parts = {}
    for part, genres in _FILTERED.items():
        for genre, ranges in genres.items():
            for text in ranges.split():
                first, _, last = text.partition("-")
                for number in range(int(first), int(last or first) + 1):
                    parts[f"{genre}.{number:05d}"] = part
    return parts


class GTZAN(AudioFiles):
    """GTZAN (Tzanetakis & Cook, 2002), single-label.

    ``splits()`` is the fault-filtered split (443, 197 and 290 clips; 70 repeated, distorted or mislabelled ones
    are in no part, and no artist is in two); ``splits(by="clip")`` the naive random one, which flatters a model.

    Parameters
    ----------
    root : path
        The folder with the ten folders of genres, or the one around it.
    sample_rate : int
        In Hz. The files have 22,050.
    on_error : {"raise", "skip"}
        What to do with files that cannot be read: in the common copy ``jazz.00054.wav`` is one. "raise" looks at
        that file only, "skip" reads all headers.
    missing : {"raise", "skip"}
        What to do with a copy that is not complete.

    Raises
    ------
    DatasetError
        If the root is another folder, or files are missing or broken.
    """

    KNOWN_FAULTS: ClassVar[dict[str, str]] = {
        "jazz/jazz.00054.wav": "not audio in the common copy; part of the fault-filtered training split",
    }
    PUBLISHED_SIZES: ClassVar[dict[str, int]] = {"clips": 1000, "train": 443, "valid": 197, "test": 290}

    def __init__(
        self,
        root: str | os.PathLike,
        sample_rate: int = 16_000,
        on_error: str = "raise",
        missing: str = "raise",
    ):
        inside = ("", "genres", "genres_original", "Data/genres_original")
        folder = find_root(root, GENRES, "GTZAN", inside)
        names = [f"{genre}.{number:05d}" for genre in GENRES for number in range(100)]
        genres = [name.split(".")[0] for name in names]
        parts = filtered_split()
        self._set_up(
            "gtzan",
            folder,
            [f"{genre}/{name}" for genre, name in zip(genres, names, strict=True)],
            one_hot(genres, GENRES),
            GENRES,
            sample_rate=sample_rate,
            multilabel=False,
            parts=np.array([parts.get(name, "") for name in names]),
            on_error=on_error,
            missing=missing,
        )
