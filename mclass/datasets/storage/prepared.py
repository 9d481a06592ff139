"""Read what `mclass.datasets.prepare` wrote: the interface of a data set, without decoding.

Taught in: 02_datasets.
"""

from __future__ import annotations

import csv
import hashlib
import os
from pathlib import Path

import numpy as np
import torch

from mclass import audio
from mclass._utils.files import user_path
from mclass._utils.schemas import Manifest, read_arrays, read_json
from mclass.datasets.base import MusicDataset, Subset
from mclass.errors import DatasetError, unknown_name

FORMAT = "mclass prepared data, version 1"
_DTYPES = {"int16": "<i2", "float16": "<f2", "float32": "<f4"}


class Prepared(MusicDataset):
    """A data set that was decoded once: crops are read from a memory-mapped file, or from flac.

    Parameters
    ----------
    root : path
        The folder that `mclass.datasets.prepare` (or ``mclass data prepare``) made.

    Attributes
    ----------
    fingerprint : str
        Names exactly these samples, labels and splits. `mclass train` writes it into its report.
    manifest : dict
        All that is known about how the folder was made.

    Raises
    ------
    DatasetError
        If there is no such folder, it is not finished, or a file in it is missing or cut off.

    Examples
    --------
    >>> import tempfile
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> root = Path(tempfile.mkdtemp(), "etude")
    >>> ready = datasets.prepare(etude, root, progress=False)
    >>> Prepared(root).waveform(3, start=100, num_samples=50).shape
    torch.Size([50])
    >>> [len(part) for part in ready.splits("track")] == [len(part) for part in etude.splits("track")]
    True
    """

    def __init__(self, root: str | os.PathLike):
        self.root = _check_root(root)
        self.manifest = _read_manifest(self.root)
        self.name, self.tags = self.manifest["name"], list(self.manifest["tags"])
        self.sample_rate, self.multilabel = self.manifest["sample_rate"], self.manifest["multilabel"]
        self.fingerprint, self.encoding = self.manifest["fingerprint"], self.manifest["encoding"]
        arrays = self._read_arrays()
        self.labels, self.track_ids, self.artist_ids = (arrays[n] for n in ("labels", "track_ids", "artist_ids"))
        self.lengths, self._offsets, self._clips = arrays["lengths"], arrays["offsets"], arrays["clips"]
        for name in self.manifest["extras"]:  # among them `known`, of data with unknown labels
            setattr(self, name, arrays[f"extra_{name}"])
        self._splits = {by: arrays[f"split_{by}"] for by in self.manifest["splits"]}
        self.split_names = tuple(by for by in self._splits if by != "default")
        self._samples: np.ndarray | None = None
        self._names: list[str] | None = None
        if self.encoding in _DTYPES:
            self._check_size()

    def _read_arrays(self) -> dict[str, np.ndarray]:
        """The tables of clips, all of them as long, and of what the tags and numbers of samples can be."""
        needed = {"labels": ("uibf", 2), "track_ids": ("uiU", 1), "artist_ids": ("uiU", 1)}
        needed |= {name: ("iu", 1) for name in ("lengths", "offsets", "clips")}
        needed |= {f"split_{by}": ("iu", 1) for by in self.manifest["splits"]}
        try:
            arrays = read_arrays(self.root / "arrays.npz", needed)
            sizes = {
                name: len(arrays[name]) for name in (*needed, *map("extra_{}".format, self.manifest["extras"]))
            }
            if len(set(sizes.values())) > 1 or not len(arrays["labels"]):
                raise ValueError(f"the columns have different lengths: {sizes}")
            if arrays["labels"].shape[1] != len(self.tags):
                raise ValueError(f"labels has {arrays['labels'].shape[1]} columns for {len(self.tags)} tags")
            for name, least in (("lengths", 1), ("offsets", 0), ("clips", 0)):
                if arrays[name].min() < least or arrays[name].max() >= 2**48:
                    raise ValueError(f"{name} has values below {least} or beyond any file")
            extras = self.manifest["extras"]
            if taken := [name for name in extras if name != "known" and hasattr(Prepared, name)]:
                raise ValueError(f"{taken[0]} is no column")
            if "known" in extras:
                known = arrays["extra_known"]
                if known.dtype != bool or known.shape != arrays["labels"].shape:
                    raise ValueError("known does not say yes or no of each label")
        except (OSError, ValueError, KeyError) as error:
            raise DatasetError(
                f"{self.root / 'arrays.npz'}: missing or damaged ({error}). Prepare it again."
            ) from None
        return arrays

    def _check_size(self) -> None:
        path, item = self._waveform_path, np.dtype(_DTYPES[self.encoding]).itemsize
        needed = int((self._offsets.astype(np.int64) + self.lengths.astype(np.int64)).max()) * item
        size = path.stat().st_size if path.exists() else 0
        if size < needed:
            raise DatasetError(
                f"{path}: has {size} bytes, and {needed} belong there: it was cut off. Copy or prepare it again."
            )

    @property
    def _waveform_path(self) -> Path:
        return self.root / f"waveforms.{_DTYPES[self.encoding][1:]}"

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_samples": None}  # a worker process maps the file itself

    def num_samples(self, index: int) -> int:
        return int(self.lengths[index])

    def waveform(self, index: int, start: int = 0, num_samples: int | None = None) -> torch.Tensor:
        start, num_samples = self.check_range(index, start, num_samples)
        if self.encoding == "flac":
            return audio.read(self.root / flac_name(int(self._clips[index])), self.sample_rate, start, num_samples)
        if self._samples is None:
            self._samples = np.memmap(self._waveform_path, dtype=_DTYPES[self.encoding], mode="r")
        first = int(self._offsets[index]) + start
        samples = self._samples[first : first + num_samples].astype(np.float32)
        if self.encoding == "int16":
            samples *= np.float32(1 / 32768)
        return torch.from_numpy(samples)

    def describe(self, index: int) -> str:
        if self._names is None:
            self._names = [row["name"] for row in self._rows()]
        return f"{self._names[index]} (prepared in {self.root})"

    def splits(self, by: str | None = None) -> tuple[Subset, Subset, Subset]:
        """The views that the original data set gave.

        Parameters
        ----------
        by : str, optional
            As the original data set takes it; its own default if not given.
        """
        if not self._splits:
            raise DatasetError(
                f"{self.root} was prepared from a part of a data set, which has no split. Prepare the whole."
            )
        by = "default" if by is None else by
        if by not in self._splits:
            raise ValueError(unknown_name("split", by, self.split_names))
        return tuple(self.subset(np.flatnonzero(self._splits[by] == part)) for part in range(3))

    def verify(self) -> list[str]:
        """Names of clips whose samples are no longer what was prepared: reads everything once."""
        damaged = []
        for i, row in enumerate(self._rows()):
            try:
                if self.encoding == "flac":
                    found = stored_digest(self.root / flac_name(int(self._clips[i])))
                else:
                    item = np.dtype(_DTYPES[self.encoding]).itemsize
                    place = int(self._offsets[i]) * item, int(self.lengths[i]) * item
                    found = stored_digest(self._waveform_path, *place)
            except OSError:
                found = ""
            if found != row["digest"]:
                damaged.append(row["name"])
        return damaged

    def _rows(self) -> list[dict[str, str]]:
        path = self.root / "clips.csv"
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        except (OSError, ValueError, csv.Error) as error:
            raise DatasetError(f"{path}: missing or damaged ({error}). Prepare it again.") from None
        if len(rows) != len(self) or any(row.get("name") is None or row.get("digest") is None for row in rows):
            raise DatasetError(f"{path}: is not the list of these {len(self)} clips. Prepare it again.")
        return rows


