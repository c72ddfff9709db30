"""Experts for values of StreamBrain: as the naive oracle's, near the truth, robust."""

import numpy as np
import pytest

from neurolp import ContinuousSensor, StreamBrain
from tests.naive_experts import NaiveExperts

ALONE = {"n_hidden": 0, "warmup": 10_000, "random_state": 0}  # the network knows no units


def seasonal(n, d=1, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(n)[:, None]
    level = np.cumsum(0.05 * rng.standard_normal((n, d)), axis=0)
    noise = rng.standard_normal((n, d)) @ (np.eye(d) + 0.5 * np.tri(d, k=-1)).T
    return 10 + level + 2 * np.sin(2 * np.pi * t / 7) + 0.3 * noise


@pytest.mark.parametrize("d", [1, 3])
def test_every_step_is_that_of_the_oracle(d):
    rows = seasonal(60 + 30 * (d == 1), d)
    rows[40] += 40  # an outlier
    rows[45:50] = rows[45]  # values that repeat
    oracle = NaiveExperts(d)
    expected = [oracle.step(row) for row in rows]
    result = StreamBrain(ContinuousSensor(d), **ALONE).run(rows)
    surprise = np.array([s for s, _ in expected])
    np.testing.assert_allclose(result.total[8:], surprise[8:], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(result.pit[8:], [p for _, p in expected[8:]], rtol=1e-7, atol=1e-12)
    assert (oracle.period > 0).any()
