"""What all losses share: numbers wide enough, one way to reduce, one way to refuse and to report.

What is wrong with shapes, dtypes and devices is found before anything is computed, from what the tensors say of
themselves. What is wrong with *values* is found after: one look tells whether the inputs and the result are
finite (an embedding of norm zero, which has no direction, leaves NaN), and only if they are not, the culprit is
searched for. On a GPU that look waits for the result; ``loss.check_values = False`` spares it.

Taught in: 04_supervised, 06_semi_supervised, 07_clmr, 08_metric_learning.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import torch
from torch import nn

REDUCTIONS = ("mean", "sum", "none")


class EmptyLossWarning(UserWarning):
    """Nothing in the batch can be compared: the loss is zero, and not because the model is perfect.

    The zero is connected to the graph, so that training goes on; its gradient is zero.
    """


class NotFiniteError(ValueError):
    """A loss or its inputs are NaN or infinite; training says in which batch."""


class Loss(nn.Module):
    """Base class of the losses.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}

    Attributes
    ----------
    check_values : bool
        Whether to look for NaN and for labels that are none. True; False saves a GPU one wait per step.
    statistics : dict of str to torch.Tensor
        What the last call saw, such as the share of triplets that still teach something. Detached.
    """

    check_values = True

    def __init__(self, reduction: str = "mean"):
        super().__init__()
        self.reduction = one_of("reduction", reduction, REDUCTIONS)
        self.statistics: dict[str, torch.Tensor] = {}

    def extra_repr(self) -> str:
        options = {name: getattr(self, name) for name in ("margin", "temperature") if hasattr(self, name)}
        return ", ".join(f"{name}={value!r}" for name, value in {**options, "reduction": self.reduction}.items())

    def reduce(
        self,
        values: torch.Tensor,
        inputs: dict[str, torch.Tensor],
        valid: torch.Tensor | None = None,
        why: str = "",
    ) -> torch.Tensor:
        """Mean, sum or nothing; refuses a result that is not finite.

        Parameters
        ----------
        values : torch.Tensor
        inputs : dict of str to torch.Tensor
            To name what is wrong if the result is not finite.
        valid : torch.Tensor of bool, optional
            Which values count. The others become 0, and the mean is that of those that count.
        why : str
            What is missing if no value counts.
        """
        if valid is not None:
            values = values * valid  # not masked_fill: NaN must stay to be found
            self.warn_if_empty(valid, why)
        if self.reduction == "mean":
            values = values.mean() if valid is None else values.sum() / valid.sum().clamp(min=1)
        elif self.reduction == "sum":
            values = values.sum()
        return self.finite(values, inputs)

    def finite(self, result: torch.Tensor, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Refuse a result or inputs that are not finite, saying which input is to blame."""
        if self.check_values:
            fine = [x.detach().isfinite().all() for x in (result, *inputs.values())]
            if not torch.stack(fine).all():
                raise NotFiniteError(f"{type(self).__name__} is not finite: {_culprit(inputs)}")
        return result

    def warn_if_empty(self, valid: torch.Tensor, why: str) -> None:
        """Warn if nothing is valid."""
        if self.check_values and not valid.any():
            warnings.warn(f"{type(self).__name__}: {why}", EmptyLossWarning, stacklevel=6)


def in_float32(forward: Callable) -> Callable:
    """Let `forward` see float32 where float16 or bfloat16 is given, and compute in it under autocast too.

    Sums over a batch, exponentials and logarithms need the range of float32 and cost next to nothing beside the
    network. float64 stays as it is.
    """

    @functools.wraps(forward)
    def wide(self, *inputs, **named):
        inputs = [_widen(value) for value in inputs]
        named = {name: _widen(value) for name, value in named.items()}
        tensors = [value for value in (*inputs, *named.values()) if isinstance(value, torch.Tensor)]
        # Not a tensor at all: `forward` says so.
        device = tensors[0].device.type if tensors and tensors[0].device.type != "meta" else "cpu"
        with torch.autocast(device, enabled=False):
            return forward(self, *inputs, **named)

    return wide


def _widen(value):
    return (
        value.float() if isinstance(value, torch.Tensor) and value.dtype in (torch.half, torch.bfloat16) else value
    )


def unit(x: torch.Tensor) -> torch.Tensor:
    """Scale the last dimension to norm 1; zeros become NaN, which the loss then reports.

    Dividing by the largest entry first changes no direction, and no square over- or underflows.

    Examples
    --------
    >>> unit(torch.tensor([[3e30, 4e30]]))
    tensor([[0.6000, 0.8000]])
    """
    x = x / x.detach().abs().amax(-1, keepdim=True)
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)


# What is allowed


