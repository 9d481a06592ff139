"""At which score is a clip given a tag? A threshold for each tag, chosen on validation data.

0.5 is rarely right: a rare tag's probabilities seldom get there. Thresholds chosen on the test data itself flatter
the model, as anything does that is fitted to it.

Taught in: 03_evaluation.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve

from mclass.metrics.checks import UndefinedTagsWarning, validate_known
from mclass.metrics.classification import check_beta


def choose_thresholds(
    labels: np.ndarray,
    scores: np.ndarray,
    target_precision: float | None = None,
    beta: float = 1.0,
    tags: Sequence[str] | None = None,
    known: np.ndarray | None = None,
) -> pd.DataFrame:
    """The threshold of each tag with the highest F-β, or with the highest recall at a precision.

    Where several thresholds do equally well, the highest is taken.

    Parameters
    ----------
    labels, scores : array, shape (n, num_tags)
        Of the *validation* clips. Scores are probabilities or logits.
    target_precision : float, optional
        The share of clips given a tag that have to have it, above 0 and at most 1. By default F-β decides.
    beta : float
        How much more recall matters than precision.
    tags : sequence of str, optional
    known : array of bool, shape (n, num_tags), optional
        Which labels are known (a data set's `known`). A threshold is chosen on the clips whose label is.

    Returns
    -------
    pandas.DataFrame
        Columns ``tag``, ``threshold``, ``precision``, ``recall`` and ``f_beta``, a row for each tag, in order; the
        thresholds are what `mclass.metrics.precision` and the others take. A tag that no clip has, or that does
        not reach the precision at any threshold, has the threshold infinity: it is never given.

    Raises
    ------
    ValueError
        If the input is not valid (see `mclass.metrics.validate`), or `target_precision` or `beta` is out of range.

    Warns
    -----
    UndefinedTagsWarning
        Names the tags that got infinity; so does ``.attrs["never"]`` of the table.

    Examples
    --------
    >>> labels, scores = [[1], [0], [1], [0]], [[0.9], [0.4], [0.3], [0.1]]
    >>> choose_thresholds(labels, scores, tags=["harp"])
        tag  threshold  precision  recall  f_beta
    0  harp        0.3   0.666667     1.0     0.8
    >>> choose_thresholds(labels, scores, target_precision=0.9, tags=["harp"]).threshold.tolist()
    [0.9]
    """
    labels, scores, names, known = validate_known(labels, scores, tags, known)
    beta = check_beta(beta)
    if target_precision is not None and not 0 < target_precision <= 1:
        raise ValueError(f"target_precision must be above 0 and at most 1, got {target_precision!r} (per cent?)")
    rows = []
    for column in range(len(names)):
        which = slice(None) if known is None else known[:, column]
        rows.append(_choose(labels[which, column], scores[which, column], target_precision, beta))
    table = pd.DataFrame(rows, columns=["threshold", "precision", "recall", "f_beta"])
    table.insert(0, "tag", names)
    never = table.tag[np.isinf(table.threshold)].tolist()
    if never:
        reach = "" if target_precision is None else f" or never reach a precision of {target_precision:g}"
        warnings.warn(
            f"{len(never)} of {len(names)} tags have no example{reach}, so they are given to no clip: "
            f"{', '.join(never)}",
            UndefinedTagsWarning,
            stacklevel=2,
        )
    table.attrs["never"] = never
    return table


def _choose(truth: np.ndarray, score: np.ndarray, target: float | None, beta: float) -> tuple:
    """``(threshold, precision, recall, F-β)`` of one tag."""
    if not truth.any():
        return np.inf, np.nan, np.nan, np.nan
    precision, recall, thresholds = (values[::-1] for values in precision_recall_curve(truth, score))
    precision, recall = precision[1:], recall[1:]  # the first, at infinity, has no threshold
    whole = beta**2 * precision + recall
    f_beta = np.divide((1 + beta**2) * precision * recall, whole, out=np.zeros(len(whole)), where=whole > 0)
    worth = f_beta if target is None else np.where(precision >= target, recall, 0.0)
    best = int(worth.argmax())  # the first of equals: thresholds fall
    if worth[best] == 0:
        return np.inf, np.nan, 0.0, 0.0
    return thresholds[best], precision[best], recall[best], f_beta[best]
