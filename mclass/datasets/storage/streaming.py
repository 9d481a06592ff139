"""Read tar shards from beginning to end: training on data that do not fit into memory, or on a disk.

**Each example exactly once per epoch**, however many processes and workers there are, and no process that waits
for another at the end: the shards, in the order of the epoch, make one long row of clips. Each process takes an
equal stretch of the row (one clip more or less), cuts it into the *same number* of batches of nearly the same
size, and hands whole batches to its workers. If a stretch ends within a shard, both neighbours open it, and each
reads its own part. Nothing is dropped, nothing is repeated to fill up.

Taught in: 02_datasets.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import numpy as np
import torch

from mclass.datasets.storage.shards import Shards
from mclass.datasets.storage.tars import DamagedShard, Example, decode, read_shard
from mclass.errors import DatasetError, unknown_name


def stretch(total: int, rank: int, world_size: int, batch_size: int, even: bool = False) -> tuple[int, list[int]]:
    """Which clips of the epoch's row a process takes, and how it cuts them into batches.

    Parameters
    ----------
    total : int
        Clips in the row.
    rank, world_size : int
    batch_size : int
        The most clips of a batch (one of two may be needed if it is 1).
    even : bool
        Leave up to ``world_size - 1`` clips at the end of the row out, so that all processes have equal batches.

    Returns
    -------
    first : int
        Where the stretch begins.
    sizes : list of int
        Of its batches: as many for every process, and equal but for the last, which may have one clip more.

    Examples
    --------
    >>> [stretch(17, rank, 2, batch_size=4) for rank in range(2)]
    [(0, [3, 3, 3]), (9, [3, 3, 2])]
    """
    if total < world_size:
        raise DatasetError(f"{total} clips cannot be shared between {world_size} processes; use fewer")
    share, rest = divmod(total, world_size)
    rest = 0 if even else rest
    batches = min(-(-(world_size * share + rest) // (world_size * batch_size)), share)  # share: if batch_size is 1
    size, larger = divmod(share, batches)
    sizes = [size + (number < larger) for number in range(batches)]
    sizes[-1] += rank < rest
    return rank * share + min(rank, rest), sizes


def worker_stretch(sizes: list[int], worker: int, num_workers: int) -> tuple[int, list[int]]:
    """Where in a process's stretch one of its workers begins, and the sizes of the batches it makes.

    A data loader asks its workers in turn, so worker ``w`` of ``n`` makes the batches ``w``, ``w + n``, …

    >>> worker_stretch([3, 3, 2], worker=1, num_workers=2)
    (5, [3])
    """
    before = sum(sum(sizes[other::num_workers]) for other in range(worker))
    return before, sizes[worker::num_workers]


class ShardStream(torch.utils.data.IterableDataset):
    """Batches of random crops from shards; give it to a ``DataLoader`` with ``batch_size=None``.

    Parameters
    ----------
    shards : Shards
    num_samples : int
        Length of a crop.
    batch_size : int
        The most clips of a batch; see `stretch`.
    seed : int
        The order of shards and clips depends on ``(seed, epoch)``, the number of processes and the number of
        workers; the crop of a clip on ``(seed, epoch, index)`` alone: it is the crop that `RandomCrops` cuts.
    shuffle_buffer : int
        Crops that a worker holds back to draw the next one from. It takes memory for as many.
    pad : bool
        Pad clips that are shorter than a crop with zeros instead of refusing them.
    on_error : {"raise", "skip"}
        What to do with examples that are damaged. "skip" warns, counts them in `skipped`, and repeats a crop at
        hand in their place, so that all processes still do the same number of steps.
    rank, world_size : int, optional
        Of this process among those that train together; what ``torchrun`` set if not given.
    even : bool
        See `stretch`.
    return_index : bool
        Also give each clip's index, as a third tensor: to see which example went where.

    Raises
    ------
    DatasetError
        If clips are shorter than a crop and `pad` is false, or a shard is damaged.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> shards = datasets.shard(etude, pathlib.Path(tempfile.mkdtemp(), "shards"), progress=False)
    >>> stream = ShardStream(shards, num_samples=48_000, batch_size=3)
    >>> [(tuple(waveforms.shape), tuple(labels.shape)) for waveforms, labels in stream]
    [((3, 48000), (3, 50)), ((3, 48000), (3, 50)), ((2, 48000), (2, 50))]
    """

    def __init__(
        self,
        shards: Shards,
        num_samples: int,
        *,
        batch_size: int = 16,
        seed: int = 0,
        shuffle_buffer: int = 256,
        pad: bool = False,
        on_error: str = "raise",
        rank: int | None = None,
        world_size: int | None = None,
        even: bool = False,
        return_index: bool = False,
    ):
        if on_error not in ("raise", "skip"):
            raise ValueError(unknown_name("on_error", on_error, ("raise", "skip")))
        for name, value in (("num_samples", num_samples), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if shards.shortest < num_samples and not pad:
            raise DatasetError(
                f"{shards!r}: the shortest clip has {shards.shortest} samples, less than the {num_samples} of a "
                "crop. Pass pad=True (--pad on the command line) to fill clips up with silence, or use a shorter "
                "crop."
            )
        self.shards, self.num_samples, self.batch_size = shards, num_samples, batch_size
        self.seed, self.shuffle_buffer, self.on_error = seed, max(1, shuffle_buffer), on_error
        self.rank = int(os.environ.get("RANK", 0)) if rank is None else rank
        self.world_size = int(os.environ.get("WORLD_SIZE", 1)) if world_size is None else world_size
        self.return_index = return_index
        self.column = {tag: column for column, tag in enumerate(shards.tags)}
        self.first, self.sizes = stretch(len(shards), self.rank, self.world_size, batch_size, even)
        # Shared with the workers, which may outlive an epoch.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._skipped = torch.zeros(1, dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        """Batches of this process."""
        return len(self.sizes)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self._epoch.fill_(epoch)

    @property
    def skipped(self) -> int:
        """Damaged examples passed over so far, by all workers of this process."""
        return int(self._skipped)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        worker = torch.utils.data.get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        epoch = int(self._epoch)
        before, sizes = worker_stretch(self.sizes, number, workers)
        crops = self._shuffled(
            self._crops(epoch, self.first + before, sum(sizes)),
            np.random.default_rng((self.seed, epoch, self.rank, number)),
        )
        for size in sizes:
            batch = [crop for _, crop in zip(range(size), crops, strict=False)]
            if not batch:
                raise DatasetError(f"{self.shards!r}: not one of {sum(sizes)} clips can be read; see the warnings")
            waveforms, labels, indices = (np.stack(parts) for parts in zip(*batch, strict=True))
            tensors = (torch.from_numpy(waveforms), torch.from_numpy(labels), torch.from_numpy(indices))
            yield tensors if self.return_index else tensors[:2]

    def _crops(self, epoch: int, first: int, count: int) -> Iterator[tuple[np.ndarray, ...] | None]:
        """Clips `first` to ``first + count`` of the epoch's row, as crops; None for each that is damaged."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.shards.paths))
        ends = np.cumsum(self.shards.counts[order])
        for position in range(int(np.searchsorted(ends, first, side="right")), len(order)):
            number = order[position]
            held = int(self.shards.counts[number])
            skip = first - int(ends[position] - held)
            take = min(held - skip, count)
            if take < 1:
                continue
            yield from self._crops_of(self.shards.paths[number], skip, take, held, epoch)
            first, count = first + take, count - take

    def _crops_of(self, path: str, skip: int, take: int, held: int, epoch: int):
        given = 0
        try:
            for example in read_shard(path, skip, take, held):
                given += 1
                try:
                    if isinstance(example, DamagedShard):
                        raise example
                    crop = self._crop(path, example, epoch)
                except DamagedShard as error:
                    crop = self._refuse(error, 1)
                yield crop
        except DamagedShard as error:  # nothing after this can be found
            self._refuse(error, take - given)
            yield from [None] * (take - given)

    def _refuse(self, error: DamagedShard, count: int) -> None:
        if self.on_error == "raise":
            raise error
        self._skipped += count
        warnings.warn(f"{error} ({count} skipped)", stacklevel=2)

    def _crop(self, path: str, example: Example, epoch: int) -> tuple[np.ndarray, ...]:
        about = example.about
        try:
            index, length = int(about["index"]), int(about["samples"])
            labels = np.zeros(len(self.column), np.float32)
            labels[[self.column[tag] for tag in about["tags"]]] = 1
            if self.shards.partly_labelled:  # see `MusicDataset.target`
                labels[~np.isin(self.shards.tags, about["known"])] = np.nan
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedShard(f"{path}: {about.get('index')}.json: {type(error).__name__} {error}") from None
        start = int(
            np.random.default_rng((self.seed, epoch, index)).integers(max(length - self.num_samples, 0) + 1)
        )
        waveform = decode(path, example, start, min(self.num_samples, length - start), self.shards.sample_rate)
        if waveform.size < self.num_samples:
            waveform = np.pad(waveform, (0, self.num_samples - waveform.size))
        return waveform, labels, np.int64(index)

    def _shuffled(self, crops: Iterator, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, ...]]:
        """Draw from a buffer that is filled up as it is emptied; crops that are missing are drawn twice."""
        buffer, missing = [], 0
        for crop in crops:
            if crop is None:
                missing += 1
                continue
            buffer.append(crop)
            if len(buffer) < self.shuffle_buffer:
                continue
            chosen = int(rng.integers(len(buffer)))
            if missing:
                missing -= 1
                yield buffer[int(rng.integers(len(buffer)))]
            buffer[chosen], buffer[-1] = buffer[-1], buffer[chosen]
            yield buffer.pop()
        extra = [buffer[i] for i in rng.integers(len(buffer), size=missing)] if buffer else []
        buffer += extra
        yield from (buffer[i] for i in rng.permutation(len(buffer)))
