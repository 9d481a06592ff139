"""How sure is a number? Bootstrap intervals over tracks, and the comparison of two models.

A test set is a sample: with other tracks, the score would have been another. The bootstrap (Efron, 1979) imitates
other test sets by drawing from this one with replacement. What is drawn are *tracks*, with all of their clips:
clips of one track are nearly copies, and drawing them one by one would pretend to more evidence than there is.
Where artists are known, draw artists: their tracks, too, are more alike than other people's.

Taught in: 03_evaluation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mclass.metrics.areas import areas_of_weighted
from mclass.metrics.checks import (
    UndefinedTagsWarning,
    as_array,
    check_count,
    check_groups,
    hide_unknown,
    validate_known,
)
from mclass.metrics.curves import pr_auc, roc_auc

_AREAS = {roc_auc: "roc", pr_auc: "pr"}


@dataclass(frozen=True)
class Interval:
    """A value and between what its bootstrap resamples lie.

    Attributes
    ----------
    value : float
        On the data as they are.
    low, high : float
        The share `confidence` of the resamples lies between these.
    confidence : float
    num_groups : int
        How many tracks were drawn from.
    samples : np.ndarray, shape (num_resamples,)
        The values of the resamples; NaN where one was undefined, which `low` and `high` leave out.
    """

    value: float
    low: float
    high: float
    confidence: float
    num_groups: int
    samples: np.ndarray = field(repr=False)

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Comparison:
    """Two models on the same clips.

    Attributes
    ----------
    first, second : float
        The metric of each model.
    difference : Interval
        Second minus first; an interval without 0 speaks for one of them.
    p_value : float
        How often a difference at least as large comes about when the tracks' scores are swapped between the models
        at random, that is, if it made no difference whose scores they are.
    """

    first: float
    second: float
    difference: Interval
    p_value: float

    def __str__(self) -> str:
        return f"{self.second:.3f} - {self.first:.3f} = {self.difference}, p = {self.p_value:.3g}"


def bootstrap(
    metric: Callable[..., float],
    *arrays: np.ndarray,
    groups: np.ndarray,
    known: np.ndarray | None = None,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a metric over resampled groups: artists or, where they are not known, tracks.

    `roc_auc` and `pr_auc` (macro) sort each tag once, not in every resample, and so take seconds. A macro
    average is over the tags that are defined in the resample.

    Parameters
    ----------
    metric : callable
        From arrays like `arrays` to a number: ``roc_auc``, ``lambda labels, scores: f_beta(labels, scores, 0.3)``.
    *arrays : array, shape (n, ...)
        Mostly labels and scores; rows belong together.
    groups : array, shape (n,)
        The artist of each row (a data set's ``artist_ids``) or, where that is not known, its track.
        ``np.arange(n)`` if every row is on its own.
    known : array of bool, shape (n, num_tags), optional
        Which labels are known (a data set's `known`); handed to the metric as ``known=``.
    num_resamples : int
    confidence : float
        Between 0 and 1.
    seed : int

    Raises
    ------
    ValueError
        If arrays do not fit together, there are fewer than 2 groups, the metric is undefined in more than half of
        the resamples, or it refuses the data as they are.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.random((200, 1)) < 0.5
    >>> print(bootstrap(roc_auc, labels, labels + rng.normal(size=(200, 1)), groups=np.arange(200) // 2))
    0.785 [0.717, 0.843]
    """
    arrays, groups, num_groups = _check(arrays, groups, num_resamples, confidence)
    known = None if known is None else hide_unknown(arrays[0], known)[1]
    value = _value(metric, arrays, known)
    counts = _draw(num_groups, num_resamples, np.random.default_rng(seed))
    return _interval(value, _resample(metric, arrays, known, groups, counts), confidence, num_groups)


