"""What several processes of one run share: the examples of a batch, the random numbers, the scores.

A run means the same on any number of processes: `batch_size` counts the examples of all of them together, each
process takes its part of every batch, gradients are averaged, and augmentations draw for the whole batch. So the
losses agree up to rounding, unless a model has dropout (each process draws its own) or batch normalisation (each
process uses its own examples' statistics; `mclass.training.fit` joins them on GPUs), examples are mixed with
`mclass.augmentations.Mixup` (each process mixes its own), or the last batch has one for each process.

If one process dies or stands still, the others stop with an error, after `LOST_AFTER` at the latest.

Taught in: 07_clmr.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed

from mclass.augmentations.base import Transform, take
from mclass.datasets import EpochSampler
from mclass.distributed import Gather, gathered, place
from mclass.errors import ModelError

LOST_AFTER = timedelta(minutes=10)  # a process waits so long for the others, and gives up


class SharedEpochs(EpochSampler):
    """This process's part of each batch of an `EpochSampler`.

    Parameters
    ----------
    num_clips : int
    batch_size : int
        Examples of all processes together.
    seed : int
    rank, processes : int
        Which process this is, and of how many. If the last batch cannot be divided among them, it loses up to
        ``processes - 1`` examples, others in each epoch.

    Examples
    --------
    >>> from mclass.datasets import EpochSampler
    >>> [index for _, index in EpochSampler(7)]
    [2, 4, 3, 6, 5, 0, 1]
    >>> [[index for _, index in SharedEpochs(7, 4, 0, rank, 2)] for rank in range(2)]
    [[2, 4, 5], [3, 6, 0]]
    """

    def __init__(self, num_clips: int, batch_size: int, seed: int = 0, rank: int = 0, processes: int = 1):
        super().__init__(num_clips, seed)
        self.batch_size, self.rank, self.processes = batch_size, rank, processes

    def _share(self, batch: int) -> int:
        """How many examples of a batch of that size this process takes."""
        return batch // self.processes

    def __len__(self) -> int:
        whole, rest = divmod(self.num_clips, self.batch_size)
        return whole * self._share(self.batch_size) + self._share(rest)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = list(super().__iter__())
        mine = []
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            share = self._share(len(batch))
            mine += batch[self.rank * share : (self.rank + 1) * share]
        return iter(mine)


def is_first() -> bool:
    """Whether this is the first process of its run, by what torchrun, Slurm or Lightning tell it at its start."""
    ranks = ("RANK", "NODE_RANK", "LOCAL_RANK", "SLURM_PROCID")
    return not any(int(os.environ.get(name) or 0) for name in ranks)


def every(num: int) -> range:
    """The items that this process judges: every second one if there are two."""
    rank, processes = place()
    return range(rank, num, processes)


def in_order(rows: torch.Tensor) -> torch.Tensor:
    """Join what each process found for its `every`; in the order of the items, on each process.

    Parameters
    ----------
    rows : torch.Tensor, shape (items of this process, …)

    Examples
    --------
    >>> in_order(torch.arange(3))
    tensor([0, 1, 2])
    """
    _, processes = place()
    if processes == 1:
        return rows
    parts: list = [None] * processes
    distributed.all_gather_object(parts, rows.cpu())
    joined = parts[0].new_empty((sum(map(len, parts)), *rows.shape[1:]))
    for rank, part in enumerate(parts):
        joined[rank::processes] = part
    return joined.to(rows.device)


def joined(rows: torch.Tensor) -> torch.Tensor:
    """Put the parts of a training batch together, on each process; with gradient, so that all learn from all.

    Every process must give the same number of rows.

    Parameters
    ----------
    rows : torch.Tensor, shape (examples of this process, …)

    Examples
    --------
    >>> joined(torch.arange(3))
    tensor([0, 1, 2])
    """
    return Gather.apply(rows) if place()[1] > 1 else rows


def transformed(transform: Transform, waveforms: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
    """Augment this process's part of a batch with what was drawn for the whole batch.

    All processes must have seeded torch's global generator alike, as `mclass.training.fit` does.

    Parameters
    ----------
    transform : Transform
    waveforms : torch.Tensor, shape (batch, samples)
    labels : torch.Tensor, shape (batch, num_tags), optional
        For label-aware transforms.
    """
    rank, processes = place()
    if processes == 1:
        return transform(waveforms, labels=labels)
    transform.check(waveforms)
    labels = None if labels is None else gathered(labels, dim=0)
    drawn = transform.draw(processes * len(waveforms), None, labels)
    own = torch.arange(rank * len(waveforms), (rank + 1) * len(waveforms))
    return transform.enact(waveforms, take(drawn, own))


@contextmanager
def together() -> Iterator[None]:
    """Say what has happened, and what to do, where the connection to another process breaks.

    Raises
    ------
    ModelError
    """
    try:
        yield
    except RuntimeError as error:
        rank, processes = place()
        if processes == 1 or not (isinstance(error, distributed.DistError) or "gloo" in str(error)):
            raise
        reason, seconds = str(error).partition("\n")[0], LOST_AFTER.total_seconds()
        raise ModelError(
            f"process {rank} of {processes} (counted from 0) has lost another one, which was killed, ran out of "
            f"memory, stopped with an error of its own or has not answered for {seconds:.0f} s. Look for its "
            "message and start all of them again with resume=True (mclass train … --resume): the run goes on "
            f"after the last epoch that was kept. ({reason})"
        ) from None
