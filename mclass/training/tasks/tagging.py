"""Supervised training of a tagger or classifier, as a Lightning module.

Trained on chunks, judged on clips: a training example is one random crop; in validation the probabilities of a
clip's chunks are averaged first, as `mclass.inference` does.

Taught in: 04_supervised, 05_augmentation.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from mclass import losses, metrics
from mclass.augmentations import Mixup, Transform
from mclass.datasets import MusicDataset
from mclass.errors import DatasetError, ModelError
from mclass.inference import chunk_probabilities
from mclass.models import WaveformModel
from mclass.training.tasks.supervised import Supervised


class Tagging(Supervised):
    """Binary cross-entropy per tag, or cross-entropy over classes, on the logits of a model.

    Parameters
    ----------
    model : WaveformModel
    multilabel : bool
        Several tags may hold at once (sigmoid), or exactly one does (softmax).
    augment : Transform, Mixup, or a sequence of them, optional
        What happens to each training batch, in this order (see `mclass.augmentations`); a `SpecAugment` waits for
        what the model's front end gives. Validation hears clips as they are. Random numbers come from torch's
        global generator, which `mclass.training.fit` seeds for each epoch.
    criterion : torch.nn.Module, optional
        Another loss than cross-entropy, called with logits and labels, ``(batch, num_tags)`` each: one of
        `mclass.losses`, such as ``FocalLoss(gamma=2.0)``. On data with unknown labels also with ``known=``, a mask
        of the same shape; a loss whose `forward` takes no such argument is refused there.
    label_smoothing : float
        ε, from 0 to below 1: the model is asked for ``(1 - ε) y + ε / 2`` per tag, or, over K classes, for
        ``(1 - ε) y + ε / K`` (Szegedy et al. 2016), so that it is never rewarded for being perfectly sure.
    **optimization
        `optimizer`, `learning_rate`, `schedule`, …: see `mclass.training.Task`.

    Raises
    ------
    ValueError
        If an option is unknown or outside its range.
    TypeError
        If `augment` is something else.
    ModelError
        If `model` is not a `WaveformModel`. In training, if the loss is not finite; the message names the epoch
        and the batch.

    Notes
    -----
    Batches: ``(waveform (batch, samples), labels (batch, num_tags))`` in training; in validation
    ``(clips, labels)``, where ``clips`` is a sequence of chunks ``(num_chunks, samples)``, one entry per clip.
    Labels that the data set does not know (`mclass.datasets.MusicDataset.known`) are NaN, and are left out of the
    loss and the scores; a mixture knows only what both of its clips know.
    Logs ``train_loss``, ``valid_loss`` and ``valid_roc_auc``, ``valid_pr_auc`` or ``valid_accuracy``.

    Examples
    --------
    >>> from mclass import models
    >>> task = Tagging(models.create("cnn_1d", num_tags=3), optimizer="nesterov", learning_rate=0.01)
    >>> batch = torch.zeros(2, 48000), torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    >>> task.loss(task.model(batch[0]), batch[1]).shape
    torch.Size([])

    With augmentations:

    >>> from mclass import augmentations
    >>> chain = augmentations.gtzan_supervised(sample_rate=16000)
    >>> task = Tagging(models.create("cnn_1d"), augment=[chain, augmentations.SpecAugment()])
    """

    def __init__(
        self,
        model: WaveformModel,
        *,
        multilabel: bool = True,
        augment: Transform | Mixup | Sequence[Transform | Mixup] | None = None,
        criterion: nn.Module | None = None,
        label_smoothing: float = 0.0,
        **optimization,
    ):
        super().__init__(model, augment=augment, **optimization)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        self.multilabel = model.multilabel = multilabel
        self.criterion, self.label_smoothing = criterion, label_smoothing
        self.undefined_named = False  # tags without examples are named once, not every epoch
        self.partly_labelled: bool | None = None  # whether labels may be unknown; until `prepare`, looked up

    @property
    def options(self) -> dict:
        """What a resumed run must have in common with the run it continues."""
        options = super().options | {"multilabel": self.multilabel, "label_smoothing": self.label_smoothing}
        if self.criterion is not None:
            options["criterion"] = " ".join(str(self.criterion).split())
        return options

    @property
    def monitor(self) -> str:
        """The logged score that decides which epoch was the best."""
        return "valid_roc_auc" if self.multilabel else "valid_accuracy"

    def check_data(self, train: MusicDataset, valid: MusicDataset) -> None:
        """Refuse data of another kind, and name tags without examples."""
        super().check_data(train, valid)
        check_labels(self, train, valid)

    def prepare(self, train: MusicDataset, valid: MusicDataset) -> None:
        """Know whether labels may be unknown; tags that cannot be scored have been named."""
        super().prepare(train, valid)
        self.partly_labelled = train.partly_labelled or valid.partly_labelled
        self.undefined_named = True

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean loss of logits against multi-hot or one-hot labels, both ``(batch, num_tags)``; NaN is unknown."""
        labels, known = self.split_unknown(labels)
        if self.label_smoothing:
            goal = 1 / 2 if self.multilabel else 1 / labels.shape[1]
            labels = torch.lerp(labels, torch.full_like(labels, goal), self.label_smoothing)
        if known is not None:
            criterion = self.criterion or losses.BCELoss(soft=True)
            check_masking(self.multilabel, criterion)
            return criterion(logits, labels, known=known)
        if self.criterion is not None:
            return self.criterion(logits, labels)
        criterion = F.binary_cross_entropy_with_logits if self.multilabel else F.cross_entropy
        return criterion(logits, labels)

    def split_unknown(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """`mclass.losses.split_unknown`; of data whose labels are all known, nothing is looked at."""
        return (labels, None) if self.partly_labelled is False else losses.split_unknown(labels)

    def clip_outputs(self, chunks: torch.Tensor) -> torch.Tensor:
        """Probabilities of chunks: ``(n, samples)`` to ``(n, num_tags)``."""
        return chunk_probabilities(self.judged, chunks)

    def evaluate(self, scores: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """Validation loss and metrics of clip-level probabilities, both ``(clips, num_tags)``."""
        labels, known = self.split_unknown(labels)
        if not self.multilabel:
            chosen = (scores * labels).sum(dim=1).clamp(min=1e-12)
            return {"valid_loss": -chosen.log().mean(), "valid_accuracy": metrics.accuracy(labels, scores)}
        which = ... if known is None else known
        loss = F.binary_cross_entropy(scores[which], labels[which])
        with warnings.catch_warnings():
            if self.undefined_named:
                warnings.simplefilter("ignore", metrics.UndefinedTagsWarning)
            roc_auc = metrics.roc_auc(labels, scores, tags=self.model.tags, known=known)
            warnings.simplefilter("ignore", metrics.UndefinedTagsWarning)
            pr_auc = metrics.pr_auc(labels, scores, tags=self.model.tags, known=known)
        self.undefined_named = True
        return {"valid_loss": loss, "valid_roc_auc": roc_auc, "valid_pr_auc": pr_auc}


def check_labels(task: Tagging, train: MusicDataset, valid: MusicDataset) -> None:
    """Refuse labels that do not fit the task; name tags that cannot be learned or scored.

    Raises
    ------
    DatasetError, ModelError
        If the kind of labels, the tags or their number differ, or no tag can be scored.

    Warns
    -----
    mclass.metrics.UndefinedTagsWarning
        Naming tags without an example in `train`, and, once, tags that `valid` cannot score.
    """
    for split in (train, valid):
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
    if train.partly_labelled or valid.partly_labelled:
        check_masking(task.multilabel, task.criterion or losses.BCELoss())
    absent = [tag for tag, count in zip(train.tags, train.tag_counts, strict=True) if not count]
    if absent:
        _warn(
            f"the training clips have no example of {len(absent)} of {len(train.tags)} tags: {', '.join(absent)}"
        )
    if task.multilabel and not task.undefined_named:
        undefined = metrics.undefined_tags(valid.labels, valid.tags, valid.known)
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


def check_masking(multilabel: bool, criterion: nn.Module) -> None:
    """Refuse unknown labels where nothing can leave them out: they would count as "no".

    Raises
    ------
    DatasetError
        If a clip has one label of several classes, which is known or not as a whole.
    ModelError
        If the loss takes no mask.
    """
    if not multilabel:
        raise DatasetError(
            "some labels of single-label clips are unknown; leave these clips out (dataset.subset), or learn from "
            "them without labels (mclass.training.NoisyStudent)"
        )
    if "known" not in inspect.signature(criterion.forward).parameters:
        raise ModelError(
            f"some labels are unknown, and {type(criterion).__name__} cannot leave them out. Use a loss of "
            "mclass.losses (BCELoss, FocalLoss), or give the forward() of yours an argument known=None: a mask of "
            "bool, (batch, num_tags)"
        )


def _warn(message: str) -> None:
    warnings.warn(message, metrics.UndefinedTagsWarning, stacklevel=5)
