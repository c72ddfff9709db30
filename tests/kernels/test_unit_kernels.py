"""Kernels of the monotone units against their oracle; run with the JIT and without."""

import numpy as np
import pytest

from neurolp.kernels.units import descend, unit_gradient, unit_log_density
from tests import naive


@pytest.fixture
def units():
    rng = np.random.default_rng(3)
    u, counts = rng.standard_normal(40), rng.integers(0, 4, 40).astype(float)
    log_w = np.log(rng.dirichlet(np.ones(4)))
    return u, counts, log_w, rng.standard_normal(4), rng.uniform(0.2, 1.5, 4)


def test_gradient_of_the_training_loss_against_finite_differences(units):
    u, counts, log_w, m, s = units
    gradient = np.empty((3, 4))
    loss = unit_gradient(u, counts, log_w, m, s, np.empty((3, 4)), gradient)
    assert loss == pytest.approx(naive.unit_loss(u, counts, log_w, m, s), rel=1e-12)
    gradient[0] += counts.sum() * np.exp(log_w)  # the naive loss makes the weights sum to 1
    h = 1e-6
    for i in range(3):
        for k in range(4):
            step = np.zeros((3, 4))
            step[i, k] = h
            ends = [
                naive.unit_loss(u, counts, log_w + d[0], m + d[1], s * np.exp(d[2]))
                for d in (step, -step)
            ]
            assert gradient[i, k] == pytest.approx((ends[0] - ends[1]) / (2 * h), abs=1e-6)


def test_descent_never_goes_up_and_ends_where_the_gradient_is_zero(units):
    u, counts, log_w, m, s = units
    losses = [descend(u, counts, log_w, m, s, 1, 0.0, 1.0, -1.0) for _ in range(60)]
    assert np.all(np.diff(losses) <= 1e-12)
    log_w, m, s = np.zeros(1), np.zeros(1), np.ones(1)
    descend(u, counts, log_w, m, s, 100, 0.0, 1.0, 1e-14)
    gradient = np.empty((3, 1))
    unit_gradient(u, counts, log_w, m, s, np.empty((3, 1)), gradient)
    assert np.abs(gradient[1:]).max() < 1e-6
    mean = counts @ u / counts.sum()
    assert m[0] == pytest.approx(mean, abs=1e-8)
    assert s[0] ** 2 == pytest.approx(counts @ (u - mean) ** 2 / counts.sum(), abs=1e-8)


def test_log_density_of_units_against_the_oracle(units):
    u, _, log_w, m, s = units
    out = np.empty(len(u))
    unit_log_density(u, log_w, m, s, out)
    expected = [-naive.unit_loss([x], [1.0], log_w, m, s) for x in u]
    np.testing.assert_allclose(out, expected, rtol=1e-12)
