"""Regression in the experiment ``supervised``: the whole of p(y | x) against least squares."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from scipy import special
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurolp.arrays import Array, NamedArrays
from neurolp.brain.workers import single_threaded_blas
from neurolp.data.supervised import SupervisedSplit
from neurolp.estimators import ConditionalDensity
from neurolp.evaluation.losses import LossDensity
from neurolp.evaluation.metrics import calibration_test, pit_histogram
from neurolp.runs.kinds import SummaryTable
from neurolp.storage.reader import Trajectory

MODELS = ("conditional density", "least squares")
LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
_BINS = 20
_SHOWN_ROWS = 300
_MAP_SIZE = 121

# Dimensions, units and meaning of what is measured on the test rows of every problem.
_MEASURED = {
    "regression_log_prob": ("regression_model", "nat", "mean of log p(y | x) over test rows"),
    "regression_log_prob_error": ("regression_model", "nat", "its standard error"),
    "regression_rmse": ("regression_model", "target", "root mean squared error of E[y | x]"),
    "regression_coverage": ("regression_model", "1", "share of targets in the 90 % interval"),
    "regression_width": ("regression_model", "target", "mean width of that interval"),
    "regression_calibration_p": ("regression_model", "1", "p-value, PIT uniform (chi-square)"),
    "regression_seconds": ("regression_model", "s", "time of fitting"),
    "regression_true_log_prob": ("", "nat", "log_prob of the true density, where it is known"),
    "pit_counts": ("regression_model pit_bin", "1", "test rows by their F(y | x)"),
    "regression_target": ("regression_row", "target", "y of test rows"),
    "regression_quantile": ("regression_model regression_row level", "target", "of p(y | x)"),
}
# The same of problems with one condition, for which p(y | x) is mapped.
_MAPPED = {
    "map_condition": ("map_x", "x", "condition"),
    "map_target": ("map_y", "target", "target"),
    "map_density": ("map_model map_y map_x", "1/target", "p(y | x); NaN where not known"),
}


class LeastSquares:
    """Least squares as a conditional density: normal, of one width, around a predicted mean.

        log p(y | x) = -(y - m(x))^2 / (2 s^2) - log(s sqrt(2 pi))

    m is a ridge regression or a perceptron, whichever has the lower error on validation rows; s is
    that error, and m is then fitted to these rows too.
    """

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


def measure(data: SupervisedSplit, seed: int) -> dict[str, Any]:
    """Fit both models and measure them on test rows: arrays by name; first axis the models."""
    X, y = data.X_test, data.y_test
    began = time.monotonic()
    # Least squares has a density, with which only a density can be compared.
    density = ConditionalDensity(target_kind="continuous", random_state=seed).fit(
        data.X_train, data.y_train, X_validation=data.X_validation, y_validation=data.y_validation
    )
    middle = time.monotonic()
    squares = LeastSquares().fit(
        data.X_train, data.y_train, data.X_validation, data.y_validation, seed=seed
    )
    seconds = np.array([middle - began, time.monotonic() - middle])
    models: tuple[Any, ...] = (density, squares)
    log_prob = np.stack([model.log_prob(X, y) for model in models])
    quantiles = np.stack([model.predict_quantile(X, LEVELS) for model in models])
    low, high = quantiles[:, :, 0], quantiles[:, :, -1]
    pit = [np.clip(model.pit(X, y), 0, 1) for model in models]
    true = np.nan if data.log_density is None else float(data.log_density(X, y).mean())
    return {
        "title": data.title,
        "regression_log_prob": log_prob.mean(axis=1),
        "regression_log_prob_error": log_prob.std(axis=1, ddof=1) / np.sqrt(len(y)),
        "regression_rmse": [np.sqrt(np.mean((y - model.predict(X)) ** 2)) for model in models],
        "regression_coverage": np.mean((y >= low) & (y <= high), axis=1),
        "regression_width": np.mean(high - low, axis=1),
        "regression_calibration_p": [calibration_test(p).chi_square_p for p in pit],
        "regression_seconds": seconds,
        "regression_true_log_prob": true,
        "pit_counts": [pit_histogram(p, _BINS).counts for p in pit],
        "regression_target": _padded(y, 0),
        "regression_quantile": _padded(quantiles, 1),
        **(_mapped(data, models) if X.shape[1] == 1 else {}),
    }


def _padded(values: Array, axis: int) -> Array:
    """The first rows along ``axis``, with NaN beyond the last."""
    shown = np.take(values, range(min(values.shape[axis], _SHOWN_ROWS)), axis)
    pad = [(0, _SHOWN_ROWS - shown.shape[axis] if k == axis else 0) for k in range(shown.ndim)]
    return np.pad(shown, pad, constant_values=np.nan)


def _mapped(data: SupervisedSplit, models: tuple[Any, ...]) -> dict[str, Array]:
    """p(y | x) of both models, and of the truth where it is known, on a grid."""
    x = np.linspace(data.X_train.min(), data.X_train.max(), _MAP_SIZE)
    low, high = data.y_train.min(), data.y_train.max()
    pad = 0.1 * (high - low)
    y = np.linspace(low - pad, high + pad, _MAP_SIZE)
    pairs = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    logs = [model.log_prob(pairs[:, :1], pairs[:, 1]) for model in models]
    unknown = np.full(len(pairs), np.nan)
    true = data.log_density
    logs.append(unknown if true is None else true(pairs[:, :1], pairs[:, 1]))
    density = np.exp(logs).reshape(3, _MAP_SIZE, _MAP_SIZE)
    return {"map_condition": x, "map_target": y, "map_density": density}


def stacked(
    found: Sequence[Mapping[str, Any]], dim: str, measured: Mapping[str, tuple[str, str, str]]
) -> dict[str, tuple[str, Array, str, str]]:
    """Variables along ``dim`` of what was measured on several problems."""
    return {
        name: (f"{dim} {dims}", np.stack([f[name] for f in found]), units, what)
        for name, (dims, units, what) in measured.items()
    }


def named_arrays(found: list[dict[str, Any]]) -> NamedArrays:
    """What :func:`measure` returned for all problems."""
    out = NamedArrays.of(
        coordinates={
            "regression": ([f["title"] for f in found], "1", "problem"),
            "regression_model": (MODELS, "1", "model of p(y | x)"),
            "pit_bin": ((np.arange(_BINS) + 0.5) / _BINS, "1", "middle of a bin"),
            "regression_row": (np.arange(_SHOWN_ROWS), "1", "test row; NaN beyond the last"),
            "level": (LEVELS, "1", "of a quantile"),
        },
        variables=stacked(found, "regression", _MEASURED),
    )
    maps = [f for f in found if "map_density" in f]
    if maps:
        place = (np.arange(_MAP_SIZE), "1", "position, from the low end")
        coordinates = {
            "map": ([f["title"] for f in maps], "1", "problem with one condition"),
            "map_model": ((*MODELS, "true"), "1", "density"),
            "map_x": place,
            "map_y": place,
        }
        out.update(NamedArrays.of(coordinates, stacked(maps, "map", _MAPPED)))
    return out


def summary(file: Trajectory) -> list[SummaryTable]:
    """Log-densities, errors and intervals of both models."""
    if "regression_log_prob" not in file:
        return []
    score = file["regression_log_prob"]
    formats = {"log_prob_error": ".3f", "rmse": ".4g", "coverage": ".1%", "width": ".4g"}
    formats["calibration_p"] = ".1g"
    numbers = {name: file[f"regression_{name}"].values for name in formats}
    rows = []
    for k, problem in enumerate(score.coords["regression"].values):
        for j, model in enumerate(score.coords["regression_model"].values):
            error, *cells = (f"{numbers[name][k, j]:{how}}" for name, how in formats.items())
            rows.append((str(problem), str(model), f"{score.values[k, j]:.3f} +- {error}", *cells))
        true = file["regression_true_log_prob"].values[k]
        if np.isfinite(true):
            rows.append((str(problem), "the truth", f"{true:.3f}", "", "", "", ""))
    title = "Regression, test rows: log p(y | x) in nats (higher is better), 90 % intervals"
    columns = ("problem", "model", "log p(y | x)", "rmse", "covered", "width", "PIT p")
    return [SummaryTable(title, columns, rows)]
