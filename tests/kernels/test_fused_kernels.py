"""Kernels that take many slices, or a mixture, at once; run with and without the JIT."""

import math

import numpy as np
import pytest

from neurolp.brain.fused import fused_slices
from neurolp.brain.heads.mixture import MixtureHead
from neurolp.kernels.exponential import exponential
from tests import naive
from tests.networks import random_network


def test_exponential():
    x = np.concatenate([np.random.default_rng(0).uniform(-700, 700, 2000), [0.0, -700.0, 700.0]])
    relative = [exponential(v) / math.exp(v) - 1 for v in x]
    assert np.abs(relative).max() < 3 * np.finfo(float).eps
    assert exponential(np.float64(0.0)) == 1.0


@pytest.mark.parametrize("log_scale", [True, False])
@pytest.mark.parametrize("thresholds", [(), (-1.0, 0.5), (-2.0, -1.2, -0.5, 0.0, 0.6, 1.3)])
def test_slices_forward_and_back(log_scale, thresholds):
    settings = {"log_scale": log_scale, "thresholds": thresholds, "rotation": log_scale}
    network = random_network(5, 3, 2, **settings)
    start = np.random.default_rng(1).standard_normal((3, 4)) * [0.1, 1.0, 3.0, 30.0]
    u, log_det = start.copy(), np.zeros(4)
    fused = fused_slices(network)
    fused.evolve(u, log_det, 0, 2)
    for c in range(4):
        expected, expected_log_det = naive.evolve(network, start[:, c])
        np.testing.assert_allclose(u[:, c], expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(log_det[c], expected_log_det, rtol=1e-12, atol=1e-12)
    fused.rewind(u, 0, 2)
    np.testing.assert_allclose(u, start, rtol=1e-11, atol=1e-11)


def test_what_is_not_a_number_stays_in_its_trajectory():
    network = random_network(6, 3, 1)
    u, log_det = np.zeros((3, 5)), np.zeros(5)
    u[1, 2], u[0, 3] = np.nan, np.inf
    fused = fused_slices(network)
    with np.errstate(all="ignore"):
        fused.evolve(u, log_det, 0, 1)
    assert not np.isfinite(u[:, 2:4]).all(axis=0).any()
    assert np.isfinite(u[:, [0, 1, 4]]).all()
    with np.errstate(all="ignore"):
        fused.rewind(u, 0, 1)
    np.testing.assert_allclose(u[:, [0, 1, 4]], 0, atol=1e-13)


@pytest.mark.parametrize("n_nodes", [1, 2, 3, 5, 6])
def test_mixture(n_nodes):
    rng = np.random.default_rng(n_nodes)
    root = rng.standard_normal((3, n_nodes, n_nodes))
    factors = np.linalg.cholesky(root @ root.transpose(0, 2, 1) + 0.1 * np.eye(n_nodes))
    head = MixtureHead(rng.dirichlet(np.ones(3)), rng.standard_normal((3, n_nodes)), factors)
    u = 3 * rng.standard_normal((n_nodes, 6))
    u[:, 4] *= 1e3
    with np.errstate(all="ignore"):
        found = head.log_prob(u)
    np.testing.assert_allclose(found, [naive.mixture_log_prob(head, x) for x in u.T], rtol=1e-11)
    u[0, 1], u[0, 2] = np.nan, np.inf
    with np.errstate(all="ignore"):
        again = head.log_prob(u)
    assert np.isnan(again[1])
    assert not np.isfinite(again[2])
    np.testing.assert_array_equal(again[3:], found[3:])
