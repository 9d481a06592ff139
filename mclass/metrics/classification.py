"""From scores to decisions: accuracy, precision, recall, and the table of all tags.

A *decision* gives a clip a tag if its score is at least the tag's threshold (0.5, or what
`mclass.metrics.choose_thresholds` found); for single-label data, pass ``threshold=None`` and each clip gets the
class with the highest score. Decisions are right or wrong in two ways each, and all metrics here are made of these
four counts:

========================  ===============  ====================
..                        has the tag      does not have it
========================  ===============  ====================
is given the tag          true positive    false positive
is not given the tag      false negative   true negative
========================  ===============  ====================

Taught in: 03_evaluation, 04_supervised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from mclass.metrics.checks import (
    as_array,
    average_over_tags,
    check_average,
    hide_unknown,
    validate,
    validate_known,
)
from mclass.metrics.curves import area_per_tag


def accuracy(
    labels: np.ndarray,
    scores: np.ndarray,
    threshold: float | np.ndarray | None = None,
    known: np.ndarray | None = None,
) -> float:
    """Share of clips whose highest score is at the right class, or of decisions that are right.

    Parameters
    ----------
    labels : array, shape (n, num_classes)
        Exactly one 1 in each row, unless there are thresholds.
    scores : array, shape (n, num_classes)
    threshold : float or array of shape (num_classes,), optional
        For multi-label data. Beware: a tagger that never says "harp" is right nearly always.
    known : array of bool, shape (n, num_classes), optional
        With thresholds: which labels are known (a data set's `known`). The other decisions are not counted.

    Raises
    ------
    ValueError
        If the input is not valid (see `validate`), or a row does not have exactly one label.

    Examples
    --------
    >>> accuracy([[1, 0], [0, 1]], [[0.9, 0.1], [0.8, 0.2]])
    0.5
    >>> accuracy([[1, 1], [0, 0]], [[0.9, 0.1], [0.2, 0.3]], threshold=0.5)
    0.75
    """
    if threshold is None:
        if known is not None:
            raise ValueError("known is for multi-label data: pass a threshold, or leave clips without a label out")
        labels, scores, _ = _validate_one_hot(labels, scores)
        return float((labels.argmax(axis=1) == scores.argmax(axis=1)).mean())
    tp, fp, fn, tn, _ = _count(labels, scores, threshold, "micro", None, known)
    return float(_ratio(tp + tn, tp + fp + fn + tn, ["all"], "micro", "accuracy", "of which nothing is known"))


def confusion(labels: np.ndarray, scores: np.ndarray, tags: Sequence[str] | None = None) -> pd.DataFrame:
    """Counts of true class (rows) against the class with the highest score (columns).

    Parameters and errors are those of `accuracy`. (The four counts of multi-label data are in `tagwise`.)

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


def precision(
    labels: np.ndarray,
    scores: np.ndarray,
    threshold: float | np.ndarray | None = 0.5,
    average: str | None = "macro",
    tags: Sequence[str] | None = None,
    known: np.ndarray | None = None,
) -> float | np.ndarray:
    """Share of the clips given a tag that have it.

    Parameters
    ----------
    labels, scores : array, shape (n, num_tags)
        Scores are probabilities, or anything else if there is a threshold that suits it.
    threshold : float, array of shape (num_tags,), or None
        See `decide`.
    average : {"macro", "micro", None}
        Mean over the tags for which it is defined; of all decisions together; or an array with one value per tag,
        NaN where nothing is to be divided by.
    tags : sequence of str, optional
        Names for messages.
    known : array of bool, shape (n, num_tags), optional
        Which labels are known (a data set's `known`). Decisions about the others are not counted.

    Raises
    ------
    ValueError
        If the input is not valid (see `decide`), or the metric is undefined for every tag.

    Warns
    -----
    UndefinedTagsWarning
        Names the tags that were left out: for precision, those that no clip was given. (Leaving them out flatters
        a timid model. `f_beta` counts them as 0.)

    Examples
    --------
    >>> labels, scores = [[1, 0], [1, 1], [0, 0]], [[0.9, 0.2], [0.4, 0.8], [0.6, 0.6]]
    >>> precision(labels, scores), precision(labels, scores, average=None).tolist()
    (0.5, [0.5, 0.5])
    """
    tp, fp, _, _, names = _count(labels, scores, threshold, average, tags, known)
    return _ratio(tp, tp + fp, names, average, "precision", "which no clip was given")


def recall(
    labels: np.ndarray,
    scores: np.ndarray,
    threshold: float | np.ndarray | None = 0.5,
    average: str | None = "macro",
    tags: Sequence[str] | None = None,
    known: np.ndarray | None = None,
) -> float | np.ndarray:
    """Share of the clips with a tag that are given it. Parameters, errors and warnings: `precision`.

    Examples
    --------
    >>> recall([[1, 0], [1, 1], [0, 0]], [[0.9, 0.2], [0.4, 0.8], [0.6, 0.6]])
    0.75
    """
    tp, _, fn, _, names = _count(labels, scores, threshold, average, tags, known)
    return _ratio(tp, tp + fn, names, average, "recall", "which no clip has")


def specificity(
    labels: np.ndarray,
    scores: np.ndarray,
    threshold: float | np.ndarray | None = 0.5,
    average: str | None = "macro",
    tags: Sequence[str] | None = None,
    known: np.ndarray | None = None,
) -> float | np.ndarray:
    """Share of the clips without a tag that are not given it. Parameters, errors and warnings: `precision`.

    Examples
    --------
    >>> specificity([[1, 0], [1, 1], [0, 0]], [[0.9, 0.2], [0.4, 0.8], [0.6, 0.6]])
    0.25
    """
    _, fp, _, tn, names = _count(labels, scores, threshold, average, tags, known)
    return _ratio(tn, tn + fp, names, average, "specificity", "which every clip has")


def f_beta(
    labels: np.ndarray,
    scores: np.ndarray,
    threshold: float | np.ndarray | None = 0.5,
    beta: float = 1.0,
    average: str | None = "macro",
    tags: Sequence[str] | None = None,
    known: np.ndarray | None = None,
) -> float | np.ndarray:
    """Harmonic mean of precision and recall; recall matters `beta` times as much (van Rijsbergen, 1979).

    Other parameters, errors and warnings: `precision`. Undefined for a tag only if no clip has it and none is
    given it.

    Examples
    --------
    >>> f_beta([[1], [1], [0], [0]], [[0.9], [0.8], [0.6], [0.1]])
    0.8
    """
    beta = check_beta(beta)
    tp, fp, fn, _, names = _count(labels, scores, threshold, average, tags, known)
    weighted = (1 + beta**2) * tp
    whole = weighted + beta**2 * fn + fp
    return _ratio(weighted, whole, names, average, f"F-{beta:g}", "which no clip has and none was given")


def tagwise(
    labels: np.ndarray,
    scores: np.ndarray,
    tags: Sequence[str] | None = None,
    threshold: float | np.ndarray | None = None,
    known: np.ndarray | None = None,
) -> pd.DataFrame:
    """Both areas for each tag, in the order given; with a threshold, the counts and what follows from them too.

    Parameters
    ----------
    labels, scores : array, shape (n, num_tags)
    tags : sequence of str, optional
    threshold : float or array of shape (num_tags,), optional
    known : array of bool, shape (n, num_tags), optional
        Which labels are known (a data set's `known`): each row is about the clips whose label is.

    Returns
    -------
    pandas.DataFrame
        Columns ``tag``, ``positives``, with `known` also ``known`` (how many labels are), ``roc_auc``, ``pr_auc``;
        with a threshold also ``threshold``, ``tp``,
        ``fp``, ``fn``, ``tn``, ``accuracy``, ``precision``, ``recall``, ``specificity`` and ``f1``. Undefined tags
        are listed with missing values, and by name in ``.attrs["undefined"]``.

    Examples
    --------
    >>> labels, scores, tags = [[1, 0], [0, 0]], [[0.9, 0.2], [0.4, 0.8]], ["guitar", "choral"]
    >>> tagwise(labels, scores, tags).attrs["undefined"]
    ['choral']
    >>> tagwise(labels, scores, tags, threshold=0.5)[["tag", "tp", "fp", "fn", "tn", "accuracy"]]
          tag  tp  fp  fn  tn  accuracy
    0  guitar   1   0   0   1       1.0
    1  choral   0   1   0   1       0.5
    """
    labels, scores, names, known = validate_known(labels, scores, tags, known)
    counts = {"positives": labels.sum(axis=0)} | ({} if known is None else {"known": known.sum(axis=0)})
    areas = {
        "roc_auc": area_per_tag(roc_auc_score, labels, scores, known),
        "pr_auc": area_per_tag(average_precision_score, labels, scores, known),
    }
    table = pd.DataFrame({"tag": names, **counts, **areas})
    if threshold is not None:
        tp, fp, fn, tn, _ = _count(labels, scores, threshold, None, names, known)
        table = table.assign(
            threshold=np.broadcast_to(threshold, len(names)).astype(float),
            tp=tp,
            fp=fp,
            fn=fn,
            tn=tn,
            accuracy=_divide(tp + tn, tp + fp + fn + tn),
            precision=_divide(tp, tp + fp),
            recall=_divide(tp, tp + fn),
            specificity=_divide(tn, tn + fp),
            f1=_divide(2 * tp, 2 * tp + fp + fn),
        )
    table.attrs["undefined"] = table.tag[table.roc_auc.isna()].tolist()
    return table


def decide(
    labels: np.ndarray, scores: np.ndarray, threshold: float | np.ndarray | None, tags: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Which clip is given which tag: labels and decisions, both boolean ``(n, num_tags)``, and the tags' names.

    Parameters
    ----------
    labels, scores : array, shape (n, num_tags)
    threshold : float, array of shape (num_tags,), or None
        A clip is given a tag if its score is at least this; infinity for "never". None: each clip gets the tag
        with its highest score, as for single-label data.
    tags : sequence of str, optional

    Raises
    ------
    ValueError
        If the input is not valid (see `validate`), thresholds are NaN or not as many as tags, or one threshold
        between 0 and 1 meets scores that are no probabilities.

    Examples
    --------
    >>> decide([[1, 0]], [[2.1, -0.4]], threshold=0.5)
    Traceback (most recent call last):
    ValueError: a threshold of 0.5 is for probabilities, and scores go from -0.4 to 2.1. (Are they logits? Pass ...
    """
    labels, scores, names = validate(labels, scores, tags)
    if threshold is None:
        return labels, scores.argmax(axis=1)[:, None] == np.arange(len(names)), names
    threshold = as_array(threshold, "threshold")
    if threshold.shape not in ((), (len(names),)) or np.isnan(threshold).any():
        raise ValueError(
            f"threshold must be one number, or one for each of the {len(names)} tags, and not NaN; got shape "
            f"{threshold.shape}{' with NaN' if np.isnan(threshold).any() else ''}"
        )
    if threshold.shape == () and 0 < threshold < 1 and (scores.min() < 0 or scores.max() > 1):
        raise ValueError(
            f"a threshold of {threshold} is for probabilities, and scores go from {scores.min():.3g} to "
            f"{scores.max():.3g}. (Are they logits? Pass their probabilities, or threshold=0.)"
        )
    return labels, scores >= threshold, names


def check_beta(beta: float) -> float:
    """Refuse a β that is not a positive, finite number."""
    if isinstance(beta, bool) or not isinstance(beta, int | float | np.number) or not 0 < beta < np.inf:
        raise ValueError(
            f"beta says how much more recall matters than precision and must be positive, got {beta!r}"
        )
    return float(beta)


def _count(labels, scores, threshold, average, tags, known=None) -> tuple:
    """True positives, false positives, false negatives, true negatives of each tag (or of all), and names."""
    check_average(average)
    labels, known = hide_unknown(labels, known)
    labels, decisions, names = decide(labels, scores, threshold, tags)
    pairs = [(labels, decisions), (~labels, decisions), (labels, ~decisions), (~labels, ~decisions)]
    sorts = [truth & decision if known is None else truth & decision & known for truth, decision in pairs]
    if average == "micro":
        sorts, names = [sort.reshape(-1, 1) for sort in sorts], ["all decisions together"]
    return *(sort.sum(axis=0) for sort in sorts), names


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _ratio(part, whole, names, average, name, reason) -> float | np.ndarray:
    return average_over_tags(_divide(part, whole), names, average, name, reason)


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
