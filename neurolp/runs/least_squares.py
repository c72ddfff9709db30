"""Least squares as a conditional density: normal, of one width, around a predicted mean.

    log p(y | x) = -(y - m(x))^2 / (2 s^2) - log(s sqrt(2 pi))

m is a ridge regression or a perceptron, whichever has the lower error on validation rows; s is that
error, and m is then fitted to these rows too. A baseline of conditional densities.
"""

from __future__ import annotations

import warnings
from typing import Self

import numpy as np
from scipy import special
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurolp.arrays import Array
from neurolp.brain.workers import single_threaded_blas
from neurolp.evaluation.losses import LossDensity


class LeastSquares:
    """The prediction of least squared error, and the density that this loss stands for."""

    def fit(
        self, X: Array, y: Array, X_validation: Array, y_validation: Array, *, seed: int = 0
    ) -> Self:
        """Fit both candidates to standardised columns and targets; choose by validation rows."""
        self.mean_, self.scale_ = float(y.mean()), float(y.std())
        candidates = [
            RidgeCV(alphas=np.geomspace(1e-2, 1e4, 25)),
            MLPRegressor(
                hidden_layer_sizes=(64, 64), early_stopping=True, max_iter=1000, random_state=seed
            ),
            MLPRegressor(hidden_layer_sizes=(64, 64), alpha=1.0, max_iter=300, random_state=seed),
        ]
        errors, models = [], []
        with single_threaded_blas(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            for candidate in candidates:
                model = make_pipeline(StandardScaler(), candidate)
                model.fit(X, (y - self.mean_) / self.scale_)
                residual = (y_validation - self.mean_) / self.scale_ - model.predict(X_validation)
                errors.append(float(np.mean(residual**2)))
                models.append(model)
            best = int(np.argmin(errors))
            everything = np.concatenate([y, y_validation])
            self.model_ = models[best].fit(
                np.vstack([X, X_validation]), (everything - self.mean_) / self.scale_
            )
        self.width_ = self.scale_ * errors[best] ** 0.5
        return self

    def predict(self, X: Array) -> Array:
        """Mean m(x) of shape (n,)."""
        return np.asarray(self.mean_ + self.scale_ * self.model_.predict(X))

    def log_prob(self, X: Array, y: Array) -> Array:
        """Log-density of the targets in nats, (n,)."""
        return LossDensity("squared", scale=self.width_).log_prob(y - self.predict(X))

    def pit(self, X: Array, y: Array) -> Array:
        """CDF at the targets, (n,)."""
        return np.asarray(special.ndtr((y - self.predict(X)) / self.width_))

    def predict_quantile(self, X: Array, q: Array) -> Array:
        """Quantiles of levels q (k,), shape (n, k)."""
        return np.asarray(self.predict(X)[:, None] + self.width_ * special.ndtri(q))
