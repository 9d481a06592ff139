"""What learning from labels has in common, be they tags or numbers: batches that are augmented, and a loss.

Taught in: 04_supervised, 05_augmentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import nn

from mclass.augmentations import ComposeMany, Mixup, SpecAugment, Transform
from mclass.models import WaveformModel
from mclass.training.engine import distributed
from mclass.training.tasks.task import Task


class Supervised(Task):
    """Base class: one random crop of each clip, augmented, and what the model shall say of it.

    Sub-classes implement `loss`, `clip_outputs` and `evaluate`.

    Parameters
    ----------
    model : WaveformModel
    augment : Transform, Mixup, or a sequence of them, optional
        What happens to each training batch, in this order; see `mclass.training.Tagging`.
    **optimization
        `optimizer`, `learning_rate`, `schedule`, …: see `mclass.training.Task`.

    Raises
    ------
    TypeError
        If `augment` is something else.
    """

    larger_is_better = True

    def __init__(
        self,
        model: WaveformModel,
        *,
        augment: Transform | Mixup | Sequence[Transform | Mixup] | None = None,
        **optimization,
    ):
        super().__init__(model, **optimization)
        self.augment = nn.ModuleList(_augmentations(augment))

    @property
    def options(self) -> dict:
        """What a resumed run must have in common with the run it continues."""
        if not len(self.augment):
            return super().options
        return super().options | {"augment": ", ".join(" ".join(str(one).split()) for one in self.augment)}

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean loss of what the model says, against the labels; both ``(batch, num_tags)``."""
        raise NotImplementedError

    def batch_loss(self, batch: tuple) -> torch.Tensor:
        """The loss of an augmented batch of crops."""
        waveform, labels = batch
        logits, labels = self.augmented(waveform, labels)
        return self.loss(logits, labels)

    def augmented(
        self, waveform: torch.Tensor, labels: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Logits of an augmented batch, and the labels that it has then (soft ones after `Mixup`).

        Parameters
        ----------
        waveform : torch.Tensor, shape (batch, samples)
        labels : torch.Tensor, shape (batch, num_tags), or None
            Without labels there is no `Mixup`.
        """
        with ExitStack() as stack:
            for one in self.augment:
                if isinstance(one, SpecAugment):
                    hook = self.model.frontend.register_forward_hook(_masking(one))
                    stack.callback(hook.remove)
                elif not isinstance(one, Mixup):
                    waveform = distributed.transformed(one, waveform, labels)
                elif labels is not None:
                    waveform, labels = one(waveform, labels)
            return self.model(waveform), labels

    def heard(self, waveform: torch.Tensor) -> torch.Tensor:
        """Logits of an augmented batch without labels."""
        return self.augmented(waveform, None)[0]


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
    return lambda frontend, inputs, spectrogram: distributed.transformed(spec_augment, spectrogram)
