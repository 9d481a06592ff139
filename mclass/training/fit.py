"""Train a task on one split, judge it on another after every epoch, keep the best.

Runs repeat exactly: crops, order and dropout of epoch ``e`` depend on ``(seed, e)`` alone. So a run that was
killed and resumed ends with the very weights and history of one that was left alone.

Taught in: 04_supervised.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import lightning
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader

from mclass import metrics, models
from mclass.datasets import Chunks, EpochSampler, MusicDataset, RandomCrops
from mclass.errors import DatasetError, ModelError, unknown_name
from mclass.inference import check_sample_rate
from mclass.memory import keep_freed_memory
from mclass.training.callbacks import Bar, Keeper, TensorBoard
from mclass.training.quiet import quiet
from mclass.training.tagging import Tagging

LOGGERS = ("csv", "tensorboard")
# our name -> Lightning's
PRECISIONS = {"float32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@dataclass
class Run:
    """What `fit` leaves behind.

    Attributes
    ----------
    history : pandas.DataFrame
        One row per epoch: ``epoch``, ``train_loss``, ``valid_loss``, ``valid_roc_auc`` and ``valid_pr_auc`` (or
        ``valid_accuracy``), and the ``learning_rate`` that the epoch was trained with.
    best_epoch : int
        The epoch whose weights the model has now; counted from 0.
    folder : Path or None
        Holds ``model.pt`` (the best weights, for `mclass.models.load`), ``last.ckpt`` and ``history.csv``.
    """

    history: pd.DataFrame = field(repr=False)
    best_epoch: int
    folder: Path | None


def fit(
    task: Tagging,
    train: MusicDataset,
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
) -> Run:
    """Train on random crops of `train`; after each epoch score the whole clips of `valid`.

    Parameters
    ----------
    task : Tagging
        Its model ends with the weights of the best epoch: highest ROC-AUC, or accuracy if single-label; among
        equals the lowest validation loss.
    train, valid : MusicDataset
    epochs : int
    batch_size : int
        Crops per step. A last batch of a single crop is left out: batch norm cannot learn from it.
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

    Returns
    -------
    Run

    Raises
    ------
    DatasetError
        If the splits are empty, have clips shorter than a chunk, or `valid` cannot be scored.
    ModelError
        If model and data do not fit, the folder cannot be used, or the loss is not finite.

    Warns
    -----
    mclass.metrics.UndefinedTagsWarning
        Once, naming tags without an example in `train`, and tags that `valid` cannot score.

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> train, valid, test = etude.splits()
    >>> task = Tagging(models.create("cnn_1d", num_tags=len(etude.tags)))
    >>> with warnings.catch_warnings():  # so few clips have not every tag
    ...     warnings.simplefilter("ignore", metrics.UndefinedTagsWarning)
    ...     run = fit(task, train, valid, epochs=2, progress=False)
    >>> len(run.history), task.model.tags == etude.tags
    (2, True)
    """
    _check_options(epochs, batch_size, seed, patience, logger, num_workers, folder, resume, precision)
    _check_data(task, train, valid)
    task.model.tags = list(train.tags)
    config = {
        "architecture": getattr(task.model, "architecture", type(task.model).__name__),
        **{name: str(value) for name, value in getattr(task.model, "options", {}).items()},
        **task.options,
        "batch_size": batch_size,
        "seed": seed,
        "pad": pad,
        "precision": precision,
        "training clips": len(train),
        "validation clips": len(valid),
        "tags": list(train.tags),
    }
    with ExitStack() as stack:
        path = Path(folder) if folder is not None else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        keeper = Keeper(path, config, monitor=task.monitor, seed=seed, patience=patience)
        keeper.open(resume)
        if keeper.rows and (len(keeper.rows) >= epochs or keeper.out_of_patience):
            return _finish(task, keeper, folder)

        sampler = EpochSampler(len(train), seed)
        loaders = _loaders(task.model, train, valid, sampler, batch_size, num_workers, pad, seed)
        callbacks = [keeper]
        if logger == "tensorboard":
            callbacks.append(TensorBoard(keeper))
        if progress:
            callbacks.append(Bar(epochs, keeper))
        # The global generator, which dropout draws from, is handed back as it was found.
        stack.enter_context(torch.random.fork_rng(devices=range(torch.cuda.device_count())))
        stack.enter_context(keep_freed_memory())
        stack.enter_context(quiet())
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator=accelerator,
            devices=1,
            precision=PRECISIONS[precision],
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
        sampler.set_epoch(first)
        trainer.fit_loop.epoch_progress.current.processed = first
        trainer.fit_loop.epoch_progress.current.completed = first
        task.train()
        trainer.fit(task, *loaders)
        return _finish(task, keeper, folder)


def _finish(task: Tagging, keeper: Keeper, folder: str | os.PathLike | None) -> Run:
    """Give the task the best weights and sum the run up."""
    models.load_weights(task.model, keeper.model_path)
    task.model.eval()
    return Run(keeper.history, keeper.best_epoch, None if folder is None else Path(folder))


def _loaders(
    model: models.WaveformModel,
    train: MusicDataset,
    valid: MusicDataset,
    sampler: EpochSampler,
    batch_size: int,
    num_workers: int,
    pad: bool,
    seed: int,
) -> tuple[DataLoader, DataLoader]:
    crops = RandomCrops(train, model.num_samples, seed=seed, pad=pad)
    chunks = Chunks(valid, model.num_samples, pad=pad)
    # Clips per validation batch: about 32 chunks.
    longest = max(1, int(chunks.lengths.max()) // model.num_samples)
    common = {"num_workers": num_workers, "persistent_workers": num_workers > 0}
    return (
        DataLoader(
            crops,
            batch_size=batch_size,
            sampler=sampler,
            drop_last=batch_size > 1 and len(crops) > 1 and len(crops) % batch_size == 1,
            generator=torch.Generator(),  # a generator of its own: loaders otherwise draw from the global one
            **common,
        ),
        DataLoader(
            chunks,
            batch_size=max(1, 32 // longest),
            collate_fn=collate_clips,
            generator=torch.Generator(),
            **common,
        ),
    )


def collate_clips(
    examples: list[tuple[torch.Tensor, torch.Tensor]],
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Batch what `mclass.datasets.Chunks` yields; clips may have different numbers of chunks."""
    clips, labels = zip(*examples, strict=True)
    return list(clips), torch.stack(labels)


