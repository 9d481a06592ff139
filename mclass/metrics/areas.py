"""Areas below ROC and precision-recall curves of many resamples at once.

A clip drawn twice is a clip of weight 2. Weights do not change the order of the scores, so each tag is sorted
once, and a resample is a cumulative sum. The values are those of scikit-learn with ``sample_weight``.

Taught in: 03_evaluation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_BLOCK = 1_000_000  # weights at a time


def areas_of_weighted(
    kind: str,
    labels: np.ndarray,
    scores: np.ndarray,
    weights: Callable[[slice], np.ndarray],
    num_resamples: int,
    known: np.ndarray | None = None,
) -> np.ndarray:
    """Macro average of each resample over the tags that have positives and negatives in it.

    Parameters
    ----------
    kind : {"roc", "pr"}
    labels : array of bool, shape (n, num_tags)
    scores : array, shape (n, num_tags)
    weights : callable
        From a slice of resamples to how often each clip is in them, shape ``(resamples, n)``, int32.
    num_resamples : int
    known : array of bool, shape (n, num_tags), optional
        Which labels are known; a tag's area is that of the clips where its label is.

    Returns
    -------
    np.ndarray, shape (num_resamples,)
        NaN where no tag is defined.

    Examples
    --------
    >>> labels, scores = np.array([[True], [False], [True]]), np.array([[0.9], [0.4], [0.3]])
    >>> areas_of_weighted("roc", labels, scores, lambda part: np.array([[1, 1, 1], [2, 1, 1]])[part], 2).round(2)
    array([0.5 , 0.67])
    """
    areas = {"roc": _roc, "pr": _pr}[kind]
    orders = list(np.argsort(-scores, axis=0).T)
    if known is not None:
        orders = [order[known[order, tag]] for tag, order in enumerate(orders)]
    step = max(1, _BLOCK // len(labels))
    values = []
    for start in range(0, num_resamples, step):
        part = np.ascontiguousarray(
            weights(slice(start, start + step)).T
        )  # (n, resamples): rows are gathered fast
        per_tag = []
        for tag, order in enumerate(orders):
            if not len(order):
                per_tag.append(np.full(part.shape[1], np.nan))
                continue
            ordered = scores[order, tag]
            ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # equal scores are found together
            per_tag.append(areas(*_found(part[order], labels[order, tag], ends)))
        per_tag = np.stack(per_tag)
        defined = ~np.isnan(per_tag)
        totals = np.where(defined, per_tag, 0.0).sum(axis=0)
        values.append(_divide(totals, defined.sum(axis=0)))
    return np.concatenate(values)


def _found(weights: np.ndarray, truth: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives among what is found at each distinct score, both ``(scores, resamples)``."""
    everything = np.cumsum(weights, axis=0, dtype=np.int32)[ends]
    positives = np.cumsum(weights * truth[:, None], axis=0, dtype=np.int32)[ends]
    return positives, everything - positives


def _roc(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    before = np.vstack([np.zeros_like(positives[:1]), positives[:-1]])
    steps = np.diff(negatives, axis=0, prepend=0)
    area = (steps * ((before + positives) / 2)).sum(axis=0)
    return _divide(area, positives[-1].astype(float) * negatives[-1])


def _pr(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    steps = np.diff(positives, axis=0, prepend=0)
    precision = positives / np.maximum(positives + negatives, 1)
    return np.where(negatives[-1] > 0, _divide((steps * precision).sum(axis=0), positives[-1]), np.nan)


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
