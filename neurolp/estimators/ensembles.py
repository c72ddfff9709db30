"""Estimators that are averages of small networks and trees: their parameters, and their inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any

from pydantic import Field
from sklearn.base import BaseEstimator

from neurolp.arrays import Array
from neurolp.data.inputs import TableInputs, is_binary_number
from neurolp.differentiation.ensemble import EnsembleConfig
from neurolp.errors import DataError
from neurolp.estimators import ranges
from neurolp.estimators.files import StoredEstimator
from neurolp.estimators.validation import KnownAttributes, read_columns


@dataclass(eq=False, repr=False, kw_only=True)
class EnsembleEstimator(KnownAttributes, StoredEstimator, BaseEstimator):
    """Estimators that are averages of small networks and trees; subclasses are final."""

    hidden: Sequence[ranges.Positive]
    decays: ranges.Strengths
    input_noise: ranges.Strengths
    trees: bool = True
    n_members: Annotated[int, Field(ge=2, le=1000, strict=True)] = 5
    rate: ranges.Share = 3e-3
    batch_size: ranges.Positive | None = None
    max_epochs: ranges.Count = 500
    patience: ranges.Positive = 20
    kinds: ranges.Kinds = None
    random_state: Any = None
    verbose: ranges.Flag = False

    def _ensemble(self) -> EnsembleConfig:
        """Configuration of the ensemble, from the checked parameters."""
        values = {field.name: getattr(self, field.name) for field in fields(EnsembleConfig)}
        for name in ("decays", "input_noise"):
            values[name] = tuple(dict.fromkeys(float(v) for v in values[name]))
        return EnsembleConfig(**values | {"hidden": tuple(int(h) for h in self.hidden)})

    def _inputs(self, X: Any, name: str = "X", *, reset: bool = False) -> Array:
        """Inputs (n_samples, n_inputs) of the rows of argument ``name``, NaN where not known.

        ``reset`` learns from them what the columns are and which inputs they become. Columns of
        zeros and ones are ordinal here, as other whole numbers are, unless ``kinds`` has them.
        """
        codes = read_columns(self, X, name, kinds=self.kinds, reset=reset)
        if reset:
            if len(codes) < 2:
                raise DataError(
                    f"argument `{name}` must have at least 2 rows, but has n_samples = {len(codes)}"
                )
            given = self.kinds or {}
            asked = {self.columns_.position(column) for column in given}
            binary = {
                column.name: "ordinal"
                for j, column in enumerate(self.columns_)
                if j not in asked and is_binary_number(column)
            }
            if binary:
                codes = read_columns(self, X, name, kinds={**given, **binary}, reset=True)
            self.inputs_ = TableInputs.of(self.columns_, codes)
        return self.inputs_(codes)
