"""What every data set of the course looks like, and how one is split.

Conventions: a data set is a list of *clips*. Clip ``i`` has a waveform (mono, float32, at `sample_rate` Hz), a
row of `labels`, the track it was cut from and the artist who made the track. Splits are views with the same
interface.

Taught in: 02_datasets, 04_supervised.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from mclass._deprecated import former_names
from mclass.errors import DatasetError

__getattr__ = former_names(__name__)


class MusicDataset:
    """Base class: clips with waveforms, labels, tracks and artists.

    Sub-classes set the attributes and implement `num_samples` and `waveform`.

    Attributes
    ----------
    name : str
    tags : list of str
        Names of the columns of `labels`.
    sample_rate : int
        In Hz.
    labels : np.ndarray, shape (n, num_tags), uint8
        Multi-hot; one-hot if the data set is single-label.
    multilabel : bool
        Whether a clip may carry several tags. Decides between sigmoid and softmax.
    known : np.ndarray, shape (n, num_tags), bool, or None
        In multi-label data, whether anybody looked for the tag. Where it is false, what `labels` holds means
        nothing and is left out of every loss and score. None if all labels are known.
    track_ids, artist_ids : np.ndarray, shape (n,)
        Clips with equal entries come from one track, or one artist.
    """

    name: str
    tags: list[str]
    sample_rate: int
    labels: np.ndarray
    known: np.ndarray | None = None
    multilabel: bool = True
    track_ids: np.ndarray
    artist_ids: np.ndarray

    def __init_subclass__(cls, **options) -> None:
        """A class that changes `waveform` alone gets `pieces` that agree with it, not those of the class above."""
        super().__init_subclass__(**options)
        if "waveform" in vars(cls) and "pieces" not in vars(cls):
            cls.pieces = MusicDataset.pieces

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.name!r}: {len(self)} clips, {len(np.unique(self.track_ids))} tracks, "
            f"{len(np.unique(self.artist_ids))} artists, {len(self.tags)} tags, {self.sample_rate} Hz)"
        )

    @property
    def partly_labelled(self) -> bool:
        """Whether some labels are unknown, see `known`."""
        return self.known is not None and not self.known.all()

    @property
    def tag_counts(self) -> np.ndarray:
        """How many clips are known to have each tag, shape ``(num_tags,)``."""
        return self.labels.sum(0) if self.known is None else ((self.labels > 0) & self.known).sum(0)

    def target(self, index: int) -> torch.Tensor:
        """What a model is to learn of clip `index`: its labels, shape ``(num_tags,)``, float32; NaN where unknown.

        `mclass.losses.split_unknown` takes a batch of them apart again. Code that knows nothing of unknown labels
        gets a loss of NaN from them, which stops training, rather than a wrong "no".
        """
        labels = torch.from_numpy(self.labels[index]).float()
        if self.known is None:
            return labels
        return labels.masked_fill(torch.from_numpy(~self.known[index]), torch.nan)

    def num_samples(self, index: int) -> int:
        """Length of clip `index` in samples at `sample_rate`."""
        raise NotImplementedError

    def waveform(self, index: int, start: int = 0, num_samples: int | None = None) -> torch.Tensor:
        """Read clip `index`, or a part of it.

        Parameters
        ----------
        index : int
        start : int
            First sample, at `sample_rate`.
        num_samples : int, optional
            How many; to the end of the clip if not given. Only what is asked for is read from disk.

        Returns
        -------
        torch.Tensor, shape (samples,), float32

        Raises
        ------
        ValueError
            If the part asked for is not inside the clip.
        """
        raise NotImplementedError

    def pieces(self, index: int) -> Iterator[torch.Tensor]:
        """Clip `index` from its beginning to its end; joined, the pieces equal ``waveform(index)``.

        Data sets of audio files decode some seconds at a time: the memory it takes does not grow with the length.
        """
        yield self.waveform(index)

    def describe(self, index: int) -> str:
        """A short name of clip `index` for messages: a file path, a title."""
        return f"{self.name}[{index}]"

    def subset(self, indices: Sequence[int] | np.ndarray) -> Subset:
        """A view of the clips `indices`."""
        return Subset(self, indices)

    def splits(self, by: str = "artist") -> tuple[MusicDataset, MusicDataset, MusicDataset]:
        """Training, validation and test views; what may not be shared between them is `by`."""
        raise NotImplementedError

    def check_range(self, index: int, start: int, num_samples: int | None) -> tuple[int, int]:
        """Validate the part asked of `waveform`; returns ``(start, num_samples)`` as plain ints."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"clip {index} asked of {self.name!r}, which has {len(self)} clips")
        for name, value in (("start", start), ("num_samples", num_samples)):
            if value is not None and not isinstance(value, int | np.integer):
                raise ValueError(
                    f"{self.describe(index)}: {name} is a whole number of samples, got {value!r} "
                    f"(seconds? multiply by {self.sample_rate})"
                )
        length = self.num_samples(index)
        if num_samples is None:
            num_samples = length - start
        if start < 0 or num_samples < 1 or start + num_samples > length:
            raise ValueError(
                f"{self.describe(index)}: samples {start} to {start + num_samples} asked for, but the clip has "
                f"{length} samples ({length / self.sample_rate:.2f} s at {self.sample_rate} Hz). Ask for less, "
                "or leave the clip out. (Were seconds given where samples are expected?)"
            )
        return int(start), int(num_samples)