def _check_options(epochs, batch_size, seed, patience, logger, num_workers, folder, resume, precision) -> None:
    whole = {
        "epochs": (epochs, 1),
        "batch_size": (batch_size, 1),
        "seed": (seed, 0),
        "num_workers": (num_workers, 0),
    }
    if patience is not None:
        whole["patience"] = (patience, 1)
    for name, (value, lowest) in whole.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < lowest:
            raise ValueError(f"{name} must be an integer of at least {lowest}, got {value!r}")
    if logger not in LOGGERS:
        raise ValueError(unknown_name("logger", logger, LOGGERS))
    if precision not in PRECISIONS:
        raise ValueError(unknown_name("precision", precision, PRECISIONS))
    if resume and folder is None:
        raise ValueError("resume=True needs the folder of the run to continue; give folder=")


def _check_data(task: Tagging, train: MusicDataset, valid: MusicDataset) -> None:
    for split in (train, valid):
        if len(split) == 0:
            raise DatasetError(f"a split of {split.name!r} has no clips; training needs clips in both")
        check_sample_rate(task.model, split)
        if split.multilabel != task.multilabel:
            kind = "multi-label" if split.multilabel else "single-label"
            raise ModelError(f"{split.name!r} is {kind}; build the task with multilabel={split.multilabel}")
    if list(train.tags) != list(valid.tags):
        raise DatasetError(
            f"training and validation clips have different tags: {len(train.tags)} and {len(valid.tags)}, in "
            f"one {sorted(set(train.tags) ^ set(valid.tags))[:5]} and not in the other (or in another order)"
        )
    if len(train.tags) != task.model.num_tags:
        raise ModelError(
            f"the model has {task.model.num_tags} outputs and the data {len(train.tags)} tags; "
            f"create it with num_tags={len(train.tags)}"
        )
    absent = [tag for tag, count in zip(train.tags, train.labels.sum(0), strict=True) if not count]
    if absent:
        _warn(
            f"the training clips have no example of {len(absent)} of {len(train.tags)} tags: {', '.join(absent)}"
        )
    if task.multilabel and not task.undefined_named:
        undefined = metrics.undefined_tags(valid.labels, valid.tags)
        if len(undefined) == len(valid.tags):
            raise DatasetError(
                f"none of the {len(valid.tags)} tags can be scored on the {len(valid)} validation clips: each "
                "needs clips with it and clips without it. Use a larger validation split."
            )
        if undefined:
            _warn(
                f"{len(undefined)} of {len(valid.tags)} tags have no positive or no negative example among the "
                f"validation clips and are left out of its scores: {', '.join(undefined)}"
            )
            task.undefined_named = True


def _warn(message: str) -> None:
    warnings.warn(message, metrics.UndefinedTagsWarning, stacklevel=4)
