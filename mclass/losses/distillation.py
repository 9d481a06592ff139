"""Losses that learn from a model's outputs in place of labels: a teacher's, or the student's own.

Outputs are logits ``(batch, num_tags)``. With ``multilabel=True`` every tag is a decision of its own (sigmoid),
else the tags are classes of which one holds (softmax), as `mclass.models.WaveformModel.multilabel` says. No
gradient goes to the teacher.

Taught in: 06_semi_supervised.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from mclass.losses.base import Loss, check_floats, in_float32, number, one_of


def cross_entropy(logits: torch.Tensor, target_logits: torch.Tensor, multilabel: bool) -> torch.Tensor:
    """Cross-entropy from the targets' distribution, ``(batch, num_tags)`` or, of classes, ``(batch,)``.

    Examples
    --------
    >>> cross_entropy(torch.zeros(1, 4), torch.zeros(1, 4), multilabel=False)
    tensor([1.3863])
    """
    if multilabel:
        return F.binary_cross_entropy_with_logits(logits, target_logits.sigmoid(), reduction="none")
    return -(target_logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)


def entropy(logits: torch.Tensor, multilabel: bool) -> torch.Tensor:
    """Entropy in nats, shape ``(batch, num_tags)`` or, of classes, ``(batch,)``: how undecided the outputs are."""
    return cross_entropy(logits, logits, multilabel)


class _Outputs(Loss):
    def __init__(self, multilabel: bool, reduction: str):
        super().__init__(reduction)
        self.multilabel = multilabel

    def check(self, **logits: torch.Tensor) -> None:
        """Refuse what are not logits ``(batch, num_tags)``, of at least two classes if one must hold."""
        check_floats((2,), "(batch, num_tags)", **logits)
        name, first = next(iter(logits.items()))
        if not self.multilabel and first.shape[1] == 1:
            raise ValueError(f"{name} has a single class, which always holds. (Is multilabel=True meant?)")


class DistillationLoss(_Outputs):
    """The student's softened outputs shall be the teacher's: ``T² KL(teacher / T ‖ student / T)``.

    A temperature above 1 shows what the teacher finds second and third best; T² keeps the gradient's size
    (Hinton et al., 2015, section 2.1).

    Parameters
    ----------
    temperature : float
    multilabel : bool
    reduction : {"mean", "sum", "none"}
        ``"none"`` gives shape ``(batch, num_tags)`` or, of classes, ``(batch,)``.

    Raises
    ------
    ValueError
        If the logits are not two float tensors ``(batch, num_tags)`` of one shape, dtype and device, or not
        finite.

    References
    ----------
    G. Hinton, O. Vinyals and J. Dean, "Distilling the knowledge in a neural network", 2015.

    Examples
    --------
    >>> DistillationLoss(temperature=1.0)(torch.zeros(1, 1), torch.tensor([[4.0]]))  # log 2 - H(0.982)
    tensor(0.6031)
    """

    def __init__(self, temperature: float = 2.0, multilabel: bool = True, reduction: str = "mean"):
        super().__init__(multilabel, reduction)
        self.temperature = number("temperature", temperature, low=0.0, open_low=True)

    @in_float32
    def forward(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """Compare the logits of student and teacher, shape ``(batch, num_tags)`` each."""
        self.check(student=student, teacher=teacher)
        soft, target = student / self.temperature, teacher.detach() / self.temperature
        divergence = cross_entropy(soft, target, self.multilabel) - entropy(target, self.multilabel)
        return self.reduce(self.temperature**2 * divergence, {"student": student, "teacher": teacher})


class PseudoLabelLoss(_Outputs):
    """Cross-entropy with the labels that a teacher would give, where it is sure of them.

    Hard labels are its decisions (Lee, 2013; FixMatch), soft ones its probabilities (noisy student).

    Parameters
    ----------
    kind : {"hard", "soft"}
    threshold : float
        Least probability of the teacher's own decision, from 0 to 1. With several tags a decision, also that a tag
        is absent, is never below 0.5.
    multilabel : bool
    reduction : {"mean", "sum", "none"}
        The mean is over *all* decisions, so that few confident ones weigh little; ``"none"`` has 0 for the others.

    Attributes
    ----------
    statistics : dict
        ``confident``: share of decisions that are learned from.

    Raises
    ------
    ValueError
        As `DistillationLoss`; if `kind` or `threshold` is not allowed.

    Warns
    -----
    EmptyLossWarning
        The teacher is sure of nothing.

    References
    ----------
    D.-H. Lee, "Pseudo-label", 2013; K. Sohn et al., "FixMatch", NeurIPS 2020, equation 4; Q. Xie et al.,
    "Self-training with noisy student improves ImageNet classification", CVPR 2020.

    Examples
    --------
    >>> loss = PseudoLabelLoss(threshold=0.9, reduction="none")
    >>> loss(torch.zeros(1, 3), torch.tensor([[4.0, 1.0, -4.0]])), loss.statistics["confident"]
    (tensor([[0.6931, 0.0000, 0.6931]]), tensor(0.6667))
    """

    def __init__(
        self, kind: str = "hard", threshold: float = 0.95, multilabel: bool = True, reduction: str = "mean"
    ):
        super().__init__(multilabel, reduction)
        self.kind = one_of("kind", kind, ("hard", "soft"))
        self.threshold = number("threshold", threshold, low=0.0, high=1.0)

    @in_float32
    def forward(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """Compare the student's logits with labels from the teacher's, shape ``(batch, num_tags)`` each."""
        self.check(student=student, teacher=teacher)
        teacher = teacher.detach()
        if self.multilabel:
            confidence = teacher.abs().sigmoid()
            hard = (teacher > 0).to(student.dtype)
        else:
            confidence, hard = teacher.softmax(-1).max(-1)
        if self.kind == "soft":
            values = cross_entropy(student, teacher, self.multilabel)
        elif self.multilabel:
            values = F.binary_cross_entropy_with_logits(student, hard, reduction="none")
        else:
            values = F.cross_entropy(student, hard, reduction="none")
        sure = confidence >= self.threshold
        self.statistics = {"confident": sure.float().mean()}
        self.warn_if_empty(sure, f"the teacher is nowhere as sure as threshold={self.threshold}")
        return self.reduce(values * sure, {"student": student, "teacher": teacher})


class ConsistencyLoss(_Outputs):
    """Two views of one clip shall be given the same tags.

    Parameters
    ----------
    kind : {"mse", "kl"}
        Squared difference of probabilities (mean teacher), or divergence from the second's (UDA).
    stop_gradient : bool
        Whether the second is a fixed target.
    multilabel : bool
    reduction : {"mean", "sum", "none"}
        ``"none"`` gives shape ``(batch, num_tags)``; for the divergence of classes ``(batch,)``.

    Raises
    ------
    ValueError
        As `DistillationLoss`; if `kind` is not allowed.

    References
    ----------
    A. Tarvainen and H. Valpola, "Mean teachers are better role models", NeurIPS 2017; Q. Xie et al., "Unsupervised
    data augmentation for consistency training", NeurIPS 2020.

    Examples
    --------
    >>> ConsistencyLoss()(torch.tensor([[0.0]]), torch.tensor([[100.0]]))  # (0.5 - 1)²
    tensor(0.2500)
    """

    def __init__(
        self, kind: str = "mse", stop_gradient: bool = True, multilabel: bool = True, reduction: str = "mean"
    ):
        super().__init__(multilabel, reduction)
        self.kind = one_of("kind", kind, ("mse", "kl"))
        self.stop_gradient = stop_gradient

    @in_float32
    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Compare the logits of two views, shape ``(batch, num_tags)`` each."""
        self.check(first=first, second=second)
        target = second.detach() if self.stop_gradient else second
        if self.kind == "kl":
            values = cross_entropy(first, target, self.multilabel) - entropy(target, self.multilabel)
        else:
            p, q = (x.sigmoid() if self.multilabel else x.softmax(-1) for x in (first, target))
            values = (p - q).square()
        return self.reduce(values, {"first": first, "second": second})


class EntropyLoss(_Outputs):
    """Outputs shall be decided, also where nobody labelled them: the entropy of the output, in nats.

    Parameters
    ----------
    multilabel : bool
    reduction : {"mean", "sum", "none"}
        ``"none"`` gives shape ``(batch, num_tags)`` or, of classes, ``(batch,)``.

    Raises
    ------
    ValueError
        If the logits are not floats ``(batch, num_tags)``, or not finite.

    References
    ----------
    Y. Grandvalet and Y. Bengio, "Semi-supervised learning by entropy minimization", NeurIPS 2004.

    Examples
    --------
    >>> EntropyLoss(reduction="none")(torch.tensor([[0.0, 4.0]]))
    tensor([[0.6931, 0.0901]])
    """

    def __init__(self, multilabel: bool = True, reduction: str = "mean"):
        super().__init__(multilabel, reduction)

    @in_float32
    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """Map logits, shape ``(batch, num_tags)``, to their entropy."""
        self.check(logits=logits)
        return self.reduce(entropy(logits, self.multilabel), {"logits": logits})
