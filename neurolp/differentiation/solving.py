"""Roots of many increasing functions of one variable at once: Newton's method in a bracket."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neurolp.arrays import Array

# x (m,) and the numbers of the functions (m,) -> values and slopes there, (m,) each.
Function = Callable[[Array, Array], tuple[Array, Array]]

_MOST_STEPS = 200
_ROUNDING = 4 * float(np.finfo(np.float64).eps)


def solve_increasing(
    function: Function, start: Array, low: Array, high: Array, resolution: Array | float
) -> Array:
    """X (n,) with f_i(x_i) = 0, to rounding, for increasing f_i that change sign in a bracket.

    ``start``, ``low`` and ``high`` are (n,), finite; ``resolution`` (n,) is a difference of x that
    does not matter, whatever x is. The bracket closes in on x. A Newton step that leaves it, or is
    longer than half of the last step (such steps may go round in circles), is replaced by the
    middle of the bracket.
    """
    x, low, high = (np.array(v, dtype=np.float64) for v in (start, low, high))
    resolution = np.broadcast_to(resolution, x.shape)
    last, open_ = high - low, np.arange(len(x))
    for _ in range(_MOST_STEPS):
        here = x[open_]
        value, slope = function(here, open_)
        a = np.where(value < 0, here, low[open_])
        b = np.where(value > 0, here, high[open_])
        low[open_], high[open_] = a, b
        with np.errstate(all="ignore"):
            new = here - value / slope
            good = (new >= a) & (new <= b) & (abs(new - here) <= 0.5 * last[open_])
        new = np.where(value == 0, here, np.where(good, new, 0.5 * a + 0.5 * b))
        x[open_], last[open_] = new, abs(new - here)
        tolerance = resolution[open_] + _ROUNDING * abs(new)
        open_ = open_[(abs(new - here) > tolerance) & (b - a > tolerance)]
        if not len(open_):
            break
    return x