def flac_name(clip: int) -> str:
    """Where a clip is kept: a thousand to a folder."""
    return f"clips/{clip // 1000:03d}/{clip:06d}.flac"


def stored_digest(path: Path, start: int = 0, count: int | None = None) -> str:
    """What names the bytes of a clip as they are on disk: `count` of them from `start` on, or all that follow."""
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        file.seek(start)
        rest = path.stat().st_size if count is None else count
        while content := file.read(min(rest, 1 << 20)):
            found.update(content)
            rest -= len(content)
    return found.hexdigest()


def to_int16(samples: np.ndarray) -> np.ndarray:
    """The nearest of 65,536 levels; what is outside [-1, 1] is clipped. 16-bit recordings come back unchanged.

    >>> to_int16(np.array([0.5, -1.0, 1.5], np.float32))
    array([ 16384, -32768,  32767], dtype=int16)
    """
    return np.clip(np.round(samples * np.float32(32768)), -32768, 32767).astype("<i2")


def _check_root(root: str | os.PathLike) -> Path:
    path = user_path(root).absolute()
    if (path / "manifest.json").is_file():
        return path
    half = path.with_name(f".{path.name}.unfinished")
    if half.is_dir() and not path.exists():
        raise DatasetError(f"{path} is not finished. Run `mclass data prepare` again: it goes on from there.")
    if not path.is_dir():
        raise DatasetError(f"root={str(root)!r}: no such folder (the current folder is {Path.cwd()})")
    inside = [child.parent.name for child in sorted(path.glob("*/manifest.json"))]
    guess = f" (did you mean {str(path / inside[0])!r}?)" if inside else ""
    raise DatasetError(
        f"{path} holds no prepared data: no manifest.json{guess}. `mclass data prepare` makes such a folder."
    )


def _read_manifest(root: Path) -> dict:
    try:
        return read_json(Manifest, (root / "manifest.json").read_bytes(), FORMAT)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{root / 'manifest.json'} is not the manifest of prepared data ({error}).") from None
