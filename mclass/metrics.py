"""How good are the scores? Metrics of tagging and classification.

Conventions
-----------
Labels are multi-hot arrays ``(n, num_tags)`` of 0 and 1, one row per clip, one column per tag; single-label data
has exactly one 1 in each row. Scores have the same shape, and a higher score means "more likely": probabilities
or logits do equally well for ROC-AUC and PR-AUC, which look at the order alone.

* ROC-AUC: the chance that a random clip with the tag scores higher than a random clip without it. Guessing: 0.5.
* PR-AUC (average precision): how pure the top of the ranking is. Guessing: the share of clips with the tag.

Both are *undefined* for a tag that no clip has, or every clip has. Such tags are named, never averaged in as NaN.

Taught in: 03_evaluation, 04_supervised.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score


class UndefinedTagsWarning(UserWarning):
    """Some tags have no positive, or no negative, example; the message names them."""


def validate(labels: np.ndarray, scores: np.ndarray, tags: Sequence[str] | None = None) -> tuple:
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
    labels, scores = _array(labels, "labels"), _array(scores, "scores")
    if labels.ndim != 2 or labels.shape != scores.shape:
        guess = (
            "Were class indices given where one column per tag is expected?"
            if labels.ndim == 1
            else "Are both of the same clips, in one order?"
        )
        raise ValueError(
            f"labels and scores must both have shape (n, num_tags), got {labels.shape} and {scores.shape}. {guess}"
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
    bad = ~np.isfinite(scores)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"scores must be finite, found {bad.sum()} that are not, first {scores[row, column]} in row {row}, "
            f"column {column}. (Did training diverge?)"
        )
    names = [f"column {i}" for i in range(labels.shape[1])] if tags is None else [str(tag) for tag in tags]
    if len(names) != labels.shape[1]:
        raise ValueError(f"{len(names)} tags given for {labels.shape[1]} columns")
    return labels.astype(bool), scores.astype(float), names


def roc_auc(
    labels: np.ndarray, scores: np.ndarray, average: str | None = "macro", tags: Sequence[str] | None = None
) -> float | np.ndarray:
    """Area under the receiver operating characteristic.

    Parameters
    ----------
    labels : array, shape (n, num_tags)
        0 or 1.
    scores : array, shape (n, num_tags)
        Probabilities or logits.
    average : {"macro", "micro", None}
        Mean over the tags for which it is defined; one value over all decisions; or an array with one value per
        tag, NaN where it is undefined.
    tags : sequence of str, optional
        Names for messages.

    Returns
    -------
    float, or np.ndarray of shape (num_tags,) if `average` is None

    Raises
    ------
    ValueError
        If the input is not valid (see `validate`), or the metric is undefined for every tag.

    Warns
    -----
    UndefinedTagsWarning
        Names the tags that were left out.

    Examples
    --------
    >>> labels = [[1, 0], [0, 1], [1, 1], [0, 0]]
    >>> scores = [[0.9, 0.2], [0.4, 0.8], [0.3, 0.6], [0.1, 0.7]]
    >>> roc_auc(labels, scores)
    0.75
    >>> roc_auc(labels, scores, average=None)
    array([0.75, 0.75])
    """
    return _area(roc_auc_score, "ROC-AUC", labels, scores, average, tags)


def pr_auc(
    labels: np.ndarray, scores: np.ndarray, average: str | None = "macro", tags: Sequence[str] | None = None
) -> float | np.ndarray:
    """Area under the precision-recall curve, as average precision (no interpolation).

    Parameters, errors and warnings are those of `roc_auc`.

    Examples
    --------
    >>> round(pr_auc([[1], [0], [1], [0]], [[0.9], [0.4], [0.3], [0.1]]), 3)
    0.833
    """
    return _area(average_precision_score, "PR-AUC", labels, scores, average, tags)


def tagwise(labels: np.ndarray, scores: np.ndarray, tags: Sequence[str] | None = None) -> pd.DataFrame:
    """Both areas for each tag, in the order given.

    Returns
    -------
    pandas.DataFrame
        Columns ``tag``, ``positives``, ``roc_auc``, ``pr_auc``. Undefined tags are listed with missing values,
        and by name in ``.attrs["undefined"]``.

    Examples
    --------
    >>> table = tagwise([[1, 0], [0, 0]], [[0.9, 0.2], [0.4, 0.8]], tags=["guitar", "choral"])
    >>> table.attrs["undefined"]
    ['choral']
    """
    labels, scores, names = validate(labels, scores, tags)
    defined = _defined(labels)
    table = pd.DataFrame(
        {
            "tag": names,
            "positives": labels.sum(axis=0),
            "roc_auc": _per_tag(roc_auc_score, labels, scores, defined),
            "pr_auc": _per_tag(average_precision_score, labels, scores, defined),
        }
    )
    table.attrs["undefined"] = [name for name, ok in zip(names, defined, strict=True) if not ok]
    return table


def accuracy(labels: np.ndarray, scores: np.ndarray) -> float:
    """Share of clips whose highest score is at the right class.

    Parameters
    ----------
    labels : array, shape (n, num_classes)
        Exactly one 1 in each row.
    scores : array, shape (n, num_classes)

    Raises
    ------
    ValueError
        If the input is not valid (see `validate`), or a row does not have exactly one label.

    Examples
    --------
    >>> accuracy([[1, 0], [0, 1]], [[0.9, 0.1], [0.8, 0.2]])
    0.5
    """
    labels, scores, _ = _validate_one_hot(labels, scores)
    return float((labels.argmax(axis=1) == scores.argmax(axis=1)).mean())


def confusion(labels: np.ndarray, scores: np.ndarray, tags: Sequence[str] | None = None) -> pd.DataFrame:
    """Counts of true class (rows) against the class with the highest score (columns).

    Parameters and errors are those of `accuracy`.

    Examples
    --------
    >>> confusion([[1, 0], [0, 1]], [[0.9, 0.1], [0.8, 0.2]], tags=["flute", "harp"])
           flute  harp
    flute      1     0
    harp       1     0
    """
    labels, scores, names = _validate_one_hot(labels, scores, tags)
    counts = confusion_matrix(labels.argmax(axis=1), scores.argmax(axis=1), labels=range(len(names)))
    return pd.DataFrame(counts, index=names, columns=names)


def undefined_tags(labels: np.ndarray, tags: Sequence[str]) -> list[str]:
    """Tags that no row of `labels` has, or every row has.

    Examples
    --------
    >>> undefined_tags([[1, 0], [0, 0]], ["guitar", "choral"])
    ['choral']
    """
    defined = _defined(np.asarray(labels).astype(bool))
    return [tag for tag, ok in zip(tags, defined, strict=True) if not ok]


def _array(values, name: str) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    try:
        array = np.asarray(values)
        return array if array.dtype.kind in "biuf" else array.astype(float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a rectangular array of numbers, got {type(values).__name__}") from None


def _validate_one_hot(labels, scores, tags=None) -> tuple:
    labels, scores, names = validate(labels, scores, tags)
    counts = labels.sum(axis=1)
    if (counts != 1).any():
        row = int(np.flatnonzero(counts != 1)[0])
        raise ValueError(
            f"single-label metrics need exactly one label per row; row {row} has {counts[row]}. "
            "(Is the data multi-label? Use roc_auc and pr_auc.)"
        )
    return labels, scores, names


def _defined(labels: np.ndarray) -> np.ndarray:
    return labels.any(axis=0) & ~labels.all(axis=0)


def _per_tag(metric, labels: np.ndarray, scores: np.ndarray, defined: np.ndarray) -> np.ndarray:
    values = np.full(labels.shape[1], np.nan)
    for column in np.flatnonzero(defined):
        values[column] = metric(labels[:, column], scores[:, column])
    return values


def _area(metric, name, labels, scores, average, tags) -> float | np.ndarray:
    if average not in ("macro", "micro", None):
        raise ValueError(f"average must be 'macro', 'micro' or None, got {average!r}")
    labels, scores, names = validate(labels, scores, tags)
    if average == "micro":
        labels, scores, names = labels.reshape(-1, 1), scores.reshape(-1, 1), ["all decisions together"]
    defined = _defined(labels)
    left_out = [name for name, ok in zip(names, defined, strict=True) if not ok]
    if not defined.any():
        raise ValueError(
            f"{name} is undefined for every tag: each needs clips with it and clips without it, and among these "
            f"{len(labels)} rows none has both. (Is the split too small?)"
        )
    if left_out:
        warnings.warn(
            f"{name} is undefined for {len(left_out)} of {len(names)} tags, which have no positive or no negative "
            f"example: {', '.join(left_out)}",
            UndefinedTagsWarning,
            stacklevel=3,
        )
    values = _per_tag(metric, labels, scores, defined)
    return values if average is None else float(values[defined].mean())
