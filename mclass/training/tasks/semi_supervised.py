"""Learning from few labelled and many unlabelled clips.

All of these add a second loss to that of `Tagging`, computed on clips whose labels nobody looks at:

* `NoisyStudent`: a trained teacher's answers are taken for labels (without noise: plain self-training);
* `Consistency`: an altered clip shall be given the tags of the original;
* `MeanTeacher`: the same, where the original's tags come from an average of the model's past selves;
* `EntropyMinimisation`: the model shall make up its mind.

Taught in: 06_semi_supervised.
"""

from __future__ import annotations

import copy

import torch
from torch.utils.data import Dataset

from mclass import losses
from mclass.datasets import MusicDataset
from mclass.datasets.unlabelled.budgets import WithUnlabelled
from mclass.inference import check_sample_rate
from mclass.losses import momentum_update
from mclass.models import WaveformModel
from mclass.training.tasks.distillation import Taught, frozen_teacher
from mclass.training.tasks.tagging import Tagging


class SemiSupervised(Tagging):
    """Base class: the loss of `Tagging` plus `weight` times a loss on unlabelled clips.

    Sub-classes implement `unlabelled_loss`. Clips whose labels are partly known can be given as `unlabelled`, too:
    the first loss leaves unknown labels out, and a teacher fills the gaps.

    Parameters
    ----------
    model : WaveformModel
    unlabelled : MusicDataset
        Its labels are not looked at.
    weight : float
        Of the second loss.
    per_example : int
        Unlabelled crops for each labelled one.
    ramp_up : int
        Epochs in which the weight rises from 0 to its value: at first the model knows too little to teach itself.
    **tagging
        As for `Tagging`: `augment`, `multilabel`, `learning_rate`, …

    Raises
    ------
    ValueError
        If an option is outside its range.
    """

    def __init__(
        self,
        model: WaveformModel,
        unlabelled: MusicDataset,
        *,
        weight: float = 1.0,
        per_example: int = 1,
        ramp_up: int = 0,
        **tagging,
    ):
        super().__init__(model, **tagging)
        if not 0 <= weight < float("inf"):
            raise ValueError(f"weight must not be negative, got {weight}")
        if ramp_up < 0 or ramp_up != int(ramp_up):
            raise ValueError(f"ramp_up is a whole number of epochs, got {ramp_up}")
        self.unlabelled, self.weight, self.per_example, self.ramp_up = unlabelled, weight, per_example, ramp_up

    @property
    def options(self) -> dict:
        """What a resumed run must have in common with the run it continues."""
        own = {name: getattr(self, name) for name in ("weight", "per_example", "ramp_up")}
        return super().options | own | {"unlabelled clips": len(self.unlabelled)}

    def check_data(self, train: MusicDataset, valid: MusicDataset) -> None:
        """Refuse what `Tagging` refuses, and unlabelled clips of another sample rate."""
        super().check_data(train, valid)
        check_sample_rate(self.model, self.unlabelled)

    def training_set(self, train: MusicDataset, seed: int, pad: bool) -> Dataset:
        """Labelled crops, each with unlabelled ones."""
        return WithUnlabelled(train, self.unlabelled, self.model.num_samples, self.per_example, seed, pad)

    def batch_loss(self, batch: tuple) -> torch.Tensor:
        """Both losses."""
        waveform, labels, others = batch
        supervised = super().batch_loss((waveform, labels))
        unlabelled = self.unlabelled_loss(others.flatten(0, 1))
        self.log(
            "unlabelled_loss", unlabelled, on_step=False, on_epoch=True, batch_size=len(waveform), sync_dist=True
        )
        rise = min(1.0, (self.current_epoch + 1) / (self.ramp_up + 1))
        return supervised + self.weight * rise * unlabelled

    def unlabelled_loss(self, waveform: torch.Tensor) -> torch.Tensor:
        """Mean loss of unlabelled crops, shape ``(batch, samples)``."""
        raise NotImplementedError


class NoisyStudent(Taught, SemiSupervised):
    """A student learns a teacher's answers under noise, and may then be the next teacher.

    The teacher hears the clips as they are, the student hears them augmented and with its dropout on (Xie et al.
    2020, *Self-training with noisy student improves ImageNet classification*; Won et al. 2021 for music). Without
    `augment`, and with a model without dropout, it is plain self-training.

    Parameters
    ----------
    model : WaveformModel
        The student: of the teacher's size or larger.
    teacher : WaveformModel
        Trained on the labelled clips; it stays as it is.
    unlabelled : MusicDataset
    kind : {"soft", "hard"}
        Learn its probabilities or its decisions.
    threshold : float
        Learn only from decisions that the teacher is at least so sure of.
    **semi_supervised
        As for `SemiSupervised`; `augment` is the student's noise.

    Raises
    ------
    ModelError
        If teacher and student name different tags, or hear different sample rates.

    Examples
    --------
    >>> from mclass import datasets, models
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> teacher, student = models.create("cnn_1d"), models.create("cnn_1d")
    >>> task = NoisyStudent(student, teacher, etude, weight=0.5)
    >>> task.unlabelled_loss(torch.zeros(2, 48000)).shape
    torch.Size([])
    """

    def __init__(
        self,
        model: WaveformModel,
        teacher: WaveformModel,
        unlabelled: MusicDataset,
        *,
        kind: str = "soft",
        threshold: float = 0.0,
        **semi_supervised,
    ):
        super().__init__(model, unlabelled, **semi_supervised)
        self.teacher = frozen_teacher(teacher, model)
        self.pseudo_label_loss = losses.PseudoLabelLoss(kind, threshold, self.multilabel)

    @property
    def options(self) -> dict:
        """What a resumed run must have in common with the run it continues."""
        loss = self.pseudo_label_loss
        return super().options | {"kind": loss.kind, "threshold": loss.threshold}

    def unlabelled_loss(self, waveform: torch.Tensor) -> torch.Tensor:
        """Cross-entropy with the teacher's answers."""
        with torch.no_grad():
            answers = self.teacher(waveform)
        return self.pseudo_label_loss(self.heard(waveform), answers)


