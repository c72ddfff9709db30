"""The smooth density of one column: draws between two ends follow it."""

import numpy as np
import pytest
from scipy import stats

from neurolp.mixed.reference import Reference

RNG = np.random.default_rng(0)
ENDS = [
    (-0.5, 0.7), (4.0, np.inf), (-np.inf, -2.0), (-np.inf, np.inf), (30.0, 40.0), (1e6, 1e6 + 5),
    (2.0, 2 + 1e-7), (-1000.0, 1000.0),
]  # fmt: skip


@pytest.fixture(scope="module")
def reference():
    return Reference.of(np.append(RNG.standard_normal(300), 5 + 0.3 * RNG.standard_normal(200)))


@pytest.mark.parametrize("ends", ENDS)
def test_draws_between_two_ends_follow_the_density(reference, ends):
    low, high = (np.full(20_000, end) for end in ends)
    drawn = reference.draw(low, high, np.random.default_rng(1).random(20_000))
    assert np.all((drawn >= low) & (drawn < high))
    below = np.exp(reference.log_mass(low, drawn) - reference.log_mass(low, high))
    assert stats.kstest(below, "uniform").pvalue > 1e-3


def test_draws_are_numbers_for_all_uniform_numbers(reference):
    for low, high in ENDS:
        uniform = np.array([0.0, 5e-324, 0.5, 1 - 2**-53])
        assert np.all(np.isfinite(reference.draw(np.full(4, low), np.full(4, high), uniform)))
