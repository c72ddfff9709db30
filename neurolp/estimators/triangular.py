"""Normalisation by differentiation in many variables: a triangular map, its CDFs and quantiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
from scipy.special import ndtri
from sklearn.utils.validation import check_is_fitted

from neurolp.arrays import Array
from neurolp.data.columns import Columns
from neurolp.differentiation.triangular import TriangularMap
from neurolp.errors import ConfigurationError, DataError
from neurolp.estimators import ranges
from neurolp.estimators.potentials import Potentials
from neurolp.estimators.table_cells import cells_are_needed, filled, fit_cells
from neurolp.estimators.table_model import TableModel, TriangularConstruction
from neurolp.estimators.triangular_table import TriangularTable
from neurolp.estimators.validation import (
    fitted_or_not,
    mean_and_scale,
    resolve_seed,
    validation_split,
)
from neurolp.estimators.weights import training_rows
from neurolp.mixed.average import CellAverage


@final
@dataclass(eq=False, repr=False, kw_only=True)
class TriangularDensity(Potentials):
    """Density estimation by differentiation of a triangular map, whose CDFs are exact.

        Phi(x) = prod_i dy_i/dx_i,   y_i = F_i(x_i | x_1 .. x_i-1),   dy_i/dx_i = p(x_i | x_<i),

    in an order of the columns, which may be of any kind. A value k of an ordinal column, and an
    atom of a continuous one, has a mass instead of a density,

        P(k | x_<i) = F_i(upper end of its cell | x_<i) - F_i(lower end | x_<i).

    Nominal columns come first, with a law of their own (``neurolp.mixed``); all others are given
    them. The map is a composition of closed-form monotone steps:

    1. columns with steps or spikes are equalised (``neurolp.brain.marginal``);
    2. layers: column i is scaled and shifted by functions of the earlier ones, then bent by a
       monotone spline, c_i,t+1 = g_it(exp(G_it(c_<i)) c_i + I_it(c_<i)). Each layer is learned
       greedily from the local terms -log dc_i,t+1/dc_i,t of the loss, no gradient travels between
       layers (``neurolp.brain.rules.greedy``);
    3. the conditional distribution functions of an average of Gaussian mixtures, read in a few
       layers: units whose gates and means are functions of the earlier columns
       (``neurolp.differentiation.triangular``). For few columns a tree of histograms votes too.

    Number of layers, heads and their weights are chosen on validation data. Missing values of
    training rows are drawn by the law of the cells of all columns (``neurolp.mixed.holes``).

    Source: T. Katayose, arXiv:2311.13341 (2023).

    Parameters
    ----------
    order : {"chosen", "given"} or permutation of the columns
        Which column comes first, second, ..; "chosen" tries a few orders with a few layers each
        (see ``neurolp.differentiation.column_orders``) and keeps the best on validation data. All
        orders describe the same densities in the limit, but the conditional CDFs are about
        different questions: give the order where they matter to you. "given" is that of the table,
        but for nominal columns, which are moved to the front; a permutation must have them there.
    kinds : mapping, optional
        The kind of some columns, by name or position: "continuous", "ordinal" or "nominal"; others
        are inferred (``columns_``). Scores of the same kinds alone can be compared.
    contamination : float
        Share of the training rows that ``predict`` calls outliers, in (0, 0.5].
    max_layers, patience : int
        Stop after ``max_layers``, or when ``patience`` layers brought no lower surprise on
        validation data.
    validation_fraction : float
        Share of the rows that ``fit`` sets aside for validation when it is given none. Up to 5,000
        training rows the chains of the cells are learned from them too, after all choices.
    random_state : None, int, RandomState or Generator
        Seed of the layers' groups and the validation split; kept in ``seed_``.
    n_threads : None or int
        Threads to use, all available by default. Results do not depend on it.
    verbose : bool
        Whether ``fit`` shows its progress, as ``neurolp run`` does: a bar on a terminal, elsewhere
        a line every few seconds.

    Attributes
    ----------
    columns_ : Columns
        What the columns are: their kinds, levels, categories and atoms.
    order_ : array of shape (n_features,)
        Columns from first to last; constant ones are last.
    n_layers_ : int
        Layers in use at most; heads may look at earlier ones.
    map_ : TriangularMap or None
        The map of potentials, columns in the order; None where all are nominal or constant.
    table_ : TriangularTable
        The map with the axes of its columns: standardisation, equalisation, cells.
    cells_ : CellAverage or None
        P(nominal columns), and what draws missing values; None where all columns are continuous,
        without atoms or missing values.
    offset_ : float
        Log-density below which rows are outliers, nats.

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
    kinds: ranges.Kinds = None
    contamination: ranges.Contamination = 0.1
    validation_fraction: ranges.Share = 0.2
    random_state: Any = None
    n_threads: ranges.Positive | None = None
    verbose: ranges.Flag = False

    @fitted_or_not
    def fit(
        self, X: Any, y: Any = None, *, X_validation: Any = None, sample_weight: Any = None
    ) -> Self:
        """Learn the density of the rows of a table ``X`` (n_samples, n_features); ``y`` is ignored.

        Rows of ``X_validation`` make the choices; they are split off ``X`` when not given.
        ``sample_weight`` (n_samples,) says how often each row counts.

        Raises
        ------
        DataError
            If a value is infinite, a continuous column is constant in the training rows, or there
            is one row.
        ConfigurationError
            If a parameter is out of range, or a nominal column is not at the front of ``order``.
        KeyboardInterrupt
            After Ctrl-C; the estimator is not fitted then.
        """
        ranges.check_parameters(type(self), vars(self))
        self.seed_ = resolve_seed(self.random_state)
        codes = training_rows(self._read, X, sample_weight, self.seed_)
        columns = self.columns_
        order = _checked_order(self.order, columns)
        if X_validation is None:
            mine, other = validation_split(len(codes), self.validation_fraction, self.seed_)
            rows = {"train": codes[mine], "validation": codes[other]}
        else:
            rows = {"train": codes, "validation": self._read(X_validation, "X_validation")}
        self.cells_: CellAverage | None = None
        if cells_are_needed(columns, rows):
            fitted = fit_cells(
                columns, rows, self.seed_, held_out=X_validation is None, n_threads=self.n_threads
            )
            self.cells_ = fitted.chosen
        whole = filled(columns, self.cells_, rows, self.seed_)
        smooth = [j for j, c in enumerate(columns) if c.kind == "continuous" and not c.atoms]
        mean_and_scale(whole["train"][:, smooth], label=lambda j: self._label(smooth[j]))
        self.table_ = TriangularTable.fit(
            whole["train"], whole["validation"], columns,
            order=order, max_layers=self.max_layers, patience=self.patience, seed=self.seed_,
            n_threads=self.n_threads,
        )  # fmt: skip
        if self.cells_ is not None:
            self.cells_ = fitted.final
        self._judge(codes)
        return self

    @property
    def order_(self) -> Array:
        """Columns from first to last, (n_features,); constant ones are last."""
        order = self.table_.order
        return np.append(order, np.setdiff1d(np.arange(self.n_features_in_), order))

    @property
    def map_(self) -> TriangularMap | None:
        """The map of potentials, columns in the order."""
        return self.table_.map_

    @property
    def n_layers_(self) -> int:
        """Layers in use at most."""
        map_ = self.table_.map_
        return 0 if map_ is None else max(weighted.time for weighted in map_.heads)

    def cdf(self, X: Any) -> Array:
        """y_i = P(X_i <= x_i | x_j, j before i in ``order_``), shape (n_samples, n_features).

        Of an ordinal value or an atom the upper end of its cell, of a constant 1. NaN for a missing
        value, and for those after it in ``order_``. Uniform and independent for rows drawn from the
        density where all columns are continuous, without atoms; for others see :meth:`pit`.

        Raises
        ------
        ConfigurationError
            If a column is nominal: its values have no order.
        DataError
            If a value is one that its column cannot have, or if there are other columns or kinds of
            values than in ``fit``.
        """
        return self._ends(X, "cdf")[1]

    def pit(self, X: Any, random_state: Any = None) -> Array:
        """Probability integral transforms, (n_samples, n_features): uniform and independent.

        Of a density :meth:`cdf`; of a mass, drawn uniformly between the lower and the upper end of
        its cell (randomised transform), where :meth:`quantile` gives the value back. Uniform for
        rows drawn from the density.

        Raises
        ------
        ConfigurationError, DataError
            As :meth:`cdf`.
        """
        lower, upper = self._ends(X, "pit")
        rng = np.random.default_rng(resolve_seed(random_state))
        return np.asarray(lower + rng.random(lower.shape) * (upper - lower))

    def quantile(self, U: Any) -> Any:
        """Rows of a table as ``fit`` was given whose conditional CDFs are ``U``: inverse of cdf.

        ``U`` is (n_samples, n_features). Of an ordinal column the value with
        F(k - 1) < u <= F(k), likewise atoms.

        Accurate to rounding where the density is not tiny: near 1 a CDF is known to 1e-16 only, so
        that x is known to 1e-16 / p(x_i | x_<i) in the upper tail; ``inverse_transform`` has no
        such limit. 0 and 1 are taken as the smallest positive number and the largest below 1.

        Raises
        ------
        ConfigurationError
            If a column is nominal: its values have no order.
        DataError
            If a value is not in [0, 1].
        """
        rows = self._numbers(U, "U")
        self._check_ordered("quantile")
        bad = np.argwhere((rows < 0) | (rows > 1))
        if len(bad):
            row, j = bad[0]
            raise DataError(
                f"argument `U` must lie in [0, 1], but contains {rows[row, j]:g} at row {row}, "
                f"column {self._label(j)}"
            )
        tiny, most = np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).epsneg
        return self.columns_.decode(self.table_.inverse(ndtri(np.clip(rows, tiny, most))))

    # --- inside -----------------------------------------------------------------------------------

    def _to_potentials(self, X: Any) -> Array:
        codes, unknown = self._known(X)
        return np.where(unknown, np.nan, self.table_.probits(codes))

    def _from_potentials(self, potential: Array) -> Array:
        return self.table_.inverse(potential)

    def _known(self, X: Any) -> tuple[Array, Array]:
        """Codes with stand-ins for missing values, and where y_i = F_i(x_i | x_<i) is unknown."""
        codes, kinds = self._possible(X), np.array(self.columns_.kinds)
        codes = np.where(np.isnan(codes) & (kinds == "constant"), 0.0, codes)
        missing, unknown = np.isnan(codes), np.zeros(codes.shape, dtype=np.bool_)
        order = self.table_.order
        unknown[:, order] = np.maximum.accumulate(missing[:, order], axis=1)
        firsts = [c.levels[0] if c.kind == "ordinal" else 0.0 for c in self.columns_]
        stand_in = np.where(kinds == "continuous", self.table_.mean, firsts)
        return np.where(missing, stand_in, codes), unknown

    def _table_model(self) -> TableModel:
        construction = TriangularConstruction(self.table_, self.cells_, self.n_threads)
        return TableModel(self.columns_, (construction,), np.ones(1), self.cells_)

    def _ends(self, X: Any, what: str) -> tuple[Array, Array]:
        """Distribution functions at the lower and upper ends of cells, (n, n_columns) each."""
        check_is_fitted(self)
        self._check_ordered(what)
        codes, unknown = self._known(X)
        _, *ends = self.table_.units(codes)
        for end, of_constants in zip(ends, (0.0, 1.0), strict=True):
            end[:, [kind == "constant" for kind in self.columns_.kinds]] = of_constants
            end[unknown] = np.nan
        return ends[0], ends[1]

    def _check_ordered(self, what: str) -> None:
        if "nominal" in self.columns_.kinds:
            j = self.columns_.kinds.index("nominal")
            raise ConfigurationError(
                f"{what} needs columns whose values have an order, but column {self._label(j)} "
                "is nominal"
            )


def _checked_order(order: Any, columns: Columns) -> Array | None:
    """The permutation that is asked for, nominal columns first; None where it is to be chosen."""
    positions = np.arange(len(columns))
    nominal = np.array([kind == "nominal" for kind in columns.kinds])
    if isinstance(order, str):
        if order not in ("chosen", "given"):
            raise ConfigurationError(
                f"argument `order` must be 'chosen', 'given' or a permutation of the columns, "
                f"but is {order!r}"
            )
        return np.argsort(~nominal, kind="stable") if order == "given" else None
    given = np.asarray(order)
    if given.shape != positions.shape or not np.array_equal(np.sort(given), positions):
        raise ConfigurationError(
            f"argument `order` must have each of the columns 0 .. {len(columns) - 1} once, "
            f"but is {order!r}"
        )
    given = given.astype(np.intp)
    valued = np.array([kind not in ("nominal", "constant") for kind in columns.kinds])
    late = np.flatnonzero(nominal[given] & (np.cumsum(valued[given]) > 0))
    if len(late):
        j = int(given[late[0]])
        raise ConfigurationError(
            f"argument `order` must have nominal columns first, but has {columns.names[j]!r}, "
            f"column {j}, after others"
        )
    return given