def one_of(name: str, value, allowed: tuple):
    """Refuse an option that is not one of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def number(name: str, value: float, low: float, high: float = float("inf"), open_low: bool = False) -> float:
    """Refuse an option that is not a number between `low` and `high`."""
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not real or not low <= value <= high or value == float("inf") or (open_low and value == low):
        limits = f"{'greater than' if open_low else 'at least'} {low}" + (
            "" if high == float("inf") else f", at most {high}"
        )
        raise ValueError(f"{name} must be a finite number {limits}; got {value!r}")
    return value


def count(name: str, value: int, low: int = 1) -> int:
    """Refuse an option that is not an integer of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"{name} must be an integer of at least {low}, got {value!r}")
    return value


def check_floats(ndims: tuple[int, ...], shape: str, **tensors: torch.Tensor) -> None:
    """Refuse what are not floating-point tensors of one shape, dtype and device, with something in them."""
    first_name, first = next(iter(tensors.items()))
    for name, x in tensors.items():
        if not isinstance(x, torch.Tensor):
            raise ValueError(f"{name} must be a torch.Tensor, got {type(x).__name__}. (torch.as_tensor makes one)")
        given = tuple(x.shape)
        if x.ndim not in ndims:
            guess = " One example is a batch of one: x[None]" if x.ndim == min(ndims) - 1 else ""
            raise ValueError(f"{name} must have shape {shape}, got {given}.{guess}")
        if not x.is_floating_point():
            raise ValueError(
                f"{name} must be floating-point numbers, got {x.dtype}. (Were labels given in its place?)"
            )
        if x.numel() == 0:
            raise ValueError(
                f"{name} is empty, of shape {given}: there is nothing to compare. (Is the loader empty?)"
            )
        if x.shape != first.shape:
            raise ValueError(
                f"{first_name} and {name} must have the same shape, got {tuple(first.shape)} and {given}. "
                "(Is row i of each about the same example?)"
            )
        _same_place(first_name, first, name, x)
        if x.dtype != first.dtype:
            raise ValueError(f"{first_name} and {name} must have one dtype, got {first.dtype} and {x.dtype}")


def check_embeddings(**embeddings: torch.Tensor) -> None:
    """Refuse what are not embeddings ``(batch, dim)``, all of one shape, dtype and device."""
    check_floats((2,), "(batch, dim)", **embeddings)


def check_targets(
    logits: torch.Tensor,
    targets: torch.Tensor,
    soft: bool,
    values: bool,
    known: torch.Tensor | None = None,
) -> torch.Tensor:
    """Refuse what are not multi-hot targets for `logits`; return them in the logits' dtype, 0 where unknown."""
    check_floats((2,), "(batch, num_tags)", logits=logits)
    if not isinstance(targets, torch.Tensor) or targets.shape != logits.shape:
        given = tuple(targets.shape) if isinstance(targets, torch.Tensor) else type(targets).__name__
        guess = "(Are these class indices? torch.nn.functional.one_hot makes them multi-hot)"
        raise ValueError(f"targets must have the shape of the logits, {tuple(logits.shape)}, got {given}. {guess}")
    _same_place("logits", logits, "targets", targets)
    targets = hide_unknown(targets, known)
    if values:
        check_zero_one("targets", targets, soft)
    return targets.to(logits.dtype)


