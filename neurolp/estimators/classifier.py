"""Classification as conditional probability, p(label | x), by two routes: ConditionalClassifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self, final

import numpy as np
from scipy import optimize
from scipy.special import log_softmax, logsumexp
from sklearn.base import ClassifierMixin, clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, has_fit_parameter

from neurolp.arrays import Array
from neurolp.brain.seeds import generator
from neurolp.data.tables import grid_step
from neurolp.data.values import read_values
from neurolp.differentiation.softmax_unit import learn_labels
from neurolp.errors import DataError
from neurolp.estimators import ranges
from neurolp.estimators.density import BrainDensity
from neurolp.estimators.ensembles import EnsembleEstimator
from neurolp.estimators.validation import (
    column_name,
    finite_rows,
    fitted_or_not,
    pairs,
    resolve_seed,
    with_validation,
)
from neurolp.estimators.weights import training_pairs
from neurolp.progress import report

_FEWEST_ROWS = 3  # of a class with a density: one to learn from, one to judge by, and a spread
_SMALLEST_SPREAD = 1e-2  # of a column within a class, in standard deviations over all classes


def _by_bayes(model: Any) -> bool:
    if model.route != "bayes":
        raise AttributeError("score_samples needs route='bayes': softmax has p(label | x) only")
    return True


@final
@dataclass(eq=False, repr=False, kw_only=True)
class ConditionalClassifier(ClassifierMixin, EnsembleEstimator):
    """Classification that learns p(label | x), normalised per condition, in one of two ways.

    ``route="softmax"``: an average of perceptrons with softmax outputs, learned by exact gradients
    of -log p(label | x), and of boosted trees. Early stopping and the weights of the average use
    held-out rows; every row is held out from some of the members.

    ``route="bayes"``: a density p(x | c) is learned for each class, and

        p(c | x) = p(c) p(x | c)^beta / Z(x),        p(x) = sum_c p(c) p(x | c)

    with p(c) the frequencies of the labels. beta = 1 is Bayes' theorem. Errors of a density add up
    over many columns and exaggerate the odds; so beta <= 1, an inverse temperature, is the one of
    least log-loss on held-out rows.

    This route also has the density of the input (``score_samples``), which is small for unusual
    inputs. Its inputs must be numbers without holes; ``BrainDensity`` learns labels as one more
    column of any table (``predict_proba(X, target)``). Densities need continuous columns: training
    rows get uniform noise of the width of a column's grid, if it has one (as counts have), and
    normal noise of 0.01 standard deviations if a column is continuous but constant within a class.
    Rows to be classified are taken as they are.

    Inputs of ``route="softmax"`` may be numbers, strings, categories, booleans and dates, with
    holes: see ``neurolp.data.inputs``.

    Source: T. Katayose, arXiv:2311.13341 (2023).

    Parameters
    ----------
    route : {"softmax", "bayes"}
        Which of both.
    density : None or estimator with ``fit`` and ``score_samples``
        Cloned for each class; None is ``BrainDensity()``. For ``route="bayes"`` only.
    hidden : sequence of int
        Units of the hidden layers; an empty one is logistic regression. This and what follows is
        for ``route="softmax"`` only, and as of ``ConditionalDensity``.
    trees, decays, input_noise, n_members, rate, batch_size, max_epochs, patience, kinds
        As of ``ConditionalDensity``.
    random_state : None, int, RandomState or Generator
        Seed; the one used is kept in ``seed_``.
    verbose : bool
        Whether ``fit`` shows its progress, as ``neurolp run`` does: a bar on a terminal, elsewhere
        a line every few seconds.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        The labels, sorted.
    unit_ : LabelUnit
        The perceptrons and trees (softmax).
    columns_, inputs_ : Columns, TableInputs
        Kinds of the columns of ``X``, and the inputs that they become (softmax).
    held_out_score_ : float
        Mean log p(label | x) of the rows under the members that did not learn from them, in nats
        (softmax).
    densities_ : list of estimators
        p(x | c) in the order of ``classes_`` (Bayes).
    inverse_temperature_ : float
        beta (Bayes).
    class_prior_ : array of shape (n_classes,)
        p(c) (Bayes).
    noise_width_ : array of shape (n_features,)
        Width of the uniform noise that the training rows got, 0 where none (Bayes).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ConditionalClassifier(hidden=(8,), random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.95)
    True
    >>> model.predict_proba(X[:1]).round(1)
    array([[1., 0., 0.]])
    """

    route: Literal["softmax", "bayes"] = "softmax"
    density: Any = None
    hidden: Sequence[ranges.Positive] = (128,)
    decays: ranges.Strengths = (0.1,)
    input_noise: ranges.Strengths = (0.0, 0.5)

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
        """Learn the probability of the labels ``y`` given the rows of ``X``.

        Parameters
        ----------
        X : frame or array of shape (n_samples, n_features)
            Conditions; values may be missing (softmax).
        y : array-like of shape (n_samples,)
            Labels: numbers or strings.
        X_validation, y_validation : as X and y, optional
            Rows that say when to stop and what to mix; the densities of the Bayes route get those
            of their class as ``X_validation``. Without them the rows of ``X`` take turns (softmax),
            or a fifth of every class is set aside (Bayes).
        sample_weight : array-like of shape (n_samples,), optional
            How often each row counts; two equal rows are one of weight 2. Fractions are rounded at
            random, up or down with the right mean.

        Raises
        ------
        DataError
            If the data have infinite values, missing labels or fewer than two classes, if there are
            labels in ``y_validation`` that are not in ``y``, if a value is missing or no number, or
            if a class has too few rows (Bayes).
        ConfigurationError
            If a parameter is out of range.
        """
        ranges.check_parameters(type(self), vars(self))
        self.seed_ = resolve_seed(self.random_state)
        read = partial(pairs, partial(self._rows, reset=True), _labels)
        rows, names = training_pairs(read, X, y, sample_weight, self.seed_)
        self.classes_, label = np.unique(names, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(
                "argument `y` must have at least 2 classes, but has 1 class, "
                f"{self.classes_.tolist()[0]!r}"
            )
        n_train = len(rows)
        rows, label, n_validation = with_validation(
            rows, label, self._rows, self._known, X_validation, y_validation
        )
        if self.route == "bayes":
            self._learn_densities(rows[:n_train], label[:n_train], rows[n_train:], label[n_train:])
            return self
        self.unit_ = learn_labels(
            rows,
            label,
            len(self.classes_),
            self._ensemble(),
            self.seed_,
            trees=self.trees,
            n_validation=n_validation,
        )
        self.held_out_score_ = self.unit_.held_out_score
        return self

    def predict_log_proba(self, X: Any) -> Array:
        """Log p(c | x) in nats, (n_samples, n_classes), in the order of ``classes_``."""
        check_is_fitted(self)
        rows = self._rows(X, "X")
        if self.route == "softmax":
            return self.unit_.log_proba(rows)
        joint = self.inverse_temperature_ * self._log_densities(rows) + np.log(self.class_prior_)
        nowhere = np.all(joint == -np.inf, axis=1)  # no class can have such a row: the prior
        joint[nowhere] = np.log(self.class_prior_)
        return np.asarray(log_softmax(joint, axis=1))

    def predict_proba(self, X: Any) -> Array:
        """p(c | x), (n_samples, n_classes), in the order of ``classes_``; rows sum to 1."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Any) -> Array:
        """The most probable label of each row, (n_samples,)."""
        most = np.argmax(self.predict_log_proba(X), axis=1)
        return np.asarray(self.classes_[most])

    def log_prob(self, X: Any, y: Any) -> Array:
        """Log p(y | x) of each row in nats, (n_samples,); minus its mean is the log-loss."""
        check_is_fitted(self)
        _, label = pairs(self._rows, self._known, X, y)
        return np.asarray(self.predict_log_proba(X)[np.arange(len(label)), label])

    @available_if(_by_bayes)
    def score_samples(self, X: Any) -> Array:
        """Log p(x) = log sum_c p(c) p(x | c) of each row in nats, (n_samples,). Bayes only."""
        check_is_fitted(self)
        joint = self._log_densities(self._rows(X, "X")) + np.log(self.class_prior_)
        return np.asarray(logsumexp(joint, axis=1))

    def __sklearn_tags__(self) -> Any:
        """Tags: inputs may be missing or categories (softmax)."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.route == "softmax"
        tags.input_tags.categorical = self.route == "softmax"
        return tags

    # --- inside -----------------------------------------------------------------------------------

    def _rows(self, X: Any, name: str, *, reset: bool = False) -> Array:
        """Inputs of the softmax; finite numbers of the densities."""
        if self.route == "softmax":
            return self._inputs(X, name, reset=reset)
        return finite_rows(self, X, name, reset=reset)

    def _log_densities(self, rows: Array) -> Array:
        """Log p(x | c), (n_samples, n_classes)."""
        return np.column_stack([density.score_samples(rows) for density in self.densities_])

    def _known(self, y: Any, name: str) -> Array:
        """Positions of labels in ``classes_``."""
        names = _labels(y, name)
        place = {label: k for k, label in enumerate(self.classes_.tolist())}
        try:
            return np.array([place[label] for label in names.tolist()], dtype=np.int64)
        except KeyError as error:
            raise DataError(
                f"argument `{name}` must have labels that are in `y` of fit, "
                f"but has {error.args[0]!r}"
            ) from None

    def _learn_densities(
        self, rows: Array, label: Array, validation: Array, label_validation: Array
    ) -> None:
        count = np.bincount(label)
        if count.min() < _FEWEST_ROWS:
            few = int(np.argmin(count))
            raise DataError(
                f"argument `y` must have at least {_FEWEST_ROWS} rows of each class for "
                f"route='bayes', but has {count[few]} of class {self.classes_.tolist()[few]!r}"
            )
        rng = generator(self.seed_, "classifier")
        self.noise_width_ = self._grid(rows)
        rows = self._spread(rows, label, rng)
        self.class_prior_ = count / len(label)
        if not len(validation):
            held_out = _held_out(label, rng)
            validation, label_validation = rows[held_out], label[held_out]
            rows, label = rows[~held_out], label[~held_out]
        else:
            validation = validation + self.noise_width_ * (rng.random(validation.shape) - 0.5)
        self.densities_ = []
        for c, name in enumerate(self.classes_.tolist()):
            report(f"learning the density of {name!r}", c + 1, len(self.classes_), "class")
            try:
                mine = label_validation == c
                self.densities_.append(self._density(rows[label == c], validation[mine], rng))
            except DataError as error:
                raise DataError(f"class {name!r} ({count[c]} rows): {error}") from None
        self.inverse_temperature_ = 1.0
        log_density = self._log_densities(validation) if len(validation) else np.empty((0, 0))
        usable = np.all(np.isfinite(log_density), axis=1)
        if np.any(usable):
            self.inverse_temperature_ = _inverse_temperature(
                np.log(self.class_prior_), log_density[usable], label_validation[usable]
            )

    def _density(self, rows: Array, validation: Array, rng: np.random.Generator) -> Any:
        """A fitted copy of ``density``, with the validation rows if its ``fit`` takes them."""
        density = BrainDensity() if self.density is None else clone(self.density)
        if density.get_params().get("random_state", 0) is None:
            density.set_params(random_state=int(rng.integers(2**31)))
        if len(validation) and has_fit_parameter(density, "X_validation"):
            return density.fit(rows, X_validation=validation)
        return density.fit(rows)

    def _grid(self, rows: Array) -> Array:
        """Width of each column's grid, 0 where it has none; that of the others if it is constant.

        Raises
        ------
        DataError
            If a column is constant and no other has a grid.
        """
        widths = np.array([grid_step(column) for column in rows.T])
        for j in np.flatnonzero(np.ptp(rows, axis=0) == 0):
            if not np.any(widths > 0):
                raise DataError(
                    f"argument `X` must vary in every column for route='bayes', but column "
                    f"{column_name(self, int(j))} is constant ({rows[0, j]:g})"
                )
            widths[j] = np.median(widths[widths > 0])
        return widths

    def _spread(self, rows: Array, label: Array, rng: np.random.Generator) -> Array:
        """Training rows with noise, so that every column has a density within every class."""
        rows = rows + self.noise_width_ * (rng.random(rows.shape) - 0.5)
        least = _SMALLEST_SPREAD * rows.std(axis=0)
        within = np.min([rows[label == c].std(axis=0) for c in range(len(self.classes_))], axis=0)
        return np.asarray(
            rows + np.where(within < 1e-3 * least, least, 0.0) * rng.standard_normal(rows.shape)
        )


def _held_out(label: Array, rng: np.random.Generator) -> Array:
    """A fifth of the rows of every class, as a mask; at least ``_FEWEST_ROWS`` stay."""
    mask = np.zeros(len(label), dtype=np.bool_)
    for c in np.unique(label):
        mine = rng.permutation(np.flatnonzero(label == c))
        mask[mine[: min(round(0.2 * len(mine)), len(mine) - _FEWEST_ROWS)]] = True
    return mask


def _inverse_temperature(log_prior: Array, log_density: Array, label: Array) -> float:
    """The power beta of least mean log-loss on held-out rows, between 0.001 and 1."""
    mine = np.arange(len(label)), label

    def loss(log_beta: float) -> float:
        joint = log_prior + np.exp(log_beta) * log_density
        return float(np.mean(logsumexp(joint, axis=1) - joint[mine]))

    found = optimize.minimize_scalar(loss, bounds=(np.log(1e-3), 0.0), method="bounded")
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def _labels(y: Any, name: str) -> Array:
    """Labels as an array (n_samples,).

    Raises
    ------
    DataError
        If they are none, of several columns or types, missing, not finite, or the values of a
        continuous target.
    """
    if y is None:
        raise DataError(
            f"argument `{name}` is missing: a classifier requires y to be passed, "
            "but the target y is None"
        )
    if np.asarray(y).dtype.kind == "c":
        raise DataError(f"argument `{name}`: Complex data not supported")
    labels = column_or_1d(y, warn=True)
    if labels.dtype.kind == "f" and not np.all(np.isfinite(labels)):
        raise DataError(f"argument `{name}` must be finite, but contains NaN or infinity")
    missing = np.flatnonzero(read_values(labels, "0", name).missing)
    if len(missing):
        raise DataError(
            f"argument `{name}` must not have missing values, but has one at row {missing[0]}"
        )
    with np.errstate(invalid="ignore"):  # floats beyond all integers are no labels
        check_classification_targets(labels)
    return np.asarray(labels)
