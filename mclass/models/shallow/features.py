"""From waveforms to one vector for each clip: the features of the baselines without deep learning.

They all have the same shape. A front end turns a clip into frames; each frame is described by a few numbers, by
hand or by a dictionary that was learned without labels; the descriptions are summed up over time. Only `_learn`
and `_encode` differ (Coates & Ng 2011, *The importance of encoding versus training with sparse coding and vector
quantization*).

Taught in: 04_supervised.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import nn

from mclass._utils.arrays import as_tensor
from mclass.datasets import MusicDataset
from mclass.errors import unknown_name
from mclass.frontends import CQT, MFCC, LogMel
from mclass.models.shallow.rbm import SparseRBM

FRONTENDS = {
    "mfcc": lambda rate: MFCC(rate, deltas=1, n_fft=1024, hop_length=512),
    "logmel": lambda rate: LogMel(rate, n_fft=1024, hop_length=512, n_mels=64, f_max=None, top_db=80.0),
    "cqt": lambda rate: CQT(rate, hop_length=512, top_db=80.0),
}


class Waveforms(Sequence):
    """The waveforms of a data set as a sequence that reads each one when it is asked for.

    Examples
    --------
    >>> class Silence(MusicDataset):
    ...     labels = np.zeros((3, 2))
    ...     def waveform(self, index, start=0, num_samples=None):
    ...         return torch.zeros(16000)
    >>> len(Waveforms(Silence())), Waveforms(Silence())[2].shape
    (3, (16000,))
    """

    def __init__(self, dataset: MusicDataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        return self.dataset.waveform(index).numpy()


def frames(waveforms: Sequence[np.ndarray], frontend: nn.Module) -> Iterator[np.ndarray]:
    """The frames of one clip after the other, so that only one is in memory.

    Parameters
    ----------
    waveforms : array, shape (n, samples), or sequence of n arrays (samples,), which may differ in length
        Floats between -1 and 1.
    frontend : nn.Module
        See `mclass.frontends`.

    Yields
    ------
    np.ndarray, shape (frames, numbers), float64
        Channels and frequencies of a frame in one row.

    Raises
    ------
    ValueError
        If a clip is not a mono waveform of finite floats, or too short for the front end.

    Examples
    --------
    >>> [clip.shape for clip in frames(np.zeros((2, 16000), np.float32), MFCC())]
    [(63, 20), (63, 20)]
    """
    if isinstance(waveforms, np.ndarray) and waveforms.ndim == 1 and waveforms.dtype.kind != "O":
        raise ValueError(
            f"waveforms have shape (n, samples), got {waveforms.shape}. "
            "One waveform is a batch of one: waveform[None]"
        )
    with torch.no_grad():
        for index in range(len(waveforms)):
            waveform = as_tensor(waveforms[index])
            if waveform.is_floating_point() and not waveform.isfinite().all():
                raise ValueError(f"clip {index} has samples that are not finite")
            picture = frontend(waveform[None])
            yield picture[0].flatten(0, 1).T.double().numpy()


class MFCCStatistics(TransformerMixin, BaseEstimator):
    """How the MFCCs of a clip lie and move: means, and standard deviations of them, their slopes and bends.

    The mean of the slopes would only tell how the last frame differs from the first.

    Parameters
    ----------
    sample_rate : int
        Of the waveforms, in Hz.
    n_mfcc : int

    Examples
    --------
    >>> MFCCStatistics().fit_transform(np.random.default_rng(0).normal(size=(3, 16000))).shape
    (3, 80)
    """

    def __init__(self, sample_rate: int = 16000, n_mfcc: int = 20):
        self.sample_rate, self.n_mfcc = sample_rate, n_mfcc

    def fit(self, waveforms: Sequence[np.ndarray], y: object = None) -> MFCCStatistics:
        """Nothing to learn."""
        return self

    def transform(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Map n waveforms to statistics, shape ``(n, 4 * n_mfcc)``."""
        frontend = MFCC(self.sample_rate, self.n_mfcc, deltas=2)
        return np.stack(
            [
                np.concatenate([clip[:, : self.n_mfcc].mean(axis=0), clip.std(axis=0)])
                for clip in frames(waveforms, frontend)
            ]
        )

    def __sklearn_is_fitted__(self) -> bool:
        return True


