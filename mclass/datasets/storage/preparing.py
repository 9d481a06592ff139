"""Decode a data set once: after that a crop is a read from disk.

A prepared data set is a folder::

    manifest.json    what it is: tags, rate, encoding, splits, versions, what was left out, its fingerprint
    clips.csv        a row per clip: name, SHA-256 of its source file, digest of its samples, length
    arrays.npz       labels, tracks, artists, splits, lengths
    waveforms.i16    all samples, one clip after another (or .f16, .f32; or clips/000/000000.flac, a file per clip)

Taught in: 02_datasets.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

import mclass
from mclass._utils.download import file_sha256
from mclass._utils.files import replacing, sweep, user_path
from mclass._utils.text import visible
from mclass.datasets.base import MusicDataset
from mclass.datasets.storage._unfinished import unfinished
from mclass.datasets.storage.prepared import FORMAT, Prepared, flac_name, stored_digest, to_int16
from mclass.datasets.workers import chunked, clip_name, map_clips, source_path, split_indices
from mclass.errors import AudioError, DatasetError, unknown_name

# name -> how samples are kept in one file; flac has a file per clip
ENCODINGS = {"int16": "<i2", "float16": "<f2", "float32": "<f4", "flac": None}
_FLAC_SHARE = 0.7  # of the bytes of 16-bit samples; music takes 0.4 to 0.7


def prepare(
    dataset: MusicDataset,
    out: str | os.PathLike,
    encoding: str = "int16",
    *,
    workers: int = -1,
    on_error: str = "raise",
    progress: bool = True,
) -> Prepared:
    """Decode every clip of a data set into a folder that `Prepared` reads.

    The folder appears when it is complete. Until then a hidden one beside it holds what is finished: after a kill,
    a crash or a full disk the same call goes on from there. What comes out does not depend on the number of
    processes, or on interruptions.

    Parameters
    ----------
    dataset : MusicDataset
        At the rate wanted: give the rate to `mclass.datasets.load`.
    out : path
        A folder that does not exist yet. If it already holds what would be made, nothing is done.
    encoding : {"int16", "float16", "float32", "flac"}
        ``"float32"`` returns exactly the data set's samples. ``"int16"`` and ``"flac"`` are within 1/32768 of them
        inside [-1, 1], and clip what is outside. ``"float16"`` keeps 11 bits of each sample, however quiet.
    workers : int
        Processes that decode; -1 for one per core.
    on_error : {"raise", "skip"}
        What to do with clips that cannot be decoded; those left out are listed in the manifest.
    progress : bool
        Show a bar.

    Raises
    ------
    DatasetError
        If a clip cannot be decoded, the disk is full, another process prepares into the same folder, or the folder
        holds something else.

    Examples
    --------
    >>> import tempfile
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> ready = prepare(etude, Path(tempfile.mkdtemp(), "etude"), progress=False)
    >>> ready
    Prepared('etude': 24 clips, 12 tracks, 3 artists, 50 tags, 16000 Hz)
    >>> bool((ready.waveform(5) == etude.waveform(5)).all())
    True
    """
    if encoding not in ENCODINGS:
        raise ValueError(unknown_name("encoding", encoding, ENCODINGS))
    if on_error not in ("raise", "skip"):
        raise ValueError(unknown_name("on_error", on_error, ("raise", "skip")))
    if not len(dataset):
        raise DatasetError(f"{dataset.name!r} has no clips to prepare")
    out = user_path(out).absolute()
    plan = describe_plan(dataset, encoding=encoding, on_error=on_error)
    if (out / "manifest.json").exists():
        ready = Prepared(out)
        if ready.manifest["plan"] != plan:
            raise DatasetError(
                f"{out} already holds {ready!r}, made from other data or with other options. Choose another "
                "folder, or delete it."
            )
        return ready

    lengths = np.array([dataset.num_samples(i) for i in range(len(dataset))], dtype=np.int64)
    dtype = ENCODINGS[encoding]
    num_bytes = int(lengths.sum() * (np.dtype(dtype).itemsize if dtype else 2 * _FLAC_SHARE))
    with unfinished(out, plan, num_bytes, "prepared") as (folder, journal):
        offsets = np.concatenate([[0], np.cumsum(lengths)])[:-1]
        target = _Target(folder, encoding, lengths, offsets)
        target.create()
        for index in target.damaged(journal.done):
            journal.forget(index)
        waiting = [i for i in range(len(dataset)) if i not in journal.done]
        tasks = [(target.part(group), on_error) for group in chunked(waiting)]
        with tqdm(
            total=len(dataset),
            initial=len(journal.done),
            desc=f"preparing {visible(dataset.name)}",
            unit="clip",
            disable=None if progress else True,
        ) as bar:
            for records in map_clips(_prepare_clips, dataset, tasks, workers):
                for index, record in records:
                    journal.add(index, record)
                bar.update(len(records))
        records = [journal.done[i] for i in range(len(dataset))]
        _write_tables(folder, dataset, encoding, plan, records, offsets)
    return Prepared(out)


def describe_plan(dataset: MusicDataset, **options: Any) -> dict:
    """What decides the outcome: the options, and a digest of the data set's clips, labels and lengths."""
    digest = hashlib.sha256()
    for i in range(len(dataset)):
        path = source_path(dataset, i)
        size = path.stat().st_size if path is not None and path.exists() else None
        digest.update(repr((clip_name(dataset, i), dataset.num_samples(i), size)).encode())
    digest.update(np.ascontiguousarray(dataset.labels).tobytes())
    if dataset.known is not None:
        digest.update(np.packbits(dataset.known).tobytes())
    for ids in (dataset.track_ids, dataset.artist_ids):
        digest.update("\0".join(map(str, ids)).encode(errors="backslashreplace"))
    return {
        "name": dataset.name,
        "clips": len(dataset),
        "tags": list(dataset.tags),
        "sample_rate": dataset.sample_rate,
        "data": digest.hexdigest()[:32],
        **options,
    }


