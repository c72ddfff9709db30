"""Supervised learning of whole conditional densities: ConditionalDensity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self, cast, final

import numpy as np
from scipy.stats import qmc
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from neurolp.arrays import Array
from neurolp.differentiation.conditional_unit import ConditionalUnit, learn_conditional
from neurolp.differentiation.softmax_unit import LabelUnit, learn_labels
from neurolp.errors import ConfigurationError
from neurolp.estimators import ranges
from neurolp.estimators.ensembles import EnsembleEstimator
from neurolp.estimators.targets import Kind, Targets, check_levels
from neurolp.estimators.validation import fitted_or_not, pairs, resolve_seed, with_validation
from neurolp.estimators.weights import training_pairs

_LOG2_DRAWS = 6  # of earlier targets, where later ones need an average over them
_BLOCK_ROWS = 256  # bounds memory there


def _by_categories(model: Any) -> bool:
    targets = getattr(model, "targets_", None)
    if targets is None or len(targets) > 1 or not targets.labelled[0]:
        raise AttributeError("predict_proba needs a fit to a target of categories")
    return True


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

    A target on a grid (whole numbers, few values, ordered categories) has a probability mass, that
    of its cell; all members are learned and judged by it:

        P(k) = F(k + s/2 | x) - F(k - s/2 | x),      sum_k P(k) = 1.

    The first and the last of a closed list of values have all that lies beyond. A nominal target
    has the softmax of ``ConditionalClassifier``. Scores are logs of masses or of densities: compare
    them only where the target is of one kind.

    Inputs may be numbers, strings, categories, booleans and dates, with holes: see
    ``neurolp.data.inputs``.

    Sources: T. Katayose, arXiv:2311.13341 (2023). Mixtures with parameters from a network: C. M.
    Bishop, "Mixture density networks", Aston University NCRG/94/004 (1994).

    Parameters
    ----------
    target_kind : {"auto", "continuous", "ordinal", "nominal"}
        What the targets are. "auto" infers it (``neurolp.data.column_inference``): whole numbers
        and few values are ordinal, but a single target of zeros and ones is nominal, as strings,
        booleans and unordered categories are. A nominal target has to be the only one.
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
    kinds : mapping, optional
        Kinds of some columns of ``X``, by name or position: "continuous", "ordinal" or "nominal";
        the others are inferred.
    random_state : None, int, RandomState or Generator
        Seed of folds and beginnings; the one used is kept in ``seed_``.
    verbose : bool
        Whether ``fit`` shows its progress, as ``neurolp run`` does: a bar on a terminal, elsewhere
        a line every few seconds.

    Attributes
    ----------
    units_ : tuple of ConditionalUnit or LabelUnit
        The conditional CDF of each target; the softmax of a nominal one.
    targets_ : Targets
        Kinds of the targets, with their levels or categories: ``targets_.columns``.
    columns_ : Columns
        Kinds of the columns of ``X``.
    inputs_ : TableInputs
        The inputs that they become.
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

    target_kind: Kind = "auto"
    n_components: ranges.Components = 6
    component: Literal["normal", "logistic"] = "normal"
    hidden: Sequence[ranges.Positive] = (64, 64)
    decays: ranges.Strengths = (1.0,)
    input_noise: ranges.Strengths = (0.0, 0.1, 0.4)

    @fitted_or_not
    def fit(
        self,
        X: Any,
        y: Any,
        *,
        X_validation: Any = None,
        y_validation: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Learn the density of the targets ``y`` given the rows of ``X``.

        Parameters
        ----------
        X : frame or array of shape (n_samples, n_features)
            Conditions; values may be missing.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        X_validation, y_validation : as X and y, optional
            Rows that say when to stop and what to mix. By default the rows of ``X`` take turns.
        sample_weight : array-like of shape (n_samples,), optional
            How often each row counts; two equal rows are one of weight 2. Fractions are rounded at
            random, up or down with the right mean.

        Raises
        ------
        DataError
            If the conditions are infinite, a target is missing or infinite, or constant, there is a
            single row, or a target for validation is not on the grid of the others.
        ConfigurationError
            If a parameter is out of range.
        """
        ranges.check_parameters(type(self), vars(self))
        self.seed_ = resolve_seed(self.random_state)
        read = partial(pairs, partial(self._inputs, reset=True), self._first_targets)
        rows, codes = training_pairs(read, X, y, sample_weight, self.seed_)
        self.n_targets_ = len(self.targets_)
        rows, codes, n_validation = with_validation(
            rows, codes, self._inputs, self.targets_.encode_possible, X_validation, y_validation
        )
        options: dict[str, Any] = {"trees": self.trees, "n_validation": n_validation}
        self.units_: tuple[ConditionalUnit | LabelUnit, ...] = ()
        if self.targets_.nominal:
            n = len(self.targets_.columns[0].categories)
            y = codes[:, 0].astype(np.int64)
            unit = learn_labels(rows, y, n, self._ensemble(), self._seed_of(0), **options)
            self.units_ = (unit,)
        else:
            options |= {"n_components": self.n_components, "component": self.component}
            for i, y in enumerate(codes.T):
                known, seed = np.hstack([rows, codes[:, :i]]), self._seed_of(i)
                options["axis"] = self.targets_.axis(i)
                self.units_ += (learn_conditional(known, y, self._ensemble(), seed, **options),)
        self.held_out_score_ = sum(unit.held_out_score for unit in self.units_)
        return self

    def log_prob(self, X: Any, y: Any) -> Array:
        """Log p(y | x) of each row in nats, (n_samples,).

        Of the mass of ordinal and nominal targets, and of the density of others in the units of
        ``y``. It is -inf where an ordinal target is not on its grid.
        """
        check_is_fitted(self)
        rows, codes = pairs(self._inputs, self.targets_.encode, X, y)
        if self.targets_.nominal:
            log_proba = self._labels.log_proba(rows)
            return np.asarray(log_proba[np.arange(len(rows)), codes[:, 0].astype(np.int64)])
        parts = [
            unit.log_prob(np.hstack([rows, codes[:, :i]]), codes[:, i])
            for i, unit in enumerate(self._ordered())
        ]
        return np.where(self.targets_.possible(codes), np.sum(parts, axis=0), -np.inf)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Mean log p(y | x) of the rows in nats; weighted by ``sample_weight`` (n_samples,)."""
        return float(np.average(self.log_prob(X, y), weights=sample_weight))

    def pit(self, X: Any, y: Any) -> Array:
        """Conditional CDFs F(y_i | x, y_1 ... y_{i-1}), of the shape of ``y``.

        The probability integral transform: independent and uniform on (0, 1) where the model is
        true and all targets are continuous. That of an ordinal target is P(Y <= y).
        """
        check_is_fitted(self)
        units = self._ordered("pit")
        rows, codes = pairs(self._inputs, self.targets_.encode, X, y)
        parts = [
            unit.cdf(np.hstack([rows, codes[:, :i]]), codes[:, i]) for i, unit in enumerate(units)
        ]
        return self._shaped(np.column_stack(parts))

    def inverse_pit(self, X: Any, levels: Any) -> Array:
        """The least targets whose :meth:`pit` reaches ``levels``, in [0, 1], of the shape of ``y``.

        Their :meth:`pit` is ``levels`` where all targets are continuous.
        """
        check_is_fitted(self)
        units = self._ordered("inverse_pit")
        rows, u = pairs(self._inputs, self.targets_.read_levels, X, levels, ("X", "levels"))
        out = np.empty((len(rows), 0))
        for i, unit in enumerate(units):
            out = np.column_stack([out, unit.quantile(np.hstack([rows, out]), u[:, i])])
        return self.targets_.shaped(out)

    def predict(self, X: Any) -> Array:
        """Mean of y given x, of the shape of ``y``; of labels the most probable.

        Exact for the first target. For those that follow, the mean given x and the earlier targets
        is averaged over 64 quasi-random draws of these. Of ordered categories it is the median.
        """
        check_is_fitted(self)
        rows = self._inputs(X)
        if self.targets_.nominal:
            most = np.argmax(self._labels.log_proba(rows), axis=1)
            return self.targets_.shaped(most[:, None])
        if self.n_targets_ == 1 and self.targets_.labelled[0]:
            return self.predict_quantile(X, 0.5)
        units = self._ordered()
        if self.n_targets_ == 1:
            return self._shaped(units[0].expectation(rows)[:, None])
        out = np.empty((len(rows), self.n_targets_))
        for block, inputs, n_draws in self._drawn(rows):
            for i, each in enumerate(units):
                mean = each.expectation(inputs[:, : rows.shape[1] + i])
                out[block, i] = mean.reshape(-1, n_draws).mean(axis=1)
        if not np.any(labelled := self.targets_.labelled):
            return out
        medians = self.predict_quantile(X, 0.5)
        return np.where(labelled, medians, out.astype(object))

    def predict_quantile(self, X: Any, q: Any) -> Array:
        """Quantiles of each target given x.

        ``q`` is a level in [0, 1], and the result has the shape of ``y``; or several levels, which
        become a further, last axis. Exact (:meth:`inverse_pit`) for the first target. For those
        that follow, the CDF given x and the earlier targets is averaged over 64 quasi-random draws
        of these. A quantile of an ordinal target is the least of its values whose CDF reaches q.

        Raises
        ------
        ConfigurationError
            If a level is not in [0, 1], or the target is nominal.
        """
        check_is_fitted(self)
        units = self._ordered("predict_quantile")
        rows = self._inputs(X)
        levels = np.atleast_1d(np.asarray(q, dtype=np.float64))
        if levels.ndim != 1:
            raise ConfigurationError(
                f"argument `q` must be a number or a sequence of them, but has shape {np.shape(q)}"
            )
        check_levels("q", levels)
        out = np.empty((len(rows), self.n_targets_, len(levels)))
        for k, level in enumerate(levels):
            out[:, 0, k] = units[0].quantile(rows, np.full(len(rows), level))
        if self.n_targets_ > 1:
            for block, inputs, n_draws in self._drawn(rows):
                for i, unit in enumerate(units[1:], start=1):
                    known = inputs[:, : rows.shape[1] + i]
                    out[block, i] = unit.merged_quantile(known, n_draws, levels)
        found = self.targets_.shaped(np.moveaxis(out, 1, 2))
        if not self.targets_.flat:
            found = np.moveaxis(found, 2, 1)
        return found if np.ndim(q) else found[..., 0]

    def predict_interval(self, X: Any, level: float = 0.9) -> Array:
        """Central interval of each target given x, which holds it with probability ``level``.

        Shape (n_samples, 2), or (n_samples, n_targets, 2); see :meth:`predict_quantile`.
        """
        check_levels("level", np.asarray(level, dtype=np.float64))
        return self.predict_quantile(X, [0.5 * (1.0 - level), 0.5 * (1.0 + level)])

    @available_if(_by_categories)
    def predict_proba(self, X: Any) -> Array:
        """P(c | x) of the categories c of the target, (n_samples, n_categories); rows sum to 1.

        They are in the order of ``targets_.columns[0].categories``. For a nominal target, and for
        one of ordered categories.
        """
        rows, n = self._inputs(X), len(self.targets_.columns[0].categories)
        if self.targets_.nominal:
            return np.exp(self._labels.log_proba(rows))
        unit = self._ordered()[0]
        each = [unit.log_prob(rows, np.full(len(rows), float(c))) for c in range(n)]
        return np.asarray(np.exp(np.column_stack(each)))

    def sample(self, X: Any, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draw targets given each row of ``X``: (n_samples, n_rows), or (..., n_targets).

        Those of ordinal and nominal targets are of the dtype of ``y``.
        """
        check_is_fitted(self)
        rows = self._inputs(X)
        rng = np.random.default_rng(resolve_seed(random_state))
        if self.targets_.nominal:
            up_to = np.cumsum(np.exp(self._labels.log_proba(rows)), axis=1)
            level = rng.random((n_samples, len(rows), 1)) * up_to[:, -1:]
            drawn = np.sum(level >= up_to, axis=2)[..., None]
            return self.targets_.shaped(drawn, possible=True)
        inputs = np.tile(rows, (n_samples, 1))
        for unit in self._ordered():
            uniform = np.clip(rng.random((len(inputs), 2)), 1e-300, None)
            inputs = np.column_stack([inputs, unit.draw(inputs, uniform)])
        out = inputs[:, rows.shape[1] :].reshape(n_samples, len(rows), self.n_targets_)
        return self.targets_.shaped(out, possible=True)

    def __sklearn_tags__(self) -> Any:
        """Tags: inputs may be missing or categories, targets several; ``score`` is not R^2."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.regressor_tags.poor_score = True
        tags.target_tags.multi_output = True
        return tags

    # --- inside -----------------------------------------------------------------------------------

    def _first_targets(self, y: Any, name: str) -> Array:
        self.targets_, codes = Targets.read(y, self.target_kind, name)
        return codes

    def _ordered(self, method: str = "") -> tuple[ConditionalUnit, ...]:
        """The units, which have CDFs.

        Raises
        ------
        ConfigurationError
            If the target is nominal.
        """
        if self.targets_.nominal:
            raise ConfigurationError(
                f"`{method}` needs a target whose values have an order, but `y` of fit is nominal"
            )
        return cast(tuple[ConditionalUnit, ...], self.units_)

    @property
    def _labels(self) -> LabelUnit:
        return cast(LabelUnit, self.units_[0])

    def _seed_of(self, i: int) -> int:
        return int(np.random.SeedSequence([self.seed_, i]).generate_state(1)[0])

    def _shaped(self, columns: Array) -> Array:
        return columns[:, 0] if self.targets_.flat else columns

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
            for i, unit in enumerate(self._ordered()[:-1]):
                inputs = np.column_stack([inputs, unit.draw(inputs, uniform[:, 2 * i : 2 * i + 2])])
            yield block, inputs, n_draws
