"""What a group learns about its own marginals: one shrunken Newton step for each node map.

A node minimises E[E(g(v)) - log g'(v)], which is convex in the spline coefficients of g, from the
identity. The whole Newton system is linear in the moments of v inside each spline interval.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.brain.network import Network
from neurolp.errors import ConfigurationError
from neurolp.kernels.node_map import spline_moments

Array = npt.NDArray[Any]

# The step may bring a slope coefficient down to 1/10 or up to 10, well inside the provable bounds.
_SLOPE_FLOOR, _SLOPE_CEILING = 0.1, 10.0


def node_map_moments(network: Network, v: Array) -> Array:
    """Moments of 1, psi and psi' in every spline interval, of v (n_targets, width) before the maps.

    Returns (3, n_targets, bins, 7), sums over the width; see ``kernels.node_map.spline_moments``.
    """
    grid, base = network.grid, network.base_density
    everyone = np.arange(len(v))
    out = np.empty((3, len(v), grid.n_intervals + 2, 7))
    for k, weight in enumerate((np.ones_like(v), base.psi(v), base.curvature(v))):
        if k == 2 and base.name == "normal":
            out[2] = out[0]  # psi' = 1
            break
        spline_moments(v, everyone, 0, grid.low, grid.spacing, grid.n_intervals, weight, out[k])
    return out


def node_map_step(
    network: Network, moments: Any, n_rows: int, *, rate: float, ridge: float
) -> Array:
    """Coefficients after a fraction ``rate`` of the Newton step from the identity, for each node.

    ``moments`` are summed over ``n_rows``; the ridge is in units of n_coefficients / n_rows. The
    step is shortened further where a slope coefficient would leave its bounds.
    """
    value, slope, value_pairs, slope_pairs = network.grid.newton_operators
    k = network.grid.n_coefficients
    one, psi, curvature = moments.reshape(3, moments.shape[1], -1) / n_rows
    gradient = psi @ value.T - one @ slope.T
    hessian = (curvature @ value_pairs.T + one @ slope_pairs.T).reshape(-1, k, k)
    hessian[:, np.arange(k), np.arange(k)] += ridge * k / n_rows
    try:
        step = -np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError as error:
        raise ConfigurationError(
            "a spline interval holds no potentials: node_ridge must be larger"
        ) from error
    lowest = np.minimum(step[:, 1:].min(axis=1), -1e-300)
    highest = np.maximum(step[:, 1:].max(axis=1), 1e-300)
    share = np.minimum(rate, (1.0 - _SLOPE_FLOOR) / -lowest)
    share = np.minimum(share, (_SLOPE_CEILING - 1.0) / highest)
    return np.asarray(network.grid.identity(len(step)) + share[:, None] * step)
