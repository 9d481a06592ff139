"""Baselines without deep learning, as scikit-learn pipelines from waveforms to tags.

What a new network should beat before it is called good. They train in seconds and have scikit-learn's interface:
``fit``, ``predict``, ``cross_val_score``, …

>>> from mclass.models import shallow
>>> shallow.list()
['codebook', 'dbn', 'mfcc_logistic', 'mfcc_svm', 'sparse_coding', 'sparse_rbm']
>>> pipeline = shallow.create("mfcc_logistic")
>>> time = np.arange(16000) / 16000
>>> waveforms = np.stack([np.sin(2 * np.pi * hz * time) for hz in (200, 250, 300, 3000, 3300, 3600)])
>>> pipeline.fit(waveforms, [0, 0, 0, 1, 1, 1]).predict(waveforms[[1, 4]]).tolist()
[0, 1]

Taught in: 04_supervised.
"""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Sequence

import numpy as np
from sklearn.pipeline import Pipeline

from mclass.errors import ModelError, unknown_name
from mclass.models.shallow import pipelines
from mclass.models.shallow.dbn import DBNClassifier
from mclass.models.shallow.features import Codebook, MFCCStatistics, RBMFeatures, SparseCoding, Waveforms
from mclass.models.shallow.rbm import SparseRBM

_PIPELINES = {
    "codebook": pipelines.codebook,
    "dbn": pipelines.dbn,
    "mfcc_logistic": pipelines.mfcc_logistic,
    "mfcc_svm": pipelines.mfcc_svm,
    "sparse_coding": pipelines.sparse_coding,
    "sparse_rbm": pipelines.sparse_rbm,
}

__all__ = [
    "Codebook",
    "DBNClassifier",
    "MFCCStatistics",
    "RBMFeatures",
    "SparseCoding",
    "SparseRBM",
    "Waveforms",
    "create",
    "list",
    "scores",
]


def list() -> builtins.list[str]:
    """Names that `create` knows."""
    return sorted(_PIPELINES)


def create(name: str, **options) -> Pipeline:
    """Build a pipeline that is not fitted.

    Its ``fit`` takes waveforms and labels. Waveforms are an array ``(n, samples)``, or a sequence of n arrays of
    any lengths (`Waveforms` reads those of a data set one by one); labels are class indices ``(n,)`` or multi-hot
    ``(n, num_tags)``. All labels must be known: of data with unknown ones (`known`), fit a pipeline for each tag,
    on the clips where it is.

    Parameters
    ----------
    name : str
        One of `list()`.
    **options
        What the function of that name in `mclass.models.shallow.pipelines` takes.

    Returns
    -------
    sklearn.pipeline.Pipeline

    Raises
    ------
    ModelError
        If the name or an option is unknown; the message names what exists. It is a ``ValueError``.

    Examples
    --------
    >>> create("svm")
    Traceback (most recent call last):
    mclass.errors.ModelError: unknown baseline 'svm'; available: codebook, dbn, ...
    """
    if name not in _PIPELINES:
        raise ModelError(unknown_name("baseline", name, list()))
    build = _PIPELINES[name]
    allowed = [*inspect.signature(build).parameters]
    for option in options:
        if option not in allowed:
            raise ModelError(unknown_name(f"option of baseline {name!r}:", option, allowed))
    return build(**options)


def scores(pipeline: Pipeline, waveforms: Sequence[np.ndarray], num_tags: int | None = None) -> np.ndarray:
    """Scores for `mclass.metrics`, from probabilities if the pipeline has them, else from its decision function.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted.
    waveforms : array, shape (n, samples), or sequence of n arrays (samples,)
    num_tags : int, optional
        If classes ``0 … num_tags - 1`` exist, of which not all were seen in training: the others score lowest.
        Needs class indices as labels.

    Returns
    -------
    np.ndarray, shape (n, num_tags), float64
        Higher is likelier. Columns are tags, or the classes in rising order.

    Raises
    ------
    ValueError
        If `num_tags` does not fit the classes that the pipeline knows.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(4, 16000)) * [[0.01], [0.1], [0.2], [1]]
    >>> pipeline = create("mfcc_logistic").fit(noise, [0, 0, 2, 2])
    >>> scores(pipeline, noise).shape, scores(pipeline, noise, num_tags=3).shape
    ((4, 2), (4, 3))
    """
    probabilities = hasattr(pipeline, "predict_proba")
    result = np.asarray(
        pipeline.predict_proba(waveforms) if probabilities else pipeline.decision_function(waveforms)
    )
    if result.ndim == 1:  # the decision function of two classes: positive for the second
        result = np.stack([-result, result], axis=1)
    if num_tags is None or result.shape[1] == num_tags:
        return result.astype(float)
    classes = np.asarray(pipeline.classes_)
    if not np.issubdtype(classes.dtype, np.integer) or classes.min() < 0 or classes.max() >= num_tags:
        raise ValueError(f"num_tags={num_tags} does not fit the classes of the pipeline, {classes.tolist()}")
    complete = np.full((len(result), num_tags), result.min())
    complete[:, classes] = result
    return complete.astype(float)