class _Target:
    """Where the samples of each clip go; the part of it that a worker needs."""

    def __init__(self, folder: Path, encoding: str, lengths, offsets, indices=None):
        self.folder, self.encoding = folder, encoding
        self.indices = list(range(len(lengths))) if indices is None else indices
        self.lengths, self.offsets = lengths, offsets

    @property
    def dtype(self) -> str | None:
        return ENCODINGS[self.encoding]

    def part(self, indices: list[int]) -> _Target:
        return _Target(self.folder, self.encoding, self.lengths[indices], self.offsets[indices], indices)

    def path(self, index: int) -> Path:
        return self.folder / (f"waveforms.{self.dtype[1:]}" if self.dtype else flac_name(index))

    def create(self) -> None:
        """The empty file, as long as it will be; or the folders of many."""
        if self.dtype:
            size = int(self.lengths.sum()) * np.dtype(self.dtype).itemsize
            with self.path(0).open("ab") as file:
                if file.tell() != size:
                    file.truncate(size)
            return
        for index in range(0, len(self.lengths), 1000):
            self.path(index).parent.mkdir(parents=True, exist_ok=True)
            sweep(self.path(index).parent)

    def write(self, position: int, pieces: Iterable[np.ndarray], rate: int) -> dict:
        """Store one clip as it comes; returns its length, a digest of its bytes on disk, and what was clipped."""
        record = {"samples": 0, "digest": "", "clipped": 0}

        def counted() -> Iterator[np.ndarray]:
            for piece in pieces:
                record["samples"] += int(piece.size)
                if not self.encoding.startswith("float"):
                    record["clipped"] += int((np.abs(piece) > 1).sum())
                yield piece

        store = self._write_flac if self.dtype is None else self._write_samples
        return record | {"digest": store(position, counted(), rate)}

    def _write_flac(self, position: int, pieces: Iterable[np.ndarray], rate: int) -> str:
        path = self.path(self.indices[position])
        with replacing(path) as temporary:
            try:
                temporary.touch()
                with soundfile.SoundFile(temporary, "w", rate, 1, "PCM_16", format="FLAC") as file:
                    for piece in pieces:
                        file.write(to_int16(piece))
            except soundfile.LibsndfileError as error:  # libsndfile does not say why; the system does
                _probe(temporary, 4 * int(self.lengths[position]))
                raise DatasetError(f"{path}: cannot be written: {error}") from None
            return stored_digest(temporary)

    def _write_samples(self, position: int, pieces: Iterable[np.ndarray], rate: int) -> str:
        written = hashlib.blake2b(digest_size=16)
        with self.path(self.indices[position]).open("rb+", buffering=0) as file:
            file.seek(int(self.offsets[position]) * np.dtype(self.dtype).itemsize)
            for piece in pieces:
                samples = to_int16(piece) if self.encoding == "int16" else piece.astype(self.dtype)
                rest = memoryview(samples.tobytes())
                written.update(rest)
                while rest:
                    rest = rest[file.write(rest) :]
        return written.hexdigest()

    def damaged(self, done: dict[int, dict]) -> list[int]:
        """Clips that are said to be done, and are not on disk as they were: the power failed."""
        found = []
        for index, record in done.items():
            if "error" in record:
                continue
            path, place = self.path(index), ()
            if self.dtype is not None:
                size = np.dtype(self.dtype).itemsize
                place = int(self.offsets[index]) * size, int(self.lengths[index]) * size
            if not path.exists() or stored_digest(path, *place) != record["digest"]:
                found.append(index)
        return found


