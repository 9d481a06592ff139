"""Train a task on one split, judge it on another after every epoch, keep the best.

Runs repeat exactly: crops, order and dropout of epoch ``e`` depend on ``(seed, e)`` alone. So a run that was
killed and resumed ends with the very weights and history of one that was left alone.

Taught in: 04_supervised.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from mclass import models
from mclass.datasets import MusicDataset
from mclass.datasets.storage.shards import Shards
from mclass.errors import DatasetError, ModelError
from mclass.training.engine import distributed, run_folder
from mclass.training.engine.compiling import compiled
from mclass.training.engine.loaders import Loaders, StreamEpochs
from mclass.training.engine.options import Options
from mclass.training.engine.progress import watchers
from mclass.training.engine.quiet import Signals
from mclass.training.engine.trainer import create_trainer, undisturbed
from mclass.training.tasks.task import Task


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
    options = Options(
        epochs=epochs, batch_size=batch_size, seed=seed, folder=folder, patience=patience, resume=resume,
        logger=logger, num_workers=num_workers, progress=progress, pad=pad, accelerator=accelerator,
        precision=precision, accumulate=accumulate, gradient_clip=gradient_clip, devices=devices,
        num_nodes=num_nodes, compile=compile,
    )  # fmt: skip
    task.check_data(train, valid)
    _check_task(task, train, valid, options.processes)
    task.prepare(train, valid)
    config = run_folder.configuration(task, train, valid, options)
    with run_folder.opened(task, config, options) as keeper:
        if not keeper.has_all(epochs):
            _train(task, train, valid, options, keeper)
        models.load_weights(task.model, keeper.model_path)
        task.model.eval()
        return Run(keeper.history, keeper.best_epoch, None if folder is None else Path(folder))


def _check_task(task: Task, train: MusicDataset | Shards, valid: MusicDataset, processes: int) -> None:
    """Refuse what cannot be trained, whatever the task."""
    plain = type(task).training_set is Task.training_set and type(task).sampler is Task.sampler
    if isinstance(train, Shards) and not plain:
        raise ModelError(f"{type(task).__name__} learns from more than single crops, and shards give no more")
    if not any(parameter.requires_grad for parameter in task.parameters()):
        raise ModelError(
            "all layers are frozen, so there is nothing to train. Freeze fewer with mclass.models.freeze(model, "
            "until=…), or learn a classifier on the frozen model's embeddings with mclass.training.probe"
        )
    if len(valid) < processes:
        raise DatasetError(
            f"{len(valid)} validation clips cannot be shared by {processes} processes: each needs at "
            "least one. Use fewer processes, or more clips"
        )


def _train(
    task: Task, train: MusicDataset | Shards, valid: MusicDataset, options: Options, keeper: run_folder.Keeper
) -> None:
    """Run the epochs that are missing; the keeper keeps what comes of them."""
    callbacks = [keeper, Signals(), StreamEpochs(), *watchers(options, keeper)]
    with undisturbed():
        trainer = create_trainer(options, keeper.folder, callbacks, len(keeper.rows), task.unused_parameters)
        task.train()
        task.bad_batch_path = None if options.folder is None else keeper.folder / "bad_batch.pt"
        loaders = Loaders(task, train, valid, options)
        with distributed.together(), compiled(task.model, options.compile):
            trainer.fit(task, datamodule=loaders)
            trainer.strategy.barrier()
