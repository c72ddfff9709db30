"""Readable oracles: the equations of neurolp, one trajectory and one node at a time, no tricks."""

from itertools import pairwise

import numpy as np


def b_spline(grid, k, v):
    """Tied uniform quadratic B-spline B_k at v, by the Cox-de Boor recursion on uniform knots."""
    h = grid.spacing
    v = min(max(v, grid.low), grid.high)

    def untied(j):
        x = (v - (grid.low + (j - 2) * h)) / h  # support of B_j is x in (0, 3)
        if 0 <= x < 1:
            return x * x / 2
        if 1 <= x < 2:
            return (-2 * x * x + 6 * x - 3) / 2
        if 2 <= x <= 3:
            return (3 - x) ** 2 / 2
        return 0.0

    n = grid.n_intervals
    tied = [k + 1]
    if k == 0:
        tied.append(0)
    if k == n - 1:
        tied.append(n + 1)
    return sum(untied(j) for j in tied)


def node_slope(grid, coefficients, v):
    """g'(v) = sum_k c_k B_k(v)."""
    return sum(c * b_spline(grid, k, v) for k, c in enumerate(coefficients[1:]))


def node_value(grid, coefficients, v):
    """g(v) = o + integral from 0 to v of g', by Gauss-Legendre between all the knots on the way."""
    h, n = grid.spacing, grid.n_intervals
    ends = sorted([0.0, float(v)])
    knots = [grid.low + s * h for s in range(n + 1)]
    ends = [ends[0], *[t for t in knots if ends[0] < t < ends[1]], ends[1]]
    nodes, weights = np.polynomial.legendre.leggauss(3)
    total = 0.0
    for a, b in pairwise(ends):
        for x, w in zip(nodes, weights, strict=True):
            total += w * (b - a) / 2 * node_slope(grid, coefficients, (a + b) / 2 + x * (b - a) / 2)
    return coefficients[0] + (total if v >= 0 else -total)


def transfer(synapse, u):
    """All transfer functions of one potential."""
    return [u] + [np.tanh(synapse.slope * (u - theta)) for theta in synapse.thresholds]


def features(synapse, u, sources):
    """All transfer functions of the sources, one function after another."""
    f = np.array([transfer(synapse, u[j]) for j in sources])
    return f.T.ravel() if len(sources) else np.zeros(0)


def evolve(network, start):
    """One trajectory through all slices: (u(T), log-determinant)."""
    u = np.array(start, dtype=float)
    log_det = 0.0
    for slice_ in network.slices:
        if slice_.rotation is not None:
            u = slice_.rotation @ u
        for group in slice_.groups:
            f = features(network.synapse, u, group.sources)
            weights = _dense(group.weights)
            for i, node in enumerate(group.targets):
                if group.sequential:  # the newest potentials of all others
                    f = features(network.synapse, u, group.sources)
                v = u[node] + weights[i] @ f + group.bias[i]
                if network.log_scale:
                    bounded = f[len(group.sources) :]
                    g = _dense(group.log_scale_weights)[i] @ bounded + group.log_scale_bias[i]
                    v = np.exp(g) * u[node] + weights[i] @ f + group.bias[i]
                    log_det += g
                u[node] = node_value(network.grid, group.node_map[i], v)
                log_det += np.log(node_slope(network.grid, group.node_map[i], v))
    return u, log_det


def spline_moments(grid, values, weights):
    """Moments per bin of one node, as in ``kernels.node_map.spline_moments``."""
    out = np.zeros((grid.n_intervals + 2, 7))
    for v, w in zip(values, weights, strict=True):
        if v < grid.low:
            bin_, x, powers = 0, (v - grid.low) / grid.spacing, 3
        elif v >= grid.high:
            bin_, x, powers = grid.n_intervals + 1, (v - grid.high) / grid.spacing, 3
        else:
            s = min(int((v - grid.low) / grid.spacing), grid.n_intervals - 1)
            bin_, x, powers = s + 1, (v - grid.low) / grid.spacing - s, 7
        out[bin_, :powers] += w * x ** np.arange(powers)
    return out


def node_map_loss(base, grid, coefficients, values):
    """Mean local loss of a node map, E(g(v)) - log g'(v)."""
    g = np.array([node_value(grid, coefficients, v) for v in values])
    s = np.array([node_slope(grid, coefficients, v) for v in values])
    return float(np.mean(base.energy(g) - np.log(s)))


def _dense(matrix):
    return matrix.toarray() if hasattr(matrix, "toarray") else matrix