class Subset(MusicDataset):
    """Some clips of a data set, with the same interface (a split, a fold, a selection).

    Parameters
    ----------
    parent : MusicDataset
    indices : sequence of int, or array of bool with an entry per clip

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> Subset(etude, etude.artist_ids == 0)
    Subset('etude': 8 clips, 4 tracks, 1 artists, 50 tags, 16000 Hz)
    """

    def __init__(self, parent: MusicDataset, indices: Sequence[int] | np.ndarray):
        indices = np.asarray(indices)
        if indices.dtype == bool:
            indices = np.flatnonzero(indices)
        self.parent, self.indices = parent, indices.astype(int)
        self.name, self.tags, self.sample_rate = parent.name, parent.tags, parent.sample_rate
        self.multilabel = parent.multilabel
        self.labels = parent.labels[self.indices]
        self.known = None if parent.known is None else parent.known[self.indices]
        self.track_ids, self.artist_ids = parent.track_ids[self.indices], parent.artist_ids[self.indices]

    def num_samples(self, index: int) -> int:
        return self.parent.num_samples(int(self.indices[index]))

    def waveform(self, index: int, start: int = 0, num_samples: int | None = None) -> torch.Tensor:
        return self.parent.waveform(int(self.indices[index]), start, num_samples)

    def pieces(self, index: int) -> Iterator[torch.Tensor]:
        return self.parent.pieces(int(self.indices[index]))

    def describe(self, index: int) -> str:
        return self.parent.describe(int(self.indices[index]))


def split_by_group(
    groups: np.ndarray, fractions: tuple[float, float, float] = (0.7, 0.1, 0.2), seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split clips at random so that no group is in two parts.

    Parameters
    ----------
    groups : np.ndarray, shape (n,)
        The group (artist, track, instrument, …) of each clip.
    fractions : tuple of float
        Shares of the *groups* for training, validation and test.
    seed : int

    Returns
    -------
    tuple of np.ndarray
        Sorted clip indices of the three parts.

    Raises
    ------
    DatasetError
        If there are fewer than three groups: one part would be empty.

    Examples
    --------
    >>> artists = np.array(["a", "a", "b", "c", "c", "d"])
    >>> train, valid, test = split_by_group(artists, (0.5, 0.25, 0.25))
    >>> set(artists[train]) & set(artists[test])
    set()
    """
    names = np.unique(groups)
    if len(names) < 3:
        raise DatasetError(
            f"a split into training, validation and test needs at least 3 groups, found {len(names)}: "
            f"{', '.join(map(str, names))}. Give each clip its artist (or track), or split by clip."
        )
    order = np.random.default_rng(seed).permutation(len(names))
    num_train = min(max(round(fractions[0] * len(names)), 1), len(names) - 2)
    num_valid = min(max(round(fractions[1] * len(names)), 1), len(names) - num_train - 1)
    parts = np.split(order, [num_train, num_train + num_valid])
    return tuple(np.flatnonzero(np.isin(groups, names[part])) for part in parts)
