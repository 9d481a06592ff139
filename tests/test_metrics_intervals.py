"""Bootstrap and comparison against plain loops over resamples, and what they refuse."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from mclass import metrics
from mclass.metrics.areas import areas_of_weighted


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    groups = rng.permutation(np.repeat(np.arange(20), 4))
    labels = rng.random((80, 3)) < 0.3
    scores = np.round(labels + rng.normal(size=(80, 3)), 1)  # ties
    return labels, scores, groups


@pytest.mark.parametrize(("kind", "engine"), [("roc", roc_auc_score), ("pr", average_precision_score)])
def test_weighted_areas_are_scikit_learns(data, kind, engine):
    labels, scores, _ = data
    weights = np.random.default_rng(0).integers(0, 4, (30, 80)).astype(np.int32)
    ours = areas_of_weighted(kind, labels, scores, lambda part: weights[part], 30)
    expected = [np.mean([engine(labels[:, i], scores[:, i], sample_weight=w) for i in range(3)]) for w in weights]
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    # A tag without positives, or negatives, in a resample is left out of its mean.
    weights = np.stack([np.where(labels[:, 0], 0, 1), np.where(labels[:, 0], 1, 0), np.zeros(80)]).astype(np.int32)
    ours = areas_of_weighted(kind, labels, scores, lambda part: weights[part], 3)
    for value, w in zip(ours[:2], weights, strict=False):
        assert value == pytest.approx(
            np.mean([engine(labels[:, i], scores[:, i], sample_weight=w) for i in (1, 2)])
        )
    assert np.isnan(ours[2])


@pytest.mark.parametrize("metric", [metrics.roc_auc, metrics.pr_auc])
def test_fast_resamples_equal_slow_ones(data, metric):
    labels, scores, groups = data
    other = scores + np.random.default_rng(2).normal(size=scores.shape)
    fast = metrics.bootstrap(metric, labels, scores, groups=groups, num_resamples=50, seed=3)
    slow = metrics.bootstrap(lambda x, y: metric(x, y), labels, scores, groups=groups, num_resamples=50, seed=3)
    np.testing.assert_allclose(fast.samples, slow.samples, rtol=1e-12)
    assert (fast.value, fast.num_groups) == (metric(labels, scores), 20)
    assert (fast.low, fast.high) == pytest.approx(tuple(np.quantile(slow.samples, [0.025, 0.975])))

    def by_rank(x, y):  # what is swapped are ranks: hand these to the slow way
        return metric(x, y)

    from scipy.stats import rankdata

    ranks = rankdata(scores, axis=0), rankdata(other, axis=0)
    fast = metrics.compare(metric, labels, scores, 100 * other, groups=groups, num_resamples=50, seed=3)
    slow = metrics.compare(by_rank, labels, *ranks, groups=groups, num_resamples=50, seed=3)
    np.testing.assert_allclose(fast.difference.samples, slow.difference.samples, atol=1e-12)
    assert fast.p_value == slow.p_value
    assert fast.difference.value == pytest.approx(metric(labels, other) - metric(labels, scores))


def test_resamples_are_of_whole_tracks():
    groups = np.repeat([3, 1, 2], (2, 3, 1))
    seen = set()

    def sizes(rows):
        counts = np.bincount(rows, minlength=6)
        for track in (3, 1, 2):
            assert len(set(counts[groups == track])) == 1  # all clips of a track, equally often
        assert sum(counts[[0, 2, 5]]) == 3  # as many tracks as there are
        seen.add(tuple(counts[[0, 2, 5]]))
        return counts[0]

    metrics.bootstrap(sizes, np.arange(6), groups=groups, num_resamples=400)
    assert seen == {c for c in itertools.product(range(4), repeat=3) if sum(c) == 3}


def test_interval_of_a_mean_is_that_of_statistics():
    # 400 tracks of 5 equal clips: the standard error is that of 400 values, not of 2,000.
    values = np.random.default_rng(0).normal(size=400)
    clips, tracks = np.repeat(values, 5), np.repeat(np.arange(400), 5)
    interval = metrics.bootstrap(np.mean, clips, groups=tracks, num_resamples=2000, confidence=0.9)
    assert interval.high - interval.low == pytest.approx(2 * 1.645 * values.std() / 20, rel=0.06)
    assert interval.value == pytest.approx(values.mean())
    assert str(interval).startswith(f"{values.mean():.3f} [")


def test_permutation_test_of_few_tracks_counts_all_swaps():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(8, 1)), rng.normal(size=(8, 1)) + 0.5
    labels, groups = np.zeros((8, 1)), np.repeat(np.arange(4), 2)

    def mean(_, scores):
        return scores.mean()

    per_track = (second - first).reshape(4, 2).sum(axis=1) / 8
    swaps = [abs((per_track * signs).sum()) for signs in itertools.product((1, -1), repeat=4)]
    exact = np.mean(np.array(swaps) >= abs(per_track.sum()) - 1e-12)
    result = metrics.compare(mean, labels, first, second, groups=groups, num_resamples=4000)
    assert result.p_value == pytest.approx(exact, abs=0.03)
    assert (result.first, result.second) == (first.mean(), second.mean())


def test_a_model_equals_itself_and_order_of_models_is_a_sign(data):
    labels, scores, groups = data
    same = metrics.compare(metrics.roc_auc, labels, scores, scores * 7 - 1, groups=groups, num_resamples=60)
    assert same.p_value == 1
    assert (same.difference.value, same.difference.low, same.difference.high) == pytest.approx(
        (0, 0, 0), abs=1e-12
    )
    other = scores + labels
    one = metrics.compare(metrics.pr_auc, labels, scores, other, groups=groups, num_resamples=60)
    two = metrics.compare(metrics.pr_auc, labels, other, scores, groups=groups, num_resamples=60)
    assert one.difference.low == pytest.approx(-two.difference.high)
    assert one.p_value == two.p_value == pytest.approx(1 / 61)
    assert f"p = {one.p_value:.3g}" in str(one)


def test_seeds_repeat(data):
    labels, scores, groups = data
    runs = [
        metrics.bootstrap(metrics.roc_auc, labels, scores, groups=groups, num_resamples=20, seed=seed).samples
        for seed in (1, 1, 2)
    ]
    assert (runs[0] == runs[1]).all()
    assert not (runs[0] == runs[2]).all()


def test_a_tag_in_one_track_is_left_out_where_it_is_missing():
    rng = np.random.default_rng(0)
    groups = np.arange(40) // 2
    labels = np.stack([groups == 0, rng.random(40) < 0.5], axis=1)
    interval = metrics.bootstrap(metrics.roc_auc, labels, rng.random((40, 2)), groups=groups, num_resamples=100)
    assert np.isfinite(interval.samples).all()
    # That tag alone: undefined in a third of the resamples, which do not count.
    interval = metrics.bootstrap(metrics.pr_auc, labels[:, :1], rng.random((40, 1)), groups=groups)
    assert 0.3 < np.isnan(interval.samples).mean() < 0.45
    assert np.isfinite([interval.low, interval.high]).all()
    slow = metrics.bootstrap(
        lambda x, y: metrics.pr_auc(x, y), labels[:, :1], rng.random((40, 1)), groups=groups, num_resamples=200
    )
    assert 0.25 < np.isnan(slow.samples).mean() < 0.5


def all_clips(labels, scores):
    if len(np.unique(scores)) < 4:
        raise ValueError("undefined")
    return 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y, g: metrics.bootstrap(metrics.roc_auc, x, y, groups=g[:3]), r"shape \(4,\), got \(3,\)"),
        (lambda x, y, g: metrics.bootstrap(metrics.roc_auc, x, y, groups=[1] * 4), "of one group"),
        (lambda x, y, g: metrics.bootstrap(metrics.roc_auc, x, y[:2], groups=g), r"\[4, 2\]"),
        (lambda x, y, g: metrics.bootstrap(metrics.roc_auc, x[:0], y[:0], groups=[]), r"\[0, 0\]"),
        (lambda x, y, g: metrics.bootstrap(metrics.roc_auc, groups=g), "number of rows"),
        (lambda x, y, g: metrics.bootstrap(metrics.roc_auc, 3, groups=g), "number of rows"),
        (lambda x, y, g: metrics.bootstrap(metrics.roc_auc, x, y, groups=g, confidence=95), "per cent"),
        (lambda x, y, g: metrics.bootstrap(metrics.roc_auc, x, y, groups=g, num_resamples=1), "at least 2, got 1"),
        (lambda x, y, g: metrics.bootstrap(metrics.roc_auc, x, y * np.nan, groups=g), "must be finite"),
        (lambda x, y, g: metrics.bootstrap(metrics.roc_auc, x + 1, y, groups=g), "0 or 1"),
        (lambda x, y, g: metrics.bootstrap(lambda a, b: np.zeros(2), x, y, groups=g), "one finite number"),
        (lambda x, y, g: metrics.bootstrap(lambda a, b: np.nan, x, y, groups=g), "one finite number"),
        (
            lambda x, y, g: metrics.bootstrap(all_clips, x, y, groups=np.arange(4)),
            r"undefined in \d+ of 1000 resamples",
        ),
        (lambda x, y, g: metrics.compare(metrics.roc_auc, x, y, y[:, :0], groups=g), "same shape"),
    ],
)
def test_bad_input_is_refused(call, message):
    labels, scores = np.array([[1], [0], [1], [0]]), np.array([[0.9], [0.2], [0.3], [0.4]])
    with pytest.raises(ValueError, match=message):
        call(labels, scores, np.array([0, 0, 1, 1]))
