"""What can be measured: checks of labels, scores and groups, with messages that say what to do.

Taught in: 03_evaluation.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np


class UndefinedTagsWarning(UserWarning):
    """Some tags have no positive, or no negative, example; the message names them."""


def as_array(values: object, name: str) -> np.ndarray:
    """A numeric array of a tensor, a list or an array; `name` is what messages call it.

    Raises
    ------
    ValueError
        If it is not a rectangular array of real numbers.

    Examples
    --------
    >>> as_array(["loud"], "scores")
    Traceback (most recent call last):
    ValueError: scores must be a rectangular array of numbers, got list
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (
            values.float() if values.is_floating_point() and values.itemsize < 4 else values
        )  # no bf16 in numpy
    try:
        array = np.asarray(values)
        if array.dtype.kind == "c":
            raise TypeError("complex")
        return array if array.dtype.kind in "biuf" else array.astype(float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a rectangular array of numbers, got {type(values).__name__}") from None


def validate_labels(labels: object, tags: Sequence[str] | None = None) -> tuple[np.ndarray, list[str]]:
    """Refuse labels that are not multi-hot; returns them as booleans, and one name for each tag.

    Raises
    ------
    ValueError
        If the shape is not ``(n, num_tags)``, there are no rows or columns, entries are not 0 or 1, or there is
        not one name for each column.

    Examples
    --------
    >>> validate_labels([0, 2, 1])
    Traceback (most recent call last):
    ValueError: labels must have shape (n, num_tags), got (3,). Were class indices given where one column...
    """
    labels = as_array(labels, "labels")
    if labels.ndim != 2:
        raise ValueError(
            f"labels must have shape (n, num_tags), got {labels.shape}. Were class indices given where one column "
            "per tag is expected?"
        )
    if labels.size == 0:
        raise ValueError(f"there is nothing to measure: labels have shape {labels.shape}")
    bad = (labels != 0) & (labels != 1)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"labels must be 0 or 1, found {labels[row, column]} in column {column}. "
            "(Are these scores, counts or class indices?)"
        )
    names = [f"column {i}" for i in range(labels.shape[1])] if tags is None else [str(tag) for tag in tags]
    if len(names) != labels.shape[1]:
        raise ValueError(f"{len(names)} tags given for {labels.shape[1]} columns")
    return labels.astype(bool), names


def validate(
    labels: object, scores: object, tags: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Refuse labels and scores that cannot be compared; returns them as arrays, and the tags as a list.

    Raises
    ------
    ValueError
        If shapes differ or are not ``(n, num_tags)``, there are no rows, labels are not 0 or 1, or scores are not
        finite.

    Examples
    --------
    >>> validate([[0, 2]], [[0.1, 0.2]])
    Traceback (most recent call last):
    ValueError: labels must be 0 or 1, found 2 in column 1. (Are these scores, counts or class indices?)
    """
    labels, scores = as_array(labels, "labels"), as_array(scores, "scores")
    if labels.ndim != 2 or labels.shape != scores.shape:
        guess = (
            "Were class indices given where one column per tag is expected?"
            if labels.ndim == 1
            else "Are both of the same clips, in one order?"
        )
        raise ValueError(
            f"labels and scores must both have shape (n, num_tags), got {labels.shape} and {scores.shape}. {guess}"
        )
    labels, names = validate_labels(labels, tags)
    check_finite(scores, "scores", "Did training diverge?")
    return labels, scores.astype(float), names


def validate_known(
    labels: object, scores: object, tags: Sequence[str] | None, known: object | None
) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray | None]:
    """`validate` where some labels may be unknown; what `labels` holds there does not matter, and becomes False.

    Raises
    ------
    ValueError
        As `validate`; also if `known` is not one bool for each label.

    Examples
    --------
    >>> validate_known([[0, 7]], [[0.1, 0.2]], None, known=[[True, False]])[0]
    array([[False, False]])
    """
    labels, known = hide_unknown(labels, known)
    return *validate(labels, scores, tags), known


def hide_unknown(labels: object, known: object | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels as an array with 0 where they are not known, and the mask as booleans (or None).

    Raises
    ------
    ValueError
        If `known` is not one bool (or 0 or 1) for each label.
    """
    labels = as_array(labels, "labels")
    if known is None:
        return labels, None
    known = as_array(known, "known")
    if known.shape != labels.shape or ((known != 0) & (known != 1)).any():
        raise ValueError(
            f"known says of each label whether anybody gave it: True or False, in the shape of the labels, "
            f"{labels.shape}; got {known.dtype} {known.shape}. (It is a data set's `known`.)"
        )
    known = known.astype(bool)
    return np.where(known, labels, 0), known


def check_finite(values: np.ndarray, name: str, guess: str) -> None:
    """Refuse NaN and infinity in an array of shape ``(n, columns)``; says where the first is."""
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"{name} must be finite, found {bad.sum()} that are not, first {values[row, column]} in row {row}, "
            f"column {column}. ({guess})"
        )


def check_groups(groups: object, num_rows: int, name: str = "groups") -> np.ndarray:
    """Number the groups 0, 1, …; returns the number of each row's group, shape ``(n,)``.

    Raises
    ------
    ValueError
        If there is not one entry per row.

    Examples
    --------
    >>> check_groups(["b", "a", "b"], 3)
    array([1, 0, 1])
    """
    groups = np.asarray(groups.detach().cpu() if hasattr(groups, "detach") else groups)
    if groups.shape != (num_rows,):
        raise ValueError(
            f"{name} must have one entry for each of the {num_rows} rows, shape ({num_rows},), got "
            f"{groups.shape}. (They are a data set's track_ids or artist_ids, say.)"
        )
    return np.unique(groups, return_inverse=True)[1]


def check_count(value: object, name: str, lowest: int = 1, highest: int | None = None, why: str = "") -> int:
    """Refuse what is not an integer from `lowest` to `highest`; returns it as a plain int.

    Examples
    --------
    >>> check_count(0, "k")
    Traceback (most recent call last):
    ValueError: k must be an integer of at least 1, got 0
    """
    fits = isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= lowest
    if not fits or (highest is not None and value > highest):
        limit = f"of at least {lowest}" if highest is None else f"from {lowest} to {highest}"
        raise ValueError(f"{name} must be an integer {limit}, got {value!r}{why and '. '}{why}")
    return int(value)


def average_over_tags(
    values: np.ndarray, names: list[str], average: str | None, name: str, reason: str, stacklevel: int = 4
) -> float | np.ndarray:
    """The mean of the values that are not NaN, or all `values` if `average` is None; says what was left out.

    Raises
    ------
    ValueError
        If every value is NaN.

    Warns
    -----
    UndefinedTagsWarning
        Names the tags whose value is NaN.
    """
    left_out = [name for name, value in zip(names, values, strict=True) if np.isnan(value)]
    if len(left_out) == len(names):
        raise ValueError(f"{name} is undefined for every tag: {reason}. (Is the split too small?)")
    if left_out:
        warnings.warn(
            f"{name} is undefined for {len(left_out)} of {len(names)} tags, {reason}: {', '.join(left_out)}",
            UndefinedTagsWarning,
            stacklevel=stacklevel,
        )
    return values if average is None else float(np.nanmean(values))


def check_average(average: object) -> None:
    """Refuse an average that is not ``"macro"``, ``"micro"`` or None."""
    if average not in ("macro", "micro", None):
        raise ValueError(f"average must be 'macro', 'micro' or None, got {average!r}")
