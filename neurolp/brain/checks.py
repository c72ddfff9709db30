"""Certificates for users' learning rules and node maps: numerical checks with a report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from neurolp.brain.base_density import Normal
from neurolp.brain.connectivity import Connectivity
from neurolp.brain.evolution import evolve, rewind
from neurolp.brain.form import ExactForm
from neurolp.brain.network import Network, Synapse
from neurolp.brain.node_map import NodeMap, SplineGrid
from neurolp.brain.parts import NODE_MAPS, RULES
from neurolp.brain.rules.greedy import learn_slice
from neurolp.brain.rules.rule import LearningRule, LocalView, arrays_of
from neurolp.brain.workers import Workers
from neurolp.errors import NetworkError

Array = npt.NDArray[np.float64]

_N_NODES, _N_ROWS, _TOLERANCE = 6, 2000, 1e-6


@dataclass(frozen=True)
class PartReport:
    """What a check measured; printed, one line each.

    ``log_det_error`` is the largest difference between a claimed log-determinant (or log-slope) and
    that of brute force (or finite differences), nats; ``inverse_error`` the largest difference
    between potentials and those that come back; ``local_loss`` the mean change of the local loss of
    a node by one step of learning, nats, negative where it learns.
    """

    part: str
    log_det_error: float
    inverse_error: float
    local_loss: float

    def __str__(self) -> str:
        """Four lines."""
        return (
            f"{self.part}: ok\n  log-determinant exact within {self.log_det_error:.1e} nats\n"
            f"  inverse exact within {self.inverse_error:.1e}\n"
            f"  local loss changes by {self.local_loss:+.4f} nats per node"
        )


def check_node_map(node_map: NodeMap, *, random_state: int = 0) -> PartReport:
    """Certify a node map: identity, monotone, log-slope, inverse, a local loss that falls.

    The map learns from skewed potentials, and is compared with finite differences.

    Raises
    ------
    NetworkError
        For the first thing that is wrong: what was wanted, and what came.
    ConfigurationError
        If an attribute of :class:`neurolp.NodeMap` is missing.
    """
    maps: NodeMap = NODE_MAPS.resolve(node_map)
    name, base = f"node map {type(maps).__name__}", Normal()
    demand = partial(_demand, name)
    rng = np.random.default_rng(random_state)
    v = rng.standard_normal((_N_NODES, _N_ROWS))
    v = 0.6 * np.expm1(0.7 * v) + np.linspace(-0.5, 0.5, _N_NODES)[:, None]
    identity = maps.identity(_N_NODES)
    right = identity.shape == (_N_NODES, maps.n_coefficients)
    demand(right, f"identity(n) must have shape (n, n_coefficients), but has {identity.shape}")
    u, log_slope = maps.forward(identity, v)
    right = np.allclose(u, v, atol=1e-10) and np.allclose(log_slope, 0, atol=1e-10)
    demand(right, "forward(identity(n), v) must be v with log-slope 0, but is not")
    learned = maps.learn(v, base, 0.5)
    maps.check(learned)
    far = np.concatenate([v, np.linspace(-40, 40, 2 * 40 + 1) * np.ones((_N_NODES, 1))], axis=1)
    u, log_slope = maps.forward(learned, far)
    right = bool(np.isfinite(u).all() and np.isfinite(log_slope).all())
    demand(right, "forward must be finite for all potentials, but is not")
    h = 1e-5 * np.maximum(1.0, np.abs(far))
    rise = maps.forward(learned, far + h)[0] - maps.forward(learned, far - h)[0]
    demand(bool(np.all(rise > 0)), "maps must increase, but one falls or stays level")
    slope_error = float(np.quantile(np.abs(np.log(rise / (2 * h)) - log_slope), 0.99))
    wanted = "log-slopes must be those of finite differences"
    demand(slope_error < 1e-4, f"{wanted}, but differ by {slope_error:.1e}")
    inverse_error = float(np.abs(maps.inverse(learned, u) - far).max())
    wanted = "inverse(forward(v)) must be v"
    demand(inverse_error < _TOLERANCE, f"{wanted}, but differs by {inverse_error:.1e}")
    u, log_slope = maps.forward(learned, v)
    loss = float(np.mean(base.energy(u) - log_slope - base.energy(v)))
    demand(loss < 0, f"learning must lower the local loss, but changes it by {loss:+.2e}")
    return PartReport(name, slope_error, inverse_error, loss)


def check_rule(rule: LearningRule, *, random_state: int = 0) -> PartReport:
    """Certify a learning rule: its steps are finite, exact in the engine, and lower the local loss.

    It learns a slice of a small network with full and one with partial connectivity, from dependent
    potentials; log-determinant and inverse are compared with brute force.

    Raises
    ------
    NetworkError
        For the first thing that is wrong: what was wanted, and what came.
    ConfigurationError
        If an attribute of :class:`neurolp.LearningRule` is missing.
    """
    part: LearningRule = RULES.resolve(rule)
    name = f"rule {type(part).__name__}"
    rng = np.random.default_rng(random_state)
    mix = np.eye(_N_NODES) + 0.8 * np.tril(rng.standard_normal((_N_NODES, _N_NODES)), -1)
    u = mix @ rng.standard_normal((_N_NODES, _N_ROWS))
    u = np.ascontiguousarray((u - u.mean(axis=1)[:, None]) / u.std(axis=1)[:, None])
    some = ~np.eye(_N_NODES, dtype=np.bool_)
    some[0, 3:5] = some[4, 1] = False
    errors, inverses, losses = [], [], []
    for edges in (Connectivity.full(_N_NODES), Connectivity.from_array(some)):
        network = Network(edges, "normal", Synapse((-0.75, 0.75), 2.0), True, SplineGrid(-4, 4, 8))
        groups = [np.arange(3), np.arange(3, _N_NODES)]
        with Workers(1) as workers:
            view = LocalView(network, groups[0], groups[1], u, workers)
            step = part.learn(view, rng)
            arrays_of(network, step, (3, view.n_features))
            losses.append(float(view.local_loss(step).mean()))
            slice_, _ = learn_slice(
                network, part, groups, None, u.copy(), np.zeros(_N_ROWS), workers, rng
            )
        network.slices.append(slice_)
        start = u[:, :1]
        end, log_det = evolve(network, start, n_threads=1)
        (jacobian,) = ExactForm(network).step_jacobians(start)
        errors.append(float(np.abs(np.linalg.slogdet(jacobian)[1] - log_det[0])))
        inverses.append(float(np.abs(rewind(network, end, n_threads=1) - start).max()))
    error, inverse_error, loss = max(errors), max(inverses), max(losses)
    demand = partial(_demand, name)
    wanted = "the log-determinant must be that of brute force"
    demand(error < _TOLERANCE, f"{wanted}, but differs by {error:.1e} nats")
    wanted = "the inverse must lead back"
    demand(inverse_error < _TOLERANCE, f"{wanted}, but misses by {inverse_error:.1e}")
    demand(loss < 0, f"a step must lower the local loss, but changes it by {loss:+.2e} nats")
    return PartReport(name, error, inverse_error, loss)


def _demand(name: str, fulfilled: bool, message: str) -> None:
    if not fulfilled:
        raise NetworkError(f"{name}: {message}")
