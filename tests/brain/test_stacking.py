"""Weights of an average of densities."""

import numpy as np
import pytest

from neurolp.brain.heads.head import stacking_weights


def objective(weights, log_prob, counts, prior):
    mixture = np.log(weights @ np.exp(log_prob))
    return counts @ mixture + prior * np.log(weights).sum()


@pytest.mark.parametrize("prior", [1.0, 0.3])
def test_weights_are_those_of_greatest_likelihood(prior):
    rng = np.random.default_rng(8)
    log_prob = rng.normal(-1, 1, (3, 200)) + np.array([[0.5], [0.0], [-0.2]])
    counts = rng.integers(1, 4, 200).astype(float)
    weights = stacking_weights(log_prob, counts=counts, prior=prior, n_steps=3000)
    assert weights.sum() == pytest.approx(1)
    best = objective(weights, log_prob, counts, prior)
    for other in rng.dirichlet(np.ones(3), 300):
        near = 0.99 * weights + 0.01 * other
        assert objective(near, log_prob, counts, prior) <= best


def test_a_row_counted_twice_is_two_rows():
    log_prob = np.random.default_rng(0).normal(size=(3, 50))
    counts = np.repeat([1.0, 2.0], 25)
    twice = np.concatenate([log_prob, log_prob[:, 25:]], axis=1)
    one, other = stacking_weights(log_prob, counts=counts), stacking_weights(twice)
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_densities_far_apart_do_not_underflow():
    log_prob = np.array([[-1e4, -2e4], [-1e4 - 1, -2e4 - 1]])
    np.testing.assert_allclose(stacking_weights(log_prob), [1, 0], atol=1e-6)
