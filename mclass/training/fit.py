"""Train a task on one split, judge it on another after every epoch, keep the best.

Runs repeat exactly: crops, order and dropout of epoch ``e`` depend on ``(seed, e)`` alone. So a run that was
killed and resumed ends with the very weights and history of one that was left alone.

Taught in: 04_supervised.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.util import get_temp_dir
from pathlib import Path

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader, Subset

from mclass import models
from mclass._utils.files import scratch, user_path, writing
from mclass._utils.memory import keep_freed_memory
from mclass.datasets import MusicDataset
from mclass.datasets.storage.shards import Shards
from mclass.datasets.storage.streaming import ShardStream
from mclass.datasets.workers import data_fingerprint
from mclass.distributed import place
from mclass.errors import DatasetError, ModelError, unknown_name
from mclass.training.engine import distributed
from mclass.training.engine.callbacks import Bar, Keeper, TensorBoard
from mclass.training.engine.compiling import compiled
from mclass.training.engine.distributed import every
from mclass.training.engine.quiet import Signals, quiet
from mclass.training.tasks.task import Task

LOGGERS = ("csv", "tensorboard")
# our name -> Lightning's
PRECISIONS = {"float32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@dataclass
class Run:
    """What `fit` leaves behind.

    Attributes
    ----------
    history : pandas.DataFrame
        One row per epoch: ``epoch``, ``train_loss``, ``valid_loss``, the task's other scores (``valid_roc_auc``
        and ``valid_pr_auc``, say), and the ``learning_rate`` that the epoch's last batch was learned with (of
        several, the last layer's).
    best_epoch : int
        The epoch whose weights the model has now; counted from 0.
    folder : Path or None
        Holds ``model.pt`` (the best weights, for `mclass.models.load`), ``last.ckpt`` and ``history.csv``.
    """

    history: pd.DataFrame = field(repr=False)
    best_epoch: int
    folder: Path | None


def fit(
    task: Task,
    train: MusicDataset | Shards,
    valid: MusicDataset,
    *,
    epochs: int,
    batch_size: int = 16,
    seed: int = 0,
    folder: str | os.PathLike | None = None,
    patience: int | None = None,
    resume: bool = False,
    logger: str = "csv",
    num_workers: int = 0,
    progress: bool = True,
    pad: bool = False,
    accelerator: str = "auto",
    precision: str = "float32",
    accumulate: int = 1,
    gradient_clip: float | None = None,
    devices: int = 1,
    num_nodes: int = 1,
    compile: bool = False,
) -> Run:
    """Train on random crops of `train`; after each epoch score the whole clips of `valid`.

    Parameters
    ----------
    task : Task
        Its model ends with the weights of the best epoch by the task's `monitor`, such as the highest ROC-AUC;
        among equals, of the one with the lowest validation loss.
    train : MusicDataset or Shards
        Shards are streamed (`mclass.datasets.ShardStream`), for tasks that learn from single crops.
    valid : MusicDataset
    epochs : int
    batch_size : int
        Crops per step, of all processes together. A last batch of a single crop (for each process) is left out:
        batch norm cannot learn from it.
    seed : int
        Of crops, order and dropout. The model's first weights are the caller's: ``torch.manual_seed``.
    folder : path, optional
        Where the run is kept (see `Run`); nowhere if not given.
    patience : int, optional
        Stop after this many epochs without a better score.
    resume : bool
        Continue the run in `folder` if there is one. Options other than `epochs`, `patience` and those that only
        change how it is run must be the same. Without it, a folder that holds a run is refused.
    logger : {"csv", "tensorboard"}
        ``"tensorboard"`` adds event files to ``history.csv``.
    num_workers : int
        Processes that read and cut clips.
    progress : bool
        Show a bar. The environment variable ``TQDM_DISABLE=1`` silences it, too.
    pad : bool
        Pad clips that are shorter than a chunk with zeros instead of refusing them.
    accelerator : str
        Passed to ``lightning.Trainer``.
    precision : {"float32", "bf16", "fp16"}
        ``"bf16"`` computes convolutions and products with 8 instead of 24 bits of precision, where that is safe:
        faster where the processor has units for it, and less exact. ``"fp16"`` is for GPUs without such units.
    accumulate : int
        Add up the gradients of so many batches before a step: a batch of 16 · 4 in the memory of 16.
    gradient_clip : float, optional
        Largest norm of a step's gradient; longer ones are shortened to it.
    devices : int
        Processes on each node, each with a device of its own (see `mclass.training.engine.distributed`). Start
        them with ``torchrun --nproc-per-node N``, or Slurm's ``srun``.
    num_nodes : int
    compile : bool
        Let PyTorch write faster code for the model (``torch.compile``): it takes a minute or so at first, and pays
        in long runs on a GPU.

    Returns
    -------
    Run

    Raises
    ------
    DatasetError
        If the splits are empty, have clips shorter than a chunk, or `valid` cannot be scored or is smaller than
        the number of processes.
    ModelError
        If model and data do not fit, all layers are frozen, the folder cannot be used, the loss is not
        finite, or another process of the run has died.
    BusyError
        If another run is being written to the folder just now.

    Warns
    -----
    mclass.metrics.UndefinedTagsWarning
        Once, naming tags without an example in `train`, and tags that `valid` cannot score.

    Examples
    --------
    >>> import warnings
    >>> from mclass import datasets, metrics, training
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> train, valid, test = etude.splits()
    >>> task = training.Tagging(models.create("cnn_1d", num_tags=len(etude.tags)))
    >>> with warnings.catch_warnings():  # so few clips have not every tag
    ...     warnings.simplefilter("ignore", metrics.UndefinedTagsWarning)
    ...     run = fit(task, train, valid, epochs=2, progress=False)
    >>> len(run.history), task.model.tags == etude.tags
    (2, True)
    """
    _check_options(epochs, batch_size, seed, patience, logger, num_workers, folder, resume, precision, accumulate)
    _check_processes(devices * num_nodes, batch_size, folder, gradient_clip)
    task.check_data(train, valid)
    plain = type(task).training_set is Task.training_set and type(task).sampler is Task.sampler
    if isinstance(train, Shards) and not plain:
        raise ModelError(f"{type(task).__name__} learns from more than single crops, and shards give no more")
    if not any(parameter.requires_grad for parameter in task.parameters()):
        raise ModelError(
            "all layers are frozen, so there is nothing to train. Freeze fewer with mclass.models.freeze(model, "
            "until=…), or learn a classifier on the frozen model's embeddings with mclass.training.probe"
        )
    if len(valid) < devices * num_nodes:
        raise DatasetError(
            f"{len(valid)} validation clips cannot be shared by {devices * num_nodes} processes: each needs at "
            "least one. Use fewer processes, or more clips"
        )
    task.model.tags = list(train.tags)
    config = {
        "paradigm": type(task).__name__,
        "architecture": getattr(task.model, "architecture", type(task.model).__name__),
        **{name: str(value) for name, value in getattr(task.model, "options", {}).items()},
        **task.options,
        **({"epochs": epochs} if task.schedule.needs_length else {}),
        "batch_size": batch_size,
        "accumulate": accumulate,
        "gradient_clip": gradient_clip,
        "seed": seed,
        "pad": pad,
        "precision": precision,
        **({"compile": True} if compile else {}),
        "training clips": len(train),
        "validation clips": len(valid),
        "tags": list(train.tags),
        "data": data_fingerprint(train),
    }
    with ExitStack() as stack:
        path = user_path(folder) if folder is not None else stack.enter_context(scratch("mclass-run-"))
        keeper = Keeper(path, config, task.monitor, task.larger_is_better, seed=seed, patience=patience)
        keeper.create()
        if folder is not None and (devices * num_nodes == 1 or distributed.is_first()):
            stack.enter_context(writing(path, path / ".lock", advice="choose another folder"))
        keeper.open(resume)
        if keeper.rows and (len(keeper.rows) >= epochs or keeper.out_of_patience):
            return _finish(task, keeper, folder)

        callbacks = [keeper, Signals()]
        if logger == "tensorboard":
            callbacks.append(TensorBoard(keeper))
        if progress:
            callbacks.append(Bar(epochs, keeper))
        # The global generator, which dropout draws from, is handed back as it was found.
        stack.enter_context(torch.random.fork_rng(devices=range(torch.cuda.device_count())))
        stack.enter_context(keep_freed_memory())
        stack.enter_context(quiet())
        trainer = _trainer(
            max_epochs=epochs,
            accelerator=accelerator,
            devices=devices,
            num_nodes=num_nodes,
            strategy=_strategy(task, devices * num_nodes),
            sync_batchnorm=devices * num_nodes > 1 and torch.cuda.is_available() and accelerator != "cpu",
            precision=PRECISIONS[precision],
            accumulate_grad_batches=accumulate,
            gradient_clip_val=gradient_clip,
            callbacks=callbacks,
            default_root_dir=path,
            logger=False,  # the keeper writes what a logger would
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # the sampler tells the crops the epoch
        )
        # Lightning asks the loader for its first batches before it announces the epoch.
        first = len(keeper.rows)
        trainer.fit_loop.epoch_progress.current.processed = first
        trainer.fit_loop.epoch_progress.current.completed = first
        task.train()
        task.bad_batch_path = None if folder is None else path / "bad_batch.pt"
        loaders = _Loaders(task, train, valid, batch_size, num_workers, pad, seed, first)
        # From such memory a GPU takes the next batch while it computes.
        loaders.common["pin_memory"] = isinstance(trainer.accelerator, CUDAAccelerator)
        with distributed.together(), compiled(task.model, compile):
            trainer.fit(task, datamodule=loaders)
            trainer.strategy.barrier()
        return _finish(task, keeper, folder)


def _trainer(**options) -> lightning.Trainer:
    """Lightning's, unless this machine has not what is asked for."""
    try:
        return lightning.Trainer(**options)
    except (MisconfigurationException, ModuleNotFoundError) as error:
        asked = f"accelerator={options['accelerator']!r} and devices={options['devices']}"
        raise ValueError(f"{asked} cannot be had here: {error}") from None


