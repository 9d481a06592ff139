"""Write a data set as tar shards; see `mclass.datasets.storage.shards` for what is in them.

Taught in: 02_datasets.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import tarfile
import zlib
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

from mclass._utils.download import file_sha256
from mclass._utils.files import replacing, user_path
from mclass.datasets.base import MusicDataset
from mclass.datasets.storage._unfinished import unfinished
from mclass.datasets.storage.prepared import to_int16
from mclass.datasets.storage.preparing import describe_plan
from mclass.datasets.storage.shards import FORMAT, PARTS, Shards, read_index
from mclass.datasets.workers import clip_name, map_clips, split_indices
from mclass.errors import AudioError, DatasetError, unknown_name

_BYTES_PER_SAMPLE = {"flac": 2, "wav": 2, "npy": 4}  # at most
_SHARE = {"flac": 0.7, "wav": 1.0, "npy": 1.0}  # of them, typically
_TAR = tarfile.USTAR_FORMAT  # the oldest that all programs read
_OVERHEAD = 2048  # bytes of tar headers, padding and text per clip


def shard(
    dataset: MusicDataset,
    out: str | os.PathLike,
    *,
    encoding: str = "flac",
    clips_per_shard: int | None = None,
    megabytes: float = 256,
    by: str | None = None,
    seed: int = 0,
    workers: int = -1,
    on_error: str = "raise",
    progress: bool = True,
) -> Shards:
    """Write every split of a data set as tar shards that `ShardStream` (or ``webdataset``) reads.

    As in `prepare`, the folder appears when it is complete, and after a kill or a full disk the same call goes on.
    The bytes depend on data, options and seed alone.

    Parameters
    ----------
    dataset : MusicDataset
        One without splits (a view) becomes shards of its own, ``train-….tar``.
    out : path
        A folder that does not exist yet.
    encoding : {"flac", "wav", "npy"}
        16-bit flac or wav, within 1/32768 of the data set's samples inside [-1, 1]; or exact 32-bit floats.
    clips_per_shard : int, optional
        By default as many as fill `megabytes`, counted without compression.
    megabytes : float
        Large enough that opening a file does not matter, and small enough that each process has several.
    by : str, optional
        Which split, as the data set's `splits` takes it.
    seed : int
        Of the order. Clips are shuffled once, here, so that clips of a track do not lie side by side.
    workers : int
        Processes that encode; -1 for one per core.
    on_error : {"raise", "skip"}
        What to do with clips that cannot be decoded.
    progress : bool
        Show a bar.

    Raises
    ------
    DatasetError
        If a clip cannot be decoded, the disk is full, another process writes the same folder, or the folder holds
        something else.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> shards = shard(etude, Path(tempfile.mkdtemp(), "shards"), clips_per_shard=6, progress=False)
    >>> shards
    Shards('etude', train: 8 clips in 2 shards, 50 tags, 16000 Hz)
    >>> [Path(path).name for path in shards.paths]
    ['train-0000.tar', 'train-0001.tar']
    """
    if encoding not in _BYTES_PER_SAMPLE:
        raise ValueError(unknown_name("encoding", encoding, _BYTES_PER_SAMPLE))
    if on_error not in ("raise", "skip"):
        raise ValueError(unknown_name("on_error", on_error, ("raise", "skip")))
    for name, value in (("clips_per_shard", clips_per_shard), ("megabytes", megabytes)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, got {value!r}")
    if not len(dataset):
        raise DatasetError(f"{dataset.name!r} has no clips to write")
    out = user_path(out).absolute()
    options = {"encoding": encoding, "clips_per_shard": clips_per_shard, "megabytes": megabytes, "seed": seed}
    plan = describe_plan(dataset, by=by, on_error=on_error, **options)
    if (out / "index.json").exists():
        if read_index(out).get("plan") != plan:
            raise DatasetError(
                f"{out} already holds shards of other data, or made with other options. Choose another folder, or "
                "delete it."
            )
        return Shards(out)

    sizes = np.array([dataset.num_samples(i) for i in range(len(dataset))]) * _BYTES_PER_SAMPLE[encoding]
    sizes += _OVERHEAD
    layout = [
        (part, shard_number, positions, indices[positions])
        for part, indices in _parts(dataset, by).items()
        for shard_number, positions in enumerate(
            _layout(sizes[indices], clips_per_shard, megabytes * 1e6, (seed, PARTS.index(part)))
        )
    ]
    with unfinished(out, plan, int(sizes.sum() * _SHARE[encoding]), "sharded") as (folder, journal):
        for number, record in list(journal.done.items()):
            path = folder / record["name"]
            if not path.exists() or file_sha256(path) != record["sha256"]:
                journal.forget(number)
        width = max(4, len(str(len(layout))))
        tasks = [
            (number, folder / f"{part}-{shard_number:0{width}d}.tar", part, positions, indices, encoding, on_error)
            for number, (part, shard_number, positions, indices) in enumerate(layout)
            if number not in journal.done
        ]
        finished = sum(record["clips"] for record in journal.done.values())
        disable = None if progress else True
        with tqdm(total=len(dataset), initial=finished, desc="sharding", unit="clip", disable=disable) as bar:
            for number, record in map_clips(_write_shard, dataset, tasks, workers):
                journal.add(number, record)
                bar.update(record["clips"])
        records = [journal.done[number] for number in range(len(layout))]
        text = json.dumps(_index(dataset, records, encoding, plan), indent=1, ensure_ascii=False)
        (folder / "index.json").write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    return Shards(out)


def _parts(dataset: MusicDataset, by: str | None) -> dict[str, np.ndarray]:
    try:
        parts = split_indices(dataset, by)
    except NotImplementedError:  # a view
        return {"train": np.arange(len(dataset))}
    return {name: indices for name, indices in zip(PARTS, parts, strict=True) if len(indices)}


def _layout(sizes: np.ndarray, clips: int | None, limit: float, seed: Any) -> list[np.ndarray]:
    """Which clips of a part are in which shard, in their order."""
    order = np.random.default_rng(seed).permutation(len(sizes))
    if clips is not None:
        return np.split(order, range(clips, len(order), clips))
    # As equal as possible: a last shard that is nearly empty makes one process wait for the others.
    number = int(min(np.ceil(sizes.sum() / limit), len(sizes)))
    ends = np.searchsorted(np.cumsum(sizes[order]), sizes.sum() * np.arange(1, number) / number)
    return [piece for piece in np.split(order, ends) if len(piece)]


def _write_shard(dataset: MusicDataset, task: tuple) -> tuple[int, dict]:
    number, path, part, positions, indices, encoding, on_error = task
    lengths, left_out, counts = [], [], np.zeros(len(dataset.tags), int)
    with replacing(path) as temporary:
        with (
            temporary.open("wb") as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for position, index in zip(positions, indices, strict=True):
                try:
                    samples = dataset.waveform(int(index)).numpy()
                except (AudioError, DatasetError) as error:
                    if on_error == "raise":
                        raise DatasetError(
                            f"{clip_name(dataset, index)} cannot be decoded: {error} (To leave such clips out: "
                            "on_error='skip', on the command line --skip-bad.)"
                        ) from None
                    left_out.append({"name": clip_name(dataset, index), "reason": str(error)})
                    continue
                sound = _encode(samples, dataset.sample_rate, encoding)
                known = None if dataset.known is None else dataset.known[index]
                is_on = np.flatnonzero(dataset.labels[index] if known is None else dataset.labels[index] * known)
                about = {
                    "index": int(position),
                    "name": clip_name(dataset, index),
                    "tags": [dataset.tags[column] for column in is_on],
                    **({} if known is None else {"known": list(itertools.compress(dataset.tags, known))}),
                    "track": str(dataset.track_ids[index]),
                    "artist": str(dataset.artist_ids[index]),
                    "sample_rate": int(dataset.sample_rate),
                    "samples": int(samples.size),
                    "crc32": zlib.crc32(sound),
                }
                text = json.dumps(about, ensure_ascii=False)
                _add(tar, f"{position:09d}.json", text.encode(errors="backslashreplace"))
                _add(tar, f"{position:09d}.{encoding}", sound)
                lengths.append(samples.size)
                counts[is_on] += 1
            tar.close()
            file.flush()
            os.fsync(file.fileno())
        record = {
            "name": path.name,
            "part": part,
            "clips": len(lengths),
            "bytes": temporary.stat().st_size,
            "sha256": file_sha256(temporary),
            "shortest": min(lengths, default=0),
            "longest": max(lengths, default=0),
            "tag_counts": counts.tolist(),
            "left_out": left_out,
        }
    return number, record


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # neither times nor owners: the same data give the same bytes
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _encode(samples: np.ndarray, rate: int, encoding: str) -> bytes:
    buffer = io.BytesIO()
    if encoding == "npy":
        np.save(buffer, samples.astype("<f4"), allow_pickle=False)
    else:
        soundfile.write(buffer, to_int16(samples), rate, format=encoding.upper(), subtype="PCM_16")
    return buffer.getvalue()


def _index(dataset: MusicDataset, records: list[dict], encoding: str, plan: dict) -> dict:
    left_out = [clip for record in records for clip in record.pop("left_out")]
    digest = hashlib.sha256(repr((list(dataset.tags), dataset.sample_rate, bool(dataset.multilabel))).encode())
    digest.update("".join(record["part"] + record["sha256"] for record in records).encode())
    return {
        "format": FORMAT,
        "name": dataset.name,
        "tags": list(dataset.tags),
        "multilabel": bool(dataset.multilabel),
        "partly_labelled": dataset.partly_labelled,
        "sample_rate": int(dataset.sample_rate),
        "encoding": encoding,
        "fingerprint": digest.hexdigest()[:16],
        "left_out": left_out,
        "plan": plan,
        "shards": records,
    }
