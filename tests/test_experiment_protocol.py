"""The protocol of the experiments: scores, resamples, differences and verdicts mean what they say."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments import (
    data_curve,
    few_labels,
    leaks,
    pretexts,
    protocol,
    retrieval,
    runs,
    self_supervised,
    training_recipes,
    transforms,
)
from mclass import datasets, metrics
from mclass.datasets.etude.composer import TRACKS_PER_ARTIST

SUMMARIES = [
    ("data_curve", "data_curve_summary", data_curve.summary),
    ("few_labels", "few_labels_gains", few_labels.gains),
    ("self_supervised", "self_supervised_gains", self_supervised.gains),
    ("retrieval", "retrieval_gains", retrieval.gains),
    ("transforms", "transforms_gains", transforms.gains),
    ("transforms_by_tag", "transforms_tags", transforms.by_tag),
    ("training_recipes", "training_recipes_gains", training_recipes.gains),
    ("pretexts", "pretexts_gains", pretexts.gains),
    ("leaks", "leaks_summary", leaks.summary),
]


@pytest.fixture(scope="module")
def clips():
    return datasets.load("etude", num_tracks=24, clips_per_track=3, clip_seconds=4, version=protocol.VERSION)


def test_resamples_draw_artists_with_all_their_clips(clips):
    rng = np.random.default_rng(0)
    guesses = rng.random(clips.labels.shape) + 0.5 * clips.oracle
    values = np.array(protocol.replicates(guesses, clips)["roc_auc_resamples"].split(), float)
    artists = clips.track_ids // TRACKS_PER_ARTIST
    names = np.unique(artists)
    drawn = np.random.default_rng(0).integers(len(names), size=(protocol.RESAMPLES, len(names)))
    assert len(values) == protocol.RESAMPLES
    for number in (0, 17, 99):
        rows = np.concatenate([np.flatnonzero(artists == names[i]) for i in drawn[number]])
        with pytest.warns(metrics.UndefinedTagsWarning):
            expected = metrics.roc_auc(clips.oracle[rows], guesses[rows])
        assert values[number] == pytest.approx(expected, abs=1e-4)


def test_neighbours_are_those_of_the_package_s_recall():
    rng = np.random.default_rng(0)
    embeddings, labels = rng.normal(size=(40, 6)), rng.random((40, 5)) < 0.3
    labels[3] = False
    for k in (1, 4):
        found = protocol.neighbours(embeddings, labels, k)
        assert np.isnan(found[3])
        with pytest.warns(metrics.UndefinedQueriesWarning):
            expected = metrics.multilabel_recall_at_k(embeddings, labels, (k,))[k]
        assert np.nanmean(found) == pytest.approx(expected)


def test_recall_among_the_test_tracks_takes_one_clip_of_each(clips):
    embeddings = np.random.default_rng(0).normal(size=(len(clips), 8))
    found = protocol.retrieval_scores(embeddings, clips)
    expected = metrics.recall_among_tracks(embeddings, clips.oracle, clips.track_ids, (1, 8))
    assert found["recall@1"] == pytest.approx(expected[1], abs=1e-9)
    assert found["recall@8"] == pytest.approx(expected[8], abs=1e-9)
    resamples = np.array(found["recall@1_resamples"].split(), float)
    assert abs(resamples.mean() - expected[1]) < 3 * resamples.std() / np.sqrt(len(resamples)) + 0.02


def two_ways(gain, noise, resample_noise, seeds=4):
    rng, rows = np.random.default_rng(0), []
    for seed in range(seeds):
        base = rng.normal(0.7, 0.05)
        for way in ("a", "b"):
            value = base + gain * (way == "a") + rng.normal(0, noise)
            resampled = value + rng.normal(0, resample_noise, protocol.RESAMPLES)
            text = " ".join(map(str, resampled))
            rows.append({"way": way, "seed": seed, "roc_auc": value, "roc_auc_resamples": text})
    return pd.DataFrame(rows)


def test_a_difference_is_paired_by_seed():
    table = two_ways(0.02, 0.003, 0.0)
    mean, low, high, seeds = protocol.difference(table, "way", "a", "b")
    wide = table.pivot(index="seed", columns="way", values="roc_auc")
    expected = stats.ttest_rel(wide["a"], wide["b"]).confidence_interval(0.95)
    # resamples that equal the score add nothing but its own spread over seeds, which is a constant in each
    assert (mean, seeds) == (pytest.approx((wide["a"] - wide["b"]).mean()), 4)
    assert (low, high) == (pytest.approx(expected.low, abs=1e-4), pytest.approx(expected.high, abs=1e-4))


def test_a_difference_holds_the_spread_over_test_artists_too():
    narrow = protocol.difference(two_ways(0.02, 0.003, 0.0), "way", "a", "b")
    wide = protocol.difference(two_ways(0.02, 0.003, 0.03), "way", "a", "b")
    artists = 1.96 * np.sqrt(2) * 0.03 / np.sqrt(4)  # of a mean over four seeds, each with its own noise
    half = (narrow[2] - narrow[1]) / 2
    assert (wide[2] - wide[1]) / 2 == pytest.approx(np.hypot(half, artists), rel=0.2)


def test_a_single_seed_has_no_interval():
    mean, low, high, seeds = protocol.difference(two_ways(0.02, 0.0, 0.01, seeds=1), "way", "a", "b")
    assert seeds == 1
    assert mean == pytest.approx(0.02)
    assert np.isnan([low, high]).all()
    assert protocol.verdict(low, high, 0.01) == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "published", "expected"),
    [
        (0.004, 0.03, "better", "reproduced"),
        (-0.03, -0.004, "better", "refuted"),
        (-0.009, 0.009, "better", "too small to matter"),
        (0.001, 0.009, "better", "too small to matter"),
        (-0.02, 0.009, "better", "undecided"),
        (-0.05, 0.009, "no gain", "reproduced"),
        (0.004, 0.03, "no gain", "refuted"),
        (-0.01, 0.03, "no gain", "undecided"),
    ],
)
def test_verdicts(low, high, published, expected):
    assert protocol.verdict(low, high, 0.01, published) == expected


def test_collections_and_budgets_nest(monkeypatch):
    def small(num_tracks, first_track=0):
        return datasets.load(
            "etude", num_tracks=num_tracks, first_track=first_track, clips_per_track=3, clip_seconds=4,
            version=protocol.VERSION,
        )  # fmt: skip

    monkeypatch.setattr(protocol, "etude", small)
    monkeypatch.setattr(protocol, "SIZES", (8, 24))
    monkeypatch.setattr(protocol, "LABELLED", 24)
    few, many = (protocol.collection(count) for count in (8, 24))
    assert few.indices.tolist() == many.indices[: len(few)].tolist()
    assert len(few) == 24
    budgets = [set(protocol.labelled(share, seed=1).indices.tolist()) for share in (0.1, 0.5, 1.0)]
    assert budgets[0] < budgets[1] < budgets[2]
    tracks = [many.parent.track_ids[sorted(budget)] for budget in budgets]
    assert all((np.unique(ids, return_counts=True)[1] == 3).all() for ids in tracks)


@pytest.mark.parametrize(("source", "stored", "summarise"), SUMMARIES, ids=[stored for _, stored, _ in SUMMARIES])
def test_stored_tables_follow_from_the_stored_runs(source, stored, summarise, tmp_path):
    if not (runs.RESULTS / f"{stored}.csv").exists():
        pytest.skip(f"{stored}.csv has not been measured: run the experiment's command")
    table = pd.read_csv(runs.RESULTS / f"{source}.csv")
    assert table["made_with"].str.contains(r"commit [0-9a-f]{10}").all()
    runs.write(summarise(table).round(5), tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == (runs.RESULTS / f"{stored}.csv").read_text()


CHOICES = [
    (
        "data_curve_choice",
        ["learner"],
        "learning_rate",
        "valid_roc_auc",
        lambda key: data_curve.LEARNING_RATES[key],
    ),
    ("few_labels_choice", ["way"], "weight", "valid_roc_auc", lambda key: few_labels.WEIGHTS[key]),
    (
        "self_supervised_choice",
        ["method"],
        "learning_rate",
        "valid_roc_auc",
        lambda key: self_supervised.LEARNING_RATES[key],
    ),
    (
        "retrieval_choice",
        ["encoder", "kind"],
        "learning_rate",
        "valid",
        lambda encoder, kind: retrieval.LEARNING_RATES[encoder][kind],
    ),
    (
        "training_recipes_choice",
        ["optimizer"],
        "learning_rate",
        "valid_roc_auc",
        lambda key: training_recipes.BEST[key],
    ),
]


@pytest.mark.parametrize(("name", "keys", "value", "score", "chosen"), CHOICES, ids=[name for name, *_ in CHOICES])
def test_choices_are_the_best_of_what_was_tried_on_the_validation_set(name, keys, value, score, chosen):
    path = runs.RESULTS / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"{name}.csv has not been measured: run the experiment with --choose")
    table = pd.read_csv(path)
    for _, row in table.loc[table.groupby(keys)[score].idxmax()].iterrows():
        assert chosen(*row[keys]) == row[value], row[keys].tolist()
