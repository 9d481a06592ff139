"""Triplets inside a batch: which rows are similar, and hard, semi-hard or easy negatives for each pair.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from mclass._utils.arrays import as_tensor
from mclass.errors import unknown_name
from mclass.metrics.checks import check_groups, hide_unknown, validate_labels
from mclass.mining.triplets import KINDS, Difficulty, MiningWarning, Triplets

DISTANCES = ("cosine", "euclidean")


def share_tag(labels: torch.Tensor, known: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Who is similar to whom: who shares a tag. Masks of positives and negatives, ``(n, n)``, for `mine`.

    Parameters
    ----------
    labels : tensor, shape (n, num_tags)
        0 or 1. A clip without tags is neither positive nor negative to anybody: nothing is known of it.
    known : tensor of bool, shape (n, num_tags), optional
        Which labels are known. An unknown tag is neither shared nor not shared: clips are then negative to each
        other if they share no tag that both are known to have, and one is known to lack a tag of the other.

    Examples
    --------
    >>> positive, negative = share_tag(torch.tensor([[1, 0], [1, 1], [0, 1]]))
    >>> positive.int().tolist(), negative.int().tolist()
    ([[0, 1, 0], [1, 0, 1], [0, 1, 0]], [[0, 0, 1], [0, 0, 0], [1, 0, 0]])
    """
    device = getattr(labels, "device", "cpu")
    labels, known = hide_unknown(labels, known)
    truth = torch.from_numpy(validate_labels(labels)[0]).to(device)
    shared = (truth.float() @ truth.float().T) > 0
    has_tags = truth.any(dim=1)
    negative = ~shared & has_tags & has_tags[:, None]
    if known is not None:
        lacks = torch.from_numpy(known).to(device) & ~truth
        differ = (truth.float() @ lacks.float().T) > 0
        negative &= differ | differ.T
    return shared.fill_diagonal_(False), negative


def share_group(groups: torch.Tensor | np.ndarray | Sequence) -> tuple[torch.Tensor, torch.Tensor]:
    """Who is similar to whom: clips of one track, or of one artist. Masks as of `share_tag`.

    Parameters
    ----------
    groups : shape (n,)
        The track, or the artist, of each clip.

    Examples
    --------
    >>> positive, negative = share_group(["a", "b", "a"])
    >>> positive.int().tolist()
    [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    """
    numbers = torch.from_numpy(check_groups(groups, len(groups)).astype(np.int64))
    same = (numbers == numbers[:, None]).to(getattr(groups, "device", "cpu"))
    negative = ~same
    return same.fill_diagonal_(False), negative


def mine(
    embeddings: torch.Tensor,
    positives: torch.Tensor,
    negatives: torch.Tensor,
    kind: str = "semi-hard",
    *,
    margin: float = 0.4,
    distance: str = "cosine",
    closest: bool = False,
    generator: torch.Generator | None = None,
) -> Triplets:
    """One triplet of the wanted kind for each pair of anchor and positive that has one.

    Negatives are sorted by their distance from the anchor. The hard ones are then the first, the easy ones the
    last, and two binary searches tell where they end: no cube of n³ triplets is ever made.

    Parameters
    ----------
    embeddings : tensor, shape (n, dim)
        Gradients are not needed, and not kept.
    positives, negatives : tensor of bool, shape (n, n)
        Which column is a positive, and which a negative, of the row's anchor; see `share_tag` and `share_group`.
    kind : {"hard", "semi-hard", "easy"}
    margin : float
    distance : {"cosine", "euclidean"}
        Cosine: 1 minus the cosine similarity.
    closest : bool
        Take the negative of this kind that is closest to the anchor. By default, one at random.
    generator : torch.Generator, optional
        On the CPU.

    Returns
    -------
    Triplets
        ``.difficulty`` counts *all* valid triplets of the batch.

    Raises
    ------
    ValueError
        If shapes do not fit together, embeddings are not finite (or zero, for cosine), a clip is both positive and
        negative, its own positive or its own negative, or the batch has no valid triplet at all.

    Warns
    -----
    MiningWarning
        If the batch has valid triplets, but none of this kind: nothing is returned, and a loss would be empty.

    Examples
    --------
    >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])
    >>> triplets = mine(embeddings, *share_group(["a", "a", "b", "c"]), margin=0.4)
    >>> [index.tolist() for index in triplets], triplets.difficulty
    ([[0, 1], [1, 0], [2, 3]], Difficulty(hard=1, semi_hard=2, easy=1))
    """
    if kind not in KINDS:
        raise ValueError(unknown_name("kind of triplet", kind, KINDS))
    positives, negatives = _check_masks(embeddings, positives, negatives)
    distances = _distances(embeddings, distance)
    _check_margin(margin)
    anchor, positive = positives.nonzero(as_tuple=True)
    num_negatives = negatives.sum(dim=1)
    if not (num_negatives[anchor] > 0).any():
        missing = "pair of anchor and positive" if len(anchor) == 0 else "negative for an anchor with a positive"
        raise ValueError(
            f"a batch of {len(embeddings)} has no valid triplet: no {missing}. Draw batches that hold several "
            "clips of a tag or track, and of others (see mclass.mining.TagBalancedBatches)"
        )
    ordered, order = distances.masked_fill(~negatives, torch.inf).sort(dim=1, stable=True)  # negatives come first
    hard_end = torch.searchsorted(ordered, distances, right=True)
    semi_end = torch.searchsorted(ordered, distances + margin)
    semi_end = semi_end.maximum(hard_end)  # equal distances are hard, even without a margin
    bounds = [torch.zeros_like(hard_end), hard_end, semi_end, num_negatives[:, None].expand_as(hard_end)]
    bounds = [bound[anchor, positive].minimum(num_negatives[anchor]) for bound in bounds]
    counts = [int((end - start).sum()) for start, end in pairwise(bounds)]
    place = KINDS.index(kind)
    start, available = bounds[place], bounds[place + 1] - bounds[place]
    draw = torch.rand(len(anchor), generator=generator).to(available.device)
    rank = start if closest else start + (draw * available).long().clamp(max=available - 1)
    chosen = available > 0
    if not chosen.any():
        warnings.warn(
            f"of {sum(counts)} valid triplets in the batch none is {kind} "
            f"({counts[0]} hard, {counts[1]} semi-hard, {counts[2]} easy; margin={margin})",
            MiningWarning,
            stacklevel=2,
        )
    anchor, positive, rank = anchor[chosen], positive[chosen], rank[chosen]
    return Triplets(anchor, positive, order[anchor, rank], difficulty=Difficulty(*counts))


