"""Where `mclass.training.fit` keeps a run, so that it can be killed at any moment and continued.

Taught in: 04_supervised.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import lightning
import numpy as np
import pandas as pd
import torch

from mclass import models
from mclass._utils.files import replacing, scratch, sweep, user_path, writing
from mclass._utils.schemas import RunState
from mclass.datasets import MusicDataset
from mclass.datasets.storage.shards import Shards
from mclass.datasets.workers import data_fingerprint
from mclass.errors import ModelError, shortened
from mclass.models.checkpoints import fill, read_checkpoint, write_atomically
from mclass.training.engine.distributed import is_first
from mclass.training.engine.options import Options

FORMAT = "mclass run"


def configuration(
    task: lightning.LightningModule, train: MusicDataset | Shards, valid: MusicDataset, options: Options
) -> dict:
    """What a resumed run must have in common with the run it continues."""
    return {
        "paradigm": type(task).__name__,
        "architecture": getattr(task.model, "architecture", type(task.model).__name__),
        **{name: str(value) for name, value in getattr(task.model, "options", {}).items()},
        **task.options,
        **({"epochs": options.epochs} if task.schedule.needs_length else {}),
        "batch_size": options.batch_size,
        "accumulate": options.accumulate,
        "gradient_clip": options.gradient_clip,
        "seed": options.seed,
        "pad": options.pad,
        "precision": options.precision,
        **({"compile": True} if options.compile else {}),
        "training clips": len(train),
        "validation clips": len(valid),
        "tags": list(train.tags),
        "data": data_fingerprint(train),
    }


@contextmanager
def opened(task: lightning.LightningModule, config: dict, options: Options) -> Iterator[Keeper]:
    """The keeper of a run whose folder is made, locked and read; of a run without one, in a temporary folder.

    Raises
    ------
    ModelError
        If the folder cannot be used.
    BusyError
        If another run is being written to it just now.
    """
    kept = options.folder is not None
    with ExitStack() as stack:
        folder = user_path(options.folder) if kept else stack.enter_context(scratch("mclass-run-"))
        keeper = Keeper(
            folder, config, task.monitor, task.larger_is_better, seed=options.seed, patience=options.patience
        )
        keeper.create()
        if kept and (options.processes == 1 or is_first()):
            stack.enter_context(writing(folder, folder / ".lock", advice="choose another folder"))
        keeper.open(options.resume)
        yield keeper


class Keeper(lightning.Callback):
    """Keeps a run in a folder, so that it can be killed at any moment and continued.

    ``last.ckpt`` is the truth: weights, optimizer, schedule and history after the last complete epoch. It is
    written when the next epoch starts, since only then has everything (the learning rate, too) settled.
    ``model.pt`` and ``history.csv`` may be one epoch ahead; that epoch is then repeated and gives the same again.

    Parameters
    ----------
    folder : Path
    config : dict
        What a resumed run must have in common with the run it continues.
    monitor : str
        The column of the history that decides which epoch was the best.
    larger_is_better : bool
    seed : int
    patience : int, optional
        Stop after this many epochs without a better score.
    """

    def __init__(
        self, folder: Path, config: dict, monitor: str, larger_is_better: bool, seed: int, patience: int | None
    ):
        self.folder, self.config, self.monitor = folder, config, monitor
        self.sign = 1 if larger_is_better else -1
        self.seed, self.patience = seed, patience
        self.rows: list[dict] = []
        self._state: dict | None = None
        self._saved = 0
        self._rate = 0.0  # that the last batch was learned with

    @property
    def model_path(self) -> Path:
        return self.folder / "model.pt"

    @property
    def history(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows)

    @property
    def best_epoch(self) -> int:
        """Epoch with the best score; among equals, with the lowest validation loss."""
        rows = self.rows
        return max(range(len(rows)), key=lambda e: (self.sign * rows[e][self.monitor], -rows[e]["valid_loss"]))

    @property
    def out_of_patience(self) -> bool:
        return self.patience is not None and len(self.rows) - 1 - self.best_epoch >= self.patience

    def has_all(self, epochs: int) -> bool:
        """Whether so many epochs are there, or patience was lost before."""
        return bool(self.rows) and (len(self.rows) >= epochs or self.out_of_patience)

    def create(self) -> None:
        """Make the folder.

        Raises
        ------
        ModelError
            If it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise ModelError(f"the folder {self.folder} cannot be used: {error.strerror or error}") from None

    def open(self, resume: bool) -> None:
        """Read the run in the folder if there is one.

        Raises
        ------
        ModelError
            If there is one and `resume` is false, or a different one.
        """
        last = self.folder / "last.ckpt"
        if last.exists() and not resume:
            raise ModelError(
                f"{self.folder} already holds a run. Continue it with resume=True, choose another folder, or "
                "delete it"
            )
        if is_first():  # of a kill in the middle of writing; nobody else writes now
            sweep(self.folder)
        if not last.exists():
            return
        state = read_checkpoint(last, FORMAT, RunState)
        for name in {**self.config, **state["config"]}:
            before, now = state["config"].get(name), self.config.get(name)
            if before != now:
                raise ModelError(
                    f"the run in {self.folder} has {name} = {before!r} and this one {now!r}; "
                    "to resume, use the same"
                )
        for row in state["rows"]:
            if not all(math.isfinite(row.get(name, math.nan)) for name in (self.monitor, "valid_loss")):
                raise ModelError(
                    f"{last} is damaged, or was changed: an epoch has no {self.monitor} or valid_loss"
                )
        if not self.model_path.exists():
            raise ModelError(f"{self.model_path} is missing, so the run cannot be resumed; delete the folder")
        self.rows, self._state, self._saved = state["rows"], state, len(state["rows"])
        self._write_history()

    def on_train_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        if self._state is None:
            return
        try:
            fill(task, self._state["task"])
            for optimizer, state in zip(trainer.optimizers, self._state["optimizers"], strict=True):
                _restore(optimizer, state)
            for config, state in zip(trainer.lr_scheduler_configs, self._state["schedulers"], strict=True):
                _check_alike(config.scheduler.state_dict(), state, "schedule")
                config.scheduler.load_state_dict(state)
            if self._state.get("precision"):  # what keeps the gradients of fp16 in range
                trainer.precision_plugin.load_state_dict(self._state["precision"])
        except (ValueError, RuntimeError, TypeError, LookupError, AttributeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ModelError(
                f"{self.folder / 'last.ckpt'} does not fit this run, is damaged, or was changed: {reason}"
            ) from None
        self._state = None

    def on_train_epoch_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        self._save(trainer, task)

    def on_train_batch_start(self, trainer, task, batch, batch_idx: int) -> None:
        if batch_idx == 0:  # not earlier: whatever Lightning and the loaders draw must not matter
            seed = np.random.SeedSequence((self.seed, trainer.current_epoch)).generate_state(1)[0]
            torch.manual_seed(int(seed))
        # Here, since most schedules have moved on when an epoch ends. The largest is the last layer's.
        self._rate = max(float(group["lr"]) for group in trainer.optimizers[0].param_groups)

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row = {"epoch": trainer.current_epoch, "train_loss": values.pop("train_loss")} | values
        row["learning_rate"] = self._rate
        self.rows.append(row)
        if trainer.is_global_zero:
            if self.best_epoch == len(self.rows) - 1:
                model, tags, multilabel = task.judged, task.model.tags, task.model.multilabel
                models.save(model, self.model_path, tags=tags, multilabel=multilabel, **row)
            self._write_history()
        trainer.should_stop = self.out_of_patience

    def on_train_end(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        self._save(trainer, task)

    def _save(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        if len(self.rows) == self._saved or not trainer.is_global_zero:
            return
        state = {
            "format": FORMAT,
            "config": self.config,
            "rows": self.rows,
            "task": task.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
            "schedulers": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
            "precision": trainer.precision_plugin.state_dict(),
        }
        write_atomically(state, self.folder / "last.ckpt")
        self._saved = len(self.rows)

    def _write_history(self) -> None:
        try:
            with replacing(self.folder / "history.csv") as temporary:
                self.history.to_csv(temporary, index=False)
        except OSError as error:
            raise ModelError(f"cannot write in {self.folder}: {error.strerror or error}") from None


def _restore(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Load an optimizer's state, if it is of such an optimizer, of weights of such shapes, and finite."""
    _check_alike(optimizer.state_dict()["param_groups"], state["param_groups"], "optimizer")
    optimizer.load_state_dict(state)
    kinds = set()  # of what is kept for each weight: names, and whether it is a number for all of it
    for weights, values in optimizer.state.items():
        for name, value in values.items():
            if value is None:
                continue
            shaped = isinstance(value, torch.Tensor) and value.shape in ((), weights.shape)
            if not shaped or not value.isfinite().all() or (value.ndim == 0 < weights.ndim and value < 0):
                raise ValueError(f"the optimizer's {name} is no tensor of the weights' shape, or is not finite")
        kinds.add(tuple((name, None if value is None else value.ndim == 0) for name, value in values.items()))
    if len(kinds) > 1 and all(weights.ndim for weights in optimizer.state):
        raise ValueError("the optimizer keeps something else for some weights than for others")


def _check_alike(fresh: object, stored: object, place: str) -> None:
    """Refuse what has other entries than the state of something that was just made, or no numbers where it has."""
    if isinstance(fresh, dict | list | tuple):
        same = isinstance(stored, dict) if isinstance(fresh, dict) else isinstance(stored, list | tuple)
        if not same or (isinstance(fresh, list | tuple) and len(fresh) != len(stored)):
            raise ValueError(f"{place} has other entries")
        for key in fresh if isinstance(fresh, dict) else range(len(fresh)):
            _check_alike(fresh[key], stored[key], f"{place}.{key}")
    elif isinstance(fresh, int | float):
        number = isinstance(stored, int | float) and isinstance(fresh, bool) == isinstance(stored, bool)
        if not number or (math.isfinite(fresh) and not math.isfinite(stored)):
            raise ValueError(f"{place} is {shortened(stored)}")
    elif isinstance(fresh, str) and not isinstance(stored, str):
        raise ValueError(f"{place} is {shortened(stored)}")