def _probe(path: Path, num_bytes: int) -> None:
    """Raise the system's own error if so much cannot be written."""
    try:
        with path.open("wb") as file:
            file.write(bytes(num_bytes))
    finally:
        path.unlink(missing_ok=True)


class _UndecodableError(Exception):
    """A clip cannot be decoded, and the message says why."""


def _decoded(dataset: MusicDataset, index: int, length: int) -> Iterator[np.ndarray]:
    """The pieces of a clip, none of them beyond the `length` that there is room for."""
    count = 0
    try:
        for piece in dataset.pieces(index):
            count += len(piece)
            if count <= length:
                yield piece.numpy()
    except (AudioError, DatasetError) as error:
        raise _UndecodableError(str(error)) from None
    if count != length:
        raise DatasetError(f"{clip_name(dataset, index)} has {count} samples, but its data set says {length}")


def _prepare_clips(dataset: MusicDataset, task: tuple[_Target, str]) -> list[tuple[int, dict]]:
    """Decode and store some clips; in a worker process."""
    target, on_error = task
    records = []
    for position, index in enumerate(target.indices):
        path = source_path(dataset, index)
        try:
            pieces = _decoded(dataset, index, int(target.lengths[position]))
            record = target.write(position, pieces, dataset.sample_rate)
        except _UndecodableError as error:
            if on_error == "raise":
                raise DatasetError(
                    f"{clip_name(dataset, index)} cannot be decoded: {error} (To leave such clips out: "
                    "on_error='skip', on the command line --skip-bad.)"
                ) from None
            records.append((index, {"error": str(error)}))
            continue
        if path is not None:
            record["source"] = file_sha256(path)
        records.append((index, record))
    return records


