"""What mining returns: triplets, how difficult they are, and what was left out.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

KINDS = ("hard", "semi-hard", "easy")


class MiningWarning(UserWarning):
    """Something was left out, for want of examples; the message says what."""


@dataclass(frozen=True)
class Difficulty:
    """How many triplets are hard, semi-hard and easy.

    Examples
    --------
    >>> Difficulty(hard=1, semi_hard=1, easy=2).shares
    {'hard': 0.25, 'semi-hard': 0.25, 'easy': 0.5}
    """

    hard: int
    semi_hard: int
    easy: int

    @property
    def total(self) -> int:
        """All triplets."""
        return self.hard + self.semi_hard + self.easy

    @property
    def shares(self) -> dict[str, float]:
        """The share of each kind, NaN if there are no triplets."""
        counts = dict(zip(KINDS, (self.hard, self.semi_hard, self.easy), strict=True))
        return {kind: count / self.total if self.total else float("nan") for kind, count in counts.items()}


@dataclass(frozen=True)
class Triplets:
    """Indices of anchors, positives and negatives; unpacks into the three.

    Attributes
    ----------
    anchor, positive, negative : torch.Tensor, shape (triplets,), int64
    tag : torch.Tensor, shape (triplets,), int64, optional
        The column of the tag that made each triplet.
    difficulty : Difficulty, optional
        Of all valid triplets of the batch, of which these were chosen.

    Examples
    --------
    >>> triplets = Triplets(torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([2, 2]))
    >>> anchor, positive, negative = triplets
    >>> len(triplets), negative.tolist()
    (2, [2, 2])
    """

    anchor: torch.Tensor
    positive: torch.Tensor
    negative: torch.Tensor
    tag: torch.Tensor | None = None
    difficulty: Difficulty | None = None

    def __len__(self) -> int:
        return len(self.anchor)

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter((self.anchor, self.positive, self.negative))


def usable(enough: np.ndarray, names: list[str] | None, reason: str) -> np.ndarray:
    """Columns with enough examples; says which are left out, and refuses to go on without any.

    Examples
    --------
    >>> usable(np.array([True, True]), ["guitar", "harp"], "have no clips")
    array([0, 1])
    """
    what = "tags" if names else "groups"
    if not enough.any():
        raise ValueError(f"nothing can be drawn: all {len(enough)} {what} {reason}")
    if not enough.all():
        left_out = [f": {', '.join(np.array(names)[~enough])}"] if names else [""]
        warnings.warn(
            f"{(~enough).sum()} of {len(enough)} {what} {reason}, and are left out{left_out[0]}",
            MiningWarning,
            stacklevel=3,
        )
    return np.flatnonzero(enough)
