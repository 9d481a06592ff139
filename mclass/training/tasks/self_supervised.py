"""What the tasks without labels have in common: crops of a clip, altered, and a score that needs no labels.

Taught in: 07_clmr.
"""

from __future__ import annotations

import torch
from torch.utils.data import Dataset

from mclass.augmentations import ComposeMany, Transform
from mclass.datasets import MusicDataset
from mclass.datasets.views import Views
from mclass.errors import DatasetError, ModelError
from mclass.inference import evaluating
from mclass.models import WaveformModel
from mclass.training.engine import distributed
from mclass.training.tasks.task import Task

COMPARED = 128  # validation clips that are compared with each other: more would make the task harder


class SelfSupervised(Task):
    """Base class: learn `embed` or `features` of a model from clips whose labels nobody looks at.

    Sub-classes implement `batch_loss`, `clip_outputs` and `evaluate`. The model's last layer, `head`, learns
    nothing: it waits for labels. The history has ``train_loss``, ``valid_loss`` and ``valid_accuracy``.

    Parameters
    ----------
    model : WaveformModel
    augment : Transform, optional
        What happens to each crop. The whole batch is augmented at once, on the device of the model.
    same_crop : bool
        Take all views of a clip from one place, so that only `augment` tells them apart.
    **optimization
        `optimizer`, `learning_rate`, `schedule`, …: see `mclass.training.Task`.

    Attributes
    ----------
    num_views : int
        Crops of each clip that a training example has.

    Raises
    ------
    TypeError
        If `augment` is not a transform of waveforms.
    """

    num_views = 2
    unused_parameters = True

    def __init__(
        self,
        model: WaveformModel,
        *,
        augment: Transform | None = None,
        same_crop: bool = False,
        **optimization,
    ):
        super().__init__(model, **optimization)
        if augment is not None and (not isinstance(augment, Transform) or isinstance(augment, ComposeMany)):
            raise TypeError(
                "augment must be a transform of waveforms that returns one view, such as "
                f"mclass.augmentations.clmr(sample_rate), got {type(augment).__name__}"
            )
        self.augment, self.same_crop = augment, same_crop

    @property
    def options(self) -> dict:
        """What a resumed run must have in common with the run it continues."""
        return super().options | {"augment": " ".join(str(self.augment).split()), "same_crop": self.same_crop}

    def check_data(self, train: MusicDataset, valid: MusicDataset) -> None:
        """Refuse data without others to compare with, or that the model cannot be saved with."""
        super().check_data(train, valid)
        for split in (train, valid):
            if len(split) < 2:
                raise DatasetError(f"{split.name!r} has a single clip, which has no others to be told apart from")
        if len(train.tags) != self.model.num_tags:
            raise ModelError(
                f"the model has {self.model.num_tags} outputs and the data {len(train.tags)} tags. Labels are not "
                f"used, but the model is kept with their names: create it with num_tags={len(train.tags)}"
            )

    def training_set(self, train: MusicDataset, seed: int, pad: bool) -> Dataset:
        """The crops of each clip: ``(views (num_views, samples), labels)``."""
        return Views(train, self.model.num_samples, self.num_views, self.same_crop, seed, pad)

    def validation_set(self, valid: MusicDataset, pad: bool) -> Dataset:
        """Crops and augmentations that are the same in every epoch."""
        return Views(valid, self.model.num_samples, self.num_views, self.same_crop, 0, pad, self.augment)

    def altered(self, views: torch.Tensor) -> torch.Tensor:
        """Augment each view in its own way: ``(batch, num_views, samples)`` to the same shape."""
        if self.augment is None:
            return views
        return distributed.transformed(self.augment, views.flatten(0, 1)).view_as(views)

    def validation_step(self, batch: tuple, batch_idx: int) -> None:
        """Collect what the model makes of each clip's views."""
        views, labels = batch
        self._judged.append((self.clip_outputs(views), labels))

    def clip_outputs(self, views: torch.Tensor) -> torch.Tensor:
        """Map views, shape ``(n, num_views, samples)``, to what `evaluate` gets, one row per clip."""
        raise NotImplementedError


def compared(rows: torch.Tensor) -> list[torch.Tensor]:
    """Cut validation clips, in their order, into equal parts of at most `COMPARED`.

    Examples
    --------
    >>> [len(part) for part in compared(torch.zeros(300, 2))]
    [100, 100, 100]
    """
    return list(rows.tensor_split(-(-len(rows) // COMPARED)))


def output_shape(model: WaveformModel, of: str = "embed") -> tuple[int, ...]:
    """Shape of what ``model.embed`` or ``model.features`` makes of one chunk, without the batch.

    Examples
    --------
    >>> from mclass import models
    >>> output_shape(models.create("cnn_1d")), output_shape(models.create("cnn_1d"), "features")
    ((32,), (32, 8))
    """
    silence = torch.zeros(1, model.num_samples, device=next(model.parameters()).device)
    with evaluating(model):
        return tuple(getattr(model, of)(silence).shape[1:])