def _write_tables(
    folder: Path, dataset: MusicDataset, encoding: str, plan: dict, records: list[dict], offsets: np.ndarray
) -> None:
    kept = np.array([i for i, record in enumerate(records) if "error" not in record], int)
    if not len(kept):
        raise DatasetError(f"{dataset.name!r}: none of {len(dataset)} clips can be decoded: {records[0]['error']}")
    names = [clip_name(dataset, i) for i in range(len(dataset))]
    arrays = {
        "labels": dataset.labels[kept],
        "track_ids": _plain(dataset.track_ids[kept]),
        "artist_ids": _plain(dataset.artist_ids[kept]),
        "lengths": np.array([records[i]["samples"] for i in kept], np.int64),
        "offsets": offsets[kept],
        "clips": kept,
    }
    splits = _find_splits(dataset)
    for by, parts in splits.items():
        column = np.full(len(dataset), -1, np.int8)
        for part, indices in enumerate(parts):
            column[indices] = part
        arrays[f"split_{by}"] = column[kept]
    extras = _extra_columns(dataset)
    for name, values in extras.items():
        arrays[f"extra_{name}"] = _plain(values[kept])
    np.savez(folder / "arrays.npz", **arrays)
    with (folder / "clips.csv").open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["clip", "name", "source_sha256", "samples", "digest", "clipped"])
        for i in kept:
            record = records[i]
            table.writerow(
                [i, names[i], record.get("source", ""), record["samples"], record["digest"], record["clipped"]]
            )
    manifest = {
        "format": FORMAT,
        "name": dataset.name,
        "tags": list(dataset.tags),
        "multilabel": bool(dataset.multilabel),
        "sample_rate": int(dataset.sample_rate),
        "encoding": encoding,
        "clips": len(kept),
        "samples": int(arrays["lengths"].sum()),
        "clipped_samples": sum(records[i]["clipped"] for i in kept),
        "left_out": [
            {"name": names[i], "reason": record["error"]} for i, record in enumerate(records) if "error" in record
        ],
        "splits": list(splits),
        "extras": list(extras),
        "fingerprint": _fingerprint(dataset, records, kept, arrays),
        "clips_csv_sha256": file_sha256(folder / "clips.csv"),
        "plan": plan,
        "versions": {
            "mclass": mclass.__version__,
            "python": platform.python_version(),
            **{package: version(package) for package in ("numpy", "soundfile", "soxr")},
            "libsndfile": soundfile.__libsndfile_version__,
        },
    }
    (folder / "manifest.json").write_text(
        json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", errors="backslashreplace"
    )


def _fingerprint(dataset: MusicDataset, records: list[dict], kept: np.ndarray, arrays: dict) -> str:
    """A short name for exactly these samples, labels and splits."""
    digest = hashlib.sha256(repr((list(dataset.tags), dataset.sample_rate, bool(dataset.multilabel))).encode())
    digest.update("".join(records[i]["digest"] for i in kept).encode())
    digest.update(np.ascontiguousarray(arrays["labels"]).tobytes())
    if dataset.known is not None:
        digest.update(np.packbits(arrays["extra_known"]).tobytes())
    for name in sorted(arrays):
        if name in ("track_ids", "artist_ids") or name.startswith("split_"):
            digest.update("\0".join(map(str, arrays[name])).encode(errors="backslashreplace"))
    return digest.hexdigest()[:16]


def _find_splits(dataset: MusicDataset) -> dict[str, list[np.ndarray]]:
    """Every split that the data set offers, its default first. A view (a split itself) offers none."""
    found: dict[str, list[np.ndarray]] = {}
    for by in (None, *getattr(dataset, "split_names", ("artist", "track", "clip"))):
        try:
            parts = split_indices(dataset, by)
        except (NotImplementedError, ValueError, TypeError):
            continue
        found["default" if by is None else by] = parts
    return found


def _extra_columns(dataset: MusicDataset) -> dict[str, np.ndarray]:
    """What else the data set knows of each clip (Etude: its oracle labels, its styles)."""
    known = ("labels", "track_ids", "artist_ids", "lengths", "indices")
    return {
        name: values
        for name, values in vars(dataset).items()
        if isinstance(values, np.ndarray)
        and type(values) is np.ndarray
        and name not in known
        and not name.startswith("_")
        and values.ndim in (1, 2)
        and len(values) == len(dataset)
    }


def _plain(values: np.ndarray) -> np.ndarray:
    """Without Python objects, which a file read by others must not hold."""
    return values.astype(str) if values.dtype == object else values
