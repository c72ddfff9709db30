"""Inputs in the units a network likes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Scaling:
    """(x - ``mean``) / ``scale`` for inputs x (n, n_inputs)."""

    mean: Array
    scale: Array

    @classmethod
    def of(cls, inputs: Array) -> Scaling:
        """Mean and standard deviation of training rows; inf where constant, which says nothing."""
        mean, scale = inputs.mean(axis=0), inputs.std(axis=0)
        varies = scale > 4 * np.finfo(np.float64).eps * abs(mean)
        return cls(mean, np.where(varies, scale, np.inf))

    def __call__(self, inputs: Array) -> Array:
        """Inputs in standard units."""
        return np.asarray((inputs - self.mean) / self.scale)
