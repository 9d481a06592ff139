"""Several crops of each clip: what a model learns from that is told only that they belong together.

Taught in: 07_clmr.
"""

from __future__ import annotations

import numpy as np
import torch

from mclass.augmentations.base import Transform
from mclass.datasets.base import MusicDataset
from mclass.datasets.crops import RandomCrops, read_padded


class Views(RandomCrops):
    """Several random crops per clip and epoch, each from another place where the clip is long enough.

    Parameters
    ----------
    dataset : MusicDataset
    num_samples : int
        Length of a crop.
    num_views : int
        Crops of each clip.
    same : bool
        The same crop each time; what then differs is left to an augmentation.
    seed : int
        The crops of clip ``i`` in epoch ``e`` depend on ``(seed, e, i)`` alone.
    pad : bool
        Pad clips that are shorter than a crop with zeros instead of refusing them.
    augment : Transform, optional
        Applied to the crops here, with draws that depend on ``(seed, e, i)``, too: for views that must be the same
        each time, wherever they are made. A training batch is better augmented as a whole.

    Raises
    ------
    ValueError
        If `num_views` is not a positive whole number.
    DatasetError
        If clips are shorter than a crop and `pad` is false.

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> views, labels = Views(etude, num_samples=48_000)[0]
    >>> views.shape, bool((views[0] == views[1]).all())
    (torch.Size([2, 48000]), False)
    """

    def __init__(
        self,
        dataset: MusicDataset,
        num_samples: int,
        num_views: int = 2,
        same: bool = False,
        seed: int = 0,
        pad: bool = False,
        augment: Transform | None = None,
    ):
        if isinstance(num_views, bool) or num_views != int(num_views) or num_views < 1:
            raise ValueError(f"num_views must be a whole number of at least 1, got {num_views!r}")
        super().__init__(dataset, num_samples, seed, pad)
        self.num_views, self.same, self.augment = int(num_views), same, augment

    def starts(self, epoch: int, index: int) -> np.ndarray:
        """First sample of each crop of a clip, shape ``(num_views,)``."""
        places = max(int(self.lengths[index]) - self.num_samples, 0) + 1
        rng = np.random.default_rng((self.seed, epoch, index))
        if self.same:
            return np.repeat(rng.integers(places), self.num_views)
        return rng.choice(places, self.num_views, replace=places < self.num_views)

    def __getitem__(self, index: int | tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """``(views (num_views, num_samples), labels (num_tags,))`` of clip ``index`` or ``(epoch, index)``."""
        epoch, index = index if isinstance(index, tuple) else (0, index)
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} asked of {len(self)}")
        starts = self.starts(epoch, index)
        views = torch.stack([read_padded(self.dataset, index, int(start), self.num_samples) for start in starts])
        if self.augment is not None:
            drawn = np.random.SeedSequence((self.seed, epoch, index, 1)).generate_state(1)[0]
            views = self.augment(views, torch.Generator().manual_seed(int(drawn)))
        return views, self.dataset.target(index)
