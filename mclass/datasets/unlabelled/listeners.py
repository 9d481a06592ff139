"""Listeners with tastes, simulated: who plays which track how often.

Services know what their listeners play, and that says much about the music: who likes one piece for harpsichord
likes another. No such data can be shipped with a course, so it is simulated on data sets whose tags are known.

Taught in: 06_semi_supervised.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse

from mclass.datasets.base import MusicDataset
from mclass.errors import DatasetError


def simulate_plays(
    dataset: MusicDataset,
    num_listeners: int = 1000,
    plays_per_listener: int = 50,
    loyalty: float = 1.0,
    seed: int = 0,
) -> scipy.sparse.csr_array:
    """Simulate how often each listener played each track.

    A listener likes one to four tags and dislikes one, is loyal to two artists, and, like everybody, hears popular
    tracks more often: a track's popularity is log-normal. Plays are drawn from a softmax of all that.

    Parameters
    ----------
    dataset : MusicDataset
        Tracks are known by their `oracle` where the data set has one, else by their labels.
    num_listeners : int
    plays_per_listener : int
        On average; a few listen to much, most to little.
    loyalty : float
        How much a favourite artist counts beside tags; 0: only the music does.
    seed : int

    Returns
    -------
    scipy.sparse.csr_array, shape (num_listeners, tracks), int64
        Tracks in the order of ``np.unique(dataset.track_ids)``.

    Raises
    ------
    ValueError
        If a number is not positive.
    DatasetError
        If the data set has fewer than two tracks.

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> plays = simulate_plays(etude, num_listeners=100)
    >>> plays.shape, bool(40 < plays.sum() / 100 < 60)
    ((100, 12), True)
    """
    for name, value in (("num_listeners", num_listeners), ("plays_per_listener", plays_per_listener)):
        if value < 1 or value != int(value):
            raise ValueError(f"{name} must be a whole number of at least 1, got {value}")
    if not 0 <= loyalty < np.inf:
        raise ValueError(f"loyalty must not be negative, got {loyalty}")
    tracks, first, which = np.unique(dataset.track_ids, return_index=True, return_inverse=True)
    if len(tracks) < 2:
        raise DatasetError(f"{dataset.name!r} has {len(tracks)} tracks; a taste needs a choice")
    rng = np.random.default_rng(seed)
    tags = _known_tags(dataset).astype(float)
    profile = np.zeros((len(tracks), tags.shape[1]))
    np.add.at(profile, which, tags)
    profile /= np.bincount(which)[:, None]  # share of the track's clips with the tag
    artists = np.unique(dataset.artist_ids[first], return_inverse=True)[1]

    popularity = rng.normal(0, 0.7, len(tracks))
    frequency = profile.mean(0)
    tagged = np.flatnonzero(frequency > 0)
    chance = np.sqrt(frequency[tagged]) / np.sqrt(frequency[tagged]).sum()
    activity = rng.gamma(2.0, plays_per_listener / 2, num_listeners)
    rows = []
    for listener in range(num_listeners):
        chosen = rng.choice(tagged, min(2 + rng.integers(4), len(tagged)), replace=False, p=chance)
        appeal = popularity + 2.0 * profile[:, chosen[1:]].sum(1) - 2.0 * profile[:, chosen[0]]
        appeal += loyalty * np.isin(artists, rng.integers(artists.max() + 1, size=2))
        share = np.exp(appeal - appeal.max())
        rows.append(rng.multinomial(max(1, round(activity[listener])), share / share.sum()))
    return scipy.sparse.csr_array(np.stack(rows))


def _known_tags(dataset: MusicDataset) -> np.ndarray:
    if hasattr(dataset, "oracle"):
        return dataset.oracle
    if hasattr(dataset, "parent") and hasattr(dataset, "indices"):
        return _known_tags(dataset.parent)[dataset.indices]
    return dataset.labels