def ridge(f, y, strength):
    """Minimise mean (y - w f)^2 + strength K / N |w|^2, without the last coefficient."""
    k, n = f.shape
    penalty = strength * k / n * np.eye(k)
    penalty[-1, -1] = 0.0
    return np.linalg.solve(f @ f.T / n + penalty, f @ y / n)


def greedy_colours(edges):
    """Smallest free colour for each node, most conflicts first; ``edges`` a dense matrix."""
    n = len(edges)
    count = edges.sum(axis=0) + edges.sum(axis=1)
    colour = {}
    for i in sorted(range(n), key=lambda i: -count[i]):
        around = {colour.get(j) for j in range(n) if edges[i, j] or edges[j, i]}
        colour[i] = min(k for k in range(n) if k not in around)
    return np.array([colour[i] for i in range(n)])


def sequential_levels(edges, order):
    """1 + the largest level of those who came before and have an edge with the node."""
    level = {}
    for i in order:
        before = [level[j] for j in level if edges[i, j] or edges[j, i]]
        level[i] = 1 + max(before, default=-1)
    return np.array([level[i] for i in range(len(edges))])


def integrated_b_spline(grid, k, v):
    """phi_k(v): the integral of B_k from 0 to v, which is a node map with one coefficient."""
    coefficients = np.zeros(grid.n_coefficients)
    coefficients[k + 1] = 1.0
    return node_value(grid, coefficients, v)


def node_map_adjoint(grid, coefficients, values, adjoint, h=1e-5):
    """Back through one node map: delta for each value, and the gradient of the coefficients.

    delta = adjoint g' - g'' / g'; coefficient k gains sum of adjoint phi_k - phi_k' / g'.
    """
    slope = np.array([node_slope(grid, coefficients, v) for v in values])
    ahead = np.array([node_slope(grid, coefficients, v + h) for v in values])
    behind = np.array([node_slope(grid, coefficients, v - h) for v in values])
    delta = adjoint * slope - (ahead - behind) / (2 * h) / slope
    gradient = np.empty(grid.n_coefficients)
    gradient[0] = adjoint.sum()
    for k in range(grid.n_intervals):
        phi = np.array([integrated_b_spline(grid, k, v) for v in values])
        rise = np.array([b_spline(grid, k, v) for v in values])
        gradient[k + 1] = (adjoint * phi - rise / slope).sum()
    return delta, gradient


def transfer_adjoint(synapse, u, feature_adjoint):
    """sum_m phi_m'(u) feature_adjoint_m for one potential."""
    total = feature_adjoint[0]
    for theta, da in zip(synapse.thresholds, feature_adjoint[1:], strict=True):
        total += synapse.slope / np.cosh(synapse.slope * (u - theta)) ** 2 * da
    return total


def adam_step(gradient, rate, forget, count, keep, limit, first, second, average, parameter):
    """One step of Adam with decoupled decay; returns (first, second, average, parameter)."""
    first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
    m, s = first / (1 - 0.9**count), second / (1 - 0.99**count)
    parameter = (1 - forget) * parameter - rate * m / (np.sqrt(s) + 1e-8)
    parameter = np.clip(parameter, -limit, limit)
    return first, second, keep * average + (1 - keep) * parameter, parameter


def bounded_step(grid, shape, barrier, dt, drive):
    """Activity a' with a' - dt b(a') = drive, by bisection; b(a) = -alpha logit(a) + p(a)."""

    def left_side(s):
        a = 1 / (1 + np.exp(-s))
        return a + dt * barrier * s - dt * node_value(grid, shape, a - 0.5)

    low, high = -1.0, 1.0
    while left_side(low) > drive:
        low *= 2
    while left_side(high) < drive:
        high *= 2
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if left_side(middle) < drive else (low, middle)
    return 1 / (1 + np.exp(-0.5 * (low + high)))


def bounded_slope(grid, shape, barrier, dt, a):
    """Own derivative da'/d drive = 1 / (1 - dt b'(a'))."""
    return 1 / (1 - dt * (node_slope(grid, shape, a - 0.5) - barrier / (a * (1 - a))))


def bounded_node_loss(grid, shape, barrier, dt, start, inputs):
    """Sum of a node's own losses -log da'/da over slices, driven by inputs (n_steps,)."""
    a, loss = start, 0.0
    for current in inputs:
        a = bounded_step(grid, shape, barrier, dt, a + dt * current)
        loss -= np.log(bounded_slope(grid, shape, barrier, dt, a))
    return loss


