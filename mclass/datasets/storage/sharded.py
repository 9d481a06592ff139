"""Shards as an ordinary data set: any clip, in any order.

Taught in: 02_datasets.
"""

from __future__ import annotations

import os

import numpy as np
import torch

from mclass._utils.files import user_path
from mclass.datasets.base import MusicDataset, Subset
from mclass.datasets.storage.shards import PARTS, Shards, has_unknown, read_index
from mclass.datasets.storage.tars import Example, decode, list_members
from mclass.errors import DatasetError


class Sharded(MusicDataset):
    """Shards as an ordinary data set: any clip, in any order. For validation and test; training streams.

    Parameters
    ----------
    root : str or path
        The folder of the shards, on this computer.
    part : {"train", "valid", "test"}, optional
        Only these; by default all.

    Raises
    ------
    DatasetError
        If there is no index, or a shard is missing or damaged.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> shards = datasets.shard(etude, Path(tempfile.mkdtemp(), "shards"), progress=False)
    >>> Sharded(shards.root, part="test")
    Sharded('etude': 8 clips, 4 tracks, 1 artists, 50 tags, 16000 Hz)
    """

    def __init__(self, root: str | os.PathLike, part: str | None = None):
        index = read_index(user_path(root))
        parts = [name for name in PARTS if any(record["part"] == name for record in index["shards"])]
        if part is not None and part not in parts:
            raise DatasetError(f"{root}: there are no {part} shards, only {', '.join(parts)}")
        self.root, self.name, self.tags = user_path(root), index["name"], list(index["tags"])
        self.sample_rate, self.multilabel = index["sample_rate"], index["multilabel"]
        self.fingerprint = index["fingerprint"]
        column = {tag: i for i, tag in enumerate(self.tags)}
        self._places, self._parts, self._about = [], [], []
        for name in parts if part is None else [part]:
            found = []
            for path in Shards(self.root, name).paths:
                found += list_members(path)
            found.sort(key=lambda item: item[0]["index"])
            self._about += [about for about, _ in found]
            self._places += [place for _, place in found]
            self._parts += [name] * len(found)
        self.labels = np.zeros((len(self._about), len(self.tags)), np.uint8)
        try:
            for row, about in zip(self.labels, self._about, strict=True):
                row[[column[tag] for tag in about["tags"]]] = 1
            if has_unknown(index, self.root):
                self.known = np.array([np.isin(self.tags, about["known"]) for about in self._about], bool)
            self.track_ids = np.array([about["track"] for about in self._about])
            self.artist_ids = np.array([about["artist"] for about in self._about])
        except KeyError as error:
            raise DatasetError(f"{root}: a clip has no {error}, or the index does not know that tag") from None

    def num_samples(self, index: int) -> int:
        return int(self._about[index]["samples"])

    def waveform(self, index: int, start: int = 0, num_samples: int | None = None) -> torch.Tensor:
        start, num_samples = self.check_range(index, start, num_samples)
        path, position, size, encoding = self._places[index]
        with open(path, "rb") as file:
            file.seek(position)
            example = Example(self._about[index], encoding, file.read(size))
        return torch.from_numpy(decode(path, example, start, num_samples, self.sample_rate))

    def describe(self, index: int) -> str:
        return f"{self._about[index].get('name')} (in {self._places[index][0]})"

    def splits(self, by: str | None = None) -> tuple[Subset, Subset, Subset]:
        """The parts as they were written; another split would need other shards."""
        if by not in (None, "published"):
            raise ValueError(f"shards were split when they were written; by={by!r} is decided in `shard`")
        return tuple(self.subset(np.array(self._parts) == part) for part in PARTS)
