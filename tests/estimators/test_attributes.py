"""Parameters of the estimators: an attribute that would have no effect is refused."""

import numpy as np
import pytest

import neurolp


def test_what_no_fit_reads_is_refused_too():
    brain = neurolp.BrainDensity()
    with pytest.raises(AttributeError, match="n_hidden"):
        brain.n_hidden = 3


def test_slices_after_the_first_are_counted():
    from neurolp.brain.evolution import evolve
    from tests.networks import random_network

    network = random_network(0, 4, n_slices=5)
    u = np.random.default_rng(0).standard_normal((4, 7))
    middle, _ = evolve(network, u, n_slices=2)
    end, _ = evolve(network, middle, first=2, n_slices=3)
    assert np.array_equal(end, evolve(network, u)[0])
    assert np.array_equal(evolve(network, middle, first=2)[0], end)
