"""Laws of residuals of values on a grid: the mean density in the cell of a value, which has a mass.

A cell has the width ``2 half`` around the value, in units of the law; that of the least value of a
grid is open below. Mass = density * width, so that the masses of all cells add to 1.
"""

from __future__ import annotations

from math import floor

from neurolp.arrays import Array
from neurolp.kernels._jit import ordered_kernel
from neurolp.kernels.stream_laws import N_FREE, N_RUNGS, RUNGS, below, gaussian, rung_weight

_OPEN = -1e30  # where a cell begins that is open below: no law has anything there
_NARROW = 1e-6  # half of the width up to which the density is the same in all of a cell
_ROOT_2PI = 2.5066282746310002
_GOLDEN = 0.6180339887498949


@ordered_kernel
def place_in_cell(n: int) -> float:
    """Where in its cell the n-th value is taken to lie, in (0, 1): a sequence that fills it evenly.

    P(value <= x) is then uniform if the masses are right, although values are on a grid.
    """
    u = (n + 1.0) * _GOLDEN
    out: float = u - floor(u)
    return out


@ordered_kernel
def cell_density(z: float, half: float, opened: bool) -> float:
    """Mean density of a normal variable in the cell around z, times sqrt(2 pi).

    Its relative error is below 1e-5, far out in both tails too.
    """
    if half < _NARROW and not opened:
        return gaussian(z)
    low, high = _OPEN if opened else z - half, z + half
    if low > 0.0:
        low, high = -high, -low
    mass = below(high, gaussian(high)) - below(low, gaussian(low))
    return max(mass, 0.0) * _ROOT_2PI / (2.0 * half)


@ordered_kernel
def below_cell(z: float, half: float, opened: bool) -> float:
    """P(a normal variable is below the cell around z)."""
    return 0.0 if opened else below(z - half, gaussian(z - half))


@ordered_kernel
def normal_cells(z: Array, half: Array, opened: bool, u: float, density: Array, cdf: Array) -> None:
    """Densities, times sqrt(2 pi), of the cells; and P(value <= x) at the share u of each cell."""
    for p in range(z.shape[0]):
        density[p] = cell_density(z[p], half[p], opened)
        mass = density[p] * 2.0 * half[p] / _ROOT_2PI
        cdf[p] = below_cell(z[p], half[p], opened) + u * mass


@ordered_kernel
def ladder_cells(
    z: Array, half: Array, opened: bool, u: float, weights: Array, density: Array, cdf: Array,
    part: Array,
) -> None:  # fmt: skip
    """As :func:`normal_cells`, for ladders with ``weights`` (rungs, P); ``part`` is their parts."""
    for p in range(z.shape[0]):
        density[p] = cdf[p] = 0.0
    for r in range(N_RUNGS):
        inverse = 1.0 / RUNGS[r]
        for p in range(z.shape[0]):
            x, h, w = z[p] * inverse, half[p] * inverse, rung_weight(weights[r, p])
            found = cell_density(x, h, opened)
            part[r, p] = w * inverse * found
            density[p] += part[r, p]
            cdf[p] += w * (below_cell(x, h, opened) + u * found * 2.0 * h / _ROOT_2PI)


@ordered_kernel
def free_cells(
    z: Array, half: Array, opened: bool, u: float, components: Array, density: Array, cdf: Array,
    part: Array,
) -> None:  # fmt: skip
    """As :func:`normal_cells`, for free mixtures; ``part`` (N_FREE, P) is their components'."""
    for p in range(z.shape[0]):
        density[p] = cdf[p] = 0.0
    for c in range(N_FREE):
        for p in range(z.shape[0]):
            w, inverse = components[0, c, p], 1.0 / components[2, c, p]
            x, h = (z[p] - components[1, c, p]) * inverse, half[p] * inverse
            found = cell_density(x, h, opened)
            part[c, p] = w * inverse * found
            density[p] += part[c, p]
            cdf[p] += w * (below_cell(x, h, opened) + u * found * 2.0 * h / _ROOT_2PI)


@ordered_kernel
def mixture_cell(shape: Array, e: float, half: float, opened: bool) -> float:
    """Mean density, times sqrt(2 pi), in a cell of a mixture (J, 3) of weights, means, scales."""
    total = 0.0
    for j in range(shape.shape[0]):
        s = shape[j, 2]
        total += shape[j, 0] / s * cell_density((e - shape[j, 1]) / s, half / s, opened)
    return total


@ordered_kernel
def below_mixture_cell(shape: Array, e: float, half: float, opened: bool) -> float:
    """P(a variable of this mixture is below the cell around e)."""
    total = 0.0
    for j in range(shape.shape[0]):
        s = shape[j, 2]
        total += shape[j, 0] * below_cell((e - shape[j, 1]) / s, half / s, opened)
    return total
