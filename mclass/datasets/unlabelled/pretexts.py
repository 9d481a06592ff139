"""Other things to learn from the same clips: who made them, who is like whom, who listens to them.

A *pretext* is a task whose labels cost nothing. What a network learns from it is then used for the task one cares
about. `relabelled` gives clips other labels; the rest makes such labels.

Taught in: 06_semi_supervised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF

from mclass.datasets.base import MusicDataset, Subset
from mclass.errors import DatasetError


class Relabelled(Subset):
    """The same clips with other labels: multi-hot ones, or numbers to be predicted.

    Parameters
    ----------
    parent : MusicDataset
    labels : np.ndarray, shape (n, num_tags)
    tags : sequence of str
        Names of the columns.
    multilabel : bool

    Raises
    ------
    DatasetError
        If there is not a row of finite numbers for each clip, and a name for each column.

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> Relabelled(etude, np.ones((24, 1), np.uint8), ["music"])
    Relabelled('etude': 24 clips, 12 tracks, 3 artists, 1 tags, 16000 Hz)
    """

    def __init__(self, parent: MusicDataset, labels: np.ndarray, tags: Sequence[str], multilabel: bool = True):
        super().__init__(parent, np.arange(len(parent)))
        labels = np.asarray(labels)
        if labels.shape != (len(parent), len(tags)):
            raise DatasetError(
                f"labels must have shape (clips, tags), ({len(parent)}, {len(tags)}), got {labels.shape}"
            )
        if not np.isfinite(labels).all():
            raise DatasetError("labels must be finite; leave out clips without one: dataset.subset(...)")
        self.labels, self.tags, self.multilabel = labels, list(tags), multilabel
        self.known = None  # that was of the labels before


def by_artist(dataset: MusicDataset) -> Relabelled:
    """Who made it? One class per artist.

    Park et al. 2018, *Representation learning of music using artist labels*.

    Raises
    ------
    DatasetError
        If there is one artist only.

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> by_artist(etude).tags
    ['artist 0', 'artist 1', 'artist 2']
    """
    names, who = np.unique(dataset.artist_ids, return_inverse=True)
    if len(names) < 2:
        raise DatasetError(f"telling artists apart needs at least two, {dataset.name!r} has {len(names)}")
    labels = np.eye(len(names), dtype=np.uint8)[who]
    return Relabelled(dataset, labels, [f"artist {name}" for name in names], multilabel=False)


def by_artist_cluster(
    dataset: MusicDataset, features: np.ndarray, num_clusters: int = 10, seed: int = 0
) -> Relabelled:
    """Which group of similar artists made it? Fewer classes, and new artists fit in.

    Artists are clustered by the mean of their clips' features, a simple form of the artist group factors of Kim et
    al. 2018, *Transfer learning of artist group factors to musical genre classification*.

    Parameters
    ----------
    dataset : MusicDataset
    features : np.ndarray, shape (n, dim)
        Of each clip: mean MFCCs, say.
    num_clusters : int
        From 2 to the number of artists.
    seed : int

    Raises
    ------
    DatasetError
        If features and clips do not fit, or there are fewer artists than clusters.

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> by_artist_cluster(etude, np.random.default_rng(0).random((24, 5)), num_clusters=2).tags
    ['group 0', 'group 1']
    """
    features = np.asarray(features, float)
    if features.ndim != 2 or len(features) != len(dataset) or not np.isfinite(features).all():
        raise DatasetError(
            f"features must be finite and of shape (clips, dim) with {len(dataset)} clips, got {features.shape}"
        )
    names, who = np.unique(dataset.artist_ids, return_inverse=True)
    if not 2 <= num_clusters <= len(names):
        raise DatasetError(
            f"num_clusters must be from 2 to the number of artists, {len(names)}, got {num_clusters}"
        )
    scaled = (features - features.mean(0)) / np.maximum(features.std(0), 1e-12)
    means = np.stack([scaled[who == artist].mean(0) for artist in range(len(names))])
    cluster = KMeans(num_clusters, n_init=10, random_state=seed).fit_predict(means)
    labels = np.eye(num_clusters, dtype=np.uint8)[cluster[who]]
    return Relabelled(dataset, labels, [f"group {i}" for i in range(num_clusters)], multilabel=False)


def by_listeners(dataset: MusicDataset, plays: scipy.sparse.csr_array, dim: int = 16, seed: int = 0) -> Relabelled:
    """What do its listeners have in common? Numbers from collaborative filtering, to be predicted from the sound.

    The matrix of plays is factorised, ``plays ≈ listeners · tracks``, with non-negative factors under a Poisson
    model (scikit-learn's `NMF` with the Kullback-Leibler divergence). A clip gets the logarithm of the share of
    its track's plays that each factor explains, scaled. Van den Oord et al. 2013, *Deep content-based music
    recommendation*, were the first to predict such factors from sound.

    Parameters
    ----------
    dataset : MusicDataset
    plays : scipy.sparse array, shape (listeners, tracks)
        How often; tracks in the order of ``np.unique(dataset.track_ids)`` (see `simulate_plays`).
    dim : int
        Number of factors.
    seed : int

    Raises
    ------
    DatasetError
        If the matrix has not a column for each track, or a track that nobody played.

    Examples
    --------
    >>> from mclass import datasets
    >>> from mclass.datasets.unlabelled.listeners import simulate_plays
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> by_listeners(etude, simulate_plays(etude, 50), dim=3).labels.shape
    (24, 3)
    """
    names, which = np.unique(dataset.track_ids, return_inverse=True)
    if plays.shape[1] != len(names):
        raise DatasetError(f"plays must have a column for each of the {len(names)} tracks, got {plays.shape[1]}")
    heard = np.asarray(plays.sum(0)).ravel()
    if (heard == 0).any():
        raise DatasetError(
            f"{(heard == 0).sum()} of {len(names)} tracks were never played, first {names[heard == 0][0]}: nobody "
            "knows who would like them. Leave them out, or simulate more plays"
        )
    model = NMF(dim, beta_loss="kullback-leibler", solver="mu", init="nndsvda", max_iter=300, random_state=seed)
    model.fit(plays)
    shares = (
        model.components_ * model.transform(plays).sum(0)[:, None]
    )  # plays of a track that each factor explains
    factors = np.log(shares.T / shares.sum(0)[:, None] + 1e-3)
    factors = (factors - factors.mean(0)) / np.maximum(factors.std(0), 1e-12)
    return Relabelled(dataset, factors[which].astype(np.float32), [f"factor {i}" for i in range(dim)])


def split_tracks(dataset: MusicDataset, valid: float = 0.15, seed: int = 0) -> tuple[Subset, Subset]:
    """Training and validation parts for a pretext: other tracks, but the same artists.

    Raises
    ------
    DatasetError
        If an artist's tracks are all in validation, so that it could not be learned.

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> train, valid = split_tracks(by_artist(etude))
    >>> len(train), len(valid), set(train.track_ids) & set(valid.track_ids)
    (20, 4, set())
    """
    if not 0 < valid < 1:
        raise ValueError(f"valid is a share of the tracks, between 0 and 1, got {valid}")
    names = np.unique(dataset.track_ids)
    count = min(max(round(valid * len(names)), 1), len(names) - 1)
    drawn = np.random.default_rng(seed).permutation(names)[:count]
    held_out = np.isin(dataset.track_ids, drawn)
    lost = np.setdiff1d(dataset.artist_ids[held_out], dataset.artist_ids[~held_out])
    if len(lost):
        raise DatasetError(
            f"all tracks of {len(lost)} artists, first {lost[0]}, are in validation; try another seed, a smaller "
            "share, or leave out artists with a single track"
        )
    return dataset.subset(~held_out), dataset.subset(held_out)
