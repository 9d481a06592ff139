"""MagnaTagATune: 25,863 clips that players of a game described with 188 tags.

Taught in: 02_datasets.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from mclass import vocabulary
from mclass.datasets.published.reading.audio_files import AudioFiles, find_audio, find_root
from mclass.datasets.published.reading.tables import read_columns, read_rows
from mclass.errors import DatasetError, unknown_name

_FOLDERS = {
    "published": {"train": "0123456789ab", "valid": "c", "test": "def"},
    "homework": {"train": "012ab", "valid": "c", "test": "d"},
}
_COMPLETE = 25_863  # rows of the whole table

# Tags that say the same; merged on request under the name that is used most.
SYNONYMS = (
    ("beat", "beats"),
    ("chant", "chanting"),
    ("choir", "choral"),
    ("classical", "clasical", "classic"),
    ("drum", "drums"),
    ("electro", "electronic", "electronica", "electric"),
    ("fast", "fast beat", "quick"),
    ("female", "female singer", "female singing", "female vocals", "female vocal", "female voice", "woman",
     "woman singing", "women"),
    ("flute", "flutes"),
    ("guitar", "guitars"),
    ("hard", "hard rock"),
    ("harpsichord", "harpsicord"),
    ("heavy", "heavy metal", "metal"),
    ("horn", "horns"),
    ("india", "indian"),
    ("jazz", "jazzy"),
    ("male", "male singer", "male vocal", "male vocals", "male voice", "man", "man singing", "men"),
    ("no beat", "no drums"),
    ("no singer", "no singing", "no vocal", "no vocals", "no voice", "no voices", "instrumental"),
    ("opera", "operatic"),
    ("orchestra", "orchestral"),
    ("quiet", "silence"),
    ("singer", "singing"),
    ("space", "spacey"),
    ("string", "strings"),
    ("synth", "synthesizer"),
    ("violin", "violins"),
    ("vocal", "vocals", "voice", "voices"),
    ("strange", "weird"),
)  # fmt: skip


class MagnaTagATune(AudioFiles):
    """MagnaTagATune (Law et al., 2009), multi-label, with the split by folder that most papers use.

    Parameters
    ----------
    root : path
        The folder with ``annotations_final.csv``.
    sample_rate : int
        In Hz. The files have 16,000.
    tags : "top50", "all", or sequence of str
        The fifty most frequent tags in the order of the published weights, all, or your own choice. Clips that
        have none of them are left out (with "all" none is).
    merge_synonyms : bool
        Add up the columns of `SYNONYMS` first; "top50" then means the fifty most frequent of what results.
    subset : {"published", "homework"}
        Folders 0–b for training, c for validation, d–f for testing; or the smaller 0, 1, 2, a, b / c / d.
    audio : path, optional
        The folder with the folders 0 to f, if it is neither `root` nor ``mp3`` in it.
    on_error, missing : {"raise", "skip"}
        As for the other published data sets. Three files of training are empty in the published archive.

    Raises
    ------
    DatasetError
        If the root is another folder, or files are missing or broken.
    """

    KNOWN_FAULTS: ClassVar[dict[str, str]] = {
        "6/norine_braun-now_and_zen-08-gently-117-146.mp3": "empty in the published archive",
        "8/jacob_heringman-josquin_des_prez_lute_settings-19-gintzler__pater_noster-204-233.mp3": (
            "empty in the published archive"
        ),
        "9/american_baroque-dances_and_suites_of_rameau_and_couperin-25-"
        "le_petit_rien_xiveme_ordre_couperin-88-117.mp3": "empty in the published archive",
    }
    PUBLISHED_SIZES: ClassVar[dict[str, int]] = {
        "clips": _COMPLETE,
        "valid": 1529,
        "test": 4332,
    }  # valid, test: with one of the fifty tags

    def __init__(
        self,
        root: str | os.PathLike,
        sample_rate: int = 16_000,
        tags: str | Sequence[str] = "top50",
        merge_synonyms: bool = False,
        subset: str = "published",
        audio: str | os.PathLike | None = None,
        on_error: str = "raise",
        missing: str = "raise",
    ):
        if subset not in _FOLDERS:
            raise ValueError(unknown_name("subset", subset, _FOLDERS))
        folder = find_root(root, ["annotations_final.csv"], "MagnaTagATune")
        numbers, paths, names, hits = _read(folder / "annotations_final.csv")
        if merge_synonyms:
            names, hits = merge(names, hits)
        columns = _choose(names, hits, tags, merge_synonyms)
        labels = hits[:, columns]
        parts = {one: part for part, letters in _FOLDERS[subset].items() for one in letters}
        part = np.array([parts.get(path.split("/")[0], "") for path in paths])
        usual = tags == "top50" and not merge_synonyms
        keep = np.flatnonzero((part != "") & (labels.any(1) if tags != "all" else True))
        if usual and subset == "published" and len(paths) == _COMPLETE:
            self._check_sizes(part[keep])
        artists = _artists(folder / "clip_info_final.csv")
        stems = [os.path.splitext(paths[i])[0] for i in keep]
        self._set_up(
            "magnatagatune",
            find_audio(folder, audio, ("", "mp3", "audio"), stems),
            stems,
            labels[keep],
            [names[column] for column in columns],
            sample_rate=sample_rate,
            multilabel=True,
            parts=part[keep],
            tracks=[_track(stem) for stem in stems],
            artists=[artists.get(numbers[i]) or paths[i].split("/")[-1].split("-")[0] for i in keep],
            on_error=on_error,
            missing=missing,
        )

    def _check_sizes(self, parts: np.ndarray) -> None:
        for part in ("valid", "test"):
            found, published = np.count_nonzero(parts == part), self.PUBLISHED_SIZES[part]
            if found != published:
                warnings.warn(
                    f"MagnaTagATune: the {part} part has {found:,} clips, the published one {published:,}: is "
                    "annotations_final.csv the original? Scores will not be comparable.",
                    stacklevel=3,
                )


def _read(table: os.PathLike) -> tuple[list[str], list[str], list[str], np.ndarray]:
    """Numbers and paths of the clips, names of the tags, and which clip has which (clips, tags)."""
    rows = read_rows(table, delimiter="\t")
    header = [name.strip() for name in next(rows)]
    if header[0] != "clip_id" or header[-1] != "mp3_path":
        raise DatasetError(
            f"{table}: the columns are clip_id, 188 tags and mp3_path between tabs; found "
            f"{', '.join(header[:3])}, … {header[-1]}. Was it saved by a spreadsheet? Get the original."
        )
    numbers, paths, hits = [], [], []
    for number, row in enumerate(rows, start=2):
        try:
            hits.append(np.array(row[1:-1], np.uint8))
        except ValueError:
            hits.append(np.array([]))
        if len(row) != len(header) or len(hits[-1]) != len(header) - 2:
            raise DatasetError(f"{table}, row {number}: is damaged. Was the file cut off? Get it again.")
        numbers.append(row[0])
        paths.append(row[-1].strip())
    return numbers, paths, header[1:-1], np.array(hits, np.uint8).reshape(len(paths), len(header) - 2)


def merge(names: Sequence[str], hits: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Add up the columns of synonyms.

    Parameters
    ----------
    names : sequence of str
        Of the columns.
    hits : np.ndarray, shape (clips, tags)
        Zeros and ones.

    Returns
    -------
    names : list of str
        Each group of `SYNONYMS` has the name of its most frequent member, in its place.
    hits : np.ndarray, shape (clips, fewer tags)

    Examples
    --------
    >>> merge(["beats", "lute", "beat"], np.array([[1, 0, 0], [1, 1, 1]]))
    (['beats', 'lute'], array([[1, 0], [1, 1]]))
    """
    names, hits = list(names), hits.copy()
    dropped = set()
    for group in SYNONYMS:
        columns = [names.index(name) for name in group if name in names]
        if len(columns) > 1:
            first = max(columns, key=lambda column: hits[:, column].sum())
            hits[:, first] = hits[:, columns].max(1)
            dropped |= {*columns} - {first}
    kept = [column for column in range(len(names)) if column not in dropped]
    return [names[column] for column in kept], hits[:, kept]


def _choose(names: list[str], hits: np.ndarray, tags: str | Sequence[str], merged: bool) -> list[int]:
    if tags == "all":
        return [*range(len(names))]
    if tags == "top50" and merged:
        return np.argsort(-hits.sum(0, dtype=int), kind="stable")[:50].tolist()
    wanted = vocabulary.MAGNATAGATUNE if tags == "top50" else [tags] if isinstance(tags, str) else tags
    unknown = [tag for tag in wanted if tag not in names]
    if unknown:
        hint = " It was merged into a synonym." if merged else ""
        raise DatasetError(f"annotations_final.csv: {unknown_name('tag', unknown[0], names[:60])}.{hint}")
    return [names.index(tag) for tag in wanted]


def _artists(table: os.PathLike) -> dict[str, str]:
    """Clip number -> artist; empty if the table is not there (the file names begin with the artist, too)."""
    if not os.path.exists(table):
        return {}
    columns = read_columns(table, ["clip_id", "artist"], delimiter="\t")
    return dict(zip(columns["clip_id"], columns["artist"], strict=True))


def _track(stem: str) -> str:
    """A path without the seconds at which the clip begins and ends."""
    return re.sub(r"-\d+-\d+$", "", stem.split("/")[-1])
