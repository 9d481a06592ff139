"""What `mclass.training.MetricLearning` asks of a way to choose what is compared.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

import torch
from torch.utils.data import Dataset, Sampler

from mclass import mining
from mclass.datasets import MusicDataset
from mclass.training.engine import distributed
from mclass.training.tasks.metric.comparison import Comparison


class Strategy:
    """Base class: what is in a batch, and what is compared in it.

    Parameters
    ----------
    comparison : Comparison
    """

    def __init__(self, comparison: Comparison):
        self.comparison = comparison

    def training_set(self, train: MusicDataset, num_samples: int, seed: int, pad: bool) -> Dataset:
        """The examples of an epoch, crops of `num_samples`; see `mclass.training.Task`."""
        raise NotImplementedError

    def sampler(self, examples: Dataset, batch_size: int, seed: int, rank: int, processes: int) -> Sampler:
        """This process's part of each batch; any examples make one, unless a strategy is choosy."""
        return distributed.SharedEpochs(len(examples), batch_size, seed, rank, processes)

    def batch_loss(self, z: torch.Tensor, about: torch.Tensor) -> tuple[torch.Tensor, mining.Difficulty | None]:
        """The loss of a batch's embeddings, and how difficult its triplets are if it has any.

        Parameters
        ----------
        z : torch.Tensor, shape (batch, …, dim)
        about : torch.Tensor, shape (batch, …)
            What the examples say of themselves.
        """
        raise NotImplementedError
