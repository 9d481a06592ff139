"""Lightning's trainer, set up for a run.

Taught in: 04_supervised.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning
import torch
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from mclass._utils.memory import keep_freed_memory
from mclass.training.engine import distributed
from mclass.training.engine.options import PRECISIONS, Options
from mclass.training.engine.quiet import quiet


def create_trainer(
    options: Options,
    folder: Path,
    callbacks: list[lightning.Callback],
    first_epoch: int = 0,
    unused_parameters: bool = False,
) -> lightning.Trainer:
    """A trainer that begins with `first_epoch`, keeps no files and prints nothing of its own.

    Parameters
    ----------
    options : Options
    folder : Path
        For what Lightning itself may write.
    callbacks : list of lightning.Callback
    first_epoch : int
    unused_parameters : bool
        See `mclass.training.Task`.

    Raises
    ------
    ValueError
        If this machine has not what is asked for.
    """
    several, strategy = options.processes > 1, "auto"
    if several:
        strategy = DDPStrategy(find_unused_parameters=unused_parameters, timeout=distributed.LOST_AFTER)
    try:
        trainer = lightning.Trainer(
            max_epochs=options.epochs,
            accelerator=options.accelerator,
            devices=options.devices,
            num_nodes=options.num_nodes,
            strategy=strategy,
            sync_batchnorm=several and torch.cuda.is_available() and options.accelerator != "cpu",
            precision=PRECISIONS[options.precision],
            accumulate_grad_batches=options.accumulate,
            gradient_clip_val=options.gradient_clip,
            callbacks=callbacks,
            default_root_dir=folder,
            logger=False,  # the keeper writes what a logger would
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # the sampler tells the crops the epoch
        )
    except (MisconfigurationException, ModuleNotFoundError) as error:
        asked = f"accelerator={options.accelerator!r} and devices={options.devices}"
        raise ValueError(f"{asked} cannot be had here: {error}") from None
    _begin_with(trainer, first_epoch)
    return trainer


def _begin_with(trainer: lightning.Trainer, epoch: int) -> None:
    """The one place that reaches behind Lightning's documented interface.

    Lightning counts from 0 unless it reads a checkpoint of its own. A run folder holds ours, which is not tied to
    a version of Lightning, and whose epochs are whole; so the trainer has to be told how many there are.
    """
    progress = trainer.fit_loop.epoch_progress.current
    progress.processed = progress.completed = epoch


@contextmanager
def undisturbed() -> Iterator[None]:
    """Around a run: no hints of Lightning's, freed memory is kept, the global generator is left as it was."""
    # Dropout draws from the global generator.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), keep_freed_memory(), quiet():
        yield
