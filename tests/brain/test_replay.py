"""Reverse replay: its gradients are those of finite differences, for every kind of network."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from neurolp.brain.evolution import evolve
from neurolp.brain.network import Network, Slice, distinct_slices
from neurolp.brain.rules.local import copy_network
from neurolp.errors import NetworkError
from tests.networks import gradient, plain_network, random_network

PARAMETERS = ("weights", "bias", "log_scale_weights", "log_scale_bias", "node_map")
kinds = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**20),
        "n_nodes": st.integers(1, 4),
        "n_slices": st.integers(1, 4),
        "update_order": st.sampled_from(["random_halves", "sequential"]),
        "kind": st.sampled_from(["full", "dense", "sparse"]),
        "base": st.sampled_from(["normal", "logistic"]),
        "log_scale": st.booleans(),
        "rotation": st.booleans(),
        "thresholds": st.sampled_from([(), (0.0,), (-1.0, 0.5)]),
    }
)


def loss(network, potential):
    """Mean of E(u(T)) - log |det|."""
    u, log_det = evolve(network, potential, n_threads=1)
    return float(np.mean(network.base_density.energy(u).sum(axis=0) - log_det))


def numbers(parameter):
    """The numbers of a parameter that exist: all, or those on the edges of a CSR matrix."""
    if parameter is None:
        return np.zeros(0)
    return parameter.data if sparse.issparse(parameter) else parameter.ravel()


def with_step(group, name, k, step):
    """The group update with the k-th number of one parameter moved."""
    parameter = getattr(group, name).copy()
    if sparse.issparse(parameter):
        parameter.data[k] += step
    else:
        parameter.ravel()[k] += step
    return dataclasses.replace(group, **{name: parameter})


def replaced(network, old, new):
    """The network with a group update, wherever it occurs, replaced by another."""
    twin = dataclasses.replace(network, slices=[])
    made = {}
    for slice_ in network.slices:
        if id(slice_) not in made:
            groups = tuple(new if g is old else g for g in slice_.groups)
            made[id(slice_)] = Slice(groups, slice_.rotation)
        twin.slices.append(made[id(slice_)])
    return twin


def differences(network, group, name, function, h=2e-5):
    """Central differences of ``function(network)`` by one parameter, zero on absent dense edges."""
    out = np.zeros(numbers(getattr(group, name)).size)
    for k in np.flatnonzero(present(network, group, name)):
        up, down = (
            function(replaced(network, group, with_step(group, name, k, s))) for s in (h, -h)
        )
        out[k] = (up - down) / (2 * h)
    return out


def present(network, group, name):
    parameter = getattr(group, name)
    if network.connectivity.kind != "dense" or "weights" not in name or parameter is None:
        return np.ones(numbers(parameter).size, bool)
    edges = network.connectivity.matrix[np.ix_(group.targets, group.sources)]
    times = parameter.shape[1] // max(len(group.sources), 1)
    return np.tile(edges, (1, times)).ravel()


def agree(found, expected):
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max(initial=0.0) < 1e-6 * scale


def starts(network, n_trajectories=6, seed=0):
    rng = np.random.default_rng(seed)
    return 1.5 * rng.standard_normal((network.n_nodes, n_trajectories))


@settings(max_examples=30)
@given(kinds)
def test_exact_gradient_is_that_of_finite_differences(kind):
    network = plain_network(**kind)
    u = starts(network)
    found = gradient(network, u)
    assert found.loss == pytest.approx(loss(network, u), rel=1e-12)
    for slice_, groups in zip(network.slices, found.groups, strict=True):
        for group, gradients in zip(slice_.groups, groups, strict=True):
            for name in PARAMETERS:
                expected = differences(network, group, name, lambda net: loss(net, u))
                agree(numbers(getattr(gradients, name)), expected)


@settings(max_examples=20)
@given(kinds)
def test_gradient_with_respect_to_the_input(kind):
    network = plain_network(**kind)
    u = starts(network, 3)
    found = gradient(network, u).potential
    h = 2e-5
    for i in range(u.shape[0]):
        step = np.zeros_like(u)
        step[i] = h
        ends = [evolve(network, u + s) for s in (step, -step)]
        up, down = (network.base_density.energy(v).sum(axis=0) - d for v, d in ends)
        agree(found[i], (up - down) / (2 * h))


def one_update_at_a_time(network):
    """The same evolution with every group update as a slice of its own."""
    flat = dataclasses.replace(network, slices=[])
    for slice_ in network.slices:
        for g, group in enumerate(slice_.groups):
            flat.slices.append(Slice((group,), slice_.rotation if g == 0 else None))
    return flat


@settings(max_examples=25)
@given(kinds, st.integers(1, 4))
def test_truncated_gradient_is_that_of_the_loss_of_the_window(kind, horizon):
    network = plain_network(**kind)
    if horizon >= len(network.slices) and horizon > 1:
        return  # exact: another test
    u = starts(network)
    found = gradient(network, u, horizon=horizon)
    assert found.potential is None or len(network.slices) == 1
    flat = one_update_at_a_time(network)
    m = 0
    for slice_, groups in zip(network.slices, found.groups, strict=True):
        for group, gradients in zip(slice_.groups, groups, strict=True):
            before = dataclasses.replace(flat, slices=flat.slices[:m])
            there, _ = evolve(before, u)
            last = m + (horizon - 1) * len(slice_.groups)
            window = dataclasses.replace(flat, slices=flat.slices[m : last + 1])
            for name in PARAMETERS:
                expected = differences(window, group, name, lambda net, v=there: loss(net, v))
                agree(numbers(getattr(gradients, name)), expected)
            m += 1


def repeated(kind, times, n_nodes=4):
    network = plain_network(5, n_nodes, n_slices=2, kind=kind)
    a, b = network.slices
    network.slices = [a, b, *[a] * times]
    return network


@pytest.mark.parametrize("kind", ["full", "dense", "sparse"])
@pytest.mark.parametrize("horizon", [None, 2, 1])
def test_a_shared_slice_has_the_sum_over_its_repetitions(kind, horizon):
    network = repeated(kind, 3)
    assert distinct_slices(network)[1] == [0, 1, 0, 0, 0]
    apart = dataclasses.replace(
        network, slices=[Slice(tuple(s.groups), s.rotation) for s in network.slices]
    )
    u = starts(network)
    shared, single = (gradient(net, u, horizon=horizon) for net in (network, apart))
    assert shared.loss == single.loss
    assert len(shared.groups) == 2
    for g in range(2):
        for name in PARAMETERS:
            total = sum(numbers(getattr(single.groups[t][g], name)) for t in (0, 2, 3, 4))
            np.testing.assert_allclose(
                numbers(getattr(shared.groups[0][g], name)), total, rtol=1e-10, atol=1e-12
            )


def test_gradient_of_a_shared_slice_is_that_of_finite_differences():
    network = repeated("full", 3)
    u = starts(network)
    found = gradient(network, u)
    for g, group in enumerate(network.slices[0].groups):
        for name in PARAMETERS:
            expected = differences(network, group, name, lambda net: loss(net, u))
            agree(numbers(getattr(found.groups[0][g], name)), expected)


@pytest.mark.parametrize("horizon", [None, 2, 1])
def test_any_number_of_threads_gives_the_same_bits(horizon):
    network = plain_network(1, 20)
    u = starts(network, 9000)
    one, three = (gradient(network, u, horizon=horizon, n_threads=k) for k in (1, 3))
    assert one.loss == three.loss
    for a, b in zip(one.groups, three.groups, strict=True):
        for g, h in zip(a, b, strict=True):
            for name in PARAMETERS:
                assert np.array_equal(getattr(g, name), getattr(h, name))


def test_memory_does_not_grow_with_the_number_of_slices():
    import tracemalloc

    peaks = []
    for n_slices in (5, 50):
        network = plain_network(2, 6, n_slices=1, strength=0.01)
        network.slices *= n_slices
        u = starts(network, 2000)
        gradient(network, u, n_threads=1)  # whatever is computed once
        tracemalloc.start()
        gradient(network, u, n_threads=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_float32_stays_close_to_float64():
    exact, single = (plain_network(2, 6, strength=0.2, dtype=d) for d in (np.float64, np.float32))
    u = starts(exact, 50)
    a, b = gradient(exact, u), gradient(single, u)
    assert b.groups[0][0].weights.dtype == np.float64
    np.testing.assert_allclose(a.groups[0][0].weights, b.groups[0][0].weights, atol=1e-3)


def test_no_slices_and_wrong_arguments():
    network = Network(*[getattr(plain_network(0, 3), f) for f in
                        ("connectivity", "base", "synapse", "log_scale", "grid")])  # fmt: skip
    u = starts(network)
    found = gradient(network, u)
    assert found.groups == []
    np.testing.assert_array_equal(found.potential, u)  # psi(u) = u
    with pytest.raises(ValueError, match="shape"):
        gradient(network, u[:2])


def test_sequential_groups_are_refused_in_one_line():
    network = random_network(0, 3, update_order="sequential")
    with pytest.raises(NetworkError, match="the network has sequential groups"):
        gradient(network, np.zeros((3, 2)))
    # Taken apart they are the same map, and have a gradient.
    u = np.random.default_rng(0).standard_normal((3, 4))
    assert gradient(copy_network(network), u).loss == pytest.approx(loss(network, u), rel=1e-12)
