"""What a model says about one recording.

How that looks is nothing that inference imports: pictures and pages are made by what the package shows under
``mclass.plot`` and ``mclass.report`` when they are asked for.

Taught in: 04_supervised.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import mclass
from mclass._deprecated import former_names

__getattr__ = former_names(__name__)


@dataclass
class TagResult:
    """What a model hears in one recording.

    Attributes
    ----------
    tags : list of str
    scores : np.ndarray, shape (num_tags,)
        For the whole recording: by default the mean of the taggram (see `aggregate`).
    taggram : np.ndarray, shape (chunks, num_tags)
        Probabilities for each chunk.
    hop_seconds : float
        Distance between the starts of two chunks.
    chunk_seconds : float
        Length of a chunk; `hop_seconds` if not given.
    duration : float
        Of the recording, in seconds. Chunks may end before it does: the last, incomplete one is dropped.
    file : str or None
        Where the recording came from, if from a file.
    aggregate : str
        How `scores` sums up `taggram`.

    Examples
    --------
    >>> chunks = np.array([[0.9, 0.2], [0.7, 0.4]])
    >>> result = TagResult(["slow", "harp"], chunks.mean(axis=0), chunks, hop_seconds=3.0)
    >>> result.top(1), result.times.tolist(), result.duration
    ([('slow', 0.8)], [0.0, 3.0], 6.0)
    """

    tags: list[str]
    scores: np.ndarray = field(repr=False)
    taggram: np.ndarray = field(repr=False)
    hop_seconds: float
    chunk_seconds: float | None = None
    duration: float | None = None
    file: str | None = None
    aggregate: str = "mean"

    def __post_init__(self):
        if self.chunk_seconds is None:
            self.chunk_seconds = self.hop_seconds
        if self.duration is None:
            self.duration = (len(self.taggram) - 1) * self.hop_seconds + self.chunk_seconds

    @property
    def times(self) -> np.ndarray:
        """Start of each chunk in seconds, shape ``(chunks,)``."""
        return np.arange(len(self.taggram)) * self.hop_seconds

    @property
    def padded(self) -> bool:
        """Whether the recording is shorter than a chunk, and was filled up with silence."""
        return self.duration < self.chunk_seconds

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The `k` highest tags with their scores, best first."""
        if k < 1:
            raise ValueError(f"k is the number of tags to list and must be at least 1, got {k}")
        order = np.argsort(-self.scores, kind="stable")[:k]
        return [(self.tags[i], float(self.scores[i])) for i in order]

    def plot(self, k: int = 10) -> Any:
        """Draw the `k` most probable tags over time; returns a matplotlib figure (see `mclass.plot.taggram`)."""
        return mclass.plot.taggram(self.taggram, self.tags, self.hop_seconds, k)

    def player(self, waveform: Any = None, sample_rate: int | None = None, top: int = 10) -> Any:
        """Show it in a notebook, with sound and a cursor over the taggram (see `mclass.report.player`)."""
        return mclass.report.player(self, waveform, sample_rate, top)

    def to_html(self, path: str | os.PathLike, waveform: Any = None, sample_rate: int | None = None) -> Path:
        """Write a page with a player whose cursor moves over the taggram; returns its path (see `mclass.report`).

        Parameters
        ----------
        path : path
        waveform : array, shape (samples,), optional
            What to play where the recording was no file.
        sample_rate : int, optional
            Of the waveform, in Hz.
        """
        return mclass.report.write(path, [self], None if waveform is None else [(waveform, sample_rate)])
