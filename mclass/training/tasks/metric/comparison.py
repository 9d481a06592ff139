"""How the losses of triplets and pairs are asked, and how difficult the triplets are.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from mclass import losses, mining
from mclass.training.tasks.metric.notions import Notions


def _triplets(loss, notion, anchor, positive, negative, *_) -> torch.Tensor:
    return loss(anchor, positive, negative)


def _triplets_of_notions(loss, notion, anchor, positive, negative, *_) -> torch.Tensor:
    return loss(anchor, positive, negative, notion)


def _triplets_and_tracks(loss, notion, anchor, positive, negative, same_track) -> torch.Tensor:
    return loss(anchor, positive, negative, notion, same_track)


def _similar_and_other_pairs(loss, notion, anchor, positive, negative, *_) -> torch.Tensor:
    same = torch.tensor([1, 0], device=anchor.device).repeat_interleave(len(anchor))
    return loss(torch.cat([anchor, anchor]), torch.cat([positive, negative]), same)


def _pairs_among_each_other(loss, notion, anchor, positive, *_) -> torch.Tensor:
    return loss(anchor, positive)


# How each loss takes a notion, anchors, positives, negatives and clips of the same track: the first that fits.
WAYS = {
    losses.DisentangledTripletLoss: _triplets_of_notions,
    losses.TrackRegularizedLoss: _triplets_and_tracks,
    losses.TripletLoss: _triplets,
    losses.ContrastiveLoss: _similar_and_other_pairs,
    losses.NTXentLoss: _pairs_among_each_other,
}


class Comparison:
    """Gives triplets of embeddings to a loss.

    Parameters
    ----------
    loss : mclass.losses.Loss
        Of triplets or pairs.
    notions : mapping of str to sequence of str
        See `Notions`.

    Attributes
    ----------
    triplet_loss : mclass.losses.Loss
        The part of the loss that compares triplets by tags.
    notions : Notions
    margin : float
        What makes a triplet easy.
    distance : str

    Examples
    --------
    >>> anchor, positive, negative = torch.tensor([[[1.0, 0.0]], [[0.6, 0.8]], [[0.8, 0.6]]])
    >>> comparison = Comparison(losses.TripletLoss(margin=0.4), {})
    >>> comparison.loss_of([anchor, positive, negative], torch.tensor([0]))
    tensor(0.6000)
    """

    def __init__(self, loss: losses.Loss, notions: Mapping[str, Sequence[str]]):
        self.loss = loss
        self.triplet_loss = loss.disentangled if isinstance(loss, losses.TrackRegularizedLoss) else loss
        self.notions = Notions(self.triplet_loss, notions)
        self.margin = float(getattr(self.triplet_loss, "margin", 0.4))
        self.distance: str = getattr(self.triplet_loss, "distance", "cosine")

    def loss_of(self, z: Sequence[torch.Tensor], notion: torch.Tensor) -> torch.Tensor:
        """The loss of anchors, positives, negatives and, for track regularisation, clips of the same track.

        Parameters
        ----------
        z : sequence of torch.Tensor, shape (triplets, dim) each
        notion : torch.Tensor, shape (triplets,)
        """
        way = next(way for kind, way in WAYS.items() if isinstance(self.loss, kind))
        return way(self.loss, notion, *z)

    def difficulty(self, z: Sequence[torch.Tensor], notion: torch.Tensor) -> mining.Difficulty:
        """How many of the triplets are hard, semi-hard and easy, each compared in the block of its notion."""
        rows = torch.arange(3 * len(notion), device=notion.device).view(3, -1)
        blocks = torch.cat(self.notions.cut(z, notion))
        return mining.difficulty(blocks, mining.Triplets(*rows), margin=self.margin, distance=self.distance)
