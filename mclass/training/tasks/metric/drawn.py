"""Triplets that are drawn before the model is asked.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mclass import losses, mining
from mclass.datasets import MusicDataset
from mclass.datasets.triplets import TripletCrops
from mclass.training.tasks.metric.comparison import Comparison
from mclass.training.tasks.metric.strategy import Strategy


class Drawn(Strategy):
    """Anchor and positive share a random tag, or are of one track or artist.

    Parameters
    ----------
    comparison : Comparison
    sampling : {"tags", "track", "artist"}
    num_triplets : int, optional
        Drawn in an epoch; as many as clips if not given.
    """

    def __init__(self, comparison: Comparison, sampling: str, num_triplets: int | None):
        super().__init__(comparison)
        self.sampling, self.num_triplets = sampling, num_triplets

    @property
    def drawing(self) -> dict[str, Any]:
        """What else `TripletCrops` must know."""
        return {}

    def training_set(self, train: MusicDataset, num_samples: int, seed: int, pad: bool) -> TripletCrops:
        """Crops of anchors, positives, negatives and, for track regularisation, other clips of the track."""
        return TripletCrops(
            train,
            num_samples,
            self.num_triplets,
            sampling=self.sampling,
            same_track=isinstance(self.comparison.loss, losses.TrackRegularizedLoss),
            seed=seed,
            pad=pad,
            **self.drawing,
        )

    def batch_loss(self, z: torch.Tensor, about: torch.Tensor) -> tuple[torch.Tensor, mining.Difficulty]:
        """Of embeddings ``(triplets, 3 or 4, dim)`` and the tags ``(triplets,)`` that made the triplets."""
        crops, notion = z.unbind(1), self.comparison.notions.of(about)
        return self.comparison.loss_of(crops, notion), self.comparison.difficulty(crops[:3], notion)


class Errors(Drawn):
    """What a tagger confuses: of a tag, hits, misses and false alarms.

    Parameters
    ----------
    comparison : Comparison
    num_triplets : int, optional
    scores : array, shape (n, num_tags)
        A trained tagger's probabilities for the training clips.
    threshold : float or array of shape (num_tags,)
        What makes them a yes.
    """

    def __init__(
        self,
        comparison: Comparison,
        num_triplets: int | None,
        scores: np.ndarray,
        threshold: float | np.ndarray,
    ):
        super().__init__(comparison, "errors", num_triplets)
        self.scores, self.threshold = scores, threshold

    @property
    def drawing(self) -> dict[str, Any]:
        """The tagger's answers."""
        return {"scores": self.scores, "threshold": self.threshold}
