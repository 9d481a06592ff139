"""Triplets found in a batch, by the distances that the model gives now.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

import numpy as np
import torch

from mclass import mining
from mclass.training.tasks.metric.comparison import Comparison
from mclass.training.tasks.metric.labelled import Labelled


class Mined(Labelled):
    """Triplets of one kind, in batches of a few tags.

    Parameters
    ----------
    comparison : Comparison
    kind : {"easy", "semi-hard", "hard"}
        How near the negative is, see `mclass.mining.mine`.
    clips_per_tag : int
    """

    def __init__(self, comparison: Comparison, kind: str, clips_per_tag: int):
        super().__init__(comparison, clips_per_tag)
        self.kind = kind

    def whole_batch_loss(self, z: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, mining.Difficulty]:
        """The loss of the triplets that are there, and how difficult all valid ones are."""
        triplets, notion, counts = self.triplets(z, labels)
        if len(triplets) == 0:  # `mine` has warned
            return 0 * z.sum(), counts
        return self.comparison.loss_of([z[rows] for rows in triplets], notion), counts

    def triplets(
        self, z: torch.Tensor, labels: torch.Tensor
    ) -> tuple[mining.Triplets, torch.Tensor, mining.Difficulty]:
        """Triplets of the wanted kind in a batch, with their notions; for each notion in its block, by its tags.

        Parameters
        ----------
        z : torch.Tensor, shape (batch, dim)
        labels : torch.Tensor, shape (batch, num_tags)

        Raises
        ------
        ValueError
            If the batch has no triplet at all.
        """
        notions = self.comparison.notions
        if notions.num == 1:
            found = self._found(z, *mining.share_tag(labels))
            return found, torch.zeros_like(found.anchor), found.difficulty
        parts, numbers, counts = [], [], np.zeros(3, dtype=int)
        for notion, block in enumerate(z.chunk(notions.num, dim=1)):
            masks = mining.share_tag(labels[:, notions.tags_of(notion, labels.device)])
            if not (masks[0].any(1) & masks[1].any(1)).any():
                continue  # this batch has nothing to say about this notion
            found = self._found(block, *masks)
            parts.append(torch.stack(list(found)))
            numbers.append(torch.full_like(found.anchor, notion))
            counts += [found.difficulty.hard, found.difficulty.semi_hard, found.difficulty.easy]
        if not parts:
            raise ValueError(f"a batch of {len(z)} has no valid triplet for any notion; make batches larger")
        return mining.Triplets(*torch.cat(parts, dim=1)), torch.cat(numbers), mining.Difficulty(*counts.tolist())

    def _found(self, z: torch.Tensor, *masks: torch.Tensor) -> mining.Triplets:
        margin, distance = self.comparison.margin, self.comparison.distance
        return mining.mine(z, *masks, self.kind, margin=margin, distance=distance)