class Consistency(SemiSupervised):
    """An altered clip shall be given the tags of the clip as it is.

    The consistency training of Xie et al. 2020, *Unsupervised data augmentation*: the answer to the unaltered clip
    is the target, and no gradient flows through it.

    Parameters
    ----------
    model : WaveformModel
    unlabelled : MusicDataset
    augment : Transform or a sequence of them
        How clips are altered; required.
    kind : {"mse", "kl"}
        See `mclass.losses.ConsistencyLoss`.
    **semi_supervised
        As for `SemiSupervised`.

    Raises
    ------
    ValueError
        If there is no `augment`: the model would always agree with itself.

    Examples
    --------
    >>> from mclass import augmentations, datasets, models
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> task = Consistency(models.create("cnn_1d"), etude, augment=augmentations.Gain(-20, -1))
    >>> task.unlabelled_loss(torch.zeros(2, 48000)).shape
    torch.Size([])
    """

    def __init__(self, model: WaveformModel, unlabelled: MusicDataset, *, kind: str = "mse", **semi_supervised):
        super().__init__(model, unlabelled, **semi_supervised)
        if not len(self.augment):
            raise ValueError("a model always agrees with itself on the same sound: give augment=, which alters it")
        self.consistency_loss = losses.ConsistencyLoss(kind, multilabel=self.multilabel)

    @property
    def options(self) -> dict:
        """What a resumed run must have in common with the run it continues."""
        return super().options | {"kind": self.consistency_loss.kind}

    def unlabelled_loss(self, waveform: torch.Tensor) -> torch.Tensor:
        """Difference between the answers to two versions of each clip."""
        with torch.no_grad():
            answers = self.answers(waveform)
        return self.consistency_loss(self.heard(waveform), answers)

    def answers(self, waveform: torch.Tensor) -> torch.Tensor:
        """Logits of the clips as they are."""
        return self.model(waveform)


class MeanTeacher(Taught, Consistency):
    """The target comes from a teacher whose weights are an average of the student's past ones.

    Tarvainen and Valpola 2017, *Mean teachers are better role models*. The average changes slowly and is wrong
    less often than the student of the moment. It is the teacher that is judged after each epoch, and kept.

    Parameters
    ----------
    model : WaveformModel
    unlabelled : MusicDataset
    momentum_of_teacher : float
        Share of the teacher's weights that stays at each step; about ``1 - 1 / steps to look back``.
    **consistency
        As for `Consistency`.

    Attributes
    ----------
    teacher : WaveformModel

    Examples
    --------
    >>> from mclass import augmentations, datasets, models
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> task = MeanTeacher(models.create("cnn_1d"), etude, augment=augmentations.Gain(-20, -1))
    >>> task.unlabelled_loss(torch.zeros(2, 48000)).shape
    torch.Size([])
    """

    def __init__(
        self, model: WaveformModel, unlabelled: MusicDataset, *, momentum_of_teacher: float = 0.99, **consistency
    ):
        super().__init__(model, unlabelled, **consistency)
        if not 0 <= momentum_of_teacher < 1:
            raise ValueError(f"momentum_of_teacher must be in [0, 1), got {momentum_of_teacher}")
        self.momentum_of_teacher = momentum_of_teacher
        self.teacher = frozen_teacher(copy.deepcopy(model), model)
        self.teacher.tags = None  # it learns other words if its student does

    @property
    def options(self) -> dict:
        """What a resumed run must have in common with the run it continues."""
        return super().options | {"momentum_of_teacher": self.momentum_of_teacher}

    @property
    def judged(self) -> WaveformModel:
        """The teacher."""
        return self.teacher

    def answers(self, waveform: torch.Tensor) -> torch.Tensor:
        """The teacher's logits."""
        return self.teacher(waveform)

    def on_train_batch_end(self, *_) -> None:
        """Move the teacher towards the student, after each of its steps."""
        if self.stepped:
            momentum_update(self.teacher, self.model, self.momentum_of_teacher)


class EntropyMinimisation(SemiSupervised):
    """The model shall be sure of its answers to unlabelled clips, whatever they are.

    Grandvalet and Bengio 2004, *Semi-supervised learning by entropy minimization*. Alone it makes a model surer,
    not better; watch the validation loss.

    Parameters
    ----------
    model : WaveformModel
    unlabelled : MusicDataset
    **semi_supervised
        As for `SemiSupervised`.

    Examples
    --------
    >>> from mclass import datasets, models
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> task = EntropyMinimisation(models.create("cnn_1d"), etude, weight=0.1)
    >>> task.unlabelled_loss(torch.zeros(2, 48000)).shape
    torch.Size([])
    """

    def __init__(self, model: WaveformModel, unlabelled: MusicDataset, **semi_supervised):
        super().__init__(model, unlabelled, **semi_supervised)
        self.entropy_loss = losses.EntropyLoss(self.multilabel)

    def unlabelled_loss(self, waveform: torch.Tensor) -> torch.Tensor:
        """Mean entropy of the answers."""
        return self.entropy_loss(self.heard(waveform))
