"""Interneurons: memoryless nodes that mix the sources of a group and are listened to by it.

    h = tanh(R u_sources + r)

with R and r drawn at random, anew for every group of every slice, and never learned: only who
listens to them is. They read nodes outside the group alone, so the update of the group stays
triangular and its determinant exact. What they add to the transfer functions of the edges is
interaction: a node hears how its sources stand together, not just each of them (random features;
Rahimi and Recht, NIPS 2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.errors import NetworkError

Array = npt.NDArray[Any]

# Standard deviations of R u and of r where the potentials are independent with unit variance
# (the base density's): half of the interneurons then bend, few are saturated.
_GAIN, _SPREAD = 1.0, 1.0


@dataclass(frozen=True)
class Interneurons:
    """H interneurons of one group: ``weights`` R (H, n_sources) and ``bias`` r (H,).

    Raises
    ------
    NetworkError
        If the shapes do not fit each other or a value is not finite.
    """

    weights: Array
    bias: Array

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or self.bias.shape != self.weights.shape[:1]:
            raise NetworkError(
                f"interneurons must have weights (H, n_sources) and bias (H,), "
                f"but have shapes {self.weights.shape} and {self.bias.shape}"
            )
        if not (np.all(np.isfinite(self.weights)) and np.all(np.isfinite(self.bias))):
            raise NetworkError("weights and bias of interneurons must be finite, but are not")

    def __len__(self) -> int:
        """Number H of interneurons."""
        return len(self.bias)

    def respond(self, potential: Array, out: Array) -> None:
        """Write h for potentials of the sources (n_sources, width) to ``out`` (H, width)."""
        np.matmul(self.weights, potential, out=out)
        out += self.bias[:, None]
        np.tanh(out, out=out)

    def adjoint(self, response: Array, back: Array) -> Array:
        """dL/du_sources (n_sources, ...) from h and ``back`` = dL/dh, both (H, ...)."""
        return np.tensordot(self.weights.T, back * (1 - response**2), 1)


def draw_interneurons(
    n: int, n_sources: int, std: float, rng: np.random.Generator
) -> Interneurons | None:
    """Draw ``n`` interneurons for potentials of standard deviation ``std``; None where n is 0."""
    if n == 0 or n_sources == 0:
        return None
    weights = rng.standard_normal((n, n_sources)) * (_GAIN / (std * np.sqrt(n_sources)))
    return Interneurons(weights, _SPREAD * rng.standard_normal(n))
