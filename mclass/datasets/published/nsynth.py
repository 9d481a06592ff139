"""NSynth: 306,000 single notes of 1,006 instruments.

Taught in: 02_datasets.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import ClassVar

from mclass._utils.files import user_path
from mclass.datasets.folder import audio_below
from mclass.datasets.published.reading.audio_files import PARTS, AudioFiles, find_root, one_hot
from mclass.datasets.published.reading.tables import read_json
from mclass.errors import DatasetError, unknown_name

FAMILIES = (
    "bass", "brass", "flute", "guitar", "keyboard", "mallet", "organ", "reed", "string", "synth_lead", "vocal",
)  # fmt: skip
SOURCES = ("acoustic", "electronic", "synthetic")
_NOTE = re.compile(r"((?P<family>[a-z_]+)_(?P<source>acoustic|electronic|synthetic)_\d{3})-(\d{3})-(\d{3})")


class NSynth(AudioFiles):
    """NSynth (Engel et al., 2017), single-label: the family or the source of each note's instrument.

    The group of a note, `artist_ids`, is its instrument: notes of one instrument sound alike. No instrument of
    training is in another published part; validation and test share instruments.

    Parameters
    ----------
    root : path
        The folder with ``nsynth-train``, ``nsynth-valid`` and ``nsynth-test``; or any folder of notes that all
        have NSynth's names, which is then split at random by instrument.
    label : {"family", "source"}
    sample_rate : int
        In Hz. The files have 16,000.
    on_error, missing : {"raise", "skip"}
        As for the other published data sets.

    Attributes
    ----------
    pitches, velocities : list of int
        MIDI numbers of each note.

    Raises
    ------
    DatasetError
        If the root is another folder, or files are missing or broken.
    """

    PUBLISHED_SIZES: ClassVar[dict[str, int]] = {
        "clips": 305_979,
        "train": 289_205,
        "valid": 12_678,
        "test": 4_096,
    }

    def __init__(
        self,
        root: str | os.PathLike,
        label: str = "family",
        sample_rate: int = 16_000,
        on_error: str = "raise",
        missing: str = "raise",
    ):
        if label not in ("family", "source"):
            raise ValueError(unknown_name("label", label, ("family", "source")))
        folder, found = _published(root) or _loose(root)
        matches = [_NOTE.fullmatch(stem.rpartition("/")[2]) for stem, _ in found]
        wrong = [stem for (stem, _), match in zip(found, matches, strict=True) if match is None]
        if wrong:
            raise DatasetError(
                f"{folder}: {wrong[0]!r} is not a name of NSynth's, such as bass_electronic_000-036-100"
            )
        classes = [match[label] for match in matches]
        known = FAMILIES if label == "family" else SOURCES
        unknown = [one for one in classes if one not in known]
        if unknown:
            raise DatasetError(f"{folder}: {unknown_name(label, unknown[0], known)}")
        tags = [one for one in known if one in set(classes)]
        kept = self._set_up(
            "nsynth",
            folder,
            [stem for stem, _ in found],
            one_hot(classes, tags),
            tags,
            sample_rate=sample_rate,
            multilabel=False,
            parts=[part for _, part in found],
            tracks=[stem for stem, _ in found],
            artists=[match[1] for match in matches],
            on_error=on_error,
            missing=missing,
        )
        self.pitches = [int(matches[i][4]) for i in kept]
        self.velocities = [int(matches[i][5]) for i in kept]


def _published(root: str | os.PathLike) -> tuple[Path, list[tuple[str, str]]] | None:
    """Path below the root (no suffix) and part of each note that the examples.json files list."""
    path = user_path(root)
    folders = {
        part: one for part in PARTS for one in (part, f"nsynth-{part}") if (path / one / "examples.json").is_file()
    }
    if not folders:
        return None
    found = []
    for part, one in folders.items():
        examples = read_json(path / one / "examples.json")
        if not isinstance(examples, dict):
            raise DatasetError(f"{path / one / 'examples.json'}: holds no notes by name. Get it again.")
        found += [(f"{one}/audio/{note}", part) for note in examples]
    return path.resolve(), found


def _loose(root: str | os.PathLike) -> tuple[Path, list[tuple[str, str]]]:
    path = user_path(root)
    # Close to an original its split would be lost without a word: `find_root` says where the original begins.
    near = (path.parent, path, *path.glob("*"), *path.glob("*/*")) if path.is_dir() else ()
    if not any((one / "examples.json").exists() for one in near):
        found = audio_below(path) if near else []
        notes = [one for one in found if _NOTE.fullmatch(Path(one).stem)]
        others = [one for one in found if not _NOTE.fullmatch(Path(one).stem)]
        if notes and others:
            raise DatasetError(
                f"{path}: {len(others)} of {len(found)} audio files do not have the names of NSynth's notes, such "
                f"as {others[0]!r}. Give a folder of notes alone; your own recordings are the data set 'folder'."
            )
        if notes:
            return path.resolve(), [(os.path.splitext(one)[0], "") for one in notes]
    markers = [f"nsynth-{part}/examples.json" for part in PARTS]
    return find_root(root, markers, "NSynth"), []
