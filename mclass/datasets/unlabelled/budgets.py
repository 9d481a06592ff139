"""Few labels and many recordings: splits for learning from both.

Taught in: 06_semi_supervised.
"""

from __future__ import annotations

import numpy as np
import torch

from mclass.datasets.base import MusicDataset, Subset
from mclass.datasets.crops import RandomCrops
from mclass.errors import DatasetError, unknown_name


def label_budget(
    dataset: MusicDataset, share: float, seed: int = 0, by: str = "track"
) -> tuple[Subset, Subset | None]:
    """Pretend that only a share of the clips was labelled.

    Parameters
    ----------
    dataset : MusicDataset
    share : float
        Of the clips, above 0 and at most 1. The budgets of one seed contain each other: what 1 % labels, 5 %
        labels, too.
    seed : int
    by : {"track", "artist", "clip"}
        What is labelled as a whole.

    Returns
    -------
    labelled : Subset
        At least one track (artist, clip); as near to the share as whole ones allow.
    unlabelled : Subset or None
        All other clips. They still have their labels: nothing of this course looks at them.

    Raises
    ------
    ValueError
        If `share` or `by` is not allowed.
    DatasetError
        If the data set has no clips.

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> labelled, unlabelled = label_budget(etude, 0.25)
    >>> len(labelled), len(unlabelled)
    (6, 18)
    """
    if not 0 < share <= 1:
        raise ValueError(
            f"share is a part of all clips, above 0 and at most 1, got {share}. (Was a percentage given?)"
        )
    groups = {"track": dataset.track_ids, "artist": dataset.artist_ids, "clip": np.arange(len(dataset))}
    if by not in groups:
        raise ValueError(unknown_name("kind of group", by, groups))
    if len(dataset) == 0:
        raise DatasetError(f"{dataset.name!r} has no clips to label")
    names, inverse, sizes = np.unique(groups[by], return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    labelled_clips = np.cumsum(sizes[order])
    count = 1 + int(np.abs(labelled_clips - share * len(dataset)).argmin())
    chosen = np.isin(inverse, order[:count])
    rest = None if chosen.all() else dataset.subset(~chosen)
    return dataset.subset(chosen), rest


class WithUnlabelled(torch.utils.data.Dataset):
    """Random crops with labels, each with random crops of other clips that have none.

    An epoch goes through the labelled clips once. Which unlabelled clips an example gets depends on
    ``(seed, epoch, index)`` alone.

    Parameters
    ----------
    labelled, unlabelled : MusicDataset
    num_samples : int
        Length of a crop.
    per_example : int
        Unlabelled crops for each labelled one.
    seed : int
    pad : bool
        As for `RandomCrops`.

    Raises
    ------
    DatasetError
        If a data set has no clips or, without `pad`, clips shorter than a crop; if sample rates differ.

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> labelled, unlabelled = label_budget(etude, 0.25)
    >>> waveform, labels, others = WithUnlabelled(labelled, unlabelled, 48_000, per_example=3)[0]
    >>> waveform.shape, others.shape
    (torch.Size([48000]), torch.Size([3, 48000]))
    """

    def __init__(
        self,
        labelled: MusicDataset,
        unlabelled: MusicDataset,
        num_samples: int,
        per_example: int = 1,
        seed: int = 0,
        pad: bool = False,
    ):
        if per_example < 1 or per_example != int(per_example):
            raise ValueError(f"per_example must be a whole number of at least 1, got {per_example}")
        if labelled.sample_rate != unlabelled.sample_rate:
            raise DatasetError(
                f"the labelled clips have {labelled.sample_rate} Hz and the unlabelled ones "
                f"{unlabelled.sample_rate}; load both at the rate of the model"
            )
        self.labelled = RandomCrops(labelled, num_samples, seed=seed, pad=pad)
        self.unlabelled = RandomCrops(unlabelled, num_samples, seed=seed + 1, pad=pad)
        self.per_example, self.seed = int(per_example), seed

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, index: int | tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """``(waveform (num_samples,), labels (num_tags,), unlabelled waveforms (per_example, num_samples))``."""
        epoch, index = index if isinstance(index, tuple) else (0, index)
        waveform, labels = self.labelled[epoch, index]
        # A walk through a shuffled pool: no clip comes again before all have come.
        first = (epoch * len(self) + index) * self.per_example
        others = []
        for position in range(first, first + self.per_example):
            turn, place = divmod(position, len(self.unlabelled))
            order = np.random.default_rng((self.seed, turn)).permutation(len(self.unlabelled))
            others.append(self.unlabelled[turn, int(order[place])][0])
        return waveform, labels, torch.stack(others)
