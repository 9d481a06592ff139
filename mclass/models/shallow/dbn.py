"""The deep belief network as a classifier: learned layer by layer without labels, then tuned with them.

Taught in: 04_supervised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_array, check_random_state, check_X_y, column_or_1d, gen_batches
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import nn

from mclass.models.shallow.rbm import SparseRBM


class DBNClassifier(ClassifierMixin, BaseEstimator):
    """A stack of restricted Boltzmann machines that becomes a network of sigmoid layers.

    Each machine learns from the hidden units of the one below (Hinton, Osindero & Teh 2006, *A fast learning
    algorithm for deep belief nets*). Their weights are where training with labels starts from (Hinton &
    Salakhutdinov 2006); a last layer is added that starts at zero. That is how deep networks were first trained.
    With ``pretrain_epochs=0`` the weights are a machine's small random ones, from which two layers of sigmoids
    learn far more slowly. Today's networks start from random weights too, but larger ones, and have rectifiers.

    Parameters
    ----------
    hidden_sizes : sequence of int
        Number of units of each hidden layer.
    visible : {"gaussian", "binary"}
        What the input is (see `SparseRBM`); the hidden layers are binary.
    sparsity : float or None
        See `SparseRBM`.
    pretrain_epochs : int
        Passes over the data of each machine.
    epochs : int
        Passes over the data with labels.
    learning_rate, weight_decay : float
        Of AdamW, with labels.
    batch_size : int
    random_state : int, RandomState or None

    Attributes
    ----------
    stack_ : list of SparseRBM
        As learned without labels.
    network_ : nn.Sequential
        As tuned with labels; its outputs are logits.
    classes_ : np.ndarray
        Class labels, or the numbers of the tags.
    multilabel_ : bool
        Whether labels were multi-hot, ``(n, num_tags)``, and not one class for each row, ``(n,)``.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> dbn = DBNClassifier((64,), visible="binary", pretrain_epochs=5, random_state=0)
    >>> bool(dbn.fit(X[:1000] / 16, y[:1000]).score(X[1000:] / 16, y[1000:]) > 0.9)
    True
    """

    def __init__(
        self,
        hidden_sizes: Sequence[int] = (256, 128),
        visible: str = "gaussian",
        sparsity: float | None = None,
        pretrain_epochs: int = 20,
        epochs: int = 30,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-2,
        batch_size: int = 32,
        random_state: int | None = None,
    ):
        self.hidden_sizes, self.visible, self.sparsity = hidden_sizes, visible, sparsity
        self.pretrain_epochs, self.epochs, self.learning_rate = pretrain_epochs, epochs, learning_rate
        self.weight_decay, self.batch_size, self.random_state = weight_decay, batch_size, random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> DBNClassifier:
        """Learn from data ``(n, features)`` and classes ``(n,)`` or multi-hot labels ``(n, num_tags)``."""
        X, y = check_X_y(X, y, dtype=np.float64, multi_output=True, estimator=self)
        targets = self._targets(y)
        self.n_features_in_ = X.shape[1]
        random = check_random_state(self.random_state)
        self.stack_, layers = self._pretrain(X, random), []
        for rbm in self.stack_:
            layers += [_linear(rbm.components_.T, rbm.hidden_bias_), nn.Sigmoid()]
        num_tags = len(self.classes_)
        layers.append(_linear(np.zeros((num_tags, layers[-2].out_features)), np.zeros(num_tags)))
        self.network_ = nn.Sequential(*layers)
        self._tune(torch.from_numpy(X).float(), targets, random)
        self.network_.double()  # whose outputs do not depend on what else is in the batch, but for 1e-16
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """Logits, ``(n, num_tags)``; for two classes, the second's less the first's, ``(n,)``."""
        logits = self._logits(X).numpy()
        return logits[:, 1] - logits[:, 0] if not self.multilabel_ and len(self.classes_) == 2 else logits

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probability of each class or tag, shape ``(n, num_tags)``."""
        logits = self._logits(X)
        return (logits.sigmoid() if self.multilabel_ else logits.softmax(dim=1)).numpy()

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The likeliest class, shape ``(n,)``, or all tags that are likelier than not, ``(n, num_tags)``."""
        logits = self._logits(X).numpy()
        return (logits > 0).astype(int) if self.multilabel_ else self.classes_[logits.argmax(axis=1)]

    def _pretrain(self, X: np.ndarray, random: np.random.RandomState) -> list[SparseRBM]:
        if len(self.hidden_sizes) == 0:
            raise ValueError("hidden_sizes must name at least one layer")
        stack, visible = [], self.visible
        for size in self.hidden_sizes:
            rbm = SparseRBM(
                size, visible, sparsity=self.sparsity, epochs=self.pretrain_epochs, random_state=random
            )
            X = rbm.fit_transform(X)
            stack.append(rbm)
            visible = "binary"
        return stack

    def _tune(self, X: torch.Tensor, targets: torch.Tensor, random: np.random.RandomState) -> None:
        optimizer = torch.optim.AdamW(
            self.network_.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        loss = nn.functional.binary_cross_entropy_with_logits if self.multilabel_ else nn.functional.cross_entropy
        for _ in range(self.epochs):
            order = torch.from_numpy(random.permutation(len(X)))
            for batch in gen_batches(len(X), self.batch_size):
                rows = order[batch]
                optimizer.zero_grad()
                loss(self.network_(X[rows]), targets[rows]).backward()
                optimizer.step()

    def _targets(self, y: np.ndarray) -> torch.Tensor:
        check_classification_targets(y)
        self.multilabel_ = y.ndim == 2 and y.shape[1] > 1
        if self.multilabel_:
            self.classes_ = np.arange(y.shape[1])
            return torch.from_numpy(y.astype(np.float32))
        self.classes_, targets = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        return torch.from_numpy(targets)

    def _logits(self, X: np.ndarray) -> torch.Tensor:
        check_is_fitted(self)
        X = check_array(X, dtype=np.float64)
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but DBNClassifier is expecting {self.n_features_in_} features "
                "as input"
            )
        with torch.no_grad():
            return self.network_(torch.from_numpy(X))


def _linear(weight: np.ndarray, bias: np.ndarray) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer
