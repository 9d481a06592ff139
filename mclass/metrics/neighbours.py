"""The nearest neighbours of every item by cosine similarity: exact, in little memory, equal for everybody.

Two programs that compute the same cosines in float32 differ in the last digits (sums are added up in another
order), and then list near-duplicates in another order. So this is the rule: the similarity of two items is the
cosine of their embeddings, *rounded to float32*; of equal similarities, the lower index comes first. An item is
never its own neighbour.

Taught in: 03_evaluation, 08_metric_learning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from mclass.metrics.checks import as_array, check_count, check_finite

_QUERIES = 128  # at a time
_BLOCK = 4_000_000  # numbers in a block of similarities: 16 MB stay in the cache between one step and the next
_SPARE = 4  # candidates kept beyond k


def unit(embeddings: object) -> np.ndarray:
    """Scale each embedding to length 1; returns float32, shape ``(n, dim)``.

    Raises
    ------
    ValueError
        If the shape is not ``(n, dim)``, entries are not finite, or an embedding is zero: it has no direction.

    Examples
    --------
    >>> unit([[3, 4], [0, 2]]).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 1.0]]
    """
    embeddings = as_array(embeddings, "embeddings")
    if embeddings.ndim != 2 or embeddings.size == 0:
        raise ValueError(f"embeddings must have shape (n, dim) and not be empty, got {embeddings.shape}")
    check_finite(embeddings, "embeddings", "Did training diverge?")
    embeddings = embeddings.astype(np.float64)
    largest = np.abs(embeddings).max(axis=1, keepdims=True)
    zero = np.flatnonzero(largest == 0)
    if len(zero):
        raise ValueError(
            f"{len(zero)} of {len(embeddings)} embeddings are zero, first row {zero[0]}: a cosine similarity "
            "needs a direction. (Silence? A layer that died?)"
        )
    embeddings /= largest  # squares of tiny or huge numbers would leave the range of floats
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings.astype(np.float32)


def nearest_neighbours(embeddings: object, k: int) -> np.ndarray:
    """The `k` nearest neighbours of each item, nearest first.

    Takes the time of one matrix product of all items with all items, and little more memory than the result.

    Parameters
    ----------
    embeddings : array, shape (n, dim)
        Not zero. Their lengths do not matter. On the CPU in float32, whatever device and precision they come in.
    k : int
        From 1 to ``n - 1``.

    Returns
    -------
    np.ndarray, shape (n, k), int64

    Raises
    ------
    ValueError
        If embeddings are not valid (see `unit`), or there are not `k` other items.

    Examples
    --------
    >>> nearest_neighbours([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], k=1).ravel().tolist()
    [1, 0, 1]
    """
    items = unit(embeddings)
    n, dim = items.shape
    k = check_count(k, "k", 1, n - 1, f"Each of the {n} items has {n - 1} others (the query itself is excluded)")
    num_candidates = min(k + _SPARE, n - 1)
    similarities, candidates = _candidates(torch.from_numpy(items), num_candidates)
    # A float32 cosine is off by at most `dim` rounding errors. Candidates further than twice that below the k-th
    # cannot be among the k nearest; if even the last one is closer, there may be more, and all items are looked
    # at.
    slack = 2 * (dim + 2) * 2.0**-24
    open_ended = (similarities[:, -1] >= similarities[:, k - 1] - slack) & (num_candidates < n - 1)
    # The order is certain where neighbours in the list are further apart than that.
    gaps = similarities[:, : min(k, num_candidates - 1)] - similarities[:, 1 : k + 1]
    unsure = (gaps <= slack).any(axis=1) & ~open_ended
    nearest = candidates[:, :k].copy()
    for rows in _split(np.flatnonzero(unsure), num_candidates * dim):
        nearest[rows] = _in_order(items, rows, candidates[rows])[:, :k]
    for row in np.flatnonzero(open_ended):
        everyone = np.delete(np.arange(n), row)
        nearest[row] = _in_order(items, [row], everyone[None])[0, :k]
    return nearest


def rankings(embeddings: object) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All other items in the order of their similarity to each query, some queries at a time.

    Yields
    ------
    queries : np.ndarray, shape (block,)
        Indices of these queries.
    order : np.ndarray, shape (block, n - 1)
        The others, nearest first.

    Examples
    --------
    >>> queries, order = next(rankings([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]))
    >>> order.tolist()
    [[1, 2], [0, 2], [1, 0]]
    """
    items = unit(embeddings)
    exact = items.astype(np.float64)
    if len(items) < 2:
        raise ValueError("a ranking needs at least 2 items: the query itself is excluded")
    for queries in _split(np.arange(len(items)), len(items)):
        similarities = (exact[queries] @ exact.T).astype(np.float32)
        similarities[np.arange(len(queries)), queries] = -np.inf  # comes last, and is cut off
        yield queries, _sort(similarities, np.arange(len(items)))[:, :-1]