class LearnedFeatures(TransformerMixin, BaseEstimator):
    """Base class: describe frames by a dictionary learned without labels, and sum up over time.

    Frames are whitened first: centred, turned and scaled so that their numbers are uncorrelated with variance 1
    (principal components). Otherwise the dictionary would learn loudness and little else.

    Parameters
    ----------
    size : int
        Number of entries of the dictionary.
    frontend : {"mfcc", "logmel", "cqt"}
    sample_rate : int
        Of the waveforms, in Hz.
    components : float or int
        Principal components to keep: their share of the variance, or their number.
    frames_per_clip : int
        Frames to learn from, drawn at random from each clip.
    random_state : int, RandomState or None
        Seed of the draw and of the learner.

    Attributes
    ----------
    whitening_ : sklearn.decomposition.PCA
    learner_ : estimator
        What was fitted to the whitened frames.
    """

    pooling = ("mean", "max")

    def __init__(
        self,
        size: int = 128,
        frontend: str = "logmel",
        sample_rate: int = 16000,
        components: float = 0.99,
        frames_per_clip: int = 50,
        random_state: int | None = None,
    ):
        self.size, self.frontend, self.sample_rate = size, frontend, sample_rate
        self.components, self.frames_per_clip, self.random_state = components, frames_per_clip, random_state

    def fit(self, waveforms: Sequence[np.ndarray], y: object = None) -> LearnedFeatures:
        """Learn the dictionary from random frames of n waveforms (see `frames`)."""
        random = check_random_state(self.random_state)
        if self.size < 1 or self.frames_per_clip < 1:
            raise ValueError(
                f"size and frames_per_clip must be at least 1, got {self.size} and {self.frames_per_clip}"
            )
        drawn = [
            clip[random.permutation(len(clip))[: self.frames_per_clip]]
            for clip in frames(waveforms, self._frontend())
        ]
        drawn = np.concatenate(drawn)
        if len(drawn) < self.size:
            raise ValueError(
                f"{len(drawn)} frames are too few for a dictionary of size={self.size}: "
                "give more waveforms, more frames_per_clip or a smaller size"
            )
        self.whitening_ = PCA(self.components, whiten=True, svd_solver="full").fit(drawn)
        self.learner_ = self._learn(self.whitening_.transform(drawn), random)
        return self

    def transform(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Map n waveforms to descriptions, one row each: the mean, then the maximum, of codes over time."""
        check_is_fitted(self)
        rows = []
        for clip in frames(waveforms, self._frontend()):
            codes = self._encode(self.whitening_.transform(clip))
            rows.append(np.concatenate([getattr(codes, pooling)(axis=0) for pooling in self.pooling]))
        return np.stack(rows)

    def _frontend(self) -> nn.Module:
        if self.frontend not in FRONTENDS:
            raise ValueError(unknown_name("front end", self.frontend, FRONTENDS))
        return FRONTENDS[self.frontend](self.sample_rate)

    def _learn(self, whitened: np.ndarray, random: np.random.RandomState) -> BaseEstimator:
        """Fit a dictionary to frames, shape ``(frames, components)``."""
        raise NotImplementedError

    def _encode(self, whitened: np.ndarray) -> np.ndarray:
        """Describe frames, ``(frames, components)``, by the dictionary, ``(frames, codes)``."""
        raise NotImplementedError


class Codebook(LearnedFeatures):
    """How often each of `size` typical frames occurs: vector quantisation by k-means, and a histogram.

    The "bag of frames": order is forgotten. Parameters are those of `LearnedFeatures`.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(3, 16000))
    >>> histogram = Codebook(size=4, frontend="mfcc", random_state=0).fit_transform(noise)
    >>> histogram.shape, histogram.sum(axis=1).round(6).tolist()
    ((3, 4), [1.0, 1.0, 1.0])
    """

    pooling = ("mean",)  # of one-hot codes: a histogram

    def _learn(self, whitened: np.ndarray, random: np.random.RandomState) -> BaseEstimator:
        return MiniBatchKMeans(self.size, n_init=1, random_state=random, batch_size=1024).fit(whitened)

    def _encode(self, whitened: np.ndarray) -> np.ndarray:
        return np.eye(self.size)[self.learner_.predict(whitened)]


class SparseCoding(LearnedFeatures):
    """Each frame as a sum of few entries of a dictionary; a clip by how much it uses each entry.

    The dictionary minimises ``½ |x − code @ dictionary|² + alpha |code|₁`` over frames and codes (Mairal et al.
    2009, *Online dictionary learning for sparse coding*). New frames are encoded by a threshold alone, the
    projections on the entries with `alpha` taken off: far faster than solving for the codes, and as good for
    classification where labels are not very few (Coates & Ng 2011). As there, positive and negative weights are
    kept apart: `size` entries give ``2 * size`` numbers.

    Parameters
    ----------
    size, frontend, sample_rate, components, frames_per_clip, random_state
        See `LearnedFeatures`.
    alpha : float
        Larger is sparser.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(3, 16000))
    >>> SparseCoding(size=8, random_state=0).fit_transform(noise).shape
    (3, 32)
    """

    def __init__(
        self,
        size: int = 128,
        frontend: str = "logmel",
        sample_rate: int = 16000,
        components: float = 0.99,
        frames_per_clip: int = 50,
        random_state: int | None = None,
        alpha: float = 1.0,
    ):
        super().__init__(size, frontend, sample_rate, components, frames_per_clip, random_state)
        self.alpha = alpha

    def _learn(self, whitened: np.ndarray, random: np.random.RandomState) -> BaseEstimator:
        if not self.alpha > 0:
            raise ValueError(f"alpha must be positive, got {self.alpha}")
        learner = MiniBatchDictionaryLearning(
            self.size,
            alpha=self.alpha,
            max_iter=10,
            batch_size=256,
            fit_algorithm="cd",
            transform_algorithm="threshold",
            transform_alpha=self.alpha,
            split_sign=True,
            random_state=random,
        )
        with warnings.catch_warnings():
            # Codes of one batch need not be exact: each batch moves the dictionary only a little.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return learner.fit(whitened)

    def _encode(self, whitened: np.ndarray) -> np.ndarray:
        return np.abs(self.learner_.transform(whitened))  # negative weights come as negative numbers


class RBMFeatures(LearnedFeatures):
    """Hidden units of a sparse restricted Boltzmann machine that saw single frames (see `SparseRBM`).

    Parameters
    ----------
    size, frontend, sample_rate, components, frames_per_clip, random_state
        See `LearnedFeatures`.
    sparsity : float
        How often a hidden unit should be on.
    epochs : int
        Passes over the frames.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(3, 16000))
    >>> RBMFeatures(size=8, epochs=1, random_state=0).fit_transform(noise).shape
    (3, 16)
    """

    def __init__(
        self,
        size: int = 128,
        frontend: str = "logmel",
        sample_rate: int = 16000,
        components: float = 0.99,
        frames_per_clip: int = 50,
        random_state: int | None = None,
        sparsity: float = 0.05,
        epochs: int = 10,
    ):
        super().__init__(size, frontend, sample_rate, components, frames_per_clip, random_state)
        self.sparsity, self.epochs = sparsity, epochs

    def _learn(self, whitened: np.ndarray, random: np.random.RandomState) -> BaseEstimator:
        learner = SparseRBM(
            self.size, visible="gaussian", sparsity=self.sparsity, epochs=self.epochs, random_state=random
        )
        return learner.fit(whitened)

    def _encode(self, whitened: np.ndarray) -> np.ndarray:
        return self.learner_.transform(whitened)