def marginal_map(base, r, u):
    """One potential through a marginal map: (u', log du'/du), with plain distribution functions."""

    def student(x):
        return 0.5 * (1 + x / np.sqrt(2 + x * x)) if np.isfinite(x) else float(x > 0)

    ends = [-np.inf, *r.edges, np.inf]
    k = max(i for i in range(len(r.masses)) if ends[i] <= u)
    width = student(ends[k + 1]) - student(ends[k])
    a = sum(r.masses[:k]) + r.masses[k] * (student(u) - student(ends[k])) / width
    out = float(base.potential(np.array(a)))
    density = (2 + u * u) ** -1.5
    return out, np.log(r.masses[k] / width * density) + float(base.energy(np.array(out)))


def mixture_step(energy, rows, prior_rows, variance):
    """One step of expectation-maximisation, row by row: weights, means, covariances."""
    n, d = rows.shape
    k = energy.n_components
    share = np.empty((n, k))
    for i, x in enumerate(rows):
        for j in range(k):
            z = np.linalg.solve(energy.factors[j], x - energy.means[j])
            share[i, j] = energy.weights[j] * np.exp(-z @ z / 2) / np.linalg.det(energy.factors[j])
        share[i] /= share[i].sum()
    count = share.sum(axis=0)
    means = np.array([share[:, j] @ rows / count[j] for j in range(k)])
    covariances = [
        (
            sum(share[i, j] * np.outer(x - means[j], x - means[j]) for i, x in enumerate(rows))
            + prior_rows * variance * np.eye(d)
        )
        / (count[j] + prior_rows)
        for j in range(k)
    ]
    return (count + 1) / (n + k), means, np.array(covariances)


def mixture_log_prob(head, u):
    """Log sum_k pi_k N(u; mu_k, Sigma_k) of one u (n_nodes,)."""
    from scipy.stats import multivariate_normal

    parts = zip(head.weights, head.means, head.factors, strict=True)
    return np.logaddexp.reduce(
        [np.log(p) + multivariate_normal(m, f @ f.T).logpdf(u) for p, m, f in parts]
    )


def mixture_conditional(energy, i, u):
    """P(u_i' <= u_i | u_1 .. u_i-1) and its density, conditioning every component by itself."""
    from scipy.stats import multivariate_normal, norm

    weight, density, below = 0.0, 0.0, 0.0
    for pi, mean, factor in zip(energy.weights, energy.means, energy.factors, strict=True):
        sigma = factor @ factor.T
        k = sigma[i, :i] @ np.linalg.inv(sigma[:i, :i])
        m = mean[i] + k @ (u[:i] - mean[:i])
        s = np.sqrt(sigma[i, i] - k @ sigma[:i, i])
        gate = pi * (multivariate_normal(mean[:i], sigma[:i, :i]).pdf(u[:i]) if i else 1.0)
        weight += gate
        density += gate * norm(m, s).pdf(u[i])
        below += gate * norm(m, s).cdf(u[i])
    return density / weight, below / weight


def unit_loss(u, counts, log_w, m, s):
    """-sum_n c_n log sum_k w_k S'((u_n - m_k) / s_k) / s_k, the weights made to sum to 1."""
    w = np.exp(log_w) / np.exp(log_w).sum()
    total = 0.0
    for x, c in zip(u, counts, strict=True):
        z = (x - m) / s
        total -= c * np.log(np.sum(w / s * np.exp(-z * z / 2)) / np.sqrt(2 * np.pi))
    return total


def tree_sum(codes, tree, value, root, first, last, missing):
    """Sum of the values of trees first .. last - 1 for one row of codes."""
    total = 0.0
    for k in range(first, last):
        node = root[k]
        while tree[node][0] >= 0:
            f, threshold, missing_left, left = tree[node]
            goes_left = missing_left if codes[f] == missing[f] else codes[f] <= threshold
            node = root[k] + left + (0 if goes_left else 1)
        total += value[node]
    return total


def best_gain(codes, missing, gradient, hessian, ridge, least_rows, least_hessian):
    """Greatest gain of splitting the rows by one feature, trying every threshold and side."""
    codes, g, h = np.asarray(codes), np.asarray(gradient), np.asarray(hessian)
    best = 0.0
    for f in range(codes.shape[1]):
        for threshold in range(int(codes[:, f].max()) + 1):
            for missing_left in (False, True):
                gone = codes[:, f] == missing[f]
                left = np.where(gone, missing_left, codes[:, f] <= threshold)
                parts = [left, ~left]
                if min(p.sum() for p in parts) < least_rows:
                    continue
                if min(h[p].sum() for p in parts) < least_hessian:
                    continue
                gains = [g[p].sum() ** 2 / (h[p].sum() + ridge) for p in parts]
                best = max(best, sum(gains) - g.sum() ** 2 / (h.sum() + ridge))
    return best
