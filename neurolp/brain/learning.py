"""The greedy local rule: each group of each slice is fitted where it stands, then left alone.

A node minimises its own local loss, l_i = E(u_i') - E(u_i) - G_i - log g_i'(v_i), from what it sees
itself: its own potential and the transfer functions of its presynaptic nodes. Three convex (or
locally quadratic) problems in a row, each started at "do nothing" and each taken by a fraction of
its Newton step, the shrinkage that lets many small slices generalise, as in boosting:

* shift: minimise E[E(u + w f)], Newton step w = -(H + ridge)^-1 E[psi f], H = E[psi'] E[f f^T]
  (for the normal base exactly the ridge regression of u on the features f: predictive coding);
* gain: minimise E[E(e^G u) - G], G = w f, whose quadratic model at 0 has gradient
  E[(psi u - 1) f] and curvature E[psi' u^2 + psi u] E[f f^T];
* node map: minimise E[E(g(v)) - log g'(v)], convex in the spline coefficients of g; one Newton
  step, shortened further where a slope coefficient would leave its bounds.

No gradient travels from one slice or one node to another: there is no back-propagation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from neurolp.brain.evolution import rotate, synaptic_input
from neurolp.brain.network import GroupUpdate, Network, Slice
from neurolp.brain.parallel import Block, Workers, column_blocks
from neurolp.errors import NeurolpError
from neurolp.kernels.coupling import couple, transfer
from neurolp.kernels.node_map import apply_node_maps, spline_moments

Array = npt.NDArray[Any]

# The step may bring a slope coefficient down to 1/10 or up to 10, well inside the provable bounds.
_SLOPE_FLOOR, _SLOPE_CEILING = 0.1, 10.0


@dataclass(frozen=True)
class GreedyRule:
    """Rates (fractions of a Newton step) and ridges (in units of n_parameters / n_rows)."""

    coupling_rate: float = 0.03
    node_rate: float = 0.5
    coupling_ridge: float = 20.0
    node_ridge: float = 8.0


def learn_slice(
    network: Network,
    rule: GreedyRule,
    groups: list[Array],
    rotation: Array | None,
    potential: Array,
    log_det: Array,
    workers: Workers,
) -> tuple[Slice, Array]:
    """Learn one slice on the training trajectories while they move through it.

    Parameters
    ----------
    groups : list of arrays
        Ordered partition of the nodes.
    rotation : array of shape (n_nodes, n_nodes), optional
        Rotation of the potentials before the groups.
    potential, log_det : arrays (n_nodes, n_trajectories) and (n_trajectories,)
        The training trajectories before the slice; moved through it in place.

    Returns
    -------
    slice_ : tuple of GroupUpdate
        The learned parameters.
    local_loss : array of shape (n_nodes,)
        Mean local loss of each node in nats; its sum is the change of the mean surprise. The
        change of a node's energy by the rotation is counted as its own.
    """
    updates = []
    local_loss = np.zeros(network.n_nodes)
    if rotation is not None:
        everyone = np.arange(network.n_nodes)
        blocks = column_blocks(potential.shape[1], 2 * network.n_nodes)
        local_loss -= _energy(network, everyone, potential, blocks, workers)
        workers.map(lambda block: rotate(rotation, potential, block), blocks)
        local_loss += _energy(network, everyone, potential, blocks, workers)
    for targets in groups:
        outside = np.ones(network.n_nodes, dtype=np.bool_)
        outside[targets] = False
        sources = network.connectivity.sources_of(targets, outside)
        update, loss = _learn_group(network, rule, targets, sources, potential, log_det, workers)
        local_loss[targets] += loss
        updates.append(update)
    return Slice(tuple(updates), rotation), local_loss


def _learn_group(
    network: Network,
    rule: GreedyRule,
    targets: Array,
    sources: Array,
    potential: Array,
    log_det: Array,
    workers: Workers,
) -> tuple[GroupUpdate, Array]:
    n_rows = potential.shape[1]
    blocks = column_blocks(n_rows, network.synapse.n_transfer * len(sources) + len(targets))

    # 1. Coupling: listen to the others, move by a small part of what they predict.
    before = _energy(network, targets, potential, blocks, workers)
    draft = network.update(
        targets,
        sources,
        *_coupling(network, rule, targets, sources, potential, blocks, workers),
        node_map=network.grid.identity(len(targets)),
    )

    def move(block: Block) -> tuple[Array, Array]:
        shift, log_gain = synaptic_input(network, draft, potential, block)
        couple(potential, targets, block[0], shift, draft.bias, log_gain, draft.gain_bias, log_det)
        gains = log_gain.sum(axis=1, dtype=np.float64) + block[1] * draft.gain_bias
        return gains if network.gain else np.zeros(len(targets)), _moments(
            network, potential, targets, block
        )

    moved = workers.map(move, blocks)
    gain = sum(g for g, _ in moved)

    # 2. Node maps: reshape one's own marginal.
    node_map = _node_maps(network, rule, sum(m for _, m in moved), n_rows)
    update = network.update(
        targets, sources, draft.weights, draft.bias, draft.gain_weights, draft.gain_bias, node_map
    )

    def reshape(block: Block) -> Array:
        log_slope = np.empty(len(targets))
        apply_node_maps(
            potential,
            targets,
            block[0],
            network.grid.low,
            network.grid.spacing,
            update.table,
            np.empty(block[1], dtype=potential.dtype),
            log_det,
            log_slope,
        )
        return log_slope

    log_slope = sum(workers.map(reshape, blocks))
    after = _energy(network, targets, potential, blocks, workers)
    return update, after - before - (gain + log_slope) / n_rows


def _energy(
    network: Network, nodes: Array, potential: Array, blocks: list[Block], workers: Workers
) -> Array:
    """Mean energy E(u) of each of the nodes, nats."""

    def energy(block: Block) -> Array:
        u = potential[nodes, block[0] : sum(block)]
        return np.asarray(network.base_density.energy(u).sum(axis=1, dtype=np.float64))

    return np.asarray(sum(workers.map(energy, blocks)) / potential.shape[1])


# --- coupling -------------------------------------------------------------------------------------


def _coupling(
    network: Network,
    rule: GreedyRule,
    targets: Array,
    sources: Array,
    potential: Array,
    blocks: list[Block],
    workers: Workers,
) -> tuple[Any, Array, Any, Array]:
    """Weights, bias, gain weights and gain bias of one group."""
    if network.connectivity.kind == "sparse":
        return _sparse_coupling(network, rule, targets, sources, potential, workers)
    n_rows = potential.shape[1]
    base = network.base_density

    def sums(block: Block) -> tuple[Array, Array]:
        f = _features(network, potential, sources, block)
        u = potential[targets, block[0] : sum(block)]
        return _regression_sums(base, f, u)

    parts = workers.map(sums, blocks)
    products = sum(p for p, _ in parts) / n_rows
    curvatures = sum(c for _, c in parts) / n_rows
    m, s, t = network.synapse.n_transfer, len(sources), len(targets)
    if network.connectivity.kind == "full":
        solution = _solve(rule, network.gain, products, curvatures, m, s, n_rows)
        return solution[0], solution[1], solution[2], solution[3]

    # Partial connectivity: each node solves on its own presynaptic nodes; the rest stays zero.
    weights, bias = np.zeros((t, m * s)), np.zeros(t)
    gain_weights, gain_bias = np.zeros((t, (m - 1) * s)), np.zeros(t)
    for i, target in enumerate(targets):
        columns = _feature_rows(network.connectivity.presynaptic(int(target), sources), m, s)
        keep = np.append(columns, m * s)
        own = np.concatenate([keep, m * s + 1 + np.array([i, t + i])])
        w, b, gw, gb = _solve(
            rule,
            network.gain,
            products[np.ix_(keep, own)],
            curvatures[:, [i]],
            m,
            len(columns) // m,
            n_rows,
        )
        weights[i, columns], bias[i] = w[0], b[0]
        gain_weights[i, columns[len(columns) // m :] - s], gain_bias[i] = gw[0], gb[0]
    return weights, bias, gain_weights, gain_bias


def _sparse_coupling(
    network: Network,
    rule: GreedyRule,
    targets: Array,
    sources: Array,
    potential: Array,
    workers: Workers,
) -> tuple[Any, Array, Any, Array]:
    """The same, node by node from its own presynaptic nodes only: memory linear in the edges."""
    m, s, t = network.synapse.n_transfer, len(sources), len(targets)
    n_rows = potential.shape[1]
    base = network.base_density
    bias, gain_bias = np.zeros(t), np.zeros(t)
    rows: list[tuple[Array, Array, Array]] = [(bias, bias, bias)] * t

    def learn(nodes: Block) -> None:
        for i in range(nodes[0], sum(nodes)):
            near = network.connectivity.presynaptic(int(targets[i]), sources)
            products: Any = 0.0
            curvatures: Any = 0.0
            for block in column_blocks(n_rows, m * len(near)):
                f = _features(network, potential, sources[near], block)
                u = potential[targets[i : i + 1], block[0] : sum(block)]
                p, c = _regression_sums(base, f, u)
                products, curvatures = products + p / n_rows, curvatures + c / n_rows
            w, bias[i : i + 1], gw, gain_bias[i : i + 1] = _solve(
                rule, network.gain, products, curvatures, m, len(near), n_rows
            )
            rows[i] = (_feature_rows(near, m, s), w[0], gw[0])

    size = 64
    workers.map(learn, [(k, min(size, t - k)) for k in range(0, t, size)])
    indptr = np.append(0, np.cumsum([len(columns) for columns, _, _ in rows]))
    columns = np.concatenate([columns for columns, _, _ in rows])
    weights = sparse.csr_array(
        (np.concatenate([w for _, w, _ in rows]), columns, indptr), (t, m * s)
    )
    bounded = [columns[columns >= s] - s for columns, _, _ in rows]
    gain_indptr = np.append(0, np.cumsum([len(b) for b in bounded]))
    gain_weights = sparse.csr_array(
        (np.concatenate([gw for _, _, gw in rows]), np.concatenate(bounded), gain_indptr),
        (t, (m - 1) * s),
    )
    return weights, bias, gain_weights, gain_bias


def _feature_rows(positions: Array, n_transfer: int, n_sources: int) -> Array:
    """Rows of the feature matrix that belong to the sources at ``positions``."""
    return (np.arange(n_transfer)[:, None] * n_sources + positions).ravel()


def _features(network: Network, potential: Array, sources: Array, block: Block) -> Array:
    """Transfer functions of the sources and a last row of ones."""
    synapse = network.synapse
    f = np.empty((synapse.n_transfer * len(sources) + 1, block[1]), dtype=potential.dtype)
    transfer(potential, sources, block[0], block[1], synapse.slope, np.array(synapse.thresholds), f)
    f[-1] = 1.0
    return f


def _regression_sums(base: Any, f: Array, u: Array) -> tuple[Array, Array]:
    """Sums f [f, psi, psi u - 1]^T and the two curvatures of each node, summed over a block."""
    psi, curvature = base.psi(u), base.curvature(u)
    products = f @ np.concatenate([f, psi, psi * u - 1.0]).T
    both = np.stack([curvature, curvature * u * u + psi * u])
    return products.astype(np.float64), both.sum(axis=2, dtype=np.float64)


def _solve(
    rule: GreedyRule, gain: bool, products: Array, curvatures: Array, m: int, s: int, n_rows: int
) -> tuple[Array, Array, Array, Array]:
    """Shrunken ridge steps from the sums of :func:`_regression_sums`; the bias is not penalised."""
    k = m * s + 1
    t = curvatures.shape[1]
    tiny = np.finfo(np.float64).tiny
    shift = _ridge_step(products[:, :k], products[:, k : k + t], rule.coupling_ridge, n_rows)
    shift = -rule.coupling_rate * shift / np.maximum(curvatures[0], tiny)
    if not gain:
        return shift[:-1].T, shift[-1], np.zeros((t, (m - 1) * s)), np.zeros(t)
    log_gain = _ridge_step(products[s:, s:k], products[s:, k + t :], rule.coupling_ridge, n_rows)
    log_gain = -rule.coupling_rate * log_gain / np.maximum(curvatures[1], tiny)
    return shift[:-1].T, shift[-1], log_gain[:-1].T, log_gain[-1]


def _ridge_step(gram: Array, right: Array, ridge: float, n_rows: int) -> Array:
    k = len(gram)
    penalised = gram.copy()
    penalised[np.arange(k - 1), np.arange(k - 1)] += ridge * k / n_rows
    try:
        factor = linalg.cho_factor(penalised, lower=True, overwrite_a=True, check_finite=False)
    except linalg.LinAlgError as error:
        raise NeurolpError(
            "the presynaptic potentials are linearly dependent: coupling_ridge must be larger"
        ) from error
    return np.asarray(linalg.cho_solve(factor, right, check_finite=False))


# --- node maps ------------------------------------------------------------------------------------


def _moments(network: Network, potential: Array, targets: Array, block: Block) -> Array:
    """Moments of 1, psi and psi' in every spline interval, shape (3, n_targets, bins, 7)."""
    grid, base = network.grid, network.base_density
    v = potential[targets, block[0] : sum(block)]
    out = np.empty((3, len(targets), grid.n_intervals + 2, 7))
    for k, weight in enumerate((np.ones_like(v), base.psi(v), base.curvature(v))):
        if k == 2 and base.name == "normal":
            out[2] = out[0]  # psi' = 1
            break
        spline_moments(
            potential, targets, block[0], grid.low, grid.spacing, grid.n_intervals, weight, out[k]
        )
    return out


def _node_maps(network: Network, rule: GreedyRule, moments: Any, n_rows: int) -> Array:
    """One shrunken Newton step from the identity for each node's convex problem."""
    value, slope, value_pairs, slope_pairs = network.grid.newton_operators
    k = network.grid.n_coefficients
    one, psi, curvature = moments.reshape(3, moments.shape[1], -1) / n_rows
    gradient = psi @ value.T - one @ slope.T
    hessian = (curvature @ value_pairs.T + one @ slope_pairs.T).reshape(-1, k, k)
    hessian[:, np.arange(k), np.arange(k)] += rule.node_ridge * k / n_rows
    try:
        step = -np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError as error:
        raise NeurolpError(
            "a spline interval holds no potentials: node_ridge must be larger"
        ) from error
    lowest = np.minimum(step[:, 1:].min(axis=1), -1e-300)
    highest = np.maximum(step[:, 1:].max(axis=1), 1e-300)
    rate = np.minimum(rule.node_rate, (1.0 - _SLOPE_FLOOR) / -lowest)
    rate = np.minimum(rate, (_SLOPE_CEILING - 1.0) / highest)
    return np.asarray(network.grid.identity(len(step)) + rate[:, None] * step)
