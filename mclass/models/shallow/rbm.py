"""The restricted Boltzmann machine with sparse hidden units.

Taught in: 04_supervised.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_array, check_random_state, gen_batches
from sklearn.utils.validation import check_is_fitted

from mclass.errors import unknown_name

RATES = {"binary": 0.1, "gaussian": 0.01}  # learning rates


class SparseRBM(TransformerMixin, BaseEstimator):
    """Visible units v, hidden units h that are 0 or 1, and a weight for each pair (v, h); none within a layer.

    A pair of layers has an energy, and low energies are likely, ``P(v, h) ∝ exp(-E(v, h))``:

    * binary v: ``E = -v W h - c v - b h``; as a probability, v may be any number from 0 to 1;
    * gaussian v, of variance 1: ``E = ½ |v - c|² - v W h - b h``.

    Since no two units of one layer are connected, each layer is drawn at once given the other. Learning lowers the
    energy of the data and raises that of what one step back and forth makes of it: contrastive divergence, CD-1
    (Hinton 2002). So that hidden units stand for something special, each is pulled to be on in a share `sparsity`
    of the data: the penalty ``sparsity_cost * Σ (sparsity - mean h)²`` is that of Lee, Ekanadham & Ng (2008),
    *Sparse deep belief net model for visual area V2*; like them, we let it move the biases b alone.

    Parameters
    ----------
    n_components : int
        Number of hidden units.
    visible : {"binary", "gaussian"}
        What the visible units are. Give gaussian units data of mean 0 and variance 1.
    sparsity : float or None
        Share of the data for which a hidden unit should be on; ``None`` leaves it free.
    sparsity_cost : float
        Weight of the penalty.
    learning_rate : float, optional
        If not given, 0.1 for binary and 0.01 for gaussian units, which have no bounds (Hinton 2010, *A practical
        guide to training restricted Boltzmann machines*).
    momentum : float
        Share of the last step that is taken again.
    batch_size : int
    epochs : int
        Passes over the data.
    random_state : int, RandomState or None

    Attributes
    ----------
    components_ : np.ndarray, shape (num_visible, n_components)
        W.
    hidden_bias_, visible_bias_ : np.ndarray
        b and c.
    errors_ : list of float
        Mean squared error of the reconstruction after each epoch, the first before learning.

    Examples
    --------
    >>> stripes = np.repeat(np.random.default_rng(0).integers(0, 2, (500, 3)), 4, axis=1).astype(float)
    >>> rbm = SparseRBM(8, visible="binary", sparsity=None, learning_rate=0.5, random_state=0).fit(stripes)
    >>> rbm.transform(stripes).shape, rbm.errors_[-1] < 0.5 * rbm.errors_[0]
    ((500, 8), True)
    """

    def __init__(
        self,
        n_components: int = 128,
        visible: str = "gaussian",
        sparsity: float | None = 0.05,
        sparsity_cost: float = 20.0,
        learning_rate: float | None = None,
        momentum: float = 0.5,
        batch_size: int = 100,
        epochs: int = 20,
        random_state: int | None = None,
    ):
        self.n_components, self.visible, self.epochs = n_components, visible, epochs
        self.sparsity, self.sparsity_cost = sparsity, sparsity_cost
        self.learning_rate, self.momentum, self.batch_size = learning_rate, momentum, batch_size
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: object = None) -> SparseRBM:
        """Learn from data, shape ``(n, num_visible)``."""
        self._check_options()
        X = self._check(X, fitting=True)
        random = check_random_state(self.random_state)
        start = 0.0 if self.sparsity is None else np.log(self.sparsity / (1 - self.sparsity))
        self.components_ = random.normal(0, 0.01, (X.shape[1], self.n_components))
        self.hidden_bias_ = np.full(self.n_components, start)
        self.visible_bias_ = self._visible_start(X)
        self.errors_ = [self._error(X)]
        rate = RATES[self.visible] if self.learning_rate is None else self.learning_rate
        steps = [np.zeros_like(p) for p in (self.components_, self.hidden_bias_, self.visible_bias_)]
        for _ in range(self.epochs):
            order = random.permutation(len(X))
            for batch in gen_batches(len(X), self.batch_size):
                data = X[order[batch]]
                gradients = self.contrastive_divergence(data, random)
                gradients[1] += self.sparsity_gradient(data)
                parameters = (self.components_, self.hidden_bias_, self.visible_bias_)
                for parameter, step, gradient in zip(parameters, steps, gradients, strict=True):
                    step *= self.momentum
                    step += rate * gradient
                    parameter += step
            self.errors_.append(self._error(X))
            if not self.errors_[-1] <= 10 * self.errors_[0] + 1:
                raise ValueError(
                    f"learning diverged at learning_rate={rate}: give a smaller one"
                    + ", or data of mean 0 and variance 1" * (self.visible == "gaussian")
                )
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """The chance of each hidden unit to be on given data ``(n, num_visible)``: shape ``(n, n_components)``."""
        check_is_fitted(self)
        return self._hidden(self._check(X))

    def reconstruct(self, X: np.ndarray) -> np.ndarray:
        """The visible units that the hidden ones expect, shape ``(n, num_visible)``."""
        return self._visible(self.transform(X))

    def free_energy(self, X: np.ndarray) -> np.ndarray:
        """``-log Σ_h exp(-E(v, h))`` for each row v of data, shape ``(n,)``: the lower, the likelier."""
        check_is_fitted(self)
        X = self._check(X)
        softplus = np.logaddexp(0, X @ self.components_ + self.hidden_bias_).sum(axis=1)
        if self.visible == "gaussian":
            return 0.5 * np.square(X - self.visible_bias_).sum(axis=1) - softplus
        return -X @ self.visible_bias_ - softplus

    def contrastive_divergence(self, v: np.ndarray, random: np.random.RandomState) -> list[np.ndarray]:
        """Where W, b and c should go for data ``(n, num_visible)``: what is on in it less what is in its dream.

        Returns
        -------
        list of three np.ndarray
            Of the shapes of W, b and c.
        """
        hidden = self._hidden(v)
        drawn = (random.uniform(size=hidden.shape) < hidden).astype(v.dtype)
        # Only the hidden units need to be drawn; elsewhere chances are less noisy (Hinton 2010, section 3).
        dream = self._visible(drawn)
        dream_hidden = self._hidden(dream)
        return [
            (v.T @ hidden - dream.T @ dream_hidden) / len(v),
            (hidden - dream_hidden).mean(axis=0),
            (v - dream).mean(axis=0),
        ]

    def sparsity_gradient(self, v: np.ndarray) -> np.ndarray:
        """Where b should go for the mean of each hidden unit over data to come closer to `sparsity`."""
        if self.sparsity is None:
            return np.zeros(self.n_components)
        hidden = self._hidden(v)
        slope = (hidden * (1 - hidden)).mean(axis=0)
        return 2 * self.sparsity_cost * (self.sparsity - hidden.mean(axis=0)) * slope

    def _hidden(self, v: np.ndarray) -> np.ndarray:
        return expit(v @ self.components_ + self.hidden_bias_)

    def _visible(self, h: np.ndarray) -> np.ndarray:
        v = h @ self.components_.T + self.visible_bias_
        return v if self.visible == "gaussian" else expit(v)

    def _visible_start(self, X: np.ndarray) -> np.ndarray:
        mean = X.mean(axis=0)
        if self.visible == "gaussian":
            return mean
        mean = mean.clip(0.01, 0.99)
        return np.log(mean / (1 - mean))

    def _error(self, X: np.ndarray) -> float:
        X = X[:1000]
        return float(np.square(X - self._visible(self._hidden(X))).mean())

    def _check(self, X: np.ndarray, fitting: bool = False) -> np.ndarray:
        X = check_array(X, dtype=np.float64)
        if fitting:
            self.n_features_in_ = X.shape[1]
        elif X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input"
            )
        if self.visible == "binary" and (X.min() < 0 or X.max() > 1):
            raise ValueError(
                f"binary units are from 0 to 1, got {X.min():.3g} to {X.max():.3g}. "
                "Scale the data (MinMaxScaler), or take visible='gaussian'"
            )
        return X

    def _check_options(self) -> None:
        if self.visible not in RATES:
            raise ValueError(unknown_name("kind of visible units:", self.visible, RATES))
        if self.sparsity is not None and not 0 < self.sparsity < 1:
            raise ValueError(f"sparsity is a share between 0 and 1, or None, got {self.sparsity}")
        if self.n_components < 1 or self.batch_size < 1 or self.epochs < 0:
            raise ValueError(
                "n_components and batch_size must be at least 1 and epochs not negative, got "
                f"{self.n_components}, {self.batch_size} and {self.epochs}"
            )
