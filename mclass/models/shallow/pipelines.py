"""The baselines themselves: features, scaling, classifier.

Taught in: 04_supervised.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from mclass.models.shallow.dbn import DBNClassifier
from mclass.models.shallow.features import Codebook, MFCCStatistics, RBMFeatures, SparseCoding


class OneAgainstRest(OneVsRestClassifier):
    """One yes-or-no classifier for each tag or class.

    A tag that no clip, or every clip, of the training data has gets the same score everywhere. The metrics name
    such tags when they matter, so there is no warning here.
    """

    def fit(self, X: np.ndarray, y: np.ndarray, **params) -> OneAgainstRest:
        """Fit one classifier for each column of `y`, or for each class."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Label .* is present in all training examples")
            return super().fit(X, y, **params)


def mfcc_logistic(sample_rate: int = 16000, n_mfcc: int = 20, C: float = 0.03) -> Pipeline:
    """Statistics of MFCCs and logistic regression: the simplest thing that works.

    Parameters
    ----------
    sample_rate : int
        Of the waveforms, in Hz.
    n_mfcc : int
    C : float
        Smaller is smoother.
    """
    return make_pipeline(MFCCStatistics(sample_rate, n_mfcc), StandardScaler(), _logistic(C))


def mfcc_svm(sample_rate: int = 16000, n_mfcc: int = 20, C: float = 0.3) -> Pipeline:
    """Statistics of MFCCs and a support vector machine with a Gaussian kernel, the standard of the 2000s.

    The few clips with a tag weigh as much as the many without: most tags are so rare that saying no to all would
    otherwise be the best machine.

    Parameters
    ----------
    sample_rate : int
        Of the waveforms, in Hz.
    n_mfcc : int
    C : float
        Smaller is smoother.
    """
    classifier = SVC(C=C, class_weight="balanced")
    return make_pipeline(MFCCStatistics(sample_rate, n_mfcc), StandardScaler(), OneAgainstRest(classifier))


def codebook(
    sample_rate: int = 16000,
    size: int = 512,
    frontend: str = "logmel",
    C: float = 1.0,
    random_state: int | None = None,
) -> Pipeline:
    """Histogram of the nearest of `size` typical frames, and logistic regression on its square roots.

    Square roots make the many small entries matter beside the few large ones. There is no other scaling: it would
    make the rarest entry as loud as the most frequent.

    Parameters
    ----------
    sample_rate : int
        Of the waveforms, in Hz.
    size, frontend
        See `Codebook`. The lecture's front end is ``"mfcc"``.
    C : float
        Smaller is smoother.
    random_state : int, RandomState or None
    """
    features = Codebook(size, frontend, sample_rate, random_state=random_state)
    return make_pipeline(features, FunctionTransformer(np.sqrt), _logistic(C))


def sparse_coding(
    sample_rate: int = 16000,
    size: int = 128,
    frontend: str = "logmel",
    alpha: float = 1.0,
    C: float = 0.01,
    random_state: int | None = None,
) -> Pipeline:
    """Mean and maximum over time of sparse codes, and logistic regression.

    Parameters
    ----------
    sample_rate : int
        Of the waveforms, in Hz.
    size, frontend, alpha
        See `SparseCoding`.
    C : float
        Smaller is smoother.
    random_state : int, RandomState or None
    """
    features = SparseCoding(size, frontend, sample_rate, random_state=random_state, alpha=alpha)
    return make_pipeline(features, StandardScaler(), _logistic(C))


def sparse_rbm(
    sample_rate: int = 16000,
    size: int = 256,
    frontend: str = "logmel",
    sparsity: float = 0.05,
    epochs: int = 10,
    C: float = 0.01,
    random_state: int | None = None,
) -> Pipeline:
    """Mean and maximum over time of a sparse RBM's hidden units, and logistic regression.

    Parameters
    ----------
    sample_rate : int
        Of the waveforms, in Hz.
    size, frontend, sparsity, epochs
        See `RBMFeatures`.
    C : float
        Smaller is smoother.
    random_state : int, RandomState or None
    """
    features = RBMFeatures(
        size, frontend, sample_rate, random_state=random_state, sparsity=sparsity, epochs=epochs
    )
    return make_pipeline(features, StandardScaler(), _logistic(C))


def dbn(
    sample_rate: int = 16000,
    n_mfcc: int = 20,
    hidden_sizes: Sequence[int] = (256, 128),
    pretrain_epochs: int = 20,
    epochs: int = 30,
    random_state: int | None = None,
) -> Pipeline:
    """Statistics of MFCCs and a deep belief network.

    Parameters
    ----------
    sample_rate : int
        Of the waveforms, in Hz.
    n_mfcc : int
    hidden_sizes, pretrain_epochs, epochs
        See `DBNClassifier`.
    random_state : int, RandomState or None
    """
    classifier = DBNClassifier(
        hidden_sizes, pretrain_epochs=pretrain_epochs, epochs=epochs, random_state=random_state
    )
    return make_pipeline(MFCCStatistics(sample_rate, n_mfcc), StandardScaler(), classifier)


def _logistic(C: float) -> OneAgainstRest:
    return OneAgainstRest(LogisticRegression(C=C, max_iter=1000))
