"""Interneurons: what they let a node hear, and their way into a file and back."""

import numpy as np
import pytest

from neurolp import BrainDensity, ConfigurationError, NetworkError, audit
from neurolp.brain.connectivity import Connectivity
from neurolp.brain.interneurons import Interneurons, draw_interneurons
from neurolp.data.problems_2d import sample_problem
from tests.networks import random_network


def product_table(n, seed=0):
    """The third column is the product of the others and noise: no sum of functions of each."""
    return sample_problem("interaction", n, np.random.default_rng(seed))


def test_a_node_hears_how_its_sources_stand_together():
    train, validation, test = product_table(3000), product_table(1000, 1), product_table(1000, 2)
    settings = {"energy": "base", "rotation": False, "max_slices": 60, "random_state": 0}
    groups = [[0, 1], [2]]
    scores = [
        BrainDensity(interneurons=n, groups=groups, **settings)
        .fit(train, X_validation=validation)
        .score(test)
        for n in (0, 40)
    ]
    entropy = 3 * 0.5 * np.log(2 * np.pi * np.e) + np.log(0.3)
    # Measured after 60 slices: -3.735 with additive synapses and gains, -3.523 with interneurons.
    assert scores[1] > scores[0] + 0.15
    assert -scores[1] > entropy - 3 * 0.5 / np.sqrt(1000)


def test_they_are_drawn_anew_for_every_group_and_slice_from_the_seed():
    x = product_table(200)
    brains = [BrainDensity(interneurons=2, max_slices=2, random_state=s).fit(x) for s in (0, 0, 1)]
    drawn = [[g.interneurons.weights for t in b.network_.slices for g in t.groups] for b in brains]
    flat = [np.concatenate([w.ravel() for w in d]) for d in drawn]
    assert np.array_equal(flat[0], flat[1])
    assert len(np.unique(flat[0])) == len(flat[0])
    assert not np.intersect1d(flat[0], flat[2]).size


@pytest.mark.parametrize("gain", [True, False])
@pytest.mark.parametrize("groups", ["halves", "each"])
def test_a_saved_brain_has_them_and_is_exact(tmp_path, gain, groups):
    x = product_table(300)
    brain = BrainDensity(interneurons=3, gain=gain, groups=groups, max_slices=4, random_state=0)
    brain.fit(x).save(tmp_path / "brain.h5")
    again = BrainDensity.load(tmp_path / "brain.h5")
    assert np.array_equal(again.score_samples(x), brain.score_samples(x))
    potential, _ = again.evolve(x)
    np.testing.assert_allclose(again.rewind(potential), x, atol=1e-9)
    report = audit(random_network(0, 5, interneurons=4, gain=gain, groups=groups))
    assert report.log_det_error < 1e-10


def test_they_are_refused_where_they_cannot_be():
    with pytest.raises(ConfigurationError, match="`interneurons` needs full connectivity"):
        BrainDensity(interneurons=2, connectivity=~np.eye(3, dtype=bool)).fit(product_table(50))
    with pytest.raises(
        ConfigurationError, match="`interneurons` must be an integer >= 0, but is -1"
    ):
        BrainDensity(interneurons=-1).fit(product_table(50))
    with pytest.raises(NetworkError, match="weights \\(H, n_sources\\) and bias \\(H,\\)"):
        Interneurons(np.zeros((2, 3)), np.zeros(3))
    with pytest.raises(NetworkError, match="must be finite"):
        Interneurons(np.full((2, 3), np.nan), np.zeros(2))
    network = random_network(0, 3, n_slices=1)
    group = network.slices[0].groups[0]
    t, s, m = len(group.targets), len(group.sources), network.synapse.n_transfer
    parts = [np.zeros(t), np.zeros((t, (m - 1) * s + 2)), np.zeros(t), network.grid.identity(t)]
    weights = np.zeros((t, m * s + 2))
    between = Interneurons(np.zeros((2, s + 1)), np.zeros(2))
    with pytest.raises(NetworkError, match=f"must read {s} sources, but read {s + 1}"):
        network.update(group.targets, group.sources, weights, *parts, interneurons=between)
    network.connectivity = Connectivity.from_array(~np.eye(3, dtype=bool))
    between = draw_interneurons(2, s, 1.0, np.random.default_rng(0))
    with pytest.raises(NetworkError, match="need full connectivity"):
        network.update(group.targets, group.sources, weights, *parts, interneurons=between)
