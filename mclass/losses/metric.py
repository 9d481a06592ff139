"""Losses of metric learning: what is alike comes close, what is not goes away.

Distances are ``"cosine"``, 1 minus the cosine, from 0 to 2, or ``"euclidean"``.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from mclass.losses.base import (
    Loss,
    check_embeddings,
    check_indices,
    check_zero_one,
    count,
    in_float32,
    number,
    one_of,
    unit,
)

DISTANCES = ("cosine", "euclidean")


def distances(x: torch.Tensor, y: torch.Tensor, distance: str = "cosine") -> torch.Tensor:
    """Distance of each row of `x` from the same row of `y`.

    Examples
    --------
    >>> distances(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]]), "euclidean")
    tensor([5.])
    """
    if distance == "cosine":
        return 1 - (unit(x) * unit(y)).sum(-1)
    return torch.linalg.vector_norm(x - y, dim=-1)


class ContrastiveLoss(Loss):
    """Pairs: half the squared distance of those alike, half the squared lack of distance of those that are not.

    ``½ d²`` if alike, else ``½ max(0, margin - d)²`` (Hadsell et al., 2006, equation 4).

    Parameters
    ----------
    margin : float
        How far apart is far enough.
    distance : {"euclidean", "cosine"}
    reduction : {"mean", "sum", "none"}
        ``"none"`` gives shape ``(batch,)``.

    Attributes
    ----------
    statistics : dict
        ``active``: share of pairs whose loss is not zero.

    Raises
    ------
    ValueError
        If the embeddings are not two float tensors ``(batch, dim)``, `same` is not 0 or 1 per row, or the
        result is not finite.

    References
    ----------
    R. Hadsell, S. Chopra and Y. LeCun, "Dimensionality reduction by learning an invariant mapping", CVPR 2006.

    Examples
    --------
    >>> x, y = torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([[0.0, 0.5], [0.0, 0.5]])
    >>> ContrastiveLoss(margin=2.0, reduction="none")(x, y, torch.tensor([1, 0]))
    tensor([0.1250, 1.1250])
    """

    def __init__(self, margin: float = 1.0, distance: str = "euclidean", reduction: str = "mean"):
        super().__init__(reduction)
        self.margin = number("margin", margin, low=0.0, open_low=True)
        self.distance = one_of("distance", distance, DISTANCES)

    @in_float32
    def forward(self, x: torch.Tensor, y: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
        """Compare each row of `x` with that of `y`, ``(batch, dim)``; `same`, ``(batch,)``, says if alike."""
        check_embeddings(x=x, y=y)
        if isinstance(same, torch.Tensor) and (same.dtype == torch.bool or same.is_floating_point()):
            if self.check_values and same.device == x.device:
                check_zero_one("same", same)
            same = same.long()
        check_indices("same", same, x, 2, self.check_values)
        d = distances(x, y, self.distance)
        values = torch.where(same.bool(), d, (self.margin - d).relu()).square() / 2
        self.statistics = {"active": (values.detach() > 0).float().mean()}
        return self.reduce(values, {"x": x, "y": y})


class TripletLoss(Loss):
    """The positive shall be nearer to the anchor than the negative, by a margin.

    ``max(0, d(anchor, positive) - d(anchor, negative) + margin)``

    Parameters
    ----------
    margin : float
    distance : {"cosine", "euclidean"}
    reduction : {"mean", "sum", "none"}
        The mean is over all triplets, also those that are right already; ``"none"`` gives shape ``(batch,)``.

    Attributes
    ----------
    statistics : dict
        ``active``: share of triplets that are not right yet, from which alone anything is learned.

    Raises
    ------
    ValueError
        If the embeddings are not three float tensors ``(batch, dim)`` of one shape, dtype and device with at
        least one row, one is not finite, or, for cosines, has norm 0.

    References
    ----------
    F. Schroff, D. Kalenichenko and J. Philbin, "FaceNet", CVPR 2015, equation 1.

    Examples
    --------
    >>> anchor, positive, negative = torch.tensor([[[1.0, 0.0]], [[0.6, 0.8]], [[0.8, 0.6]]])
    >>> loss = TripletLoss(margin=0.4)
    >>> loss(anchor, positive, negative), loss.statistics["active"]
    (tensor(0.6000), tensor(1.))
    """

    def __init__(self, margin: float = 0.4, distance: str = "cosine", reduction: str = "mean"):
        super().__init__(reduction)
        self.margin = number("margin", margin, low=0.0)
        self.distance = one_of("distance", distance, DISTANCES)

    @in_float32
    def forward(self, anchor: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
        """Compare three sets of embeddings, shape ``(batch, dim)`` each."""
        check_embeddings(anchor=anchor, positive=positive, negative=negative)
        values = self.hinge(anchor, positive, negative)
        self.statistics = {"active": (values.detach() > 0).float().mean()}
        return self.reduce(values, {"anchor": anchor, "positive": positive, "negative": negative})

    def hinge(self, anchor: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
        """Loss of each triplet, shape ``(batch,)``."""
        near, far = (distances(anchor, other, self.distance) for other in (positive, negative))
        return (near - far + self.margin).relu()


class DisentangledTripletLoss(TripletLoss):
    """Triplets of several notions of similarity: each notion has a block of the embedding to itself.

    The embedding is cut into `num_notions` equal blocks, and a triplet that was drawn by a tag of one notion (see
    `mclass.tags.notion`) is compared in that notion's block alone: the mask is 1 there and 0 elsewhere. The other
    blocks receive no gradient from it.

    Parameters
    ----------
    margin : float
    num_notions : int
    distance, reduction
        As `TripletLoss`.

    Attributes
    ----------
    statistics : dict
        ``active``: share of triplets that are not right yet; ``active_by_notion``: the same for each notion, NaN
        for one without triplets.

    Raises
    ------
    ValueError
        As `TripletLoss`; if the blocks do not divide the embedding, or `notion` is not one integer per triplet
        from 0 to ``num_notions - 1``.

    References
    ----------
    J. Lee, N. J. Bryan, J. Salamon, Z. Jin and J. Nam, "Disentangled multidimensional metric learning for music
    similarity", ICASSP 2020.

    Examples
    --------
    >>> anchor = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    >>> positive = torch.tensor([[1.0, 0.0, 0.0, 1.0]])  # the same in block 0, another direction in block 1
    >>> negative = torch.tensor([[0.0, 1.0, 1.0, 0.0]])  # the other way round
    >>> loss = DisentangledTripletLoss(margin=0.4, num_notions=2)
    >>> loss(anchor, positive, negative, torch.tensor([0])), loss(anchor, positive, negative, torch.tensor([1]))
    (tensor(0.), tensor(1.4000))
    """

    def __init__(
        self, margin: float = 0.4, num_notions: int = 4, distance: str = "cosine", reduction: str = "mean"
    ):
        super().__init__(margin, distance, reduction)
        self.num_notions = count("num_notions", num_notions)

    @in_float32
    def forward(
        self, anchor: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, notion: torch.Tensor
    ) -> torch.Tensor:
        """Compare embeddings, shape ``(batch, dim)`` each, in the block of `notion`, shape ``(batch,)``."""
        check_embeddings(anchor=anchor, positive=positive, negative=negative)
        check_indices("notion", notion, anchor, self.num_notions, self.check_values)
        blocks = [self.block(x, notion) for x in (anchor, positive, negative)]
        values = self.hinge(*blocks)
        active = (values.detach() > 0).to(values.dtype)
        member = F.one_hot(notion.long(), self.num_notions).to(active)  # (batch, num_notions)
        self.statistics = {"active": active.mean(), "active_by_notion": active @ member / member.sum(0)}
        return self.reduce(values, dict(zip(("anchor", "positive", "negative"), blocks, strict=True)))

    def block(self, embeddings: torch.Tensor, notion: torch.Tensor) -> torch.Tensor:
        """Cut each row's block out, shape ``(batch, dim / num_notions)``; the mask would leave zeros around it."""
        if embeddings.shape[1] % self.num_notions:
            raise ValueError(
                f"{self.num_notions} equal blocks do not make an embedding of {embeddings.shape[1]} dimensions; "
                f"take one that {self.num_notions} divides, or change num_notions"
            )
        blocks = embeddings.unflatten(1, (self.num_notions, -1))  # (batch, num_notions, dim / num_notions)
        return blocks[torch.arange(len(blocks), device=blocks.device), notion.long()]


