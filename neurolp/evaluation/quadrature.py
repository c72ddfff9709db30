"""Integrals over any interval of the line, finite or not, with an error that can be believed.

    integral of f over (a, b)  =  sum over panels of a 10-point Gauss-Legendre rule

in a variable t that makes the support finite. A panel is cut in half until it agrees with its
halves, so that kinks and steps are found; all open panels are evaluated in one call of f.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.errors import ConfigurationError, DataError

Array = npt.NDArray[Any]
Support = tuple[float, float]

REAL_LINE: Support = (-np.inf, np.inf)

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(10)
_FIRST_PANELS = 64  # between two points: a peak narrower than that needs a point of its own
_MAX_DEPTH = 46  # halvings: the panel of a step is then as narrow as t can be told apart


@dataclass(frozen=True)
class Estimate:
    """A number and its error: a bound from quadrature, a standard error from Monte Carlo."""

    value: float
    error: float

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.6g} +- {self.error:.1e}"


def integrate(
    function: Callable[[Array], Array],
    support: Support = REAL_LINE,
    *,
    points: Sequence[float] | Array = (),
    tolerance: float = 1e-13,
) -> Estimate:
    """Integral of ``function`` over ``support``.

    Parameters
    ----------
    function : callable
        Array (m,) -> array (m,), finite inside the support.
    support : (a, b)
        Ends, which may be infinite; the function is never evaluated at them.
    points : sequence of float
        Where to look: kinks, steps, peaks, or quantiles of the data. Panels end there, and an
        infinite support is centred and scaled by them.
    tolerance : float
        Permitted error of a panel, relative to the whole integral.

    Raises
    ------
    ConfigurationError
        If the support is empty.
    DataError
        If the function is not finite somewhere.

    Examples
    --------
    >>> import numpy as np
    >>> integral = integrate(lambda x: np.exp(-abs(x)))
    >>> bool(abs(integral.value - 2) < integral.error < 1e-12)
    True
    """
    low, high = (float(end) for end in support)
    if not low < high:
        raise ConfigurationError(f"argument `support` must be (a, b) with a < b, but is {support}")
    inside = np.unique([p for p in np.ravel(points) if low < p < high])
    to_x, from_x = _substitution(low, high, inside)
    ends = np.concatenate(
        [[from_x(low)], from_x(inside) if len(inside) else [], [from_x(high)]]
    ).astype(np.float64)
    # As many panels between each two points; those of the ends are cut like the others.
    cuts = max(_FIRST_PANELS // (len(ends) - 1), 2)
    edges = np.unique(np.concatenate([np.linspace(a, b, cuts + 1) for a, b in pairwise(ends)]))
    left, right = edges[:-1], edges[1:]

    def of_panels(left: Array, right: Array) -> Array:
        half = (right - left) / 2
        t = (left + right)[:, None] / 2 + half[:, None] * _NODES
        x, slope = to_x(t)
        values = np.asarray(function(x.ravel()), dtype=np.float64)
        if not np.all(np.isfinite(values)):
            at = x.ravel()[np.flatnonzero(~np.isfinite(values))[0]]
            raise DataError(f"argument `function` must be finite, but is not at {at:g}")
        return np.asarray(((values.reshape(t.shape) * slope) @ _WEIGHTS) * half)

    whole = of_panels(left, right)
    done, error = 0.0, 0.0
    for depth in range(_MAX_DEPTH + 1):
        middle = (left + right) / 2
        halves = of_panels(
            np.column_stack([left, middle]).ravel(), np.column_stack([middle, right]).ravel()
        ).reshape(-1, 2)
        change = np.abs(halves.sum(axis=1) - whole)
        total = abs(done) + np.abs(halves).sum()
        open_ = change > tolerance * total
        if depth == _MAX_DEPTH:  # a step is in an empty panel by now; a pole is not
            error += float(np.abs(halves[open_]).sum())
            open_[:] = False
        done += float(halves[~open_].sum())
        error += float(change[~open_].sum())
        if not open_.any():
            break
        left, right = (
            np.column_stack([left, middle])[open_].ravel(),
            np.column_stack([middle, right])[open_].ravel(),
        )
        whole = halves[open_].ravel()
    return Estimate(done, error + 4 * np.finfo(np.float64).eps * abs(done))


def _substitution(
    low: float, high: float, inside: Array
) -> tuple[Callable[[Array], tuple[Array, Array]], Callable[[Any], Any]]:
    """Functions t -> (x, dx/dt) and x -> t, for t in a finite interval.

    x = a + s t / (1 - t) on half a line and x = c + s t / (1 - t^2) on a whole one, which keep the
    integrand smooth for algebraic tails too.
    """
    tiny = np.finfo(np.float64).eps
    if np.isfinite(low) and np.isfinite(high):
        return lambda t: (t, np.ones_like(t)), lambda x: x
    if np.isfinite(low) or np.isfinite(high):
        end, sign = (low, 1.0) if np.isfinite(low) else (high, -1.0)
        scale = float(np.median(np.abs(inside - end))) if len(inside) else 1.0

        def half_line(t: Array) -> tuple[Array, Array]:
            t = np.abs(t)
            rest = np.maximum(1 - t, tiny)
            return end + sign * scale * t / rest, scale / rest**2

        def from_half_line(x: Any) -> Any:
            distance = np.abs(np.asarray(x, dtype=np.float64) - end) / scale
            with np.errstate(invalid="ignore"):
                t = np.where(np.isinf(distance), 1.0, distance / (1 + distance))
            return sign * t  # so that t grows with x

        return half_line, from_half_line
    centre = float(np.median(inside)) if len(inside) else 0.0
    spread = float(np.mean(np.abs(inside - centre))) if len(inside) > 1 else 1.0
    scale = spread if spread > 0 else 1.0

    def whole_line(t: Array) -> tuple[Array, Array]:
        rest = np.maximum(1 - t * t, tiny)
        return centre + scale * t / rest, scale * (1 + t * t) / rest**2

    def from_whole_line(x: Any) -> Any:
        z = (np.asarray(x, dtype=np.float64) - centre) / scale
        with np.errstate(invalid="ignore"):
            t = 2 * z / (1 + np.sqrt(1 + 4 * z * z))
        return np.where(np.isinf(z), np.sign(z), t)

    return whole_line, from_whole_line
