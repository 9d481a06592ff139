"""ROC and precision-recall curves, and the areas below them.

* ROC-AUC: the chance that a random clip with the tag scores higher than a random clip without it. Guessing: 0.5.
* PR-AUC (average precision): how pure the top of the ranking is. Guessing: the share of clips with the tag.

Both look at the order of the scores alone, so probabilities and logits do equally well.

Taught in: 03_evaluation, 04_supervised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import sklearn.metrics
from sklearn.metrics import average_precision_score, roc_auc_score

from mclass.metrics.checks import average_over_tags, check_average, hide_unknown, validate_known


def roc_auc(
    labels: np.ndarray,
    scores: np.ndarray,
    average: str | None = "macro",
    tags: Sequence[str] | None = None,
    known: np.ndarray | None = None,
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
    known : array of bool, shape (n, num_tags), optional
        Which labels are known (a data set's `known`). Each tag is scored on the clips whose label is.

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

    Nobody listened for the first tag in the third clip:

    >>> roc_auc(labels, scores, average=None, known=[[1, 1], [1, 1], [0, 1], [1, 1]])
    array([1.  , 0.75])
    """
    return _area(roc_auc_score, "ROC-AUC", labels, scores, average, tags, known)


def pr_auc(
    labels: np.ndarray,
    scores: np.ndarray,
    average: str | None = "macro",
    tags: Sequence[str] | None = None,
    known: np.ndarray | None = None,
) -> float | np.ndarray:
    """Area under the precision-recall curve, as average precision (no interpolation).

    Parameters, errors and warnings are those of `roc_auc`.

    Examples
    --------
    >>> round(pr_auc([[1], [0], [1], [0]], [[0.9], [0.4], [0.3], [0.1]]), 3)
    0.833
    """
    return _area(average_precision_score, "PR-AUC", labels, scores, average, tags, known)


def roc_curve(
    labels: np.ndarray,
    scores: np.ndarray,
    tags: Sequence[str] | None = None,
    known: np.ndarray | None = None,
) -> pd.DataFrame:
    """How many clips with the tag are found, against how many without it are taken for it, at every threshold.

    Parameters, errors and warnings are those of `roc_auc`; undefined tags have no rows.

    Returns
    -------
    pandas.DataFrame
        Columns ``tag``, ``threshold`` (a clip is given the tag if its score is at least this; falling, from
        infinity), ``false_positive_rate`` and ``recall``.

    Examples
    --------
    >>> roc_curve([[1], [0], [1]], [[0.9], [0.4], [0.3]], tags=["harp"])
        tag  threshold  false_positive_rate  recall
    0  harp        inf                  0.0     0.0
    1  harp        0.9                  0.0     0.5
    2  harp        0.4                  1.0     0.5
    3  harp        0.3                  1.0     1.0
    """

    def one_tag(truth, score):
        fall_out, recall, threshold = sklearn.metrics.roc_curve(truth, score, drop_intermediate=False)
        return {"threshold": threshold, "false_positive_rate": fall_out, "recall": recall}

    return _curves(one_tag, "ROC curve", labels, scores, tags, known)


def pr_curve(
    labels: np.ndarray,
    scores: np.ndarray,
    tags: Sequence[str] | None = None,
    known: np.ndarray | None = None,
) -> pd.DataFrame:
    """How many clips with the tag are found, and how many of the clips found have it, at every threshold.

    Parameters, errors and warnings are those of `roc_auc`; undefined tags have no rows.

    Returns
    -------
    pandas.DataFrame
        Columns ``tag``, ``threshold`` (as in `roc_curve`), ``recall`` and ``precision``, which is 1 by convention
        where nothing is found.

    Examples
    --------
    >>> pr_curve([[1], [0], [1]], [[0.9], [0.4], [0.3]], tags=["harp"]).round(2)
        tag  threshold  recall  precision
    0  harp        inf     0.0       1.00
    1  harp        0.9     0.5       1.00
    2  harp        0.4     0.5       0.50
    3  harp        0.3     1.0       0.67
    """

    def one_tag(truth, score):
        precision, recall, threshold = sklearn.metrics.precision_recall_curve(truth, score)
        return {
            "threshold": np.append(threshold, np.inf)[::-1],
            "recall": recall[::-1],
            "precision": precision[::-1],
        }

    return _curves(one_tag, "the precision-recall curve", labels, scores, tags, known)


def undefined_tags(labels: np.ndarray, tags: Sequence[str], known: np.ndarray | None = None) -> list[str]:
    """Tags that no row of `labels` has, or every row has; of the rows where the tag is `known`.

    Examples
    --------
    >>> undefined_tags([[1, 0], [0, 0]], ["guitar", "choral"])
    ['choral']
    """
    labels, known = hide_unknown(labels, known)
    defined = _defined(labels.astype(bool), known)
    return [tag for tag, ok in zip(tags, defined, strict=True) if not ok]


def area_per_tag(
    metric: Callable, labels: np.ndarray, scores: np.ndarray, known: np.ndarray | None = None
) -> np.ndarray:
    """One of scikit-learn's two areas for each tag, shape ``(num_tags,)``, NaN where it is undefined.

    Examples
    --------
    >>> area_per_tag(roc_auc_score, np.array([[True], [False]]), np.array([[0.9], [0.4]]))
    array([1.])
    """
    values = np.full(labels.shape[1], np.nan)
    for column, truth, score in defined_tags(labels, scores, known):
        values[column] = metric(truth, score)
    return values


def defined_tags(
    labels: np.ndarray, scores: np.ndarray, known: np.ndarray | None = None
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Column, labels and scores of each tag that has positives and negatives; of the clips where it is known.

    Examples
    --------
    >>> labels, scores = np.array([[True, True], [False, True]]), np.array([[0.9, 0.1], [0.4, 0.2]])
    >>> [column for column, *_ in defined_tags(labels, scores)]
    [0]
    """
    for column in np.flatnonzero(_defined(labels, known)):
        rows = slice(None) if known is None else known[:, column]
        yield int(column), labels[rows, column], scores[rows, column]


def _defined(labels: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Which tags have positives and negatives; labels are False where they are not known."""
    return labels.any(axis=0) & ~(labels if known is None else labels | ~known).all(axis=0)


_REASON = "which have no positive or no negative example"


def _area(metric, name, labels, scores, average, tags, known) -> float | np.ndarray:
    check_average(average)
    labels, scores, names, known = validate_known(labels, scores, tags, known)
    if average == "micro":
        labels, scores, names = labels.reshape(-1, 1), scores.reshape(-1, 1), ["all decisions together"]
        known = None if known is None else known.reshape(-1, 1)
    return average_over_tags(area_per_tag(metric, labels, scores, known), names, average, name, _REASON)


def _curves(one_tag, name, labels, scores, tags, known) -> pd.DataFrame:
    labels, scores, names, known = validate_known(labels, scores, tags, known)
    average_over_tags(np.where(_defined(labels, known), 0.0, np.nan), names, None, name, _REASON)  # warns
    tables = [
        pd.DataFrame({"tag": names[column], **one_tag(truth, score)})
        for column, truth, score in defined_tags(labels, scores, known)
    ]
    return pd.concat(tables, ignore_index=True)
