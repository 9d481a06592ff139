"""What an encoder knows: a small classifier on its frozen embeddings.

A linear one asks whether the tags can be read off directly, a network with one hidden layer whether they are there
at all.

Taught in: 07_clmr.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from mclass import inference, metrics, models
from mclass.datasets import MusicDataset
from mclass.errors import DatasetError, ModelError, unknown_name
from mclass.metrics import UndefinedTagsWarning
from mclass.models import WaveformModel

# Strengths of regularisation to choose from on the validation part; larger ones bind more.
STRENGTHS = {"linear": (1.0, 10.0, 100.0, 1000.0), "mlp": (0.01, 1.0, 10.0)}
HIDDEN = 128


@dataclass
class Probe:
    """What `probe` found.

    Attributes
    ----------
    kind : {"linear", "mlp"}
    scores : dict of str to float
        On the test part: ``roc_auc`` and ``pr_auc``, or ``accuracy`` where a clip has one label.
    valid_scores : pandas.DataFrame
        One row per strength of regularisation, with its score on the validation part.
    strength : float
        The one with the best of them.
    probabilities : np.ndarray, shape (test clips, num_tags)
    unseen : list of str
        Tags without an example, or without a counterexample, in the training part. They are given to all clips
        with equal probability, so their ROC-AUC is 0.5.
    """

    kind: str
    scores: dict[str, float]
    valid_scores: pd.DataFrame = field(repr=False)
    strength: float
    probabilities: np.ndarray = field(repr=False)
    unseen: list[str] = field(repr=False)
    _classifier: _Classifier = field(repr=False)

    def predict(self, embeddings: np.ndarray) -> np.ndarray:
        """Map embeddings, shape ``(n, dim)``, to probabilities, shape ``(n, num_tags)``."""
        return self._classifier.predict(embeddings)


def probe(
    model: WaveformModel | str | os.PathLike,
    train: MusicDataset,
    valid: MusicDataset,
    test: MusicDataset,
    kind: str = "linear",
    *,
    strengths: Sequence[float] | None = None,
    seed: int = 0,
) -> Probe:
    """Train a small classifier on the embeddings that a frozen model gives of labelled clips, and score it.

    Where labels are unknown (`mclass.datasets.MusicDataset.known`), each tag is learned from, and scored on, the
    clips whose label is known; an "mlp" is then a network for each tag.

    Parameters
    ----------
    model : WaveformModel or path
        Its `embed` is used and not changed; a path is that of a ``model.pt`` (see `mclass.training.fit`).
    train, valid, test : MusicDataset
        The classifier learns from the first, its regularisation is chosen on the second, and it is scored once, on
        the third.
    kind : {"linear", "mlp"}
        Logistic regression, one for each tag, or a network with one hidden layer.
    strengths : sequence of float, optional
        Regularisation to choose from: the inverse of scikit-learn's ``C``, or its ``alpha``.
    seed : int
        Of the network's first weights.

    Returns
    -------
    Probe

    Raises
    ------
    ValueError
        If `kind` or a strength is not allowed.
    ModelError
        If an embedding is not finite, or the file is not a model's.
    DatasetError
        If the parts have different tags, or are empty.

    Warns
    -----
    mclass.metrics.UndefinedTagsWarning
        Naming tags that cannot be learned from `train`.

    Examples
    --------
    >>> import warnings
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> with warnings.catch_warnings():  # so few clips have not every tag
    ...     warnings.simplefilter("ignore", UndefinedTagsWarning)
    ...     found = probe(models.create("cnn_1d"), *etude.splits(), strengths=[10])
    >>> found.probabilities.shape, sorted(found.scores)
    ((8, 50), ['pr_auc', 'roc_auc'])
    """
    if not isinstance(model, WaveformModel):
        model = models.load(model)
    parts = [(embeddings(model, part), part) for part in (train, valid, test)]
    return probe_embeddings(*parts, kind=kind, strengths=strengths, seed=seed)


def embeddings(model: WaveformModel, dataset: MusicDataset) -> np.ndarray:
    """The mean of ``model.embed``, in eval mode, over each clip's chunks: shape ``(n, dim)``.

    Raises
    ------
    ModelError
        If an embedding is not finite, or the sample rates differ.

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> embeddings(models.create("cnn_1d"), etude).shape
    (24, 32)
    """
    found = inference.predict(_Embedder(model), dataset)
    bad = np.flatnonzero(~np.isfinite(found).all(1))
    if len(bad):
        raise ModelError(
            f"the embeddings of {len(bad)} of {len(dataset)} clips are not finite, first that of "
            f"{dataset.describe(int(bad[0]))}. Did the training of this model diverge?"
        )
    return found


class _Embedder(WaveformModel):
    """A model whose answers are its embeddings, for `mclass.inference.predict`."""

    def __init__(self, model: WaveformModel):
        super().__init__()
        self.model = model
        self.sample_rate, self.num_samples = model.sample_rate, model.num_samples

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.model.embed(waveform)

    def probabilities(self, embedding: torch.Tensor) -> torch.Tensor:
        return embedding


def probe_embeddings(
    train: tuple[np.ndarray, MusicDataset],
    valid: tuple[np.ndarray, MusicDataset],
    test: tuple[np.ndarray, MusicDataset],
    kind: str = "linear",
    *,
    strengths: Sequence[float] | None = None,
    seed: int = 0,
) -> Probe:
    """`probe`, of embeddings that are there already: one extraction serves many label budgets.

    Parameters
    ----------
    train, valid, test : (embeddings, data set)
        Embeddings of shape ``(clips, dim)``, and the data set whose labels they are to tell.
    kind, strengths, seed
        See `probe`, also for what is raised.

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> part = etude.labels.astype(float), etude  # the labels themselves as embeddings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", UndefinedTagsWarning)
    ...     found = probe_embeddings(part, part, part)
    >>> found.scores["roc_auc"] > 0.99 or found.unseen != []
    True
    """
    if kind not in STRENGTHS:
        raise ValueError(unknown_name("kind of probe", kind, STRENGTHS))
    strengths = STRENGTHS[kind] if strengths is None else tuple(strengths)
    if not strengths or not all(0 < strength < np.inf for strength in strengths):
        raise ValueError(f"strengths are positive numbers to choose from, got {list(strengths)}")
    _check(train, valid, test)
    (features, labelled), (valid_features, validation), (test_features, held_out) = train, valid, test
    unseen = unlearnable(labelled)
    if unseen:
        warnings.warn(
            f"{len(unseen)} of {len(labelled.tags)} tags have no example or no counterexample among the "
            f"{len(labelled)} labelled clips, and are guessed: {', '.join(unseen)}",
            UndefinedTagsWarning,
            stacklevel=3,
        )
    rows, best = [], None
    for strength in strengths:
        classifier = _Classifier(kind, strength, seed, labelled.multilabel)
        classifier.fit(features, labelled.labels, labelled.known)
        found = _score(validation, classifier.predict(valid_features))
        rows.append({"strength": strength, **found})
        value = next(iter(found.values()))
        if best is None or value > best[0]:
            best = value, strength, classifier
    _, strength, classifier = best
    probabilities = classifier.predict(test_features)
    return Probe(
        kind, _score(held_out, probabilities), pd.DataFrame(rows), strength, probabilities, unseen, classifier
    )


def unlearnable(dataset: MusicDataset) -> list[str]:
    """Tags that no clip has, or (of several tags) every clip whose label is known.

    Examples
    --------
    >>> from mclass import datasets
    >>> etude = datasets.load("etude", num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> "choral" in unlearnable(etude.subset([0]))
    True
    """
    counts, known = dataset.tag_counts, len(dataset) if dataset.known is None else dataset.known.sum(0)
    missing = (counts == 0) | ((counts == known) & dataset.multilabel)
    return [tag for tag, one in zip(dataset.tags, missing, strict=True) if one]


class _Classifier:
    """Standardise, then classify; columns that cannot be learned get a constant."""

    def __init__(self, kind: str, strength: float, seed: int, multilabel: bool):
        self.kind, self.strength, self.seed, self.multilabel = kind, strength, seed, multilabel

    def fit(self, features: np.ndarray, labels: np.ndarray, known: np.ndarray | None = None) -> _Classifier:
        self.scaler = StandardScaler().fit(features)
        x, self.parts = self.scaler.transform(features), []
        if known is not None:
            return self._fit_known(x, labels, known)
        self.constant = labels.mean(0)
        if self.multilabel:
            self.columns = np.flatnonzero((self.constant > 0) & (self.constant < 1))
            targets = labels[:, self.columns]
        else:
            targets = labels.argmax(1)
            self.columns = np.unique(targets)
        if len(self.columns) < 1 + (not self.multilabel):
            return self  # nothing to tell apart
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a probe may stop early
            if self.kind == "mlp":
                targets = targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets
                self.parts = [self._create().fit(x, targets)]
            else:
                # One against the rest where several may hold; over the classes at once where one does.
                each = targets.T if self.multilabel else [targets]
                self.parts = [self._create().fit(x, y) for y in each]
        return self

    def _fit_known(self, x: np.ndarray, labels: np.ndarray, known: np.ndarray) -> _Classifier:
        """A classifier for each tag, from the clips where its label is known; also of the kind "mlp"."""
        positives, counts = (labels.astype(bool) & known).sum(0), known.sum(0)
        self.constant = np.divide(positives, counts, out=np.full(len(counts), 0.5), where=counts > 0)
        self.columns = np.flatnonzero((positives > 0) & (positives < counts))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.parts = [
                self._create().fit(x[known[:, column]], labels[known[:, column], column])
                for column in self.columns
            ]
        return self

    def _create(self) -> LogisticRegression | MLPClassifier:
        if self.kind == "linear":
            return LogisticRegression(C=1 / self.strength, max_iter=500)
        return MLPClassifier(HIDDEN, alpha=self.strength, random_state=self.seed, max_iter=200, n_iter_no_change=5)

    def predict(self, features: np.ndarray) -> np.ndarray:
        x = self.scaler.transform(features)
        found = np.tile(self.constant, (len(x), 1)).astype(np.float64)
        if not self.parts:
            return found
        if not self.multilabel:
            found[:, self.columns] = self.parts[0].predict_proba(x)
        elif self.kind == "linear" or len(self.parts) > 1:
            found[:, self.columns] = np.stack([part.predict_proba(x)[:, 1] for part in self.parts], 1)
        else:
            told = self.parts[0].predict_proba(x)
            found[:, self.columns] = told[:, 1:] if len(self.columns) == 1 else told
        return found


def _score(dataset: MusicDataset, scores: np.ndarray) -> dict[str, float]:
    if not dataset.multilabel:
        return {"accuracy": metrics.accuracy(dataset.labels, scores)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedTagsWarning)  # of small parts; `unseen` names those
        return {
            "roc_auc": metrics.roc_auc(dataset.labels, scores, tags=dataset.tags, known=dataset.known),
            "pr_auc": metrics.pr_auc(dataset.labels, scores, tags=dataset.tags, known=dataset.known),
        }


def _check(*parts: tuple[np.ndarray, MusicDataset]) -> None:
    tags = list(parts[0][1].tags)
    for features, dataset in parts:
        if len(dataset) == 0:
            raise DatasetError(f"a part of {dataset.name!r} has no clips; a probe needs all three")
        if np.ndim(features) != 2 or len(features) != len(dataset):
            raise ValueError(
                f"embeddings must be of shape ({len(dataset)}, dim), one row per clip, got {np.shape(features)}"
            )
        if not np.isfinite(features).all():
            raise ModelError(f"embeddings of {dataset.name!r} hold NaN or infinity. Did the training diverge?")
        if dataset.known is not None and not dataset.multilabel:
            raise DatasetError(
                f"some single-label clips of {dataset.name!r} have no known label; leave them out (dataset.subset)"
            )
        if list(dataset.tags) != tags or dataset.multilabel != parts[0][1].multilabel:
            other = sorted(set(dataset.tags) ^ set(tags))[:5]
            raise DatasetError(f"the parts differ in their tags (or in the tags' order): {other}")
