"""Losses of tagging: every tag is a decision of its own, made from its logit.

Taught in: 04_supervised.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from mclass._utils.arrays import as_tensor
from mclass.losses.base import Loss, check_targets, in_float32, number


class BCELoss(Loss):
    """Binary cross-entropy on logits, with weights for rare or important tags.

    ``-w [ p⁺ y log σ(x) + (1 - y) log(1 - σ(x)) ]`` for logit x and target y of each tag.

    Parameters
    ----------
    pos_weight : float or torch.Tensor, shape (num_tags,), optional
        p⁺: how much more a positive counts than a negative. `balanced` computes it from labels.
    weight : float or torch.Tensor, shape (num_tags,), optional
        w: how much the tag counts.
    soft : bool
        Whether targets may be anything between 0 and 1, as mixup and teachers make them.
    reduction : {"mean", "sum", "none"}
        ``"none"`` gives shape ``(batch, num_tags)``.

    Raises
    ------
    ValueError
        If logits are not floats ``(batch, num_tags)`` or not finite, targets differ in shape or device or are not
        0 or 1, or a weight is negative or not one per tag.

    Warns
    -----
    EmptyLossWarning
        No label of the batch is known.

    Examples
    --------
    >>> logits, targets = torch.zeros(1, 2), torch.tensor([[1, 0]])
    >>> BCELoss()(logits, targets)
    tensor(0.6931)
    >>> BCELoss(pos_weight=3.0, reduction="none")(logits, targets)
    tensor([[2.0794, 0.6931]])

    Nobody has listened for the second tag. Whatever the target says of it, it counts for nothing:

    >>> BCELoss(reduction="none")(logits, targets, known=torch.tensor([[True, False]]))
    tensor([[0.6931, 0.0000]])
    """

    def __init__(self, pos_weight=None, weight=None, soft: bool = False, reduction: str = "mean"):
        super().__init__(reduction)
        self.soft = soft
        self.register_buffer("pos_weight", _per_tag("pos_weight", pos_weight), persistent=False)
        self.register_buffer("weight", _per_tag("weight", weight), persistent=False)

    def extra_repr(self) -> str:
        return ", ".join([*_told(pos_weight=self.pos_weight, weight=self.weight), super().extra_repr()])

    @classmethod
    def balanced(
        cls, labels: torch.Tensor, limit: float = 100.0, known: torch.Tensor | None = None, **options
    ) -> BCELoss:
        """Weigh positives so that, over `labels` (n, num_tags), they count as much as negatives; at most `limit`.

        Where some labels are unknown, give `known` (bool, the same shape): they count for neither.

        Examples
        --------
        >>> BCELoss.balanced([[1, 0], [0, 0], [0, 0], [0, 1]], limit=2).pos_weight
        tensor([2., 2.])
        """
        labels = as_tensor(labels)
        if labels.ndim != 2 or labels.numel() == 0:
            raise ValueError(f"labels must have shape (n, num_tags) and some rows, got {tuple(labels.shape)}")
        known = None if known is None else torch.as_tensor(known)
        targets = check_targets(labels.float(), labels, soft=False, values=True, known=known)
        # A tag of which nothing is known weighs what a balanced one does.
        share = targets.mean(0) if known is None else (targets.sum(0) / known.sum(0)).nan_to_num(0.5)
        return cls(pos_weight=((1 - share) / share).clamp(min=1 / limit, max=limit), **options)

    @in_float32
    def forward(
        self, logits: torch.Tensor, targets: torch.Tensor, known: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compare logits with targets, shape ``(batch, num_tags)`` each, where `known` (bool, too) is true."""
        targets = check_targets(logits, targets, self.soft, self.check_values, known)
        weight, pos_weight = (_fit(w, logits) for w in (self.weight, self.pos_weight))
        values = F.binary_cross_entropy_with_logits(
            logits, targets, weight, pos_weight=pos_weight, reduction="none"
        )
        return self.reduce(values, {"logits": logits}, known, "no label of the batch is known")


