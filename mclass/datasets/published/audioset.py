"""AudioSet's music branch: ten-second segments of videos; the labels are public, the audio is brought along.

Taught in: 02_datasets.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from mclass._utils.files import user_path
from mclass.datasets.published.reading.audio_files import AudioFiles, find_audio, find_root, multi_hot
from mclass.datasets.published.reading.tables import read_json, read_rows
from mclass.errors import DatasetError, unknown_name

_TRAIN = {
    "balanced": ("balanced_train",),
    "unbalanced": ("unbalanced_train",),
    "both": ("balanced_train", "unbalanced_train"),
}


class Segment(NamedTuple):
    """A part of a video: its id, where it begins and ends in seconds, and the ids of its labels."""

    video: str
    start: float
    end: float
    labels: tuple[str, ...]


class AudioSet(AudioFiles):
    """The segments of AudioSet (Gemmeke et al., 2017) with a label of one branch of its ontology, multi-label.

    Videos disappear: expect to use ``missing="skip"``, and to say how many were there.

    Parameters
    ----------
    root : path
        The folder with ``ontology.json``, ``balanced_train_segments.csv`` and ``eval_segments.csv``.
    branch : str
        The name of the class whose descendants (and itself) are the tags: "Music", "Musical instrument", ….
    train : {"balanced", "unbalanced", "both"}
        Which training segments. No validation part is published; it is drawn from training, see `splits`.
    ancestors : bool
        Also give each segment the classes above its labels, which annotators did not always do.
    sample_rate : int
        In Hz.
    audio : path, optional
        The folder of the audio, if it is not ``audio`` in `root`, or folders in it (bal_train, unbal_train, eval).
        Files are named by the video, ``ID``, ``YID`` or ``ID_start`` (or ``ID_start_end``) in seconds or
        milliseconds, and hold the segment alone. Any format of audio.
    on_error, missing : {"raise", "skip"}
        As for the other published data sets.

    Attributes
    ----------
    parents : dict of str to list of str
        The classes directly above each tag, by name.

    Raises
    ------
    DatasetError
        If the root is another folder, or files are missing or broken.
    """

    PUBLISHED_SIZES: ClassVar[dict[str, int]] = {"balanced_train": 22_160, "eval": 20_371}  # before the branch

    def __init__(
        self,
        root: str | os.PathLike,
        branch: str = "Music",
        train: str = "balanced",
        ancestors: bool = False,
        sample_rate: int = 16_000,
        audio: str | os.PathLike | None = None,
        on_error: str = "raise",
        missing: str = "raise",
    ):
        if train not in _TRAIN:
            raise ValueError(unknown_name("train", train, _TRAIN))
        folder = find_root(root, ["ontology.json"], "AudioSet", ("", "metadata", "ontology"))
        classes = _read_ontology(folder / "ontology.json")
        names = {one: entry["name"] for one, entry in classes.items()}
        members = _branch(classes, branch)
        above = _above(classes)
        usable = [one for one in members if not {"abstract", "blacklist"} & {*classes[one]["restrictions"]}]
        segments, parts = [], []
        for table, part in (*((name, "train") for name in _TRAIN[train]), ("eval", "test")):
            found = read_segments(_table(folder, f"{table}_segments.csv"))
            if ancestors:
                found = [one._replace(labels=_closed(one.labels, above)) for one in found]
            found = [one for one in found if {*one.labels} & {*usable}]
            segments += found
            parts += [part] * len(found)
        stems = [_stems(one) for one in segments]
        base = folder if folder.name not in ("metadata", "ontology") else folder.parent
        self._set_up(
            "audioset",
            find_audio(base, audio, ("audio", "wav", "audios", ""), stems),
            stems,
            multi_hot(
                [[names.get(one, "") for one in segment.labels] for segment in segments],
                [names[one] for one in usable],
            ),
            [names[one] for one in usable],
            sample_rate=sample_rate,
            multilabel=True,
            parts=np.array(parts),
            tracks=[one.video for one in segments],
            on_error=on_error,
            missing=missing,
        )
        self.parents = {names[one]: [names[parent] for parent in above.get(one, ())] for one in usable}


def _table(folder: Path, name: str) -> Path:
    return next((one for one in (folder / name, folder.parent / name) if one.exists()), folder / name)


def read_segments(path: os.PathLike) -> list[Segment]:
    """The segments of a table: ``video, start, end, "/m/1,/m/2"`` below comment lines that begin with ``#``."""
    found = []
    for number, row in enumerate(read_rows(user_path(path)), start=1):
        if row[0].startswith("#"):
            continue
        try:
            video, start, end, labels = row
            found.append(Segment(video.strip(), float(start), float(end), tuple(labels.strip().split(","))))
        except ValueError:
            raise DatasetError(
                f'{path}, line {number}: {row!r} is not: video, start, end, "labels". Was it saved by a '
                "spreadsheet? Get the original."
            ) from None
    return found


def _read_ontology(path: Path) -> dict[str, dict]:
    content = read_json(path)
    try:
        return {
            one["id"]: {"name": one["name"], "child_ids": one["child_ids"], "restrictions": one["restrictions"]}
            for one in content
        }
    except (TypeError, KeyError) as error:
        raise DatasetError(f"{path}: is not the ontology: {error!r} is missing. Get the original.") from None


def _branch(classes: dict[str, dict], branch: str) -> list[str]:
    """Ids of the class named `branch` and all below it, each once, parents first."""
    start = [one for one, entry in classes.items() if entry["name"] == branch]
    if not start:
        raise ValueError(unknown_name("branch", branch, sorted(entry["name"] for entry in classes.values())[:40]))
    found, waiting = [], start
    while waiting:
        one = waiting.pop(0)
        if one not in found and one in classes:
            found.append(one)
            waiting = [*classes[one]["child_ids"], *waiting]
    return found


def _above(classes: dict[str, dict]) -> dict[str, list[str]]:
    parents: dict[str, list[str]] = {}
    for one, entry in classes.items():
        for child in entry["child_ids"]:
            parents.setdefault(child, []).append(one)
    return parents


def _closed(labels: Sequence[str], above: dict[str, list[str]]) -> tuple[str, ...]:
    found, waiting = [], [*labels]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.append(one)
            waiting += above.get(one, ())
    return tuple(found)


def _stems(segment: Segment) -> tuple[str, ...]:
    """The names that the file of a segment goes by in copies of AudioSet, the most exact first."""
    video, start, end = segment.video, segment.start, segment.end
    times = [f"_{start:.3f}_{end:.3f}", f"_{start:.3f}", f"_{start:g}_{end:g}", f"_{start:g}"]
    times += [f"_{1000 * start:.0f}_{1000 * end:.0f}", f"_{1000 * start:.0f}", ""]
    names = [f"{prefix}{video}{time}" for time in times for prefix in ("", "Y")]
    return tuple(f"{folder}{name}" for folder in ("", "bal_train/", "unbal_train/", "eval/") for name in names)