def compare(
    metric: Callable[..., float],
    labels: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    groups: np.ndarray,
    known: np.ndarray | None = None,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Is the second model better than the first? Both scored the same clips.

    Paired: each resample draws the same tracks for both models, so what makes a track hard for both cancels. The
    p-value is a permutation test's, which swaps the two models' scores of whole tracks. For `roc_auc` and
    `pr_auc`, what is swapped are ranks within a tag: the areas see nothing else, and two models' scores need not
    share a scale. Any other metric gets the scores as they are.

    Parameters
    ----------
    metric : callable
        From labels and scores to a number.
    labels : array, shape (n, ...)
    first, second : array, shape (n, ...)
        Scores of the two models.
    groups, known, num_resamples, confidence, seed
        As for `bootstrap`; `num_resamples` is also the number of permutations.

    Raises
    ------
    ValueError
        As `bootstrap`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.random((200, 1)) < 0.5
    >>> weak, strong = (labels * power + rng.normal(size=(200, 1)) for power in (1, 3))
    >>> print(compare(roc_auc, labels, weak, strong, groups=np.arange(200) // 2))
    0.981 - 0.785 = 0.196 [0.133, 0.264], p = 0.000999
    """
    (labels, first, second), groups, num_groups = _check(
        (labels, first, second), groups, num_resamples, confidence
    )
    known = None if known is None else hide_unknown(labels, known)[1]
    if first.shape != second.shape:
        raise ValueError(f"both models' scores must have the same shape, got {first.shape} and {second.shape}")
    values = [_value(metric, (labels, scores), known) for scores in (first, second)]
    rng = np.random.default_rng(seed)
    counts = _draw(num_groups, num_resamples, rng)
    samples = [_resample(metric, (labels, scores), known, groups, counts) for scores in (first, second)]
    difference = _interval(values[1] - values[0], samples[1] - samples[0], confidence, num_groups)
    swapped = rng.random((num_resamples, num_groups)) < 0.5
    permuted = _swap(metric, labels, first, second, known, swapped[:, groups])
    permuted = permuted[~np.isnan(permuted)]
    # The data as they are count as one of the permutations, so no p-value is 0; rounding must not make them rarer.
    as_extreme = np.abs(permuted) >= abs(difference.value) - 1e-12
    return Comparison(*values, difference, float((1 + as_extreme.sum()) / (1 + len(permuted))))


def _check(arrays, groups, num_resamples, confidence) -> tuple:
    check_count(num_resamples, "num_resamples", 2)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r} (per cent?)")
    arrays = tuple(as_array(array, "each array") for array in arrays)
    lengths = [len(array) if array.ndim else None for array in arrays]
    if not lengths or None in lengths or len(set(lengths)) > 1 or lengths[0] == 0:
        raise ValueError(f"arrays must have the same number of rows, and at least one; got {lengths}")
    groups = check_groups(groups, lengths[0])
    num_groups = groups.max() + 1
    if num_groups < 2:
        raise ValueError(
            f"all {lengths[0]} rows are of one group: there is nothing to draw from. (Pass the track of each row.)"
        )
    return arrays, groups, int(num_groups)


def _score(metric: Callable, arrays: Sequence, known: np.ndarray | None) -> float:
    return metric(*arrays) if known is None else metric(*arrays, known=known)


def _value(metric: Callable, arrays: tuple, known: np.ndarray | None) -> float:
    value = np.asarray(_score(metric, arrays, known), dtype=float)
    if value.ndim or not np.isfinite(value):
        raise ValueError(f"the metric must return one finite number, got {value} (average=None?)")
    return float(value)


def _draw(num_groups: int, num_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each group is in each resample, shape ``(num_resamples, num_groups)``."""
    return rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=num_resamples).astype(np.int32)


def _resample(metric, arrays: tuple, known, groups: np.ndarray, counts: np.ndarray) -> np.ndarray:
    if metric in _AREAS and len(arrays) == 2:
        labels, scores, _, known = validate_known(*arrays, None, known)
        weights = lambda part: counts[part][:, groups]  # noqa: E731
        return areas_of_weighted(_AREAS[metric], labels, scores, weights, len(counts), known)
    samples = [np.repeat(np.arange(len(groups)), c[groups]) for c in counts]
    return np.array(
        [
            _quiet(metric, [array[rows] for array in arrays], None if known is None else known[rows])
            for rows in samples
        ]
    )


def _swap(metric, labels, first, second, known, swapped: np.ndarray) -> np.ndarray:
    """Second minus first where `swapped`, shape (permutations, n), says whose scores trade places."""
    if metric in _AREAS:
        labels, _, _, known = validate_known(labels, first, None, known)
        pooled = np.concatenate([_ranks(scores, known) for scores in (first, second)])
        both = np.concatenate([labels, labels])
        twice = None if known is None else np.concatenate([known, known])

        def values(keep):  # a model's scores are those of the pool that have the weight 1
            weights = lambda part: np.concatenate([keep[part], ~keep[part]], axis=1).astype(np.int32)  # noqa: E731
            return areas_of_weighted(_AREAS[metric], both, pooled, weights, len(keep), twice)

        return values(swapped) - values(~swapped)
    where = swapped.reshape(*swapped.shape, *[1] * (first.ndim - 1))
    return np.array(
        [
            _quiet(metric, (labels, np.where(w, first, second)), known)
            - _quiet(metric, (labels, np.where(w, second, first)), known)
            for w in where
        ]
    )


def _ranks(scores: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    """Of each column; among the rows that are known, where some are not (the others get 0)."""
    from scipy.stats import rankdata

    if known is None:
        return rankdata(scores, axis=0)
    ranks = np.zeros(scores.shape)
    for column, which in enumerate(known.T):
        ranks[which, column] = rankdata(scores[which, column])
    return ranks


def _quiet(metric, arrays, known) -> float:
    """The metric of a resample, which may lack every example of some tags, or of all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedTagsWarning)
        try:
            return float(_score(metric, arrays, known))
        except ValueError:  # undefined; what is wrong with the data themselves was raised before
            return np.nan


def _interval(value: float, samples: np.ndarray, confidence: float, num_groups: int) -> Interval:
    undefined = np.isnan(samples)
    if undefined.mean() > 0.5:
        raise ValueError(
            f"the metric is undefined in {undefined.sum()} of {len(samples)} resamples: {num_groups} groups hold "
            "too few examples for an interval"
        )
    low, high = np.quantile(samples[~undefined], [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(value), float(low), float(high), confidence, num_groups, samples)
