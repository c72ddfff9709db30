"""Seasons of a value: which period it has, and what the same phase of past periods tells.

Two periods are followed: that of the values, and that of their changes. A period p is good if
values (or changes) differ little from those p steps before.
"""

from __future__ import annotations

from math import inf

from neurolp.arrays import Array
from neurolp.kernels._jit import ordered_kernel

LONGEST, CYCLES, CHANGES = 400, 4, 12
FEATURES = 4 + CHANGES
PAST = (CYCLES + 1) * LONGEST  # values that are remembered
FIRST_LOOK, LOOK_AGAIN = 24, 1.25  # observations until a period is sought, and between two searches
_AS_GOOD = 1.03  # of two periods as good as each other within so much, the shorter one


@ordered_kernel
def compare_with_past(past: Array, end: int, n: int, unit: float, differences: Array) -> None:
    """Add to ``differences`` (2, LONGEST + 1) how far the last value is from those before it.

    ``past[end - 1]`` is the last of ``n`` values. A difference d counts d / (d + unit), so that one
    value far away decides nothing.
    """
    x, before = past[end - 1], past[end - 2]
    for p in range(2, min(LONGEST, n - 2) + 1):
        value, previous = past[end - 1 - p], past[end - 2 - p]
        d = abs(x - value)
        differences[0, p] += d / (d + unit)
        d = abs((x - before) - (value - previous))
        differences[1, p] += d / (d + unit)


@ordered_kernel
def best_period(differences: Array, n: int) -> int:
    """The period of least mean difference after ``n`` comparisons; 0 before there are enough."""
    least, last = inf, min(LONGEST, n // 2 - 2)
    for p in range(2, last + 1):
        least = min(least, differences[p] / (n - p))
    for p in range(2, last + 1):
        if differences[p] / (n - p) <= _AS_GOOD * least:
            return p
    return 0


@ordered_kernel
def season_features(past: Array, end: int, n: int, period: int, unit: float, z: Array) -> None:
    """Features (FEATURES,) of the next change, of a value with this period, in ``unit``.

    A constant; the mean change at this phase in up to CYCLES past periods; the mean value at this
    phase and that of the last period, less the present value; the last CHANGES changes.
    """
    present = past[end - 1]
    cycles = max(min(CYCLES, (n - 1) // period), 1)
    change = value = 0.0
    for c in range(1, cycles + 1):
        here = past[end - c * period]
        change += here - past[end - c * period - 1]
        value += here - present
    z[0] = 1.0
    z[1] = change / (cycles * unit)
    z[2] = value / (cycles * unit)
    z[3] = (past[end - period] - present) / unit
    for j in range(CHANGES):
        known = j + 2 <= n
        z[4 + j] = (past[end - 1 - j] - past[end - 2 - j]) / unit if known else 0.0
