"""What is seen of a run while it goes on: a progress bar, and TensorBoard's events.

Taught in: 04_supervised.
"""

from __future__ import annotations

import lightning

from mclass.errors import ModelError
from mclass.training.engine.options import Options
from mclass.training.engine.run_folder import Keeper


def watchers(options: Options, keeper: Keeper) -> list[lightning.Callback]:
    """What was asked for, of the two."""
    events = [TensorBoard(keeper)] if options.logger == "tensorboard" else []
    return events + ([Bar(options.epochs, keeper)] if options.progress else [])


class TensorBoard(lightning.Callback):
    """Writes each epoch's numbers as TensorBoard events, beside the history."""

    def __init__(self, keeper: Keeper):
        self.keeper, self._writer = keeper, None

    def on_train_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ModelError('logger="tensorboard" needs the package tensorboard, or use logger="csv"') from None
        # Events of an epoch that a kill cut off are hidden.
        self._writer = SummaryWriter(self.keeper.folder / "tensorboard", purge_step=trainer.current_epoch)

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        for name, value in self.keeper.rows[-1].items():
            if name != "epoch":
                self._writer.add_scalar(name, value, trainer.current_epoch)
        self._writer.flush()

    def teardown(self, trainer: lightning.Trainer, task: lightning.LightningModule, stage: str) -> None:
        if self._writer is not None:
            self._writer.close()


class Bar(lightning.Callback):
    """One progress bar for the whole run, with the numbers of the last epoch."""

    def __init__(self, epochs: int, keeper: Keeper):
        self.epochs, self.keeper, self._bar = epochs, keeper, None

    def on_train_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        from tqdm import tqdm

        batches = trainer.num_training_batches
        length = {"total": self.epochs * batches, "initial": trainer.current_epoch * batches}
        alone = {} if trainer.is_global_zero else {"disable": True}  # one bar for all processes
        self._bar = tqdm(**length, unit="batch", dynamic_ncols=True, **alone)

    def on_train_epoch_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        self._bar.set_description(f"epoch {trainer.current_epoch + 1}/{self.epochs}", refresh=False)

    def on_train_batch_end(self, *_, **__) -> None:
        self._bar.update()

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        row = self.keeper.rows[-1]
        shown = {"loss": row["train_loss"], self.keeper.monitor.removeprefix("valid_"): row[self.keeper.monitor]}
        self._bar.set_postfix({name: f"{value:.3f}" for name, value in shown.items()})

    def teardown(self, trainer: lightning.Trainer, task: lightning.LightningModule, stage: str) -> None:
        if self._bar is not None:
            self._bar.close()
