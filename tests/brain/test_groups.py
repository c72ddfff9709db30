"""Update orders: partitions of the nodes, colours without inner edges, sequential levels."""

import numpy as np
import pytest
from scipy import sparse

from neurolp.brain import wiring
from neurolp.brain.connectivity import Connectivity
from neurolp.brain.evolution import evolve
from neurolp.brain.network import Network, Slice
from neurolp.brain.update_order import ordered_partition
from neurolp.errors import NetworkError
from tests import naive
from tests.networks import random_connectivity, random_network

KINDS = ["full", "dense", "sparse"]


def draw(groups, connectivity, seed=0):
    return ordered_partition(groups, connectivity, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_nodes", [1, 2, 9, 30])
@pytest.mark.parametrize("groups", ["random_halves", "sequential", "coloring"])
def test_every_node_is_in_one_group_and_orders_differ(groups, n_nodes, kind):
    connectivity = random_connectivity(np.random.default_rng(n_nodes), n_nodes, kind)
    parts = draw(groups, connectivity)
    assert all(len(part) for part in parts)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(n_nodes))
    if n_nodes == 30:
        lists = [[part.tolist() for part in draw(groups, connectivity, seed)] for seed in range(9)]
        assert any(other != lists[0] for other in lists[1:])
        assert lists[0] == [part.tolist() for part in draw(groups, connectivity, 0)]


@pytest.mark.parametrize("kind", KINDS)
def test_no_edge_is_inside_a_colour(kind):
    for seed in range(5):
        connectivity = random_connectivity(np.random.default_rng(seed), 40, kind)
        edges = np.zeros((40, 40), dtype=bool)
        edges[connectivity.edges()] = True
        for part in draw("coloring", connectivity):
            assert not edges[np.ix_(part, part)].any()
            # So every source of every node is outside its group: no edge rests.
            reached = connectivity.sources_of(part)
            assert np.array_equal(reached, np.flatnonzero(edges[part].any(axis=0)))


def test_colours_are_those_of_the_naive_greedy_colouring_and_few():
    connectivity = wiring.random(80, probability=0.1, seed=1)
    conflict = connectivity.matrix.toarray()
    assert np.array_equal(connectivity.coloring, naive.greedy_colours(conflict))
    # A ring needs two or three colours, a network with k conflicts at most k + 1.
    ring = wiring.small_world(100, neighbours=2, rewiring=0.0, seed=0)
    assert ring.coloring.max() <= 2
    conflicts = (conflict | conflict.T).sum(axis=0)
    assert connectivity.coloring.max() <= conflicts.max()
    assert connectivity.coloring is connectivity.coloring  # computed once


def test_updating_level_after_level_is_updating_one_node_after_another():
    """The partition drawn for a sparse network against the naive sequence of single nodes."""
    network = random_network(3, 12, update_order="sequential", kind="sparse", n_slices=2)
    assert any(len(g.targets) > 1 for g in network.slices[0].groups)
    one_by_one = Network(
        network.connectivity, network.base, network.synapse, network.log_scale, network.grid
    )
    for slice_ in network.slices:
        # One of the orders that the levels stand for.
        singles = [
            network.update(
                g.targets[[i]],
                g.sources,
                sparse.csr_array(g.weights[[i]]),
                g.bias[[i]],
                sparse.csr_array(g.log_scale_weights[[i]]),
                g.log_scale_bias[[i]],
                g.node_map[[i]],
            )
            for g in slice_.groups
            for i in range(len(g.targets))
        ]
        one_by_one.slices.append(Slice(tuple(singles)))
    u = np.random.default_rng(1).standard_normal((12, 5))
    for a, b in zip(evolve(network, u), evolve(one_by_one, u), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)


def test_levels_keep_the_order_of_every_conflict():
    connectivity = wiring.random(60, in_degree=3, seed=2)
    order = np.random.default_rng(0).permutation(60)
    level, place = connectivity.levels(order), np.argsort(order)
    target, source = connectivity.edges()
    assert np.all(np.sign(level[target] - level[source]) == np.sign(place[target] - place[source]))
    assert np.array_equal(level, naive.sequential_levels(connectivity.matrix.toarray(), order))


def test_a_partition_of_ones_own():
    parts = draw([[3, 1], [0], [2]], Connectivity.full(4))
    assert [part.tolist() for part in parts] == [[1, 3], [0], [2]]
    arrays = draw([np.array([2, 3]), np.array([0, 1])], Connectivity.full(4))
    assert [part.tolist() for part in arrays] == [[2, 3], [0, 1]]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("thirds", "must be one of .* or a list of lists of nodes, but is 'thirds'"),
        ([[0, 1], [2]], "every node once, but has node 3 0 times"),
        ([[0, 1, 2, 3], [1]], "every node once, but has node 1 2 times"),
        ([[0, 1], [2, 4]], r"nodes in \[0, 3\], but has 4"),
        ([[0, 1], [2, -3]], r"nodes in \[0, 3\], but has -3"),
        ([[0, 1.5], [2]], "must have groups of integers"),
        ([[0, 1], [], [2, 3]], "must have groups of integers, none of them empty"),
        ([0, 1, 2, 3], "must be a list of lists of nodes"),
        ([], "must be a list of lists of nodes"),
        ([["a"], [1]], "must have groups of integers"),
    ],
)
def test_what_is_no_partition_is_refused(groups, message):
    with pytest.raises(NetworkError, match=message):
        draw(groups, Connectivity.full(4))
