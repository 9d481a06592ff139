"""From chunks to songs: what a model says about a song, from what it says about the song's chunks or clips.

Taught in: 03_evaluation, 04_supervised.
"""

from __future__ import annotations

import numpy as np

from mclass.errors import unknown_name
from mclass.metrics.checks import as_array, check_finite, check_groups

AGGREGATES = {
    "mean": lambda taggram: taggram.mean(axis=0),
    "max": lambda taggram: taggram.max(axis=0),
    "majority": lambda taggram: (taggram > 0.5).mean(axis=0, dtype=taggram.dtype),
}


def aggregate(taggram: np.ndarray, how: str = "mean") -> np.ndarray:
    """One score per tag from the probabilities of all chunks.

    Parameters
    ----------
    taggram : np.ndarray, shape (chunks, num_tags)
    how : {"mean", "max", "majority"}
        The mean of the probabilities, the usual choice; their maximum, for tags that hold now and then; or the
        majority vote: the share of chunks in which the tag is more probable than not (above 0.5).

    Returns
    -------
    np.ndarray, shape (num_tags,)

    Examples
    --------
    >>> chunks = np.array([[0.9, 0.2], [0.6, 0.4], [0.3, 0.9]])
    >>> [aggregate(chunks, how).round(2).tolist() for how in ("mean", "max", "majority")]
    [[0.6, 0.5], [0.9, 0.9], [0.67, 0.33]]
    """
    if how not in AGGREGATES:
        raise ValueError(unknown_name("aggregate", how, AGGREGATES))
    return AGGREGATES[how](taggram)


def song_scores(chunk_scores: np.ndarray, owners: np.ndarray, how: str = "mean") -> np.ndarray:
    """Sum up the scores of the chunks of each song.

    Parameters
    ----------
    chunk_scores : array, shape (num_chunks, num_tags)
        Probabilities, as `mclass.inference.predict_chunks` returns them.
    owners : array, shape (num_chunks,)
        The song (or clip, or track) of each chunk, in any order.
    how : {"mean", "max", "majority"}
        As `aggregate` does for one recording.

    Returns
    -------
    np.ndarray, shape (num_songs, num_tags)
        One row for each song, in the order of ``np.unique(owners)``.

    Raises
    ------
    ValueError
        If shapes do not fit together, there are no chunks, scores are not finite, `how` is unknown, or scores of a
        majority vote are no probabilities.

    Examples
    --------
    >>> song_scores([[0.9], [0.2], [0.4]], ["a", "b", "a"]).ravel().tolist()
    [0.65, 0.2]
    """
    chunk_scores = as_array(chunk_scores, "chunk_scores")
    if chunk_scores.ndim != 2 or chunk_scores.size == 0:
        raise ValueError(
            f"chunk_scores must have shape (num_chunks, num_tags) and not be empty, got {chunk_scores.shape}"
        )
    check_finite(chunk_scores, "chunk_scores", "Did training diverge?")
    chunk_scores = chunk_scores if chunk_scores.dtype.kind == "f" else chunk_scores.astype(float)
    if how == "majority" and (chunk_scores.min() < 0 or chunk_scores.max() > 1):
        raise ValueError(
            f"a majority vote needs probabilities, and scores go from {chunk_scores.min():.3g} to "
            f"{chunk_scores.max():.3g}. (Are they logits?)"
        )
    owners = check_groups(owners, len(chunk_scores), "owners")
    order = np.argsort(owners, kind="stable")
    songs = np.split(chunk_scores[order], np.flatnonzero(np.diff(owners[order])) + 1)
    return np.stack([aggregate(song, how) for song in songs])
