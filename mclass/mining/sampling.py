"""Triplets drawn from a data set: by tag, by track or artist, and by the errors of a trained tagger.

Taught in: 08_metric_learning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

from mclass.metrics.checks import check_count, check_groups, hide_unknown, validate_labels
from mclass.metrics.classification import decide
from mclass.mining.triplets import Triplets, usable


def tag_triplets(
    labels: np.ndarray,
    num_triplets: int,
    *,
    tracks: np.ndarray | None = None,
    tags: Sequence[str] | None = None,
    known: np.ndarray | None = None,
    seed: int | Sequence[int] = 0,
) -> Triplets:
    """Draw a tag, two clips that have it and one that does not; rare tags as often as frequent ones.

    Parameters
    ----------
    labels : array, shape (n, num_tags)
    num_triplets : int
    tracks : array, shape (n,), optional
        Anchor and positive then come from different tracks. Clips of one track are nearly copies: a model that
        only recognises the recording would find them.
    tags : sequence of str, optional
        Names for messages.
    known : array of bool, shape (n, num_tags), optional
        Which labels are known (a data set's `known`). The negative is known not to have the tag.
    seed : int or sequence of int
        ``(seed, epoch)`` for other triplets in each epoch.

    Returns
    -------
    Triplets
        With the tag of each.

    Raises
    ------
    ValueError
        If labels are not valid, or no tag has enough clips.

    Warns
    -----
    MiningWarning
        Names the tags that were left out: fewer than two clips (or tracks) have them, or every clip.

    Examples
    --------
    >>> labels = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 0]])
    >>> anchor, positive, negative = tag_triplets(labels, 100)
    >>> bool((labels[anchor] * labels[positive]).any(axis=1).all())
    True
    """
    labels, known = hide_unknown(labels, known)
    truth, names = validate_labels(labels, tags)
    lacks = ~truth if known is None else known & ~truth
    tracks = np.arange(len(truth)) if tracks is None else check_groups(tracks, len(truth), "tracks")
    num_tracks = np.array([len(np.unique(tracks[has])) for has in truth.T])
    columns = usable(
        (num_tracks > 1) & lacks.any(axis=0), names, "have clips of fewer than two tracks, or are everywhere"
    )
    rng = np.random.default_rng(seed)
    tag = _draw_tags(columns, num_triplets, rng)
    return _per_tag(
        tag, lambda column, size: _same_and_other(truth[:, column], lacks[:, column], tracks, size, rng)
    )


def group_triplets(
    groups: np.ndarray, num_triplets: int, *, tracks: np.ndarray | None = None, seed: int | Sequence[int] = 0
) -> Triplets:
    """Anchor and positive are clips of one track, or of one artist; the negative is of another.

    Every group that has two clips is drawn equally often.

    Parameters
    ----------
    groups : array, shape (n,)
        The track, or the artist, of each clip.
    num_triplets : int
    tracks : array, shape (n,), optional
        With artists as groups: anchor and positive then are of different tracks of the artist.
    seed : int or sequence of int

    Raises
    ------
    ValueError
        If there is one group alone, or none has two clips (or tracks).

    Warns
    -----
    MiningWarning
        Counts the groups that never give an anchor, having one clip (or track).

    Examples
    --------
    >>> anchor, positive, negative = group_triplets(np.array([0, 0, 1, 1]), 3)
    >>> ((anchor // 2 == positive // 2) & (anchor // 2 != negative // 2)).tolist()
    [True, True, True]
    """
    groups = check_groups(groups, len(groups))
    tracks = np.arange(len(groups)) if tracks is None else check_groups(tracks, len(groups), "tracks")
    num_groups = int(groups.max(initial=-1)) + 1
    if num_groups < 2:
        raise ValueError(f"a negative is of another group, and {len(groups)} clips are of {num_groups} group(s)")
    pairs = np.unique(np.stack([groups, tracks]), axis=1)[0]
    enough = np.bincount(pairs, minlength=num_groups) > 1
    columns = usable(enough, None, "have one clip or track alone")
    rng = np.random.default_rng(seed)
    chosen = _draw_tags(columns, num_triplets, rng)
    made = _per_tag(
        chosen, lambda group, size: _same_and_other(groups == group, groups != group, tracks, size, rng)
    )
    return Triplets(*made)


def error_table(
    labels: np.ndarray,
    scores: np.ndarray,
    threshold: float | np.ndarray = 0.5,
    tags: Sequence[str] | None = None,
    known: np.ndarray | None = None,
) -> pd.DataFrame:
    """What a trained tagger gives `error_triplets` to draw from: the counts of each tag, and whether they suffice.

    Parameters and errors are those of `error_triplets`.

    Returns
    -------
    pandas.DataFrame
        Columns ``tag``, ``true_positives`` (anchors), ``false_negatives`` (positives), ``false_positives``
        (negatives) and ``usable``.

    Examples
    --------
    >>> error_table([[1], [1], [0]], [[0.9], [0.2], [0.7]], tags=["harp"])
        tag  true_positives  false_negatives  false_positives  usable
    0  harp               1                1                1    True
    """
    sorts, names = _errors(labels, scores, threshold, tags, known)
    counts = [sort.sum(axis=0) for sort in sorts]
    columns = ("true_positives", "false_negatives", "false_positives")
    table = pd.DataFrame({"tag": names, **dict(zip(columns, counts, strict=True))})
    return table.assign(usable=(table.iloc[:, 1:] > 0).all(axis=1))


def error_triplets(
    labels: np.ndarray,
    scores: np.ndarray,
    num_triplets: int,
    *,
    threshold: float | np.ndarray = 0.5,
    tags: Sequence[str] | None = None,
    known: np.ndarray | None = None,
    seed: int | Sequence[int] = 0,
) -> Triplets:
    """Triplets a trained tagger gets wrong: for a tag, its true positives are anchors, its misses positives, its
    false alarms negatives.

    The tagger takes the negative for more alike to the anchor than the positive; learning from such triplets
    starts where classification ended.

    Parameters
    ----------
    labels, scores : array, shape (n, num_tags)
        Of *training* clips; probabilities, unless there are thresholds that suit the scores.
    num_triplets : int
    threshold : float or array of shape (num_tags,)
        See `mclass.metrics.decide`.
    tags : sequence of str, optional
    known : array of bool, shape (n, num_tags), optional
        Which labels are known (a data set's `known`); the others are neither right nor wrong.
    seed : int or sequence of int

    Raises
    ------
    ValueError
        If labels and scores are not valid, or no tag has a clip of all three sorts.

    Warns
    -----
    MiningWarning
        Names the tags that were left out; `error_table` says what they lack.

    Examples
    --------
    >>> triplets = error_triplets([[1], [1], [0]], [[0.9], [0.2], [0.7]], num_triplets=2)
    >>> [index.tolist() for index in triplets]
    [[0, 0], [1, 1], [2, 2]]
    """
    sorts, names = _errors(labels, scores, threshold, tags, known)
    enough = np.all([sort.any(axis=0) for sort in sorts], axis=0)
    columns = usable(enough, names, "lack a true positive, a false negative or a false positive")
    rng = np.random.default_rng(seed)

    def draw(column, size):
        return [rng.choice(np.flatnonzero(sort[:, column]), size) for sort in sorts]

    return _per_tag(_draw_tags(columns, num_triplets, rng), draw)


def _errors(labels, scores, threshold, tags, known) -> tuple[list[np.ndarray], list[str]]:
    """True positives, false negatives and false positives, ``(n, num_tags)`` each, and the names of the tags."""
    labels, known = hide_unknown(labels, known)
    truth, decisions, names = decide(labels, scores, threshold, tags)
    sorts = [truth & decisions, truth & ~decisions, ~truth & decisions]
    return sorts if known is None else [sort & known for sort in sorts], names


def _draw_tags(columns: np.ndarray, num_triplets: int, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(columns, check_count(num_triplets, "num_triplets"))


def _per_tag(tag: np.ndarray, draw: Callable) -> Triplets:
    """Fill in the triplets of each tag with what `draw` returns for the tag and their number."""
    made = np.empty((3, len(tag)), dtype=np.int64)
    order = np.argsort(tag, kind="stable")
    for places in np.split(order, np.flatnonzero(np.diff(tag[order])) + 1):
        made[:, places] = draw(tag[places[0]], len(places))
    return Triplets(*torch.from_numpy(made), torch.from_numpy(tag.astype(np.int64)))


def _same_and_other(
    inside: np.ndarray, outside: np.ndarray, tracks: np.ndarray, size: int, rng: np.random.Generator
) -> tuple:
    """Two clips of different tracks that are inside, and one that is outside; no draw is ever repeated."""
    members = np.flatnonzero(inside)
    members = members[np.argsort(tracks[members], kind="stable")]
    first, last = (np.searchsorted(tracks[members], tracks[members], side) for side in ("left", "right"))
    place = rng.integers(len(members), size=size)
    first, last = first[place], last[place]  # where the anchor's track starts and ends
    # An anchor whose track is all there is cannot be: somebody else is inside.
    other = rng.integers(len(members) - (last - first))
    other += np.where(other >= first, last - first, 0)  # step over the anchor's track
    return members[place], members[other], rng.choice(np.flatnonzero(outside), size)