def split_unknown(targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Targets as data sets give them, NaN where nobody knows the label, as zeros and ones and a mask.

    Returns
    -------
    targets : torch.Tensor, shape (batch, num_tags)
        0 where they were NaN.
    known : torch.Tensor of bool, shape (batch, num_tags), or None
        For the losses' ``known=``; None if all are.

    Examples
    --------
    >>> targets, known = split_unknown(torch.tensor([[1.0, torch.nan]]))
    >>> targets, known
    (tensor([[1., 0.]]), tensor([[ True, False]]))
    """
    unknown = targets.isnan()
    return (targets.masked_fill(unknown, 0), ~unknown) if unknown.any() else (targets, None)


def hide_unknown(targets: torch.Tensor, known: torch.Tensor | None) -> torch.Tensor:
    """Targets with 0 where they are not known; refuses a mask that is not one bool for each of them."""
    if known is None:
        return targets
    if not isinstance(known, torch.Tensor) or known.dtype != torch.bool or known.shape != targets.shape:
        given = f"{known.dtype} {tuple(known.shape)}" if isinstance(known, torch.Tensor) else type(known).__name__
        raise ValueError(
            f"known says of each target whether anybody gave it: a tensor of bool, {tuple(targets.shape)}; "
            f"got {given}. (mclass.losses.split_unknown makes it of targets with NaN)"
        )
    _same_place("targets", targets, "known", known)
    return targets.masked_fill(~known, 0)


def check_labels(embeddings: torch.Tensor, labels: torch.Tensor, values: bool, least: int = 2) -> torch.Tensor:
    """Refuse what are not labels of `embeddings`: class indices ``(batch,)`` or multi-hot ``(batch, tags)``."""
    check_embeddings(embeddings=embeddings)
    if not isinstance(labels, torch.Tensor) or labels.ndim not in (1, 2) or len(labels) != len(embeddings):
        given = tuple(labels.shape) if isinstance(labels, torch.Tensor) else type(labels).__name__
        raise ValueError(
            f"labels must be class indices ({len(embeddings)},) or multi-hot ({len(embeddings)}, num_tags), "
            f"got {given}"
        )
    _same_place("embeddings", embeddings, "labels", labels)
    if labels.ndim == 1 and labels.is_floating_point():
        raise ValueError(
            f"class indices must be integers, got {labels.dtype}. (Is a column of multi-hot labels meant?)"
        )
    if labels.ndim == 2 and values:
        check_zero_one("labels", labels)
    if len(embeddings) < least:
        raise ValueError(
            "one example has nothing to be compared with: give a batch of at least 2. (drop_last=True?)"
        )
    return labels


def check_indices(name: str, indices: torch.Tensor, batch: torch.Tensor, classes: int, values: bool) -> None:
    """Refuse what are not integers ``(batch,)`` from 0 to `classes` - 1."""
    integers = isinstance(indices, torch.Tensor) and not (
        indices.is_floating_point() or indices.dtype == torch.bool
    )
    if not integers or indices.shape != (len(batch),):
        given = (
            f"{indices.dtype} {tuple(indices.shape)}"
            if isinstance(indices, torch.Tensor)
            else type(indices).__name__
        )
        raise ValueError(f"{name} must be integers of shape ({len(batch)},), one per row, got {given}")
    _same_place("embeddings", batch, name, indices)
    if values and bool(((indices < 0) | (indices >= classes)).any()):
        wrong = indices[(indices < 0) | (indices >= classes)][0].item()
        raise ValueError(f"{name} must be from 0 to {classes - 1}, found {wrong}. (Do they count from 1?)")


def overlap(labels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """How alike the labels of each two examples are, shape ``(batch, batch)``, zero on the diagonal.

    For class indices 1 or 0; for multi-hot labels the number of shared tags over the number of tags that either
    has (Jaccard), which is the same for one-hot labels.

    Examples
    --------
    >>> overlap(torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1]]), torch.float32)
    tensor([[0.0000, 0.5000, 0.0000],
            [0.5000, 0.0000, 0.0000],
            [0.0000, 0.0000, 0.0000]])
    """
    if labels.ndim == 1:
        alike = (labels[:, None] == labels).to(dtype)
    else:
        labels = labels.to(dtype)
        both, counts = labels @ labels.T, labels.sum(1)
        alike = both / (counts[:, None] + counts - both).clamp(min=1)
    return alike.fill_diagonal_(0)


def _same_place(first_name: str, first: torch.Tensor, name: str, x: torch.Tensor) -> None:
    if x.device != first.device:
        raise ValueError(
            f"{first_name} is on {first.device}, {name} on {x.device}; move one: {name}.to({first_name}.device)"
        )


def check_zero_one(name: str, x: torch.Tensor, soft: bool = False) -> None:
    """Refuse labels that are not 0 or 1, or if `soft` not between them."""
    if x.dtype == torch.bool:
        return
    fine = (x >= 0) & (x <= 1) if soft else (x == 0) | (x == 1)
    if not fine.all():
        place = (~fine).nonzero()[0].tolist()
        allowed = "between 0 and 1" if soft else "0 or 1"
        guess = "" if soft else " (Are these class indices, scores, or mixed examples? The last need soft=True)"
        if x[tuple(place)].isnan():
            guess = " (Unknown labels? mclass.losses.split_unknown makes targets and known= of them)"
            if name == "labels":
                guess = " (Unknown labels? Examples are compared by all of their tags: leave these out)"
        raise ValueError(f"{name} must be {allowed}, found {x[tuple(place)].item():g} in row {place[0]}.{guess}")


def _culprit(inputs: dict[str, torch.Tensor]) -> str:
    for name, x in inputs.items():
        bad = ~x.detach().isfinite()
        if bad.any():
            place = bad.nonzero()[0].tolist()
            value = x[tuple(place)].item()
            return f"{name} has {value} in row {place[0]}. (Did training diverge? Lower the learning rate)"
    for name, x in inputs.items():
        still = (x.detach() == 0).all(-1)
        if name not in ("logits", "targets") and still.any():
            row = still.nonzero()[0].tolist()[0]
            return f"{name} has norm 0 in row {row}, so no direction. (Silence in, or a last layer of dead ReLUs?)"
    return "its inputs are, so they are too large or, in another process, not finite"
