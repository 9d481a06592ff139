"""Decisions, curves, thresholds and songs against scikit-learn and naive counting, and what they refuse."""

import warnings

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mclass import inference, metrics

TAGS = list("abcde")


@pytest.fixture
def data():
    rng = np.random.default_rng(5)
    labels = rng.random((80, 5)) < 0.3
    labels[0], labels[1] = 1, 0
    scores = np.clip(np.round(labels * 0.3 + rng.random((80, 5)) * 0.7, 1), 0, 1)  # ties
    return labels, scores


@pytest.mark.parametrize("average", ["macro", "micro", None])
@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_decisions_as_scikit_learn(data, average, threshold):
    labels, scores = data
    given = scores >= threshold
    options = {"average": average, "zero_division": np.nan}
    compare = [
        (metrics.precision, sk.precision_score(labels, given, **options)),
        (metrics.recall, sk.recall_score(labels, given, **options)),
        (metrics.specificity, sk.recall_score(~labels, ~given, **options)),
        (metrics.f_beta, sk.f1_score(labels, given, **options)),
    ]
    for metric, expected in compare:
        np.testing.assert_allclose(metric(labels, scores, threshold, average=average), expected, rtol=1e-12)
    np.testing.assert_allclose(
        metrics.f_beta(labels, scores, threshold, beta=0.5, average=average),
        sk.fbeta_score(labels, given, beta=0.5, **options),
    )


def test_table_counts_by_hand(data):
    labels, scores = data
    thresholds = np.array([0.2, 0.4, 0.5, 0.6, np.inf])
    table = metrics.tagwise(labels, scores, TAGS, threshold=thresholds)
    for i, row in table.iterrows():
        counts = {(t, g): 0 for t in (True, False) for g in (True, False)}
        for truth, score in zip(labels[:, i], scores[:, i], strict=True):
            counts[bool(truth), bool(score >= thresholds[i])] += 1
        assert (row.tp, row.fp, row.fn, row.tn) == tuple(
            counts[key] for key in ((True, True), (False, True), (True, False), (False, False))
        )
        assert row.accuracy == (row.tp + row.tn) / 80
    assert table.threshold.tolist() == thresholds.tolist()
    assert np.isnan(table.precision[4])
    assert table.f1[4] == 0 == table.recall[4]
    assert metrics.accuracy(labels, scores, thresholds) == pytest.approx(table.accuracy.mean())
    with pytest.warns(
        metrics.UndefinedTagsWarning, match="precision is undefined for 1 of 5 tags.*no clip was.*: e$"
    ):
        value = metrics.precision(labels, scores, thresholds, tags=TAGS)
    assert value == pytest.approx(table.precision[:4].mean())


def test_single_label_decisions_are_the_highest_score():
    truth, guess = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 2, 0, 2])
    labels, logits = np.eye(3)[truth], 5 * np.eye(3)[guess] - 3
    for average in ("macro", "micro", None):
        expected = sk.precision_score(truth, guess, average=average)
        np.testing.assert_allclose(metrics.precision(labels, logits, None, average=average), expected)
    assert metrics.recall(labels, logits, None, average="micro") == metrics.accuracy(labels, logits)


def test_curves_are_scikit_learns_and_enclose_the_areas(data):
    labels, scores = data
    roc, pr = metrics.roc_curve(labels, scores, TAGS), metrics.pr_curve(labels, scores, TAGS)
    for i, tag in enumerate(TAGS):
        one = roc[roc.tag == tag]
        assert sk.auc(one.false_positive_rate, one.recall) == pytest.approx(
            metrics.roc_auc(labels, scores, average=None)[i]
        )
        assert np.isinf(one.threshold.iloc[0])
        assert one.recall.iloc[0] == 0
        assert (np.diff(one.threshold) < 0).all()
        one = pr[pr.tag == tag]
        area = (np.diff(one.recall) * one.precision.iloc[1:]).sum()
        assert area == pytest.approx(metrics.pr_auc(labels, scores, average=None)[i])
        for _, row in one.iloc[1:].iterrows():
            given = scores[:, i] >= row.threshold
            assert row.precision == pytest.approx(labels[given, i].mean())
            assert row.recall == pytest.approx(labels[given, i].sum() / labels[:, i].sum())
    labels[:, 2] = 0
    with pytest.warns(metrics.UndefinedTagsWarning, match=": c$"):
        assert "c" not in set(metrics.roc_curve(labels, scores, TAGS).tag)


def test_thresholds_are_the_best_of_all(data):
    labels, scores = data
    best = metrics.choose_thresholds(labels, scores, beta=2, tags=TAGS)
    tight = metrics.choose_thresholds(labels, scores, target_precision=0.6, tags=TAGS)
    for i in range(5):
        candidates = np.unique(scores[:, i])
        values = [sk.fbeta_score(labels[:, i], scores[:, i] >= t, beta=2) for t in candidates]
        assert best.f_beta[i] == pytest.approx(max(values))
        assert best.threshold[i] == candidates[np.flatnonzero(np.isclose(values, max(values)))[-1]]
        good = [t for t in candidates if labels[scores[:, i] >= t, i].mean() >= 0.6]
        recalls = [labels[scores[:, i] >= t, i].sum() for t in good]
        assert tight.threshold[i] == max(t for t, r in zip(good, recalls, strict=True) if r == max(recalls))
    np.testing.assert_allclose(metrics.precision(labels, scores, tight.threshold, average=None), tight.precision)
    np.testing.assert_allclose(metrics.recall(labels, scores, tight.threshold, average=None), tight.recall)
    np.testing.assert_allclose(metrics.f_beta(labels, scores, best.threshold, beta=2, average=None), best.f_beta)


