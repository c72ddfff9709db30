"""Densities of tables of any columns: one fit answers what is asked of any of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.base import OutlierMixin
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from neurolp.arrays import Array
from neurolp.brain.seeds import generator
from neurolp.data.column import decoded
from neurolp.data.columns import Columns
from neurolp.errors import ConfigurationError, DataError
from neurolp.estimators import ranges
from neurolp.estimators.magnitudes import check_magnitudes
from neurolp.estimators.quantiles import conditional_quantiles
from neurolp.estimators.table_model import TableModel
from neurolp.estimators.validation import Density, check_finite, read_columns, resolve_seed
from neurolp.mixed.holes import N_DRAWS, draws_for

_DISCRETE = ("nominal", "ordinal")
_LOWEST = -1e300  # threshold of outliers
_OFFSET_ROWS = 2000  # rows whose scores tell what an outlier is
_MOST_OUTCOMES = 10_000  # values of a grid that are asked for
_VALUES_AT_ONCE = 1 << 18
_IMPUTATIONS = 25  # draws of which an imputed value is the median or the most frequent one


def _has_discrete_columns(density: Any) -> bool:
    if not {*_DISCRETE} & {*density.columns_.kinds}:
        raise AttributeError("predict_proba needs a discrete column, but all are continuous")
    return True


class TableDensity(OutlierMixin, Density):
    """A density of rows of a table; subclasses learn it and give it as a :class:`TableModel`."""

    kinds: Mapping[str | int, str] | None
    contamination: float
    columns_: Columns
    offset_: float
    seed_: int
    n_features_in_: int

    @abstractmethod
    def _table_model(self) -> TableModel:
        """The fitted density."""

    def score_samples(self, X: Any, return_std: bool = False) -> Any:
        """Log Phi of each row, shape (n_samples,), nats.

        The log of a density in the units of continuous columns and of a mass in all others; -inf
        for a value that a column cannot have, or so far out that no number is as small. Missing
        values are integrated out: exactly where a row is wholly known, otherwise by importance
        sampling, without bias of Phi.

        Parameters
        ----------
        X : frame or array-like of shape (n_samples, n_features)
            Rows; columns of a frame in any order.
        return_std : bool
            Also return the standard error of each value, (n_samples,), 0 where it is exact.

        Raises
        ------
        DataError
            If there are other columns or kinds of values than in ``fit``, or a value is infinite.
        """
        codes = self._codes(X)
        rng = generator(self.seed_, "holes")
        log_prob, error = self._table_model().log_marginal(codes, rng)
        return (log_prob, error) if return_std else log_prob

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Rows drawn from the density: a frame or an array, as ``fit`` was given.

        With the dtypes, the categories and the grid of the table of ``fit``. Nominal columns have
        only categories that were seen, though others have a little probability.

        Raises
        ------
        ConfigurationError
            If ``n_samples`` is not an integer >= 1.
        """
        check_is_fitted(self)
        ranges.check_value("n_samples", n_samples, ranges.Positive)
        rng = np.random.default_rng(resolve_seed(random_state))
        return self.columns_.decode(self._table_model().sample(int(n_samples), rng))

    def sample_conditional(self, X: Any, n_samples: int = 1, random_state: Any = None) -> Any:
        """Draws of the missing values of each row given all others.

        An array of shape (n_samples, n_rows, n_features), or a frame whose index has the levels
        ``sample`` and ``row`` where ``fit`` was given a frame. What is known comes back as it is.
        Markov chains, one for each row and sample, whose draws are exact in the limit of long
        chains: see ``neurolp.mixed.holes`` and, where all columns are continuous,
        ``neurolp.brain.imputation``.

        Parameters
        ----------
        X : (n_rows, n_features) table
            Rows with missing values.
        n_samples : int
            Independent draws for each row.
        random_state : None, int, RandomState or Generator
            Seed.

        Raises
        ------
        DataError
            As :meth:`score_samples`, and for a value that a column cannot have.
        ValueError
            If ``n_samples`` is not an integer >= 1.
        """
        codes = self._possible(X)
        drawn = self._draw_missing(codes, n_samples, random_state)
        table = self.columns_.decode(drawn.reshape(-1, codes.shape[1]))
        if isinstance(table, pd.DataFrame):
            levels = [range(n_samples), _index(X, len(codes))]
            table.index = pd.MultiIndex.from_product(levels, names=["sample", "row"])
            return table
        return np.asarray(table).reshape(drawn.shape)

    def impute(self, X: Any, random_state: Any = 0) -> Any:
        """The table with its missing values filled in, deterministically by default.

        By the median of draws of :meth:`sample_conditional` in continuous and ordinal columns, in
        nominal ones by the most frequent. For draws that keep the spread, use that method.

        Raises
        ------
        DataError
            As :meth:`sample_conditional`.
        """
        codes = self._possible(X)
        missing = np.isnan(codes)
        rows = np.flatnonzero(missing.any(axis=1))
        if len(rows):
            drawn = self._draw_missing(codes[rows], _IMPUTATIONS, random_state)
            for j, column in enumerate(self.columns_):
                values = np.sort(drawn[:, :, j], axis=0)
                middle = values[_IMPUTATIONS // 2]
                if column.kind == "nominal":
                    counts = (values[:, None] == values[None]).sum(axis=0)
                    middle = values[np.argmax(counts, axis=0), np.arange(len(rows))]
                codes[rows, j] = np.where(missing[rows, j], middle, codes[rows, j])
        table = self.columns_.decode(codes)
        if isinstance(table, pd.DataFrame):
            table.index = _index(X, len(codes))
        return table

    @property
    def categories_(self) -> dict[str | int, Array]:
        """The values of each discrete column, by its name, or by position where there are none.

        Of an ordinal column those from the least to the greatest seen; where these are more than
        10,000, the values that were seen.
        """
        check_is_fitted(self)
        return {
            self._key(j): np.asarray(decoded(self.columns_[j], self._outcomes(j)))
            for j, column in enumerate(self.columns_)
            if column.kind in _DISCRETE
        }

    @available_if(_has_discrete_columns)
    def predict_proba(self, X: Any, target: str | int | None = None) -> Array:
        """P(target = c | the other columns) for c in ``categories_[target]``, (n_samples, C).

        Column ``target`` is not looked at, and may be left out of ``X``; by default it is the last
        discrete one. Other missing values are integrated out, and so are values that their column
        cannot have.

        Raises
        ------
        ConfigurationError
            If there is no such column, or it is not discrete.
        DataError
            As :meth:`score_samples`.
        """
        j, codes = self._without(X, target)
        if self.columns_.kinds[j] not in _DISCRETE:
            raise ConfigurationError(
                f"argument `target` must be a discrete column, but {target!r} is "
                f"{self.columns_.kinds[j]}; predict_quantile answers for continuous ones"
            )
        log_p = self._log_conditional(codes, j, self._outcomes(j))
        return np.asarray(softmax(log_p, axis=1))

    def predict_quantile(self, X: Any, q: Any, target: str | int) -> Any:
        """Quantiles of a column given the others, (n_samples,), or (n_samples, n_q) for several q.

        The least value v with P(target <= v | others) >= q: of an ordinal column one of its values,
        of a continuous one by quadrature. Column ``target`` is not looked at, and may be left out.

        Raises
        ------
        ConfigurationError
            If there is no such column, it has no order, or a q is not in (0, 1).
        DataError
            As :meth:`score_samples`.
        """
        levels = np.atleast_1d(np.asarray(q, dtype=np.float64))
        if levels.ndim != 1 or not np.all((levels > 0) & (levels < 1)):
            raise ConfigurationError(f"argument `q` must have numbers in (0, 1), but is {q!r}")
        j, codes = self._without(X, target)
        column = self.columns_[j]
        if column.kind not in ("ordinal", "continuous"):
            raise ConfigurationError(
                f"argument `target` must be a column with an order, but {target!r} is {column.kind}"
            )
        if column.kind == "ordinal":
            outcomes = self._outcomes(j)
            log_p = self._log_conditional(codes, j, outcomes, draws_for(len(outcomes)))
            up_to = np.cumsum(np.exp(log_p - log_p.max(axis=1, keepdims=True)), axis=1)
            up_to /= up_to[:, -1:]
            at = (up_to[:, None, :] < levels[:, None] - 1e-12).sum(axis=2)
            found = outcomes[np.minimum(at, len(outcomes) - 1)]
        else:
            model, rng = self._table_model(), generator(self.seed_, "quantiles")
            found = conditional_quantiles(model, codes, j, np.array(column.atoms), levels, rng)
        values = np.asarray(decoded(column, found.ravel())).reshape(found.shape)
        return values[:, 0] if np.ndim(q) == 0 else values

    def decision_function(self, X: Any) -> Array:
        """``score_samples(X)`` less ``offset_``, (n_samples,): below 0 for outliers."""
        return np.asarray(self.score_samples(X) - self.offset_)

    def predict(self, X: Any) -> Array:
        """-1 for outliers and 1 for all other rows, (n_samples,).

        Outliers are less probable than a share ``contamination`` of the training rows.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def __sklearn_tags__(self) -> Tags:
        """Missing values, strings and categories are taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = tags.input_tags.categorical = True
        return tags

    # --- inside -----------------------------------------------------------------------------------

    def _read(self, X: Any, name: str, *, reset: bool = False) -> Array:
        """Codes of a table, NaN where missing; with ``reset`` the columns are inferred from it."""
        codes = read_columns(self, X, name, kinds=self.kinds, reset=reset)
        check_finite(codes, name, self._label, missing=True)
        if reset or name != "X":  # all that is learned from or chosen by
            check_magnitudes(self.columns_, codes, name, self._label)
        return codes

    def _codes(self, X: Any) -> Array:
        check_is_fitted(self)
        return self._read(X, "X")

    def _possible(self, X: Any) -> Array:
        """Codes of rows that have a density; others have no conditional."""
        codes = self._codes(X)
        wrong = np.argwhere(~self.columns_.supported(codes))
        if len(wrong):
            row, j = wrong[0]
            raise DataError(
                f"argument `X` must have values that fit knew to be possible, but has another at "
                f"row {row}, column {self._label(j)}"
            )
        return codes

    def _without(self, X: Any, target: str | int | None) -> tuple[int, Array]:
        """Position of the target, and codes with NaN in its place; None: the last discrete one.

        Values that a column cannot have, which make a row impossible, tell nothing of the target:
        they are NaN too.
        """
        check_is_fitted(self)
        if target is None:
            j = max(j for j, kind in enumerate(self.columns_.kinds) if kind in _DISCRETE)
            codes = self._codes(X)
        else:
            j = self.columns_.position(target)
            codes = read_columns(self, X, "X", absent=j)
        codes[:, j] = np.nan
        check_finite(codes, "X", self._label, missing=True)
        codes[~self.columns_.supported(codes)] = np.nan
        return j, codes

    def _log_conditional(
        self, codes: Array, j: int, outcomes: Array, n_draws: int = N_DRAWS
    ) -> Array:
        """Log Phi of the rows with each of the outcomes in column j, (n, n_outcomes).

        Of the outcomes alone where the other values are too far away for any number but -inf.
        """
        model, rng = self._table_model(), generator(self.seed_, "holes")
        out = np.empty((len(codes), len(outcomes)))
        step = max(_VALUES_AT_ONCE // len(outcomes), 1)
        for start in range(0, len(codes), step):
            part = codes[start : start + step]
            every = np.repeat(part, len(outcomes), axis=0)
            every[:, j] = np.tile(outcomes, len(part))
            log_prob, _ = model.log_marginal(every, rng, n_draws)
            out[start : start + step] = log_prob.reshape(len(part), len(outcomes))
        nowhere = np.isneginf(out).all(axis=1)
        if nowhere.any():
            alone = np.full((len(outcomes), codes.shape[1]), np.nan)
            alone[:, j] = outcomes
            out[nowhere] = model.log_marginal(alone, rng)[0]
        return out

    def _outcomes(self, j: int) -> Array:
        """Codes of the values of a discrete column; of a grid of too many those that were seen."""
        column = self.columns_[j]
        if column.kind == "nominal":
            return np.arange(len(column.categories), dtype=np.float64)
        if not column.step or column.categories:
            return column.levels
        n = round((column.levels[-1] - column.levels[0]) / column.step) + 1
        if n > _MOST_OUTCOMES:
            return column.levels
        return np.asarray(column.levels[0] + column.step * np.arange(n))

    def _draw_missing(self, codes: Array, n_samples: int, random_state: Any) -> Array:
        """Codes (n_samples, n, n_columns) whose NaN are drawn."""
        ranges.check_value("n_samples", n_samples, ranges.Positive)
        rng = np.random.default_rng(resolve_seed(random_state))
        return self._table_model().draw_missing(codes, int(n_samples), rng)

    def _judge(self, rows: Array) -> None:
        """What an outlier is, from the codes of all rows of ``fit``."""
        some = generator(self.seed_, "offset").permutation(len(rows))[:_OFFSET_ROWS]
        rng = generator(self.seed_, "holes")
        log_prob, _ = self._table_model().log_marginal(rows[np.sort(some)], rng)
        log_prob = np.maximum(log_prob, _LOWEST)
        self.offset_ = float(np.quantile(log_prob, self.contamination))

    def _key(self, j: int) -> str | int:
        """What users call a column."""
        if self.columns_.container != "frame":
            return j
        name = self.columns_.names[j]
        return int(name) if self.columns_.integer_names else name

    @property
    def _label(self) -> Any:
        return partial(_label, self.columns_)


def _index(X: Any, n_rows: int) -> pd.Index[Any]:
    """Labels of the rows of a table."""
    return X.index if isinstance(X, pd.DataFrame) else pd.RangeIndex(n_rows)


def _label(columns: Columns, j: int) -> str:
    return repr(columns.names[j]) if columns.container == "frame" else str(j)
