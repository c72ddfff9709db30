"""Transformers of rows to independent potentials and back, where all columns have densities."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted

from neurolp.arrays import Array
from neurolp.errors import DataError
from neurolp.estimators.table_density import TableDensity
from neurolp.estimators.validation import check_finite


def _has_densities_alone(density: Any) -> bool:
    """True before ``fit`` too: only then is it known, and a pipeline asks earlier."""
    for j, column in enumerate(getattr(density, "columns_", ())):
        if column.kind != "continuous" or column.atoms:
            what = "has atoms" if column.kind == "continuous" else f"is {column.kind}"
            raise AttributeError(
                f"potentials need columns that are continuous, without atoms, but column "
                f"{density._label(j)} {what}"
            )
    return True


class Potentials(OneToOneFeatureMixin, TransformerMixin, TableDensity):
    """A density by an invertible map, as a transformer of rows."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make ``transform`` depend on the columns, after scikit-learn has made it give frames."""
        super().__init_subclass__(**kwargs)
        transform = available_if(_has_densities_alone)(cls.transform)
        setattr(cls, "transform", transform)  # noqa: B010 - a method is not assigned to, says mypy

    @abstractmethod
    def _to_potentials(self, X: Any) -> Array:
        """Potentials of rows, (n_samples, n_features)."""

    @abstractmethod
    def _from_potentials(self, potential: Array) -> Array:
        """Codes of the rows with these potentials, both (n_samples, n_features)."""

    def transform(self, X: Any) -> Any:
        """Potentials of the rows, (n_samples, n_features), a frame after ``set_output``.

        Of a triangular map z_i = Phi^-1(y_i), Phi the normal distribution function: y is
        ``cdf(X)``, but no digits are lost in its tails. Of rows drawn from the density z are
        independent standard normal. NaN for a missing value, and for those after it in ``order_``.
        Of a brain u(T) at the end of time, as ``evolve`` gives it; NaN in rows with missing values.
        Exists where all columns are continuous, without atoms.

        Raises
        ------
        DataError
            If there are other columns than in ``fit``, or infinite values.
        """
        return self._to_potentials(X)

    @available_if(_has_densities_alone)
    def inverse_transform(self, Z: Any) -> Any:
        """Rows of a table as ``fit`` was given whose potentials are ``Z`` (n_samples, n_features).

        Raises
        ------
        DataError
            If ``Z`` is not finite, or has another number of columns.
        """
        return self.columns_.decode(self._from_potentials(self._numbers(Z, "Z")))

    def __sklearn_tags__(self) -> Tags:
        """Not all that it can do takes categories: there are no potentials of them."""
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = False
        return tags

    # --- inside -----------------------------------------------------------------------------------

    def _numbers(self, values: Any, name: str) -> Array:
        """Numbers (n_samples, n_features), one of each column; names of a frame are in order."""
        check_is_fitted(self)
        rows = check_array(values, dtype=np.float64, ensure_all_finite=False, estimator=self)
        if rows.shape[1] != self.n_features_in_:
            raise DataError(
                f"argument `{name}` must have {self.n_features_in_} features, as in fit, but has "
                f"{rows.shape[1]} features"
            )
        given, wanted = list(getattr(values, "columns", ())), list(self.get_feature_names_out())
        if given and hasattr(self, "feature_names_in_") and given != wanted:
            raise DataError(f"argument `{name}` must have the columns {wanted}, but has {given}")
        check_finite(rows, name, self._label)
        return np.asarray(rows)
