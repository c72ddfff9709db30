"""MonotoneDensity: the density of one variable as the derivative of a monotone network."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Annotated, Any, Self, final

import numpy as np
from pydantic import AfterValidator
from sklearn.utils.validation import check_is_fitted

from neurolp.arrays import Array
from neurolp.brain.seeds import generator
from neurolp.data.containers import numbers_of, read_sequence
from neurolp.differentiation.univariate_learning import learn_network
from neurolp.errors import DataError
from neurolp.estimators import ranges
from neurolp.estimators.discrete_values import warn_of_discrete_values
from neurolp.estimators.validation import Density, check_finite, fitted_or_not, resolve_seed
from neurolp.estimators.weights import repeated, shuffled

SUPPORT = ranges.Condition(
    "'inferred', 'real' or (a, b) with a < b",
    lambda support: (
        support in ("inferred", "real")
        if isinstance(support, str)
        else isinstance(support, list | tuple)
        and len(support) == 2
        and all(isinstance(end, Real) for end in support)
        and support[0] < support[1]
    ),
)


@final
@dataclass(eq=False, repr=False, kw_only=True)
class MonotoneDensity(Density):
    """Density estimation in one variable: the derivative of a monotone network.

        y(x) = sum_k w_k S((T_k(x) - m_k) / s_k),    Phi(x) = dy/dx,

    with positive weights that sum to 1, sigmoid units S (the normal distribution function) and
    monotone transforms T_k of the support to the whole line. y runs from exactly 0 to exactly 1
    over the support, so Phi is normalised for any parameters, and y is the distribution function.
    The variable is continuous; :class:`neurolp.DataWarning` says so where values have a mass.

    There is nothing to tune. Networks with few and many units, smooth and sharp, with and without
    ends of the support, are learned and scored by cross-validation. The result is their average
    (``neurolp.differentiation.univariate_learning``), itself such a network, learned from all rows.

    Source: T. Katayose, arXiv:2311.13341 (2023).

    Parameters
    ----------
    support : "inferred", "real" or (a, b)
        Where the density may be positive: the whole line, or the open interval from a to b, either
        of which may be infinite. Known ends help, if they are true. "inferred" averages over
        networks with no end, one or two, whose ends are placed from the data; unbounded ones always
        take part, so no value is impossible, and ``ends_`` says what was inferred.
    random_state : None, int, RandomState or Generator
        Seed of the folds and of the weights of the average; kept in ``seed_``.
    verbose : bool
        Whether ``fit`` shows its progress, as ``neurolp run`` does: a bar on a terminal, elsewhere
        a line every few seconds.

    Attributes
    ----------
    support_ : (float, float)
        Where y is exactly 0 and exactly 1: the given ends, or -inf and inf.
    ends_ : (float, float)
        The given or inferred ends; -inf or inf where there is none. An end is inferred where
        networks that end there have more than half of the weight; it is their weighted median. The
        little probability that remains beyond is cdf(a) + 1 - cdf(b).
    network_ : MonotoneNetwork
        The network, of (x - mean_) / scale_.
    n_units_ : int
        Its number of units.
    mean_, scale_ : float
        Mean and standard deviation of the rows.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).exponential(size=300)
    >>> density = MonotoneDensity(support=(0, np.inf), random_state=0).fit(x)
    >>> bool(abs(density.pdf(1.0) - np.exp(-1)) < 0.05)
    True
    >>> float(density.cdf(0.0)), float(density.cdf(np.inf))
    (0.0, 1.0)
    >>> bool(abs(density.cdf(density.ppf(0.3)) - 0.3) < 1e-9)
    True
    """

    support: Annotated[Any, AfterValidator(SUPPORT)] = "inferred"
    random_state: Any = None
    verbose: ranges.Flag = False

    @fitted_or_not
    def fit(
        self, X: Any, y: Any = None, *, X_validation: Any = None, sample_weight: Any = None
    ) -> Self:
        """Learn the density of values ``X``, (n_samples,) or (n_samples, 1); ``y`` is ignored.

        Two values or more. Cross-validation needs no rows of its own: those of ``X_validation`` are
        learned from too. ``sample_weight`` (n_samples,) says how often each value of ``X`` counts.

        Raises
        ------
        DataError
            If a value is not finite or not inside the given support, or all values are equal.
        ConfigurationError
            If ``support`` is none.
        ValueError
            If the shape is wrong.
        """
        self.seed_ = resolve_seed(self.random_state)
        x = self._column(X, "X")
        if sample_weight is not None:
            x = x[repeated(x[:, None], sample_weight, self.seed_)]
        if X_validation is not None:
            x = np.concatenate([x, self._column(X_validation, "X_validation")])
        x = x[shuffled(x[:, None], self.seed_)]
        ranges.check_parameters(type(self), vars(self))
        support = None
        if not isinstance(self.support, str):
            support = float(self.support[0]), float(self.support[1])
        elif self.support == "real":
            support = -np.inf, np.inf
        if len(x) < 2:
            raise DataError(f"argument `X` must have at least 2 rows, but has n_samples = {len(x)}")
        if support is not None:
            outside = x[(x <= support[0]) | (x >= support[1])]
            if len(outside):
                raise DataError(
                    f"argument `X` must lie inside the support ({support[0]:g}, {support[1]:g}), "
                    f"but contains {outside[0]:g}"
                )
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(x.mean())
            spread = float(np.abs(x - mean).max()) or 1.0  # squares of tiny values vanish
            scale = spread * float(((x - mean) / spread).std())
            finite = np.isfinite(np.square(scale))
        if not finite:
            raise DataError(
                f"argument `X` must have a finite variance, but has values up to {abs(x).max():g}"
            )
        if not scale > 4 * np.finfo(np.float64).eps * abs(mean):
            raise DataError(f"argument `X` must vary, but is constant ({x[0]:g})")
        # The decorator adds a frame between the caller and this one.
        warn_of_discrete_values(x[:, None], type(self).__name__, stacklevel=3)
        self.n_features_in_ = 1
        self.mean_, self.scale_ = mean, scale
        rng = generator(self.seed_, "monotone units")
        inner = None if support is None else tuple((np.array(support) - mean) / scale)
        self.network_ = learn_network((x - mean) / scale, inner, rng)
        self.n_units_ = sum(len(group.locations) for group in self.network_.groups)
        self.support_ = (-np.inf, np.inf) if support is None else support
        self.ends_ = self._inferred_ends() if support is None else support
        return self

    # --- one value at a time, any shape -----------------------------------------------------------

    def logpdf(self, x: Any) -> Array:
        """Log Phi(x) in nats, in the units of the data; shape of ``x``, -inf outside the support.

        Raises
        ------
        DataError
            If ``x`` has NaN.
        """
        check_is_fitted(self)
        x = _numbers(x, "x")
        z = (x.ravel() - self.mean_) / self.scale_
        out = self.network_.log_density(z) - np.log(self.scale_)
        return np.asarray(self._clip(x, out.reshape(x.shape), -np.inf, -np.inf))[()]

    def pdf(self, x: Any) -> Array:
        """Phi(x) = dy/dx, in 1 / (units of the data); shape of ``x``, 0 outside the support."""
        return np.asarray(np.exp(self.logpdf(x)))[()]

    def cdf(self, x: Any) -> Array:
        """y(x), the probability of values up to ``x``; shape of ``x``."""
        check_is_fitted(self)
        x = _numbers(x, "x")
        out = self.network_.cdf((x.ravel() - self.mean_) / self.scale_).reshape(x.shape)
        return np.asarray(self._clip(x, out, 0.0, 1.0))[()]

    def ppf(self, q: Any) -> Array:
        """Quantiles: the x with y(x) = q, for q in [0, 1]; shape of ``q``.

        Raises
        ------
        DataError
            If a ``q`` is NaN or outside [0, 1].
        """
        check_is_fitted(self)
        q = _numbers(q, "q")
        if np.any((q < 0) | (q > 1)):
            bad = q[(q < 0) | (q > 1)].flat[0]
            raise DataError(f"argument `q` must lie in [0, 1], but contains {bad:g}")
        x = self.mean_ + self.scale_ * self.network_.quantile(q.ravel()).reshape(q.shape)
        x = np.clip(x, *self.support_)
        x = np.where(q == 0, self.support_[0], np.where(q == 1, self.support_[1], x))
        return np.asarray(x)[()]

    # --- as a scikit-learn density ----------------------------------------------------------------

    def score_samples(self, X: Any) -> Array:
        """Log-density of each row of ``X`` (n_samples,) or (n_samples, 1), in nats: (n_samples,).

        Raises
        ------
        DataError
            If a value is not finite.
        """
        check_is_fitted(self)
        return self.logpdf(self._column(X, "X"))

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draw values, shape (n_samples, 1)."""
        check_is_fitted(self)
        rng = np.random.default_rng(resolve_seed(random_state))
        x = self.mean_ + self.scale_ * self.network_.sample(n_samples, rng)
        return np.asarray(np.clip(x, *self.support_))[:, None]

    def entropy(self) -> float:
        """-integral of Phi log Phi, nats, by quadrature (relative error below 1e-6)."""
        check_is_fitted(self)
        return self.network_.entropy() + float(np.log(self.scale_))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False  # one column at most
        return tags

    # --- inside -----------------------------------------------------------------------------------

    def _column(self, X: Any, name: str) -> Array:
        """Finite values of argument ``name``, (n,)."""
        table, _ = read_sequence(X, name)
        if len(table.columns) != 1:
            raise DataError(
                f"argument `{name}` must have shape (n_samples,) or (n_samples, 1), "
                f"but has shape {(table.n_rows, len(table.columns))}"
            )
        x = numbers_of(table, name, "BrainDensity takes columns of any kind")[:, 0]
        check_finite(x, name)
        return x

    def _clip(self, x: Array, inside: Array, below: float, above: float) -> Array:
        """Exact at and beyond the ends, whatever the rounding of the standardisation."""
        low, high = self.support_
        return np.asarray(np.where(x <= low, below, np.where(x >= high, above, inside)))

    def _inferred_ends(self) -> tuple[float, float]:
        groups = self.network_.groups
        weight = np.array([group.weight for group in groups])
        low = _median_end(np.array([group.transform.low for group in groups]), weight)
        high = -_median_end(-np.array([group.transform.high for group in groups]), weight)
        return self.mean_ + self.scale_ * low, self.mean_ + self.scale_ * high


def _median_end(ends: Array, weight: Array) -> float:
    """Weighted median of the finite ones of lower ends, if they have more than half the weight."""
    finite = np.isfinite(ends)
    if weight[finite].sum() <= 0.5 * weight.sum():
        return -np.inf
    order = np.argsort(ends[finite])
    share = np.cumsum(weight[finite][order])
    return float(ends[finite][order][np.searchsorted(share, 0.5 * share[-1])])


def _numbers(x: Any, name: str) -> Array:
    x = np.asarray(x, dtype=np.float64)
    if np.any(np.isnan(x)):
        raise DataError(f"argument `{name}` must be a number, but contains NaN")
    return np.asarray(x)
