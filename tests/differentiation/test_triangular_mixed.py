"""Laws of triangular maps with ordinal and clamped nodes: sums and integrals, limits, quantiles."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.special import ndtri

from neurolp.brain.base_density import base_density
from neurolp.brain.connectivity import Connectivity
from neurolp.brain.heads.head import WeightedHead, log_prob
from neurolp.brain.heads.mixture import fit_mixture
from neurolp.brain.heads.tree import fit_tree
from neurolp.brain.network import Network, Synapse
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.rules.greedy import GreedyRule
from neurolp.differentiation.triangular import Support, TriangularMap
from neurolp.simulation.batch import Batch
from neurolp.simulation.greedy import GreedyConfig, GreedyProcess
from tests.networks import random_network

SPACING = 0.8
LEVELS = np.arange(-40, 41)


def mixed_map(seed=0, d=4, clamped=(1,), *, tree=False, kinks=True):
    """A random triangular network with clamped nodes, read at three times."""
    network = random_network(seed, d, n_slices=3, kind="triangular", strength=0.15, clamped=clamped)
    if not kinks:
        network = replace(network, slices=[without_kinks(s) for s in network.slices])
    rows = np.random.default_rng(seed).standard_normal((d - len(clamped), 400))
    rows[1:] += np.abs(rows[:-1])
    heads = [
        WeightedHead(3, 0.3),
        WeightedHead(1, 0.5, fit_mixture(rows, 3, 1.0, 0)),
        WeightedHead(0, 0.2),
    ]
    if tree:
        heads[2] = WeightedHead(0, 0.2, fit_tree(base_density("normal"), rows, ordered=True))
    return TriangularMap(network, tuple(heads))


def without_kinks(slice_):
    """The slice with straight node maps, so that a grid sees all there is."""
    groups = []
    for group in slice_.groups:
        node_map = group.node_map.copy()
        node_map[:, 1:] = node_map[:, 1:].mean(axis=1, keepdims=True)
        groups.append(replace(group, node_map=node_map))
    return replace(slice_, groups=tuple(groups))


def cells_of(levels, *, open_ended=False):
    """Centres, lower and upper ends of the cells of some levels; the outer ones may be open."""
    centre = SPACING * levels
    lower, upper = centre - SPACING / 2, centre + SPACING / 2
    if open_ended:
        lower, upper = lower.copy(), upper.copy()
        lower[0], upper[-1] = -np.inf, np.inf
    return centre, lower, upper


def ends(potential, ordinal, lower_by=SPACING / 2, upper_by=SPACING / 2):
    lower, upper = np.full(potential.shape, np.nan), np.full(potential.shape, np.nan)
    lower[ordinal], upper[ordinal] = potential[ordinal] - lower_by, potential[ordinal] + upper_by
    return lower, upper


@pytest.mark.parametrize("clamped_value", [0.0, 1.0, -2.3])
@pytest.mark.parametrize("order", [(0, 2, 3), (3, 0, 2), (2, 3, 0)])  # two ordinals, continuous
def test_sums_over_cells_times_the_integral_are_one(order, clamped_value):
    map_ = mixed_map(2, kinks=False)
    first, second, continuous = order
    levels = np.arange(-6, 7)
    centre, lower, upper = cells_of(levels, open_ended=True)
    t = np.linspace(-4.5, 4.5, 121)
    x, dx = np.sinh(t), np.cosh(t) * (t[1] - t[0])
    i, j, k = (
        v.ravel()
        for v in np.meshgrid(*(np.arange(len(v)) for v in (levels, levels, t)), indexing="ij")
    )
    u, low, high = (np.full((4, len(i)), v) for v in (clamped_value, np.nan, np.nan))
    u[first], u[second], u[continuous] = centre[i], centre[j], x[k]
    low[first], low[second], high[first], high[second] = lower[i], lower[j], upper[i], upper[j]
    units = map_.evaluate(u, low, high)
    assert np.all(units.log_prob[1] == 0)
    assert np.isnan(units.upper[1]).all()
    total = np.exp(units.log_prob.sum(axis=0)) @ dx[k]
    assert abs(total - 1) < 1e-9


@pytest.mark.parametrize("tree", [False, True])
def test_the_infinite_grid_is_one_and_cells_lie_side_by_side(tree):
    map_ = mixed_map(1, tree=tree)
    rng = np.random.default_rng(0)
    for start in rng.standard_normal((5, 4)):
        for i in (0, 2, 3):
            u = np.repeat(start[:, None], len(LEVELS), axis=1)
            u[i] = SPACING * LEVELS
            found = map_.evaluate(u, *ends(u, [i]))
            beyond = found.lower[i, 0] + (1 - found.upper[i, -1])
            assert abs(np.exp(found.log_prob[i]).sum() + beyond - 1) < 1e-12
            assert np.allclose(found.lower[i, 1:], found.upper[i, :-1], rtol=0, atol=1e-15)
            mass = found.upper[i] - found.lower[i]
            assert np.allclose(np.exp(found.log_prob[i]), mass, atol=1e-14)
            # Those before and after it do not see how it is measured.
            plain = map_.evaluate(u)
            assert np.array_equal(found.log_prob[:i], plain.log_prob[:i])


def test_conditionals_are_the_joint_divided_by_the_marginal():
    """P(k_0, k_2, u_3) summed over what comes last, against the units one by one."""
    map_ = mixed_map(3, kinks=False)
    centre, lower, upper = cells_of(np.arange(-8, 9), open_ended=True)
    n = len(centre)
    pairs = np.array(list(product(range(n), range(n)))).T
    u, low, high = (np.full((4, n * n), v) for v in (0.7, np.nan, np.nan))
    for node, k in zip((0, 2), pairs, strict=True):
        u[node], low[node], high[node] = centre[k], lower[k], upper[k]
    t = np.linspace(-4.5, 4.5, 121)
    x, dx = np.sinh(t), np.cosh(t) * (t[1] - t[0])
    joint = np.zeros(n * n)
    for value, width in zip(x, dx, strict=True):  # integrates the last node out
        u[3] = value
        units = map_.evaluate(u, low, high)
        joint += np.exp(units.log_prob.sum(axis=0)) * width
    given_first = np.exp(units.log_prob[2]).reshape(n, n)
    first = joint.reshape(n, n).sum(axis=1)
    seen = first > 1e-6
    conditional = (joint.reshape(n, n) / first[:, None])[seen]
    assert np.allclose(conditional, given_first[seen], atol=1e-9)
    assert np.allclose(first, np.exp(units.log_prob[0]).reshape(n, n)[:, 0], atol=1e-9)


@pytest.mark.parametrize("width", [1e-3, 1e-7, 1e-12])
def test_masses_of_narrow_cells_are_densities_times_widths(width):
    map_ = mixed_map(4)
    u = np.random.default_rng(1).standard_normal((4, 200)) * 2
    lower, upper = ends(u, [0, 2, 3], width / 2, width / 2)
    found, plain = map_.evaluate(u, lower, upper), map_.evaluate(u)
    for i in (0, 2, 3):
        error = found.log_prob[i] - np.log(upper[i] - lower[i]) - plain.log_prob[i]
        assert np.abs(error).max() < max(30 * width**2, 1e-7)  # rounding: eps / 1e-8, times a few
        assert np.allclose(found.upper[i], plain.upper[i], atol=4 * width)


def test_masses_are_accurate_in_both_tails():
    """A normal law far out: log(F(b) - F(a)) from its own two sides."""
    from scipy.stats import norm

    network = Network(
        Connectivity.from_array(np.zeros((1, 1), dtype=bool)), "normal", Synapse((), 1.0), True,
        SplineGrid(-3, 3, 6),
    )  # fmt: skip
    map_ = TriangularMap(network, (WeightedHead(0, 1.0),))
    u = np.array([[-60.0, -30.0, -8.0, 0.0, 0.3, 8.0, 30.0, 60.0]])
    found = map_.evaluate(u, *ends(u, [0], 0.25, 0.25)).log_prob[0]
    far = np.abs(u[0])
    wanted = norm.logsf(far - 0.25) + np.log1p(
        -np.exp(norm.logsf(far + 0.25) - norm.logsf(far - 0.25))
    )
    near = far < 1
    wanted[near] = np.log(norm.cdf(u[0, near] + 0.25) - norm.cdf(u[0, near] - 0.25))
    assert np.allclose(found, wanted, rtol=1e-12)


def test_nothing_discrete_is_the_density_bit_for_bit():
    map_ = mixed_map(5, clamped=(), tree=True)
    u = np.random.default_rng(2).standard_normal((4, 100))
    plain, nan = map_.evaluate(u), np.full(u.shape, np.nan)
    for a, b in zip(plain, map_.evaluate(u, nan, nan), strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(plain.lower, plain.upper)
    # And with clamped nodes it is the density of the network's heads.
    map_ = mixed_map(5)
    together = log_prob(map_.network, map_.heads, u)
    assert np.allclose(map_.evaluate(u).log_prob.sum(axis=0), together, atol=1e-11)


def test_rows_may_differ_in_what_is_known_of_them():
    map_ = mixed_map(6, tree=True)
    u = np.random.default_rng(3).standard_normal((4, 60))
    low, high = ends(u, [0, 2, 3])
    cell, plain = map_.evaluate(u, low, high), map_.evaluate(u)
    low[0, ::2] = high[0, ::2] = np.nan  # continuous in every other row
    low[3, :30], high[3, 30:] = -np.inf, np.inf
    found = map_.evaluate(u, low, high)
    assert np.allclose(found.log_prob[0, ::2], plain.log_prob[0, ::2], atol=1e-12)
    assert np.array_equal(found.log_prob[0, 1::2], cell.log_prob[0, 1::2])
    # A half-line has the probability up to its end.
    assert np.allclose(np.exp(found.log_prob[3, :30]), found.upper[3, :30])
    assert np.allclose(np.exp(found.log_prob[3, 30:]), 1 - found.lower[3, 30:])


def probits(level):
    """Phi^-1(y), and the potential of the clamped node 1."""
    out = ndtri(level)
    out[1] = level[1]
    return out


def test_levels_lie_in_the_cells_that_inverse_finds():
    map_ = mixed_map(7)
    level = np.random.default_rng(4).uniform(size=(4, 3000))
    level[1] = np.where(level[1] < 0.5, 0.0, 1.0)

    def cell(u):
        centre = SPACING * np.round(u / SPACING)
        return centre, centre - SPACING / 2, centre + SPACING / 2

    u = map_.inverse(probits(level), {0: cell, 3: cell})
    assert np.array_equal(u[1], level[1])
    assert np.array_equal(u[[0, 3]], cell(u[[0, 3]])[0])
    found = map_.evaluate(u, *ends(u, [0, 3]))
    for i in (0, 3):
        assert np.all(found.lower[i] < level[i] + 1e-12)
        assert np.all(level[i] <= found.upper[i] + 1e-12)
    assert np.allclose(found.upper[2], level[2], atol=1e-12)


def test_learning_with_clamped_nodes_anywhere_in_the_order():
    """Greedy layers of a triangular network, whose middle node is clamped, learn what it says."""
    rng = np.random.default_rng(0)
    rows = {}
    for name in ("train", "validation"):
        k = rng.integers(2, size=3000)
        x = rng.standard_normal(3000)
        rows[name] = np.stack([x, k - 0.5, (2 * k - 1) * x + 0.5 * rng.standard_normal(3000)])
    network = Network(
        Connectivity.from_array(np.tril(np.ones((3, 3), dtype=bool), -1)), "normal",
        Synapse((-1.0, 0.0, 1.0), 2.0), True, SplineGrid(-3.5, 3.5, 14), clamped=(1,),
    )  # fmt: skip
    batches = {name: Batch(u.copy(), np.zeros(u.shape[1])) for name, u in rows.items()}
    process = GreedyProcess(network, GreedyRule(), GreedyConfig(), batches, seed=0, n_threads=1)
    before = process.scores.surprise["validation"]
    process.advance(60)
    map_ = TriangularMap(network, (WeightedHead(60, 1.0),))
    found = map_.evaluate(rows["validation"]).log_prob.sum(axis=0).mean()
    assert found == pytest.approx(-process.scores.surprise["validation"], abs=1e-9)
    assert -found < before


def supported(map_, log_shares):
    """Nodes 0 and 3 were seen in the cells -1 .. 2 only."""
    low, high = -1.5 * SPACING, 2.5 * SPACING
    return replace(map_, supports={i: Support(low, high, *log_shares) for i in (0, 3)})


@pytest.mark.parametrize("log_shares", [(np.log(0.1), np.log(0.02)), (-np.inf, -np.inf), (0, 0)])
def test_cells_beyond_a_support_have_a_share_and_all_sum_to_one(log_shares):
    free = mixed_map(8)
    map_ = supported(free, log_shares)
    for start in np.random.default_rng(5).standard_normal((4, 4)):
        for i in (0, 3):
            u = np.repeat(start[:, None], len(LEVELS), axis=1)
            u[i] = SPACING * LEVELS
            low, high = ends(u, [i])
            low[i, 0], high[i, -1] = -np.inf, np.inf
            found, plain = map_.evaluate(u, low, high), free.evaluate(u, low, high)
            mass, before = np.exp(found.log_prob[i]), np.exp(plain.log_prob[i])
            assert mass.sum() == pytest.approx(1.0, abs=1e-12)
            assert np.allclose(found.upper[i] - found.lower[i], mass, atol=1e-14)
            below, above = LEVELS < -1, LEVELS > 2
            assert np.allclose(mass[below], np.exp(log_shares[0]) * before[below], rtol=1e-9)
            assert np.allclose(mass[above], np.exp(log_shares[1]) * before[above], rtol=1e-9)
            between = (LEVELS > -1) & (LEVELS < 2)
            assert np.allclose(mass[between], before[between], rtol=1e-9)


def test_levels_lie_in_the_cells_that_inverse_finds_within_a_support():
    map_ = supported(mixed_map(9), (np.log(0.1), np.log(0.02)))
    level = np.random.default_rng(6).uniform(size=(4, 4000))
    level[1] = 0.3

    def cell(u):
        centre = SPACING * np.round(u / SPACING)
        return centre, centre - SPACING / 2, centre + SPACING / 2

    u = map_.inverse(probits(level), {0: cell, 3: cell})
    assert np.any(u[0] < -1.5 * SPACING)
    found = map_.evaluate(u, *ends(u, [0, 3]))
    for i in (0, 3):
        assert np.all(found.lower[i] < level[i] + 1e-12)
        assert np.all(level[i] <= found.upper[i] + 1e-12)
