"""A small student imitates a large teacher, and what teachers and students must have in common.

Taught in: 06_semi_supervised.
"""

from __future__ import annotations

import torch

from mclass import losses
from mclass.datasets import MusicDataset
from mclass.errors import ModelError
from mclass.models import WaveformModel
from mclass.training.tasks.tagging import Tagging


class Taught(Tagging):
    """Base class of what has a `teacher`, a frozen model."""

    teacher: WaveformModel

    def check_data(self, train: MusicDataset, valid: MusicDataset) -> None:
        """Refuse tags that the teacher does not know, besides what the task refuses without a teacher.

        A new student has no names for its outputs before it is trained, so that only the data have them.

        Raises
        ------
        ModelError
            If the teacher's tags, or their order, are not those of the clips.
        """
        super().check_data(train, valid)
        if self.teacher.tags and list(self.teacher.tags) != list(train.tags):
            other = sorted(set(self.teacher.tags) ^ set(train.tags))[:5]
            raise ModelError(
                f"the teacher names other tags than the clips that the student learns from (or in another order): "
                f"{other}. Train the teacher on the tags of these clips"
            )

    def train(self, mode: bool = True) -> Taught:
        """Switch the student's mode; the teacher stays in eval mode."""
        super().train(mode)
        self.teacher.eval()
        return self


class Distillation(Taught):
    """A small student imitates a large teacher, and learns the labels as well.

    ``(1 - weight) · cross-entropy with the labels + weight · distillation loss`` (Hinton et al. 2015). Where a
    label is unknown, the teacher alone speaks.

    Parameters
    ----------
    model : WaveformModel
        The student.
    teacher : WaveformModel
        It stays as it is.
    temperature : float
        See `mclass.losses.DistillationLoss`.
    weight : float
        From 0 (labels alone) to 1 (the teacher alone).
    **tagging
        As for `Tagging`. With `augment`, teacher and student hear the same altered clip.

    Raises
    ------
    ModelError
        If teacher and student name different tags, or hear different sample rates.

    Examples
    --------
    >>> from mclass import models
    >>> task = Distillation(models.create("cnn_1d"), models.create("cnn_2d"), temperature=3.0)
    >>> task.batch_loss((torch.zeros(2, 48000), torch.zeros(2, 50))).shape
    torch.Size([])
    """

    def __init__(
        self,
        model: WaveformModel,
        teacher: WaveformModel,
        *,
        temperature: float = 2.0,
        weight: float = 0.5,
        **tagging,
    ):
        super().__init__(model, **tagging)
        if not 0 <= weight <= 1:
            raise ValueError(f"weight is a share of the loss, from 0 to 1, got {weight}")
        self.teacher, self.weight = frozen_teacher(teacher, model), weight
        self.distillation_loss = losses.DistillationLoss(temperature, self.multilabel)

    @property
    def options(self) -> dict:
        """What a resumed run must have in common with the run it continues."""
        return super().options | {"weight": self.weight, "temperature": self.distillation_loss.temperature}

    def batch_loss(self, batch: tuple) -> torch.Tensor:
        """Both losses, of the same augmented batch."""
        heard: list[torch.Tensor] = []
        hook = self.model.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
        try:
            logits, labels = self.augmented(*batch)
        finally:
            hook.remove()
        with torch.no_grad():
            answers = self.teacher(heard[0])
        return (1 - self.weight) * self.loss(logits, labels) + self.weight * self.distillation_loss(
            logits, answers
        )


def frozen_teacher(teacher: WaveformModel, student: WaveformModel) -> WaveformModel:
    """Check that the two fit together, and freeze the teacher.

    Raises
    ------
    ModelError
        If they are one object, name different tags, have different numbers of outputs, hear different sample
        rates, or the student's chunks are too short for the teacher.
    """
    if teacher.num_tags != student.num_tags:
        raise ModelError(f"the teacher has {teacher.num_tags} outputs and the student {student.num_tags}")
    if teacher.tags and student.tags and list(teacher.tags) != list(student.tags):
        other = sorted(set(teacher.tags) ^ set(student.tags))[:5]
        raise ModelError(f"teacher and student name different tags (or in another order): {other}")
    if teacher.sample_rate != student.sample_rate:
        raise ModelError(
            f"the teacher expects {teacher.sample_rate} Hz and the student {student.sample_rate}; both must hear "
            "the same clips"
        )
    if student.num_samples < teacher.min_samples:
        raise ModelError(
            f"the student's chunks have {student.num_samples} samples and the teacher needs {teacher.min_samples}"
            "; set the student's num_samples, if it can hear longer ones"
        )
    if teacher is student:
        raise ModelError("teacher and student are one and the same object; use copy.deepcopy for the teacher")
    return teacher.requires_grad_(False).eval()