def test_a_tag_that_cannot_be_found_is_never_given():
    labels = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1]])
    scores = np.array([[-1.0, 3.0, 1.0], [0.0, 2.0, 0.5], [2.0, 1.0, 0.0]])
    with pytest.warns(metrics.UndefinedTagsWarning, match="2 of 3 tags.*precision of 0.9.*: a, b$"):
        table = metrics.choose_thresholds(labels, scores, target_precision=0.9, tags=list("abc"))
    assert table.threshold.tolist() == [np.inf, np.inf, 0.0]
    assert table.attrs["never"] == ["a", "b"]
    assert metrics.decide(labels, scores, table.threshold)[1].tolist() == [[False, False, True]] * 3


def test_songs_are_aggregated_as_inference_does():
    rng = np.random.default_rng(0)
    chunks, owners = rng.random((30, 4)).astype(np.float32), rng.permutation(np.arange(30) % 7)
    for how in ("mean", "max", "majority"):
        songs = metrics.song_scores(chunks, owners, how)
        assert songs.dtype == np.float32
        for i, song in enumerate(songs):
            np.testing.assert_array_equal(song, inference.aggregate(chunks[owners == i], how))
    assert metrics.song_scores(torch.eye(2), np.array(["b", "a"])).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((0, 2)), []), "not be empty"),
        ((np.zeros(3), [0, 1, 2]), r"got \(3,\)"),
        (([[0.1], [np.nan]], [0, 1]), "first nan in row 1"),
        (([[0.1], [0.2]], [0, 1, 2]), r"shape \(2,\), got \(3,\)"),
        (([[0.1], [0.2]], [0, 1], "median"), "unknown aggregate 'median'"),
        (([[0.1], [-2.0]], [0, 1], "majority"), "from -2 to 0.1"),
    ],
)
def test_songs_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.song_scores(*arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: metrics.precision(x, 5 * y), r"go from 1.5 to 4.5. \(Are they logits"),
        (lambda x, y: metrics.precision(x, y, [0.5] * 3), r"each of the 2 tags.*\(3,\)"),
        (lambda x, y: metrics.precision(x, y, np.nan), "not NaN"),
        (lambda x, y: metrics.precision(x, y, average="samples"), "'samples'"),
        (lambda x, y: metrics.f_beta(x, y, beta=0), "must be positive, got 0"),
        (lambda x, y: metrics.f_beta(x, y, beta=np.nan), "must be positive, got nan"),
        (lambda x, y: metrics.choose_thresholds(x, y, target_precision=90), "per cent"),
        (lambda x, y: metrics.recall(np.zeros((2, 2)), y), "recall is undefined for every tag"),
        (lambda x, y: metrics.specificity(np.ones((2, 2)), y), "specificity is undefined for every tag"),
        (lambda x, y: metrics.roc_curve(x * 2, y), "labels must be 0 or 1, found 2"),
        (lambda x, y: metrics.pr_curve(x, y[:, :1]), r"got \(2, 2\) and \(2, 1\)"),
        (lambda x, y: metrics.roc_auc(x, y + 1j), "array of numbers"),
        (lambda x, y: metrics.roc_auc(x.astype(str).astype(object), [["a", "b"]] * 2), "array of numbers"),
    ],
)
def test_bad_input_is_refused(call, message):
    labels, scores = np.array([[1, 0], [0, 1]]), np.array([[0.9, 0.3], [0.3, 0.8]])
    with pytest.raises((ValueError, TypeError), match=message):
        call(labels, scores)


def test_half_precision_tensors_are_measured():
    labels, scores = torch.eye(2), torch.tensor([[0.9, 0.3], [0.3, 0.8]])
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        assert metrics.roc_auc(labels, scores.to(dtype)) == 1 == metrics.f_beta(labels.int(), scores.to(dtype))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.floats(-10, 10))
def test_order_is_all_that_areas_see(seed, scale, shift):
    rng = np.random.default_rng(seed)
    labels = rng.random((12, 3)) < 0.5
    labels[0], labels[1] = 1, 0
    scores = rng.integers(-3, 4, (12, 3)).astype(float)  # ties
    order, columns = rng.permutation(12), rng.permutation(3)
    for metric in (metrics.roc_auc, metrics.pr_auc):
        value = metric(labels, scores)
        assert metric(labels, np.arctan(scores) * scale + shift) == pytest.approx(value, abs=1e-12)
        assert metric(labels[order][:, columns], scores[order][:, columns]) == pytest.approx(value, abs=1e-12)
        micro = metric(labels, scores, average="micro")
        assert metric(labels[order], np.exp(scores)[order], average="micro") == pytest.approx(micro, abs=1e-12)
    assert metrics.roc_auc(~labels, -scores) == pytest.approx(metrics.roc_auc(labels, scores))
    best = metrics.choose_thresholds(labels, scores)
    moved = metrics.choose_thresholds(labels, np.exp(scores))
    np.testing.assert_allclose(moved.threshold, np.exp(best.threshold))


def test_metrics_say_who_called_them():
    labels, scores = np.array([[1, 0], [0, 0]]), np.array([[0.9, 0.3], [0.3, 0.8]])
    for call in (metrics.roc_auc, metrics.pr_curve, metrics.recall, metrics.choose_thresholds):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call(labels, scores)
        assert [warning.filename for warning in caught] == [__file__], call
