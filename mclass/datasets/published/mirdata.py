"""Whatever the library mirdata has (IRMAS, Medley-solos-DB, TinySOL, …) as a data set of the course: one adapter.

Taught in: 02_datasets.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mclass._utils.files import user_path
from mclass.datasets.published.reading.audio_files import PARTS, AudioFiles, multi_hot
from mclass.errors import DatasetError, unknown_name

Reader = str | Callable[[Any], Any]  # a track's attribute, or a function of the track


class Fields(NamedTuple):
    """Where a data set keeps its label, its group (artist, song, instrument) and its split."""

    label: Reader
    group: Reader | None = None
    split: Reader | None = None


KNOWN = {
    "irmas": Fields("instrument", None, "split"),
    "medley_solos_db": Fields("instrument", "song_id", "subset"),
    "tinysol": Fields("instrument_full"),
    "mridangam_stroke": Fields("stroke_name"),
    "ballroom": Fields("genre"),
    "gtzan_genre": Fields("genre"),
    "mtg_jamendo_autotagging_moodtheme": Fields("tags", "artist_id"),
}
_PARTS = {"training": "train", "validation": "valid", "val": "valid", "testing": "test"}


class Mirdata(AudioFiles):
    """A data set that mirdata (Bittner et al., 2019) knows, downloaded by it.

    ``mirdata.initialize("irmas", data_home=root).download()`` fetches one; this class then gives it the interface
    of the course. Tracks without audio are left out.

    Parameters
    ----------
    root : path
        mirdata's ``data_home``.
    dataset : str
        mirdata's name: "irmas", "medley_solos_db", "tinysol", ….
    label : str or callable, optional
        A track's attribute, or a function that takes a track: a label, several of them, or None to leave the track
        out. For the data sets in `KNOWN` it is known.
    group : str or callable, optional
        What must not be shared between parts, in the same way: artist, song, instrument.
    split : str or callable, optional
        The published part, in the same way. Names other than train, valid (validation) and test are no part.
    sample_rate : int
        In Hz.
    version : str
        mirdata's version of the data set.
    on_error, missing : {"raise", "skip"}
        As for the other published data sets.

    Raises
    ------
    DatasetError
        If mirdata is not installed, its index is not downloaded, a track has no such attribute, or files are
        missing.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        dataset: str,
        label: Reader | None = None,
        group: Reader | None = None,
        split: Reader | None = None,
        sample_rate: int = 16_000,
        version: str = "default",
        on_error: str = "raise",
        missing: str = "raise",
    ):
        known = KNOWN.get(dataset)
        if known is None and label is None:
            raise ValueError(
                f"{unknown_name('dataset', dataset, KNOWN)}. For others say where the label is: label='genre', or "
                "label=lambda track: …"
            )
        fields = Fields(label or known.label, group or (known and known.group), split or (known and known.split))
        tracks = _tracks(dataset, root, version)
        rows = {name: _labels(_get(dataset, track, fields.label)) for name, track in tracks.items()}
        tracks = {name: track for name, track in tracks.items() if rows[name] is not None and track.audio_path}
        if not tracks:
            raise DatasetError(f"{dataset}: no track has audio and a label ({fields.label!r})")
        labels = [rows[name] for name in tracks]
        paths = [Path(track.audio_path).absolute() for track in tracks.values()]
        folder = user_path(root).absolute()
        outside = [path for path in paths if not path.is_relative_to(folder)]
        if outside:
            raise DatasetError(
                f"root={str(root)!r}: mirdata looks for {outside[0]} elsewhere. Give its data_home."
            )
        parts = [_part(_get(dataset, track, fields.split)) if fields.split else "" for track in tracks.values()]
        groups = [str(_get(dataset, track, fields.group)) for track in tracks.values()] if fields.group else None
        tags = sorted({tag for row in labels for tag in row})
        self._set_up(
            f"mirdata:{dataset}",
            folder,
            [os.path.splitext(path.relative_to(folder).as_posix())[0] for path in paths],
            multi_hot(labels, tags),
            tags,
            sample_rate=sample_rate,
            multilabel=any(len(row) != 1 for row in labels),
            parts=np.array(parts),
            tracks=[*tracks],
            artists=groups,
            on_error=on_error,
            missing=missing,
        )


def _tracks(dataset: str, root: str | os.PathLike, version: str) -> dict[str, Any]:
    try:
        import mirdata
    except ImportError as error:
        raise DatasetError(f"this needs the library mirdata: pip install mirdata ({error})") from None
    if dataset not in mirdata.list_datasets():
        raise ValueError(unknown_name("dataset", dataset, mirdata.list_datasets()))
    fetch = f"mirdata.initialize({dataset!r}, data_home={str(root)!r}).download()"
    try:
        return mirdata.initialize(dataset, data_home=str(user_path(root)), version=version).load_tracks()
    except (FileNotFoundError, NotImplementedError, AttributeError, ValueError) as error:
        raise DatasetError(f"mirdata cannot load {dataset!r}: {error} To fetch it: {fetch}") from None


def _get(dataset: str, track: Any, reader: Reader) -> Any:
    if callable(reader):
        return reader(track)
    try:
        return getattr(track, reader)
    except AttributeError:
        names = [name for name in dir(track) if not name.startswith("_")]
        raise DatasetError(f"{dataset}: {unknown_name('attribute of a track', reader, names)}") from None
    except (OSError, KeyError) as error:
        raise DatasetError(f"{dataset}: the {reader} of a track cannot be read: {error}") from None


def _labels(value: Any) -> list[str] | None:
    if value is None or value == "":
        return None
    values = value if isinstance(value, list | tuple | set | np.ndarray) else [value]
    return sorted({str(one) for one in values}) or None


def _part(value: Any) -> str:
    name = str(value).strip().lower()
    name = _PARTS.get(name, name)
    return name if name in PARTS else ""
