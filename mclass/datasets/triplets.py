"""Triplets of crops, drawn anew in each epoch, and batches in which triplets can be found.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch

from mclass import mining
from mclass.datasets.base import MusicDataset
from mclass.datasets.crops import check_lengths, read_padded
from mclass.errors import DatasetError, unknown_name

SAMPLINGS = ("tags", "track", "artist", "errors")


class TripletCrops(torch.utils.data.Dataset):
    """Crops of an anchor, of a clip like it, and of one unlike it.

    Which clips, and where the crops begin, depends on ``(seed, epoch, index)`` alone.

    Parameters
    ----------
    dataset : MusicDataset
    num_samples : int
        Length of a crop.
    num_triplets : int, optional
        In an epoch; as many as there are clips if not given.
    sampling : {"tags", "track", "artist", "errors"}
        Who is like whom: clips that share a tag, but are of different tracks (`mclass.mining.tag_triplets`); clips
        of one track; clips of one artist, but of different tracks (`group_triplets`); what a trained tagger
        confuses (`error_triplets`).
    same_track : bool
        Add a fourth crop, of another clip of the anchor's track: for `mclass.losses.TrackRegularizedLoss`. Where
        the track has one clip alone, it is another crop of that.
    scores : array, shape (n, num_tags), optional
        For ``"errors"``: a tagger's probabilities for the clips of `dataset`.
    threshold : float or array of shape (num_tags,)
        For ``"errors"``: what makes a probability a yes.
    seed : int
    pad : bool
        As for `RandomCrops`.

    Raises
    ------
    ValueError
        If `sampling` is unknown, or scores are missing or given in vain.
    DatasetError
        If there are not enough clips for a triplet, or clips are shorter than a crop and `pad` is false.

    Warns
    -----
    mclass.mining.MiningWarning
        Names the tags that no triplet is drawn for.

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=24, clips_per_track=2, clip_seconds=4)
    >>> with warnings.catch_warnings():  # so few clips have not every tag
    ...     warnings.simplefilter("ignore", mining.MiningWarning)
    ...     crops = TripletCrops(etude, 48_000, same_track=True)
    >>> waveforms, tag = crops[0]
    >>> waveforms.shape
    torch.Size([4, 48000])
    """

    def __init__(
        self,
        dataset: MusicDataset,
        num_samples: int,
        num_triplets: int | None = None,
        *,
        sampling: str = "tags",
        same_track: bool = False,
        scores: np.ndarray | None = None,
        threshold: float | np.ndarray = 0.5,
        seed: int = 0,
        pad: bool = False,
    ):
        if sampling not in SAMPLINGS:
            raise ValueError(unknown_name("way to draw triplets", sampling, SAMPLINGS))
        if (scores is not None) != (sampling == "errors"):
            raise ValueError(
                'sampling="errors" and scores= need one another: scores are what a trained tagger says of the '
                f"training clips; got sampling={sampling!r} and {'no ' if scores is None else ''}scores"
            )
        if scores is not None and len(scores) != len(dataset):
            raise DatasetError(
                f"{len(scores)} rows of scores and {len(dataset)} clips: the scores must be those of the training "
                "clips, in their order (mclass.inference.predict gives them)"
            )
        self.dataset, self.num_samples, self.pad, self.seed = dataset, num_samples, pad, seed
        self.lengths = check_lengths(dataset, num_samples, pad)
        self.num_triplets = len(dataset) if num_triplets is None else num_triplets
        self.sampling, self.same_track, self.scores, self.threshold = sampling, same_track, scores, threshold
        try:
            self._drawn = (0, self._draw(0))  # warns of what is left out: once is enough
        except ValueError as error:
            raise DatasetError(f"no triplets from {dataset.name!r} ({len(dataset)} clips): {error}") from None

    def _draw(self, epoch: int) -> mining.Triplets:
        number, seed, tracks = self.num_triplets, (self.seed, epoch), self.dataset.track_ids
        labels, named = self.dataset.labels, {"tags": self.dataset.tags, "known": self.dataset.known, "seed": seed}
        if self.sampling == "tags":
            return mining.tag_triplets(labels, number, tracks=tracks, **named)
        if self.sampling == "track":
            return mining.group_triplets(tracks, number, seed=seed)
        if self.sampling == "artist":
            return mining.group_triplets(self.dataset.artist_ids, number, tracks=tracks, seed=seed)
        return mining.error_triplets(labels, self.scores, number, threshold=self.threshold, **named)

    def triplets(self, epoch: int) -> mining.Triplets:
        """The clips of an epoch's triplets."""
        if self._drawn[0] != epoch:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", mining.MiningWarning)
                self._drawn = (epoch, self._draw(epoch))
        return self._drawn[1]

    def __len__(self) -> int:
        return self.num_triplets

    def __getitem__(self, index: int | tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """``(waveforms (3 or 4, num_samples), tag ())`` of triplet ``index`` or ``(epoch, index)``.

        The tag is the number of the one that made the triplet, -1 where no tag did.
        """
        epoch, index = index if isinstance(index, tuple) else (0, index)
        if not 0 <= index < len(self):
            raise IndexError(f"triplet {index} asked of {len(self)}")
        triplets = self.triplets(epoch)
        clips = [int(part[index]) for part in triplets]
        rng = np.random.default_rng((self.seed, epoch, index))
        if self.same_track:
            same = np.flatnonzero(self.dataset.track_ids == self.dataset.track_ids[clips[0]])
            others = same[same != clips[0]]
            clips.append(int(rng.choice(others)) if len(others) else clips[0])
        starts = rng.integers(np.maximum(self.lengths[clips] - self.num_samples, 0) + 1)
        waveforms = [
            read_padded(self.dataset, clip, int(start), self.num_samples)
            for clip, start in zip(clips, starts, strict=True)
        ]
        tag = -1 if triplets.tag is None else int(triplets.tag[index])
        return torch.stack(waveforms), torch.tensor(tag)


class BalancedShares(torch.utils.data.Sampler):
    """This process's part of each of `mclass.mining.TagBalancedBatches`.

    Examples
    --------
    >>> batches = mining.TagBalancedBatches(np.eye(2, dtype=int).repeat(3, axis=0), 2, 2, num_batches=1)
    >>> [index for _, index in BalancedShares(batches, rank=0, processes=1)]
    [5, 4, 2, 0]
    >>> [[index for _, index in BalancedShares(batches, rank, processes=2)] for rank in range(2)]
    [[5, 4], [2, 0]]
    """

    def __init__(self, batches: mining.TagBalancedBatches, rank: int, processes: int):
        self.batches, self.rank, self.processes = batches, rank, processes
        self.share = batches.tags_per_batch * batches.clips_per_tag // processes

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches) * self.share

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for batch in self.batches:
            yield from batch[self.rank * self.share : (self.rank + 1) * self.share]
