"""The experiment of the augmentation chapter: what it compares; its stored tables follow from its runs."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import signal
from tones import Tones

from experiments import augmentation, runs
from mclass import datasets, metrics


@pytest.fixture
def etude():
    return datasets.load("etude", num_tracks=24, clips_per_track=2, clip_seconds=4)


def test_differences_are_between_runs_of_one_seed():
    table = pd.DataFrame(
        [
            *[
                ("few", "none", 1, 0.5),
                ("few", "chain", 0, 0.9),
                ("few", "none", 0, 0.7),
                ("few", "chain", 1, 0.4),
            ],
            *[("few", "none", 2, 0.6), ("few", "chain", 2, np.nan)],  # undefined in one of them: left out of both
        ],
        columns=["size", "condition", "seed", "roc_auc"],
    )
    ((size, condition, values),) = augmentation.differences(table, "roc_auc")
    assert (size, condition) == ("few", "chain")
    np.testing.assert_allclose(values, [0.2, -0.1])


def test_few_artists_are_whole_artists_and_follow_the_seed(etude):
    part = augmentation.few_artists(etude, 3, seed=0)
    chosen = np.unique(part.artist_ids)
    assert len(chosen) == 3
    assert len(part) == np.isin(etude.artist_ids, chosen).sum()
    others = {tuple(np.unique(augmentation.few_artists(etude, 3, seed).artist_ids)) for seed in range(9)}
    assert len(others) > 3
    assert len(augmentation.few_artists(etude, None, seed=0)) == len(etude)


def test_sizes_make_about_as_many_steps(etude):
    for clips in (10, 30, 48):
        view = augmentation.visited(etude.subset(np.arange(clips)), 100)
        assert 80 <= len(view) <= 125
        assert set(view.indices) == set(range(clips))
    assert len(augmentation.visited(etude, 10)) == len(etude)


def test_degraded_music_is_thin_and_noisy():
    music = torch.randn(1, 160_000, generator=torch.Generator().manual_seed(1))
    heard = augmentation.degrade(music, 16_000)
    thin = torch.from_numpy(signal.sosfilt(signal.butter(2, 500, "high", fs=16_000, output="sos"), music)).float()
    noise = heard - thin
    assert 10 * torch.log10(thin.square().sum() / noise.square().sum()) == pytest.approx(10, abs=0.01)
    tones = Tones(4)
    degraded = augmentation.Degraded(tones)
    whole = augmentation.degrade(tones.waveform(2)[None], 16_000)[0]
    assert torch.equal(degraded.waveform(2, 100, 50), whole[100:150])
    assert torch.equal(degraded.waveform(2), whole)


def test_a_run_repeats_and_differs_from_the_others(monkeypatch):
    monkeypatch.setattr(augmentation, "CROPS", 32)
    small = datasets.load("etude", num_tracks=24, clips_per_track=2, clip_seconds=4)
    monkeypatch.setattr(augmentation.mclass.datasets, "load", lambda name, num_tracks: small)
    names = ("none", "gain + polarity", "chain", "SpecAugment", "mixup", "chain")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", metrics.UndefinedTagsWarning)
        rows = [augmentation.run("few", name, 1, epochs=1, num_tracks=None)[0][0] for name in names]
    losses = [row["train_loss"] for row in rows]
    assert losses[5] == losses[2]
    assert rows[5]["roc_auc"] == rows[2]["roc_auc"]
    assert len(set(losses[:5])) == 5


def test_stored_runs_are_paired():
    found = pd.read_csv(runs.RESULTS / "augmentation.csv")
    seeds = {size: set(part["seed"]) for size, part in found.groupby("size")}
    for (size, _), part in found.groupby(["size", "condition"]):
        assert len(part) >= 5
        assert set(part["seed"]) == seeds[size]