def _candidates(items: torch.Tensor, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Float32 similarities and indices of the `count` most similar others, in falling order, both ``(n, count)``.

    The items are dealt into groups, and only the groups with the `count` highest maxima are looked into: no other
    group can hold one of the `count` highest numbers. Finding maxima is much cheaper than sorting.
    """
    n = len(items)
    tile = min(n, _BLOCK // _QUERIES)  # items at a time
    tile = max(count, math.ceil(n / math.ceil(n / tile)))  # all about equally large
    values = torch.full((n, count), -torch.inf)
    indices = torch.zeros((n, count), dtype=torch.int64)
    with _full_precision():
        for start in range(0, n, tile):
            part = items[start : start + tile]
            depth = max(1, math.isqrt(len(part) // count))  # items in a group
            num_groups = 16 * math.ceil(len(part) / depth / 16)  # rows of whole cache lines: a third faster
            block = torch.full((_QUERIES, depth * num_groups), -torch.inf)
            steps = num_groups * torch.arange(depth)[:, None]
            for first in range(0, n, _QUERIES):
                queries = items[first : first + _QUERIES]
                rows = slice(first, first + len(queries))
                scores = block[: len(queries)]
                torch.mm(queries, part.T, out=scores[:, : len(part)])
                low, high = max(first, start), min(first + len(queries), start + len(part))
                itself = torch.arange(low, max(low, high))  # queries that are in this tile
                scores[itself - first, itself - start] = -torch.inf
                best = scores.view(len(queries), depth, num_groups).amax(1).topk(min(count, num_groups)).indices
                inside = (best[:, None, :] + steps).flatten(1)
                found, position = scores.gather(1, inside).topk(min(count, inside.shape[1]))
                joined = torch.cat([values[rows], found], 1)
                joined_indices = torch.cat([indices[rows], inside.gather(1, position) + start], 1)
                values[rows], chosen = joined.topk(count)
                indices[rows] = joined_indices.gather(1, chosen)
    return values.numpy(), indices.numpy()


def _in_order(items: np.ndarray, queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Candidates ``(queries, count)`` in their exact order."""
    pairs = items[candidates].astype(np.float64) * items[queries][:, None, :]
    return _sort(pairs.sum(axis=-1).astype(np.float32), candidates)


def _sort(similarities: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Indices by falling similarity, then by rising index; both ``(queries, count)``.

    A float and an index make one integer whose order is theirs: sorting integers is faster than arranging indices.
    """
    bits = (similarities + np.float32(0)).view(np.int32)  # adding 0 makes of -0.0 a 0.0
    rising = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # of negative floats, the larger has the smaller bits
    keys = (~rising).astype(np.int64) << 32 | indices
    keys.sort(axis=1)
    return keys & 0xFFFFFFFF


def _split(rows: np.ndarray, width: int) -> list[np.ndarray]:
    """Cut `rows` into parts that take a block of memory each if a row takes `width` numbers."""
    size = max(1, _BLOCK // 2 // width)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


@contextmanager
def _full_precision() -> Iterator[None]:
    """Products of float32 numbers in float32, whatever the program allows itself for training."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
