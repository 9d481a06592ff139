"""Torch data sets that cut clips into training examples (`RandomCrops`) and into all they hold (`Chunks`).

Taught in: 02_datasets, 04_supervised.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from mclass.datasets.base import MusicDataset
from mclass.errors import DatasetError


class RandomCrops(torch.utils.data.Dataset):
    """One random crop per clip and epoch: the training view of a data set.

    Parameters
    ----------
    dataset : MusicDataset
    num_samples : int
        Length of a crop.
    seed : int
        The crop of clip ``i`` in epoch ``e`` depends on ``(seed, e, i)`` alone, so runs repeat whatever the
        number of workers, and a resumed run sees the crops the uninterrupted one would have seen.
    pad : bool
        Pad clips that are shorter than a crop with zeros instead of refusing them.

    Raises
    ------
    DatasetError
        If clips are shorter than a crop and `pad` is false; the message counts them.

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> waveform, labels = RandomCrops(etude, num_samples=48_000)[0]
    >>> waveform.shape, labels.shape
    (torch.Size([48000]), torch.Size([50]))
    """

    def __init__(self, dataset: MusicDataset, num_samples: int, seed: int = 0, pad: bool = False):
        self.dataset, self.num_samples, self.seed, self.pad = dataset, num_samples, seed, pad
        self.lengths = check_lengths(dataset, num_samples, pad)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int | tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """``(waveform (num_samples,), labels (num_tags,))`` of clip ``index`` or ``(epoch, index)``."""
        epoch, index = index if isinstance(index, tuple) else (0, index)
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} asked of {len(self)}")
        length = int(self.lengths[index])
        start = int(
            np.random.default_rng((self.seed, epoch, index)).integers(max(length - self.num_samples, 0) + 1)
        )
        waveform = read_padded(self.dataset, index, start, self.num_samples)
        return waveform, self.dataset.target(index)


class EpochSampler(torch.utils.data.Sampler):
    """Shuffled ``(epoch, index)`` pairs: tells `RandomCrops` the epoch, also inside data-loading workers.

    Lightning calls `set_epoch`; a bare loop calls it itself.

    Examples
    --------
    >>> sampler = EpochSampler(3)
    >>> sampler.set_epoch(5)
    >>> sorted(sampler)
    [(5, 0), (5, 1), (5, 2)]
    """

    def __init__(self, num_clips: int, seed: int = 0):
        self.num_clips, self.seed, self.epoch = num_clips, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_clips

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.num_clips)
        return iter([(self.epoch, int(index)) for index in order])


class Chunks(torch.utils.data.Dataset):
    """All consecutive chunks of each clip: the evaluation view of a data set.

    Parameters
    ----------
    dataset : MusicDataset
    num_samples : int
        Length of a chunk. The last, incomplete chunk is dropped.
    hop : int, optional
        Distance between chunk starts; `num_samples` if not given.
    pad : bool
        Pad clips shorter than one chunk with zeros instead of refusing them.

    Raises
    ------
    DatasetError
        If clips are shorter than a chunk and `pad` is false.

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> chunks, labels = Chunks(etude, num_samples=24_000)[0]
    >>> chunks.shape, labels.shape
    (torch.Size([2, 24000]), torch.Size([50]))
    """

    def __init__(self, dataset: MusicDataset, num_samples: int, hop: int | None = None, pad: bool = False):
        self.dataset, self.num_samples, self.hop = dataset, num_samples, hop or num_samples
        self.lengths = check_lengths(dataset, num_samples, pad)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """``(chunks (num_chunks, num_samples), labels (num_tags,))`` of clip `index`."""
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} asked of {len(self)}")
        length = max(int(self.lengths[index]), self.num_samples)
        num_chunks = 1 + (length - self.num_samples) // self.hop
        span = self.num_samples + (num_chunks - 1) * self.hop
        waveform = read_padded(self.dataset, index, 0, span)
        chunks = waveform.unfold(0, self.num_samples, self.hop)
        return chunks, self.dataset.target(index)

    @staticmethod
    def collate(
        examples: list[tuple[torch.Tensor, torch.Tensor]],
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Batch clips, which may have different numbers of chunks: a list of chunks, and the stacked labels."""
        clips, labels = zip(*examples, strict=True)
        return list(clips), torch.stack(labels)


def check_lengths(dataset: MusicDataset, num_samples: int, pad: bool) -> np.ndarray:
    """Lengths of all clips in samples; refuses a data set that crops of that length cannot be cut from."""
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    if len(dataset) == 0:
        raise DatasetError(f"{dataset.name!r} has no clips to cut")
    lengths = np.array([dataset.num_samples(i) for i in range(len(dataset))])
    short = np.flatnonzero(lengths < num_samples)
    if len(short) and not pad:
        raise DatasetError(
            f"{len(short)} of {len(dataset)} clips are shorter than the {num_samples} samples "
            f"({num_samples / dataset.sample_rate:.2f} s) of a crop, first {dataset.describe(int(short[0]))} "
            f"with {lengths[short[0]]} samples. Pass pad=True (--pad on the command line) to fill them up with "
            "silence, use a shorter crop, or leave these clips out."
        )
    return lengths


def read_padded(dataset: MusicDataset, index: int, start: int, num_samples: int) -> torch.Tensor:
    """A part of a clip, with zeros after the end of the clip."""
    available = min(num_samples, dataset.num_samples(index) - start)
    waveform = dataset.waveform(index, start, available)
    return torch.nn.functional.pad(waveform, (0, num_samples - available)) if available < num_samples else waveform
