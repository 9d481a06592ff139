"""Music that no student has, for the questions that are graded by a score.

The lecturer's seed, in the environment variable ``MCLASS_HELD_OUT_SEED`` or given to ``mclass grade``, composes
it. It is composed where the judge runs, and a submission is sent the sound alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from mclass.errors import DatasetError

VARIABLE = "MCLASS_HELD_OUT_SEED"
MAX_COLUMNS = 4096  # of an embedding
PUBLIC = range(1000)  # seeds that anybody tries first
PUBLIC_SEED = 20_250_117  # of proofs, and of submissions that one trusts; real held-out music has a lecturer's own


@contextlib.contextmanager
def using(number: int | None) -> Iterator[None]:
    """Take this seed, if one is given, instead of the environment's, which afterwards is as it was before.

    Examples
    --------
    >>> with using(20250117):
    ...     seed()
    20250117
    """
    before = os.environ.get(VARIABLE)
    if number is not None:
        os.environ[VARIABLE] = str(number)
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before


def seed() -> int:
    """The lecturer's seed.

    Raises
    ------
    DatasetError
        If it is not set, is no whole number, or so small that it can be guessed.

    Examples
    --------
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, MCLASS_HELD_OUT_SEED="20250117"):
    ...     seed()
    20250117
    """
    text = os.environ.get(VARIABLE, "").strip()
    advice = (
        f"Give --held-out-seed, or set {VARIABLE}: any number of at least {PUBLIC.stop} that students do not know"
    )
    if not text:
        raise DatasetError(
            f"some questions are graded on music that students do not have, and its seed is missing. {advice}"
        )
    if not text.isascii() or not text.isdigit() or int(text) in PUBLIC or int(text) >= 1 << 31:
        raise DatasetError(f"the seed of the held-out music is {text!r}. {advice}, and less than {1 << 31}")
    return int(text)


def rng(name: str) -> np.random.Generator:
    """Random numbers for hidden cases: another name, or another lecturer, other numbers.

    Examples
    --------
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, MCLASS_HELD_OUT_SEED="20250117"):
    ...     rng("q3").integers(10, size=3).tolist() == rng("q3").integers(10, size=3).tolist()
    True
    """
    return np.random.default_rng([seed(), *name.encode()])


def etude(num_tracks: int, clip_seconds: float, clips_per_track: int = 1, name: str | None = None):
    """Tracks of Etude by artists whom nobody has heard.

    Parameters
    ----------
    num_tracks : int
    clip_seconds : float
    clips_per_track : int
    name : str, optional
        Of a use whose music is handed out, such as a leaderboard: it gets other artists than the tests do.

    Returns
    -------
    mclass.datasets.etude.Etude
    """
    from mclass.datasets.etude import Etude

    own = seed() if name is None else int(rng(name).integers(PUBLIC.stop, 1 << 31))
    return Etude(num_tracks, clips_per_track, clip_seconds, seed=own, workers=1)


def ask(function: Callable, waveforms: np.ndarray, num_columns: int | None, batch: int = 32) -> np.ndarray:
    """What a submission's function says of waveforms, asked in batches; checked before it is believed.

    Parameters
    ----------
    function : callable
        From waveforms ``(n, samples)`` to an array ``(n, columns)``.
    waveforms : np.ndarray, shape (n, samples), float32
    num_columns : int, optional
        That there must be; any number up to 4,096 if not given.
    batch : int

    Returns
    -------
    np.ndarray, shape (n, columns), float64

    Raises
    ------
    AssertionError
        If an answer is not an array of finite numbers with a row for each waveform.

    Examples
    --------
    >>> ask(lambda x: x.mean(axis=1, keepdims=True), np.ones((3, 8), np.float32), 1).shape
    (3, 1)
    """
    parts = []
    for start in range(0, len(waveforms), batch):
        part = waveforms[start : start + batch]
        answer = function(part)
        answer = answer.numpy() if hasattr(answer, "numpy") else answer
        try:
            answer = np.asarray(answer, dtype=float)
        except (TypeError, ValueError):
            raise AssertionError(f"an array of numbers was expected, got {type(answer).__name__}") from None
        wanted = f"({len(part)}, {num_columns or 'any number'})"
        assert answer.ndim == 2, f"for {len(part)} waveforms, shape {wanted} was expected, got {answer.shape}"
        assert len(answer) == len(part), (
            f"for {len(part)} waveforms, shape {wanted} was expected, got {answer.shape}"
        )
        assert num_columns in (None, answer.shape[1]), f"shape {wanted} was expected, got {answer.shape}"
        assert answer.shape[1] <= MAX_COLUMNS, f"at most {MAX_COLUMNS:,} columns, got {answer.shape[1]:,}"
        assert np.isfinite(answer).all(), "the answer holds NaN or infinity"
        parts.append(answer)
    assert len({part.shape[1] for part in parts}) == 1, "the number of columns changes from batch to batch"
    return np.concatenate(parts)


class Points(float):
    """Points that a test gives; as its last line, they are what the test is worth. A plain number there is not.

    Attributes
    ----------
    score : float
        What they are given for.
    enough : float
        The score from which on there are no more.
    """

    def __new__(cls, value: float, score: float, enough: float) -> Points:
        self = super().__new__(cls, value)
        self.score, self.enough = float(score), float(enough)
        return self


def points(score: float, scale: Mapping[float, float]) -> Points:
    """Points for a score: straight lines between the steps of the scale, rounded to tenths.

    Parameters
    ----------
    score : float
    scale : mapping of float to float
        From scores to points, both rising. Below the first score there are the first points.

    Raises
    ------
    ValueError
        If the scale does not rise.

    Examples
    --------
    >>> points(0.75, {0.6: 0, 0.7: 10, 0.8: 20})
    15.0
    """
    scores, values = list(scale), list(scale.values())
    if sorted(set(scores)) != scores or sorted(values) != values:
        raise ValueError(f"a scale must rise, from score to score and from points to points, got {dict(scale)}")
    return Points(round(float(np.interp(score, scores, values)), 1), score, scores[-1])
