"""Supervised training of a tagger or classifier, as a Lightning module.

Trained on chunks, judged on clips: a training example is one random crop; in validation the probabilities of a
clip's chunks are averaged first, as `mclass.inference` does.

Taught in: 04_supervised.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack

import lightning
import torch
from torch import nn
from torch.nn import functional as F

from mclass import metrics
from mclass.augmentations import ComposeMany, Mixup, SpecAugment, Transform
from mclass.errors import ModelError, unknown_name
from mclass.inference import chunk_probabilities
from mclass.models import WaveformModel

OPTIMIZERS = ("adam", "nadam", "sgd")


class Tagging(lightning.LightningModule):
    """Binary cross-entropy per tag, or cross-entropy over classes, on the logits of a model.

    Parameters
    ----------
    model : WaveformModel
    optimizer : {"adam", "nadam", "sgd"}
        ``"sgd"`` uses Nesterov momentum.
    learning_rate : float
    momentum : float
        Of ``"sgd"``.
    weight_decay : float
    plateau_patience : int or None
        Epochs without a lower validation loss before the learning rate is reduced; None leaves it alone.
    plateau_factor : float
        What the learning rate is then multiplied by.
    multilabel : bool
        Several tags may hold at once (sigmoid), or exactly one does (softmax).
    augment : Transform, Mixup, or a sequence of them, optional
        What happens to each training batch, in this order (see `mclass.augmentations`); a `SpecAugment` waits for
        what the model's front end gives. Validation hears clips as they are. Random numbers come from torch's
        global generator, which `mclass.training.fit` seeds for each epoch.

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
    ``(clips, labels)`` where ``clips`` is a sequence of chunks ``(num_chunks, samples)``, one entry per clip.
    Logs ``train_loss``, ``valid_loss`` and ``valid_roc_auc``, ``valid_pr_auc`` or ``valid_accuracy``.

    Examples
    --------
    >>> from mclass import models
    >>> task = Tagging(models.create("cnn_1d", num_tags=3), optimizer="sgd", learning_rate=0.01)
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
        optimizer: str = "adam",
        learning_rate: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        plateau_patience: int | None = 5,
        plateau_factor: float = 0.2,
        multilabel: bool = True,
        augment: Transform | Mixup | Sequence[Transform | Mixup] | None = None,
    ):
        super().__init__()
        if optimizer not in OPTIMIZERS:
            raise ValueError(unknown_name("optimizer", optimizer, OPTIMIZERS))
        if not learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {learning_rate}")
        if not (0 <= momentum < 1 and weight_decay >= 0):
            raise ValueError(
                f"momentum must be in [0, 1) and weight_decay not negative, got {momentum} and {weight_decay}"
            )
        if not 0 < plateau_factor < 1 or (plateau_patience is not None and plateau_patience < 0):
            raise ValueError(
                "plateau_factor must be between 0 and 1 and plateau_patience not negative (or None), "
                f"got {plateau_factor} and {plateau_patience}"
            )
        if not isinstance(model, WaveformModel):
            raise ModelError(
                "the model must be a mclass.models.WaveformModel (which says its sample rate and the length of "
                f"its chunks), got {type(model).__name__}. Make your class a sub-class of it"
            )
        self.model, self.multilabel = model, multilabel
        model.multilabel = multilabel
        self.optimizer, self.learning_rate, self.momentum = optimizer, learning_rate, momentum
        self.weight_decay = weight_decay
        self.plateau_patience, self.plateau_factor = plateau_patience, plateau_factor
        self.augment = nn.ModuleList(_augmentations(augment))
        self.undefined_named = False  # tags without examples are named once, not every epoch
        self._clips: list[tuple[torch.Tensor, torch.Tensor]] = []

    @property
    def options(self) -> dict:
        """What a resumed run must have in common with the run it continues."""
        names = ("optimizer", "learning_rate", "momentum", "weight_decay", "plateau_patience", "plateau_factor")
        options = {name: getattr(self, name) for name in (*names, "multilabel")}
        if len(self.augment):
            options["augment"] = ", ".join(" ".join(str(one).split()) for one in self.augment)  # in one line
        return options

    @property
    def monitor(self) -> str:
        """The logged score that decides which epoch was the best."""
        return "valid_roc_auc" if self.multilabel else "valid_accuracy"

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean loss of logits against multi-hot or one-hot labels, both ``(batch, num_tags)``."""
        criterion = F.binary_cross_entropy_with_logits if self.multilabel else F.cross_entropy
        return criterion(logits, labels)

    def augmented(self, waveform: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of an augmented batch, and the labels that it has then (soft ones after `Mixup`).

        Parameters
        ----------
        waveform : torch.Tensor, shape (batch, samples)
        labels : torch.Tensor, shape (batch, num_tags)
        """
        with ExitStack() as stack:
            for one in self.augment:
                if isinstance(one, SpecAugment):
                    hook = self.model.frontend.register_forward_hook(_masking(one))
                    stack.callback(hook.remove)
                elif isinstance(one, Mixup):
                    waveform, labels = one(waveform, labels)
                else:
                    waveform = one(waveform, labels=labels)
            return self.model(waveform), labels

    def training_step(self, batch: tuple, batch_idx: int) -> torch.Tensor:
        waveform, labels = batch
        logits, labels = self.augmented(waveform, labels)
        loss = self.loss(logits, labels)
        if not torch.isfinite(loss):
            guess = (
                "Is the learning rate too high?"
                if waveform.isfinite().all()
                else f"Its rows {(~waveform.isfinite().all(1)).nonzero().flatten().tolist()} hold NaN or infinity."
            )
            raise ModelError(
                f"training stopped: the loss became {loss.item()} in epoch {self.current_epoch}, "
                f"batch {batch_idx} (both counted from 0; learning_rate={self.learning_rate}). {guess}"
            )
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(waveform))
        return loss

    def validation_step(self, batch: tuple, batch_idx: int) -> None:
        clips, labels = batch
        clips = list(clips)
        probabilities = chunk_probabilities(self.model, torch.cat(clips))
        means = [chunks.mean(0) for chunks in probabilities.split([len(clip) for clip in clips])]
        self._clips.append((torch.stack(means), labels))

    def on_validation_epoch_end(self) -> None:
        scores, labels = (torch.cat(parts) for parts in zip(*self._clips, strict=True))
        self._clips.clear()
        if self.trainer.sanity_checking:  # a few batches: not every metric is defined
            return
        if not scores.isfinite().all():
            raise ModelError(
                f"training stopped: the model's outputs on the validation clips are not finite after epoch "
                f"{self.current_epoch} (learning_rate={self.learning_rate}). Is the learning rate too high?"
            )
        self.log_dict(self.evaluate(scores, labels), prog_bar=True)

    def evaluate(self, scores: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """Validation loss and metrics of clip-level probabilities, both ``(clips, num_tags)``."""
        if not self.multilabel:
            chosen = (scores * labels).sum(dim=1).clamp(min=1e-12)
            return {"valid_loss": -chosen.log().mean(), "valid_accuracy": metrics.accuracy(labels, scores)}
        loss = F.binary_cross_entropy(scores, labels)
        with warnings.catch_warnings():
            if self.undefined_named:
                warnings.simplefilter("ignore", metrics.UndefinedTagsWarning)
            roc_auc = metrics.roc_auc(labels, scores, tags=self.model.tags)
            warnings.simplefilter("ignore", metrics.UndefinedTagsWarning)
            pr_auc = metrics.pr_auc(labels, scores, tags=self.model.tags)
        self.undefined_named = True
        return {"valid_loss": loss, "valid_roc_auc": roc_auc, "valid_pr_auc": pr_auc}

    def configure_optimizers(self):
        parameters = [p for p in self.parameters() if p.requires_grad]
        common = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        if self.optimizer == "sgd":
            momentum = {"momentum": self.momentum, "nesterov": self.momentum > 0}
            optimizer = torch.optim.SGD(parameters, **common, **momentum)
        else:
            optimizer = {"adam": torch.optim.Adam, "nadam": torch.optim.NAdam}[self.optimizer](
                parameters, **common
            )
        if self.plateau_patience is None:
            return optimizer
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=self.plateau_factor, patience=self.plateau_patience
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "valid_loss"}}


def _augmentations(given) -> list[nn.Module]:
    """What `Tagging` was given to augment with, as a list."""
    listed = [] if given is None else list(given) if isinstance(given, Sequence) else [given]
    for one in listed:
        if not isinstance(one, Transform | Mixup) or isinstance(one, ComposeMany):
            raise TypeError(
                "augment must be a transform of mclass.augmentations that returns one view, Mixup, or a sequence "
                f"of these, got {type(one).__name__}"
            )
    return listed


def _masking(spec_augment: SpecAugment):
    return lambda frontend, inputs, spectrogram: spec_augment(spectrogram)
