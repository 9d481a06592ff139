"""Do similar embeddings have similar tags? Every item is a query, and the others are ranked by cosine similarity.

Conventions
-----------
Embeddings are ``(n, dim)``, labels multi-hot ``(n, num_tags)``; the order of the others is that of
`nearest_neighbours`. An item is *relevant* to a query if it shares a tag with it; to ask about one notion of
similarity, pass the labels of its tags alone (`mclass.tags.NOTIONS`). A query without tags, to which nothing can
be relevant, is left out and named; so is a query whose tags nobody else has, where relevant items are counted.
All labels must be known: of data with unknown ones (``dataset.known``), take the clips and tags that are.

Taught in: 03_evaluation, 08_metric_learning.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mclass import vocabulary
from mclass.errors import unknown_name
from mclass.metrics.checks import as_array, check_count, validate_labels
from mclass.metrics.neighbours import nearest_neighbours, rankings, unit


class UndefinedQueriesWarning(UserWarning):
    """Some queries have no tags, or tags that nobody else has; the message names them."""


def multilabel_recall_at_k(
    embeddings: np.ndarray, labels: np.ndarray, ks: Sequence[int] = (1, 2, 4, 8), *, per_query: bool = False
) -> dict[int, float] | dict[int, np.ndarray]:
    """How many of a query's tags are found among its K nearest neighbours.

    ``|y_q ∩ (y_1 ∪ … ∪ y_K)| / |y_q|`` for a query with the tags ``y_q``, averaged over the queries that have
    tags.

    Parameters
    ----------
    embeddings : array, shape (n, dim)
    labels : array, shape (n, num_tags)
        0 or 1.
    ks : sequence of int
        Each from 1 to ``n - 1``: the query itself is excluded.
    per_query : bool
        Return the value of each query, shape ``(n,)``, NaN where it is undefined: to look at them, or for
        `mclass.metrics.bootstrap`.

    Returns
    -------
    dict
        From each K to the recall.

    Raises
    ------
    ValueError
        If embeddings are not valid (see `mclass.metrics.nearest_neighbours`), labels are not 0 or 1 or not as
        many as embeddings, a K is not possible, or no query has tags.

    Warns
    -----
    UndefinedQueriesWarning
        Names the queries without tags.

    Examples
    --------
    >>> embeddings = [[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]
    >>> multilabel_recall_at_k(embeddings, [[1, 1], [1, 0], [0, 1]], ks=(1, 2))
    {1: 0.5, 2: 1.0}
    """
    labels, ks = _check(embeddings, labels, ks)
    nearest = nearest_neighbours(embeddings, max(ks))
    num_tags = labels.sum(axis=1)
    found, recalls = np.zeros_like(labels), {}
    for k, column in enumerate(nearest.T, start=1):
        found |= labels[column]  # the tags of one more neighbour of every query
        if k in ks:
            recalls[k] = _divide((found & labels).sum(axis=1), num_tags)
    return _average({k: recalls[k] for k in ks}, per_query, _WITHOUT_TAGS)


def precision_at_k(
    embeddings: np.ndarray, labels: np.ndarray, ks: Sequence[int] = (1, 2, 4, 8), *, per_query: bool = False
) -> dict[int, float] | dict[int, np.ndarray]:
    """Share of a query's K nearest neighbours that are relevant.

    Parameters, returned values, errors and warnings are those of `multilabel_recall_at_k`.

    Examples
    --------
    >>> precision_at_k([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], [[1, 1], [1, 0], [0, 1]], ks=(1, 2))
    {1: 0.666..., 2: 0.666...}
    """
    labels, ks = _check(embeddings, labels, ks)
    nearest = nearest_neighbours(embeddings, max(ks))
    relevant = np.stack([(labels & labels[column]).any(axis=1) for column in nearest.T], axis=1)
    has_tags = labels.any(axis=1)
    results = {k: np.where(has_tags, relevant[:, :k].mean(axis=1), np.nan) for k in ks}
    return _average(results, per_query, _WITHOUT_TAGS)


def mean_average_precision(
    embeddings: np.ndarray, labels: np.ndarray, *, per_query: bool = False
) -> float | np.ndarray:
    """MAP: the precision at the rank of each relevant item, averaged over these items, then over queries.

    Ranks all items for every query, in the time of as many sorts. Parameters, errors and warnings:
    `multilabel_recall_at_k`; queries that nothing is relevant to are left out too.

    Examples
    --------
    >>> mean_average_precision([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], [[1, 1], [1, 0], [0, 1]])
    0.833...
    """
    labels, _ = _check(embeddings, labels, (1,))

    def one_block(relevant, count):
        return ((np.cumsum(relevant, axis=1) / np.arange(1, relevant.shape[1] + 1)) * relevant).sum(axis=1) / count

    return _over_rankings(embeddings, labels, one_block, per_query)


def r_precision(embeddings: np.ndarray, labels: np.ndarray, *, per_query: bool = False) -> float | np.ndarray:
    """Share of relevant items among the R nearest, where R is how many are relevant at all.

    Parameters, errors and warnings are those of `mean_average_precision`.

    Examples
    --------
    >>> r_precision([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], [[1, 1], [1, 0], [0, 1]])
    0.666...
    """
    labels, _ = _check(embeddings, labels, (1,))

    def one_block(relevant, count):
        return (relevant & (np.arange(relevant.shape[1]) < count[:, None])).sum(axis=1) / count

    return _over_rankings(embeddings, labels, one_block, per_query)


def ndcg_at_k(
    embeddings: np.ndarray, labels: np.ndarray, ks: Sequence[int] = (10,), *, per_query: bool = False
) -> dict[int, float] | dict[int, np.ndarray]:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen, 2002): sharing more tags counts more.

    The gain of an item is the number of tags it shares with the query, divided by ``log2(1 + rank)``; the sum over
    the K nearest is divided by that of the best possible order. Parameters, errors and warnings:
    `multilabel_recall_at_k`; queries that nothing is relevant to are left out too.

    Examples
    --------
    >>> ndcg_at_k([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], [[1, 1], [1, 0], [0, 1]], ks=(1, 2))
    {1: 0.666..., 2: 0.876...}
    """
    labels, ks = _check(embeddings, labels, ks)
    nearest, depth = nearest_neighbours(embeddings, max(ks)), max(ks)
    gains = np.stack([(labels & labels[column]).sum(axis=1) for column in nearest.T], axis=1)
    best = np.empty_like(gains)
    numbers = labels.astype(np.float32)
    for start in range(0, len(labels), 256):
        shared = numbers[start : start + 256] @ numbers.T
        shared[np.arange(len(shared)), start + np.arange(len(shared))] = -1  # not the query itself
        best[start : start + 256] = -np.sort(np.partition(-shared, depth - 1, axis=1)[:, :depth], axis=1)
    discount = 1 / np.log2(np.arange(2, depth + 2))
    results = {k: _divide(gains[:, :k] @ discount[:k], best[:, :k] @ discount[:k]) for k in ks}
    return _average(results, per_query, _WITHOUT_RELEVANT)


def normalised_mutual_information(
    embeddings: np.ndarray,
    labels: np.ndarray,
    tags: Sequence[str],
    notions: Mapping[str, Sequence[str]] = vocabulary.NOTIONS,
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """How much the clusters of the embeddings tell about the tags of each notion of similarity.

    The items that have tags of the notion are clustered with k-means (on the unit sphere), into as many clusters
    as there are such tags. NMI is the mutual information of cluster and tag, divided by the mean of their
    entropies (scikit-learn's): 0 if they have nothing to do with each other, 1 if each cluster is a tag. An item
    with several tags of the notion counts once for each, so 1 cannot be reached there: compare models, not
    notions.

    Parameters
    ----------
    embeddings : array, shape (n, dim)
    labels : array, shape (n, num_tags)
    tags : sequence of str
        Names of the columns.
    notions : mapping of str to sequence of str
        The tags of each notion.
    seed : int
        Of k-means.

    Returns
    -------
    pandas.DataFrame
        Columns ``notion``, ``items``, ``tags``, ``clusters`` and ``nmi``. A notion with fewer than two tags, or
        clusters, among the items has a missing value, and is listed in ``.attrs["undefined"]``.

    Raises
    ------
    ValueError
        If embeddings or labels are not valid, or no tag belongs to a notion.

    Examples
    --------
    >>> embeddings, labels = [[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], [[1, 0], [1, 0], [0, 1], [0, 1]]
    >>> normalised_mutual_information(embeddings, labels, ["slow", "fast"], {"tempo": ("slow", "fast")})
      notion  items  tags  clusters  nmi
    0  tempo      4     2         2  1.0
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import normalized_mutual_info_score

    labels, names = validate_labels(labels, tags)
    items = unit(embeddings)
    _check_lengths(len(items), len(labels))
    if not any(tag in names for members in notions.values() for tag in members):
        raise ValueError(
            unknown_name("tag", names[0], [tag for members in notions.values() for tag in members])
            + ". None of the tags belongs to a notion; pass `notions`"
        )
    rows = []
    for notion, members in notions.items():
        chosen = labels[:, [i for i, name in enumerate(names) if name in members]]
        chosen = chosen[:, chosen.any(axis=0)]
        owners, columns = np.nonzero(chosen)
        present, num_clusters, nmi = np.unique(owners), 0, np.nan
        if chosen.shape[1] > 1 and len(present) >= chosen.shape[1]:
            with warnings.catch_warnings():  # fewer distinct embeddings than tags: the table says it
                warnings.simplefilter("ignore", ConvergenceWarning)
                kmeans = KMeans(chosen.shape[1], n_init=4, random_state=seed).fit(items[present])
            num_clusters = len(np.unique(kmeans.labels_))
            if num_clusters > 1:
                cluster = np.zeros(len(items), int)
                cluster[present] = kmeans.labels_
                nmi = normalized_mutual_info_score(columns, cluster[owners])
        rows.append((notion, len(present), chosen.shape[1], num_clusters, nmi))
    table = pd.DataFrame(rows, columns=["notion", "items", "tags", "clusters", "nmi"])
    table.attrs["undefined"] = table.notion[table.nmi.isna()].tolist()
    return table


_WITHOUT_TAGS = "have no tags"
_WITHOUT_RELEVANT = "have no tags, or none that another item has"


def _check(embeddings, labels, ks) -> tuple[np.ndarray, list[int]]:
    labels, _ = validate_labels(labels)
    shape = as_array(embeddings, "embeddings").shape
    _check_lengths(shape[0] if shape else 0, len(labels))
    if isinstance(ks, int | np.integer) or len(ks) == 0:
        raise ValueError(
            f"ks is a sequence of at least one number of neighbours, got {ks!r}. (Was ks=(8,) meant?)"
        )
    others = len(labels) - 1
    why = f"Each of the {len(labels)} items has {others} others (the query itself is excluded)"
    return labels, [check_count(k, "each K", 1, others, why) for k in ks]


def _check_lengths(num_embeddings: int, num_labels: int) -> None:
    if num_embeddings != num_labels:
        raise ValueError(
            f"{num_embeddings} embeddings and {num_labels} rows of labels: are both of the same items?"
        )


def _over_rankings(embeddings, labels, one_block, per_query) -> float | np.ndarray:
    """`one_block` maps relevance in ranked order, ``(queries, n - 1)``, and its sum to a value for each query."""
    values = np.full(len(labels), np.nan)
    numbers = labels.astype(np.float32)
    for queries, order in rankings(embeddings):
        relevant = np.take_along_axis(numbers[queries] @ numbers.T > 0, order, axis=1)
        count = relevant.sum(axis=1)
        some = count > 0
        values[queries[some]] = one_block(relevant[some], count[some])
    return _average({0: values}, per_query, _WITHOUT_RELEVANT, stacklevel=4)[0]


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _average(results: dict, per_query: bool, reason: str, stacklevel: int = 3) -> dict:
    undefined = np.flatnonzero(np.isnan(next(iter(results.values()))))
    if len(undefined):
        total = len(next(iter(results.values())))
        if len(undefined) == total:
            raise ValueError(f"there is nothing to measure: all {total} queries {reason}")
        named = ", ".join(map(str, undefined[:10])) + (", …" if len(undefined) > 10 else "")
        warnings.warn(
            f"{len(undefined)} of {total} queries {reason}, and are left out: {named}",
            UndefinedQueriesWarning,
            stacklevel=stacklevel,
        )
    return results if per_query else {k: float(np.nanmean(values)) for k, values in results.items()}


def recall_among_tracks(
    embeddings: np.ndarray, labels: np.ndarray, tracks: np.ndarray, ks: Sequence[int] = (1, 2, 4, 8)
) -> dict[int, float]:
    """Multi-label recall at K where each track has one clip, so that recognising the recording does not help.

    The mean over choices of that clip: each track's first one, its second one, and so on; a track with fewer clips
    begins again with its first.

    Parameters
    ----------
    embeddings : array, shape (n, dim)
    labels : array, shape (n, num_tags)
    tracks : array, shape (n,)
        The track of each clip.
    ks : sequence of int
        Each below the number of tracks.

    Raises
    ------
    ValueError
        As `multilabel_recall_at_k`; also if no clip has a tag.

    Examples
    --------
    >>> embeddings = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
    >>> labels, tracks = np.array([[1, 0], [1, 0], [0, 1], [1, 1]]), np.array([7, 7, 8, 8])
    >>> recall_among_tracks(embeddings, labels, tracks, ks=(1,))  # among all clips it is 0.875
    {1: 0.375}
    """
    owners, sizes = np.unique(tracks, return_inverse=True)[1], np.unique(tracks, return_counts=True)[1]
    members = [np.flatnonzero(owners == track) for track in range(len(sizes))]
    recalls = []
    for turn in range(sizes.max()):
        chosen = np.array([clips[turn % len(clips)] for clips in members])
        if np.asarray(labels)[chosen].any():
            recalls.append(multilabel_recall_at_k(embeddings[chosen], labels[chosen], ks))
    if not recalls:
        raise ValueError(f"there is nothing to find: none of the {len(tracks)} clips has a tag")
    return {k: float(np.mean([recall[k] for recall in recalls])) for k in ks}