class TrackRegularizedLoss(Loss):
    """Disentangled triplets, and all of the embedding kept specific to the track: ``L = L_D + λ L_R``.

    Tags alone would let all sad songs fall on one point. Track regularisation is a triplet loss without a mask
    whose positive is another excerpt of the anchor's own track: over all blocks together, a track stays most
    similar to itself.

    Parameters
    ----------
    margin : float
        Of both losses.
    num_notions : int
    weight : float
        λ.
    distance, reduction
        As `TripletLoss`.

    Attributes
    ----------
    statistics : dict
        Those of `DisentangledTripletLoss`, and ``active_track``: share of regularising triplets not right yet.

    Raises
    ------
    ValueError
        As `DisentangledTripletLoss`.

    References
    ----------
    J. Lee et al., 2020 (see `DisentangledTripletLoss`).

    Examples
    --------
    >>> z = torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(0)).unbind()
    >>> TrackRegularizedLoss(num_notions=2)(*z[:3], notion=torch.tensor([0, 1, 1]), same_track=z[3]).shape
    torch.Size([])
    """

    def __init__(
        self,
        margin: float = 0.4,
        num_notions: int = 4,
        weight: float = 0.5,
        distance: str = "cosine",
        reduction: str = "mean",
    ):
        super().__init__(reduction)
        self.weight = number("weight", weight, low=0.0)
        self.disentangled = DisentangledTripletLoss(margin, num_notions, distance, reduction)
        self.track = TripletLoss(margin, distance, reduction)

    def forward(
        self,
        anchor: torch.Tensor,
        positive: torch.Tensor,
        negative: torch.Tensor,
        notion: torch.Tensor,
        same_track: torch.Tensor,
        other_track: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Add both losses. Shapes ``(batch, dim)``.

        `other_track` is the negative unless given. That one lacks the anchor's tag, and where labels are weak it
        can be a clip of the anchor's own track.
        """
        self.disentangled.check_values = self.track.check_values = self.check_values
        tags = self.disentangled(anchor, positive, negative, notion)
        track = self.track(anchor, same_track, negative if other_track is None else other_track)
        self.statistics = {**self.disentangled.statistics, "active_track": self.track.statistics["active"]}
        return tags + self.weight * track
