"""The Million Song Dataset with Last.fm's tags: split lists that are public, audio that everybody brings along.

Taught in: 02_datasets.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mclass import vocabulary
from mclass._utils.files import user_path
from mclass.datasets.folder import split_tags
from mclass.datasets.published.reading import pickles
from mclass.datasets.published.reading.audio_files import PARTS, AudioFiles, find_audio, find_root, multi_hot
from mclass.datasets.published.reading.tables import read_columns, read_json, read_rows
from mclass.errors import DatasetError, unknown_name

_MARKERS = {"cals": "train_ids.npy", "lastfm": "filtered_list_train.cP"}
_LASTFM_TRAIN, _LASTFM_BOTH = 201_680, 213_454  # the list of training clips ends with those of validation
_PARTS = {"training": "train", "validation": "valid", "val": "valid", "testing": "test"}


class MillionSong(AudioFiles):
    """The Million Song Dataset (Bertin-Mahieux et al., 2011) with fifty tags of Last.fm, multi-label.

    Parameters
    ----------
    root : path
        The folder with the lists of the split, or the one around it (``splits``).
    split : str or path
        * ``"cals"``: cleaned, stratified, no artist in two parts (Won et al., 2021): ``train_ids.npy``,
          ``train_binaries.npy`` and so on;
        * ``"lastfm"``: the older one, which shares artists between its parts: ``filtered_list_train.cP``,
          ``filtered_list_test.cP``, ``msd_id_to_tag_vector.cP`` and ``50tagList.txt``. These are pickles; they are
          read without running any code in them;
        * a table of your own: CSV or TSV with the columns track_id, split and tags (between ``|``); JSON,
          ``{track_id: {"split": …, "tags": […]}}``; or npz with the arrays track_id, split, labels and tags.
    student : bool
        With "cals", the unlabelled tracks for semi-supervised learning instead of the labelled ones: of these no
        label is `known`.
    sample_rate : int
        In Hz.
    audio : path, optional
        The folder of the audio, if it is not ``audio`` in `root`: ``A/B/C/TRABC….wav`` (the third to fifth letter
        of the track), or all in one folder, or as 7digital numbered them if ``MSD_id_to_7D_id.pkl`` and
        ``7D_id_to_path.pkl`` are there. Any format of audio.
    on_error, missing : {"raise", "skip"}
        As for the other published data sets.

    Raises
    ------
    DatasetError
        If the root is another folder, or files are missing or broken.
    """

    PUBLISHED_SIZES: ClassVar[dict[str, int]] = {"train": 163_504, "valid": 34_730, "test": 34_913}  # CALS

    def __init__(
        self,
        root: str | os.PathLike,
        split: str | os.PathLike = "cals",
        student: bool = False,
        sample_rate: int = 16_000,
        audio: str | os.PathLike | None = None,
        on_error: str = "raise",
        missing: str = "raise",
    ):
        if student and split != "cals":
            raise ValueError(f"split={str(split)!r} has no student part; split='cals' has")
        if str(split) in _MARKERS:
            folder = find_root(root, [_MARKERS[split]], "the Million Song Dataset's lists", ("", "splits"))
            tracks, parts, labels, tags = _cals(folder, student) if split == "cals" else _lastfm(folder)
        else:
            folder = find_root(root, [""], "a folder")
            tracks, parts, labels, tags = _own(folder, user_path(split))
        wrong = [track for track in tracks if len(track) < 5 or not track.startswith("TR")]
        if wrong:
            raise DatasetError(
                f"{folder}: {wrong[0]!r} is no track of the Million Song Dataset (TRAAAAW128F429D538)"
            )
        elsewhere = _seven_digital(folder)
        stems = [
            tuple(filter(None, (f"{one[2]}/{one[3]}/{one[4]}/{one}", one, elsewhere.get(one)))) for one in tracks
        ]
        base = folder.parent if folder.name == "splits" else folder
        self._set_up(
            "million_song",
            find_audio(base, audio, ("audio", "songs", ""), stems),
            stems,
            labels,
            tags,
            sample_rate=sample_rate,
            multilabel=True,
            parts=parts,
            tracks=tracks,
            artists=_artists(folder, tracks),
            on_error=on_error,
            missing=missing,
        )
        if student:
            self.known = np.zeros(self.labels.shape, bool)


Lists = tuple[list[str], list[str], np.ndarray, list[str]]  # tracks, parts, labels, tags


def _cals(folder: Path, student: bool) -> Lists:
    tracks, parts, labels = [], [], []
    for part in ("student",) if student else PARTS:
        ids = _array(folder / f"{part}_ids.npy").astype(str).tolist()
        rows = np.zeros((len(ids), 50)) if student else _array(folder / f"{part}_binaries.npy")
        if rows.shape != (len(ids), 50):
            raise DatasetError(
                f"{folder}: {part}_binaries.npy has the shape {rows.shape}, for {len(ids)} tracks and 50 tags. "
                f"Are "
                "the files of one version?"
            )
        tracks += ids
        parts += ["" if student else part] * len(ids)
        labels.append(rows)
    return tracks, parts, np.concatenate(labels) > 0, list(vocabulary.MSD_CALS)


def _array(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file; the list of the split is not complete") from None
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(
            f"{path}: is damaged, or holds Python objects, which are not loaded ({error})"
        ) from None


def _lastfm(folder: Path) -> Lists:
    lists = {
        part: [_text(one) for one in pickles.read(folder / f"filtered_list_{part}.cP")]
        for part in ("train", "test")
    }
    # A shortened list keeps the proportion.
    cut = round(len(lists["train"]) * _LASTFM_TRAIN / _LASTFM_BOTH)
    both, test = lists["train"], lists["test"]
    parts = ["train"] * cut + ["valid"] * (len(both) - cut) + ["test"] * len(test)
    vectors = {_text(key): value for key, value in pickles.read(folder / "msd_id_to_tag_vector.cP").items()}
    tracks = both + test
    without = [track for track in tracks if track not in vectors]
    if without:
        raise DatasetError(
            f"{folder}: {len(without)} tracks have no tag vector, first {without[0]}. Get the lists again."
        )
    tags = [row[0].strip() for row in read_rows(folder / "50tagList.txt", delimiter="\t")]
    labels = np.array([np.asarray(vectors[track]).ravel() for track in tracks]) > 0
    if labels.shape[1] != len(tags):
        raise DatasetError(f"{folder}: tag vectors of {labels.shape[1]} numbers for {len(tags)} tags")
    return tracks, parts, labels, tags


def _own(folder: Path, path: Path) -> Lists:
    path = next((one for one in (path, folder / path) if one.is_file()), None) or path
    kind = path.suffix.lower()
    if kind == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            try:
                tracks, parts, labels, tags = (arrays[name] for name in ("track_id", "split", "labels", "tags"))
            except (KeyError, ValueError) as error:
                raise DatasetError(
                    f"{path}: needs the arrays track_id, split, labels and tags ({error})"
                ) from None
        tracks, tags = tracks.astype(str).tolist(), tags.astype(str).tolist()
        parts = [_part(path, one) for one in parts.astype(str)]
        if labels.shape != (len(tracks), len(tags)) or len(parts) != len(tracks):
            raise DatasetError(
                f"{path}: labels have the shape {labels.shape}, for {len(tracks)} tracks, {len(tags)} tags"
            )
        return tracks, parts, labels > 0, tags
    if kind == ".json":
        content: Any = read_json(path)
        try:
            found = [(track, one["split"], [str(tag) for tag in one["tags"]]) for track, one in content.items()]
        except (AttributeError, KeyError, TypeError) as error:
            raise DatasetError(f"{path}: is not {{track_id: {{'split': …, 'tags': […]}}}} ({error!r})") from None
    elif kind in (".csv", ".tsv"):
        columns = read_columns(path, ["track_id", "split", "tags"], delimiter="\t" if kind == ".tsv" else ",")
        rows = zip(*columns.values(), strict=True)
        try:
            found = [(track, part, split_tags(cell)) for track, part, cell in rows]
        except ValueError as error:
            raise DatasetError(f"{path}: a cell of tags {error}. Write the tags between |: guitar|slow") from None
    else:
        raise ValueError(
            f"{unknown_name('split', str(path), _MARKERS)}; or a .csv, .tsv, .json or .npz file of yours"
        )
    tags = sorted({tag for *_, row in found for tag in row})
    parts = [_part(path, part) for _, part, _ in found]
    return [track for track, *_ in found], parts, multi_hot([row for *_, row in found], tags), tags


def _part(path: Path, name: str) -> str:
    part = _PARTS.get(name.strip().lower(), name.strip().lower())
    if part not in (*PARTS, ""):
        raise DatasetError(f"{path}: {unknown_name('split', name, PARTS)}")
    return part


def _seven_digital(folder: Path) -> dict[str, str]:
    """Track -> path of 7digital's preview without its suffix, if the two tables are there."""
    tables = folder / "MSD_id_to_7D_id.pkl", folder / "7D_id_to_path.pkl"
    if not all(table.exists() for table in tables):
        return {}
    numbers, paths = ({_text(a): _text(b) for a, b in pickles.read(table).items()} for table in tables)
    return {track: os.path.splitext(paths[number])[0] for track, number in numbers.items() if number in paths}


def _artists(folder: Path, tracks: list[str]) -> list[str] | None:
    """Artists by ``unique_tracks.txt`` of the Million Song Dataset, if it is there."""
    table = folder / "unique_tracks.txt"
    if not table.exists():
        return None
    rows = (row[0].split("<SEP>") for row in read_rows(table, delimiter="\0", quoted=False))
    artists = {row[0]: row[2] for row in rows if len(row) >= 3}
    return [artists.get(track, track) for track in tracks]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
