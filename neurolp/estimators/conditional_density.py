"""Supervised learning of whole conditional densities: ConditionalDensity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, Self, final

import numpy as np
from pydantic import Field
from scipy.stats import qmc
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from neurolp.arrays import Array
from neurolp.differentiation.conditional_unit import learn_conditional
from neurolp.differentiation.ensemble import EnsembleConfig
from neurolp.errors import ConfigurationError, DataError
from neurolp.estimators import ranges
from neurolp.estimators.files import StoredEstimator
from neurolp.estimators.validation import (
    KnownAttributes,
    finite_rows,
    finite_targets,
    fitted_or_not,
    mean_and_scale,
    pairs,
    resolve_seed,
    with_validation,
)

_LOG2_DRAWS = 6  # of earlier targets, where later ones need an average over them
_BLOCK_ROWS = 256  # bounds memory there


@dataclass(eq=False, repr=False, kw_only=True)
class EnsembleEstimator(KnownAttributes, StoredEstimator, BaseEstimator):
    """Estimators that are averages of small networks; subclasses are final."""

    hidden: Sequence[ranges.Positive]
    decays: ranges.Strengths
    input_noise: ranges.Strengths
    trees: bool = True
    n_members: Annotated[int, Field(ge=2, le=1000, strict=True)] = 5
    rate: ranges.Share = 3e-3
    batch_size: ranges.Positive | None = None
    max_epochs: ranges.Count = 500
    patience: ranges.Positive = 20
    random_state: Any = None

    def _ensemble(self) -> EnsembleConfig:
        """Configuration of the ensemble, from the checked parameters."""
        values = {field.name: getattr(self, field.name) for field in fields(EnsembleConfig)}
        for name in ("decays", "input_noise"):
            values[name] = tuple(dict.fromkeys(float(v) for v in values[name]))
        return EnsembleConfig(**values | {"hidden": tuple(int(h) for h in self.hidden)})


@final
@dataclass(eq=False, repr=False, kw_only=True)
class ConditionalDensity(RegressorMixin, EnsembleEstimator):
    """Regression that learns p(y | x) as a whole: normalisation by differentiation.

    Each target has a unit that is monotone in it and runs from exactly 0 to exactly 1, the
    conditional CDF; its slope is the density. With several targets the Jacobian is triangular:

        F_i = F(y_i | x, y_1 ... y_{i-1}),      log p(y | x) = sum_i log dF_i/dy_i

    exactly normalised for each x and for any parameters. The units are averages of members of two
    kinds, functions of x (and of earlier targets). Perceptrons whose outputs are the parameters of
    a mixture start as a ridge regression with Gaussian noise and are learned by exact gradients of
    -log p. Boosted trees predict the target, or its logarithm where that is more likely, and the
    width of their own errors. Early stopping, all choices and the weights of the average use
    held-out rows; every row is held out from some of the members.

    Targets are taken to be continuous: repeated values of a discrete target are spikes of the
    density, which the members will learn; spread them first by noise of the width of their grid.

    Sources: T. Katayose, arXiv:2311.13341 (2023). Mixtures with parameters from a network: C. M.
    Bishop, "Mixture density networks", Aston University NCRG/94/004 (1994).

    Parameters
    ----------
    n_components : int
        Components of the mixture of each member.
    component : {"normal", "logistic"}
        Their form; logistic tails are heavier.
    trees : bool
        Whether boosted trees are in the average; with few rows they never are.
    hidden : sequence of int
        Units of the hidden layers; an empty one is a linear model.
    decays : sequence of float
        Strengths of the pull to the start: the inverse variances of a prior around it.
    input_noise : sequence of float
        Noise on the inputs while learning, in their standard deviations.
    n_members : int
        Members with each of ``decays`` and each of ``input_noise``, as many folds of the rows; what
        share they get is decided by the held-out likelihood.
    rate, batch_size : float, int or None
        Step of a weight (Adam), and rows between two steps; None suits it to the table.
    max_epochs, patience : int
        A member stops after so many passes through its rows, or when ``patience`` of them brought
        no higher held-out likelihood.
    random_state : None, int, RandomState or Generator
        Seed of folds and beginnings; the one used is kept in ``seed_``.

    Attributes
    ----------
    units_ : tuple of ConditionalUnit
        The conditional CDF of each target.
    n_targets_ : int
        Number of targets.
    held_out_score_ : float
        Mean log-density of the rows under the members that did not learn from them, in nats.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(-1, 1, (200, 1))
    >>> y = 3 * x[:, 0] + (0.2 + abs(x[:, 0])) * rng.standard_normal(200)
    >>> model = ConditionalDensity(hidden=(8,), random_state=0).fit(x, y)
    >>> low, high = model.predict_interval([[0.0], [1.0]], 0.9).T
    >>> bool(high[1] - low[1] > 1.5 * (high[0] - low[0]))
    True
    >>> bool(np.allclose(model.pit(x, model.predict_quantile(x, 0.25)), 0.25, atol=1e-9))
    True
    """

    n_components: ranges.Components = 6
    component: Literal["normal", "logistic"] = "normal"
    hidden: Sequence[ranges.Positive] = (64, 64)
    decays: ranges.Strengths = (1.0,)
    input_noise: ranges.Strengths = (0.0, 0.1, 0.4)

    @fitted_or_not
    def fit(self, X: Any, y: Any, *, X_validation: Any = None, y_validation: Any = None) -> Self:
        """Learn the density of the targets ``y`` given the rows of ``X``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Conditions.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        X_validation, y_validation : array-like, optional
            Rows that say when to stop and what to mix. Without them the rows of ``X`` take turns,
            and all are learned from by some members.

        Raises
        ------
        DataError
            If the data have NaN or infinite values, a single row, or a constant target.
        ConfigurationError
            If a parameter is out of range.
        """
        rows, targets = pairs(self, X, y, finite_targets, reset=True)
        ranges.check_parameters(type(self), vars(self))
        self.seed_ = resolve_seed(self.random_state)
        if len(rows) < 2:
            raise DataError(
                f"argument `X` must have at least 2 rows, but has n_samples = {len(rows)}"
            )
        mean_and_scale(targets, "y")
        self.n_targets_, self._flat = targets.shape[1], np.asarray(y).ndim == 1
        rows, targets, n_validation = with_validation(
            self, rows, targets, X_validation, y_validation, self._targets
        )
        self.units_ = tuple(
            learn_conditional(
                np.hstack([rows, targets[:, :i]]),
                targets[:, i],
                self._ensemble(),
                int(np.random.SeedSequence([self.seed_, i]).generate_state(1)[0]),
                n_components=self.n_components,
                component=self.component,
                trees=self.trees,
                n_validation=n_validation,
            )
            for i in range(self.n_targets_)
        )
        self.held_out_score_ = sum(unit.held_out_score for unit in self.units_)
        return self

    def log_prob(self, X: Any, y: Any) -> Array:
        """Log p(y | x) of each row in nats, in the units of ``y``; shape (n_samples,)."""
        check_is_fitted(self)
        rows, targets = pairs(self, X, y, self._targets)
        parts = [
            unit.log_prob(np.hstack([rows, targets[:, :i]]), targets[:, i])
            for i, unit in enumerate(self.units_)
        ]
        return np.asarray(np.sum(parts, axis=0))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Mean log p(y | x) of the rows in nats; weighted by ``sample_weight`` (n_samples,)."""
        return float(np.average(self.log_prob(X, y), weights=sample_weight))

    def pit(self, X: Any, y: Any) -> Array:
        """Conditional CDFs F(y_i | x, y_1 ... y_{i-1}), of the shape of ``y``.

        The probability integral transform: independent and uniform on (0, 1) where the model is
        true.
        """
        check_is_fitted(self)
        rows, targets = pairs(self, X, y, self._targets)
        parts = [
            unit.cdf(np.hstack([rows, targets[:, :i]]), targets[:, i])
            for i, unit in enumerate(self.units_)
        ]
        return self._shaped(np.column_stack(parts))

    def inverse_pit(self, X: Any, levels: Any) -> Array:
        """The targets whose :meth:`pit` is ``levels``, in [0, 1] and of the shape of ``y``."""
        check_is_fitted(self)
        rows, u = pairs(self, X, levels, self._targets, ("X", "levels"))
        _check_levels("levels", u)
        out = np.empty((len(rows), 0))
        for i, unit in enumerate(self.units_):
            out = np.column_stack([out, unit.quantile(np.hstack([rows, out]), u[:, i])])
        return self._shaped(out)

    def predict(self, X: Any) -> Array:
        """Mean of y given x, of the shape of ``y``.

        Exact for the first target. For those that follow, the mean given x and the earlier targets
        is averaged over 64 quasi-random draws of these.
        """
        check_is_fitted(self)
        rows = finite_rows(self, X, "X")
        if self.n_targets_ == 1:
            return self._shaped(self.units_[0].expectation(rows)[:, None])
        out = np.empty((len(rows), self.n_targets_))
        for block, inputs, n_draws in self._drawn(rows):
            for i, unit in enumerate(self.units_):
                each = unit.expectation(inputs[:, : rows.shape[1] + i])
                out[block, i] = each.reshape(-1, n_draws).mean(axis=1)
        return self._shaped(out)

    def predict_quantile(self, X: Any, q: Any) -> Array:
        """Quantiles of each target given x.

        ``q`` is a level in [0, 1], and the result has the shape of ``y``; or several levels, which
        become a further, last axis. Exact (the inverse of :meth:`pit`) for the first target. For
        those that follow, the CDF given x and the earlier targets is averaged over 64 quasi-random
        draws of these.

        Raises
        ------
        ConfigurationError
            If a level is not in [0, 1].
        """
        check_is_fitted(self)
        rows = finite_rows(self, X, "X")
        levels = np.atleast_1d(np.asarray(q, dtype=np.float64))
        if levels.ndim != 1:
            raise ConfigurationError(
                f"argument `q` must be a number or a sequence of them, but has shape {np.shape(q)}"
            )
        _check_levels("q", levels)
        out = np.empty((len(rows), self.n_targets_, len(levels)))
        for k, level in enumerate(levels):
            out[:, 0, k] = self.units_[0].quantile(rows, np.full(len(rows), level))
        if self.n_targets_ > 1:
            for block, inputs, n_draws in self._drawn(rows):
                for i, unit in enumerate(self.units_[1:], start=1):
                    known = inputs[:, : rows.shape[1] + i]
                    out[block, i] = unit.merged_quantile(known, n_draws, levels)
        out = out if np.ndim(q) else out[:, :, 0]
        return out[:, 0] if self._flat else out

    def predict_interval(self, X: Any, level: float = 0.9) -> Array:
        """Central interval of each target given x, which holds it with probability ``level``.

        Shape (n_samples, 2), or (n_samples, n_targets, 2); see :meth:`predict_quantile`.
        """
        _check_levels("level", np.asarray(level, dtype=np.float64))
        return self.predict_quantile(X, [0.5 * (1.0 - level), 0.5 * (1.0 + level)])

    def sample(self, X: Any, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draw targets given each row of ``X``: (n_samples, n_rows), or (..., n_targets)."""
        check_is_fitted(self)
        rows = finite_rows(self, X, "X")
        rng = np.random.default_rng(resolve_seed(random_state))
        inputs = np.tile(rows, (n_samples, 1))
        for unit in self.units_:
            uniform = np.clip(rng.random((len(inputs), 2)), 1e-300, None)
            inputs = np.column_stack([inputs, unit.draw(inputs, uniform)])
        out = inputs[:, rows.shape[1] :].reshape(n_samples, len(rows), self.n_targets_)
        return out[..., 0] if self._flat else out

    def __sklearn_tags__(self) -> Any:
        """Tags: several targets are allowed; ``score`` is a mean log-density, not R^2."""
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        tags.target_tags.multi_output = True
        return tags

    # --- inside -----------------------------------------------------------------------------------

    def _targets(self, y: Any, name: str) -> Array:
        return finite_targets(y, name, self.n_targets_)

    def _shaped(self, columns: Array) -> Array:
        return columns[:, 0] if self._flat else columns

    def _drawn(self, rows: Array) -> Any:
        """Blocks of rows, each row followed by quasi-random draws of all targets but the last.

        Yields the block, inputs (n_block * n_draws, n_features + n_targets - 1), and n_draws.
        """
        sobol = qmc.Sobol(2 * (self.n_targets_ - 1), rng=np.random.default_rng(self.seed_))
        points = np.clip(sobol.random_base2(_LOG2_DRAWS), 1e-12, 1 - 1e-12)
        n_draws = len(points)
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            inputs = np.repeat(rows[block], n_draws, axis=0)
            uniform = np.tile(points, (len(rows[block]), 1))
            for i, unit in enumerate(self.units_[:-1]):
                inputs = np.column_stack([inputs, unit.draw(inputs, uniform[:, 2 * i : 2 * i + 2])])
            yield block, inputs, n_draws


def _check_levels(name: str, levels: Array) -> None:
    if not np.all((levels >= 0) & (levels <= 1)):
        raise ConfigurationError(f"argument `{name}` must lie in [0, 1], but is {levels}")