def _strategy(task: Task, processes: int) -> str | DDPStrategy:
    """How gradients are shared."""
    if processes == 1:
        return "auto"
    return DDPStrategy(find_unused_parameters=task.unused_parameters, timeout=distributed.LOST_AFTER)


def _finish(task: Task, keeper: Keeper, folder: str | os.PathLike | None) -> Run:
    """Give the task the best weights and sum the run up."""
    models.load_weights(task.model, keeper.model_path)
    task.model.eval()
    return Run(keeper.history, keeper.best_epoch, None if folder is None else Path(folder))


class _Loaders(lightning.LightningDataModule):
    """Makes the loaders once the processes of the run know each other."""

    def __init__(self, task, train, valid, batch_size: int, num_workers: int, pad: bool, seed: int, epoch: int):
        super().__init__()
        self.task, self.train, self.valid = task, train, valid
        self.batch_size, self.pad, self.seed, self.epoch = batch_size, pad, seed, epoch
        self.common = {"num_workers": num_workers, "persistent_workers": num_workers > 0}
        if num_workers:
            get_temp_dir()  # theirs, too: made by this process, it is removed with it, even if they are killed

    def train_dataloader(self) -> DataLoader:
        rank, processes = place()
        if isinstance(self.train, Shards):
            return self._stream(rank, processes)
        examples = self.task.training_set(self.train, self.seed, self.pad)
        sampler = self.task.sampler(examples, self.batch_size, self.seed, rank, processes)
        sampler.set_epoch(self.epoch)
        batch_size = self.batch_size // processes
        return DataLoader(
            examples,
            batch_size=batch_size,
            sampler=sampler,
            drop_last=batch_size > 1 and len(sampler) > 1 and len(sampler) % batch_size == 1,
            generator=torch.Generator(),  # a generator of its own: loaders otherwise draw from the global one
            **self.common,
        )

    def _stream(self, rank: int, processes: int) -> DataLoader:
        stream = ShardStream(
            self.train,
            self.task.model.num_samples,
            batch_size=self.batch_size // processes,
            seed=self.seed,
            pad=self.pad,
            rank=rank,
            world_size=processes,
            even=bool(getattr(self.task, "augment", ())),  # what is drawn for a batch of all needs equal parts
        )
        stream.set_epoch(self.epoch)
        loader = DataLoader(stream, batch_size=None, generator=torch.Generator(), **self.common)
        loader.sampler.set_epoch = stream.set_epoch  # where Lightning announces an epoch
        return loader

    def val_dataloader(self) -> DataLoader:
        clips = self.task.validation_set(self.valid, self.pad)
        # Clips per validation batch: about 32 chunks.
        longest = max(1, int(getattr(clips, "lengths", np.ones(1)).max()) // self.task.model.num_samples)
        return DataLoader(
            Subset(clips, every(len(clips))),
            batch_size=max(1, 32 // longest),
            collate_fn=getattr(clips, "collate", None),
            generator=torch.Generator(),
            **self.common,
        )


def _check_options(
    epochs, batch_size, seed, patience, logger, num_workers, folder, resume, precision, accumulate
) -> None:
    whole = {
        "epochs": (epochs, 1),
        "batch_size": (batch_size, 1),
        "seed": (seed, 0),
        "num_workers": (num_workers, 0),
        "accumulate": (accumulate, 1),
    }
    if patience is not None:
        whole["patience"] = (patience, 1)
    for name, (value, lowest) in whole.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < lowest:
            raise ValueError(f"{name} must be an integer of at least {lowest}, got {value!r}")
    most = max(64, 4 * (os.cpu_count() or 1))
    if num_workers > most:
        raise ValueError(f"num_workers is a number of processes, here at most {most}, got {num_workers}")
    if logger not in LOGGERS:
        raise ValueError(unknown_name("logger", logger, LOGGERS))
    if precision not in PRECISIONS:
        raise ValueError(unknown_name("precision", precision, PRECISIONS))
    if resume and folder is None:
        raise ValueError("resume=True needs the folder of the run to continue; give folder=")


def _check_processes(processes: int, batch_size: int, folder, gradient_clip) -> None:
    if gradient_clip is not None and not gradient_clip > 0:
        raise ValueError(
            f"gradient_clip is the largest norm of a gradient and must be positive, got {gradient_clip}"
        )
    if processes > 1 and folder is None:
        raise ValueError(f"{processes} processes must share a folder for the run; give folder=")
    if processes > 1 and batch_size % processes:
        raise ValueError(
            f"batch_size counts the examples of all processes and must be a multiple of their number, got "
            f"{batch_size} for {processes} processes. Try {batch_size - batch_size % processes or processes}"
        )
