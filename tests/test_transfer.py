"""Pretexts, regression, and new heads: what transfer learning is made of."""

import copy

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.metrics import adjusted_rand_score, r2_score
from tones import Tones, small

from mclass import augmentations, datasets, models, training
from mclass.datasets.unlabelled.listeners import simulate_plays
from mclass.datasets.unlabelled.pretexts import (
    Relabelled,
    by_artist,
    by_artist_cluster,
    by_listeners,
    split_tracks,
)
from mclass.errors import DatasetError, ModelError


def collection(clips=48, per_track=2, per_artist=8):
    tones = Tones(clips)
    tones.track_ids, tones.artist_ids = np.arange(clips) // per_track, np.arange(clips) // per_artist
    return tones


def test_other_labels_same_sound():
    tones = collection()
    other = Relabelled(tones, np.arange(96).reshape(48, 2) % 2, ["even", "odd"])
    assert torch.equal(other.waveform(5), tones.waveform(5))
    part = other.subset([3, 7])
    assert part.tags == ["even", "odd"]
    assert part.labels.tolist() == [[0, 1], [0, 1]]
    for labels, tags, message in (
        (np.zeros((48, 2)), ["a"], r"\(48, 1\), got \(48, 2\)"),
        (np.full((48, 1), np.nan), ["a"], "finite"),
    ):
        with pytest.raises(DatasetError, match=message):
            Relabelled(tones, labels, tags)


def test_artists_are_classes():
    artists = by_artist(collection())
    assert not artists.multilabel
    assert (artists.labels.argmax(1) == collection().artist_ids).all()
    train, valid = split_tracks(artists, 0.25, seed=0)
    assert not set(train.track_ids) & set(valid.track_ids)
    assert set(valid.artist_ids) <= set(train.artist_ids)
    assert len(valid) == 12
    with pytest.raises(DatasetError, match="at least two"):
        by_artist(collection(8))
    with pytest.raises(DatasetError, match="all tracks of 1 artists"):
        split_tracks(by_artist(collection(16)).subset(np.arange(10)), 0.3, seed=3)
    with pytest.raises(ValueError, match="valid is a share"):
        split_tracks(artists, 15)


def test_groups_of_artists_are_found():
    tones = collection()
    group = tones.artist_ids % 3
    features = np.random.default_rng(0).standard_normal((48, 4)) + 8 * np.eye(4)[group]
    found = by_artist_cluster(tones, features, num_clusters=3)
    assert adjusted_rand_score(group, found.labels.argmax(1)) == 1
    for wrong, clusters, message in ((features[:5], 3, "48 clips"), (features, 7, "number of artists, 6, got 7")):
        with pytest.raises(DatasetError, match=message):
            by_artist_cluster(tones, wrong, clusters)


def test_listeners_play_what_they_like():
    tones = collection(48, 1, 8)
    plays = simulate_plays(tones, 400, 60, loyalty=0.0, seed=1)
    assert plays.shape == (400, 48)
    assert plays.sum() / 400 == pytest.approx(60, rel=0.1)
    assert (plays.toarray() == simulate_plays(tones, 400, 60, loyalty=0.0, seed=1).toarray()).all()
    # Tracks that share their tags are played by the same people, beyond what popularity explains.
    counts = plays.toarray()
    shares = (counts + 0.1) / (counts + 0.1).sum(0)
    correlation = np.corrcoef(shares.T)
    tags = tones.labels
    alike = (tags[:, None] == tags[None]).all(-1) & ~np.eye(48, dtype=bool)
    unlike = (tags @ tags.T) == 0
    assert correlation[alike].mean() > correlation[unlike].mean() + 0.3


def test_loyal_listeners_play_their_artists():
    tones = collection(96, 2, 8)
    same = tones.artist_ids[::2][:, None] == tones.artist_ids[::2][None]
    together = []
    for loyalty in (0.0, 4.0):
        counts = simulate_plays(tones, 400, 60, loyalty, seed=1).toarray()
        correlation = np.corrcoef(((counts + 0.1) / (counts + 0.1).sum(0)).T)
        together.append(correlation[same & ~np.eye(48, dtype=bool)].mean())
    assert together[1] > together[0] + 0.2


