"""What a run reads: loaders of training examples, cut from clips or streamed from shards, and of validation clips.

Taught in: 04_supervised.
"""

from __future__ import annotations

from multiprocessing.util import get_temp_dir
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.accelerators import CUDAAccelerator
from torch.utils.data import DataLoader, Subset

from mclass.datasets import MusicDataset
from mclass.datasets.storage.shards import Shards
from mclass.datasets.storage.streaming import ShardStream
from mclass.distributed import place
from mclass.training.engine.distributed import every
from mclass.training.engine.options import Options


class Loaders(lightning.LightningDataModule):
    """Makes the loaders once the processes of the run know each other.

    Parameters
    ----------
    task : mclass.training.Task
        Says what an example is, in which order they come, and what is judged.
    train : MusicDataset or Shards
    valid : MusicDataset
    options : Options
    """

    def __init__(
        self, task: lightning.LightningModule, train: MusicDataset | Shards, valid: MusicDataset, options: Options
    ):
        super().__init__()
        self.task, self.train, self.valid, self.options = task, train, valid, options
        if options.num_workers:
            get_temp_dir()  # theirs, too: made by this process, it is removed with it, even if they are killed

    def train_dataloader(self) -> DataLoader:
        """The training examples of this process."""
        rank, processes = place()
        batch_size = self.options.batch_size // processes
        if isinstance(self.train, Shards):
            return self._loader(self._stream(rank, processes), batch_size=None)
        examples = self.task.training_set(self.train, self.options.seed, self.options.pad)
        sampler = self.task.sampler(examples, self.options.batch_size, self.options.seed, rank, processes)
        sampler.set_epoch(self.trainer.current_epoch)  # Lightning draws first and announces the epoch then
        one_left = batch_size > 1 and len(sampler) > 1 and len(sampler) % batch_size == 1
        return self._loader(examples, batch_size=batch_size, sampler=sampler, drop_last=one_left)

    def val_dataloader(self) -> DataLoader:
        """The validation clips that this process judges."""
        clips = self.task.validation_set(self.valid, self.options.pad)
        # Clips per validation batch: about 32 chunks.
        longest = max(1, int(getattr(clips, "lengths", np.ones(1)).max()) // self.task.model.num_samples)
        return self._loader(
            Subset(clips, every(len(clips))),
            batch_size=max(1, 32 // longest),
            collate_fn=getattr(clips, "collate", None),
        )

    def _stream(self, rank: int, processes: int) -> ShardStream:
        stream = ShardStream(
            self.train,
            self.task.model.num_samples,
            batch_size=self.options.batch_size // processes,
            seed=self.options.seed,
            pad=self.options.pad,
            rank=rank,
            world_size=processes,
            even=bool(getattr(self.task, "augment", ())),  # what is drawn for a batch of all needs equal parts
        )
        stream.set_epoch(self.trainer.current_epoch)
        return stream

    def _loader(self, examples: torch.utils.data.Dataset, **options: Any) -> DataLoader:
        workers = self.options.num_workers
        return DataLoader(
            examples,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=isinstance(
                self.trainer.accelerator, CUDAAccelerator
            ),  # from there a GPU takes the next one
            generator=torch.Generator(),  # a generator of its own: loaders otherwise draw from the global one
            **options,
        )


class StreamEpochs(lightning.Callback):
    """Tells a stream of shards which epoch comes next; a sampler is told by Lightning itself."""

    def on_train_epoch_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        """Announce the epoch before its first batch is asked for."""
        examples = trainer.train_dataloader.dataset
        if isinstance(examples, ShardStream):
            examples.set_epoch(trainer.current_epoch)
