"""Retrieval metrics against loops that spell out the definitions, and what they refuse."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score, normalized_mutual_info_score

from mclass import metrics
from mclass.metrics import neighbours as module


def naive_order(embeddings, query):
    """All others: by the cosine rounded to float32, then by index."""
    rows = np.asarray(embeddings, dtype=np.float64)
    rows = (rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))).astype(np.float32).astype(np.float64)
    cosines = [np.float32((row * rows[query]).sum()) for row in rows]
    return sorted((i for i in range(len(rows)) if i != query), key=lambda i: (-cosines[i], i))


def naive_recall(embeddings, labels, k):
    values = []
    for query, tags in enumerate(labels):
        wanted = set(np.flatnonzero(tags))
        found = set().union(*(np.flatnonzero(labels[i]) for i in naive_order(embeddings, query)[:k]))
        if wanted:
            values.append(len(wanted & found) / len(wanted))
    return np.mean(values)


def items(kind, n=90, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "random":
        return rng.normal(size=(n, dim))
    if kind == "lattice":  # many equal cosines, of different vectors
        return rng.integers(1, 3, (n, dim))
    if kind == "copies":  # clips of one track may be equal
        return rng.normal(size=(n // 4, dim))[rng.integers(0, n // 4, n)]
    return np.ones((n, dim)) * rng.uniform(1, 2, (n, 1))  # all the same


def some_labels(n=90, num_tags=7, seed=1):
    labels = np.random.default_rng(seed).random((n, num_tags)) < 0.3
    labels[np.arange(n), np.arange(n) % num_tags] = True
    return labels


@pytest.mark.parametrize("kind", ["random", "lattice", "copies", "all the same"])
@pytest.mark.parametrize("block", [None, 3000])  # 3000: several tiles, and several queries at a time
def test_neighbours_are_the_naive_ones_ties_included(kind, block, monkeypatch):
    if block:
        monkeypatch.setattr(module, "_BLOCK", block)
    embeddings = items(kind)
    expected = np.array([naive_order(embeddings, query) for query in range(90)])
    for k in (1, 3, 8, 86, 89):
        np.testing.assert_array_equal(metrics.nearest_neighbours(embeddings, k), expected[:, :k])
    ranked = np.concatenate([order for _, order in module.rankings(embeddings)])
    np.testing.assert_array_equal(ranked, expected)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_few_items(n):
    embeddings = items("random", n)
    for k in range(1, n):
        expected = [naive_order(embeddings, query)[:k] for query in range(n)]
        assert metrics.nearest_neighbours(embeddings, k).tolist() == expected


@pytest.mark.parametrize("kind", ["random", "lattice", "copies", "all the same"])
def test_recall_is_that_of_the_homework(kind):
    embeddings, labels = items(kind), some_labels()
    recall = metrics.multilabel_recall_at_k(embeddings, labels, ks=(4, 1, 2, 8))
    assert list(recall) == [4, 1, 2, 8]
    for k, value in recall.items():
        assert value == pytest.approx(naive_recall(embeddings, labels, k), abs=1e-12)
    assert metrics.multilabel_recall_at_k(torch.from_numpy(embeddings), torch.from_numpy(labels).int()) == {
        k: recall[k] for k in (1, 2, 4, 8)
    }


def test_recall_of_large_sets_is_the_float32_loops():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(3000, 32)).astype(np.float32)
    labels = rng.random((3000, 20)) < 0.15
    labels[~labels.any(axis=1), 0] = True
    unit = torch.nn.functional.normalize(torch.from_numpy(embeddings))
    values = metrics.multilabel_recall_at_k(embeddings, labels, per_query=True)
    different = 0
    for query in range(0, 3000, 10):
        similarities = unit @ unit[query]
        similarities[query] = -torch.inf
        nearest = similarities.argsort(descending=True, stable=True).numpy()
        for k in (1, 2, 4, 8):
            found = labels[nearest[:k]].any(axis=0) & labels[query]
            different += values[k][query] != found.sum() / labels[query].sum()
    assert different <= 2  # of 1,200: where float32 sums, in another order, swap two neighbours


def test_queries_without_tags_are_named_and_left_out():
    embeddings, labels = items("random"), some_labels()
    labels[[3, 50]] = False
    with pytest.warns(metrics.UndefinedQueriesWarning, match="2 of 90 queries have no tags.*: 3, 50$") as caught:
        recall = metrics.multilabel_recall_at_k(embeddings, labels)
    assert caught[0].filename == __file__
    assert recall[2] == pytest.approx(naive_recall(embeddings, labels, 2))
    with pytest.warns(metrics.UndefinedQueriesWarning):
        values = metrics.multilabel_recall_at_k(embeddings, labels, per_query=True)
    assert np.flatnonzero(np.isnan(values[4])).tolist() == [3, 50]
    assert np.nanmean(values[4]) == recall[4]
    labels[:, 6] = False
    labels[7] = False
    labels[7, 6] = True  # a tag that nobody else has: recall is 0, but nothing is relevant
    for metric in (metrics.mean_average_precision, metrics.r_precision, metrics.ndcg_at_k):
        with pytest.warns(
            metrics.UndefinedQueriesWarning, match=r"none that another item has.*: 3, 7, "
        ) as caught:
            metric(embeddings, labels)
        assert caught[0].filename == __file__
    with pytest.raises(ValueError, match="all 90 queries have no tags"):
        metrics.multilabel_recall_at_k(embeddings, labels * False)


@pytest.mark.parametrize("kind", ["random", "copies"])
def test_ranking_metrics_are_their_definitions(kind, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 3000)
    embeddings, labels = items(kind), some_labels() & (np.random.default_rng(9).random((90, 7)) < 0.5)
    labels[:, 0] |= ~labels.any(axis=1)
    places = np.arange(89)
    maps, rps, ndcgs, precisions = [], [], [], []
    for query in range(90):
        order = naive_order(embeddings, query)
        shared = (labels[order] & labels[query]).sum(axis=1)
        relevant = shared > 0
        maps.append(average_precision_score(relevant, -places))
        rps.append(relevant[: relevant.sum()].mean())
        ndcgs.append([ndcg_score(shared[None], -places[None], k=k) for k in (3, 10, 89)])
        precisions.append([relevant[:k].mean() for k in (1, 5)])
    np.testing.assert_allclose(metrics.mean_average_precision(embeddings, labels, per_query=True), maps)
    np.testing.assert_allclose(metrics.r_precision(embeddings, labels, per_query=True), rps)
    assert metrics.mean_average_precision(embeddings, labels) == pytest.approx(np.mean(maps))
    assert metrics.r_precision(embeddings, labels) == pytest.approx(np.mean(rps))
    ours = metrics.ndcg_at_k(embeddings, labels, (3, 10, 89))
    assert list(ours.values()) == pytest.approx(np.mean(ndcgs, axis=0).tolist())
    ours = metrics.precision_at_k(embeddings, labels, (1, 5))
    assert list(ours.values()) == pytest.approx(np.mean(precisions, axis=0).tolist())


def test_mutual_information_by_notion():
    rng = np.random.default_rng(0)
    tempo, genre = rng.integers(0, 2, 120), rng.integers(0, 3, 120)
    labels = np.concatenate([np.eye(2)[tempo], np.eye(3)[genre]], axis=1)
    tags, notions = (
        ["slow", "fast", "rock", "pop", "opera"],
        {"tempo": ("slow", "fast"), "genre": ("rock", "pop", "opera")},
    )
    centres = np.eye(4)[tempo] * 5  # the embedding knows the tempo, and nothing of the genre
    embeddings = centres + 0.1 * rng.normal(size=(120, 4))
    table = metrics.normalised_mutual_information(embeddings, labels, tags, notions).set_index("notion")
    assert table.nmi["tempo"] == 1
    assert table.nmi["genre"] < 0.1
    assert table.clusters.tolist() == table.tags.tolist() == [2, 3]
    # Items with both tags count once for each; items without one do not count.
    labels[:10, :2], labels[10:14, :2] = 1, 0
    table = metrics.normalised_mutual_information(embeddings, labels, tags, notions).set_index("notion")
    owners, columns = np.nonzero(labels[:, :2])
    assert table["items"]["tempo"] == 116
    assert table.nmi["tempo"] == pytest.approx(normalized_mutual_info_score(columns, tempo[owners]))
    shuffled = rng.permutation(120)
    again = metrics.normalised_mutual_information(embeddings[shuffled] * 3, labels[shuffled], tags, notions)
    assert again.nmi[0] == pytest.approx(table.nmi["tempo"])


def test_mutual_information_that_is_undefined():
    labels = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 1]])
    notions = {"tempo": ("slow", "fast"), "mood": ("soft", "slow"), "genre": ("rock",)}
    table = metrics.normalised_mutual_information(np.ones((3, 2)), labels, ["slow", "fast", "soft"], notions)
    assert table.attrs["undefined"] == ["tempo", "mood", "genre"]  # one tag; one cluster; none
    assert table.clusters.tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="None of the tags belongs to a notion"):
        metrics.normalised_mutual_information(np.ones((3, 2)), labels, ["a", "b", "c"], notions)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_order_of_items_and_length_of_embeddings_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    embeddings, labels = rng.normal(size=(40, 5)), some_labels(40, 4, seed)
    order, columns = rng.permutation(40), rng.permutation(4)
    scale = np.exp(rng.uniform(-20, 20, (40, 1)))
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    for metric in (metrics.multilabel_recall_at_k, metrics.precision_at_k, metrics.ndcg_at_k):
        value = metric(embeddings, labels)
        assert metric(embeddings[order], labels[order][:, columns]) == pytest.approx(value)
        assert metric(embeddings * scale, labels) == pytest.approx(value)
        assert metric(embeddings @ rotation, labels) == pytest.approx(value, abs=0.02)  # near-ties may swap
    for metric in (metrics.mean_average_precision, metrics.r_precision):
        assert metric(embeddings[order], labels[order]) == pytest.approx(metric(embeddings, labels))
    recall = metrics.multilabel_recall_at_k(embeddings, labels, range(1, 40), per_query=True)
    assert (np.diff(np.stack(list(recall.values())), axis=0) >= 0).all()  # more neighbours, more tags


def test_huge_and_tiny_numbers_have_a_direction():
    rows = np.array([[1e30, 0], [1e-300, 1e-302], [0, 5e-324]])
    assert metrics.nearest_neighbours(rows, 1).ravel().tolist() == [1, 0, 1]


def test_reduced_precision_of_the_program_is_not_the_metrics():
    embeddings = items("random", 400, 64)
    expected = metrics.nearest_neighbours(embeddings, 5)
    torch.set_float32_matmul_precision("medium")
    try:
        np.testing.assert_array_equal(metrics.nearest_neighbours(embeddings, 5), expected)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


EMBEDDINGS, LABELS = np.eye(3), np.eye(3, dtype=int)


@pytest.mark.parametrize(
    ("embeddings", "labels", "ks", "message"),
    [
        (EMBEDDINGS, LABELS, (1, 3), r"from 1 to 2, got 3. Each of the 3 items has 2 others"),
        (EMBEDDINGS, LABELS, (0,), "from 1 to 2, got 0"),
        (EMBEDDINGS, LABELS, (1.0,), "integer"),
        (EMBEDDINGS, LABELS, (True,), "integer"),
        (EMBEDDINGS, LABELS, (), "at least one"),
        (EMBEDDINGS, LABELS, 2, r"Was ks=\(8,\) meant"),
        (EMBEDDINGS[:2], LABELS, (1,), "2 embeddings and 3 rows"),
        (EMBEDDINGS[0], LABELS, (1,), r"\(n, dim\) and not be empty, got \(3,\)"),
        (5.0, LABELS, (1,), "0 embeddings"),
        (np.zeros((3, 0)), LABELS, (1,), r"got \(3, 0\)"),
        (EMBEDDINGS[:1], LABELS[:1], (1,), "the 1 items has 0 others"),
        (np.zeros((0, 3)), np.zeros((0, 3)), (1,), "nothing to measure"),
        (EMBEDDINGS, LABELS * 2, (1,), "0 or 1, found 2"),
        (EMBEDDINGS, LABELS * np.nan, (1,), "0 or 1, found nan"),
        (EMBEDDINGS, [0, 1, 2], (1,), "class indices"),
        (EMBEDDINGS + np.inf, LABELS, (1,), "finite"),
        (EMBEDDINGS * [1, 1, 0], LABELS, (1,), "1 of 3 embeddings are zero, first row 2"),
        (EMBEDDINGS * 1j, LABELS, (1,), "array of numbers"),
        ([[1.0], [1.0, 2.0], [0.0]], LABELS, (1,), "rectangular"),
        ([["a"], ["b"], ["c"]], LABELS, (1,), "array of numbers"),
    ],
)
@pytest.mark.parametrize("metric", [metrics.multilabel_recall_at_k, metrics.precision_at_k, metrics.ndcg_at_k])
def test_bad_input_is_refused(metric, embeddings, labels, ks, message):
    with pytest.raises(ValueError, match=message):
        metric(embeddings, labels, ks)


@pytest.mark.parametrize("metric", [metrics.mean_average_precision, metrics.r_precision])
def test_bad_input_of_rankings_is_refused(metric):
    with pytest.raises(ValueError, match="0 others"):
        metric(EMBEDDINGS[:1], LABELS[:1])
    with pytest.raises(ValueError, match="are zero"):
        metric(EMBEDDINGS * 0, LABELS)
    with pytest.raises(ValueError, match="finite"):
        metric(EMBEDDINGS + np.nan, LABELS)
    with pytest.raises(ValueError, match="at least 2 items"):
        next(module.rankings(EMBEDDINGS[:1]))
    with pytest.raises(ValueError, match="from 1 to 2, got 3"):
        metrics.nearest_neighbours(EMBEDDINGS, 3)
