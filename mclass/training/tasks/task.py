"""What every learning paradigm of the course has in common.

A *task* knows what its model learns from and how it is judged; `mclass.training.fit` runs it. To write a paradigm
of your own, derive from `Task` and implement `batch_loss`; `mclass.training.tasks.tagging` is an example.

Taught in: 04_supervised.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import lightning
import torch
from torch.utils.data import Dataset, Sampler

from mclass.datasets import Chunks, MusicDataset, RandomCrops
from mclass.errors import DatasetError, ModelError
from mclass.inference import check_sample_rate
from mclass.losses.base import NotFiniteError
from mclass.models import WaveformModel
from mclass.models.checkpoints import write_atomically
from mclass.training.engine import distributed
from mclass.training.engine.optimizers import Schedule, check_optimizer, create_optimizer, layerwise


class Task(lightning.LightningModule):
    """Base class of the paradigms: a model, an optimizer, and a loss that must stay finite.

    Parameters
    ----------
    model : WaveformModel
    optimizer : str
        See `mclass.training.create_optimizer`.
    learning_rate, momentum, weight_decay : float
        As there.
    schedule : str
        How the learning rate changes, see `mclass.training.Schedule`.
    schedule_options : mapping of str to float, optional
        Such as ``{"patience": 3}``.
    layer_decay : float
        What the learning rate is multiplied by from each layer to the one before it, see
        `mclass.training.layerwise`; 1 for all layers alike.

    Attributes
    ----------
    monitor : str
        The logged score that decides which epoch was the best.
    larger_is_better : bool
        Whether that is the epoch with the highest score, or the lowest.
    unused_parameters : bool
        Whether the loss leaves some of the model's parameters alone (its last layer, say): processes that average
        gradients would otherwise wait for theirs.

    Raises
    ------
    ValueError
        If an option is unknown or outside its range.
    ModelError
        If `model` is not a `WaveformModel`. In training, if the loss is not finite.
    """

    monitor: str = "valid_loss"
    larger_is_better: bool = False
    unused_parameters: bool = False

    def __init__(
        self,
        model: WaveformModel,
        *,
        optimizer: str = "adam",
        learning_rate: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        schedule: str = "plateau",
        schedule_options: Mapping[str, float] | None = None,
        layer_decay: float = 1.0,
    ):
        super().__init__()
        check_optimizer(optimizer, learning_rate, momentum, weight_decay)
        if not isinstance(model, WaveformModel):
            raise ModelError(
                "the model must be a mclass.models.WaveformModel (which says its sample rate and the length of "
                f"its chunks), got {type(model).__name__}. Make your class a sub-class of it"
            )
        layerwise(model, learning_rate, layer_decay)  # refuses a decay that makes no sense
        self.model = model
        self.optimizer, self.learning_rate, self.momentum = optimizer, learning_rate, momentum
        self.weight_decay, self.layer_decay = weight_decay, layer_decay
        self.schedule = Schedule(schedule, **(schedule_options or {}))
        self.bad_batch_path: Path | None = None  # where to keep a batch whose loss is not finite
        self._judged: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._steps_before = 0

    @property
    def options(self) -> dict:
        """What a resumed run must have in common with the run it continues."""
        names = ("optimizer", "learning_rate", "momentum", "weight_decay", "layer_decay")
        return {
            **{name: getattr(self, name) for name in names},
            "schedule": str(self.schedule),
        }

    @property
    def judged(self) -> WaveformModel:
        """The model that is scored after each epoch, and kept."""
        return self.model

    # ---- what it learns from, and what it is judged on

    def check_data(self, train: MusicDataset, valid: MusicDataset) -> None:
        """Refuse data that the task cannot learn from or be judged on; look, and change nothing."""
        for split in (train, valid):
            if len(split) == 0:
                raise DatasetError(f"a split of {split.name!r} has no clips; training needs clips in both")
            check_sample_rate(self.model, split)

    def prepare(self, train: MusicDataset, valid: MusicDataset) -> None:
        """Take over what the task must know of data that `check_data` has passed."""
        self.model.tags = list(train.tags)

    def training_set(self, train: MusicDataset, seed: int, pad: bool) -> Dataset:
        """The examples of an epoch, found by ``(epoch, index)``; a batch of them goes to `batch_loss`."""
        return RandomCrops(train, self.model.num_samples, seed=seed, pad=pad)

    def sampler(self, examples: Dataset, batch_size: int, seed: int, rank: int, processes: int) -> Sampler:
        """The order of an epoch's examples: this process's part of each batch, batch after batch.

        It may depend on ``(seed, epoch)`` alone (``set_epoch`` tells the epoch), so that runs can be resumed.
        """
        return distributed.SharedEpochs(len(examples), batch_size, seed, rank, processes)

    def validation_set(self, valid: MusicDataset, pad: bool) -> Dataset:
        """What `validation_step` gets; the same in every epoch."""
        return Chunks(valid, self.model.num_samples, pad=pad)

    # ---- learning

    def batch_loss(self, batch: tuple) -> torch.Tensor:
        """Mean loss of a batch of training examples."""
        raise NotImplementedError

    def training_step(self, batch: tuple, batch_idx: int) -> torch.Tensor:
        """Compute the loss; stop if it is not finite."""
        try:
            loss = self.batch_loss(batch)
        except NotFiniteError as error:  # of `mclass.losses`, which say what they were given
            raise ModelError(self._not_finite("NaN or infinity", batch, batch_idx, f"{error}.")) from None
        if not torch.isfinite(loss):
            raise ModelError(self._not_finite(str(loss.item()), batch, batch_idx))
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=_rows(batch), sync_dist=True)
        return loss

    def _not_finite(
        self, loss: str, batch: tuple, batch_idx: int, guess: str = "Is the learning rate too high?"
    ) -> str:
        labels = 1 if getattr(self, "partly_labelled", None) else None  # the tensor in which NaN is no fault
        bad = [
            index
            for number, part in enumerate(_tensors(batch))
            if part.is_floating_point() and number != labels
            for index in (~part.flatten(1).isfinite().all(1)).nonzero().flatten().tolist()
        ]
        guess = f"Its rows {sorted({*bad})} hold NaN or infinity." if bad else guess
        if self.bad_batch_path is not None:
            state = {"batch": batch, "epoch": self.current_epoch, "batch_idx": batch_idx}
            write_atomically(state, self.bad_batch_path)
            guess += f" The batch is kept in {self.bad_batch_path}, for torch.load(…, weights_only=True)."
        return (
            f"training stopped: the loss became {loss} in epoch {self.current_epoch}, "
            f"batch {batch_idx} (both counted from 0; learning_rate={self.learning_rate}). {guess}"
        )

    def on_train_batch_start(self, batch: tuple, batch_idx: int) -> None:
        """Remember how many steps were made before the batch."""
        self._steps_before = self.trainer.global_step

    @property
    def attached(self) -> bool:
        """Whether a trainer runs the task. Lightning has no public way to ask: without one, `trainer` raises."""
        return self._trainer is not None

    @property
    def stepped(self) -> bool:
        """Whether the batch that ends made a step, or its gradient waits for that of others (`accumulate`)."""
        return not self.attached or self.trainer.global_step > self._steps_before

    def configure_optimizers(self):
        """Make the optimizer and the schedule that were asked for."""
        groups = layerwise(self.model, self.learning_rate, self.layer_decay)
        inside = {id(p) for p in self.model.parameters()}
        own = [p for p in self.parameters() if p.requires_grad and id(p) not in inside]
        parameters = [p for group in groups for p in group["params"]] + own
        if self.layer_decay < 1:
            parameters = groups + ([{"params": own, "lr": self.learning_rate}] if own else [])
        optimizer = create_optimizer(
            self.optimizer, parameters, self.learning_rate, self.momentum, self.weight_decay
        )
        epochs = self.trainer.max_epochs
        steps = -(-self.trainer.estimated_stepping_batches // epochs) if self.schedule.name == "one_cycle" else 1
        schedule = self.schedule.create(optimizer, epochs, steps)
        return optimizer if schedule is None else {"optimizer": optimizer, "lr_scheduler": schedule}

    # ---- judging: clips by the mean of what the model says of their chunks

    def clip_outputs(self, chunks: torch.Tensor) -> torch.Tensor:
        """Map chunks, shape ``(n, samples)``, to what is averaged over a clip, shape ``(n, dim)``."""
        raise NotImplementedError

    def evaluate(self, outputs: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """Scores to log, among them ``valid_loss`` and `monitor`; of all clips, ``(clips, …)`` each."""
        raise NotImplementedError

    def on_validation_epoch_start(self) -> None:
        """Forget what an interrupted validation has left."""
        self._judged.clear()

    def validation_step(self, batch: tuple, batch_idx: int) -> None:
        """Collect what the model says of each clip."""
        clips, labels = batch
        clips = list(clips)
        outputs = self.clip_outputs(torch.cat(clips))
        means = [chunks.mean(0) for chunks in outputs.split([len(clip) for clip in clips])]
        self._judged.append((torch.stack(means), labels))

    def on_validation_epoch_end(self) -> None:
        """Score all clips together."""
        outputs, labels = (distributed.in_order(torch.cat(parts)) for parts in zip(*self._judged, strict=True))
        self._judged.clear()
        if not outputs.isfinite().all():
            raise ModelError(
                f"training stopped: the model's outputs on the validation clips are not finite after epoch "
                f"{self.current_epoch} (learning_rate={self.learning_rate}). Is the learning rate too high?"
            )
        self.log_dict(self.evaluate(outputs, labels), prog_bar=True)


def describe_unknown(train: MusicDataset, valid: MusicDataset) -> str:
    """Which labels are unknown, as words of a message; empty if all are known."""
    for what, split in (("training", train), ("validation", valid)):
        if not split.partly_labelled:
            continue
        known = getattr(split, "known", None)  # of shards, their index says no more than that
        if known is None:
            return f"some labels of the {what} clips of {split.name!r} are unknown"
        tags = [tag for tag, complete in zip(split.tags, known.all(0), strict=True) if not complete]
        named = ", ".join(map(repr, tags[:3])) + (f" and {len(tags) - 3} more" if len(tags) > 3 else "")
        count = int((~known.all(1)).sum())
        return f"{count} of the {len(split)} {what} clips of {split.name!r} have unknown labels ({named})"
    return ""


def _tensors(batch) -> list[torch.Tensor]:
    if isinstance(batch, torch.Tensor):
        return [batch]
    return [tensor for part in batch for tensor in _tensors(part)] if isinstance(batch, list | tuple) else []


def _rows(batch) -> int:
    return len(_tensors(batch)[0])