@pytest.mark.parametrize("options", [{"num_listeners": 0}, {"plays_per_listener": 1.5}, {"loyalty": -1}])
def test_listeners_refuse(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        simulate_plays(collection(), **options)


def test_factors_tell_audiences_apart():
    tones = collection()
    audience = np.arange(24) % 3
    rate = np.where(np.arange(90)[:, None] % 3 == audience, 6.0, 0.3)
    plays = scipy.sparse.csr_array(np.random.default_rng(0).poisson(rate))
    factors = by_listeners(tones, plays, dim=3)
    assert factors.labels.dtype == np.float32
    assert np.abs(factors.labels.mean(0)).max() < 1e-5
    np.testing.assert_array_equal(factors.labels[::2], factors.labels[1::2])  # clips of a track
    assert adjusted_rand_score(audience, factors.labels[::2].argmax(1)) == 1
    with pytest.raises(DatasetError, match="each of the 24 tracks, got 23"):
        by_listeners(tones, plays[:, 1:])
    plays = plays.toarray()
    plays[:, 4] = 0
    with pytest.raises(DatasetError, match="never played, first 4"):
        by_listeners(tones, scipy.sparse.csr_array(plays))


def level(tones):
    """Something that can be heard: how loud, and whether the high sine is there."""
    loudness = [20 * np.log10(wave.std().item()) for wave in tones.audio]
    numbers = np.stack([np.array(loudness) + 20, tones.labels[:, 1]], axis=1)
    return Relabelled(tones, numbers.astype(np.float32), ["level", "high"])


def test_numbers_are_learned(tmp_path):
    train, valid = level(Tones(36)), level(Tones(12, seed=1))
    task = training.Regression(small(num_tags=2), learning_rate=0.02, schedule="constant")
    run = training.fit(task, train, valid, epochs=12, batch_size=6, folder=tmp_path, progress=False)
    best = run.history.iloc[run.best_epoch]
    assert best.valid_r2 == run.history.valid_r2.max() > 0.5
    chunks = datasets.Chunks(valid, 4000)
    with torch.no_grad():
        outputs = torch.stack([task.model(chunks[i][0]).mean(0) for i in range(len(valid))]).numpy()
    assert r2_score(valid.labels, outputs) == pytest.approx(best.valid_r2, rel=1e-4)
    assert np.square(outputs - valid.labels).mean() == pytest.approx(best.valid_loss, rel=1e-4)


def test_a_number_that_hardly_varies_has_no_variance_to_explain():
    """Of a few validation tracks a factor can be the same but for rounding: R² was -1e13 there."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randn(7, 3, generator=generator)
    labels[:, 1] = 0.05 + 1e-5 * labels[:, 1]
    outputs = torch.randn(7, 3, generator=generator)
    task = training.Regression(small())
    task.spread = torch.ones(3)
    found = task.evaluate(outputs, labels)
    error = (outputs - labels)[:, [0, 2]].square().mean(0)
    assert found["valid_r2"] == pytest.approx((1 - error / labels[:, [0, 2]].var(0, correction=0)).mean().item())
    assert found["valid_loss"] == pytest.approx((outputs - labels).square().mean().item())


def test_regression_refuses():
    for options in ({"multilabel": True}, {"augment": augmentations.Mixup()}):
        with pytest.raises(TypeError, match="Regression"):
            training.Regression(small(), **options)
    with pytest.raises(ModelError, match="3 outputs and 'tones' 2 numbers"):
        training.fit(training.Regression(small()), level(Tones()), level(Tones()), epochs=1, progress=False)
    same = Relabelled(Tones(), np.ones((24, 3)), list("abc"))
    with pytest.raises(DatasetError, match="all alike"):
        training.fit(training.Regression(small()), same, same, epochs=1, progress=False)


@pytest.mark.parametrize("name", ["cnn_1d", "short_chunk_cnn", "homework_fcn", "cnn_embedding"])
def test_a_new_head_on_old_layers(name):
    model = models.freeze(models.create(name, num_tags=7))
    before = copy.deepcopy(model.state_dict())
    other = models.with_new_head(model, num_tags=3)
    assert other.num_tags == 3
    assert other.tags is None
    assert all(p.requires_grad for p in other.parameters())
    for key, value in other.state_dict().items():
        if not key.startswith("head."):
            assert torch.equal(value, before[key]), key
    waveform = torch.randn(2, other.num_samples)
    assert other.eval()(waveform).shape == (2, 3)
    torch.testing.assert_close(other.embed(waveform), model.eval().embed(waveform))
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_only_known_models_get_a_new_head():
    with pytest.raises(ModelError, match="Small was not made by"):
        models.with_new_head(small(), 3)


def test_frozen_layers_stay_in_fine_tuning_and_first_layers_move_least():
    def moved(until, decay):
        torch.manual_seed(0)
        model = models.create("cnn_1d", num_tags=3, channels=8)
        model.num_samples = 4000
        models.freeze(model, until)
        before = copy.deepcopy(model.state_dict())
        task = training.Tagging(model, learning_rate=0.01, layer_decay=decay, optimizer="sgd", schedule="constant")
        training.fit(task, Tones(), Tones(9, seed=1), epochs=1, progress=False)
        return {key: (value.detach() - before[key]).norm().item() for key, value in model.named_parameters()}

    frozen = moved("everything but head", 1.0)
    assert all((change > 0) == key.startswith("head.") for key, change in frozen.items())
    even, uneven = moved("nothing", 1.0), moved("nothing", 0.1)
    moving = [key for key in even if even[key] > 0]
    first, last = moving[0], moving[-1]
    assert uneven[first] < 0.2 * even[first]
    assert uneven[last] == pytest.approx(even[last], rel=0.5)
