"""Notions of similarity, each of which has a block of the embedding to itself.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from mclass import losses
from mclass.datasets import MusicDataset
from mclass.training.tasks.metric_options import notion_of_tags


class Notions:
    """Which notion a tag belongs to, and where in the embedding that is compared.

    Parameters
    ----------
    loss : mclass.losses.Loss
        Of triplets; one without notions has a single one, which is all of the embedding.
    names : mapping of str to sequence of str
        The notions, in the order of their blocks, and the tags of each.

    Examples
    --------
    >>> notions = Notions(losses.TripletLoss(), {})
    >>> notions.num, notions.of(torch.tensor([0, 7]))
    (1, tensor([0, 0]))
    """

    def __init__(self, loss: losses.Loss, names: Mapping[str, Sequence[str]]):
        self.loss, self.names = loss, names
        self.num: int = getattr(loss, "num_notions", 1)
        self._of_tags = torch.empty(0, dtype=torch.long)

    def check_data(self, train: MusicDataset) -> None:
        """Refuse tags that belong to no block, and blocks that nothing would train."""
        if self.num > 1:
            notion_of_tags(train, self.names)

    def prepare(self, train: MusicDataset) -> None:
        """Know the notion of each tag."""
        if self.num > 1:
            self._of_tags = notion_of_tags(train, self.names)

    def of(self, tags: torch.Tensor) -> torch.Tensor:
        """The notion of each tag, both by number, in the same shape."""
        return self._of_tags.to(tags.device)[tags] if self.num > 1 else torch.zeros_like(tags)

    def tags_of(self, notion: int, device: torch.device) -> torch.Tensor:
        """Which tags belong to a notion, as a mask."""
        return self._of_tags.to(device) == notion

    def cut(self, z: Sequence[torch.Tensor], notion: torch.Tensor) -> list[torch.Tensor]:
        """Of embeddings, shape ``(n, dim)`` each, the block of each row's notion."""
        return [self.loss.block(part, notion) for part in z] if self.num > 1 else list(z)
