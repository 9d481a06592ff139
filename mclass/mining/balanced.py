"""Batches for long tails: rare tags as often as frequent ones.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from mclass.metrics.checks import check_count, validate_labels
from mclass.mining.triplets import usable


class TagBalancedBatches(torch.utils.data.Sampler):
    """Batches in which rare tags are as frequent as common ones: some tags, and some clips of each.

    For ``DataLoader(RandomCrops(…), batch_sampler=TagBalancedBatches(…))``. Within an epoch, the clips of a tag
    come in a random order, and again when all have been used. No clip is twice in a batch. A clip has other tags
    too, so a batch is not exactly balanced, but far more than the data.

    Parameters
    ----------
    labels : array, shape (n, num_tags)
    tags_per_batch, clips_per_tag : int
        A batch has their product of clips; every drawn tag has at least `clips_per_tag` of them.
    num_batches : int, optional
        In an epoch; as many as give `n` clips if not given.
    tags : sequence of str, optional
        Names for messages.
    seed : int
        Batches depend on ``(seed, epoch)`` alone. Lightning calls `set_epoch`; a bare loop calls it itself.

    Attributes
    ----------
    left_out : list of str
        Tags with fewer than `clips_per_tag` clips, which are not drawn.

    Raises
    ------
    ValueError
        If labels are not valid, fewer than `tags_per_batch` tags have enough clips, or there are fewer clips with
        such tags than a batch holds.

    Warns
    -----
    MiningWarning
        Names `left_out`.

    Examples
    --------
    >>> labels = np.repeat(np.eye(3, dtype=int), (90, 6, 4), axis=0)
    >>> batches = TagBalancedBatches(labels, tags_per_batch=2, clips_per_tag=4)
    >>> len(batches), len(next(iter(batches)))
    (13, 8)
    """

    def __init__(
        self,
        labels: np.ndarray,
        tags_per_batch: int,
        clips_per_tag: int,
        *,
        num_batches: int | None = None,
        tags: Sequence[str] | None = None,
        seed: int = 0,
    ):
        truth, names = validate_labels(labels, tags)
        self.tags_per_batch = check_count(tags_per_batch, "tags_per_batch")
        self.clips_per_tag = check_count(clips_per_tag, "clips_per_tag")
        self.seed, self.epoch = seed, 0
        batch_size = tags_per_batch * clips_per_tag
        columns = usable(truth.sum(axis=0) >= clips_per_tag, names, f"have fewer than {clips_per_tag} clips")
        if len(columns) < tags_per_batch:
            raise ValueError(
                f"tags_per_batch={tags_per_batch}, but only {len(columns)} tags have {clips_per_tag} clips: "
                f"{', '.join(names[i] for i in columns)}"
            )
        self.left_out = [name for i, name in enumerate(names) if i not in columns]
        self._members = {int(tag): np.flatnonzero(truth[:, tag]) for tag in columns}
        self._all = np.flatnonzero(truth[:, columns].any(axis=1))
        if len(self._all) < batch_size:
            raise ValueError(
                f"a batch of {tags_per_batch} × {clips_per_tag} clips needs that many different ones, and "
                f"{len(self._all)} have a usable tag"
            )
        default = -(-len(truth) // batch_size)
        self.num_batches = default if num_batches is None else check_count(num_batches, "num_batches")

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        queues = {tag: rng.permutation(members) for tag, members in self._members.items()}
        for _ in range(self.num_batches):
            batch: list[int] = []
            for tag in rng.choice(list(queues), self.tags_per_batch, replace=False):
                free = ~np.isin(queues[tag], batch)
                taken = queues[tag][free][: self.clips_per_tag]
                queues[tag] = self._to_the_end(queues[tag], taken, rng)
                batch.extend(taken.tolist())
            missing = self.tags_per_batch * self.clips_per_tag - len(batch)
            if missing:  # a tag's other clips were in the batch already, for another of their tags
                batch.extend(rng.choice(np.setdiff1d(self._all, batch), missing, replace=False).tolist())
            yield [(self.epoch, int(index)) for index in batch]

    @staticmethod
    def _to_the_end(queue: np.ndarray, used: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.concatenate([queue[~np.isin(queue, used)], rng.permutation(used)])