class FocalLoss(Loss):
    """Binary cross-entropy that turns away from what is already right.

    ``-α (1 - p)^γ log p`` where p is the probability given to the truth (Lin et al., 2017, equation 5): with γ = 2
    a decision at p = 0.9 counts a hundredth of its cross-entropy. γ = 0 is binary cross-entropy.

    Parameters
    ----------
    gamma : float
        γ, at least 0.
    alpha : float or torch.Tensor, shape (num_tags,), optional
        Weight of positives, between 0 and 1; negatives get ``1 - alpha``. None: both 1.
    soft : bool
        Whether targets may be between 0 and 1; the loss is then the average of those of 0 and 1.
    reduction : {"mean", "sum", "none"}
        ``"none"`` gives shape ``(batch, num_tags)``.

    Raises
    ------
    ValueError
        As `BCELoss`; if gamma is negative or alpha is not between 0 and 1.

    Warns
    -----
    EmptyLossWarning
        As `BCELoss`.

    References
    ----------
    T.-Y. Lin et al., "Focal loss for dense object detection", ICCV 2017.

    Examples
    --------
    >>> logits, targets = torch.tensor([[0.0, 4.0]]), torch.tensor([[1, 1]])
    >>> FocalLoss(gamma=0.0, reduction="none")(logits, targets)
    tensor([[0.6931, 0.0181]])
    >>> FocalLoss(gamma=2.0)(logits, targets)
    tensor(0.0866)
    """

    def __init__(self, gamma: float = 2.0, alpha=None, soft: bool = False, reduction: str = "mean"):
        super().__init__(reduction)
        self.gamma, self.soft = number("gamma", gamma, low=0.0), soft
        self.register_buffer("alpha", _per_tag("alpha", alpha, high=1.0), persistent=False)

    def extra_repr(self) -> str:
        return ", ".join([f"gamma={self.gamma}", *_told(alpha=self.alpha), super().extra_repr()])

    @in_float32
    def forward(
        self, logits: torch.Tensor, targets: torch.Tensor, known: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compare logits with targets, shape ``(batch, num_tags)`` each, where `known` (bool, too) is true."""
        targets = check_targets(logits, targets, self.soft, self.check_values, known)
        positive, negative = targets, 1 - targets
        if self.alpha is not None:
            alpha = _fit(self.alpha, logits)
            positive, negative = alpha * positive, (1 - alpha) * negative
        # softplus(-x) is -log σ(x); the powers are taken of logarithms, so that no gradient is 0 times infinity.
        values = positive * F.softplus(-logits) * (self.gamma * F.logsigmoid(-logits)).exp()
        values = values + negative * F.softplus(logits) * (self.gamma * F.logsigmoid(logits)).exp()
        return self.reduce(values, {"logits": logits}, known, "no label of the batch is known")


def _per_tag(name: str, weight, high: float = float("inf")) -> torch.Tensor | None:
    if weight is None:
        return None
    weight = as_tensor(weight, dtype=torch.get_default_dtype()).detach().clone()
    if (
        weight.ndim > 1
        or weight.numel() == 0
        or not bool((weight.isfinite() & (weight >= 0) & (weight <= high)).all())
    ):
        limits = "of at least 0" if high == float("inf") else f"from 0 to {high:g}"
        raise ValueError(f"{name} must be one number, or one per tag, {limits} and finite; got {weight}")
    return weight


def _told(**weights: torch.Tensor | None) -> list[str]:
    """The weights that were given; by them, a resumed run knows whether its loss is the same."""
    return [
        f"{name}=[{', '.join(f'{value:g}' for value in weight.flatten().tolist())}]"
        for name, weight in weights.items()
        if weight is not None
    ]


def _fit(weight: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor | None:
    if weight is not None and weight.ndim == 1 and len(weight) not in (1, logits.shape[1]):
        raise ValueError(f"the loss has weights of {len(weight)} tags, the logits are of {logits.shape[1]}")
    return None if weight is None else weight.to(logits)  # also to the device, should nobody have moved the loss
