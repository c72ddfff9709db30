"""Normalisation by differentiation in many variables: a triangular map, its CDFs and quantiles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Self, final

import numpy as np
from sklearn.utils.validation import check_is_fitted

from neurolp.arrays import Array
from neurolp.brain.base_density import base_density
from neurolp.brain.heads.head import dream, log_prob
from neurolp.brain.marginal import learn_marginal_transform
from neurolp.differentiation.column_orders import candidate_orders
from neurolp.errors import ConfigurationError, DataError
from neurolp.estimators import ranges
from neurolp.estimators.triangular_learning import learn_triangular_map, trial_surprise
from neurolp.estimators.validation import (
    Density,
    column_name,
    finite_rows,
    fitted_or_not,
    mean_and_scale,
    resolve_seed,
    validation_split,
)
from neurolp.simulation.batch import Batch


@final
@dataclass(eq=False, repr=False, kw_only=True)
class TriangularDensity(Density):
    """Density estimation by differentiation of a triangular map, whose CDFs are exact.

        Phi(x) = prod_i dy_i/dx_i,   y_i = F_i(x_i | x_1 .. x_i-1),   dy_i/dx_i = p(x_i | x_<i),

    in an order of the columns. The map is a composition of closed-form monotone steps:

    1. columns with steps or spikes are equalised (``neurolp.brain.marginal``);
    2. layers: column i is scaled and shifted by functions of the earlier ones, then bent by a
       monotone spline, c_i,t+1 = g_it(exp(G_it(c_<i)) c_i + I_it(c_<i)). Each layer is learned
       greedily from the local terms -log dc_i,t+1/dc_i,t of the loss, no gradient travels between
       layers (``neurolp.brain.rules.greedy``);
    3. the conditional distribution functions of an average of Gaussian mixtures, read in a few
       layers: units whose gates and means are functions of the earlier columns
       (``neurolp.differentiation.triangular``). For few columns a tree of histograms votes too.

    Number of layers, heads and their weights are chosen on validation data.

    Source: T. Katayose, arXiv:2311.13341 (2023).

    Parameters
    ----------
    order : {"chosen", "given"} or permutation of the columns
        Which column comes first, second, ..; "chosen" tries a few orders with a few layers each
        (see ``neurolp.differentiation.column_orders``) and keeps the best on validation data. All
        orders describe the same densities in the limit, but the conditional CDFs are about
        different questions: give the order where they matter to you.
    max_layers, patience : int
        Stop after ``max_layers``, or when ``patience`` layers brought no lower surprise on
        validation data.
    validation_fraction : float
        Share of the rows that ``fit`` sets aside for validation when it is given none.
    random_state : None, int, RandomState or Generator
        Seed of the layers' groups and the validation split; kept in ``seed_``.
    n_threads : None or int
        Threads to use, all available by default. Results do not depend on it.

    Attributes
    ----------
    order_ : array of shape (n_features,)
        Columns from first to last.
    n_layers_ : int
        Layers in use at most; heads may look at earlier ones.
    map_ : TriangularMap
        The map of potentials, columns in the order.
    marginal_transform_ : MarginalTransform or None
        The equalisation, columns as given.
    mean_, scale_ : arrays of shape (n_features,)
        Standardisation, from the training rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data + np.random.default_rng(0).uniform(-0.05, 0.05, (150, 4))
    >>> density = TriangularDensity(random_state=0).fit(X)
    >>> from sklearn.mixture import GaussianMixture
    >>> bool(density.score(X) > GaussianMixture(1).fit(X).score(X))
    True
    >>> y = density.cdf(X)
    >>> bool(np.allclose(density.quantile(y), X, atol=1e-9))
    True
    """

    order: Any = "chosen"
    max_layers: ranges.Count = 400
    patience: ranges.Positive = 25
    validation_fraction: ranges.Share = 0.2
    random_state: Any = None
    n_threads: ranges.Positive | None = None

    @fitted_or_not
    def fit(self, X: Any, y: Any = None, *, X_validation: Any = None) -> Self:
        """Learn the density of the rows of ``X`` (n_samples, n_features); ``y`` is ignored.

        Rows of ``X_validation`` make the choices; they are split off ``X`` when not given.

        Raises
        ------
        DataError
            If the data have NaN or infinite values, a column that is constant, or one row.
        ConfigurationError
            If a parameter is out of range.
        KeyboardInterrupt
            After Ctrl-C; the estimator is not fitted then.
        """
        X = finite_rows(self, X, "X", reset=True)
        ranges.check_parameters(type(self), vars(self))
        order = _checked_order(self.order, X.shape[1])
        self.seed_ = resolve_seed(self.random_state)
        if X_validation is None:
            mine, other = validation_split(len(X), self.validation_fraction, self.seed_)
            train, validation = X[mine], X[other]
        else:
            train, validation = X, finite_rows(self, X_validation, "X_validation")
        self.mean_, self.scale_ = mean_and_scale(train, label=partial(column_name, self))
        self.marginal_transform_ = None
        parts = {
            "train": self._present(train).potential,
            "validation": self._present(validation).potential,
        }
        self.marginal_transform_ = learn_marginal_transform(
            base_density("normal"), parts["train"], parts["validation"], self.n_threads
        )
        if self.marginal_transform_ is not None:
            parts = {name: self.marginal_transform_.forward(u)[0] for name, u in parts.items()}

        candidates = candidate_orders(parts["train"]) if order is None else [order]
        ordered = [
            {name: np.ascontiguousarray(u[candidate]) for name, u in parts.items()}
            for candidate in candidates
        ]
        best = 0
        if len(candidates) > 1:
            surprise = [trial_surprise(some, self.seed_, self.n_threads) for some in ordered]
            best = int(np.argmin(surprise))
        self.order_ = candidates[best]
        self.map_ = learn_triangular_map(
            ordered[best], self.max_layers, self.patience, self.seed_, self.n_threads
        )
        self.n_layers_ = max(weighted.time for weighted in self.map_.heads)
        return self

    def score_samples(self, X: Any) -> Array:
        """Log-density of each row in nats and the units of ``X``, shape (n_samples,)."""
        check_is_fitted(self)
        start = self._present(finite_rows(self, X, "X"))
        map_, u = self.map_, np.ascontiguousarray(start.potential[self.order_])
        return np.asarray(log_prob(map_.network, map_.heads, u, self.n_threads) + start.log_det)

    def cdf(self, X: Any) -> Array:
        """y_i = P(X_i <= x_i | x_j, j before i in ``order_``), shape (n_samples, n_features).

        Uniform and independent for rows drawn from the density (probability integral transform).
        """
        check_is_fitted(self)
        start = self._present(finite_rows(self, X, "X"))
        out = np.empty((len(start.log_det), self.n_features_in_))
        out[:, self.order_] = self.map_.evaluate(start.potential[self.order_]).upper.T
        return out

    def pit(self, X: Any) -> Array:
        """Probability integral transforms: :meth:`cdf` by its other name."""
        return self.cdf(X)

    def quantile(self, U: Any) -> Array:
        """Rows whose conditional CDFs are ``U`` (n_samples, n_features): inverse of :meth:`cdf`.

        Accurate to rounding where the density is not tiny: near 1 a CDF is known to 1e-16 only, so
        that x is known to 1e-16 / p(x_i | x_<i) in the upper tail. 0 and 1 are taken as the
        smallest positive number and the largest below 1.

        Raises
        ------
        DataError
            If a value is not in [0, 1].
        """
        check_is_fitted(self)
        rows = finite_rows(self, U, "U")
        bad = np.argwhere((rows < 0) | (rows > 1))
        if len(bad):
            row, column = bad[0]
            raise DataError(
                f"argument `U` must lie in [0, 1], but contains {rows[row, column]:g} "
                f"at row {row}, column {column_name(self, column)}"
            )
        tiny, most = np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).epsneg
        y = np.clip(rows, tiny, most).T[self.order_]
        return self._express(self.map_.inverse(y))

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draw rows from the density, shape (n_samples, n_features)."""
        check_is_fitted(self)
        ranges.check_value("n_samples", n_samples, ranges.Positive)
        rng = np.random.default_rng(resolve_seed(random_state))
        map_ = self.map_
        return self._express(dream(map_.network, map_.heads, int(n_samples), rng, self.n_threads))

    # --- inside -----------------------------------------------------------------------------------

    def _present(self, rows: Array) -> Batch:
        """Potentials of the rows, columns as given, and the log-determinant of all that."""
        potential = ((rows - self.mean_) / self.scale_).T
        log_det = np.full(len(rows), -np.log(self.scale_).sum())
        if self.marginal_transform_ is not None:
            potential, change = self.marginal_transform_.forward(potential)
            log_det += change
        return Batch(np.ascontiguousarray(potential), log_det)

    def _express(self, potential: Array) -> Array:
        """The rows of potentials whose columns are in the order."""
        given = np.empty(potential.shape)
        given[self.order_] = potential
        if self.marginal_transform_ is not None:
            given = self.marginal_transform_.inverse(given)
        return np.asarray(given.T * self.scale_ + self.mean_)


def _checked_order(order: Any, n_features: int) -> Array | None:
    """The permutation that is asked for; None where it is to be chosen."""
    if isinstance(order, str):
        if order not in ("chosen", "given"):
            raise ConfigurationError(
                f"argument `order` must be 'chosen', 'given' or a permutation of the columns, "
                f"but is {order!r}"
            )
        return np.arange(n_features) if order == "given" else None
    given = np.asarray(order)
    wanted = np.arange(n_features)
    if given.shape != wanted.shape or not np.array_equal(np.sort(given), wanted):
        raise ConfigurationError(
            f"argument `order` must have each of the columns 0 .. {n_features - 1} once, "
            f"but is {order!r}"
        )
    return given.astype(np.intp)
