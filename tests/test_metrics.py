"""Metrics against naive pair counting and scikit-learn, and what they refuse."""

import itertools
import warnings

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from mclass import metrics


@pytest.fixture
def data():
    rng = np.random.default_rng(3)
    labels = (rng.random((60, 5)) < 0.3).astype(np.uint8)
    labels[0], labels[1] = 1, 0  # every tag has both
    scores = np.round(labels * 0.3 + rng.random((60, 5)), 1)  # rounded: ties
    return labels, scores


def count_pairs(labels, scores):
    pairs = list(itertools.product(scores[labels == 1], scores[labels == 0]))
    return sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)


def naive_average_precision(labels, scores):
    total = 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen, tied = scores >= threshold, scores == threshold
        total += labels[tied].sum() / labels.sum() * labels[chosen].mean()
    return total


def test_roc_auc_counts_ordered_pairs(data):
    labels, scores = data
    expected = [count_pairs(labels[:, i], scores[:, i]) for i in range(5)]
    np.testing.assert_allclose(metrics.roc_auc(labels, scores, average=None), expected, rtol=1e-12)
    assert metrics.roc_auc(labels, scores) == pytest.approx(np.mean(expected))
    assert metrics.roc_auc(labels, scores, average="micro") == pytest.approx(
        count_pairs(labels.ravel(), scores.ravel())
    )


def test_pr_auc_is_average_precision(data):
    labels, scores = data
    expected = [naive_average_precision(labels[:, i], scores[:, i]) for i in range(5)]
    np.testing.assert_allclose(metrics.pr_auc(labels, scores, average=None), expected, rtol=1e-12)
    assert metrics.pr_auc(labels, scores, average="micro") == pytest.approx(
        average_precision_score(labels, scores, average="micro")
    )


def test_scikit_learn_agrees_and_logits_give_the_same(data):
    labels, scores = data
    assert metrics.roc_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores, average="macro"))
    logits = np.log((scores + 0.01) / (2 - scores))
    assert metrics.roc_auc(labels, logits) == metrics.roc_auc(labels, scores)


def test_undefined_tags_are_named_and_left_out(data):
    labels, scores = data
    labels = labels.copy()
    labels[:, 1], labels[:, 3] = 0, 1
    tags = ["a", "never", "c", "always", "e"]
    with pytest.warns(metrics.UndefinedTagsWarning, match=r"2 of 5 tags.*: never, always$"):
        value = metrics.roc_auc(labels, scores, tags=tags)
    assert value == pytest.approx(np.mean([count_pairs(labels[:, i], scores[:, i]) for i in (0, 2, 4)]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the table says it in its cells
        table = metrics.tagwise(labels, scores, tags)
    assert table.attrs["undefined"] == ["never", "always"] == metrics.undefined_tags(labels, tags)
    assert table.roc_auc.isna().tolist() == [False, True, False, True, False] == table.pr_auc.isna().tolist()
    assert table.positives.tolist() == labels.sum(0).tolist()
    with pytest.raises(ValueError, match="undefined for every tag"):
        metrics.pr_auc(np.zeros((4, 2)), np.zeros((4, 2)))


def test_accuracy_and_confusion():
    truth, guess = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 2, 0, 2])
    labels, scores = np.eye(3)[truth], np.eye(3)[guess] + 0.1
    assert metrics.accuracy(labels, scores) == pytest.approx(4 / 6)
    table = metrics.confusion(labels, scores, tags=["x", "y", "z"])
    for i, j in itertools.product(range(3), repeat=2):
        assert table.iloc[i, j] == sum(1 for t, g in zip(truth, guess, strict=True) if (t, g) == (i, j))
    with pytest.raises(ValueError, match="row 1 has 2"):
        metrics.accuracy([[1, 0], [1, 1]], [[1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([[0, 1]], [[0.1, 0.2, 0.3]], r"got \(1, 2\) and \(1, 3\)"),
        ([0, 1], [0.1, 0.2], "class indices"),
        (np.zeros((0, 3)), np.zeros((0, 3)), "nothing to measure"),
        ([[0, 0.5]], [[0.1, 0.2]], "found 0.5 in column 1"),
        ([[0, np.nan]], [[0.1, 0.2]], "found nan"),
        ([[0, 1]], [[0.1, np.nan]], "first nan in row 0, column 1"),
        ([[0, 1]], [[np.inf, 0.1]], "first inf"),
        ([[0, 1], [1]], [[0.1, 0.1]], "rectangular"),
        ([["a", "b"]], [[0.1, 0.1]], "labels must be"),
    ],
)
@pytest.mark.parametrize("metric", [metrics.roc_auc, metrics.pr_auc, metrics.tagwise, metrics.accuracy])
def test_invalid_input_is_refused(metric, labels, scores, message):
    with pytest.raises(ValueError, match=message):
        metric(labels, scores)


def test_options_are_checked():
    with pytest.raises(ValueError, match="'weighted'"):
        metrics.roc_auc([[0], [1]], [[0.1], [0.2]], average="weighted")
    with pytest.raises(ValueError, match="3 tags given for 1 columns"):
        metrics.roc_auc([[0], [1]], [[0.1], [0.2]], tags=["a", "b", "c"])
