"""Laws of triangular maps: Jacobian, inverse, normalised conditionals, orders of columns."""

import numpy as np
import pytest
from scipy.special import ndtri

from neurolp.brain.base_density import BASES, base_density
from neurolp.brain.heads.head import WeightedHead, log_prob
from neurolp.brain.heads.mixture import fit_mixture
from neurolp.brain.heads.tree import fit_tree
from neurolp.differentiation import triangular
from neurolp.differentiation.column_orders import candidate_orders
from neurolp.differentiation.conditionals import conditionals
from neurolp.differentiation.triangular import TriangularMap
from tests import naive
from tests.networks import random_network


def wild_rows(seed, d, n=400):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((d, n))
    rows[1:] += np.abs(rows[:-1])
    return rows


def wild_map(seed, d, base="normal", update_order="random_halves", log_scale=True, tree=True):
    """A random triangular network, read at three times by three kinds of energies."""
    network = random_network(
        seed,
        d,
        n_slices=3,
        kind="triangular",
        base=base,
        update_order=update_order,
        log_scale=log_scale,
        strength=0.15,
    )
    density = base_density(base)
    rows = wild_rows(seed, d)
    heads = (
        WeightedHead(3, 0.3),
        WeightedHead(1, 0.5, fit_mixture(rows, 3, 1.0, 0, scale=density.std)),
        WeightedHead(0, 0.2, fit_tree(density, rows, ordered=True)),
    )
    return TriangularMap(network, heads if tree else heads[:2])


@pytest.mark.parametrize("base", BASES.names)
@pytest.mark.parametrize("groups", ["random_halves", "sequential"])
def test_jacobian_is_triangular_and_its_determinant_the_density(base, groups):
    map_ = wild_map(0, 4, base, groups)
    u, h = wild_rows(1, 4, 30), 1e-6
    log_slope = map_.evaluate(u).log_prob
    jacobian = np.empty((30, 4, 4))
    for j in range(4):
        step = h * np.eye(4)[:, j : j + 1]
        up, down = map_.evaluate(u + step).upper, map_.evaluate(u - step).upper
        jacobian[:, :, j] = ((up - down) / (2 * h)).T
    assert np.all(np.triu(jacobian, 1) == 0)
    slope = np.diagonal(jacobian, axis1=1, axis2=2).T
    assert np.allclose(slope, np.exp(log_slope), rtol=1e-4, atol=1e-8)
    assert np.allclose(np.linalg.det(jacobian), np.exp(log_slope.sum(axis=0)), rtol=1e-4, atol=1e-9)
    together = log_prob(map_.network, map_.heads, u)
    assert np.allclose(log_slope.sum(axis=0), together, atol=1e-11)


def test_without_gain_modulation_and_without_layers():
    u = wild_rows(2, 3)
    for map_ in (
        wild_map(1, 3, log_scale=False),
        TriangularMap(wild_map(1, 3).network, (WeightedHead(0, 1.0),)),
    ):
        log_slope, _, y = map_.evaluate(u)
        together = log_prob(map_.network, map_.heads, u)
        assert np.allclose(log_slope.sum(axis=0), together, atol=1e-11)
        assert np.allclose(map_.inverse(ndtri(y)), u, atol=1e-9)


@pytest.mark.parametrize("seed", range(2))
def test_inverse_comes_back_in_the_bulk_and_in_the_tails(seed):
    map_ = wild_map(seed, 5)
    y = np.random.default_rng(seed).uniform(size=(5, 200))
    u = map_.inverse(ndtri(y))
    assert np.abs(map_.evaluate(u).upper - y).max() < 1e-12
    assert np.abs(map_.inverse(ndtri(map_.evaluate(u).upper)) - u).max() < 1e-9
    # Towards 0 every digit of y counts; towards 1 there are sixteen.
    low = np.full((5, 1), 1e-200)
    assert np.allclose(
        np.log(map_.evaluate(map_.inverse(ndtri(low))).upper), np.log(low), rtol=1e-9
    )
    high = np.full((5, 1), 1 - 2.0**-53)
    assert np.allclose(1 - map_.evaluate(map_.inverse(ndtri(high))).upper, 2.0**-53, rtol=1e-6)


def test_probits_are_those_of_y_and_keep_their_digits_in_both_tails():
    map_, u = wild_map(0, 5), wild_rows(1, 5)
    z, y = map_.probits(u), map_.evaluate(u).upper
    middle = np.abs(z) < 3
    assert np.allclose(z[middle], ndtri(y[middle]), atol=1e-10)
    assert np.abs(map_.inverse(z) - u).max() < 1e-10
    far = np.random.default_rng(2).uniform(-30, 30, (5, 50))
    assert np.allclose(map_.probits(map_.inverse(far)), far, atol=1e-8)


