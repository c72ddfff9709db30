"""All slices in one pass: the same map as group by group, for any blocks and threads."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from neurolp.brain.evolution import Passage, evolve, rewind
from neurolp.brain.fused import fused_slices, tile_blocks
from neurolp.brain.heads.head import WeightedHead, joint_log_prob
from neurolp.brain.heads.mixture import MixtureHead
from neurolp.brain.heads.selection import _Search
from neurolp.brain.workers import Workers
from tests.brain.outside_package import AffineMap
from tests.networks import random_network


def both_ways(network, u, n_slices):
    """The fused passage and that of groups: potentials, log-determinants, and back."""
    out = []
    for passage in (Passage.of(network), Passage(network, None)):
        log_det = np.zeros(u.shape[1])
        end = passage.forward(u, log_det, 0, n_slices)
        out.append((end, log_det, passage.backward(end, 0, n_slices)))
    return out


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("order", ["random_halves", "coloring"])
@pytest.mark.parametrize("kind", ["full", "dense", "triangular"])
@pytest.mark.parametrize("log_scale", [True, False])
def test_both_passages_are_the_same_map(dtype, order, kind, log_scale):
    exact = 1e-10 if dtype == "float64" else 2e-4
    for n_nodes in (1, 2, 5, 8):
        for thresholds in ((), (0.0,), (-1.5, -0.75, 0.0, 0.75, 1.5), tuple(np.arange(-3.0, 4.0))):
            for n_slices in (0, 3):
                settings = {"log_scale": log_scale, "thresholds": thresholds, "strength": 0.1}
                settings |= {"rotation": kind == "full", "dtype": dtype}
                network = random_network(n_nodes, n_nodes, n_slices, order, kind, **settings)
                u = np.random.default_rng(n_nodes).standard_normal((n_nodes, 150))
                u = u.astype(dtype)
                fused, plain = both_ways(network, u, n_slices)
                for a, b in zip(fused, plain, strict=True):
                    np.testing.assert_allclose(a, b, rtol=exact, atol=exact)
                np.testing.assert_allclose(fused[2], u, rtol=exact, atol=exact)


def test_a_trajectory_depends_on_neither_its_place_nor_its_neighbours():
    network = random_network(3, 6, 4)
    u = 3 * np.random.default_rng(0).standard_normal((6, 700))
    end, log_det = evolve(network, u, n_threads=1)
    start = rewind(network, end, n_threads=1)
    order = np.random.default_rng(1).permutation(700)[:301]
    for n_threads in (1, 3):
        again, log_det_again = evolve(network, u[:, order], n_threads=n_threads)
        np.testing.assert_array_equal(again, end[:, order])
        np.testing.assert_array_equal(log_det_again, log_det[order])
        back = rewind(network, again, n_threads=n_threads)
        np.testing.assert_array_equal(back, start[:, order])


@pytest.mark.parametrize("n_columns", [0, 1, 128, 129, 5000, 100_000])
def test_blocks_are_whole_tiles_that_cover_all_columns_once(n_columns):
    blocks = tile_blocks(n_columns)
    assert sum(width for _, width in blocks) == n_columns
    assert all(width % 128 == 0 for _, width in blocks[:-1])
    ends = np.cumsum([0, *(width for _, width in blocks)])
    assert [start for start, _ in blocks] == list(ends[:-1])


def test_what_is_kept_is_forgotten_when_a_number_or_a_slice_changes():
    network = random_network(4, 3, 3)
    u = np.random.default_rng(0).standard_normal((3, 5))
    before = evolve(network, u)[0]
    assert fused_slices(network) is fused_slices(network)
    group = network.slices[1].groups[0]
    group.bias[0] += 1.0
    group.changed()
    after = evolve(network, u)[0]
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, both_ways(network, u, 3)[1][0], rtol=1e-12)
    network.slices.append(network.slices[0])
    np.testing.assert_allclose(evolve(network, u)[0], both_ways(network, u, 4)[1][0], rtol=1e-12)
    network.slices[0] = network.slices[2]
    np.testing.assert_allclose(evolve(network, u)[0], both_ways(network, u, 4)[1][0], rtol=1e-12)


def test_what_is_kept_is_not_copied_with_the_network():
    network = random_network(4, 3, 3)
    fused_slices(network)
    assert pickle.loads(pickle.dumps(network)).fused is None
    assert replace(network).fused is None
    assert network.fused is not None


def test_what_cannot_be_fused_goes_group_by_group():
    assert fused_slices(random_network(0, 4, 2, "sequential")) is None
    assert fused_slices(random_network(0, 6, 2, "coloring", "sparse")) is None
    own = random_network(0, 3, 0)
    own.grid = AffineMap()
    assert fused_slices(own) is None


def test_heads_are_read_on_the_way():
    network = random_network(7, 4, 5)
    u = np.random.default_rng(2).standard_normal((4, 300))
    round_ = MixtureHead(np.ones(1), np.zeros((1, 4)), np.eye(4)[None])
    heads = (WeightedHead(5, 0.5), WeightedHead(0, 0.2, round_), WeightedHead(2, 0.3, round_))
    joint = joint_log_prob(network, heads, u, 2)
    for found, head in zip(joint, heads, strict=True):
        end, log_det = evolve(network, u, n_slices=head.time)
        expected = np.log(head.weight) + network.base_density.log_prob(end) + log_det
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(("gain", "latest"), [(0.5, 40), (1e-5, 10)])
def test_a_late_head_that_gains_next_to_nothing_is_left_out(gain, latest):
    """The other two describe half the rows each; the late one all of them, a little better."""
    network = random_network(0, 2, 0)
    left = np.arange(400) < 200
    log_prob = [np.where(left, -1.0, -9.0), np.where(left, -9.0, -1.0)]
    log_prob.append(np.full(400, -1.0 - np.log(2) + gain))
    with Workers(1) as workers:
        search = _Search(network, {}, 0, workers)
        search.heads = [WeightedHead(time, 1.0) for time in (0, 10, 40)]
        search.log_prob = log_prob
        heads = search.stacked()
    assert max(head.time for head in heads) == latest
    assert abs(sum(head.weight for head in heads) - 1) < 1e-12
