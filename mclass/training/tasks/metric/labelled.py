"""Batches of a few tags and several clips of each, in which something to compare can be found.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

import torch
from torch.utils.data import Dataset

from mclass import mining
from mclass.datasets import MusicDataset, RandomCrops
from mclass.datasets.triplets import BalancedShares
from mclass.distributed import gathered, place
from mclass.training.engine.distributed import joined
from mclass.training.tasks.metric.comparison import Comparison
from mclass.training.tasks.metric.strategy import Strategy


class Labelled(Strategy):
    """The loss sees the batch and its labels, and finds its own pairs.

    Parameters
    ----------
    comparison : Comparison
    clips_per_tag : int
        Must divide the batch size.
    """

    def __init__(self, comparison: Comparison, clips_per_tag: int):
        super().__init__(comparison)
        self.clips_per_tag = clips_per_tag

    def training_set(self, train: MusicDataset, num_samples: int, seed: int, pad: bool) -> RandomCrops:
        """Crops with labels."""
        return RandomCrops(train, num_samples, seed=seed, pad=pad)

    def sampler(self, examples: Dataset, batch_size: int, seed: int, rank: int, processes: int) -> BalancedShares:
        """This process's part of each batch of a few tags."""
        if batch_size % self.clips_per_tag:
            raise ValueError(
                f"batch_size must be a multiple of clips_per_tag={self.clips_per_tag}, got {batch_size}: a batch "
                "has that many clips of each of its tags"
            )
        batches = mining.TagBalancedBatches(
            examples.dataset.labels,
            batch_size // self.clips_per_tag,
            self.clips_per_tag,
            tags=examples.dataset.tags,
            seed=seed,
        )
        return BalancedShares(batches, rank, processes)

    def batch_loss(self, z: torch.Tensor, about: torch.Tensor) -> tuple[torch.Tensor, mining.Difficulty | None]:
        """Of embeddings ``(batch, dim)`` and labels ``(batch, num_tags)``, those of all processes together."""
        return self.whole_batch_loss(joined(z), gathered(about, dim=0) if place()[1] > 1 else about)

    def whole_batch_loss(
        self, z: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, mining.Difficulty | None]:
        """What the loss makes of all of it; there are no triplets."""
        return self.comparison.loss(z, labels), None