def test_inverse_survives_newton_steps_that_go_round_in_circles():
    def at(u, rows):  # log y of two narrow normals with a gap
        z = np.stack([(u + 1) / 0.01, (u - 1) / 0.01])
        unit = conditionals(base_density("normal"), None, len(u))
        parts = np.array([unit.evaluate(row, rows) for row in z]).transpose(1, 2, 0)
        out = np.logaddexp(parts[:, :, 0], parts[:, :, 1]) - np.log(2)
        return out[0] - np.log(0.01), out[1], out[2]

    wanted = np.linspace(-6, 6, 101)
    u = triangular._solve(at, wanted)
    order = np.argsort(u)
    assert np.array_equal(order, np.arange(101))
    from scipy.stats import norm

    y = 0.5 * norm.cdf((u + 1) / 0.01) + 0.5 * norm.cdf((u - 1) / 0.01)
    assert np.allclose(y, norm.cdf(wanted), atol=1e-12)


def test_every_column_is_normalised_given_those_before_it():
    map_ = wild_map(3, 3, tree=False)
    t = np.linspace(-5.5, 5.5, 12001)  # splines have kinks in their second derivatives
    grid, weight = np.sinh(t), np.cosh(t) * (t[1] - t[0])
    for start in wild_rows(4, 3, 5).T:
        for i in range(3):
            u = np.repeat(start[:, None], len(grid), axis=1)
            u[i] = grid
            log_slope, _, y = map_.evaluate(u)
            density = np.exp(log_slope[i])
            assert weight @ density == pytest.approx(1.0, abs=1e-8)
            below = np.cumsum(weight * density) - 0.5 * weight * density
            assert np.allclose(below, y[i], atol=1e-5)
            assert np.all(np.diff(y[i]) >= 0)
            assert y[i, 0] < 1e-12
            assert y[i, -1] > 1 - 1e-12


def test_rows_do_not_depend_on_their_neighbours(monkeypatch):
    map_, u = wild_map(5, 4), wild_rows(6, 4, 50)
    log_slope, _, y = map_.evaluate(u)
    inverse = map_.inverse(ndtri(y))
    monkeypatch.setattr(triangular, "_BLOCK_ELEMENTS", 7 * 3 * 4)
    again = map_.evaluate(u)
    assert np.allclose(again.log_prob, log_slope, atol=1e-12)
    assert np.allclose(again.upper, y, atol=1e-13)
    assert np.allclose(map_.inverse(ndtri(y)), inverse, atol=1e-12)


def test_mixture_units_are_the_naive_conditionals():
    rows = wild_rows(7, 4)
    energy = fit_mixture(rows, 3, 1.0, 0)
    u = wild_rows(8, 4, 6)
    unit = conditionals(base_density("normal"), energy, 6)
    for i in range(4):
        log_pdf, log_y, log_rest = unit.evaluate(u[i], np.arange(6))
        wanted = np.array([naive.mixture_conditional(energy, i, row) for row in u.T]).T
        assert np.allclose(np.exp(log_pdf), wanted[0], rtol=1e-10)
        assert np.allclose(np.exp(log_y), wanted[1], rtol=1e-10)
        assert np.allclose(np.exp(log_rest), 1 - wanted[1], rtol=1e-8)
        unit.advance(u[i])


def test_parents_come_first_in_an_ordered_tree():
    rows = wild_rows(9, 5, 3000)
    rows[0] = rows[4] ** 2 + 0.1 * rows[0]
    free, ordered = (fit_tree(base_density("normal"), rows, ordered=o) for o in (False, True))
    assert [gated.node for gated in ordered.nodes] == list(range(5))
    assert all(gated.parent < gated.node for gated in ordered.nodes)
    assert any(gated.parent > gated.node for gated in free.nodes)
    assert any(gated.parent >= 0 for gated in ordered.nodes)


def test_candidate_orders_are_permutations_and_a_chain_is_followed():
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.standard_normal((6, 4000)), axis=0)
    shuffle = rng.permutation(6)
    orders = candidate_orders(walk[shuffle])
    assert len(orders) == 4
    for order in orders:
        assert sorted(order) == list(range(6))
    followed = shuffle[orders[2]]
    assert np.all(np.abs(np.diff(followed)) <= 5)
    assert sum(abs(np.diff(followed)) == 1) >= 4
    assert [list(o) for o in candidate_orders(walk[:1])] == [[0]]
    assert [list(o) for o in candidate_orders(walk[:2])] == [[0, 1], [1, 0]]