def difficulty(
    embeddings: torch.Tensor, triplets: Triplets, *, margin: float = 0.4, distance: str = "cosine"
) -> Difficulty:
    """How hard given triplets are for given embeddings, ``(n, dim)``; parameters and errors as of `mine`.

    Examples
    --------
    >>> triplets = Triplets(*torch.tensor([[0], [1], [2]]))
    >>> difficulty(torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]]), triplets)
    Difficulty(hard=0, semi_hard=1, easy=0)
    """
    _check_margin(margin)
    to_positive, to_negative = (
        _distances(embeddings, distance, triplets.anchor, other)
        for other in (triplets.positive, triplets.negative)
    )
    hard = int((to_negative <= to_positive).sum())
    easy = int(((to_negative >= to_positive + margin) & (to_negative > to_positive)).sum())
    return Difficulty(hard, len(triplets) - hard - easy, easy)


def _distances(embeddings, distance, rows=None, columns=None) -> torch.Tensor:
    """All distances, ``(n, n)``, or those of pairs."""
    if distance not in DISTANCES:
        raise ValueError(unknown_name("distance", distance, DISTANCES))
    if not isinstance(embeddings, torch.Tensor) or embeddings.ndim != 2 or not embeddings.is_floating_point():
        shape = (
            f"{embeddings.dtype} {tuple(embeddings.shape)}" if hasattr(embeddings, "dtype") else type(embeddings)
        )
        raise ValueError(f"embeddings must be a float tensor of shape (n, dim), got {shape}")
    embeddings = embeddings.detach()
    embeddings = embeddings.float() if embeddings.itemsize < 4 else embeddings
    if not embeddings.isfinite().all():
        raise ValueError("embeddings must be finite; they hold NaN or infinity. (Did training diverge?)")
    if distance == "cosine":
        lengths = embeddings.norm(dim=1, keepdim=True)
        if (lengths == 0).any():
            row = int((lengths[:, 0] == 0).nonzero()[0])
            raise ValueError(f"row {row} of the embeddings is zero: a cosine distance needs a direction")
        embeddings = embeddings / lengths
        if rows is None:
            return 1 - embeddings @ embeddings.T
        return 1 - (embeddings[rows] * embeddings[columns]).sum(dim=1)
    if rows is None:
        return torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
    return (embeddings[rows] - embeddings[columns]).norm(dim=1)


def _check_masks(embeddings, positives, negatives) -> tuple[torch.Tensor, torch.Tensor]:
    n = len(embeddings)
    masks = []
    for name, mask in (("positives", positives), ("negatives", negatives)):
        mask = as_tensor(mask)
        if mask.dtype != torch.bool or mask.shape != (n, n):
            raise ValueError(
                f"{name} must be a bool tensor of shape ({n}, {n}), one row and column for each embedding; got "
                f"{mask.dtype} {tuple(mask.shape)}"
            )
        if mask.diagonal().any():
            raise ValueError(f"row {int(mask.diagonal().nonzero()[0])} of {name} says so of the clip itself")
        masks.append(mask.to(embeddings.device))
    both = (masks[0] & masks[1]).nonzero()
    if len(both):
        raise ValueError(f"rows {both[0].tolist()} are said to be both positives and negatives of one another")
    return masks[0], masks[1]


def _check_margin(margin: float) -> None:
    if not 0 <= margin < float("inf"):
        raise ValueError(f"margin must be finite and not negative, got {margin!r}")
